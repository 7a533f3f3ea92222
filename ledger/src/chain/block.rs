//! Building the next block and checking one that somebody proposes.

use std::collections::HashSet;

use super::{Certificate, CertificateError, Header};
use crate::{
    digest::{Digest, RecordId},
    insurance::{
        rules::BlockState,
        state::{ApplyError, EmptyState, StateChanges, StateError, StateReader},
    },
    limits::{BLOCK_BYTES_MAX, RECORD_OVERHEAD_BYTES},
    membership::{Membership, MembershipState},
    record::Record,
    refusal::Refusal,
    transparency::tree::{self, Frontier, TreeError},
};

/// The end of a chain: all that is needed to build or check the block after it.
#[derive(Debug, Clone)]
pub struct Tip {
    /// Height of the last block; 0 before the first.
    pub height: u64,
    /// Hash of its header; zeros before the first.
    pub hash: Digest,
    /// Its time, in milliseconds since the Unix epoch; 0 before the first.
    pub time_ms: u64,
    /// The right edge of the tree over all records so far.
    pub frontier: Frontier,
    /// Who is on the ledger, and which changes are proposed.
    pub members: MembershipState,
}

impl Tip {
    /// The tip of a ledger without a block; `members` is what its genesis says.
    #[must_use]
    pub fn empty(members: MembershipState) -> Self {
        let frontier = Frontier::default();
        Self { height: 0, hash: Digest::ZERO, time_ms: 0, frontier, members }
    }

    /// Who is on the ledger for the block after this one.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.members.membership()
    }
}

/// A header with records as they are stored and sent: nothing is verified yet.
#[derive(Debug, Clone)]
pub struct RawBlock {
    /// What the block commits to.
    pub header: Header,
    /// The JWS bytes of its records, in order.
    pub records: Vec<Vec<u8>>,
    /// The precommits by which it was decided.
    pub certificate: Certificate,
}

/// A header with the verified records it commits to.
#[derive(Debug, Clone)]
pub struct Block {
    /// What it commits to.
    pub header: Header,
    /// Its records, in order.
    pub records: Vec<Record>,
}

/// Why a block may not follow a tip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A header field is not what this tip and membership ask for.
    #[error("block {height}: {field} is {is}, expected {expected}")]
    Header {
        /// The block's height.
        height: u64,
        /// The header field.
        field: &'static str,
        /// What it holds.
        is: String,
        /// What it should hold.
        expected: String,
    },
    /// A block without records.
    #[error("block {0} holds no record")]
    Empty(u64),
    /// Larger than [`BLOCK_BYTES_MAX`].
    #[error("block {height} holds {bytes} bytes of records; at most {BLOCK_BYTES_MAX} are allowed")]
    TooLarge {
        /// The block's height.
        height: u64,
        /// What its records take.
        bytes: usize,
    },
    /// A record that is on the ledger already, or twice in this block.
    #[error("block {height} holds record {id} again")]
    Duplicate {
        /// The block's height.
        height: u64,
        /// The record.
        id: RecordId,
    },
    /// A record that the rules refuse.
    #[error("block {height}, record {id}: {refusal}")]
    Record {
        /// The block's height.
        height: u64,
        /// The record.
        id: RecordId,
        /// Why it is refused.
        refusal: Refusal,
    },
    /// The validators did not decide on it.
    #[error("block {height}: its certificate: {error}")]
    Certificate {
        /// The block's height.
        height: u64,
        /// What is wrong.
        error: CertificateError,
    },
    /// The tree cannot hold more.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What the rules need to know cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What [`build`] made of the waiting records.
#[derive(Debug)]
pub struct Built {
    /// The next block; none when no record was left to put in.
    pub block: Option<Block>,
    /// Records that can no longer be taken, with the reason.
    pub refused: Vec<(RecordId, Refusal)>,
    /// Records that are on the ledger already.
    pub known: Vec<RecordId>,
    /// What the block does to the ledger.
    pub applied: Applied,
}

/// What a block does to the ledger besides that its records are on it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Who is on the ledger after it.
    pub members: MembershipState,
    /// What it changes in the state.
    pub changes: StateChanges,
}

impl From<BlockState<'_>> for Applied {
    fn from(state: BlockState<'_>) -> Self {
        let (members, changes) = state.into_parts();
        Self { members, changes }
    }
}

