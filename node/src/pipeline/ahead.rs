//! Verifies records of blocks that a node which catches up has not reached yet,
//! while it commits the ones before them.
//!
//! Only blocks of which every record holds are kept, and only for moments.
//! Whoever checks a block takes its records from here, if their bytes are the
//! same, or verifies them itself, with the same answer.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc::RecvTimeoutError},
    time::Duration,
};

use quittance_ledger::{
    chain::{self, Tip},
    limits::BLOCK_BYTES_MAX,
    record::Record,
};
use rayon::prelude::*;

use super::{Fatal, Shared};
use crate::engine::arrivals::Arrivals;

/// How many bytes of records are held at most: the thread is some blocks ahead.
/// In memory a record takes several times its bytes.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long the host waits for a block that is being verified, and how long the
/// thread waits for the host to take what is.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the thread looks whether the node stops.
const REST: Duration = Duration::from_millis(500);

/// Blocks whose records were verified before their turn.
#[derive(Debug, Default)]
pub struct Ahead {
    verified: Mutex<Verified>,
    /// A block is verified, or there is room for another.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Verified {
    /// By height: the last change of the membership by which the records were
    /// verified, and the records.
    blocks: BTreeMap<u64, (u64, Vec<Record>)>,
    /// Of their records; never above [`BYTES_MAX`].
    bytes: usize,
    /// The height of the block that is being verified.
    under_way: Option<u64>,
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.jws().len()).sum()
}

impl Verified {
    const fn is_full(&self) -> bool {
        self.bytes > BYTES_MAX - BLOCK_BYTES_MAX
    }

    fn clear(&mut self) {
        self.blocks.clear();
        self.bytes = 0;
    }

    /// What is of no use any more once `height` is reached goes, too.
    fn take(&mut self, height: u64) -> Option<(u64, Vec<Record>)> {
        let later = self.blocks.split_off(&height.saturating_add(1));
        let mut reached = std::mem::replace(&mut self.blocks, later);
        let gone: usize = reached.values().map(|(_, records)| bytes_of(records)).sum();
        self.bytes = self.bytes.saturating_sub(gone);
        reached.remove(&height)
    }
}

impl Ahead {
    // No thread leaves it half changed, so a poisoned lock is still whole.
    fn verified(&self) -> MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records of the block after `tip`, if they are these and were verified
    /// by the membership that is in force. Waits while that is being done:
    /// whoever needs them would only do the same work at the same time.
    pub fn take(&self, tip: &Tip, records: &[Vec<u8>]) -> Option<Vec<Record>> {
        let height = tip.height + 1;
        let is_under_way = |verified: &mut Verified| verified.under_way == Some(height);
        let waited = self.moved.wait_timeout_while(self.verified(), PATIENCE, is_under_way);
        let (mut verified, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = verified.take(height);
        drop(verified);
        self.moved.notify_all();
        let (changed_height, held) = taken?;
        let are_these = held.len() == records.len()
            && held.iter().zip(records).all(|(record, jws)| record.jws()[..] == jws[..]);
        (are_these && changed_height == tip.members.changed_height()).then_some(held)
    }

    /// Waits until there is room for another block. What the host takes nothing of
    /// for long stands in no block that it takes: it goes.
    pub fn make_room(&self) {
        let is_full = |verified: &mut Verified| verified.is_full();
        let waited = self.moved.wait_timeout_while(self.verified(), PATIENCE, is_full);
        let (mut verified, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if verified.is_full() {
            verified.clear();
        }
    }

    /// Verifies the records of a block, where `tip` is the last one that is
    /// decided here. A block of which one does not hold is of no use.
    pub fn verify(&self, block: &[u8], tip: &Tip) {
        let Ok((header, records)) = chain::decode_block(block) else { return };
        // The next one is being checked already.
        if header.height <= tip.height + 1 {
            return;
        }
        self.verified().under_way = Some(header.height);
        let opened: Result<Vec<Record>, ()> = records
            .into_par_iter()
            .map(|jws| Record::open(jws, tip.membership()).map_err(|_| ()))
            .collect();
        let mut verified = self.verified();
        verified.under_way = None;
        if let Ok(records) = opened {
            let bytes = bytes_of(&records);
            if verified.bytes + bytes <= BYTES_MAX && !verified.blocks.contains_key(&header.height)
            {
                verified.bytes += bytes;
                let changed_height = tip.members.changed_height();
                verified.blocks.insert(header.height, (changed_height, records));
            }
        }
        drop(verified);
        self.moved.notify_all();
    }

    /// Bytes of the records that are held.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.verified().bytes
    }
}

pub fn run(shared: &Shared, arrivals: &Arrivals) -> Result<(), Fatal> {
    while !shared.is_stopping() {
        match arrivals.next(REST) {
            Ok(block) => {
                shared.ahead.make_room();
                shared.ahead.verify(&block, &shared.store.decided());
            }
            Err(RecvTimeoutError::Timeout) => {
                if !shared.has_more_to_fetch() {
                    shared.ahead.verified().clear();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    Ok(())
}
