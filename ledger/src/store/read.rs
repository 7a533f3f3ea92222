//! Reading records, blocks, checkpoints and proofs back. Whatever is read is
//! checked against something else that is kept: a record against its leaf, a
//! header and a block against their checksums, a proof against its root.

use tlog_tiles::{Hash, HashReader, stored_hash_index};

use super::{
    Entry, Flat, Frame, HeightItem, Location, Segments, Store, StoreError, StoredBlock, Term,
    TermKind, checkpoint_key, codec, parse_checkpoint, query::term_of_erasure,
};
use crate::{
    chain::{HEADER_BYTES, Header, RawBlock},
    digest::{Digest, RecordId},
    insurance::Data,
    limits::CORRECTION_CHAIN_MAX,
    membership::MemberId,
    record::Record,
    transparency::{
        Checkpoint, Receipt, SignedCheckpoint,
        layout::{self, TilePath},
        tree::{self, Frontier},
    },
};

impl Store {
    /// Where a record stands, if it is on the ledger.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, id: &RecordId) -> Result<Option<Location>, StoreError> {
        self.find_before(id, self.tip().frontier.size())
    }

    /// Whether a record stands in a decided block, final or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_decided(&self, id: &RecordId) -> Result<bool, StoreError> {
        Ok(self.find_decided(id)?.is_some())
    }

    /// Where a record stands in the decided blocks, final or not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find_decided(&self, id: &RecordId) -> Result<Option<Location>, StoreError> {
        self.find_before(id, self.decided().frontier.size())
    }

    fn find_before(&self, id: &RecordId, size: u64) -> Result<Option<Location>, StoreError> {
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

    /// The index of the first record whose id begins with these bytes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find_by_prefix(&self, prefix: [u8; 8]) -> Result<Option<u64>, StoreError> {
        let size = self.tip().frontier.size();
        let term = Term::of_id_prefix(prefix);
        let mut from = 0;
        while let Some(index) = self.terms.next(term, from)?.filter(|index| *index < size) {
            // Terms of other kinds may look alike.
            if self.jws_at(index)?.1.as_bytes().starts_with(&prefix) {
                return Ok(Some(index));
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

    pub(super) fn record_at(&self, index: u64) -> Result<Record, StoreError> {
        let (jws, _) = self.jws_at(index)?;
        Record::trusted(jws).map_err(|refusal| StoreError::Record { index, refusal })
    }

    /// The block that holds record `index`, which must be on the ledger.
    pub(super) fn height_of(&self, index: u64) -> Result<u64, StoreError> {
        self.height_of_within(index, self.decided().height)
    }

    /// The block that holds record `index`, which must stand in one of the first `height`.
    pub(super) fn height_of_within(&self, index: u64, height: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, height);
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
    pub(super) fn header_at(&self, height: u64) -> Result<Header, StoreError> {
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
        if height > self.tip().height {
            return Ok(None);
        }
        self.decided_block(height)
    }

    /// Block `height` with its records as bytes, final or not: for nodes that
    /// have yet to decide on it.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn decided_block(&self, height: u64) -> Result<Option<RawBlock>, StoreError> {
        if height == 0 || height > self.decided().height {
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
        if size > self.tip().frontier.size() {
            return Ok(None);
        }
        self.decided_checkpoint(size)
    }

    /// As [`Store::checkpoint_at`], also where nothing final covers it yet.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn decided_checkpoint(&self, size: u64) -> Result<Option<Checkpoint>, StoreError> {
        let of = |root| Checkpoint { origin: self.membership.origin().clone(), size, root };
        let Some(last) = size.checked_sub(1) else {
            return Ok(Some(of(Frontier::default().root())));
        };
        if size > self.decided().frontier.size() {
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

    /// The size of the newest checkpoint of at most `size` records; 0 without one.
    pub(super) fn published_before(&self, size: u64) -> Result<u64, StoreError> {
        Ok(self.checkpoint_before(size)?.map_or(0, |signed| signed.checkpoint().size))
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
        if index >= size {
            return Err(StoreError::Tree(format!("a tree of {size} has no record {index}")));
        }
        tree::inclusion(index, size, &NodeReader(&self.nodes)).map_err(unreadable_nodes)
    }

    /// The consistency proof between two sizes.
    ///
    /// # Errors
    /// They are not on the ledger or in the wrong order, or the store cannot be read.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, StoreError> {
        self.check_size(to)?;
        if from > to {
            return Err(StoreError::Tree(format!("{from} records are more than {to}")));
        }
        // Every tree holds the empty one, and itself: there is nothing to prove.
        if from == 0 || from == to {
            return Ok(Vec::new());
        }
        tree::consistency(from, to, &NodeReader(&self.nodes)).map_err(unreadable_nodes)
    }

    fn check_size(&self, size: u64) -> Result<(), StoreError> {
        let tip = self.tip().frontier.size();
        if size > tip {
            return Err(StoreError::Tree(format!("the ledger holds {tip} records, not {size}")));
        }
        Ok(())
    }

    /// A tile of tree nodes that the tree is large enough for.
    ///
    /// # Errors
    /// The stored nodes cannot be read.
    pub fn tile(&self, tile: &TilePath) -> Result<Vec<u8>, StoreError> {
        layout::tile_bytes(tile, &NodeReader(&self.nodes)).map_err(unreadable_nodes)
    }

    /// The newest record that corrects `id`, at most
    /// [`CORRECTION_CHAIN_MAX`] corrections on.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn correction_of(&self, id: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let mut newest = None;
        for _ in 0..CORRECTION_CHAIN_MAX {
            match self.next_correction_of(&newest.unwrap_or(*id))? {
                Some((_, next)) => newest = Some(next),
                None => break,
            }
        }
        Ok(newest)
    }

    /// The record that names this one as what it corrects: its index and its id.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn next_correction_of(&self, id: &RecordId) -> Result<Option<(u64, RecordId)>, StoreError> {
        let term = Term::of(TermKind::Corrects, &id.to_string());
        let mut before = self.tip().frontier.size();
        // From the newest back, so that a record with many corrections costs no
        // more than one; only another id with the same term is passed over.
        while let Some(index) = self.terms.previous(term, before)? {
            let record = self.record_at(index)?;
            if record.payload().corrects == Some(*id) {
                return Ok(Some((index, record.id())));
            }
            before = index;
        }
        Ok(None)
    }

    /// The first record by which `member` says that it erased what was private of
    /// the record `id`.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn erasure_of(
        &self,
        id: &RecordId,
        member: &MemberId,
    ) -> Result<Option<Record>, StoreError> {
        let term = term_of_erasure(id, member);
        let size = self.tip().frontier.size();
        let mut from = 0;
        while let Some(index) = self.terms.next(term, from)?.filter(|index| *index < size) {
            let record = self.record_at(index)?;
            if record.signer() == member
                && let Data::DisclosureErased(data) = &record.payload().data
                && data.record.id() == *id
            {
                return Ok(Some(record));
            }
            from = index + 1;
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

/// What was asked for is on the ledger, so it is the stored nodes that fail.
fn unreadable_nodes(error: impl std::fmt::Display) -> StoreError {
    StoreError::damaged("nodes.flat", error.to_string())
}

/// Gives tree arithmetic the nodes on disk.
pub(super) struct NodeReader<'a>(pub(super) &'a Flat<32>);

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
