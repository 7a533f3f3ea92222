//! Checking a whole history again, from nothing but its bytes.
//!
//! An audit trusts neither the node that holds the history nor its index: it
//! verifies every signature, every rule, the hash chain, the certificates, the
//! tree and the published checkpoints, and names the first defect. Signatures are verified
//! on all cores; the rest is a single pass beside that.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use rayon::prelude::*;

use crate::{
    chain::{self, Block, BlockError, Certificate, Checked, Header, RawBlock, Tip},
    digest::{Digest, LedgerId, RecordId},
    insurance::state::{Pair, StateError, StateReader},
    limits::BLOCK_BYTES_MAX,
    membership::{Membership, MembershipState},
    record::{Envelope, Record},
    refusal::{Code, Refusal},
    store::{Store, StoreError},
    transparency::{Policy, PolicyFault, SignedCheckpoint, tree},
};

/// Records whose signatures are verified together, at least, unless they have
/// more bytes than [`BATCH_BYTES_MAX`].
const BATCH_RECORDS: usize = 4096;

/// Bytes of records that are held at once; one block more may be added.
const BATCH_BYTES_MAX: usize = 8 * BLOCK_BYTES_MAX;

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
        check_policy(&membership.policy(), since)?;
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

/// A policy that somebody trusts, and what it said so far.
struct Given<'a> {
    policy: &'a Policy,
    /// The validators whose checkpoints are being looked at.
    validators: Digest,
    /// Whether it is word for word the policy of these validators, which every
    /// checkpoint has to satisfy anyway.
    same: bool,
    /// Whether it accepted one of theirs.
    accepts: bool,
    /// The first of theirs that it did not accept.
    refused: Option<(u64, PolicyFault)>,
    /// Whether it accepted one of anybody's.
    accepted: bool,
    /// The first of all that it did not accept.
    first_refused: Option<(u64, PolicyFault)>,
}

impl<'a> Given<'a> {
    const fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            validators: Digest::ZERO,
            same: false,
            accepts: false,
            refused: None,
            accepted: false,
            first_refused: None,
        }
    }

    /// Looks at the checkpoint of a block that the validators of `deciding`
    /// decided on, which has satisfied their policy.
    fn look<E: std::fmt::Display + Send>(
        &mut self,
        deciding: &Membership,
        signed: &SignedCheckpoint,
    ) -> Result<(), Defect<E>> {
        let validators = deciding.validators().hash();
        if self.validators != validators {
            (self.validators, self.accepts, self.refused) = (validators, false, None);
            self.same = self.policy.to_bytes() == deciding.policy().to_bytes();
        }
        if self.same {
            self.accepted = true;
            return Ok(());
        }
        let size = signed.checkpoint().size;
        match self.policy.check(signed).accept() {
            Ok(_) => (self.accepts, self.accepted) = (true, true),
            Err(fault) => {
                self.first_refused.get_or_insert((size, fault.clone()));
                self.refused.get_or_insert((size, fault));
            }
        }
        match self.refused.take_if(|_| self.accepts) {
            Some((size, fault)) => Err(Defect::CheckpointPolicy { size, fault }),
            None => Ok(()),
        }
    }

    fn finish<E: std::fmt::Display + Send>(self) -> Result<(), Defect<E>> {
        match self.first_refused {
            Some((size, fault)) if !self.accepted => Err(Defect::CheckpointPolicy { size, fault }),
            _ => Ok(()),
        }
    }
}

struct Auditor<'a> {
    given: Option<Given<'a>>,
    since: Option<&'a SignedCheckpoint>,
    tip: Tip,
    /// The first 16 bytes of every id, with the height of its block: two records
    /// of one ledger never share them by accident, and a whole id would take
    /// half as much memory again.
    known: HashMap<[u8; 16], u64>,
    /// The state of the rules.
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Published checkpoints that are yet to be met, the next one last.
    checkpoints: Vec<SignedCheckpoint>,
    checkpoints_read: u64,
    checkpoints_held: u64,
    /// Height and size of the last block that no checkpoint has covered so far.
    uncovered: Option<(u64, u64)>,
    signatures: u64,
}

/// A block as far as it could be verified before the blocks in front of it
/// were followed.
struct VerifiedBlock {
    header: Header,
    /// Where its validators are other ones than were known.
    certificate: Option<Certificate>,
    records: Vec<VerifiedRecord>,
}

enum VerifiedRecord {
    Verified(Record),
    /// Its signer or key was not known yet.
    Unknown(Envelope),
}

