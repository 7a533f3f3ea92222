//! What travels between machines, and what the links do to it.

use std::time::Duration;

use arc_malachitebft_app::{
    consensus::{LivenessMsg, SignedConsensusMsg},
    types::{PeerId, codec::Codec as _},
};
use bytes::Bytes;
use quittance_ledger::chain::Certificate;
use quittance_node::engine::{
    EngineCodec,
    context::{Context, Init},
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// The place of a machine among all machines.
pub type Machine = usize;

/// What a machine is called in the engine.
pub fn peer_id(machine: Machine) -> PeerId {
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([u8::try_from(machine).unwrap(); 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

/// A message between two machines.
#[derive(Debug, Clone)]
pub enum Message {
    /// A vote or proposal, as the engine's codec writes it.
    Consensus(Bytes),
    /// What the engine says again, as its codec writes it.
    Liveness(Bytes),
    /// A proposed block. Cutting it up has its own tests.
    Block { init: Init, block: Bytes },
    /// The last height that a machine has decided.
    Status { tip: u64 },
    /// Asks for decided blocks from a height on.
    AskBlocks { first: u64 },
    /// Decided blocks from a height on, with their certificates.
    Blocks { first: u64, blocks: Vec<(Bytes, Certificate)> },
    /// Records that the sender accepted, numbered from `first` on in this run of it.
    Records { epoch: u64, first: u64, records: Vec<Bytes>, answer: bool },
    /// Asks for such records.
    AskRecords { epoch: u64, first: u64 },
}

impl Message {
    pub fn consensus(message: &SignedConsensusMsg<Context>) -> Self {
        Self::Consensus(EngineCodec.encode(message).unwrap())
    }

    pub fn liveness(message: &LivenessMsg<Context>) -> Self {
        Self::Liveness(EngineCodec.encode(message).unwrap())
    }
}

/// What a link does to a message while faults last.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// The least delay.
    pub delay: Duration,
    /// What chance adds to it: messages overtake each other within it.
    pub jitter: Duration,
    /// How many of a thousand messages are lost.
    pub lost_permille: u32,
    /// How many of a thousand arrive twice.
    pub doubled_permille: u32,
    /// How many of a thousand take [`STALL`] longer.
    pub stalled_permille: u32,
}

/// How long a message may be stuck on a link.
const STALL: Duration = Duration::from_secs(2);

impl Quality {
    /// A link within one building.
    pub const GOOD: Self = Self {
        delay: Duration::from_micros(200),
        jitter: Duration::from_millis(2),
        lost_permille: 0,
        doubled_permille: 0,
        stalled_permille: 0,
    };
}

/// The links between all machines.
#[derive(Debug)]
pub struct Network {
    pub quality: Quality,
    /// On which side of a partition each machine is.
    pub sides: Vec<u8>,
}

impl Network {
    pub fn new(machines: usize, quality: Quality) -> Self {
        Self { quality, sides: vec![0; machines] }
    }

    /// Whether the link between two machines works at all.
    pub fn joins(&self, from: Machine, to: Machine) -> bool {
        self.sides[from] == self.sides[to]
    }

    /// After which delays a message arrives: never, once, or twice.
    pub fn delays(&self, random: &mut ChaCha8Rng) -> Vec<Duration> {
        let quality = self.quality;
        let mut happens = |permille| random.random_ratio(permille, 1_000);
        let copies = match (happens(quality.lost_permille), happens(quality.doubled_permille)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        (0..copies)
            .map(|_| {
                let stall = if random.random_ratio(quality.stalled_permille, 1_000) {
                    STALL
                } else {
                    Duration::ZERO
                };
                quality.delay + stall + random.random_range(Duration::ZERO..=quality.jitter)
            })
            .collect()
    }
}
