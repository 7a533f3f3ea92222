//! Blocks that no honest validator may vote for.

use std::sync::atomic::{AtomicUsize, Ordering};

use quittance_ledger::{
    chain::{Block, Tip},
    digest::Digest,
    limits::{BLOCK_BYTES_MAX, RECORD_OVERHEAD_BYTES},
    record::Record,
    transparency::tree,
};

use super::{Lie, lies};

/// What a lying validator proposes instead of a good block; the good one where
/// it does not lie about blocks.
#[must_use]
pub fn spoil(block: Block, tip: &Tip) -> Block {
    let kinds = [Lie::WrongRoot, Lie::DuplicateRecord, Lie::UnsignedRecord, Lie::OversizedBlock];
    // A word that is no lie has kept the engine from starting.
    let lies = lies().unwrap_or_default();
    let lie = if lies.contains(&Lie::InvalidBlocks) {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        kinds.get(TOLD.fetch_add(1, Ordering::Relaxed) % kinds.len()).copied()
    } else {
        kinds.into_iter().find(|kind| lies.contains(kind))
    };
    let Some(lie) = lie else { return block };
    tracing::warn!(height = block.header.height, "this validator proposes a bad block: {lie:?}");
    spoil_as(block, lie, tip)
}

fn spoil_as(mut block: Block, lie: Lie, tip: &Tip) -> Block {
    let Some(first) = block.records.first().cloned() else { return block };
    match lie {
        Lie::WrongRoot => {
            let mut root = *block.header.tree_root.as_bytes();
            root.iter_mut().for_each(|byte| *byte ^= 0xFF);
            block.header.tree_root = Digest::from_bytes(root);
            return block;
        }
        Lie::DuplicateRecord => block.records.push(first),
        Lie::UnsignedRecord => {
            if let (Some(forged), Some(place)) = (forge(&first), block.records.first_mut()) {
                *place = forged;
            }
        }
        Lie::OversizedBlock => {
            let cost = |record: &Record| record.jws().len() + RECORD_OVERHEAD_BYTES;
            let mut bytes: usize = block.records.iter().map(cost).sum();
            while bytes <= BLOCK_BYTES_MAX {
                bytes += cost(&first);
                block.records.push(first.clone());
            }
        }
        _ => {}
    }
    // A header that commits to them, so that they are looked at.
    let mut frontier = tip.frontier.clone();
    if block.records.iter().all(|of| frontier.push(tree::leaf_hash(&of.id())).is_ok()) {
        block.header.tree_size = frontier.size();
        block.header.tree_root = frontier.root();
    }
    block
}

/// The record with another signature: 64 bytes that are none.
fn forge(record: &Record) -> Option<Record> {
    let mut jws = record.jws().to_vec();
    let dot = jws.iter().rposition(|byte| *byte == b'.')?;
    let first = jws.get_mut(dot + 1)?;
    *first = if *first == b'A' { b'B' } else { b'A' };
    Record::trusted(jws).ok()
}
