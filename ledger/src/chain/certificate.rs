//! Why a block is decided: precommits of more than two thirds of the
//! validators (docs/FORMATS.md, "Vote" and "Certificate").
//!
//! Validators may hold different precommits for one block, so a certificate is
//! kept and served beside the block and never hashed into one.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Header, fixed::joined};
use crate::{
    digest::{Digest, LedgerId},
    membership::ValidatorSet,
};

/// The length of a vote's signed bytes.
pub const VOTE_BYTES: usize = 125;

/// Sets votes apart from everything else that is signed.
const DOMAIN: &[u8; 14] = b"quittance-vote";
const VERSION: u8 = 1;

/// In which step of a round a vote is cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VoteKind {
    /// The block is valid and may be decided.
    Prevote = 1,
    /// The block is decided, for as far as this validator is concerned.
    Precommit = 2,
}

/// What a validator says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The ledger.
    pub ledger: LedgerId,
    /// The step.
    pub kind: VoteKind,
    /// The height that is decided.
    pub height: u64,
    /// The round in which the vote is cast, from 0.
    pub round: u32,
    /// The hash of the block's header; none for a vote for no block (nil).
    pub block: Option<Digest>,
    /// The consensus key of the validator that votes.
    pub validator: [u8; 32],
}

impl Vote {
    /// The bytes that are signed.
    #[must_use]
    pub fn encode(&self) -> [u8; VOTE_BYTES] {
        joined(&[
            DOMAIN,
            &[VERSION],
            self.ledger.as_bytes(),
            &[self.kind as u8],
            &self.height.to_be_bytes(),
            &self.round.to_be_bytes(),
            &[u8::from(self.block.is_some())],
            self.block.unwrap_or(Digest::ZERO).as_bytes(),
            &self.validator,
        ])
    }

    /// Signs the vote; `key` should be that of [`Vote::validator`].
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.encode()).to_bytes()
    }

    /// Whether the validator signed this vote, under the strict rule.
    #[must_use]
    pub fn is_signed(&self, signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.validator).is_ok_and(|key| {
            key.verify_strict(&self.encode(), &Signature::from_bytes(signature)).is_ok()
        })
    }
}

/// One validator's precommit in a [`Certificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitSignature {
    /// The validator's consensus key.
    pub validator: [u8; 32],
    /// Its signature of the precommit.
    pub signature: [u8; 64],
}

/// The precommits by which a block was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The round of all of them, from 0.
    pub round: u32,
    /// One for each validator that is in it, by consensus key.
    pub signatures: Vec<CommitSignature>,
}

/// Why a certificate does not decide a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A signature of somebody who does not validate at that height.
    #[error("{0} is no validator's consensus key")]
    Stranger(String),
    /// Two signatures of one validator, or they do not stand in order.
    #[error("the signature of {0} is out of order or stands twice")]
    Order(String),
    /// A signature that is not one of this precommit.
    #[error("the signature of {0} does not verify")]
    Signature(String),
    /// Not more than two thirds of the validators.
    #[error("{signed} validators signed, {needed} are needed")]
    TooFew {
        /// Validators in it.
        signed: usize,
        /// The fewest that decide.
        needed: usize,
    },
}

impl Certificate {
    /// The certificate of a block that one validator decides by itself.
    #[must_use]
    pub fn of_one(header: &Header, key: &SigningKey) -> Self {
        let validator = key.verifying_key().to_bytes();
        let signature = Self::precommit(header, 0, validator).sign(key);
        Self { round: 0, signatures: vec![CommitSignature { validator, signature }] }
    }

    fn precommit(header: &Header, round: u32, validator: [u8; 32]) -> Vote {
        Vote {
            ledger: header.ledger,
            kind: VoteKind::Precommit,
            height: header.height,
            round,
            block: Some(header.hash()),
            validator,
        }
    }

