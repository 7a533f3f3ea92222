//! Where a node keeps its ledger. No other module names sled.
//!
//! ```text
//! blocks/          the truth: every block, in order, in checksummed frames
//! nodes.flat       the Merkle tree's nodes, 32 bytes each         ┐ derived from the blocks,
//! positions.flat   where each record stands in blocks/, 8 bytes   │ rebuilt by reindex
//! heights.flat     where each block stands, 24 bytes              ┘
//! index/           sled: the acknowledged head, checkpoints, postings
//! pending/         records that were acknowledged but are in no block yet
//! clean            written by an orderly stop, removed at the next start
//! lock             held by the process that has the store open
//! ```
//!
//! Order of writes for a block: frame, flush, flat files, (root recomputed from
//! the stored bytes, checkpoint signed), then head and checkpoint in one sled
//! batch, flush. Only then is anything acknowledged. A process that is killed
//! in between leaves at most one whole frame after the head, which the next
//! start brings in again, or part of one, which it cuts off.

mod codec;
mod error;
mod flat;
mod open;
mod pending;
mod query;
mod scrub;
mod segments;
mod terms;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use bincode::{Decode, Encode};
use tlog_tiles::{Hash, HashReader, stored_hash_count, stored_hash_index};

pub use error::StoreError;
pub use pending::{Pending, PendingBatch};
pub use query::{Filter, Page};
pub use scrub::Progress;

