//! Where a node keeps its ledger. No other module names sled.
//!
//! ```text
//! blocks/          the truth: every block with its certificate, in order, in checksummed frames
//! nodes.flat       the Merkle tree's nodes, 32 bytes each         ┐ derived from the blocks,
//! positions.flat   where each record stands in blocks/, 8 bytes   │ rebuilt by reindex
//! heights.flat     where each block stands, 24 bytes              ┘
//! index/           sled: the acknowledged head, checkpoints, postings, the state of the rules
//! pending/         records that were acknowledged but are in no block yet
//! proposals/       blocks that are being voted on
//! clean            written by an orderly stop, removed at the next start
//! lock             held by the process that has the store open
//! ```
//!
//! Order of writes for a block: frame, flush, flat files, (root recomputed from
//! the stored bytes, checkpoint signed and kept by the node as the last one it
//! cosigned), then head and checkpoint in one sled batch, flush. Only then is
//! anything acknowledged. A process that is killed in between leaves at most one
//! whole frame after the head, which the next start brings in again, or part of
//! one, which it cuts off.

mod codec;
mod duplicates;
mod error;
mod evidence;
mod flat;
mod members;
mod open;
mod pending;
mod proposals;
mod query;
mod read;
mod reindex;
mod scrub;
mod segments;
mod state;
mod subjects;
mod terms;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use bincode::{Decode, Encode};
use tlog_tiles::stored_hash_count;

pub use duplicates::{DocumentUse, Duplicate, Duplicates};
pub use error::StoreError;
pub use evidence::EVIDENCE_MAX;
pub use pending::{Pending, PendingBatch};
pub use proposals::{Proposals, StoredProposal};
pub use query::{Filter, Page};
pub use scrub::Progress;
pub use subjects::Subject;

use self::{
    flat::Flat,
    segments::{Frame, Segments, sync_folder},
    terms::{Term, TermKind, Terms},
};
use crate::{
    chain::{Applied, Block, Certificate, CommitSignature, HEADER_BYTES, Header, Tip},
    digest::{Digest, RecordId},
    insurance::state::StateChanges,
    membership::{Membership, MembershipState},
    record::Record,
    transparency::{Checkpoint, SignedCheckpoint, tree},
};

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// sled's page cache, in bytes.
    pub cache_bytes: u64,
    /// The size after which a new block file is started, in bytes.
    pub segment_bytes_max: u64,
    /// To look at a store as it is: nothing is cut off, the mark of an orderly
    /// stop stays, and nothing can be appended. Only pages of derived files that
    /// never reached the disk are written again, and sled keeps its own house.
    pub inspect: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 64 * 1024 * 1024, segment_bytes_max: 256 * 1024 * 1024, inspect: false }
    }
}

/// A block as it stands in a frame.
#[derive(Debug, Encode, Decode)]
struct StoredBlock {
    header: [u8; HEADER_BYTES],
    records: Vec<Vec<u8>>,
    round: u32,
    /// Consensus keys and signatures of the certificate.
    signatures: Vec<([u8; 32], [u8; 64])>,
}

impl StoredBlock {
    fn certificate(&self) -> Certificate {
        let signatures = self
            .signatures
            .iter()
            .map(|&(validator, signature)| CommitSignature { validator, signature })
            .collect();
        Certificate { round: self.round, signatures }
    }
}

/// The acknowledged end of the ledger.
#[derive(Debug, Clone, Encode, Decode)]
struct Head {
    height: u64,
    hash: [u8; 32],
    tree_size: u64,
    /// Log position after the last block.
    end: u64,
}

/// How far postings and flat files are known to be on disk.
#[derive(Debug, Clone, Encode, Decode)]
struct Indexed {
    height: u64,
    tree_size: u64,
    end: u64,
}

/// A ledger on disk. Reading and committing may go on at the same time; one
/// thread commits.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// What the genesis says.
    membership: Membership,
    blocks: Segments,
    nodes: Flat<32>,
    positions: Flat<8>,
    heights: Flat<24>,
    database: sled::Db,
    terms: Terms,
    /// The end of what is final: what readers see.
    tip: RwLock<Arc<Tip>>,
    /// The end of what is decided and durable.
    decided: RwLock<Arc<Tip>>,
    /// Log position after the last committed block; only the committing thread writes it.
    end: RwLock<u64>,
    unfinished: Option<(Block, Certificate)>,
    inspect: bool,
    #[expect(dead_code, reason = "held for its lock, which goes with it")]
    lock: File,
}

/// A block that is durable but not yet acknowledged, with what to sign for it.
#[derive(Debug)]
pub struct Appended {
    block: Block,
    tip: Tip,
    end: u64,
    checkpoint: Checkpoint,
    changes: StateChanges,
}