type VerifiedBlocks = Vec<VerifiedBlock>;

/// Reads the blocks from height `next` on that make a batch.
fn read_batch<H: History>(
    history: &mut H,
    next: &mut u64,
) -> Result<Vec<RawBlock>, Defect<H::Error>> {
    let mut blocks = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    while records < BATCH_RECORDS && bytes < BATCH_BYTES_MAX {
        let Some(block) = history.block(*next).map_err(Defect::Source)? else { break };
        // A source that sends such blocks without end is stopped here.
        if block.records.is_empty() {
            return Err(BlockError::Empty(*next).into());
        }
        records += block.records.len();
        bytes += block.records.iter().map(Vec::len).sum::<usize>();
        *next += 1;
        blocks.push(block);
    }
    Ok(blocks)
}

/// Verifies the records of some blocks on all cores, the first of which stands
/// at `index`, with the keys of a `membership` that some of them may be ahead of.
/// Whether a key is in force, and whether the validators are those of a block's
/// height, is checked when it is followed.
fn verify<E: std::fmt::Display + Send>(
    membership: &Membership,
    blocks: Vec<RawBlock>,
    mut index: u64,
    since_size: u64,
) -> Result<VerifiedBlocks, Defect<E>> {
    let mut flat = Vec::new();
    let mut shape = Vec::new();
    let validators = membership.validators().hash();
    // Few among the records, so they come first and by themselves.
    blocks.par_iter().filter(|block| block.header.validators == validators).try_for_each(
        |RawBlock { header, certificate, .. }| check_certificate(certificate, header, membership),
    )?;
    for RawBlock { header, records, certificate } in blocks {
        let certificate = (header.validators != validators).then_some(certificate);
        shape.push((header, certificate, records.len()));
        for jws in records {
            flat.push((header.height, index, jws));
            index += 1;
        }
    }
    let open = |jws: Vec<u8>, index: u64| {
        let envelope = Envelope::parse(jws)?;
        if index < since_size {
            return Ok(VerifiedRecord::Verified(envelope.trusted()));
        }
        match envelope.clone().verify_at_any_time(membership) {
            Ok(record) => Ok(VerifiedRecord::Verified(record)),
            Err(refusal) if matches!(refusal.code, Code::UnknownMember | Code::UnknownKey) => {
                Ok(VerifiedRecord::Unknown(envelope))
            }
            Err(refusal) => Err(refusal),
        }
    };
    let verified = flat
        .into_par_iter()
        .map(|(height, index, jws)| {
            let id = RecordId::of(&jws);
            open(jws, index).map_err(|refusal| Defect::Record { height, index, id, refusal })
        })
        .collect::<Vec<_>>();
    let mut verified = verified.into_iter();
    shape
        .into_iter()
        .map(|(header, certificate, count)| {
            let records = verified.by_ref().take(count).collect::<Result<_, _>>()?;
            Ok(VerifiedBlock { header, certificate, records })
        })
        .collect()
}

fn check_certificate<E: std::fmt::Display + Send>(
    certificate: &Certificate,
    header: &Header,
    membership: &Membership,
) -> Result<(), Defect<E>> {
    certificate
        .verify(header, membership.validators())
        .map_err(|error| Defect::Block(BlockError::Certificate { height: header.height, error }))
}