use self::{
    flat::Flat,
    segments::{Frame, Segments, sync_folder},
    terms::{Term, TermKind, Terms},
};
use crate::{
    chain::{Block, Certificate, CommitSignature, HEADER_BYTES, Header, RawBlock, Tip},
    digest::{Digest, RecordId},
    membership::Membership,
    record::Record,
    transparency::{Checkpoint, Receipt, SignedCheckpoint, tree},
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
    membership: Membership,
    blocks: Segments,
    nodes: Flat<32>,
    positions: Flat<8>,
    heights: Flat<24>,
    database: sled::Db,
    terms: Terms,
    tip: RwLock<Arc<Tip>>,
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
    fn of(before: &Tip, position: u64, stored: &StoredBlock) -> Result<Self, StoreError> {
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
        let height = HeightItem {
            position,
            first_index: before.frontier.size(),
            header_crc: crc32fast::hash(&stored.header),
            count: u32::try_from(stored.records.len()).unwrap_or(u32::MAX),
        };
        let tip =
            Tip { height: header.height, hash: header.hash(), time_ms: header.time_ms, frontier };
        Ok(Self { nodes, positions, height: height.encode(), tip })
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
    /// Who is on the ledger.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The end of the ledger as far as it is acknowledged.
    #[must_use]
    pub fn tip(&self) -> Arc<Tip> {
        // A poisoned lock still holds a whole tip: it is replaced, never changed.
        self.tip.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
        let before = self.tip();
        let derived = Derived::of(&before, position, &stored)?;
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
        Ok(Appended { block, tip: after, end, checkpoint })
    }

    /// Writes the flat files for the block after `before`, and gives the tip after it.
    fn write_derived(&self, before: &Tip, derived: Derived) -> Result<Tip, StoreError> {
        self.nodes.write(stored_hash_count(before.frontier.size()), &derived.nodes)?;
        self.positions.write(before.frontier.size(), &derived.positions)?;
        self.heights.write(before.height, &derived.height)?;
        Ok(derived.tip)
    }

    /// Acknowledges an appended block with its published checkpoint: one atomic
    /// sled batch, flushed. From here on readers see it.
    ///
    /// # Errors
    /// sled or the disk refuses.
    pub fn commit(
        &self,
        appended: Appended,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Block, StoreError> {
        let Appended { block, tip, end, checkpoint: expected } = appended;
        if *checkpoint.checkpoint() != expected {
            return Err(StoreError::Tree("the signed checkpoint is not this block's".to_owned()));
        }
        let first = tip.frontier.size() - block.records.len() as u64;
        self.terms.add(
            (first..)
                .zip(&block.records)
                .flat_map(|(index, record)| terms_of(record).map(move |term| (term, index))),
        )?;
        let mut batch = sled::Batch::default();
        let head = Head {
            height: tip.height,
            hash: *tip.hash.as_bytes(),
            tree_size: tip.frontier.size(),
            end,
        };
        batch.insert(HEAD, codec::encode("head", &head)?);
        batch.insert(&checkpoint_key(head.tree_size)[..], checkpoint.to_bytes());
        let run = self.terms.prepare_run(head.tree_size, &mut batch)?;
        if run.is_some() {
            self.nodes.sync()?;
            self.positions.sync()?;
            self.heights.sync()?;
            let indexed = Indexed { height: head.height, tree_size: head.tree_size, end };
            batch.insert(INDEXED, codec::encode("index head", &indexed)?);
        }
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        if let Some(run) = run {
            self.terms.run_written(run)?;
        }
        *self.end.write().map_err(|_| poisoned())? = end;
        *self.tip.write().map_err(|_| poisoned())? = Arc::new(tip);
        Ok(block)
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
        self.nodes.sync()?;
        self.positions.sync()?;
        self.heights.sync()?;
        self.blocks.sync()?;
        self.database.flush()?;
        if self.blocks.end()? != *self.end.read().map_err(|_| poisoned())? {
            // A block was written but not committed: the next start brings it in.
            return Ok(());
        }
        self.write_clean_mark()
    }

    /// Whole or not at all: a process that is killed here must open again.
    fn write_clean_mark(&self) -> Result<(), StoreError> {
        let unfinished = self.folder.join("clean.new");
        std::fs::write(&unfinished, clean_mark(&self.tip().hash))
            .and_then(|()| File::open(&unfinished)?.sync_all())
            .map_err(StoreError::io("writing", &unfinished))?;
        let path = self.folder.join(CLEAN);
        std::fs::rename(&unfinished, &path).map_err(StoreError::io("writing", &path))?;
        sync_folder(&self.folder)
    }

    /// Where a record stands, if it is on the ledger.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, id: &RecordId) -> Result<Option<Location>, StoreError> {
        let size = self.tip().frontier.size();
        let leaf = tree::leaf_hash(id);
        let term = Term::of_id(id);
        let mut from = 0;
        while let Some(index) = self.terms.next(term, from)? {
            if index >= size {
                break;
            }
            if self.nodes.get(stored_hash_index(0, index))? == *leaf.as_bytes() {
                return Ok(Some(Location { index, height: self.height_of(index)? }));
            }
            from = index + 1;
        }
        Ok(None)
    }

    /// Whether a record is on the ledger.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn contains(&self, id: &RecordId) -> Result<bool, StoreError> {
        Ok(self.find(id)?.is_some())
    }

    /// The record at `index`.
    ///
    /// # Errors
    /// The store cannot be read, or the record is not what was written.
    pub fn entry(&self, index: u64) -> Result<Option<Entry>, StoreError> {
        if index >= self.tip().frontier.size() {
            return Ok(None);
        }
        let height = self.height_of(index)?;
        let header = self.header_at(height)?;
        Ok(Some(Entry {
            index,
            height,
            block_time_ms: header.time_ms,
            record: self.record_at(index)?,
        }))
    }

    /// The JWS bytes of record `index`, which must be on the ledger, with its id.
    fn jws_at(&self, index: u64) -> Result<(Vec<u8>, RecordId), StoreError> {
        let position = u64::from_be_bytes(self.positions.get(index)?);
        let damaged = |problem: &str| {
            StoreError::damaged("positions.flat or blocks", format!("record {index}: {problem}"))
        };
        let mut length = [0; 8];
        self.blocks.read_exact(position, &mut length)?;
        let length = usize::try_from(u64::from_be_bytes(length))
            .ok()
            .filter(|length| *length <= crate::limits::RECORD_BYTES_MAX)
            .ok_or_else(|| damaged("its length is out of bounds"))?;
        let mut jws = vec![0; length];
        self.blocks.read_exact(position + 8, &mut jws)?;
        let id = RecordId::of(&jws);
        let leaf = self.nodes.get(stored_hash_index(0, index))?;
        if tree::leaf_hash(&id).as_bytes() == &leaf {
            Ok((jws, id))
        } else {
            Err(damaged("its bytes do not hash to the tree's leaf"))
        }
    }

    fn record_at(&self, index: u64) -> Result<Record, StoreError> {
        let (jws, _) = self.jws_at(index)?;
        Record::trusted(jws).map_err(|refusal| StoreError::Record { index, refusal })
    }

    /// The block that holds record `index`, which must be on the ledger.
    fn height_of(&self, index: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.tip().height);
        // The last block whose first record is not after `index`.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if HeightItem::decode(self.heights.get(middle)?).first_index <= index {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low + 1)
    }

    fn height_item(&self, height: u64) -> Result<HeightItem, StoreError> {
        Ok(HeightItem::decode(self.heights.get(height - 1)?))
    }

    /// The header of a block that is on the ledger.
    fn header_at(&self, height: u64) -> Result<Header, StoreError> {
        let item = self.height_item(height)?;
        let mut bytes = [0; HEADER_BYTES];
        self.blocks.read_exact(Segments::payload_position(item.position), &mut bytes)?;
        if crc32fast::hash(&bytes) != item.header_crc {
            return Err(StoreError::damaged("blocks", format!("header {height} is changed")));
        }
        Header::decode(&bytes).map_err(|error| StoreError::damaged("blocks", error.to_string()))
    }

    /// The header of block `height`, with the index of its first record.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn header(&self, height: u64) -> Result<Option<(Header, u64)>, StoreError> {
        if height == 0 || height > self.tip().height {
            return Ok(None);
        }
        Ok(Some((self.header_at(height)?, self.height_item(height)?.first_index)))
    }

    /// The ids of the records `from..to`, which must be on the ledger.
    ///
    /// # Errors
    /// The range is not on the ledger, or the store is damaged.
    pub fn ids(&self, from: u64, to: u64) -> Result<Vec<RecordId>, StoreError> {
        if to > self.tip().frontier.size() {
            return Err(StoreError::Tree(format!("record {to} is not on the ledger")));
        }
        (from..to).map(|index| Ok(self.jws_at(index)?.1)).collect()
    }

    /// Block `height` with its records as bytes.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn raw_block(&self, height: u64) -> Result<Option<RawBlock>, StoreError> {
        if height == 0 || height > self.tip().height {
            return Ok(None);
        }
        let position = self.height_item(height)?.position;
        let Frame::Whole(payload, _) = self.blocks.frame(position)? else {
            return Err(StoreError::damaged("blocks", format!("block {height} is cut off")));
        };
        let stored: StoredBlock = codec::decode("block", &payload)?;
        let header = Header::decode(&stored.header)
            .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
        let certificate = stored.certificate();
        Ok(Some(RawBlock { header, records: stored.records, certificate }))
    }

    /// The checkpoint of the tree over the first `size` records, unsigned, if a
    /// block ends there.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<Checkpoint>, StoreError> {
        let of = |root| Checkpoint { origin: self.membership.origin().clone(), size, root };
        let Some(last) = size.checked_sub(1) else {
            return Ok(Some(of(Tip::empty().frontier.root())));
        };
        if size > self.tip().frontier.size() {
            return Ok(None);
        }
        let header = self.header_at(self.height_of(last)?)?;
        Ok((header.tree_size == size).then(|| of(header.tree_root)))
    }

    /// The newest published checkpoint.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn latest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, StoreError> {
        self.checkpoint_before(self.tip().frontier.size())
    }

    fn checkpoint_before(&self, size: u64) -> Result<Option<SignedCheckpoint>, StoreError> {
        let upper = checkpoint_key(size.saturating_add(1));
        match self.database.get_lt(upper)? {
            Some((key, value)) if key.first() == Some(&b'c') => Ok(Some(parse_checkpoint(&value)?)),
            _ => Ok(None),
        }
    }

    /// The first published checkpoint that covers `size` records.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn checkpoint_covering(&self, size: u64) -> Result<Option<SignedCheckpoint>, StoreError> {
        Ok(self.checkpoints(size, 1)?.into_iter().next())
    }

    /// Published checkpoints from size `from` on, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn checkpoints(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SignedCheckpoint>, StoreError> {
        let tip = self.tip().frontier.size();
        let range = checkpoint_key(from)..=checkpoint_key(tip.max(from));
        self.database.range(range).take(limit).map(|entry| parse_checkpoint(&entry?.1)).collect()
    }

    /// The receipt of record `index`: with the first checkpoint that covers it,
    /// so that a record has one receipt.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn receipt(&self, index: u64) -> Result<Option<Receipt>, StoreError> {
        if index >= self.tip().frontier.size() {
            return Ok(None);
        }
        let Some(checkpoint) = self.checkpoint_covering(index + 1)? else { return Ok(None) };
        let size = checkpoint.checkpoint().size;
        let (jws, id) = self.jws_at(index)?;
        let proof = self.inclusion(index, size)?;
        // A proof that does not hold must never be handed out.
        tree::verify_inclusion(
            &tree::leaf_hash(&id),
            index,
            size,
            &proof,
            &checkpoint.checkpoint().root,
        )
        .map_err(|_| {
            StoreError::damaged("nodes.flat", format!("the proof of record {index} does not hold"))
        })?;
        Ok(Some(Receipt { record: jws.into(), index, proof, checkpoint }))
    }

    /// The inclusion proof of record `index` in the tree of `size` records.
    ///
    /// # Errors
    /// They are not on the ledger, or the store cannot be read.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
        self.check_size(size)?;
        tree::inclusion(index, size, &NodeReader(&self.nodes)).map_err(tree_error)
    }

    /// The consistency proof between two sizes.
    ///
    /// # Errors
    /// They are not on the ledger or in the wrong order, or the store cannot be read.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, StoreError> {
        self.check_size(to)?;
        tree::consistency(from, to, &NodeReader(&self.nodes)).map_err(tree_error)
    }

    fn check_size(&self, size: u64) -> Result<(), StoreError> {
        let tip = self.tip().frontier.size();
        if size > tip {
            return Err(StoreError::Tree(format!("the ledger holds {tip} records, not {size}")));
        }
        Ok(())
    }

    /// Reads the tree's nodes, for tiles.
    #[must_use]
    pub fn nodes(&self) -> impl HashReader + '_ {
        NodeReader(&self.nodes)
    }

    /// The newest record that corrects `id`.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn correction_of(&self, id: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let term = Term::of(TermKind::Corrects, &id.to_string());
        let mut before = self.tip().frontier.size();
        // From the newest back, so that a record with many corrections costs no
        // more than one; only another id with the same term is passed over.
        while let Some(index) = self.terms.previous(term, before)? {
            let record = self.record_at(index)?;
            if record.payload().corrects == Some(*id) {
                return Ok(Some(record.id()));
            }
            before = index;
        }
        Ok(None)
    }

    /// Bytes the store takes on disk.
    ///
    /// # Errors
    /// A file cannot be measured.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        let flat = self.nodes.len()? * 32 + self.positions.len()? * 8 + self.heights.len()? * 24;
        Ok(self.blocks.disk_bytes()? + flat + self.database.size_on_disk()?)
    }
}