    /// Checks that more than two thirds of `validators` decided on the block of
    /// this header. The header itself is checked elsewhere.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(
        &self,
        header: &Header,
        validators: &ValidatorSet,
    ) -> Result<(), CertificateError> {
        let mut before = None;
        for CommitSignature { validator, signature } in &self.signatures {
            let name = || hex::encode(validator);
            if before.is_some_and(|before| before >= validator) {
                return Err(CertificateError::Order(name()));
            }
            before = Some(validator);
            if validators.by_consensus_key(validator).is_none() {
                return Err(CertificateError::Stranger(name()));
            }
            if !Self::precommit(header, self.round, *validator).is_signed(signature) {
                return Err(CertificateError::Signature(name()));
            }
        }
        let (signed, needed) = (self.signatures.len(), validators.quorum());
        if signed < needed {
            return Err(CertificateError::TooFew { signed, needed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        membership::{Validator, cosigner_name},
        testing::key,
        transparency::{Cosigner, LogSigner},
    };

    fn header() -> Header {
        let digest = Digest::of(b"something");
        Header {
            ledger: LedgerId::from_digest(digest),
            height: 7,
            previous: digest,
            time_ms: 1,
            proposer: [1; 32],
            tree_size: 9,
            tree_root: digest,
            effects: digest,
            validators: digest,
        }
    }

    /// Four validators, whose consensus keys come from the seeds 1 to 4.
    fn validators() -> ValidatorSet {
        let origin = "test.example/votes".parse().unwrap();
        let of = |seed: u8| {
            let member = format!("member-{seed}").parse().unwrap();
            let cosigner = Cosigner::new(cosigner_name(&origin, &member), key(seed + 20)).unwrap();
            Validator {
                consensus: key(seed).verifying_key(),
                log: LogSigner::new(&origin, key(seed + 10)).unwrap().verifier_key().clone(),
                cosigner: cosigner.verifier_key().clone(),
                member,
                peer: None,
                engine_address: None,
                gossip_address: None,
            }
        };
        ValidatorSet::new((1..=4).map(of).collect())
    }

    fn certificate(header: &Header, seeds: &[u8]) -> Certificate {
        let mut signatures: Vec<_> = seeds
            .iter()
            .flat_map(|seed| Certificate::of_one(header, &key(*seed)).signatures)
            .collect();
        signatures.sort_by_key(|signature| signature.validator);
        Certificate { round: 0, signatures }
    }

    #[test]
    fn three_of_four_decide_and_two_do_not() {
        let (header, validators) = (header(), validators());
        for seeds in [&[1, 2, 3][..], &[2, 3, 4], &[1, 2, 3, 4]] {
            assert_eq!(certificate(&header, seeds).verify(&header, &validators), Ok(()));
        }
        let error = certificate(&header, &[1, 4]).verify(&header, &validators);
        assert_eq!(error, Err(CertificateError::TooFew { signed: 2, needed: 3 }));
        let none = Certificate { round: 0, signatures: Vec::new() };
        assert!(none.verify(&header, &validators).is_err());
    }

    #[test]
    fn a_validator_counts_once_and_a_stranger_never() {
        let (header, validators) = (header(), validators());
        let mut twice = certificate(&header, &[1, 2]);
        twice.signatures.push(twice.signatures[1]);
        assert!(matches!(twice.verify(&header, &validators), Err(CertificateError::Order(_))));
        let stranger = certificate(&header, &[1, 2, 9]);
        let error = stranger.verify(&header, &validators);
        assert!(matches!(error, Err(CertificateError::Stranger(_))), "{error:?}");
    }

    #[test]
    fn a_signature_counts_for_its_own_vote_only() {
        let (header, validators) = (header(), validators());
        let sound = certificate(&header, &[1, 2, 3]);
        let fails = |certificate: &Certificate, header: &Header| {
            let error = certificate.verify(header, &validators);
            assert!(matches!(error, Err(CertificateError::Signature(_))), "{error:?}");
        };
        fails(&sound, &Header { height: 8, ..header });
        fails(&sound, &Header { tree_size: 10, ..header });
        fails(&sound, &Header { ledger: LedgerId::from_digest(Digest::of(b"other")), ..header });
        fails(&Certificate { round: 1, ..sound.clone() }, &header);
        let mut exchanged = sound.clone();
        let other = exchanged.signatures[1].signature;
        exchanged.signatures[0].signature = other;
        fails(&exchanged, &header);
        // A prevote, and a vote for no block, are no precommits of this block.
        for vote in [
            Vote { kind: VoteKind::Prevote, ..Certificate::precommit(&header, 0, [0; 32]) },
            Vote { block: None, ..Certificate::precommit(&header, 0, [0; 32]) },
        ] {
            let mut other = sound.clone();
            let signature = other.signatures.first_mut().unwrap();
            let seed = (1..=4)
                .find(|seed| key(*seed).verifying_key().to_bytes() == signature.validator)
                .unwrap();
            signature.signature = Vote { validator: signature.validator, ..vote }.sign(&key(seed));
            fails(&other, &header);
        }
    }
}
