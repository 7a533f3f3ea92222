//! Following blocks one after the other: rules, hash chain, tree and checkpoints.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{
    Defect, History,
    batch::{VerifiedBlock, VerifiedRecord, check_certificate},
    check_kept, check_policy,
    given::Given,
};
use crate::{
    chain::{self, Block, BlockError, Checked, Tip},
    digest::RecordId,
    insurance::state::{Pair, StateError, StateReader},
    membership::Membership,
    record::Record,
    transparency::{SignedCheckpoint, tree},
};

pub(super) struct Auditor<'a> {
    pub(super) given: Option<Given<'a>>,
    pub(super) since: Option<&'a SignedCheckpoint>,
    pub(super) tip: Tip,
    /// The first 16 bytes of every id, with the height of its block: two records
    /// of one ledger never share them by accident, and a whole id would take
    /// half as much memory again.
    pub(super) known: HashMap<[u8; 16], u64>,
    /// The state of the rules.
    pub(super) values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Published checkpoints that are yet to be met, the next one last.
    pub(super) checkpoints: Vec<SignedCheckpoint>,
    pub(super) checkpoints_read: u64,
    pub(super) checkpoints_held: u64,
    /// Height and size of the last block that no checkpoint has covered so far.
    pub(super) uncovered: Option<(u64, u64)>,
    pub(super) signatures: u64,
}

impl Auditor<'_> {
    /// Checks that a block follows the ones before it, and its checkpoint.
    pub(super) fn follow<H: History>(
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
            check_kept(&deciding.policy(), signed)?;
            // The kept checkpoint may stand inside this block's records only if
            // it was never one of this history's.
            let mut frontier = self.tip.frontier.clone();
            for record in block.records.iter().take((since.size - before) as usize) {
                frontier.push(tree::leaf_hash(&record.id())).map_err(BlockError::Tree)?;
            }
            let computed = frontier.root();
            if computed != since.root {
                let (since, kept) = (since.size, since.root);
                return Err(Defect::KeptRoot { since, kept, computed });
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

    pub(super) fn read_checkpoints<H: History>(
        &mut self,
        history: &mut H,
    ) -> Result<(), Defect<H::Error>> {
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
