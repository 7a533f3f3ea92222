//! Opening a store: take the lock, check that nothing acknowledged is missing,
//! and write again what is derived and may not have reached the disk.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};

use super::{
    CLEAN, Derived, Flat, Frame, HEAD, Head, INDEX_LAYOUT, INDEXED, Indexed, LAYOUT, Options,
    Segments, Store, StoreError, StoredBlock, Terms, checkpoint_key, clean_mark, codec, poisoned,
    read::NodeReader, segments::sync_folder, terms_of, tree_error,
};
use crate::{
    chain::{Block, BlockError, Certificate, Header, Tip},
    digest::Digest,
    membership::{Membership, MembershipState},
    record::Record,
    transparency::{Checkpoint, SignedCheckpoint, tree::Frontier},
};

/// Parts of the store that [`Store::reindex`] makes again from the blocks.
const DERIVED: [&str; 3] = ["nodes.flat", "positions.flat", "heights.flat"];

/// The folder of sled.
const INDEX: &str = "index";
/// Where [`Store::reindex`] makes it again.
const INDEX_NEW: &str = "index.new";
/// The old one, for the moment in which the new one takes its place.
const INDEX_REPLACED: &str = "index.replaced";

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

    fn open_locked(
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

    /// Removes what can be had again from other nodes: the blocks and everything
    /// derived from them. Records that wait and proposals that may have been voted
    /// for stay. Cut short at any moment, it can be run again.
    ///
    /// # Errors
    /// Another process has the store open, or the system refuses.
    pub fn clear(folder: &Path) -> Result<(), StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io("creating", folder))?;
        let _lock = take_lock(folder)?;
        // The blocks last: without the rest they can be indexed again.
        for name in [INDEX, INDEX_NEW, INDEX_REPLACED, "blocks"] {
            remove_folder(&folder.join(name))?;
        }
        for name in DERIVED.iter().chain(&[CLEAN]) {
            let path = folder.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
            }
        }
        sync_folder(folder)
    }

    /// Opens every file, without a look at what they hold.
    fn open_files(
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
            tip = self.restore_block(&tip, position, &stored)?;
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
    ) -> Result<Tip, StoreError> {
        let header = Header::decode(&stored.header)
            .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
        let derived = Derived::of(before, position, stored)?;
        if header.ledger != self.membership.ledger_id() || !derived.follows(before, &header) {
            return Err(StoreError::damaged(
                "blocks",
                format!("the block at {position} does not follow height {}", before.height),
            ));
        }
        let mut postings = Vec::new();
        for (index, jws) in (before.frontier.size()..).zip(&stored.records) {
            let record = Record::trusted(jws.clone())
                .map_err(|refusal| StoreError::Record { index, refusal })?;
            postings.extend(terms_of(&record).map(|term| (term, index)));
        }
        self.terms.add(postings)?;
        let size = before.frontier.size();
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
    fn cut_off(&self, position: u64) -> Result<(), StoreError> {
        if self.inspect {
            return Ok(());
        }
        tracing::warn!("cutting off a block that was being written when the node ended");
        self.blocks.truncate(position)
    }

    /// Makes everything that is derived from the blocks again: flat files,
    /// head and postings. Published checkpoints are kept where the old index
    /// still holds them and the membership's policy accepts them; for a block
    /// without one, `sign` is asked. What it gives is not verified here.
    /// Before anything is changed or signed, every block's certificate is
    /// verified, and the blocks must lead through `through` and through every
    /// checkpoint that was kept: none may be missing at their end.
    /// `progress` is told the height and records done so far.
    ///
    /// The new index is made beside the old one and takes its place at the end.
    /// Cut short at any moment, it can be run again and loses nothing.
    ///
    /// # Errors
    /// The blocks themselves are damaged or do not lead through `through`, a
    /// checkpoint is missing and not signed again, or the system refuses.
    pub fn reindex(
        folder: &Path,
        membership: Membership,
        options: Options,
        through: Option<&Checkpoint>,
        sign: impl Fn(&Checkpoint) -> Option<SignedCheckpoint>,
        progress: impl FnMut(u64, u64),
    ) -> Result<Self, StoreError> {
        let lock = take_lock(folder)?;
        let index = folder.join(INDEX);
        let making = folder.join(INDEX_NEW);
        let aside = folder.join(INDEX_REPLACED);
        // Both hold checkpoints when an earlier run ended between its renamings.
        let mut kept = checkpoints_of(&aside, options.cache_bytes);
        kept.extend(checkpoints_of(&index, options.cache_bytes));
        let blocks = open_blocks(folder, &membership, options)?;
        check_blocks(&blocks, &membership, through, &mut kept)?;
        drop(blocks);
        remove_folder(&making)?;
        for name in DERIVED.iter().chain(&[CLEAN]) {
            let path = folder.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
            }
        }
        let same_lock = lock.try_clone().map_err(StoreError::io("locking", folder))?;
        let store = Self::open_files(same_lock, folder, INDEX_NEW, membership.clone(), options)?;
        let rebuilt = store.rebuild(&kept, sign, progress);
        // Closes the database, which must not be open under a name that goes.
        drop(store);
        if let Err(error) = rebuilt {
            remove_folder(&making)?;
            return Err(error);
        }
        sync_folder(&making)?;
        let rename = |from: &Path, to: &Path| {
            fs::rename(from, to).map_err(StoreError::io("renaming", from))?;
            sync_folder(folder)
        };
        if index.exists() {
            remove_folder(&aside)?;
            rename(&index, &aside)?;
        }
        rename(&making, &index)?;
        remove_folder(&aside)?;
        Self::open_locked(lock, folder, membership, options)
    }

    /// Fills an empty index and empty flat files from the blocks.
    fn rebuild(
        &self,
        kept: &Checkpoints,
        sign: impl Fn(&Checkpoint) -> Option<SignedCheckpoint>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), StoreError> {
        let mut tip = first_tip(&self.membership);
        let mut position = 0;
        let keep = |tip: &Tip, batch: &mut sled::Batch| {
            let checkpoint = Checkpoint {
                origin: self.membership.origin().clone(),
                size: tip.frontier.size(),
                root: tip.frontier.root(),
            };
            let key = checkpoint_key(checkpoint.size);
            let found = kept.get(&checkpoint.size).cloned().or_else(|| sign(&checkpoint));
            if let Some(signed) = found {
                batch.insert(&key[..], signed.to_bytes());
                return Ok(());
            }
            // Before the first record there may be none; and where several
            // validators cosign, not every block gets one, and the last ones
            // come from other nodes again.
            if checkpoint.size == 0 || tip.membership().at(tip.height).validators().len() > 1 {
                return Ok(());
            }
            Err(StoreError::damaged(
                "checkpoints (sled)",
                format!("no valid one is left for block {} and none could be signed", tip.height),
            ))
        };
        let mut batch = sled::Batch::default();
        keep(&tip, &mut batch)?;
        loop {
            let (payload, next) = match self.blocks.frame(position)? {
                Frame::Whole(payload, next) => (payload, next),
                Frame::End => break,
                Frame::Torn => {
                    self.cut_off(position)?;
                    break;
                }
            };
            let stored: StoredBlock = codec::decode("block", &payload)?;
            tip = self.restore_block(&tip, position, &stored)?;
            position = next;
            keep(&tip, &mut batch)?;
            if let Some(run) = self.terms.prepare_run(tip.frontier.size(), &mut batch)? {
                self.sync_flat()?;
                let indexed =
                    Indexed { height: tip.height, tree_size: tip.frontier.size(), end: position };
                batch.insert(INDEXED, codec::encode("index head", &indexed)?);
                self.database.apply_batch(std::mem::take(&mut batch))?;
                self.terms.run_written(run)?;
                self.terms.merge_one()?;
            }
            progress(tip.height, tip.frontier.size());
        }
        self.sync_flat()?;
        if tip.height > 0 {
            let head = Head {
                height: tip.height,
                hash: *tip.hash.as_bytes(),
                tree_size: tip.frontier.size(),
                end: position,
            };
            batch.insert(HEAD, codec::encode("head", &head)?);
            batch.insert(LAYOUT, &[INDEX_LAYOUT]);
        }
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        Ok(())
    }

    fn sync_flat(&self) -> Result<(), StoreError> {
        self.nodes.sync()?;
        self.positions.sync()?;
        self.heights.sync()
    }
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
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
fn open_sled(path: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
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

fn open_blocks(
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

/// Published checkpoints by their size.
type Checkpoints = BTreeMap<u64, SignedCheckpoint>;

/// The checkpoints an index still holds, as far as they can be read.
fn checkpoints_of(index: &Path, cache_bytes: u64) -> Checkpoints {
    if !index.exists() {
        return Checkpoints::new();
    }
    let read = || {
        let Ok(database) = open_sled(index, cache_bytes) else { return Checkpoints::new() };
        database
            .scan_prefix(b"c")
            // A page that cannot be read would be asked for again and again.
            .map_while(Result::ok)
            .filter_map(|(_, bytes)| SignedCheckpoint::parse(&bytes).ok())
            .map(|signed| (signed.checkpoint().size, signed))
            .collect()
    };
    panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_default()
}

/// Checks that every block was decided by the validators of its height, follows
/// the one before it, and that together they lead through these checkpoints.
/// Drops those of `kept` that the policy of their height does not accept.
fn check_blocks(
    blocks: &Segments,
    membership: &Membership,
    through: Option<&Checkpoint>,
    kept: &mut Checkpoints,
) -> Result<(), StoreError> {
    let damaged = |problem: String| StoreError::damaged("blocks", problem);
    let mut unmet: Vec<u64> = kept.keys().rev().copied().collect();
    let mut met = through.is_none();
    let mut tip = first_tip(membership);
    let mut position = 0;
    loop {
        let (size, root) = (tip.frontier.size(), tip.frontier.root());
        let not_those = |size: u64| {
            damaged(format!("their first {size} records are not those that were cosigned"))
        };
        // Those who decided on this block sign its checkpoint; those of the first
        // block, that of the empty ledger.
        let signers = tip.membership().at(tip.height.max(1));
        while let Some(next) = unmet.pop_if(|next| *next <= size) {
            let Some(signed) = kept.get(&next) else { continue };
            if !signers.policy().check(signed).holds() {
                kept.remove(&next);
            } else if next < size || signed.checkpoint().root != root {
                return Err(not_those(next));
            }
        }
        if let Some(through) = through.filter(|through| through.size == size) {
            if through.root != root {
                return Err(not_those(size));
            }
            met = true;
        }
        let Frame::Whole(payload, next) = blocks.frame(position)? else { break };
        let stored: StoredBlock = codec::decode("block", &payload)?;
        let header = Header::decode(&stored.header).map_err(|error| damaged(error.to_string()))?;
        let height = header.height;
        stored
            .certificate()
            .verify(&header, tip.membership().validators())
            .map_err(|error| BlockError::Certificate { height, error })?;
        let derived = Derived::of(&tip, position, &stored)?;
        if header.ledger != membership.ledger_id() || !derived.follows(&tip, &header) {
            return Err(damaged(format!(
                "the block at {position} does not follow height {}",
                tip.height
            )));
        }
        tip = derived.tip;
        position = next;
    }
    let policy = tip.membership().policy();
    for size in &unmet {
        if kept.get(size).is_some_and(|signed| !policy.check(signed).holds()) {
            kept.remove(size);
        }
    }
    let beyond = unmet.into_iter().filter(|size| kept.contains_key(size)).max();
    let through = through.filter(|_| !met).map(|through| through.size);
    match beyond.max(through) {
        Some(size) => Err(damaged(format!(
            "they end at {} records; a tree of {size} was cosigned",
            tip.frontier.size()
        ))),
        None => Ok(()),
    }
}

/// The tip before the first block.
pub(super) fn first_tip(membership: &Membership) -> Tip {
    Tip::empty(MembershipState::from_genesis(membership.genesis()))
}

pub(super) fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(StoreError::io("removing", folder))?;
    }
    Ok(())
}
