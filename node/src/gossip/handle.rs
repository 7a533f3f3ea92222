//! The handle that the rest of the node has of the gossip.

use std::{sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    Attestation, GossipError, Inbox, Peer, PublishError, RecordBatch, RequestError, Settings,
    task::{Ends, Task},
    wire::{self, Answer, Request},
};

/// Ends when the gossip does: with an error when it cannot go on, without one
/// after the last [`Gossip`] was dropped. Aborting it ends the gossip at once.
pub type Running = JoinHandle<Result<(), GossipError>>;

/// A message that waits for being published.
pub(super) struct Outgoing {
    pub(super) topic: Topic,
    pub(super) content: Vec<u8>,
    /// Its share of the queue.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Records,
    Attestations,
}

/// A request that waits for its answer.
pub(super) struct Asked {
    pub(super) peer: PeerId,
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<Answer, RequestError>>,
}

/// The gossip of this node; clones are handles of the same. It ends when the
/// last one is dropped.
#[derive(Clone)]
pub struct Gossip {
    outgoing: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    asked: mpsc::Sender<Asked>,
    wanted: Arc<watch::Sender<Vec<Peer>>>,
    connected: watch::Receiver<Vec<PeerId>>,
    listening: watch::Receiver<Vec<Multiaddr>>,
    request_timeout: Duration,
}

impl Gossip {
    /// Listens, and from then on connects with the peers. The inbox gets what
    /// they send.
    ///
    /// # Errors
    /// The settings do not fit together, or the address cannot be listened on.
    pub async fn start(
        settings: Settings,
        inbox: Arc<dyn Inbox>,
    ) -> Result<(Self, Running), GossipError> {
        let limits = settings.limits.clone();
        if let Some(contradiction) = limits.contradiction() {
            return Err(GossipError::Settings(contradiction.to_owned()));
        }
        let (outgoing, outgoing_end) = mpsc::channel(limits.publish_queue_messages);
        let (asked, asked_end) = mpsc::channel(limits.requests_max);
        let (wanted, wanted_end) = watch::channel(settings.peers.clone());
        let (connected_end, connected) = watch::channel(Vec::new());
        let (listening_end, listening) = watch::channel(Vec::new());
        let ends = Ends {
            outgoing: outgoing_end,
            asked: asked_end,
            wanted: wanted_end,
            connected: connected_end,
            listening: listening_end,
        };
        let room = limits.publish_queue_bytes.min(Semaphore::MAX_PERMITS);
        let task = Task::start(settings, inbox, ends).await?;
        let handle = Self {
            outgoing,
            room: Arc::new(Semaphore::new(room)),
            asked,
            wanted: Arc::new(wanted),
            connected,
            listening,
            request_timeout: limits.request_timeout,
        };
        Ok((handle, tokio::spawn(task.run())))
    }

    /// Sends records that this node accepted to all others. Returns at once; where
    /// nobody is connected, nothing is sent, and who connects later asks for them.
    ///
    /// # Errors
    /// The queue is full, or the batch is outside of the bounds in
    /// [`limits`](super::limits).
    pub fn publish_records(&self, batch: &RecordBatch) -> Result<(), PublishError> {
        self.publish(Topic::Records, wire::encode_batch(batch)?)
    }

    /// Sends a validator's signatures of a checkpoint to all others. Returns at once.
    ///
    /// # Errors
    /// The queue is full.
    pub fn publish_attestation(&self, attestation: &Attestation) -> Result<(), PublishError> {
        self.publish(Topic::Attestations, wire::encode_attestation(attestation)?)
    }

    fn publish(&self, topic: Topic, content: Vec<u8>) -> Result<(), PublishError> {
        let bytes = u32::try_from(content.len()).map_err(|_| PublishError::Full)?;
        let room =
            self.room.clone().try_acquire_many_owned(bytes).map_err(|_| PublishError::Full)?;
        self.outgoing.try_send(Outgoing { topic, content, _room: room }).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => PublishError::Full,
                mpsc::error::TrySendError::Closed(_) => PublishError::Stopped,
            },
        )
    }

    /// Asks a connected peer for records that it accepted, from `first` of `epoch`
    /// on. The answer is of `epoch` and begins at `first` or later, or is of the
    /// peer's present epoch. Without records, there are no more.
    ///
    /// # Errors
    /// Not connected, busy, no answer in time, or an invalid one.
    pub async fn request_records(
        &self,
        peer: PeerId,
        epoch: u64,
        first: u64,
    ) -> Result<RecordBatch, RequestError> {
        match self.ask(peer, Request::Records { epoch, first }).await? {
            Answer::Records(batch)
                if batch.epoch == epoch && batch.first < first && !batch.records.is_empty() =>
            {
                Err(RequestError::Invalid("records that were not asked for".to_owned()))
            }
            Answer::Records(batch) => Ok(batch),
            Answer::Busy => Err(RequestError::Busy),
            Answer::Checkpoints(_) => Err(other_answer()),
        }
    }

    /// Asks a connected peer for checkpoints (signed notes) of trees larger than
    /// `after`, which the peer has seen published. Nothing in them has been verified.
    ///
    /// # Errors
    /// Not connected, busy, no answer in time, or an invalid one.
    pub async fn request_checkpoints(
        &self,
        peer: PeerId,
        after: u64,
    ) -> Result<Vec<Vec<u8>>, RequestError> {
        match self.ask(peer, Request::Checkpoints { after }).await? {
            Answer::Checkpoints(notes) => Ok(notes),
            Answer::Busy => Err(RequestError::Busy),
            Answer::Records(_) => Err(other_answer()),
        }
    }

    async fn ask(&self, peer: PeerId, request: Request) -> Result<Answer, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.asked.try_send(Asked { peer, request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Full,
            mpsc::error::TrySendError::Closed(_) => RequestError::Stopped,
        })?;
        // The protocol has a time-out of its own, which begins later: when a
        // stream is there.
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(RequestError::Stopped),
            Err(_) => Err(RequestError::Timeout),
        }
    }

    /// The members' nodes have changed: new ones are dialled, those that are gone
    /// are cut off. Addresses that are not usable are left out, with a warning.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        self.wanted.send_replace(peers);
    }

    /// The connected peers, in the order of their ids, as they change.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<Vec<PeerId>> {
        self.connected.clone()
    }

    /// Where this node listens, with the port that the system chose.
    #[must_use]
    pub fn listening(&self) -> Vec<Multiaddr> {
        self.listening.borrow().clone()
    }
}

fn other_answer() -> RequestError {
    RequestError::Invalid("an answer to another request".to_owned())
}
