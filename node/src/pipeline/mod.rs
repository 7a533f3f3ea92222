//! How a record gets from the API into a block.
//!
//! ```text
//! submit → ingress (group commit into pending/) → queue → host ⇄ engine → store
//! ```
//!
//! The *ingress* thread makes accepted records durable, many with one flush,
//! and only then answers. The *host* thread answers the consensus engine: it
//! proposes blocks of records that wait, checks what others propose, and
//! commits what was decided, all through the `Application`. A ledger with one
//! validator runs on the same engine. A decided block is final once enough
//! validators have cosigned its checkpoint (`finality`). The *ahead* thread
//! verifies, while the node catches up, what the host gets to next. The
//! *maintenance* thread does what may take long and hurry nobody.

mod ahead;
mod application;
mod evidence;
mod exchange;
mod finality;
mod handle;
mod health;
mod held;
mod host;
mod ingress;
mod maintenance;
mod queue;
mod signers;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libp2p::PeerId;
use quittance_api::submit::Submit;
use quittance_ledger::{
    chain::BlockError,
    digest::RecordId,
    membership::{Membership, Validator},
    refusal::Code,
    store::{Location, Pending, PendingBatch, Store, StoreError},
    transparency::SignedCheckpoint,
    vault::Vault,
    wire::WireError,
};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    cosigned::CosignedError,
    engine::Engine,
    gossip::{self, Gossip, GossipError},
    network::{Neighbour, keypair, unlisted},
    resync::Resume,
};

pub use self::signers::{Signers, ValidatorSigners};
use self::{
    ahead::Ahead,
    application::Application,
    exchange::{Exchange, ExchangeInbox, Own},
    finality::{Attestation, Finality},
    handle::Handle,
    health::Health,
    host::Host,
    ingress::Submission,
    queue::Queue,
};

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
    /// A block cannot be written for other nodes.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A stored block may not follow the one before it.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The consensus engine failed or hangs.
    #[error("the consensus engine {0}")]
    Engine(String),
    /// No failure: the ledger is fetched, and the node is to be started again.
    #[error("the ledger is fetched from the other nodes")]
    Resynced,
    /// The record gossip failed.
    #[error("the record gossip: {0}")]
    Gossip(String),
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
    ahead: Ahead,
    submissions: mpsc::Sender<Submission>,
    heights: watch::Sender<u64>,
    fatal: watch::Sender<Option<Arc<Fatal>>>,
    stopping: AtomicBool,
    signers: Signers,
    started: Instant,
    /// Records that wait here and stand in decided blocks, in the order of the ledger.
    decided: Mutex<VecDeque<Decided>>,
    finality: Mutex<Finality>,
    health: Mutex<Health>,
    alerts: watch::Sender<Vec<String>>,
    /// Checkpoints that a peer says are final.
    offered: Mutex<Vec<SignedCheckpoint>>,
    own: Mutex<Own>,
    /// The other members' nodes.
    neighbours: Mutex<Vec<Neighbour>>,
    /// The name of this node for the others.
    peer: PeerId,
    gossip: OnceLock<Gossip>,
    /// Wakes the host: attestations or checkpoints came.
    attested: Notify,
}

/// What an attestation of another node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attested {
    /// It brings a checkpoint closer to final.
    New,
    /// It is known, or of something final.
    Known,
    /// Of nobody who validates, as far as this node knows.
    Stranger,
    /// Its signatures are not the validator's.
    Forged,
}

/// A record that waits to become final.
#[derive(Debug, Clone, Copy)]
struct Decided {
    id: RecordId,
    location: Location,
}

