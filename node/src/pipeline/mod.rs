//! How a record gets from the API into a block.
//!
//! ```text
//! submit → ingress (group commit into pending/) → queue → sequencer → store
//! ```
//!
//! The *ingress* thread makes accepted records durable, many with one flush,
//! and only then answers. The *sequencer* thread takes them in order, builds
//! blocks and commits them through the `Application`. It stands where the
//! consensus engine of a consortium stands: an engine asks the same application
//! for a proposal and tells it what was decided. The *maintenance* thread does
//! what may take long and hurry nobody.

mod application;
mod ingress;
mod maintenance;
mod queue;
mod sequencer;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use quittance_api::submit::{Accepted, NodeStatus, SignError, Submit, SubmitError};
use quittance_ledger::{
    digest::RecordId,
    membership::{KeyId, MemberId},
    record::{self, Record},
    store::{Pending, PendingBatch, Store, StoreError},
    transparency::{Checkpoint, Cosigner, LogSigner, SignedCheckpoint},
};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cosigned::{CosignedError, LastCosigned};

use self::{application::Application, ingress::Submission, queue::Queue};

/// Bounds of what waits for a block.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Records that may wait.
    pub records_max: usize,
    /// Their bytes.
    pub bytes_max: usize,
    /// Calls to submit that may wait for the ingress thread.
    pub submissions_max: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { records_max: 200_000, bytes_max: 128 * 1024 * 1024, submissions_max: 1024 }
    }
}

/// The keys a validator works with, each for its own purpose.
pub struct Signers {
    /// The member this node belongs to.
    pub member: MemberId,
    /// Signs votes; its public key is the proposer in headers.
    pub consensus: SigningKey,
    /// Signs the checkpoints this node serves.
    pub log: LogSigner,
    /// Cosigns checkpoints.
    pub cosigner: Cosigner,
    /// What it cosigned last, so that it never signs a second history.
    pub cosigned: LastCosigned,
    /// The record keys this node holds.
    pub records: BTreeMap<MemberId, (KeyId, SigningKey)>,
}

impl Signers {
    /// Signs as the log and cosigns, with this machine's time.
    ///
    /// # Errors
    /// The checkpoint is not one of this log.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedCheckpoint, Fatal> {
        let time_s = now_ms() / 1000;
        SignedCheckpoint::assemble(
            checkpoint.clone(),
            (self.log.verifier_key(), self.log.sign(checkpoint)),
            &[(self.cosigner.verifier_key(), time_s, self.cosigner.cosign(checkpoint, time_s))],
        )
        .map_err(|error| Fatal::Checkpoint(error.to_string()))
    }
}

