//! Opening a store: take the lock, check that nothing acknowledged is missing,
//! and write again what is derived and may not have reached the disk.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};

use super::{
    CLEAN, Derived, Flat, Frame, HEAD, Head, INDEX_LAYOUT, INDEXED, Indexed, LAYOUT, Options,
    Segments, Store, StoreError, StoredBlock, Terms, clean_mark, codec, members::members_after,
    poisoned, read::NodeReader, segments::sync_folder, state::records_of, tree_error,
};
use crate::{
    chain::{Block, BlockError, Certificate, Header, Tip},
    digest::Digest,
    membership::{Membership, MembershipState},
    record::Record,
    transparency::tree::Frontier,
};

/// The folder of sled.
pub(super) const INDEX: &str = "index";
/// Where [`Store::reindex`] makes it again.
pub(super) const INDEX_NEW: &str = "index.new";
/// The old one, for the moment in which the new one takes its place.
pub(super) const INDEX_REPLACED: &str = "index.replaced";

impl Store {
    /// Opens the store in `folder`, which is created where it is missing.
    ///
    /// # Errors
    /// Another process has it open; it belongs to another ledger; it is damaged
    /// (the error names the file); or the system refuses.
    pub fn open(
        folder: &Path,
        membership: Membership,
        options: Options,
    ) -> Result<Self, StoreError> {
        if !options.inspect {
            fs::create_dir_all(folder).map_err(StoreError::io("creating", folder))?;
        }
        Self::open_locked(take_lock(folder)?, folder, membership, options)
    }

    pub(super) fn open_locked(
        lock: File,
        folder: &Path,
        membership: Membership,
        options: Options,
    ) -> Result<Self, StoreError> {
        for name in [INDEX_NEW, INDEX_REPLACED] {
            if folder.join(name).exists() {
                return Err(StoreError::damaged(
                    name,
                    "a reindex was cut short; run `quittance reindex` again",
                ));
            }
        }
        let store = Self::open_files(lock, folder, INDEX, membership, options)?;
        if !options.inspect {
            // The names of new files and folders, up to the data folder's own.
            sync_folder(&folder.join(INDEX))?;
            sync_folder(folder)?;
            folder.parent().map_or(Ok(()), sync_folder)?;
        }
        store.restore()
    }

    /// Opens every file, without a look at what they hold.
    pub(super) fn open_files(
        lock: File,
        folder: &Path,
        index: &str,
        membership: Membership,
        options: Options,
    ) -> Result<Self, StoreError> {
        let blocks = open_blocks(folder, &membership, options)?;
        let database = open_sled(&folder.join(index), options.cache_bytes)?;
        // The default tree, so that a block and the run it fills are one batch.
        let postings = sled::Tree::clone(&database);
        Ok(Self {
            nodes: Flat::open(folder.join("nodes.flat"))?,
            positions: Flat::open(folder.join("positions.flat"))?,
            heights: Flat::open(folder.join("heights.flat"))?,
            terms: Terms::open(postings)?,
            database,
            folder: folder.to_owned(),
            blocks,
            tip: RwLock::new(Arc::new(first_tip(&membership))),
            decided: RwLock::new(Arc::new(first_tip(&membership))),
            membership,
            end: RwLock::new(0),
            unfinished: None,
            inspect: options.inspect,
            lock,
        })
    }

    fn restore(mut self) -> Result<Self, StoreError> {
        let head = match self.database.get(HEAD)? {
            Some(bytes) => codec::decode("head", &bytes)?,
            None if self.blocks_hold_more_than_one()? => {
                return Err(StoreError::damaged(
                    "index/ (sled)",
                    "the head of the ledger is gone, though blocks/ holds blocks; \
                     `quittance reindex` makes the index again",
                ));
            }
            None => Head { height: 0, hash: [0; 32], tree_size: 0, end: 0 },
        };
        let layout = self.database.get(LAYOUT)?;
        if head.height > 0 && layout.is_none_or(|layout| layout[..] != [INDEX_LAYOUT]) {
            return Err(StoreError::OldIndex);
        }
        let clean = self.check_clean(&head)?;
        let tip = self.rewrite_derived(&head)?;
        self.check_lengths(&tip, clean)?;
        *self.end.write().map_err(|_| poisoned())? = head.end;
        let decided = Arc::new(tip);
        *self.decided.write().map_err(|_| poisoned())? = decided.clone();
        let published = self.published_before(decided.frontier.size())?;
        let tip = if published == decided.frontier.size() {
            decided
        } else {
            Arc::new(self.tip_of_size(published)?)
        };
        *self.tip.write().map_err(|_| poisoned())? = tip;
        self.unfinished = self.take_unfinished(head.end)?;
        Ok(self)
    }

    fn blocks_hold_more_than_one(&self) -> Result<bool, StoreError> {
        Ok(match self.blocks.frame(0)? {
            Frame::Whole(_, next) => matches!(self.blocks.frame(next)?, Frame::Whole(..)),
            Frame::End | Frame::Torn => false,
        })
    }

