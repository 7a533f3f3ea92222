//! Checking a whole history again, from nothing but its bytes.
//!
//! An audit trusts neither the node that holds the history nor its index: it
//! verifies every signature, every rule, the hash chain, the certificates, the
//! tree and the published checkpoints, and names the first defect. Signatures are verified
//! on all cores; the rest is a single pass beside that.

mod batch;
mod follow;
mod given;

use std::collections::{BTreeMap, HashMap};

use self::{
    batch::{VerifiedBlocks, read_batch, verify},
    follow::Auditor,
    given::Given,
};
use crate::{
    chain::{BlockError, RawBlock, Tip},
    digest::{Digest, LedgerId, RecordId},
    insurance::state::StateError,
    membership::{Membership, MembershipState},
    refusal::Refusal,
    store::{Store, StoreError},
    transparency::{Policy, PolicyFault, SignedCheckpoint},
};

/// Where an audit reads a history from. It ends at one height for as long as it
/// is read, even when the ledger grows meanwhile.
pub trait History {
    /// Why it cannot be read.
    type Error: std::fmt::Display + Send;

    /// The block of that height with its records' bytes; none after the last.
    ///
    /// # Errors
    /// The history cannot be read.
    fn block(&mut self, height: u64) -> Result<Option<RawBlock>, Self::Error>;

    /// Every published checkpoint of a size above `size`, in order, or a part of
    /// them; none when there are no more.
    ///
    /// # Errors
    /// The history cannot be read.
    fn checkpoints_after(&mut self, size: u64) -> Result<Vec<SignedCheckpoint>, Self::Error>;
}

/// The first thing that is wrong with a history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Defect<E: std::fmt::Display + Send> {
    /// The history cannot be read.
    #[error("{0}")]
    Source(E),
    /// A record that no member signed, or that is malformed.
    #[error("block {height}, record {id} (index {index}): {refusal}")]
    Record {
        /// The block's height.
        height: u64,
        /// The record's place on the ledger.
        index: u64,
        /// The record.
        id: RecordId,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// A block that may not stand where it does.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// What earlier records lead to cannot be read.
    #[error("the history: {0}")]
    State(StateError),
    /// The tree at a published checkpoint has another root.
    #[error("checkpoint {size}: its root is {published}, the records give {computed}")]
    CheckpointRoot {
        /// The checkpoint's size.
        size: u64,
        /// The root that was published.
        published: Digest,
        /// The root of the records.
        computed: Digest,
    },
    /// A checkpoint at a size where no block ends.
    #[error("checkpoint {size} stands where no block ends")]
    CheckpointSize {
        /// The checkpoint's size.
        size: u64,
    },
    /// A checkpoint that the policy does not accept.
    #[error("checkpoint {size}: {fault}")]
    CheckpointPolicy {
        /// The checkpoint's size.
        size: u64,
        /// What the policy lacks.
        fault: PolicyFault,
    },
    /// A block that no published checkpoint covers; of a lone validator, one
    /// without a checkpoint of its own.
    #[error("block {height} was made final without a checkpoint of size {size}")]
    CheckpointMissing {
        /// The block's height.
        height: u64,
        /// The size it should have.
        size: u64,
    },
    /// The kept checkpoint is not one that the validators of its time signed.
    #[error(
        "the checkpoint of {since} records that was kept: {fault}; that file is damaged or of \
         another ledger, or the history is not the one it was taken from"
    )]
    KeptPolicy {
        /// The kept checkpoint's size.
        since: u64,
        /// What the policy lacks.
        fault: PolicyFault,
    },
    /// The kept checkpoint is of another history.
    #[error(
        "the history is not the one a checkpoint of was kept: after {since} records its root is \
         {computed}, in the kept checkpoint {kept}"
    )]
    KeptRoot {
        /// The kept checkpoint's size.
        since: u64,
        /// Its root.
        kept: Digest,
        /// The root of as many records of this history.
        computed: Digest,
    },
    /// The history is shorter than one that somebody kept a checkpoint of.
    #[error("the history ends at {size} records, before the checkpoint of {since} that was kept")]
    Shorter {
        /// Records in the history.
        size: u64,
        /// The kept checkpoint's size.
        since: u64,
    },
}

/// How far an audit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks checked.
    pub height: u64,
    /// Records checked.
    pub records: u64,
}