impl Appended {
    /// The checkpoint after this block. Its root was recomputed from the bytes
    /// that are on disk.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Block {
        &self.block
    }
}

/// One record on the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place among all records, from 0.
    pub index: u64,
    /// The block it stands in.
    pub height: u64,
    /// The time of that block, in milliseconds since the Unix epoch.
    pub block_time_ms: u64,
    /// The record.
    pub record: Record,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Its place among all records, from 0.
    pub index: u64,
    /// The block it stands in.
    pub height: u64,
}

struct HeightItem {
    position: u64,
    first_index: u64,
    header_crc: u32,
    count: u32,
}

impl HeightItem {
    fn encode(&self) -> [u8; 24] {
        let mut item = [0; 24];
        item[..8].copy_from_slice(&self.position.to_be_bytes());
        item[8..16].copy_from_slice(&self.first_index.to_be_bytes());
        item[16..20].copy_from_slice(&self.header_crc.to_be_bytes());
        item[20..].copy_from_slice(&self.count.to_be_bytes());
        item
    }

    fn decode(item: [u8; 24]) -> Self {
        let [p, f, c] = *item.as_chunks::<8>().0 else {
            return Self { position: 0, first_index: 0, header_crc: 0, count: 0 };
        };
        let last = u64::from_be_bytes(c);
        Self {
            position: u64::from_be_bytes(p),
            first_index: u64::from_be_bytes(f),
            header_crc: (last >> 32) as u32,
            count: last as u32,
        }
    }
}

/// What follows from a stored block: the bytes of the flat files and the tip after it.
struct Derived {
    nodes: Vec<u8>,
    positions: Vec<u8>,
    height: [u8; 24],
    tip: Tip,
}

impl Derived {
    /// Computes it from the stored bytes and nothing else.
    fn of(
        before: &Tip,
        position: u64,
        stored: &StoredBlock,
        members: MembershipState,
    ) -> Result<Self, StoreError> {
        let header = Header::decode(&stored.header)
            .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
        let mut frontier = before.frontier.clone();
        let mut added = Vec::with_capacity(stored.records.len() * 2);
        for jws in &stored.records {
            let leaf = tree::leaf_hash(&RecordId::of(jws));
            frontier.push_storing(leaf, &mut added).map_err(tree_error)?;
        }
        let nodes = added.iter().flat_map(|node| *node.as_bytes()).collect();
        // The payload starts with the header and the number of records; each
        // record is its length, eight bytes, and its bytes.
        let mut at = Segments::payload_position(position) + HEADER_BYTES as u64 + 8;
        let mut positions = Vec::with_capacity(stored.records.len() * 8);
        for jws in &stored.records {
            positions.extend_from_slice(&at.to_be_bytes());
            at += 8 + jws.len() as u64;
        }
        let item = HeightItem {
            position,
            first_index: before.frontier.size(),
            header_crc: crc32fast::hash(&stored.header),
            count: u32::try_from(stored.records.len()).unwrap_or(u32::MAX),
        };
        let (height, hash, time_ms) = (header.height, header.hash(), header.time_ms);
        let tip = Tip { height, hash, time_ms, frontier, members };
        Ok(Self { nodes, positions, height: item.encode(), tip })
    }

    /// Whether the block's header is the one that follows `before` with these records.
    fn follows(&self, before: &Tip, header: &Header) -> bool {
        header.height == before.height + 1
            && header.previous == before.hash
            && header.tree_size == self.tip.frontier.size()
            && header.tree_root == self.tip.frontier.root()
    }
}

