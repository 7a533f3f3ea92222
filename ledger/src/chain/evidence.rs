//! Proof that a validator contradicted itself: two votes, or two proposals, of
//! one step that name different blocks. Both signatures together can only come
//! from its key, so anybody can check the evidence with docs/FORMATS.md alone.

use bincode::{Decode, Encode};

use super::{ProposalSigned, Vote, VoteKind};
use crate::{
    digest::{Digest, LedgerId},
    membership::ValidatorSet,
};

/// One of the two contradicting statements: the block, none for a vote for no
/// block, and the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    /// Hash of the block's header.
    pub block: Option<[u8; 32]>,
    /// The earlier round in which more than two thirds prevoted for it, as a
    /// proposal says.
    pub valid_round: Option<u32>,
    /// The signature.
    pub signature: [u8; 64],
}

/// In what a validator contradicted itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Step {
    /// It proposed two blocks.
    Propose,
    /// It prevoted twice.
    Prevote,
    /// It precommitted twice.
    Precommit,
}

impl Step {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        }
    }
}

/// Two statements of one validator that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Evidence {
    /// The consensus key of the validator.
    pub validator: [u8; 32],
    /// The step.
    pub step: Step,
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// The one with the smaller signature first, so that evidence has one form.
    pub statements: [Statement; 2],
}

impl Evidence {
    /// Evidence of two statements.
    #[must_use]
    pub fn new(
        validator: [u8; 32],
        step: Step,
        (height, round): (u64, u32),
        mut statements: [Statement; 2],
    ) -> Self {
        statements.sort_by_key(|statement| statement.signature);
        Self { validator, step, height, round, statements }
    }

    /// The bytes that were signed for one of the statements.
    #[must_use]
    pub fn signed_bytes(&self, ledger: LedgerId, statement: &Statement) -> Vec<u8> {
        let block = statement.block.map(Digest::from_bytes);
        match self.vote_kind() {
            Some(kind) => self.vote(ledger, kind, block).encode().to_vec(),
            None => self.proposal(ledger, statement).encode().to_vec(),
        }
    }

    /// Whether a validator of `validators` signed both statements, which
    /// exclude each other.
    #[must_use]
    pub fn holds(&self, ledger: LedgerId, validators: &ValidatorSet) -> bool {
        let [first, second] = &self.statements;
        let excluding = first.block != second.block || first.valid_round != second.valid_round;
        let signed = |statement: &Statement| {
            let block = statement.block.map(Digest::from_bytes);
            match self.vote_kind() {
                Some(kind) => self.vote(ledger, kind, block).is_signed(&statement.signature),
                None => {
                    block.is_some()
                        && self.proposal(ledger, statement).is_signed(&statement.signature)
                }
            }
        };
        validators.by_consensus_key(&self.validator).is_some()
            && excluding
            && signed(first)
            && signed(second)
    }

    const fn vote_kind(&self) -> Option<VoteKind> {
        match self.step {
            Step::Propose => None,
            Step::Prevote => Some(VoteKind::Prevote),
            Step::Precommit => Some(VoteKind::Precommit),
        }
    }

    const fn vote(&self, ledger: LedgerId, kind: VoteKind, block: Option<Digest>) -> Vote {
        let Self { height, round, validator, .. } = *self;
        Vote { ledger, kind, height, round, block, validator }
    }

    fn proposal(&self, ledger: LedgerId, statement: &Statement) -> ProposalSigned {
        ProposalSigned {
            ledger,
            height: self.height,
            round: self.round,
            block: statement.block.map_or(Digest::ZERO, Digest::from_bytes),
            valid_round: statement.valid_round,
            validator: self.validator,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{Ledger, key};

    fn double(step: Step, blocks: [Option<Digest>; 2]) -> (Evidence, LedgerId, ValidatorSet) {
        let membership = Ledger::new("evidence.example/quittance").membership;
        let ledger = membership.ledger_id();
        let validator = membership.validators().iter().next().unwrap().consensus.to_bytes();
        let statement = |block: Option<Digest>| {
            let signature = match step {
                Step::Propose => ProposalSigned {
                    ledger,
                    height: 5,
                    round: 1,
                    block: block.unwrap_or(Digest::ZERO),
                    valid_round: None,
                    validator,
                }
                .sign(&key(101)),
                Step::Prevote | Step::Precommit => Vote {
                    ledger,
                    kind: if step == Step::Prevote {
                        VoteKind::Prevote
                    } else {
                        VoteKind::Precommit
                    },
                    height: 5,
                    round: 1,
                    block,
                    validator,
                }
                .sign(&key(101)),
            };
            Statement { block: block.map(|hash| *hash.as_bytes()), valid_round: None, signature }
        };
        let statements = blocks.map(statement);
        (
            Evidence::new(validator, step, (5, 1), statements),
            ledger,
            membership.validators().clone(),
        )
    }

    #[test]
    fn two_statements_that_exclude_each_other_are_evidence_of_either_order() {
        let (one, other) = (Some(Digest::of(b"one")), Some(Digest::of(b"other")));
        for step in [Step::Propose, Step::Prevote, Step::Precommit] {
            let (evidence, ledger, validators) = double(step, [one, other]);
            assert!(evidence.holds(ledger, &validators), "{step:?}");
            assert_eq!(double(step, [other, one]).0, evidence);
        }
        let (nil, ledger, validators) = double(Step::Prevote, [one, None]);
        assert!(nil.holds(ledger, &validators));
    }

    #[test]
    fn nobody_is_accused_by_what_they_did_not_sign_twice() {
        let (one, other) = (Some(Digest::of(b"one")), Some(Digest::of(b"other")));
        let (same, ledger, validators) = double(Step::Precommit, [one, one]);
        assert!(!same.holds(ledger, &validators));
        let (evidence, ..) = double(Step::Precommit, [one, other]);
        for change in [
            |evidence: &mut Evidence| evidence.height += 1,
            |evidence: &mut Evidence| evidence.round += 1,
            |evidence: &mut Evidence| evidence.step = Step::Prevote,
            |evidence: &mut Evidence| evidence.validator = key(7).verifying_key().to_bytes(),
            |evidence: &mut Evidence| evidence.statements[1].signature[0] ^= 1,
        ] {
            let mut forged = evidence.clone();
            change(&mut forged);
            assert!(!forged.holds(ledger, &validators));
        }
    }
}