/// What an audit found to be in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The ledger.
    pub ledger: LedgerId,
    /// Blocks.
    pub height: u64,
    /// Records.
    pub records: u64,
    /// Records whose signature was verified; fewer than all where the audit
    /// went on from a kept checkpoint.
    pub signatures: u64,
    /// Checkpoints that were published and hold.
    pub checkpoints: u64,
    /// The hash of the last block's header.
    pub head: Digest,
    /// The root over all records.
    pub root: Digest,
}

/// Audits a history. `membership` is what the genesis says; who decides later
/// follows from the records. Each checkpoint must satisfy the policy of those
/// who decided on its block.
///
/// A `policy` that somebody trusts holds beside that: for as long as the same
/// validators decide, it accepts either all checkpoints or, being the policy of
/// another time, none; and it accepts those of one such time at least.
///
/// `since` is a checkpoint that was kept from an earlier audit: what it covers
/// is hashed and must lead to the same root, but its signatures are not
/// verified once more.
///
/// # Errors
/// The first [`Defect`].
pub fn audit<H: History + Send>(
    history: &mut H,
    membership: &Membership,
    policy: Option<&Policy>,
    since: Option<&SignedCheckpoint>,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, Defect<H::Error>> {
    let since_size = since.map_or(0, |since| since.checkpoint().size);
    let mut state = Auditor {
        given: policy.map(Given::new),
        since,
        tip: Tip::empty(MembershipState::from_genesis(membership.genesis())),
        known: HashMap::new(),
        values: BTreeMap::new(),
        checkpoints: Vec::new(),
        checkpoints_read: 0,
        checkpoints_held: 0,
        uncovered: None,
        signatures: 0,
    };
    if let Some(since) = since.filter(|_| since_size == 0) {
        check_kept(&membership.policy(), since)?;
    }
    // While the signatures of one batch are verified, the blocks of the batch
    // before it are followed and the next batch is read.
    let mut next = 1;
    let mut index = 0;
    let mut read = read_batch(history, &mut next)?;
    let mut verified = VerifiedBlocks::new();
    while !(read.is_empty() && verified.is_empty()) {
        let batch = std::mem::take(&mut read);
        let before = std::mem::take(&mut verified);
        let first = index;
        index += batch.iter().map(|block| block.records.len() as u64).sum::<u64>();
        state.signatures += index.saturating_sub(first.max(since_size));
        let membership = state.tip.membership().clone();
        let (now, later) = rayon::join(
            || verify(&membership, batch, first, since_size),
            || {
                for block in before {
                    state.follow(history, block)?;
                    let (height, records) = (state.tip.height, state.tip.frontier.size());
                    progress(Progress { height, records });
                }
                read_batch(history, &mut next)
            },
        );
        // What is wrong with earlier blocks comes first.
        read = later?;
        verified = now?;
    }
    let size = state.tip.frontier.size();
    if size < since_size {
        return Err(Defect::Shorter { size, since: since_size });
    }
    state.read_checkpoints(history)?;
    if let Some(left) = state.checkpoints.pop() {
        return Err(Defect::CheckpointSize { size: left.checkpoint().size });
    }
    if let Some(given) = state.given {
        given.finish()?;
    }
    if let Some((height, size)) = state.uncovered {
        return Err(Defect::CheckpointMissing { height, size });
    }
    Ok(Report {
        ledger: membership.ledger_id(),
        height: state.tip.height,
        records: size,
        signatures: state.signatures,
        checkpoints: state.checkpoints_held,
        head: state.tip.hash,
        root: state.tip.frontier.root(),
    })
}

fn check_policy<E: std::fmt::Display + Send>(
    policy: &Policy,
    signed: &SignedCheckpoint,
) -> Result<(), Defect<E>> {
    let size = signed.checkpoint().size;
    policy
        .check(signed)
        .accept()
        .map(|_| ())
        .map_err(|fault| Defect::CheckpointPolicy { size, fault })
}

fn check_kept<E: std::fmt::Display + Send>(
    policy: &Policy,
    kept: &SignedCheckpoint,
) -> Result<(), Defect<E>> {
    let since = kept.checkpoint().size;
    let accepted = policy.check(kept).accept();
    accepted.map(|_| ()).map_err(|fault| Defect::KeptPolicy { since, fault })
}

/// A history as a store on this machine holds it.
impl History for &Store {
    type Error = StoreError;

    fn block(&mut self, height: u64) -> Result<Option<RawBlock>, StoreError> {
        self.raw_block(height)
    }

    fn checkpoints_after(&mut self, size: u64) -> Result<Vec<SignedCheckpoint>, StoreError> {
        self.checkpoints(size.saturating_add(1), 1000)
    }
}