impl Store {
    /// Who is on the ledger for the block after the tip.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.tip().membership().clone()
    }

    /// Who decides on block `height`, and whose keys are in force for it. For a
    /// block after the next one, what is known now.
    #[must_use]
    pub fn membership_at(&self, height: u64) -> Membership {
        self.decided().membership().at(height)
    }

    /// Who decided on the block that holds the last of the first `size` records,
    /// and so whose policy a checkpoint of that size has to satisfy. For a size
    /// that the ledger does not have yet, what is known now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn membership_of_size(&self, size: u64) -> Result<Membership, StoreError> {
        let decided = self.decided();
        if size > decided.frontier.size() {
            return Ok(decided.membership().clone());
        }
        // The empty ledger's checkpoint is signed by those who decide on the first block.
        let height = size.checked_sub(1).map_or(Ok(1), |last| self.height_of(last))?;
        Ok(decided.membership().at(height))
    }

    /// The end of the ledger as far as it is final: a checkpoint that covers it
    /// is published. Readers see nothing beyond.
    #[must_use]
    pub fn tip(&self) -> Arc<Tip> {
        // A poisoned lock still holds a whole tip: it is replaced, never changed.
        self.tip.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The end of the ledger as far as it is decided and durable here: what the
    /// next block follows. It is the tip, or some blocks after it whose
    /// checkpoint lacks cosignatures.
    #[must_use]
    pub fn decided(&self) -> Arc<Tip> {
        self.decided.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// A block that was written but not acknowledged when the process ended.
    /// It is to be appended and committed before anything else.
    #[must_use]
    pub const fn unfinished(&self) -> Option<&(Block, Certificate)> {
        self.unfinished.as_ref()
    }

    /// The store's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a block that [`crate::chain::check`] let pass after the tip, with
    /// the certificate by which it was decided, makes it durable, reads it back and recomputes the root from those bytes.
    ///
    /// # Errors
    /// The disk refuses, or gives back other bytes than were written.
    pub fn append(&self, block: Block, certificate: &Certificate) -> Result<Appended, StoreError> {
        let applied = self.apply(&self.decided(), &block.header, &block.records)?;
        self.append_applied(block, applied, certificate)
    }

    /// As [`Store::append`], where [`crate::chain::build`] or [`crate::chain::check`]
    /// has come to what this very block does after the tip, so that it is not
    /// worked out once more.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn append_applied(
        &self,
        block: Block,
        applied: Applied,
        certificate: &Certificate,
    ) -> Result<Appended, StoreError> {
        let stored = StoredBlock {
            header: block.header.encode(),
            records: block.records.iter().map(|record| record.jws().to_vec()).collect(),
            round: certificate.round,
            signatures: certificate
                .signatures
                .iter()
                .map(|CommitSignature { validator, signature }| (*validator, *signature))
                .collect(),
        };
        if self.inspect {
            return Err(StoreError::ReadOnly);
        }
        let payload = codec::encode("block", &stored)?;
        let position = *self.end.read().map_err(|_| poisoned())?;
        let present = match self.blocks.frame(position)? {
            Frame::Whole(found, _) if found == payload => true,
            Frame::End => false,
            Frame::Whole(..) | Frame::Torn => {
                self.blocks.truncate(position)?;
                false
            }
        };
        let position = if present { position } else { self.blocks.append(&payload)? };
        self.blocks.sync()?;
        drop((stored, payload));

        let Frame::Whole(payload, end) = self.blocks.frame(position)? else {
            return Err(StoreError::damaged("blocks", format!("no frame at {position}")));
        };
        let stored: StoredBlock = codec::decode("block", &payload)?;
        let before = self.decided();
        let Applied { members, changes } = applied;
        let derived = Derived::of(&before, position, &stored, members)?;
        let after = self.write_derived(&before, derived)?;
        if stored.header != block.header.encode() || after.frontier.root() != block.header.tree_root
        {
            return Err(StoreError::damaged(
                "blocks",
                format!("block {} reads back different from what was written", after.height),
            ));
        }
        let checkpoint = Checkpoint {
            origin: self.membership.origin().clone(),
            size: after.frontier.size(),
            root: after.frontier.root(),
        };
        Ok(Appended { block, tip: after, end, checkpoint, changes })
    }

    /// Writes the flat files for the block after `before`, and gives the tip after it.
    fn write_derived(&self, before: &Tip, derived: Derived) -> Result<Tip, StoreError> {
        self.nodes.write(stored_hash_count(before.frontier.size()), &derived.nodes)?;
        self.positions.write(before.frontier.size(), &derived.positions)?;
        self.heights.write(before.height, &derived.height)?;
        Ok(derived.tip)
    }

    /// Takes an appended block as decided: one atomic sled batch, flushed. With
    /// its `checkpoint`, if that is final already, readers see the block from here
    /// on; without, once [`Store::publish`] has a checkpoint that covers it.
    ///
    /// # Errors
    /// sled or the disk refuses.
    pub fn commit(
        &self,
        appended: Appended,
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<Block, StoreError> {
        let Appended { block, tip, end, checkpoint: expected, changes } = appended;
        if checkpoint.is_some_and(|signed| *signed.checkpoint() != expected) {
            return Err(StoreError::Tree("the signed checkpoint is not this block's".to_owned()));
        }
        let first = tip.frontier.size() - block.records.len() as u64;
        self.add_postings(first, &block.records)?;
        let mut batch = sled::Batch::default();
        let head = Head {
            height: tip.height,
            hash: *tip.hash.as_bytes(),
            tree_size: tip.frontier.size(),
            end,
        };
        batch.insert(HEAD, codec::encode("head", &head)?);
        batch.insert(LAYOUT, &[INDEX_LAYOUT]);
        if let Some(checkpoint) = checkpoint {
            batch.insert(&checkpoint_key(head.tree_size)[..], checkpoint.to_bytes());
        }
        state::write(&changes, &mut batch);
        let run = self.terms.prepare_run(head.tree_size, &mut batch)?;
        if run.is_some() {
            self.sync_flat()?;
            let indexed = Indexed { height: head.height, tree_size: head.tree_size, end };
            batch.insert(INDEXED, codec::encode("index head", &indexed)?);
        }
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        if let Some(run) = run {
            self.terms.run_written(run)?;
        }
        let tip = Arc::new(tip);
        let mut last = self.end.write().map_err(|_| poisoned())?;
        *last = end;
        *self.decided.write().map_err(|_| poisoned())? = tip.clone();
        drop(last);
        if checkpoint.is_some() {
            *self.tip.write().map_err(|_| poisoned())? = tip;
        }
        Ok(block)
    }

    /// Keeps a checkpoint that is final and covers decided blocks; readers see
    /// them from here on. Whether it is final is for the caller to know; that it
    /// is the one of the stored blocks is checked here. Gives whether the tip
    /// moved: not by a checkpoint that covers nothing new.
    ///
    /// # Errors
    /// It is not the checkpoint of a decided block, or the disk refuses.
    pub fn publish(&self, signed: &SignedCheckpoint) -> Result<bool, StoreError> {
        let checkpoint = signed.checkpoint();
        if checkpoint.size <= self.tip().frontier.size() {
            return Ok(false);
        }
        if self.decided_checkpoint(checkpoint.size)?.as_ref() != Some(checkpoint) {
            return Err(StoreError::Tree(format!(
                "the checkpoint of {} records is not this ledger's",
                checkpoint.size
            )));
        }
        let tip = self.tip_of_size(checkpoint.size)?;
        self.database.insert(checkpoint_key(checkpoint.size), signed.to_bytes())?;
        self.database.flush()?;
        *self.tip.write().map_err(|_| poisoned())? = Arc::new(tip);
        Ok(true)
    }

    /// Keeps the checkpoint of the ledger before its first record.
    ///
    /// # Errors
    /// sled or the disk refuses.
    pub fn put_first_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<(), StoreError> {
        self.database.insert(checkpoint_key(0), checkpoint.to_bytes())?;
        self.database.flush()?;
        Ok(())
    }

    /// Merges postings, if that is due. To be called now and then from one
    /// thread. Gives whether there may be more to do.
    ///
    /// # Errors
    /// sled fails, or what it holds is damaged.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        self.terms.merge_one()
    }

    /// Stops in order: everything is flushed, and the next start can tell that
    /// nothing is missing.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn close(&self) -> Result<(), StoreError> {
        self.sync_flat()?;
        self.blocks.sync()?;
        self.database.flush()?;
        if self.blocks.end()? != *self.end.read().map_err(|_| poisoned())? {
            // A block was written but not committed: the next start brings it in.
            return Ok(());
        }
        self.write_clean_mark()
    }

    fn sync_flat(&self) -> Result<(), StoreError> {
        self.nodes.sync()?;
        self.positions.sync()?;
        self.heights.sync()
    }

    /// Whole or not at all: a process that is killed here must open again.
    fn write_clean_mark(&self) -> Result<(), StoreError> {
        let unfinished = self.folder.join("clean.new");
        std::fs::write(&unfinished, clean_mark(&self.decided().hash))
            .and_then(|()| File::open(&unfinished)?.sync_all())
            .map_err(StoreError::io("writing", &unfinished))?;
        let path = self.folder.join(CLEAN);
        std::fs::rename(&unfinished, &path).map_err(StoreError::io("writing", &path))?;
        sync_folder(&self.folder)
    }
}

const HEAD: &[u8] = b"h";
/// By what the index was made, beside the head.
const LAYOUT: &[u8] = b"v";
/// A new number where there are new terms: what older blocks lack in the index
/// would be missed in silence.
const INDEX_LAYOUT: u8 = 3;
const INDEXED: &[u8] = b"i";
const CLEAN: &str = "clean";

/// What the file `clean` holds: the hash of the last block, and a line break.
fn clean_mark(head: &Digest) -> String {
    format!("{head}\n")
}

fn checkpoint_key(size: u64) -> [u8; 9] {
    let mut key = [b'c'; 9];
    key[1..].copy_from_slice(&size.to_be_bytes());
    key
}

fn parse_checkpoint(bytes: &[u8]) -> Result<SignedCheckpoint, StoreError> {
    SignedCheckpoint::parse(bytes)
        .map_err(|error| StoreError::damaged("checkpoints (sled)", error.to_string()))
}

fn poisoned() -> StoreError {
    StoreError::damaged("memory", "a thread died while it committed a block")
}

fn tree_error(error: impl std::fmt::Display) -> StoreError {
    StoreError::Tree(error.to_string())
}
