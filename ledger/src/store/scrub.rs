//! Reading everything back: is every byte that is kept still what was written?

use super::{
    Derived, Frame, HEAD, Head, INDEXED, Indexed, Store, StoreError, StoredBlock, codec,
    members::members_after, open::first_tip, parse_checkpoint, poisoned, state::records_of,
};
use crate::chain::{Header, Tip};
use tlog_tiles::stored_hash_count;

/// How far a scrub has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks read.
    pub height: u64,
    /// Records read.
    pub records: u64,
}

impl Store {
    /// Reads blocks, tree nodes, positions, checkpoints and postings back and
    /// checks each against the others. Signatures are left to the audit.
    ///
    /// Not to be run beside [`Store::maintain`]. `go_on` is asked after every
    /// block and may end the scrub early.
    ///
    /// # Errors
    /// The first thing that is not what was written.
    pub fn scrub(&self, mut go_on: impl FnMut(Progress) -> bool) -> Result<(), StoreError> {
        let (tip, end) = {
            // Both of the same moment: a commit changes them under this lock.
            let end = self.end.read().map_err(|_| poisoned())?;
            (self.decided(), *end)
        };
        let mut done = first_tip(&self.membership);
        let mut position = 0;
        while done.height < tip.height {
            let Frame::Whole(payload, next) = self.blocks.frame(position)? else {
                return Err(StoreError::damaged("blocks", format!("they end at {position}")));
            };
            let stored: StoredBlock = codec::decode("block", &payload)?;
            done = self.scrub_block(&done, position, &stored)?;
            position = next;
            if !go_on(Progress { height: done.height, records: done.frontier.size() }) {
                return Ok(());
            }
        }
        if done.hash != tip.hash || position != end {
            return Err(StoreError::damaged("blocks", "they do not lead to the head"));
        }
        self.scrub_index(&tip)
    }

    fn scrub_block(
        &self,
        before: &Tip,
        position: u64,
        stored: &StoredBlock,
    ) -> Result<Tip, StoreError> {
        let header = Header::decode(&stored.header)
            .map_err(|error| StoreError::damaged("blocks", error.to_string()))?;
        let members = members_after(before, &header, &records_of(before, stored)?)?;
        let derived = Derived::of(before, position, stored, members)?;
        if !derived.follows(before, &header) {
            return Err(StoreError::damaged(
                "blocks",
                format!("the block after height {} does not follow it", before.height),
            ));
        }
        let size = before.frontier.size();
        let same = |file: &str, found: &[u8], expected: &[u8]| {
            if found == expected {
                return Ok(());
            }
            let problem = format!("what it holds of block {} is changed", header.height);
            Err(StoreError::damaged(file, problem))
        };
        let mut found = vec![0; derived.nodes.len()];
        self.nodes.read(stored_hash_count(size), &mut found)?;
        same("nodes.flat", &found, &derived.nodes)?;
        let mut found = vec![0; derived.positions.len()];
        self.positions.read(size, &mut found)?;
        same("positions.flat", &found, &derived.positions)?;
        same("heights.flat", &self.heights.get(before.height)?, &derived.height)?;
        Ok(derived.tip)
    }

    fn scrub_index(&self, tip: &Tip) -> Result<(), StoreError> {
        let mut kept = 0;
        for entry in self.database.scan_prefix(b"c") {
            let (key, value) = entry?;
            let checkpoint = parse_checkpoint(&value)?;
            let checkpoint = checkpoint.checkpoint();
            if key.get(1..) != Some(&checkpoint.size.to_be_bytes()[..]) {
                return Err(StoreError::damaged("checkpoints (sled)", "one is out of place"));
            }
            let Some(last) = checkpoint.size.checked_sub(1) else { continue };
            kept += 1;
            // A block may have been committed since this scrub began.
            if checkpoint.size <= tip.frontier.size() {
                let height = self.height_of(last)?;
                let header = self.header_at(height)?;
                if header.tree_size != checkpoint.size || header.tree_root != checkpoint.root {
                    return Err(StoreError::damaged(
                        "checkpoints (sled)",
                        format!("the checkpoint of block {height} is missing or changed"),
                    ));
                }
            }
        }
        // Where one validator signs, every block has a checkpoint.
        let height = if self.membership.validators().len() == 1 { kept } else { tip.height };
        if height < tip.height {
            return Err(StoreError::damaged(
                "checkpoints (sled)",
                format!("{height} are kept for {} blocks", tip.height),
            ));
        }
        if let Some(bytes) = self.database.get(HEAD)? {
            codec::decode::<Head>("head", &bytes)?;
        }
        if let Some(bytes) = self.database.get(INDEXED)? {
            codec::decode::<Indexed>("index head", &bytes)?;
        }
        self.terms.scrub()
    }
}
