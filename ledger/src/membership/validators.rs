//! The members that agree on blocks and cosign checkpoints.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::MemberId;
use crate::{digest::Digest, transparency::VerifierKey};

/// What a member validates with. Each key serves one purpose only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    /// The member it belongs to.
    pub member: MemberId,
    /// Signs consensus votes; also the proposer's address in a header.
    pub consensus: VerifyingKey,
    /// Signs the checkpoints its node serves (C2SP type 0x01, named as the origin).
    pub log: VerifierKey,
    /// Cosigns checkpoints (C2SP type 0x04, named `<origin>/<member>`).
    pub cosigner: VerifierKey,
    /// libp2p peer id of its node.
    pub peer: Option<String>,
    /// Multiaddress of its consensus engine.
    pub engine_address: Option<String>,
    /// Multiaddress of its record gossip.
    pub gossip_address: Option<String>,
}

/// The node with which a member that does not validate follows the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observer {
    /// libp2p peer id of its node.
    pub peer: String,
    /// Multiaddress of its consensus engine.
    pub engine_address: Option<String>,
    /// Multiaddress of its record gossip.
    pub gossip_address: Option<String>,
}

/// The validators of one height, each with one vote, sorted by consensus key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
}

impl ValidatorSet {
    /// Sorts `validators` into a set. The genesis has checked that no key stands twice.
    #[must_use]
    pub fn new(mut validators: Vec<Validator>) -> Self {
        validators.sort_by_key(|validator| validator.consensus.to_bytes());
        Self { validators }
    }

    /// The validators, by consensus key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Validator> {
        self.validators.iter()
    }

    /// How many validators there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// Whether nobody validates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// The fewest validators that are more than two thirds of all.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum_of(self.len())
    }

    /// The validator of that member.
    #[must_use]
    pub fn of_member(&self, member: &MemberId) -> Option<&Validator> {
        self.validators.iter().find(|validator| validator.member == *member)
    }

    /// The validator with that consensus key.
    #[must_use]
    pub fn by_consensus_key(&self, key: &[u8; 32]) -> Option<&Validator> {
        self.validators.iter().find(|validator| validator.consensus.as_bytes() == key)
    }

    /// The digest a header carries of the set (docs/FORMATS.md, "Validator set").
    #[must_use]
    pub fn hash(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(b"quittance-validators\x01");
        // At most VALIDATORS_MAX, so the count always fits.
        hasher.update(u32::try_from(self.validators.len()).unwrap_or(u32::MAX).to_be_bytes());
        for validator in &self.validators {
            hasher.update(validator.consensus.as_bytes());
            hasher.update(validator.log.public().as_bytes());
            hasher.update(validator.cosigner.public().as_bytes());
            let member = validator.member.as_str().as_bytes();
            hasher.update([u8::try_from(member.len()).unwrap_or(u8::MAX)]);
            hasher.update(member);
        }
        Digest::from_bytes(hasher.finalize().into())
    }
}

/// The smallest whole number above two thirds of `validators`.
pub(crate) const fn quorum_of(validators: usize) -> usize {
    validators * 2 / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorum_is_more_than_two_thirds() {
        for validators in 1..100 {
            let quorum = quorum_of(validators);
            assert!(3 * quorum > 2 * validators);
            assert!(3 * (quorum - 1) <= 2 * validators);
        }
    }
}
