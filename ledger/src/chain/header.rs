//! The header: a fixed layout of 236 bytes whose SHA-256 is the block's hash
//! (docs/FORMATS.md, "Header").

use super::fixed::joined;
use crate::digest::{Digest, LedgerId};

/// The length of an encoded header, in bytes.
pub const HEADER_BYTES: usize = 236;

/// Sets headers apart from everything else that is hashed or signed.
const DOMAIN: &[u8; 16] = b"quittance-header";
const VERSION: u32 = 1;

/// Bytes that are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not [`HEADER_BYTES`] long.
    #[error("a header has {HEADER_BYTES} bytes, not {0}")]
    Length(usize),
    /// The first 16 bytes are not `quittance-header`.
    #[error("these bytes are not a Quittance header")]
    Domain,
    /// A version this software does not know.
    #[error("header version {0} is not known here; a newer release may read it")]
    Version(u32),
}

/// What a block commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Its place in the chain; the first block is 1.
    pub height: u64,
    /// Hash of the header before it; zeros for the first block.
    pub previous: Digest,
    /// When it was made, in milliseconds since the Unix epoch; later than the block before it.
    pub time_ms: u64,
    /// Consensus public key of the validator that proposed it.
    pub proposer: [u8; 32],
    /// Records on the ledger once this block is in.
    pub tree_size: u64,
    /// Root of the RFC 6962 tree over all their ids.
    pub tree_root: Digest,
    /// Digest of every change this block makes to the state.
    pub effects: Digest,
    /// Digest of the validators that decide on it.
    pub validators: Digest,
}

impl Header {
    /// The header's bytes: integers big-endian, one field after the other.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        joined(&[
            DOMAIN,
            &VERSION.to_be_bytes(),
            self.ledger.as_bytes(),
            &self.height.to_be_bytes(),
            self.previous.as_bytes(),
            &self.time_ms.to_be_bytes(),
            &self.proposer,
            &self.tree_size.to_be_bytes(),
            self.tree_root.as_bytes(),
            self.effects.as_bytes(),
            self.validators.as_bytes(),
        ])
    }

    /// Reads what [`Header::encode`] wrote.
    ///
    /// # Errors
    /// Another length, another domain or another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] =
            bytes.try_into().map_err(|_| HeaderError::Length(bytes.len()))?;
        let mut reader = Reader { rest: bytes };
        if reader.take::<16>() != *DOMAIN {
            return Err(HeaderError::Domain);
        }
        let version = u32::from_be_bytes(reader.take());
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(Self {
            ledger: LedgerId::from_digest(reader.digest()),
            height: u64::from_be_bytes(reader.take()),
            previous: reader.digest(),
            time_ms: u64::from_be_bytes(reader.take()),
            proposer: reader.take(),
            tree_size: u64::from_be_bytes(reader.take()),
            tree_root: reader.digest(),
            effects: reader.digest(),
            validators: reader.digest(),
        })
    }

    /// SHA-256 of the encoded header: the block's hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(&self.encode())
    }
}

/// Takes fields from the front. The lengths add up to [`HEADER_BYTES`], so it never runs dry.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        if let Some((head, tail)) = self.rest.split_at_checked(N) {
            field.copy_from_slice(head);
            self.rest = tail;
        }
        field
    }

    fn digest(&mut self) -> Digest {
        Digest::from_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let digest = any::<[u8; 32]>().prop_map(Digest::from_bytes);
        (
            (digest.clone(), any::<u64>(), digest.clone(), any::<u64>(), any::<[u8; 32]>()),
            (any::<u64>(), digest.clone(), digest.clone(), digest),
        )
            .prop_map(|((ledger, height, previous, time_ms, proposer), rest)| Header {
                ledger: LedgerId::from_digest(ledger),
                height,
                previous,
                time_ms,
                proposer,
                tree_size: rest.0,
                tree_root: rest.1,
                effects: rest.2,
                validators: rest.3,
            })
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(header in header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_flipped_bit_changes_the_hash_or_is_refused(
            header in header(), position in 0..HEADER_BYTES, bit in 0..8_u32,
        ) {
            let mut bytes = header.encode();
            bytes[position] ^= 1 << bit;
            if let Ok(other) = Header::decode(&bytes) {
                prop_assert_ne!(other.hash(), header.hash());
            }
        }
    }

    #[test]
    fn other_lengths_domains_and_versions_are_refused() {
        let zero = Digest::ZERO;
        let header = Header {
            ledger: LedgerId::from_digest(zero),
            height: 1,
            previous: zero,
            time_ms: 0,
            proposer: [0; 32],
            tree_size: 1,
            tree_root: zero,
            effects: zero,
            validators: zero,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes[1..]), Err(HeaderError::Length(235)));
        let mut other = bytes;
        other[0] = b'Q';
        assert_eq!(Header::decode(&other), Err(HeaderError::Domain));
        let mut other = bytes;
        other[19] = 2;
        assert_eq!(Header::decode(&other), Err(HeaderError::Version(2)));
    }
}
