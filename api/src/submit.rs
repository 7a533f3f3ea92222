//! The seam between the API and the node it belongs to: how records enter.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use quittance_ledger::{
    digest::RecordId,
    membership::MemberId,
    record::Record,
    refusal::Refusal,
    store::{Location, StoreError},
    vault::Vault,
};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// What becomes of a record that waits for its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It waits.
    Pending,
    /// It is final.
    Final(Location),
    /// It can no longer be recorded.
    Refused(Refusal),
}

/// What the node says about one record, once the record is durable.
#[derive(Debug)]
pub enum Accepted {
    /// It was on the ledger already.
    Recorded(Location),
    /// It is durable and waits for a block; the receiver tells what becomes of it.
    Pending(watch::Receiver<Outcome>),
    /// A rule refuses it as things stand. Nothing was stored.
    Refused(Refusal),
}

/// The node cannot take records now. Nothing of the call was stored.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Too many records wait.
    #[error("too many records wait for a block; try again in {retry_after_s} s")]
    Busy {
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopping,
    /// The other members' nodes do not talk to this one, so that what it took
    /// would reach nobody.
    #[error("{0}")]
    NotListed(String),
}

/// Why the node does not sign for somebody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The node holds no record key of that member.
    #[error("this node holds no record key of member {0}")]
    NotHeld(MemberId),
    /// What was to be signed is no record.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// How full the node is and whether it works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The member this node belongs to.
    pub member: Option<MemberId>,
    /// Whether it validates.
    pub validator: bool,
    /// How long it has run.
    pub uptime: Duration,
    /// Records that wait for a block.
    pub pending_records: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Why it is not ready, in a sentence; none when it is.
    pub not_ready: Option<String>,
    /// Blocks that are decided and durable here, final or not.
    pub decided_height: u64,
    /// The other members' nodes; none where a node runs alone.
    pub peers: Vec<PeerStatus>,
    /// What people should look at, besides.
    pub alerts: Vec<String>,
}

/// How another member's node is, as far as this one knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member it belongs to.
    pub member: Option<MemberId>,
    /// Whether it validates.
    pub validator: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// The blocks it has decided, as it says; none where it has not said.
    pub height: Option<u64>,
}

/// What the API asks of its node.
pub trait Submit: Send + Sync + 'static {
    /// Takes verified records in order: all of them are durable when this
    /// resolves. Dropping the future does not take anything back.
    fn submit(
        &self,
        records: Vec<Record>,
    ) -> BoxFuture<'static, Result<Vec<Accepted>, SubmitError>>;

    /// A record that waits for its block.
    fn pending(&self, id: &RecordId) -> Option<Record>;

    /// Whether this node itself keeps a record that waits for its block, until it is
    /// final or refused, also over a restart. What another node accepted may leave
    /// here without a word.
    fn keeps(&self, id: &RecordId) -> bool {
        self.pending(id).is_some()
    }

    /// Why a record that was accepted here came into no block, if that was lately.
    fn refusal(&self, _id: &RecordId) -> Option<Refusal> {
        None
    }

    /// Signs for a member whose record key this node holds. The record it gives
    /// is verified against the membership, as one that came signed would be.
    ///
    /// # Errors
    /// It does not hold the key, or the payload is no record.
    fn sign(&self, member: &MemberId, payload: Map<String, Value>) -> Result<Record, SignError>;

    /// The members this node signs for.
    fn held_members(&self) -> Vec<MemberId>;

    /// The height of the ledger, whenever it grows.
    fn heights(&self) -> watch::Receiver<u64>;

    /// Where this node keeps what is private; none where it keeps nothing.
    fn vault(&self) -> Option<Arc<Vault>> {
        None
    }

    /// Takes note that a file of the store is not what was written: `error` was
    /// met while serving. The node should end.
    fn damaged(&self, _error: StoreError) {}

    /// What people should look at now, whenever that changes.
    fn alerts(&self) -> watch::Receiver<Vec<String>> {
        watch::channel(Vec::new()).1
    }

    /// How the node is.
    fn status(&self) -> NodeStatus;
}
