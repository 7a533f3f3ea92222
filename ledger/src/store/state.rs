//! What the rules read: the state after the decided blocks, in sled beside the
//! head and written with it, in one batch.

use std::error::Error;

use super::{Store, StoreError, StoredBlock};
use crate::{
    chain::{Applied, Header, Tip},
    digest::RecordId,
    insurance::{
        rules::BlockState,
        state::{self, ApplyError, Pair, StateChanges, StateError, StateReader},
    },
    membership::{Disposition, RuleDispositions},
    record::Record,
    refusal::Code,
};

/// Keys of the state, so that none is one of the store's own.
const STATE: u8 = b's';

fn state_key(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + key.len());
    stored.push(STATE);
    stored.extend_from_slice(key);
    stored
}

pub(super) fn write(changes: &StateChanges, batch: &mut sled::Batch) {
    for (key, value) in changes.iter() {
        match value {
            Some(value) => batch.insert(state_key(key), value),
            None => batch.remove(state_key(key)),
        }
    }
}

/// The records of a stored block, which were verified before they were stored.
pub(super) fn records_of(before: &Tip, stored: &StoredBlock) -> Result<Vec<Record>, StoreError> {
    (before.frontier.size()..)
        .zip(&stored.records)
        .map(|(index, jws)| {
            Record::trusted(jws.clone()).map_err(|refusal| StoreError::Record { index, refusal })
        })
        .collect()
}

impl Store {
    /// Applies a block that follows `before`, the tip that the stored state is of,
    /// and checks that it changes what its header says.
    pub(super) fn apply(
        &self,
        before: &Tip,
        header: &Header,
        records: &[Record],
    ) -> Result<Applied, StoreError> {
        let first = before.frontier.size();
        let (height, time_ms) = (header.height, header.time_ms);
        let mut state = BlockState::new(height, time_ms, first, &before.members, self);
        for (index, record) in (first..).zip(records) {
            state.apply(record).map_err(|error| match error {
                ApplyError::Refused(refusal) => StoreError::Record { index, refusal },
                ApplyError::State(error) => error.into(),
            })?;
        }
        if state.effects_digest() != header.effects {
            return Err(StoreError::damaged(
                "blocks or index/ (sled)",
                format!(
                    "what block {height} changes is not what its header says; \
                     `quittance reindex` makes the index again from the blocks"
                ),
            ));
        }
        Ok(state.into())
    }

    /// The ⚑ rules that the record at `index` breaks, as the genesis lets it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn flags(&self, index: u64) -> Result<Vec<Code>, StoreError> {
        // On most ledgers no rule does.
        let RuleDispositions { dossier_red, change_only_at_period_end, notice_too_late } =
            self.membership.genesis().rules;
        let all = [dossier_red, change_only_at_period_end, notice_too_late];
        if all.iter().all(|disposition| *disposition == Disposition::Reject) {
            return Ok(Vec::new());
        }
        Ok(state::flags(self, index)?)
    }

    /// Every entry of the state, in the order of their keys.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn state_entries(&self) -> impl Iterator<Item = Result<Pair, StoreError>> + use<> {
        self.database.scan_prefix([STATE]).map(|entry| {
            let (key, value) = entry?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        })
    }
}

/// The state after the last decided block.
impl StateReader for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let found = self.database.get(state_key(key)).map_err(StoreError::from)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        self.database
            .range(state_key(from)..state_key(to))
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(StoreError::from)?;
                Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
            })
            .collect()
    }

    fn record(&self, id: &RecordId) -> Result<Option<Record>, StateError> {
        Ok(match self.find_decided(id)? {
            Some(location) => Some(self.record_at(location.index)?),
            None => None,
        })
    }

    /// The tree has its leaf: the record itself is not read.
    fn holds_record(&self, id: &RecordId) -> Result<bool, StateError> {
        Ok(self.is_decided(id)?)
    }
}

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        Self::new(error)
    }
}

/// The store's own error comes back as it was.
impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        let source: Box<dyn Error + Send + Sync> = error.into_cause();
        match source.downcast::<Self>() {
            Ok(error) => *error,
            Err(other) => Self::damaged("the state", other.to_string()),
        }
    }
}
