//! A node from start to stop: open the ledger, start the pipeline, serve the
//! API, and on a signal finish what was accepted.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use quittance_api::{ApiConfig, LimitError, ServeError, Tls, TlsError};
use quittance_ledger::{
    membership::{MemberId, Membership, cosigner_name},
    store::{self, Pending, Store, StoreError},
    transparency::{Cosigner, LogSigner, VerifierKeyError},
};
use tokio::sync::oneshot;

use crate::{
    config::Config,
    cosigned::LastCosigned,
    keys::KeyError,
    layout::{DataFolder, FolderError},
    pipeline::{Fatal, Pipeline, QueueLimits, Signers},
    setup::{self, SetupError},
};

/// A store up to this size is read back whole before the node serves; a larger
/// one while it serves (every single read is checked in any case).
const SCRUB_FIRST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long records that were accepted may take to become final at a stop.
const DRAIN: Duration = Duration::from_secs(20);

/// A node could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data folder could not be made ready.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The data folder's genesis cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key is missing, unreadable or not the one the ledger knows.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key does not make a vkey.
    #[error(transparent)]
    VerifierKey(#[from] VerifierKeyError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node had to stop.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The node had to stop, and somebody else holds the reason too.
    #[error("{0}")]
    Stopped(Arc<Fatal>),
    /// This node's consensus key is no validator's.
    #[error(
        "the keys in this folder are not those of the ledger's validator, whose node is the one that \
         runs in this release; append through its API, signing with your key: \
         quittance append FILE --api URL --key PEM --kid MEMBER#KEY --ledger ORIGIN"
    )]
    NotAValidator,
    /// The ledger needs agreement between nodes.
    #[error("the genesis lists {0} validators; this release runs ledgers with one")]
    SeveralValidators(usize),
    /// A bound of the API is absurd.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Anybody could listen.
    #[error(
        "{0} is not a loopback address: serve TLS with --tls-cert and --tls-key, or say --behind-proxy if a proxy in front of this node does"
    )]
    Exposed(SocketAddr),
    /// The address cannot be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The API failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A thread or the runtime could not be started.
    #[error("starting the node: {0}")]
    Start(std::io::Error),
}

impl RunError {
    /// Whether the ledger or the node failed, as opposed to a wrong setting, key
    /// or folder.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Store(error) | Self::Fatal(Fatal::Store(error)) => {
                !matches!(error, StoreError::InUse(_) | StoreError::OtherLedger { .. })
            }
            Self::Fatal(_) | Self::Stopped(_) | Self::Serve(_) | Self::Start(_) => true,
            _ => false,
        }
    }
}

/// A node that runs in this process.
#[derive(Debug)]
pub struct RunningNode {
    address: SocketAddr,
    membership: Membership,
    held: Vec<MemberId>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl RunningNode {
    /// Where the API listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is on its ledger.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The members it signs for.
    #[must_use]
    pub fn held_members(&self) -> &[MemberId] {
        &self.held
    }

    /// Stops the node in order and waits until it has ended.
    ///
    /// # Errors
    /// What made it stop before, or what failed while stopping.
    pub fn stop(mut self) -> Result<(), RunError> {
        if let Some(stop) = self.stop.take() {
            // The node may have ended by itself.
            let _ = stop.send(());
        }
        self.wait()
    }

    /// Waits until the node ends by itself or by a signal.
    ///
    /// # Errors
    /// What made it stop.
    pub fn wait(mut self) -> Result<(), RunError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(Fatal::Thread("node", "panicked".to_owned()).into()))
    }
}

/// Runs a node until it is told to stop by SIGINT or SIGTERM. `greet` is called
/// once it serves.
///
/// # Errors
/// It cannot start, or something made it stop.
pub fn run(config: &Config, greet: impl FnOnce(&RunningNode)) -> Result<(), RunError> {
    let node = start(config)?;
    greet(&node);
    node.wait()
}

/// Starts a node and gives it once its API serves.
///
/// # Errors
/// It cannot start.
pub fn start(config: &Config) -> Result<RunningNode, RunError> {
    config.limits.check()?;
    let tls = config.tls.as_ref().map(|tls| Tls::load(&tls.cert, &tls.key)).transpose()?;
    if !config.http.ip().is_loopback() && tls.is_none() && !config.behind_proxy {
        return Err(RunError::Exposed(config.http));
    }
    // Before the store is touched: whatever hinders the node from serving should
    // leave the ledger as it was. Who connects meanwhile waits.
    let listen = |source| RunError::Listen { address: config.http, source };
    let listener = TcpListener::bind(config.http).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let folder = setup::ensure(&config.data)?;
    let membership = folder.membership()?;
    let signers = signers(&folder, &membership)?;
    let held = signers.records.keys().cloned().collect();

    let store = open_store(&folder, &membership, config.store.cache_bytes)?;
    let (pending, waiting) = Pending::open(store.folder(), &membership, false)?;
    let store = Arc::new(store);
    let pipeline =
        Pipeline::start(store.clone(), pending, waiting, signers, QueueLimits::default())?;
    let api = ApiConfig {
        limits: config.limits.clone(),
        unsigned_allowed: config.unsigned,
        behind_proxy: config.behind_proxy,
    };
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let thread = std::thread::Builder::new()
        .name("node".to_owned())
        .spawn(move || {
            let served = runtime.block_on(serve(&pipeline, store, listener, api, tls, stopped));
            let drained = pipeline.stop(DRAIN);
            runtime.shutdown_timeout(Duration::from_secs(5));
            // What made it stop serving comes first.
            drained.map_err(RunError::Stopped).and(served)
        })
        .map_err(RunError::Start)?;
    Ok(RunningNode { address, membership, held, stop: Some(stop), thread: Some(thread) })
}

