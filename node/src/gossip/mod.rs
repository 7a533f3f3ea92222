//! Record gossip: the node's own libp2p swarm, on which records, validators'
//! signatures of checkpoints and what was missed of them travel.
//!
//! Only members' nodes may connect; whoever else does is cut off as soon as its
//! key is known, before any protocol is spoken. [`Gossip`] is the handle,
//! [`Inbox`] what the node does with what comes. Gossip may lose anything, at any
//! time: who misses something asks for it by [`Gossip::request_records`] and
//! [`Gossip::request_checkpoints`]. The bytes are in docs/FORMATS.md, "Gossip".

mod answers;
mod behaviour;
mod closing;
mod dialer;
mod error;
mod handle;
pub mod limits;
mod members;
mod metered;
mod metrics;
mod requests;
mod task;
#[cfg(test)]
mod tests;
mod throttle;
mod unproved;
mod wire;

use bincode::{Decode, Encode};
use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use quittance_ledger::digest::LedgerId;

pub use self::{
    error::{GossipError, PublishError, RequestError},
    handle::{Gossip, Running},
    limits::GossipLimits,
    metrics::GossipMetrics,
};

/// A member's node: who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its peer id, which its network key decides.
    pub peer: PeerId,
    /// Where it listens, `/ip4` or `/ip6` with `/tcp`, with or without
    /// `/p2p/<id>`. Without any, it is never dialled: it dials us.
    pub addresses: Vec<Multiaddr>,
}

/// What [`Gossip::start`] needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's network key.
    pub keypair: Keypair,
    /// Where to listen; without it, this node only dials others.
    pub listen: Option<Multiaddr>,
    /// The ledger. Nodes of different ledgers have no protocol in common.
    pub ledger: LedgerId,
    /// The other members' nodes. This node itself may be among them.
    pub peers: Vec<Peer>,
    /// What this node spends on gossip.
    pub limits: GossipLimits,
    /// Where it counts; registered by whoever serves figures.
    pub metrics: GossipMetrics,
}

/// Records that one node accepted, in the order in which it accepted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    /// Changes at each start of the accepting node.
    pub epoch: u64,
    /// The number of the first of these records among all that the node
    /// accepted in this epoch, from 0.
    pub first: u64,
    /// The records' bytes, none empty and none longer than a record may be.
    pub records: Vec<Bytes>,
}

/// A validator's signatures of a checkpoint: with its log key, and with its
/// cosigner key and a time. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attestation {
    /// Records in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: [u8; 32],
    /// The validator's consensus key.
    pub validator: [u8; 32],
    /// The signature with its log key.
    pub log: [u8; 64],
    /// The time in the cosignature, POSIX seconds.
    pub cosigned_at_s: u64,
    /// The signature with its cosigner key.
    pub cosignature: [u8; 64],
}

/// What becomes of a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid and is forwarded to others.
    Accept,
    /// It is not forwarded, and nobody is blamed: this node knows it already,
    /// cannot tell, or has no room for it.
    Ignore,
    /// It is not forwarded, and who brought it is scored down. Only for what
    /// every honest node finds invalid at any time, because an honest node that
    /// found it valid and forwarded it would be blamed too: broken signatures and
    /// encodings, not what depends on the height or the membership a node knows.
    Reject,
}

/// What the node does with what comes. The futures are polled outside of the
/// swarm's task, bounded in number and time, and in no order: a batch may come
/// before the one that precedes it. A message may come twice, seldom.
pub trait Inbox: Send + Sync + 'static {
    /// Records that `origin` published.
    fn records(&self, origin: PeerId, batch: RecordBatch) -> BoxFuture<'static, Verdict>;

    /// A validator's signatures of a checkpoint, which `origin` published.
    fn attestation(&self, origin: PeerId, attestation: Attestation) -> BoxFuture<'static, Verdict>;

    /// The records that this node accepted, for a peer that has those before
    /// `first` of `epoch`. Where `epoch` is not the node's, all of its own
    /// epoch from the first that it still has. No records mean: no more. At most
    /// `bytes_max`, each record with
    /// [`BATCH_RECORD_OVERHEAD_BYTES`](limits::BATCH_RECORD_OVERHEAD_BYTES); what is
    /// more is cut off. May read from disk: it is called on a thread for that.
    fn own_records(&self, epoch: u64, first: u64, bytes_max: usize) -> RecordBatch;

    /// Published checkpoints (signed notes) of trees larger than `after`, the
    /// smallest first, at most `count_max`. May read from disk, too.
    fn checkpoints(&self, after: u64, count_max: usize) -> Vec<Vec<u8>>;

    /// A member's node is connected. Must not block.
    fn connected(&self, peer: PeerId);

    /// It is connected no longer. Must not block.
    fn disconnected(&self, peer: PeerId);
}
