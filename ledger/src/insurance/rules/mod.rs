//! What the history of a ledger may look like: the last of the three stages of
//! checking a block (envelope → structure → rules).
//!
//! Rules are a pure function of state, record and block time, so that every
//! validator, every replay and every auditor decides the same. The rules about
//! one record and its time stand here; those between records each in the room of
//! what they are about. They read the state through a [`BlockState`], and what
//! they change there is added to its [`Effects`].

mod case;
mod ceiling;
mod claim;
mod claim_end;
mod contract;
mod corrections;
mod deductible;
mod documents;
mod figures;
mod item;
mod ladder;
mod payment;
mod preauthorisation;
mod settlement;
mod signature;
mod spending;
mod statement;
mod tally;
#[cfg(test)]
pub(super) mod tests;
mod time;

pub use claim::POLICYHOLDER;
pub(crate) use claim::opener_of;
pub(crate) use deductible::CLAIM_FREE;
pub use statement::{PaidFigures, StatementFigures, statement_figures};
pub(crate) use time::{TIME_ZONE, time_zone_of_insurer};

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{
    Data, Family,
    state::{ApplyError, Overlay, StateChanges, StateReader},
};
use crate::{
    digest::{Digest, RecordId},
    limits::{FUTURE_MS_MAX, LATE_AFTER_MS, OCCURRED_MS_MIN},
    membership::{At, Backdating, Membership, MembershipState},
    record::Record,
    refusal::{Code, Refusal},
};

/// Every change a block makes to the state, in order.
///
/// The header carries their digest, so that nodes that disagree about a rule
/// notice before they vote. Only the digest is kept: a block may change one large
/// value thousands of times.
#[derive(Debug, Clone)]
pub struct Effects {
    hasher: Sha256,
    count: u64,
    #[cfg(test)]
    changes: Vec<Vec<u8>>,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            hasher: Sha256::new_with_prefix(b"quittance-effects\x01"),
            count: 0,
            #[cfg(test)]
            changes: Vec::new(),
        }
    }
}

/// The kind of a change of the state; those below it are steps of the membership.
const STATE_CHANGE: u8 = 0x10;

impl Effects {
    /// SHA-256 over the changes (docs/FORMATS.md, "Effects").
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = self.hasher.clone();
        hasher.update(self.count.to_be_bytes());
        Digest::from_bytes(hasher.finalize().into())
    }

    /// Takes in a change; its parts stand one after the other.
    fn add(&mut self, parts: &[&[u8]]) {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        self.hasher.update(length.to_be_bytes());
        for part in parts {
            self.hasher.update(part);
        }
        self.count = self.count.saturating_add(1);
        #[cfg(test)]
        self.changes.push(parts.concat());
    }
}

/// The state while the records of one block are taken in, one after the other.
#[derive(Debug, Clone)]
pub struct BlockState<'a> {
    at: At,
    /// Who decides on this block, and with which keys its records are signed.
    deciding: Membership,
    /// What follows from the records so far.
    members: MembershipState,
    /// None where nobody will ask.
    effects: Option<Effects>,
    state: Overlay<'a>,
    /// The index that the next record gets in the log.
    next_index: u64,
    /// The records so far, for those that correct one of them.
    records: HashMap<RecordId, Record>,
    /// Whether the rules between records hold.
    ruled: bool,
}

impl<'a> BlockState<'a> {
    /// Before the first record of block `height`, whose time is `time_ms`;
    /// that record gets `first_index` in the log. `members` and `reader` are
    /// the state after the block before it.
    #[must_use]
    pub fn new(
        height: u64,
        time_ms: u64,
        first_index: u64,
        members: &MembershipState,
        reader: &'a dyn StateReader,
    ) -> Self {
        Self {
            at: At { height, time_ms },
            deciding: members.membership().clone(),
            members: members.clone(),
            effects: Some(Effects::default()),
            state: Overlay::new(reader),
            next_index: first_index,
            records: HashMap::new(),
            ruled: true,
        }
    }

    /// As [`BlockState::new`], but without the rules between records: only keys,
    /// times and the membership are looked at. For measuring what rules cost;
    /// no ledger is kept this way.
    #[must_use]
    pub fn without_rules(
        height: u64,
        time_ms: u64,
        first_index: u64,
        members: &MembershipState,
        reader: &'a dyn StateReader,
    ) -> Self {
        Self { ruled: false, ..Self::new(height, time_ms, first_index, members, reader) }
    }

