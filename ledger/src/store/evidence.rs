//! Evidence of validators that contradicted themselves. It is no part of the
//! ledger: nodes may hold different evidence.

use super::{Store, StoreError, codec};
use crate::{chain::Evidence, digest::Digest};

/// Evidence that is kept; one that contradicts itself at will must not fill the disk.
pub const EVIDENCE_MAX: usize = 1_000;

impl Store {
    /// Keeps evidence. Gives whether it is new.
    ///
    /// # Errors
    /// sled or the disk refuses.
    pub fn put_evidence(&self, evidence: &Evidence) -> Result<bool, StoreError> {
        let bytes = codec::encode("evidence", evidence)?;
        let mut key = vec![b'e'];
        key.extend_from_slice(&evidence.height.to_be_bytes());
        key.extend_from_slice(Digest::of(&bytes).as_bytes());
        if self.database.contains_key(&key)? || self.evidence()?.len() >= EVIDENCE_MAX {
            return Ok(false);
        }
        self.database.insert(key, bytes)?;
        self.database.flush()?;
        Ok(true)
    }

    /// The evidence that is kept, by height.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        self.database
            .scan_prefix(b"e")
            .take(EVIDENCE_MAX)
            .map(|entry| codec::decode("evidence", &entry?.1))
            .collect()
    }
}
