//! The engine's evidence of misbehaviour in the ledger's form.

use arc_malachitebft_app::types::{
    MisbehaviorEvidence,
    core::{NilOrVal, SignedProposal, SignedVote, VoteType},
};
use quittance_ledger::chain::{Evidence, Statement, Step};

use crate::engine::context::Context;

/// Each pair of statements that exclude each other.
pub fn of(misbehavior: &MisbehaviorEvidence<Context>) -> Vec<Evidence> {
    let votes = misbehavior.votes.iter().flat_map(|(_, pairs)| pairs).filter_map(of_votes);
    let proposals =
        misbehavior.proposals.iter().flat_map(|(_, pairs)| pairs).filter_map(of_proposals);
    votes.chain(proposals).collect()
}

fn of_votes((first, second): &(SignedVote<Context>, SignedVote<Context>)) -> Option<Evidence> {
    let statement = |signed: &SignedVote<Context>| Statement {
        block: match signed.message.value {
            NilOrVal::Nil => None,
            NilOrVal::Val(hash) => Some(*hash.0.as_bytes()),
        },
        valid_round: None,
        signature: signed.signature.0,
    };
    let step = match first.message.kind {
        VoteType::Prevote => Step::Prevote,
        VoteType::Precommit => Step::Precommit,
    };
    let place = (first.message.height.0, first.message.round.as_u32()?);
    let statements = [statement(first), statement(second)];
    Some(Evidence::new(first.message.validator.0, step, place, statements))
}

fn of_proposals(
    (first, second): &(SignedProposal<Context>, SignedProposal<Context>),
) -> Option<Evidence> {
    let statement = |signed: &SignedProposal<Context>| Statement {
        block: Some(*signed.message.value.0.as_bytes()),
        valid_round: signed.message.pol_round.as_u32(),
        signature: signed.signature.0,
    };
    let place = (first.message.height.0, first.message.round.as_u32()?);
    let statements = [statement(first), statement(second)];
    Some(Evidence::new(first.message.proposer.0, Step::Propose, place, statements))
}
