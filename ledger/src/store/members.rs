//! Who is on the ledger, from what is stored: the state of a tip is never
//! written, it follows from the few records of the family `member`.

#[cfg(test)]
mod tests;

use super::{Store, StoreError, StoredBlock, Term, TermKind};
use crate::{
    chain::{Header, Tip},
    insurance::{
        Family, RecordType,
        rules::{BlockState, Effects},
        state::{ApplyError, EmptyState},
    },
    membership::MembershipState,
    record::Record,
};

/// The state after a stored block that follows `before`. Its records are read
/// only where the header says that they change something.
pub(super) fn members_after(
    before: &Tip,
    header: &Header,
    stored: &StoredBlock,
) -> Result<MembershipState, StoreError> {
    if header.effects == Effects::default().digest() {
        return Ok(before.members.clone());
    }
    let mut state = BlockState::without_rules(
        header.height,
        header.time_ms,
        before.frontier.size(),
        &before.members,
        &EmptyState,
    );
    for (index, jws) in (before.frontier.size()..).zip(&stored.records) {
        let record = Record::trusted(jws.clone())
            .map_err(|refusal| StoreError::Record { index, refusal })?;
        state.apply(&record).map_err(|error| not_applied(index, error))?;
    }
    if state.effects_digest() != header.effects {
        return Err(StoreError::damaged(
            "blocks",
            format!("what block {} changes is not what its header says", header.height),
        ));
    }
    Ok(state.into_members())
}

fn not_applied(index: u64, error: ApplyError) -> StoreError {
    match error {
        ApplyError::Refused(refusal) => StoreError::Record { index, refusal },
        ApplyError::State(error) => error.into(),
    }
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
        let mut block: Option<BlockState<'_>> = None;
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
                    block.insert(BlockState::without_rules(
                        stands_in,
                        time_ms,
                        index,
                        &members,
                        &EmptyState,
                    ))
                }
            };
            state.apply(&record).map_err(|error| not_applied(index, error))?;
        }
        Ok(block.map_or(members, BlockState::into_members))
    }
}