const HEAD: &[u8] = b"h";
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

/// What a record is found by.
fn terms_of(record: &Record) -> impl Iterator<Item = Term> + use<> {
    let payload = record.payload();
    let mut terms = vec![
        Term::of_id(&record.id()),
        Term::of(TermKind::Signer, record.signer().as_str()),
        Term::of(TermKind::Type, payload.record_type.as_str()),
    ];
    if let Some(contract) = &payload.contract {
        terms.push(Term::of(TermKind::Contract, &contract.to_string()));
    }
    if let Some(claim) = &payload.claim {
        terms.push(Term::of(TermKind::Claim, &claim.to_string()));
    }
    if let Some(corrected) = &payload.corrects {
        terms.push(Term::of(TermKind::Corrects, &corrected.to_string()));
    }
    for document in &payload.documents {
        terms.push(Term::of(TermKind::Document, &document.commitment.digest().to_string()));
    }
    terms.into_iter()
}

/// Gives tree arithmetic the nodes on disk.
struct NodeReader<'a>(&'a Flat<32>);

impl HashReader for NodeReader<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        indexes
            .iter()
            .map(|index| {
                self.0
                    .get(*index)
                    .map(Hash)
                    .map_err(|error| tlog_tiles::Error::InvalidInput(error.to_string()))
            })
            .collect()
    }
}