/// What follows from a block that [`check`] let pass.
#[derive(Debug)]
pub struct Checked {
    /// The chain's end once it is in.
    pub tip: Tip,
    /// What it changes in the state.
    pub changes: StateChanges,
}

impl Checked {
    /// What the block does to the ledger.
    #[must_use]
    pub fn into_applied(self) -> Applied {
        Applied { members: self.tip.members, changes: self.changes }
    }
}

/// The time of the next block: `now_ms`, or just after the block before it when
/// the clock has gone backwards, so that block times always rise.
#[must_use]
pub const fn next_time_ms(tip: &Tip, now_ms: u64) -> u64 {
    if now_ms > tip.time_ms { now_ms } else { tip.time_ms.saturating_add(1) }
}

/// Makes the block that follows `tip` from `waiting`, in order, until it is full.
///
/// `reader` is the state after `tip`, and `is_known` tells whether a record is
/// on the ledger already.
///
/// # Errors
/// `proposer` does not validate, such as one whose keys were replaced; or those
/// of `reader` and `is_known`.
pub fn build<E: From<BlockError> + From<StateError>>(
    tip: &Tip,
    reader: &dyn StateReader,
    proposer: [u8; 32],
    now_ms: u64,
    waiting: impl IntoIterator<Item = Record>,
    is_known: impl FnMut(&RecordId) -> Result<bool, E>,
) -> Result<Built, E> {
    let time_ms = next_time_ms(tip, now_ms);
    let first_index = tip.frontier.size();
    let state = BlockState::new(tip.height + 1, time_ms, first_index, &tip.members, reader);
    build_in(state, tip, proposer, time_ms, waiting, is_known)
}

/// As [`build`], with none of the rules between records. No other node takes such
/// a block; it is for measuring what the rules cost.
///
/// # Errors
/// As [`build`].
#[doc(hidden)]
pub fn build_without_rules<E: From<BlockError> + From<StateError>>(
    tip: &Tip,
    proposer: [u8; 32],
    now_ms: u64,
    waiting: impl IntoIterator<Item = Record>,
    is_known: impl FnMut(&RecordId) -> Result<bool, E>,
) -> Result<Built, E> {
    let time_ms = next_time_ms(tip, now_ms);
    let state = BlockState::without_rules(tip.height + 1, time_ms, 0, &tip.members, &EmptyState);
    build_in(state, tip, proposer, time_ms, waiting, is_known)
}

fn build_in<E: From<BlockError> + From<StateError>>(
    mut state: BlockState<'_>,
    tip: &Tip,
    proposer: [u8; 32],
    time_ms: u64,
    waiting: impl IntoIterator<Item = Record>,
    mut is_known: impl FnMut(&RecordId) -> Result<bool, E>,
) -> Result<Built, E> {
    check_proposer(tip, &proposer)?;
    let (mut block, mut refused, mut known) = (None, Vec::new(), Vec::new());
    let mut records = Vec::new();
    let mut ids = HashSet::new();
    let mut bytes = 0;
    let mut frontier = tip.frontier.clone();
    let membership = tip.membership();
    for record in waiting {
        let id = record.id();
        let cost = cost_bytes(&record);
        if bytes + cost > BLOCK_BYTES_MAX {
            break;
        }
        if is_known(&id)? || !ids.insert(id) {
            known.push(id);
            continue;
        }
        match state.apply(&record) {
            Ok(()) => {
                frontier.push(tree::leaf_hash(&id)).map_err(BlockError::Tree)?;
                bytes += cost;
                records.push(record);
            }
            Err(ApplyError::Refused(refusal)) => refused.push((id, refusal)),
            Err(ApplyError::State(error)) => return Err(error.into()),
        }
    }
    if !records.is_empty() {
        let header = Header {
            ledger: membership.ledger_id(),
            height: tip.height + 1,
            previous: tip.hash,
            time_ms,
            proposer,
            tree_size: frontier.size(),
            tree_root: frontier.root(),
            effects: state.effects_digest(),
            validators: membership.validators().hash(),
        };
        block = Some(Block { header, records });
    }
    Ok(Built { block, refused, known, applied: state.into() })
}

