//! Requests: those of this node that wait for an answer, and those of others
//! that this node answers.

use std::{collections::HashMap, sync::Arc};

use libp2p::{
    PeerId,
    request_response::{InboundRequestId, OutboundFailure, OutboundRequestId, ResponseChannel},
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    Inbox, RequestError,
    limits::{ANSWER_CHECKPOINTS_MAX, ANSWER_RECORDS_BYTES_MAX},
    wire::{self, Answer, Request},
};

type Waiting = oneshot::Sender<Result<Answer, RequestError>>;

/// An answer that is ready to be sent.
pub(super) struct Ready {
    pub(super) channel: ResponseChannel<Answer>,
    pub(super) answer: Answer,
}

/// Open requests of both directions.
pub(super) struct Requests {
    inbox: Arc<dyn Inbox>,
    own_max: usize,
    others_max: usize,
    own: HashMap<OutboundRequestId, Waiting>,
    /// From the request until the answer is sent or has failed: an answer that a
    /// peer does not read occupies memory, too.
    others: HashMap<InboundRequestId, PeerId>,
    work: JoinSet<Ready>,
}

impl Requests {
    pub(super) fn new(inbox: Arc<dyn Inbox>, own_max: usize, others_max: usize) -> Self {
        Self {
            inbox,
            own_max,
            others_max,
            own: HashMap::new(),
            others: HashMap::new(),
            work: JoinSet::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.own.len() >= self.own_max
    }

    pub(super) fn sent(&mut self, id: OutboundRequestId, waiting: Waiting) {
        self.own.insert(id, waiting);
    }

    pub(super) fn answered(
        &mut self,
        id: OutboundRequestId,
        outcome: Result<Answer, RequestError>,
    ) {
        if let Some(waiting) = self.own.remove(&id) {
            // Whoever asked may have given up.
            let _ = waiting.send(outcome);
        }
    }

    /// Whether others' requests are as many as may be.
    pub(super) fn is_busy(&self) -> bool {
        self.others.len() >= self.others_max || self.work.len() >= self.others_max
    }

    /// Begins to answer.
    pub(super) fn answer(
        &mut self,
        peer: PeerId,
        id: InboundRequestId,
        request: Request,
        channel: ResponseChannel<Answer>,
    ) {
        self.others.insert(id, peer);
        let inbox = self.inbox.clone();
        self.work.spawn_blocking(move || {
            let answer = match request {
                Request::Records { epoch, first } => {
                    Answer::Records(inbox.own_records(epoch, first, ANSWER_RECORDS_BYTES_MAX))
                }
                Request::Checkpoints { after } => {
                    Answer::Checkpoints(inbox.checkpoints(after, ANSWER_CHECKPOINTS_MAX))
                }
            };
            Ready { channel, answer: wire::shorten(answer) }
        });
    }

    /// The next answer. Pending while there is none.
    pub(super) async fn ready(&mut self) -> Option<Ready> {
        match self.work.join_next().await {
            Some(Ok(ready)) => Some(ready),
            // The inbox panicked. The channel is gone with it, which the peer notices.
            Some(Err(error)) => {
                tracing::error!(%error, "answering a peer's request failed");
                None
            }
            None => std::future::pending().await,
        }
    }

    /// An answer was sent, or could not be; says whose it was.
    pub(super) fn ended(&mut self, id: InboundRequestId) -> Option<PeerId> {
        self.others.remove(&id)
    }
}

/// What a failure means to whoever asked.
pub(super) fn failure(error: &OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            RequestError::Invalid(error.to_string())
        }
        other => RequestError::Failed(other.to_string()),
    }
}
