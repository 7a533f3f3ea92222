//! Making everything but the blocks again, from the blocks or, with them, from
//! other nodes.

use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Arc,
};

use super::{
    CLEAN, Derived, Frame, HEAD, Head, INDEX_LAYOUT, INDEXED, Indexed, LAYOUT, Options, Segments,
    Store, StoreError, StoredBlock, checkpoint_key, codec,
    members::members_after,
    open::{INDEX, INDEX_NEW, INDEX_REPLACED, first_tip, open_blocks, open_sled, take_lock},
    poisoned,
    segments::{remove_folder, sync_folder},
    state::{self, records_of},
};
use crate::{
    chain::{BlockError, Header, Tip},
    membership::Membership,
    transparency::{Checkpoint, SignedCheckpoint},
};

/// Parts of the store that [`Store::reindex`] makes again from the blocks.
const DERIVED: [&str; 3] = ["nodes.flat", "positions.flat", "heights.flat"];

impl Store {
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
            let records = records_of(&tip, &stored)?;
            let header = Header::decode(&stored.header)
                .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
            // At once, since the next block reads it.
            let mut changes = sled::Batch::default();
            state::write(&self.apply(&tip, &header, &records)?.changes, &mut changes);
            self.database.apply_batch(changes)?;
            tip = self.restore_block(&tip, position, &stored, &records)?;
            position = next;
            // A record may be one that a later one corrects.
            *self.decided.write().map_err(|_| poisoned())? = Arc::new(tip.clone());
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
        let members = members_after(&tip, &header, &records_of(&tip, &stored)?)?;
        let derived = Derived::of(&tip, position, &stored, members)?;
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