    /// After an orderly stop, head and blocks are exactly as they were left.
    fn check_clean(&self, head: &Head) -> Result<bool, StoreError> {
        let path = self.folder.join(CLEAN);
        let note = match fs::read(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io("reading", &path)(error)),
        };
        if note != clean_mark(&Digest::from_bytes(head.hash)).as_bytes() {
            return Err(StoreError::damaged(
                "index/ (sled) or clean",
                format!(
                    "the head of the ledger is not the one of the last orderly stop, {:?}",
                    String::from_utf8_lossy(&note)
                ),
            ));
        }
        if self.blocks.end()? != head.end {
            return Err(StoreError::damaged(
                "blocks",
                "they end elsewhere than at the last orderly stop",
            ));
        }
        Ok(true)
    }

    /// Flat files end where the ledger ends: what a killed process wrote beyond
    /// is cut off; after an orderly stop there is nothing beyond.
    fn check_lengths(&self, tip: &Tip, clean: bool) -> Result<(), StoreError> {
        let nodes = tlog_tiles::stored_hash_count(tip.frontier.size());
        let longer = self.nodes.len()? > nodes
            || self.positions.len()? > tip.frontier.size()
            || self.heights.len()? > tip.height;
        if clean && longer {
            return Err(StoreError::damaged(
                "nodes.flat, positions.flat or heights.flat",
                "it is longer than at the last orderly stop",
            ));
        }
        if self.inspect {
            return Ok(());
        }
        self.nodes.truncate(nodes)?;
        self.positions.truncate(tip.frontier.size())?;
        self.heights.truncate(tip.height)?;
        let path = self.folder.join(CLEAN);
        if clean {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
            sync_folder(&self.folder)?;
        }
        Ok(())
    }

    /// Writes flat files and postings again from the last index checkpoint on:
    /// they are not flushed with every block. Gives the tip.
    fn rewrite_derived(&self, head: &Head) -> Result<Tip, StoreError> {
        let indexed = match self.database.get(INDEXED)? {
            Some(bytes) => codec::decode("index head", &bytes)?,
            None => Indexed { height: 0, tree_size: 0, end: 0 },
        };
        if indexed.tree_size != self.terms.indexed()? || indexed.height > head.height {
            return Err(StoreError::damaged(
                "index/ (sled)",
                "the postings end elsewhere than the index head says",
            ));
        }
        let mut tip = self.tip_at(&indexed)?;
        let mut position = indexed.end;
        while position < head.end {
            let Frame::Whole(payload, next) = self.blocks.frame(position)? else {
                return Err(StoreError::damaged(
                    "blocks",
                    format!("they end at {position}; the ledger goes on to {}", head.end),
                ));
            };
            let stored: StoredBlock = codec::decode("block", &payload)?;
            let records = records_of(&tip, &stored)?;
            tip = self.restore_block(&tip, position, &stored, &records)?;
            position = next;
        }
        if tip.height != head.height
            || *tip.hash.as_bytes() != head.hash
            || tip.frontier.size() != head.tree_size
        {
            return Err(StoreError::damaged(
                "blocks or index/ (sled)",
                format!(
                    "the blocks end at height {} ({}), the index at height {} ({})",
                    tip.height,
                    tip.hash,
                    head.height,
                    Digest::from_bytes(head.hash)
                ),
            ));
        }
        Ok(tip)
    }

    /// The tip of the tree over the first `size` records, where a block ends.
    pub(super) fn tip_of_size(&self, size: u64) -> Result<Tip, StoreError> {
        let Some(last) = size.checked_sub(1) else { return Ok(first_tip(&self.membership)) };
        let height = self.height_of(last)?;
        self.tip_at(&Indexed { height, tree_size: size, end: 0 })
    }

    /// The tip at an index checkpoint, from flat files that were flushed with it.
    fn tip_at(&self, indexed: &Indexed) -> Result<Tip, StoreError> {
        if indexed.height == 0 {
            return Ok(first_tip(&self.membership));
        }
        let header = self.header_at(indexed.height)?;
        let frontier =
            Frontier::read(indexed.tree_size, &NodeReader(&self.nodes)).map_err(tree_error)?;
        if header.height != indexed.height || header.tree_root != frontier.root() {
            return Err(StoreError::damaged(
                "nodes.flat",
                format!("its root is not that of block {}", indexed.height),
            ));
        }
        // What is known of a tip from before spares reading again what led there.
        let near = [self.decided(), self.tip()].into_iter().find(|known| {
            known.height <= indexed.height || known.members.changed_height() <= indexed.height
        });
        let members = match near {
            Some(known) if known.height > indexed.height => known.members.clone(),
            Some(known) => self.members_at(&known, indexed.height, indexed.tree_size)?,
            None => {
                let first = first_tip(&self.membership);
                self.members_at(&first, indexed.height, indexed.tree_size)?
            }
        };
        let (height, hash, time_ms) = (header.height, header.hash(), header.time_ms);
        let tip = Tip { height, hash, time_ms, frontier, members };
        if tip.membership().at(height).validators().hash() != header.validators {
            return Err(StoreError::damaged(
                "index/ (sled) or blocks",
                format!("block {height} was decided by other validators than its header says"),
            ));
        }
        Ok(tip)
    }

    /// Writes what is derived from one stored block and checks that it follows.
    pub(super) fn restore_block(
        &self,
        before: &Tip,
        position: u64,
        stored: &StoredBlock,
        records: &[Record],
    ) -> Result<Tip, StoreError> {
        let header = Header::decode(&stored.header)
            .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
        let members = members_after(before, &header, records)?;
        let derived = Derived::of(before, position, stored, members)?;
        if header.ledger != self.membership.ledger_id() || !derived.follows(before, &header) {
            return Err(StoreError::damaged(
                "blocks",
                format!("the block at {position} does not follow height {}", before.height),
            ));
        }
        let size = before.frontier.size();
        self.add_postings(size, records)?;
        self.nodes.restore(tlog_tiles::stored_hash_count(size), &derived.nodes)?;
        self.positions.restore(size, &derived.positions)?;
        self.heights.restore(before.height, &derived.height)?;
        Ok(derived.tip)
    }

    /// A whole block after the head was written but not acknowledged; part of
    /// one is cut off. More than one means that the index lost blocks.
    fn take_unfinished(&self, end: u64) -> Result<Option<(Block, Certificate)>, StoreError> {
        match self.blocks.frame(end)? {
            Frame::End => Ok(None),
            Frame::Torn => {
                self.cut_off(end)?;
                Ok(None)
            }
            Frame::Whole(payload, next) => {
                match self.blocks.frame(next)? {
                    Frame::End => {}
                    Frame::Torn => self.cut_off(next)?,
                    Frame::Whole(..) => {
                        return Err(StoreError::damaged(
                            "index/ (sled)",
                            "it is more than one block behind blocks/; \
                             `quittance reindex` makes it again",
                        ));
                    }
                }
                let stored: StoredBlock = codec::decode("block", &payload)?;
                let header = Header::decode(&stored.header)
                    .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
                let certificate = stored.certificate();
                let decided = self.decided();
                certificate
                    .verify(&header, decided.membership().validators())
                    .map_err(|error| BlockError::Certificate { height: header.height, error })?;
                let first = decided.frontier.size();
                let records = (first..)
                    .zip(stored.records)
                    .map(|(index, jws)| {
                        Record::open(jws, decided.membership())
                            .map_err(|refusal| StoreError::Record { index, refusal })
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Some((Block { header, records }, certificate)))
            }
        }
    }

    /// Drops a block that was being written when the process ended.
    pub(super) fn cut_off(&self, position: u64) -> Result<(), StoreError> {
        if self.inspect {
            return Ok(());
        }
        tracing::warn!("cutting off a block that was being written when the node ended");
        self.blocks.truncate(position)
    }
}