impl Auditor<'_> {
    /// Checks that a block follows the ones before it, and its checkpoint.
    fn follow<H: History>(
        &mut self,
        history: &mut H,
        VerifiedBlock { header, certificate, records }: VerifiedBlock,
    ) -> Result<(), Defect<H::Error>> {
        let deciding = self.tip.membership().clone();
        if let Some(certificate) = certificate {
            check_certificate(&certificate, &header, &deciding)?;
        }
        let before = self.tip.frontier.size();
        let records = (before..)
            .zip(records)
            .map(|(index, record)| match record {
                VerifiedRecord::Verified(record) => Ok(record),
                VerifiedRecord::Unknown(envelope) => {
                    let (height, id) = (header.height, envelope.id());
                    envelope.verify_at_any_time(&deciding).map_err(|refusal| Defect::Record {
                        height,
                        index,
                        id,
                        refusal,
                    })
                }
            })
            .collect::<Result<_, _>>()?;
        let block = Block { header, records };
        let known = &self.known;
        let reader = Replayed { values: &self.values, known, history: RefCell::new(&mut *history) };
        let is_known = |id: &RecordId| Ok::<_, FollowError>(known.contains_key(&short(id)));
        let checked = chain::check(&self.tip, &reader, &block, is_known);
        let Checked { tip, changes } = checked.map_err(|error| match error {
            FollowError::Block(error) => Defect::Block(error),
            FollowError::State(error) => Defect::State(error),
        })?;
        if let Some(signed) = self.since
            && let since = signed.checkpoint()
            && (before + 1..=tip.frontier.size()).contains(&since.size)
        {
            check_policy(&deciding.policy(), signed)?;
            // The kept checkpoint may stand inside this block's records only if
            // it was never one of this history's.
            let mut frontier = self.tip.frontier.clone();
            for record in block.records.iter().take((since.size - before) as usize) {
                frontier.push(tree::leaf_hash(&record.id())).map_err(BlockError::Tree)?;
            }
            let computed = frontier.root();
            if computed != since.root {
                let (size, published) = (since.size, since.root);
                return Err(Defect::CheckpointRoot { size, published, computed });
            }
        }
        for (key, value) in changes.iter() {
            match value {
                Some(value) => self.values.insert(key.to_vec(), value.to_vec()),
                None => self.values.remove(key),
            };
        }
        let height = block.header.height;
        self.known.extend(block.records.iter().map(|record| (short(&record.id()), height)));
        self.tip = tip;
        self.check_checkpoint(history, &deciding)
    }

    /// Checks the checkpoint of the last block, on which `deciding` decided.
    fn check_checkpoint<H: History>(
        &mut self,
        history: &mut H,
        deciding: &Membership,
    ) -> Result<(), Defect<H::Error>> {
        if self.checkpoints.is_empty() {
            self.read_checkpoints(history)?;
        }
        let size = self.tip.frontier.size();
        let next = self.checkpoints.pop_if(|signed| signed.checkpoint().size <= size);
        let Some(signed) = next else {
            // Where several validators cosign, a node may learn of one checkpoint
            // for several blocks; the last one must be covered.
            if deciding.validators().len() == 1 {
                return Err(Defect::CheckpointMissing { height: self.tip.height, size });
            }
            self.uncovered = Some((self.tip.height, size));
            return Ok(());
        };
        let checkpoint = signed.checkpoint();
        if checkpoint.size < size {
            return Err(Defect::CheckpointSize { size: checkpoint.size });
        }
        let computed = self.tip.frontier.root();
        if checkpoint.root != computed {
            return Err(Defect::CheckpointRoot { size, published: checkpoint.root, computed });
        }
        check_policy(&deciding.policy(), &signed)?;
        if let Some(given) = &mut self.given {
            given.look(deciding, &signed)?;
        }
        self.checkpoints_held += 1;
        self.uncovered = None;
        Ok(())
    }

    fn read_checkpoints<H: History>(&mut self, history: &mut H) -> Result<(), Defect<H::Error>> {
        if self.checkpoints.is_empty() {
            let mut read =
                history.checkpoints_after(self.checkpoints_read).map_err(Defect::Source)?;
            if let Some(last) = read.last() {
                self.checkpoints_read = last.checkpoint().size;
            }
            read.reverse();
            self.checkpoints = read;
        }
        Ok(())
    }
}

fn short(id: &RecordId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Tells a block that may not follow from a history that cannot be read.
enum FollowError {
    Block(BlockError),
    State(StateError),
}

impl From<BlockError> for FollowError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl From<StateError> for FollowError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// The state as the audit itself came to it.
struct Replayed<'a, H> {
    values: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    known: &'a HashMap<[u8; 16], u64>,
    history: RefCell<&'a mut H>,
}

impl<H: History> StateReader for Replayed<'_, H> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.values.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = self.values.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Its block is read again: few records correct another one. Whatever the
    /// history gives, its bytes hash to the id or are not the record.
    fn record(&self, id: &RecordId) -> Result<Option<Record>, StateError> {
        let Some(height) = self.known.get(&short(id)) else { return Ok(None) };
        let block = self.history.borrow_mut().block(*height);
        let block = block.map_err(|error| StateError::new(Unread(error.to_string())))?;
        let jws =
            block.and_then(|block| block.records.into_iter().find(|jws| RecordId::of(jws) == *id));
        let Some(jws) = jws else {
            let problem = format!("block {height} no longer holds record {id}");
            return Err(StateError::new(Unread(problem)));
        };
        Record::trusted(jws).map(Some).map_err(StateError::new)
    }
}

/// A block cannot be read again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unread(String);

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
