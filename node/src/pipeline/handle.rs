//! What the API asks of a running node.

use std::sync::Arc;

use futures::future::BoxFuture;
use quittance_api::submit::{Accepted, NodeStatus, SignError, Submit, SubmitError};
use quittance_ledger::{
    digest::RecordId,
    membership::MemberId,
    record::{self, Record},
    refusal::Refusal,
    store::StoreError,
    vault::Vault,
};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Shared, ingress::Submission};

/// A running node, and where it keeps what is private.
pub(super) struct Handle(pub(super) Arc<Shared>, pub(super) Option<Arc<Vault>>);

impl Submit for Handle {
    fn submit(
        &self,
        records: Vec<Record>,
    ) -> BoxFuture<'static, Result<Vec<Accepted>, SubmitError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            if shared.is_stopping() {
                return Err(SubmitError::Stopping);
            }
            let (answer, answered) = oneshot::channel();
            shared.submissions.try_send(Submission { records, answer }).map_err(
                |error| match error {
                    mpsc::error::TrySendError::Full(_) => SubmitError::Busy { retry_after_s: 1 },
                    mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
                },
            )?;
            answered.await.unwrap_or(Err(SubmitError::Stopping))
        })
    }

    fn pending(&self, id: &RecordId) -> Option<Record> {
        self.0.queue.get(id)
    }

    fn keeps(&self, id: &RecordId) -> bool {
        self.0.queue.keeps(id)
    }

    fn refusal(&self, id: &RecordId) -> Option<Refusal> {
        self.0.queue.refusal(id)
    }

    fn sign(&self, member: &MemberId, payload: Map<String, Value>) -> Result<Record, SignError> {
        let (key_id, key) =
            self.0.signers.records.get(member).ok_or_else(|| SignError::NotHeld(member.clone()))?;
        let membership = self.0.store.membership();
        let envelope = record::sign(payload, membership.origin(), member, key_id, key)?;
        Ok(envelope.verify(&membership)?)
    }

    fn held_members(&self) -> Vec<MemberId> {
        self.0.signers.records.keys().cloned().collect()
    }

    fn heights(&self) -> watch::Receiver<u64> {
        self.0.heights.subscribe()
    }

    fn alerts(&self) -> watch::Receiver<Vec<String>> {
        self.0.alerts.subscribe()
    }

    fn vault(&self) -> Option<Arc<Vault>> {
        self.1.clone()
    }

    fn damaged(&self, error: StoreError) {
        self.0.fail(error.into());
    }

    fn status(&self) -> NodeStatus {
        let (pending_records, pending_bytes) = self.0.queue.size();
        let health = self.0.health().clone();
        let not_ready = match &*self.0.fatal.borrow() {
            Some(fatal) => Some(fatal.to_string()),
            None if self.0.is_stopping() => Some("the node is shutting down".to_owned()),
            None => health.not_ready,
        };
        NodeStatus {
            member: Some(self.0.signers.member.clone()),
            validator: self.0.own_validator().is_some(),
            uptime: self.0.started.elapsed(),
            pending_records: pending_records as u64,
            pending_bytes: pending_bytes as u64,
            not_ready,
            decided_height: self.0.store.decided().height,
            peers: health.peers,
            alerts: health.alerts,
        }
    }
}
