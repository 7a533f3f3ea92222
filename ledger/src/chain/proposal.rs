//! What a validator signs when it proposes a block (docs/FORMATS.md, "Proposal").

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::fixed::joined;
use crate::digest::{Digest, LedgerId};

/// The length of a proposal's signed bytes.
pub const PROPOSAL_BYTES: usize = 132;

/// Sets proposals apart from everything else that is signed.
const DOMAIN: &[u8; 18] = b"quittance-proposal";
const VERSION: u8 = 1;

/// A validator's proposal of a block in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalSigned {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height.
    pub height: u64,
    /// The round in which it is proposed, from 0.
    pub round: u32,
    /// The hash of the block's header.
    pub block: Digest,
    /// The earlier round in which more than two thirds prevoted for it.
    pub valid_round: Option<u32>,
    /// The consensus key of the validator that proposes.
    pub validator: [u8; 32],
}

impl ProposalSigned {
    /// The bytes that are signed.
    #[must_use]
    pub fn encode(&self) -> [u8; PROPOSAL_BYTES] {
        joined(&[
            DOMAIN,
            &[VERSION],
            self.ledger.as_bytes(),
            &self.height.to_be_bytes(),
            &self.round.to_be_bytes(),
            &[u8::from(self.valid_round.is_some())],
            &self.valid_round.unwrap_or(0).to_be_bytes(),
            self.block.as_bytes(),
            &self.validator,
        ])
    }

    /// Signs the proposal; `key` should be that of [`ProposalSigned::validator`].
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.encode()).to_bytes()
    }

    /// Whether the validator signed this proposal, under the strict rule.
    #[must_use]
    pub fn is_signed(&self, signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.validator).is_ok_and(|key| {
            key.verify_strict(&self.encode(), &Signature::from_bytes(signature)).is_ok()
        })
    }
}