/// Serves until a signal, [`RunningNode::stop`] or a fatal error.
async fn serve(
    pipeline: &Pipeline,
    store: Arc<Store>,
    listener: TcpListener,
    api: ApiConfig,
    tls: Option<Tls>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), RunError> {
    let mut fatal = pipeline.fatal();
    let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("interrupted; finishing what was accepted"),
            _ = terminate.recv() => tracing::info!("terminated; finishing what was accepted"),
            _ = stopped => {}
            _ = fatal.wait_for(Option::is_some) => {}
        }
    };
    let limits = api.limits.clone();
    let router = quittance_api::router(store, pipeline.handle(), api)?;
    quittance_api::serve(listener, router, tls, &limits, shutdown).await?;
    Ok(())
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, RunError> {
    tokio::signal::unix::signal(kind).map_err(RunError::Start)
}

/// The keys this node works with, all of which the ledger knows.
pub(crate) fn signers(folder: &DataFolder, membership: &Membership) -> Result<Signers, RunError> {
    let keys = folder.keys()?;
    keys.check(membership)?;
    let validators = membership.validators().len();
    if validators != 1 {
        return Err(RunError::SeveralValidators(validators));
    }
    let member = keys.member(membership).ok_or(RunError::NotAValidator)?;
    let validator = keys.validator.ok_or(RunError::NotAValidator)?;
    let origin = membership.origin();
    let cosigner = Cosigner::new(cosigner_name(origin, &member), validator.cosigner)?;
    let log = LogSigner::new(origin, validator.log)?;
    Ok(Signers {
        consensus: validator.consensus,
        cosigned: LastCosigned::new(
            folder.cosigned_path(),
            vec![log.verifier_key().clone()],
            vec![cosigner.verifier_key().clone()],
        ),
        log,
        cosigner,
        records: keys.record,
        member,
    })
}

fn open_store(
    folder: &DataFolder,
    membership: &Membership,
    cache_bytes: u64,
) -> Result<Store, RunError> {
    let path: PathBuf = folder.ledger_path();
    let options = store::Options { cache_bytes, ..store::Options::default() };
    let store = Store::open(&path, membership.clone(), options)?;
    if store.disk_bytes()? <= SCRUB_FIRST_BYTES_MAX {
        store.scrub(|_| true)?;
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn damage() -> StoreError {
        StoreError::Damaged { file: "blocks".to_owned(), problem: "a test".to_owned() }
    }

    #[test]
    fn what_failed_until_the_stop_is_over_is_no_orderly_end() {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let membership = folder.membership().unwrap();
        let signers = signers(&folder, &membership).unwrap();
        let store = open_store(&folder, &membership, 8 << 20).unwrap();
        let (pending, waiting) = Pending::open(store.folder(), &membership, false).unwrap();
        let limits = QueueLimits::default();
        let pipeline = Pipeline::start(Arc::new(store), pending, waiting, signers, limits).unwrap();
        pipeline.handle().damaged(damage());
        let fatal = pipeline.stop(Duration::from_secs(10)).unwrap_err();
        assert!(matches!(&*fatal, Fatal::Store(error) if error.is_damage()), "{fatal}");
    }

    #[test]
    fn failures_are_told_from_wrong_settings() {
        let disk = || StoreError::Io {
            action: "writing",
            path: "blocks".into(),
            source: std::io::Error::other("the disk is gone"),
        };
        let ended = Fatal::Thread("ingress", "panicked".to_owned());
        for failure in [
            RunError::Store(damage()),
            RunError::Store(disk()),
            RunError::Fatal(Fatal::Store(disk())),
            RunError::Stopped(Arc::new(Fatal::Store(disk()))),
            RunError::Stopped(Arc::new(ended)),
        ] {
            assert!(failure.is_failure(), "{failure}");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        for setting in [
            RunError::Store(StoreError::InUse("ledger".into())),
            RunError::Listen { address, source },
            RunError::Exposed(address),
            RunError::NotAValidator,
        ] {
            assert!(!setting.is_failure(), "{setting}");
        }
    }
}
