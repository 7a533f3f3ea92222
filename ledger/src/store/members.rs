//! Who is on the ledger, from what is stored: the state of a tip is never
//! written, it follows from the few records of the family `member`.

#[cfg(test)]
mod tests;

use super::{Store, StoreError, Term, TermKind};
use crate::{
    chain::{Header, Tip},
    insurance::{
        Family, RecordType,
        rules::BlockState,
        state::{ApplyError, EmptyState},
    },
    membership::MembershipState,
    record::Record,
};

/// The members after a block that follows `before`, whose records are these.
/// What else it changes is not looked at.
pub(super) fn members_after(
    before: &Tip,
    header: &Header,
    records: &[Record],
) -> Result<MembershipState, StoreError> {
    let first = before.frontier.size();
    let mut members = (first..)
        .zip(records)
        .filter(|(_, record)| record.payload().record_type.family() == Family::Member)
        .peekable();
    if members.peek().is_none() {
        return Ok(before.members.clone());
    }
    let mut state = members_only(header.height, header.time_ms, &before.members);
    for (index, record) in members {
        apply(&mut state, index, record)?;
    }
    Ok(state.into_members())
}

fn members_only(height: u64, time_ms: u64, members: &MembershipState) -> BlockState<'static> {
    BlockState::without_rules(height, time_ms, 0, members, &EmptyState)
}

fn apply(state: &mut BlockState<'_>, index: u64, record: &Record) -> Result<(), StoreError> {
    state.apply(record).map_err(|error| match error {
        ApplyError::Refused(refusal) => StoreError::Record { index, refusal },
        ApplyError::State(error) => error.into(),
    })
}

impl Store {
    /// The state after block `height`, which ends a tree of `size` records: that
    /// of `known`, a tip before it or at it, and what the records after it change.
    pub(super) fn members_at(
        &self,
        known: &Tip,
        height: u64,
        size: u64,
    ) -> Result<MembershipState, StoreError> {
        let types: Vec<_> = RecordType::ALL
            .iter()
            .filter(|record_type| record_type.family() == Family::Member)
            .map(|record_type| Term::of(TermKind::Type, record_type.as_str()))
            .collect();
        let mut members = known.members.clone();
        let mut block: Option<BlockState<'static>> = None;
        let mut block_height = 0;
        let mut from = known.frontier.size();
        loop {
            let mut next: Option<u64> = None;
            for term in &types {
                let index = self.terms.next(*term, from)?.filter(|index| *index < size);
                next = match (next, index) {
                    (Some(next), Some(index)) => Some(next.min(index)),
                    (next, index) => next.or(index),
                };
            }
            let Some(index) = next else { break };
            from = index + 1;
            let record = self.record_at(index)?;
            // A term of another kind may look alike.
            if record.payload().record_type.family() != Family::Member {
                continue;
            }
            let stands_in = self.height_of_within(index, height)?;
            if stands_in != block_height {
                if let Some(done) = block.take() {
                    members = done.into_members();
                }
                block_height = stands_in;
            }
            let state = match &mut block {
                Some(state) => state,
                None => {
                    let time_ms = self.header_at(stands_in)?.time_ms;
                    block.insert(members_only(stands_in, time_ms, &members))
                }
            };
            apply(state, index, &record)?;
        }
        Ok(block.map_or(members, BlockState::into_members))
    }
}
