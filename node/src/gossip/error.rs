//! What can go wrong with the gossip.

use libp2p::{Multiaddr, PeerId};
use quittance_ledger::wire::WireError;

/// The gossip cannot start, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GossipError {
    /// Nothing can listen there.
    #[error(
        "the record gossip cannot listen on {address}: {reason}. Choose another address or end what uses it"
    )]
    Listen {
        /// The address that was to be listened on.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// The listener has failed while the node ran.
    #[error("the record gossip listens no longer: {0}")]
    ListenerClosed(String),
    /// A limit or another setting is not possible.
    #[error("the settings of the record gossip do not fit together: {0}")]
    Settings(String),
    /// More peers than [`PEERS_MAX`](super::limits::PEERS_MAX).
    #[error("{count} peers; at most {peers_max} are possible", peers_max = super::limits::PEERS_MAX)]
    TooManyPeers {
        /// How many there were.
        count: usize,
    },
    /// A member's address ends in another peer id than the member's.
    #[error("the address {address} is not that of peer {peer}")]
    Address {
        /// The member's peer.
        peer: PeerId,
        /// The address.
        address: Multiaddr,
    },
}

/// A message was not taken for publishing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The queue is full. Nothing is lost by not trying again: peers ask for
    /// what they have not got.
    #[error("too much waits for being published")]
    Full,
    /// A batch without records, with too many or too long ones, or too long as
    /// a whole; the caller has to split it.
    #[error("not a batch that can be published: {0}")]
    Bounds(&'static str),
    /// The gossip has ended.
    #[error("the record gossip has ended")]
    Stopped,
}

/// A request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No connection to that peer.
    #[error("not connected to that peer")]
    NotConnected,
    /// This node has too many requests open; try again later.
    #[error("too many requests are open")]
    Full,
    /// The peer is busy, or would find that it is asked too often; try again
    /// after a while.
    #[error("the peer is busy")]
    Busy,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection or the stream ended before the answer.
    #[error("the peer gave no answer: {0}")]
    Failed(String),
    /// The answer is not one to that request.
    #[error("the peer's answer is invalid: {0}")]
    Invalid(String),
    /// The gossip has ended.
    #[error("the record gossip has ended")]
    Stopped,
}

impl From<WireError> for RequestError {
    fn from(error: WireError) -> Self {
        Self::Invalid(error.to_string())
    }
}
