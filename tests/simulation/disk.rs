//! What outlives a crash of a node: the chain, the engine's log, the blocks that
//! may be voted for, and the records that the node acknowledged.

use std::collections::BTreeSet;

use arc_malachitebft_app::{
    consensus::Input,
    engine::wal::{decode_entry, encode_entry},
};
use quittance_ledger::{
    chain::{RawBlock, Tip},
    digest::RecordId,
    insurance::state::MemoryState,
    membership::{Genesis, Membership, MembershipState},
    record::Record,
    store::StoredProposal,
};
use quittance_node::engine::{EngineCodec, context::Context};
use rand::Rng;

/// The engine's log of one height. What is appended is safe only once flushed.
#[derive(Debug, Default)]
pub struct Log {
    height: u64,
    entries: Vec<Vec<u8>>,
    flushed: usize,
}

impl Log {
    /// Turns to a height. Gives what was logged for it.
    pub fn start(&mut self, height: u64) -> Vec<Input<Context>> {
        if self.height != height {
            self.reset(height);
        }
        self.entries.iter().map(|bytes| decode_entry(&EngineCodec, &bytes[..]).unwrap()).collect()
    }

    /// Forgets everything and turns to a height.
    pub fn reset(&mut self, height: u64) {
        *self = Self { height, ..Self::default() };
    }

    /// Adds an entry; one of another height is left out, as the engine does.
    pub fn append(&mut self, height: u64, entry: Input<Context>) {
        if self.height == height {
            let mut bytes = Vec::new();
            encode_entry(entry, &EngineCodec, &mut bytes).unwrap();
            self.entries.push(bytes);
        }
    }

    pub const fn flush(&mut self) {
        self.flushed = self.entries.len();
    }
}

/// A node's disk.
#[derive(Debug)]
pub struct Disk {
    /// The end of the chain.
    pub tip: Tip,
    /// What the rules know at that end.
    pub state: MemoryState,
    /// Every decided block with this node's certificate.
    pub blocks: Vec<RawBlock>,
    /// The records of these blocks.
    pub decided: BTreeSet<RecordId>,
    /// The engine's log.
    pub log: Log,
    /// The blocks that may be voted for at the next height.
    pub proposals: Vec<StoredProposal>,
    /// Records that this node acknowledged and that are not decided yet.
    pub pending: Vec<Record>,
}

impl Disk {
    /// The disk of a machine that has just got the ledger's genesis.
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            tip: Tip::empty(MembershipState::from_genesis(genesis)),
            state: MemoryState::default(),
            blocks: Vec::new(),
            decided: BTreeSet::new(),
            log: Log::default(),
            proposals: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// The height that is decided next.
    pub const fn next(&self) -> u64 {
        self.tip.height + 1
    }

    /// Who is on the ledger for the next block.
    pub fn membership(&self) -> &Membership {
        self.tip.membership()
    }

    /// A crash: of what was not flushed, some may have got through all the same.
    pub fn crash(&mut self, random: &mut impl Rng) {
        let kept = random.random_range(self.log.flushed..=self.log.entries.len());
        self.log.entries.truncate(kept);
        self.log.flushed = kept;
    }
}