/// The node cannot go on: what stopped it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// The store failed or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger does not go on from what this node cosigned.
    #[error(transparent)]
    Cosigned(#[from] CosignedError),
    /// A checkpoint could not be signed.
    #[error("signing a checkpoint: {0}")]
    Checkpoint(String),
    /// A thread could not be started or ended by itself.
    #[error("the {0} thread {1}")]
    Thread(&'static str, String),
}

/// A running pipeline. Dropping it does not stop it; [`Pipeline::stop`] does.
pub struct Pipeline {
    shared: Arc<Shared>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

/// What the threads and the API share.
struct Shared {
    store: Arc<Store>,
    queue: Queue,
    submissions: mpsc::Sender<Submission>,
    heights: watch::Sender<u64>,
    fatal: watch::Sender<Option<Arc<Fatal>>>,
    stopping: AtomicBool,
    signers: Signers,
    started: Instant,
}

impl Shared {
    /// Notes that the node cannot go on. The first reason stays.
    fn fail(&self, fatal: Fatal) {
        tracing::error!("{fatal}");
        self.stopping.store(true, Ordering::SeqCst);
        self.fatal.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(Arc::new(fatal));
            }
            first
        });
        self.queue.wake();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Pipeline {
    /// Brings in what an earlier run left unfinished and starts the threads.
    ///
    /// # Errors
    /// The store fails, or a thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        pending: Pending,
        waiting: Vec<PendingBatch>,
        signers: Signers,
        limits: QueueLimits,
    ) -> Result<Self, Fatal> {
        let (submissions, received) = mpsc::channel(limits.submissions_max);
        let shared = Arc::new(Shared {
            queue: Queue::new(limits.records_max, limits.bytes_max),
            submissions,
            heights: watch::Sender::new(store.tip().height),
            fatal: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            signers,
            started: Instant::now(),
            store,
        });
        let application = Application::new(shared.clone());
        application.recover()?;
        for batch in waiting {
            for record in batch.records {
                if !shared.store.contains(&record.id())? {
                    shared.queue.push(record, batch.position);
                }
            }
        }
        let mut pipeline = Self { shared: shared.clone(), threads: Vec::new() };
        let ingress = ingress::Ingress::new(shared.clone(), pending, received);
        pipeline.spawn("ingress", move || ingress.run())?;
        let sequencer = sequencer::Sequencer::new(application, shared.clone());
        pipeline.spawn("sequencer", move || sequencer.run())?;
        pipeline.spawn("maintenance", move || maintenance::run(&shared))?;
        Ok(pipeline)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), Fatal> + Send + 'static,
    ) -> Result<(), Fatal> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(fatal)) => shared.fail(fatal),
                    Err(_) => shared.fail(Fatal::Thread(name, "panicked".to_owned())),
                }
            })
            .map_err(|error| Fatal::Thread(name, format!("cannot be started: {error}")))?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// What the API talks to.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Submit> {
        Arc::new(Handle(self.shared.clone()))
    }

    /// Turns to the reason once the node cannot go on.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<Arc<Fatal>>> {
        self.shared.fatal.subscribe()
    }

    /// Takes no more records, brings those that wait into blocks for at most
    /// `grace`, ends the threads and closes the store.
    ///
    /// # Errors
    /// Something failed, now or before. What was acknowledged is durable all the
    /// same.
    pub fn stop(self, grace: Duration) -> Result<(), Arc<Fatal>> {
        let deadline = Instant::now() + grace;
        self.shared.queue.wait_until_empty(deadline, || self.shared.is_stopping());
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.queue.wake();
        for (name, thread) in self.threads {
            if thread.join().is_err() {
                return Err(Arc::new(Fatal::Thread(name, "panicked".to_owned())));
            }
        }
        // Only now: a thread may fail while it finishes what was accepted.
        if let Some(fatal) = &*self.shared.fatal.borrow() {
            return Err(fatal.clone());
        }
        self.shared.store.close().map_err(|error| Arc::new(error.into()))
    }
}

/// Milliseconds since the Unix epoch, by this machine's clock.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

struct Handle(Arc<Shared>);

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

    fn sign(&self, member: &MemberId, payload: Map<String, Value>) -> Result<Record, SignError> {
        let (key_id, key) =
            self.0.signers.records.get(member).ok_or_else(|| SignError::NotHeld(member.clone()))?;
        let origin = self.0.store.membership().origin();
        let envelope = record::sign(payload, origin, member, key_id, key)?;
        Ok(envelope.verify(self.0.store.membership())?)
    }

    fn held_members(&self) -> Vec<MemberId> {
        self.0.signers.records.keys().cloned().collect()
    }

    fn heights(&self) -> watch::Receiver<u64> {
        self.0.heights.subscribe()
    }

    fn damaged(&self, error: StoreError) {
        self.0.fail(error.into());
    }

    fn status(&self) -> NodeStatus {
        let (pending_records, pending_bytes) = self.0.queue.size();
        let not_ready = match &*self.0.fatal.borrow() {
            Some(fatal) => Some(fatal.to_string()),
            None if self.0.is_stopping() => Some("the node is shutting down".to_owned()),
            None => None,
        };
        NodeStatus {
            member: Some(self.0.signers.member.clone()),
            validator: true,
            uptime: self.0.started.elapsed(),
            pending_records: pending_records as u64,
            pending_bytes: pending_bytes as u64,
            not_ready,
        }
    }
}
