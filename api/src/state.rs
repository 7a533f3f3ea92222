//! What every handler can reach.

use std::sync::Arc;

use quittance_ledger::{membership::Membership, store::Store};
use tokio::sync::Semaphore;

use crate::{
    access::Access, budget::Budget, limits::ApiConfig, metrics::Metrics, reading::Reads,
    submit::Submit, vault::Senders, verifier::Verifier,
};

/// The parts of the API, shared by all requests.
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) node: Arc<dyn Submit>,
    pub(crate) config: ApiConfig,
    /// Who may do what.
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    pub(crate) verifier: Verifier,
    /// Requests that may still begin.
    pub(crate) requests: Semaphore,
    /// Jobs that may still begin to read the store.
    pub(crate) reads: Reads,
    /// Batches that may still begin to be verified.
    pub(crate) batches: Semaphore,
    /// Bytes of batches that may still be read into memory.
    pub(crate) batch_bytes: Budget,
    /// Bytes of answers that may still be made.
    pub(crate) response_bytes: Budget,
    /// Event streams that may still be opened.
    pub(crate) event_clients: Arc<Semaphore>,
    /// Which token had what signed lately.
    pub(crate) senders: Senders,
}

pub(crate) type Shared = Arc<App>;

impl App {
    /// Who is on the ledger for the next block.
    pub(crate) fn membership(&self) -> Membership {
        self.store.membership()
    }
}