/// Checks that `block` may follow `tip`. Its records are verified already (the
/// envelope and structure stages made them [`Record`]s); this decides on the
/// header, on duplicates, on the rules, on whether each key is in force at this
/// height, and on the tree root.
///
/// The clock of the checking node is not asked here: a replay of old blocks
/// must decide as the first check did.
///
/// # Errors
/// The first thing that is wrong, which names the block and the field or
/// record; or whatever `reader`, the state after `tip`, or `is_known` fails with.
pub fn check<E: From<BlockError> + From<StateError>>(
    tip: &Tip,
    reader: &dyn StateReader,
    block: &Block,
    mut is_known: impl FnMut(&RecordId) -> Result<bool, E>,
) -> Result<Checked, E> {
    let Header { height, time_ms, .. } = block.header;
    let expect = |field: &'static str, is: String, expected: String| {
        if is == expected {
            Ok(())
        } else {
            Err(BlockError::Header { height, field, is, expected })
        }
    };
    let membership = tip.membership();
    expect("height", height.to_string(), (tip.height + 1).to_string())?;
    expect("ledger", block.header.ledger.to_string(), membership.ledger_id().to_string())?;
    expect("previous", block.header.previous.to_string(), tip.hash.to_string())?;
    let validators = membership.validators();
    expect("validators", block.header.validators.to_string(), validators.hash().to_string())?;
    if time_ms <= tip.time_ms {
        let expected = format!("later than {}", tip.time_ms);
        let is = time_ms.to_string();
        return Err(BlockError::Header { height, field: "time_ms", is, expected }.into());
    }
    check_proposer(tip, &block.header.proposer)?;
    if block.records.is_empty() {
        return Err(BlockError::Empty(height).into());
    }
    let bytes = block.records.iter().map(cost_bytes).sum();
    if bytes > BLOCK_BYTES_MAX {
        return Err(BlockError::TooLarge { height, bytes }.into());
    }
    let mut ids = HashSet::with_capacity(block.records.len());
    let mut frontier = tip.frontier.clone();
    let first_index = tip.frontier.size();
    let mut state = BlockState::new(height, time_ms, first_index, &tip.members, reader);
    for record in &block.records {
        let id = record.id();
        if !ids.insert(id) || is_known(&id)? {
            return Err(BlockError::Duplicate { height, id }.into());
        }
        match state.apply(record) {
            Ok(()) => {}
            Err(ApplyError::Refused(refusal)) => {
                return Err(BlockError::Record { height, id, refusal }.into());
            }
            Err(ApplyError::State(error)) => return Err(error.into()),
        }
        frontier.push(tree::leaf_hash(&id)).map_err(BlockError::Tree)?;
    }
    expect("tree_size", block.header.tree_size.to_string(), frontier.size().to_string())?;
    expect("tree_root", block.header.tree_root.to_string(), frontier.root().to_string())?;
    expect("effects", block.header.effects.to_string(), state.effects_digest().to_string())?;
    let (members, changes) = state.into_parts();
    let tip = Tip { height, hash: block.header.hash(), time_ms, frontier, members };
    Ok(Checked { tip, changes })
}

fn check_proposer(tip: &Tip, proposer: &[u8; 32]) -> Result<(), BlockError> {
    if tip.membership().validators().by_consensus_key(proposer).is_some() {
        return Ok(());
    }
    Err(BlockError::Header {
        height: tip.height.saturating_add(1),
        field: "proposer",
        is: hex::encode(proposer),
        expected: "a validator's consensus key".to_owned(),
    })
}

/// Whether a block of this header may hold the records with these ids: false
/// where the header, which follows `tip`, commits to others. Bytes that only
/// bear a block's header say nothing about the block.
#[must_use]
pub fn commits_to(tip: &Tip, header: &Header, ids: impl IntoIterator<Item = RecordId>) -> bool {
    if header.previous != tip.hash {
        // Whatever its records are, it does not follow.
        return true;
    }
    let mut frontier = tip.frontier.clone();
    ids.into_iter().all(|id| frontier.push(tree::leaf_hash(&id)).is_ok())
        && frontier.size() == header.tree_size
        && frontier.root() == header.tree_root
}

/// What a record takes of a block's [`BLOCK_BYTES_MAX`].
fn cost_bytes(record: &Record) -> usize {
    record.jws().len() + RECORD_OVERHEAD_BYTES
}