impl Shared {
    /// Gives what the ingress thread takes from, too.
    fn new(
        store: Arc<Store>,
        signers: Signers,
        limits: QueueLimits,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Submission>), Fatal> {
        let (submissions, received) = mpsc::channel(limits.submissions_max);
        let peer = keypair(&signers.network)
            .map_err(|error| Fatal::Engine(error.to_string()))?
            .public()
            .to_peer_id();
        let shared = Self {
            ahead: Ahead::default(),
            queue: Queue::new(limits.records_max, limits.bytes_max),
            submissions,
            heights: watch::Sender::new(store.tip().height),
            fatal: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            signers,
            started: Instant::now(),
            decided: Mutex::default(),
            finality: Mutex::default(),
            health: Mutex::default(),
            alerts: watch::Sender::default(),
            offered: Mutex::default(),
            own: Mutex::new(Own::new()),
            neighbours: Mutex::default(),
            peer,
            gossip: OnceLock::new(),
            attested: Notify::new(),
            store,
        };
        Ok((Arc::new(shared), received))
    }

    /// Notes that the node cannot go on. The first reason stays.
    fn fail(&self, fatal: Fatal) {
        if matches!(fatal, Fatal::Resynced) {
            tracing::info!("{fatal}");
        } else {
            tracing::error!("{fatal}");
        }
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

    /// Who decides on the next block.
    fn membership(&self) -> Membership {
        self.store.decided().membership().clone()
    }

    /// What this node validates with, while it is one of those who decide on the
    /// next block.
    fn own_validator(&self) -> Option<Validator> {
        let key = self.signers.validator.as_ref()?.consensus.verifying_key().to_bytes();
        self.membership().validators().by_consensus_key(&key).cloned()
    }

    // No thread leaves either half changed, so a poisoned lock is still whole.
    fn decided(&self) -> MutexGuard<'_, VecDeque<Decided>> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finality(&self) -> MutexGuard<'_, Finality> {
        self.finality.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn neighbours(&self) -> MutexGuard<'_, Vec<Neighbour>> {
        self.neighbours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a node of this name is that of one who decides on the next block.
    fn is_validator(&self, peer: &str) -> bool {
        self.membership().validators().iter().any(|of| of.peer.as_deref() == Some(peer))
    }

    /// Why the others do not talk to this node; see [`unlisted`].
    fn unlisted(&self) -> Option<String> {
        let tip = self.store.decided();
        unlisted(tip.membership(), &self.signers.member, &self.peer)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the others have gone on so far after this height that nobody waits
    /// for this node's cosignature of it.
    fn is_behind(&self, height: u64) -> bool {
        self.health().tip.is_some_and(|tip| tip > height + 1)
    }

    /// Whether the others have decided blocks that this node lacks.
    fn has_more_to_fetch(&self) -> bool {
        let decided = self.store.decided().height;
        self.health().tip.is_some_and(|tip| tip > decided)
    }

    fn set_health(&self, health: Health) {
        let alerts: Vec<_> = health.not_ready.iter().chain(&health.alerts).cloned().collect();
        self.alerts.send_if_modified(|told| {
            let changed = *told != alerts;
            if changed {
                alerts.iter().filter(|alert| !told.contains(alert)).for_each(|alert| {
                    tracing::warn!("{alert}");
                });
                *told = alerts;
            }
            changed
        });
        *self.health() = health;
    }

    fn offer_checkpoints(&self, signed: Vec<SignedCheckpoint>) {
        if !signed.is_empty() {
            *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = signed;
            self.attested.notify_one();
        }
    }

    fn take_offered(&self) -> Vec<SignedCheckpoint> {
        std::mem::take(&mut *self.offered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add_own_attestation(&self, attestation: Attestation) {
        self.publish_attestation(&attestation);
        self.finality().add(attestation, self.store.tip().frontier.size());
        self.attested.notify_one();
    }

    /// Takes what another validator says it cosigned.
    fn add_attestation(&self, attestation: Attestation) -> Result<Attested, StoreError> {
        // Those who decided on that block cosign it, who may no longer validate.
        let membership = self.store.membership_of_size(attestation.size)?;
        if membership.validators().by_consensus_key(&attestation.validator).is_none() {
            return Ok(Attested::Stranger);
        }
        if attestation.verified(&membership).is_none() {
            return Ok(Attested::Forged);
        }
        if !self.finality().add(attestation, self.store.tip().frontier.size()) {
            return Ok(Attested::Known);
        }
        self.attested.notify_one();
        Ok(Attested::New)
    }

    fn forget_attestations(&self, size: u64) {
        self.finality().forget_through(size);
    }

    /// The first checkpoint of decided blocks that enough validators attest.
    fn assemble_final(&self) -> Result<Option<SignedCheckpoint>, Fatal> {
        let own = self.own_validator().map(|validator| validator.consensus.to_bytes());
        let finality = self.finality();
        for (size, count) in finality.sizes() {
            let membership = self.store.membership_of_size(size)?;
            if count >= membership.validators().quorum()
                && let Some(checkpoint) = self.store.decided_checkpoint(size)?
                && let Some(signed) = finality.assemble(&checkpoint, &membership, own.as_ref())
            {
                return Ok(Some(signed));
            }
        }
        Ok(None)
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
        mut engine: Engine,
        resume: Option<Resume>,
    ) -> Result<Self, Fatal> {
        let (shared, received) = Shared::new(store, signers, limits)?;
        let application = Application::new(shared.clone());
        application.recover()?;
        let mut still_waiting = Vec::new();
        for batch in waiting {
            for record in batch.records {
                let id = record.id();
                if !shared.store.contains(&id)? {
                    shared.queue.push([record], batch.position);
                    shared.settle_known(&id)?;
                    still_waiting.push(id);
                }
            }
        }
        shared.number_waiting(&still_waiting);
        let mut pipeline = Self { shared: shared.clone(), threads: Vec::new() };
        let ingress = ingress::Ingress::new(shared.clone(), pending, received);
        pipeline.spawn("ingress", move || ingress.run())?;
        if let Some(arrivals) = engine.take_arrivals() {
            let shared = shared.clone();
            pipeline.spawn("ahead", move || ahead::run(&shared, &arrivals))?;
        }
        let host = Host::new(application, shared.clone(), engine, resume)?;
        pipeline.spawn("host", move || host.run())?;
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

    /// Starts to talk to the other members' nodes, on the current runtime.
    ///
    /// # Errors
    /// The gossip cannot listen.
    pub async fn join(
        &self,
        settings: gossip::Settings,
        neighbours: Vec<Neighbour>,
    ) -> Result<(), GossipError> {
        *self.shared.neighbours() = neighbours;
        let exchange = Arc::new(Exchange::new(self.shared.clone()));
        let inbox = Arc::new(ExchangeInbox(exchange.clone()));
        let (gossip, running) = Gossip::start(settings, inbox).await?;
        // Only once: a node joins after its start.
        let _ = self.shared.gossip.set(gossip.clone());
        tokio::spawn(exchange.run(gossip));
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let ended = running.await;
            if !shared.is_stopping() {
                shared.fail(Fatal::Gossip(match ended {
                    Ok(Ok(())) => "ended by itself".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                }));
            }
        });
        Ok(())
    }

    /// What the API talks to; `vault` is where this node keeps what is private.
    #[must_use]
    pub fn handle(&self, vault: Option<Arc<Vault>>) -> Arc<dyn Submit> {
        Arc::new(Handle(self.shared.clone(), vault))
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
        // What cannot become final without other nodes stays durable without us.
        if self.shared.membership().validators().len() == 1 {
            self.shared.queue.wait_until_empty(deadline, || self.shared.is_stopping());
        }
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

/// Whether a record that is refused so may be let in by another one that is on its
/// way. Keys, clocks and the membership are not worth waiting for.
const fn may_pass_soon(code: Code) -> bool {
    code.can_pass_later()
        && !matches!(
            code,
            Code::UnknownMember
                | Code::UnknownKey
                | Code::KeyNotValidThen
                | Code::OccurredInFuture
                | Code::ChangeImpossible
                // Costly to judge, and its figures are the signer's to look up.
                | Code::StatementMismatch
                | Code::TooManyProposals
        )
}

/// Milliseconds since the Unix epoch, by this machine's clock.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