pub(super) fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("opening", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::io("locking", &path)(error)),
    }
}

/// How often, and after which pause, a database that is being closed is tried again.
const CLOSING_TRIES: u32 = 100;
const CLOSING_PAUSE: Duration = Duration::from_millis(10);

/// Opens sled. It panics on some kinds of damage; that is damage, not a bug of ours.
pub(super) fn open_sled(path: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    let open = || {
        sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            // Besides the explicit flush before every acknowledgement: it keeps
            // what sled holds in memory for later small.
            .flush_every_ms(Some(500))
            .mode(sled::Mode::HighThroughput)
            .open()
    };
    // A database that this process has just closed is let go of by sled's own
    // threads a moment later. The folder's lock keeps other processes away.
    let is_closing = |error: &sled::Error| matches!(error, sled::Error::Io(error) if error.to_string().contains("acquire lock"));
    let open = || {
        for _ in 0..CLOSING_TRIES {
            match open() {
                Err(error) if is_closing(&error) => thread::sleep(CLOSING_PAUSE),
                opened => return opened,
            }
        }
        open()
    };
    match panic::catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(StoreError::damaged(
            "index/ (sled)",
            "it cannot be read; `quittance reindex` makes it again from the blocks",
        )),
    }
}

pub(super) fn open_blocks(
    folder: &Path,
    membership: &Membership,
    options: Options,
) -> Result<Segments, StoreError> {
    Segments::open(
        folder.join("blocks"),
        "blocks",
        membership.ledger_id(),
        codec::VALUE_BYTES_MAX as u32,
        options.segment_bytes_max,
    )
}

/// The tip before the first block.
pub(super) fn first_tip(membership: &Membership) -> Tip {
    Tip::empty(MembershipState::from_genesis(membership.genesis()))
}