    /// Decides whether `record` may stand next in the block, and takes in what
    /// it changes. That the key was in force when the record came does not
    /// suffice: it may have waited while the key was revoked.
    ///
    /// # Errors
    /// The rule that refuses it; such a record changes nothing. Or a state that
    /// cannot be read, after which nothing of the block can be decided.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        let Self { at, deciding, members, effects, state, .. } = self;
        deciding.signing_key(record.signer(), record.key_id())?;
        check_time(record, at.time_ms, deciding.genesis().backdating)?;
        // A record of the future that breaks a rule as well is never acceptable, so
        // the rule is what its signer is told.
        let future = check_not_of_the_future(record, at.time_ms);
        if !self.ruled || record.payload().record_type.family() == Family::Member {
            future.clone()?;
        }
        let mut note = |step: crate::membership::Step<'_>| {
            if let Some(effects) = effects {
                effects.add(&[&step.encode()]);
            }
        };
        match &record.payload().data {
            Data::MemberProposed(data) => match data.change() {
                Some(change) => {
                    members.propose(*at, record.id(), record.signer(), change, &mut note)?;
                }
                None => {
                    let detail = "data is incomplete";
                    return Err(Refusal::of_field(Code::Malformed, "data", detail).into());
                }
            },
            Data::MemberApproved(data) => {
                let proposal = data.proposal.id();
                members.approve(*at, deciding, proposal, record.signer(), &mut note)?;
            }
            _ if self.ruled => {
                let decided = case::decide(record, deciding, &self.records, self.next_index, state);
                if let Err(error) = decided.and_then(|()| Ok(future?)) {
                    state.discard();
                    return Err(error);
                }
                state.commit(|key, value| {
                    if let Some(effects) = effects {
                        add_change(effects, key, value);
                    }
                })?;
                self.records.insert(record.id(), record.clone());
            }
            _ => {}
        }
        self.next_index = self.next_index.saturating_add(1);
        Ok(())
    }

    /// SHA-256 over what the records so far have changed.
    #[must_use]
    pub fn effects_digest(&self) -> Digest {
        self.effects.as_ref().map_or_else(|| Effects::default().digest(), Effects::digest)
    }

    /// What the records so far have changed, for the test vectors.
    #[cfg(test)]
    pub(crate) fn changes(&self) -> &[Vec<u8>] {
        self.effects.as_ref().map_or(&[], |effects| &effects.changes)
    }

    /// Who is on the ledger after the block.
    #[must_use]
    pub fn into_members(self) -> MembershipState {
        self.members
    }

    /// Who is on the ledger after the block, and what else it changed.
    #[must_use]
    pub fn into_parts(self) -> (MembershipState, StateChanges) {
        (self.members, self.state.into_changes())
    }
}

/// What a block state decides of records, where no block is made of them yet: it
/// does not digest what they change.
#[derive(Debug, Clone)]
pub struct Judge<'a>(BlockState<'a>);

impl<'a> Judge<'a> {
    /// As [`BlockState::new`].
    #[must_use]
    pub fn new(
        height: u64,
        time_ms: u64,
        first_index: u64,
        members: &MembershipState,
        reader: &'a dyn StateReader,
    ) -> Self {
        let state = BlockState::new(height, time_ms, first_index, members, reader);
        Self(BlockState { effects: None, ..state })
    }

    /// As [`BlockState::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        self.0.apply(record)
    }
}

/// A changed value as the effects digest covers it (docs/FORMATS.md, "Effects").
fn add_change(effects: &mut Effects, key: &[u8], value: Option<&[u8]>) {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (there, value) = value.map_or((0, &[][..]), |value| (1, value));
    effects.add(&[&[STATE_CHANGE], &length, key, &[there], value]);
}

/// Bounds what a record says of time by the time of its block.
fn check_time(record: &Record, block_time_ms: u64, backdating: Backdating) -> Result<(), Refusal> {
    let block_time_ms = i128::from(block_time_ms);
    let occurred_ms = i128::from(record.payload().occurred_at.as_millisecond());
    if occurred_ms < i128::from(OCCURRED_MS_MIN) {
        let occurred_at = record.payload().occurred_at;
        let detail = format!("{occurred_at} is before 1900, longer ago than any ledger counts");
        return Err(Refusal::of_field(Code::Backdated, "occurred_at", detail));
    }
    if let Backdating::Limited { age_ms_max } = backdating
        && occurred_ms < block_time_ms - i128::from(age_ms_max)
    {
        return Err(Refusal::of_field(
            Code::Backdated,
            "occurred_at",
            format!(
                "{} is longer ago than this ledger allows ({backdating}); its time is {}",
                record.payload().occurred_at,
                display_ms(block_time_ms)
            ),
        ));
    }
    if let Some(expires_at) = record.payload().expires_at
        && block_time_ms > i128::from(expires_at.as_millisecond())
    {
        return Err(Refusal::of_field(
            Code::Expired,
            "expires_at",
            format!(
                "the record was to be recorded by {expires_at}; the ledger's time is {}",
                display_ms(block_time_ms)
            ),
        ));
    }
    Ok(())
}

fn check_not_of_the_future(record: &Record, block_time_ms: u64) -> Result<(), Refusal> {
    let block_time_ms = i128::from(block_time_ms);
    let occurred_ms = i128::from(record.payload().occurred_at.as_millisecond());
    if occurred_ms <= block_time_ms + i128::from(FUTURE_MS_MAX) {
        return Ok(());
    }
    Err(Refusal::of_field(
        Code::OccurredInFuture,
        "occurred_at",
        format!(
            "{} is more than two minutes later than the ledger's time, {}",
            record.payload().occurred_at,
            display_ms(block_time_ms)
        ),
    ))
}

/// Whether the record came so long after what it tells that views show it as `late`.
#[must_use]
pub fn is_late(record: &Record, block_time_ms: u64) -> bool {
    let occurred_ms = i128::from(record.payload().occurred_at.as_millisecond());
    i128::from(block_time_ms) - occurred_ms > i128::from(LATE_AFTER_MS)
}

fn display_ms(time_ms: i128) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| jiff::Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(|| format!("{time_ms} ms"), |time| time.to_string())
}
