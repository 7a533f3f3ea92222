//! A node from start to stop: open the ledger, start the pipeline, serve the
//! API, and on a signal finish what was accepted.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::Router;
use prometheus_client::registry::Registry;
use quittance_api::{
    ApiConfig, LimitError, Limits, ServeError, Tls, TlsError,
    access::{Access, Tokens, TokensError},
};
use quittance_ledger::{
    limits::GENESIS_BYTES_MAX,
    membership::{GenesisError, Member, MemberFile, MemberId, Membership, cosigner_name},
    store::{self, Pending, Store, StoreError},
    transparency::{Cosigner, LogSigner, VerifierKeyError},
    vault::{Vault, VaultError},
};
use tokio::sync::oneshot;

use crate::{
    config::Config,
    cosigned::LastCosigned,
    engine::{Engine, EngineError},
    files::{self, FileError},
    gossip::GossipError,
    keys::{self, KeyError},
    layout::{DataFolder, FolderError},
    network::{Network, NetworkError},
    pipeline::{Fatal, Pipeline, QueueLimits, Signers, ValidatorSigners},
    resync::{self, ResyncError},
    setup::{self, SetupError},
};

/// A store up to this size is read back whole before the node serves; a larger
/// one while it serves (every single read is checked in any case).
const SCRUB_FIRST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long records that were accepted may take to become final at a stop, where
/// this node is the only validator.
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
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The node had to stop.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The node had to stop, and somebody else holds the reason too.
    #[error("{0}")]
    Stopped(Arc<Fatal>),
    /// No key in the data folder belongs to a member.
    #[error("none of the keys in {} belongs to a member of this ledger", .0.display())]
    NotAMember(PathBuf),
    /// This node's `member.toml` cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// This node's `member.toml` says nothing that can be used.
    #[error("member.toml: {0}")]
    OwnMember(#[from] GenesisError),
    /// Nobody could ever decide on a block.
    #[error("no member of this ledger validates; its genesis needs at least one validator")]
    NoValidators,
    /// The other nodes cannot be reached as the ledger says.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The record gossip could not be started.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// The ledger cannot be fetched again.
    #[error(transparent)]
    Resync(#[from] ResyncError),
    /// The ledger has been fetched; the node is to be started again to vote.
    #[error("the ledger is fetched; start the node again, without --resync")]
    Resynced,
    /// The consensus engine could not be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A bound of the API is absurd.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The API's tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
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
    /// Whether what is on the disk is damaged.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) | Self::Fatal(Fatal::Store(error)) => error.is_damage(),
            Self::Stopped(fatal) => matches!(&**fatal, Fatal::Store(error) if error.is_damage()),
            _ => false,
        }
    }

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

    /// The members it signs for, its own first.
    #[must_use]
    pub fn held_members(&self) -> &[MemberId] {
        &self.held
    }

    /// What stops the node in order, for whoever cannot hold the node itself;
    /// none where it was taken already.
    pub fn take_stop(&mut self) -> Option<oneshot::Sender<()>> {
        self.stop.take()
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
pub fn run(config: &Config, greet: impl FnOnce(&mut RunningNode)) -> Result<(), RunError> {
    let mut node = start(config)?;
    greet(&mut node);
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
    let genesis = folder.membership()?;
    let access = Access::new(config.reading_is_open(address), Tokens::watch(folder.tokens_path())?);
    if config.resync {
        resync::begin(&folder, &genesis)?;
    }
    let resume = resync::pending(&folder)?;
    let store = open_store(&folder, &genesis, config.store_options())?;
    // Who is on the ledger now, which may no longer be who the genesis lists.
    let membership = store.decided().membership().clone();
    let mut signers = signers(&folder, &membership)?;
    if resume.is_some() {
        tracing::warn!("the ledger is fetched from the other nodes; this node only follows");
        signers.validator = None;
    }
    let held = own_first(signers.records.keys().cloned(), &signers.member);
    let vault = Arc::new(open_vault(&folder, config.vault.records_max)?);
    let (pending, waiting) = Pending::open(store.folder(), &membership, false)?;
    let store = Arc::new(store);
    let own = own_member(&folder, &membership)?;
    if membership.member(&signers.member).is_none() {
        tracing::warn!(
            member = %signers.member,
            "this node's member is not on the ledger, as far as this node knows: the members' \
             nodes refuse it until it is added"
        );
    }
    let network = Network::new(&membership, &signers.member, own.as_ref(), &config.network)?;
    // Apart from the API's, so that no load there delays a vote.
    let engine_runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("engine")
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let engine = engine_runtime.block_on(Engine::start(network.engine(
        &signers,
        if resume.is_some() { folder.following_path() } else { folder.votes_path() },
        membership.ledger_id(),
    )?))?;
    let gossip = network.gossip(&signers, membership.ledger_id())?;
    let mut figures = Registry::default();
    gossip.metrics.register(figures.sub_registry_with_prefix("quittance"));
    let limits = QueueLimits::default();
    let resume_is_none = resume.is_none();
    let pipeline =
        Pipeline::start(store.clone(), pending, waiting, signers, limits, engine, resume)?;
    engine_runtime.block_on(pipeline.join(gossip, network.neighbours().to_vec()))?;
    let api = ApiConfig {
        limits: config.limits.clone(),
        unsigned_allowed: config.unsigned,
        behind_proxy: config.behind_proxy,
    };
    let limits = api.limits.clone();
    let handle = pipeline.handle(Some(vault));
    // While the ledger is fetched again, records look as if they had been refused.
    let upkeep = match resume_is_none {
        true => quittance_api::Upkeep::new(store.clone(), handle.clone()),
        false => None,
    };
    let router = quittance_api::router_with_figures(store, handle, api, access, figures)?;
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    if let Some(upkeep) = upkeep {
        runtime.spawn(upkeep.run());
    }
    let thread = std::thread::Builder::new()
        .name("node".to_owned())
        .spawn(move || {
            let served =
                runtime.block_on(serve(&pipeline, router, listener, &limits, tls, stopped));
            let drained = pipeline.stop(DRAIN);
            engine_runtime.shutdown_timeout(Duration::from_secs(5));
            if let Err(error) = &drained
                && matches!(**error, Fatal::Resynced)
            {
                resync::end(&folder)?;
                return Err(RunError::Resynced);
            }
            runtime.shutdown_timeout(Duration::from_secs(5));
            // What made it stop serving comes first.
            drained.map_err(RunError::Stopped).and(served)
        })
        .map_err(RunError::Start)?;
    Ok(RunningNode { address, membership, held, stop: Some(stop), thread: Some(thread) })
}

/// The members that the node signs for, its own before the others: examples are
/// made for the first that will do.
fn own_first(held: impl Iterator<Item = MemberId>, own: &MemberId) -> Vec<MemberId> {
    let mut held: Vec<_> = held.collect();
    held.sort_by_key(|held| held != own);
    held
}

/// Serves until a signal, [`RunningNode::stop`] or a fatal error.
async fn serve(
    pipeline: &Pipeline,
    router: Router,
    listener: TcpListener,
    limits: &Limits,
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
            // Dropped unused by whoever started the node, it stops nothing.
            () = async { if stopped.await.is_err() { std::future::pending::<()>().await } } => {}
            _ = fatal.wait_for(Option::is_some) => {}
        }
    };
    quittance_api::serve(listener, router, tls, limits, shutdown).await?;
    Ok(())
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, RunError> {
    tokio::signal::unix::signal(kind).map_err(RunError::Start)
}

/// The keys this node works with, all of which the ledger knows.
pub(crate) fn signers(folder: &DataFolder, membership: &Membership) -> Result<Signers, RunError> {
    let keys = folder.keys()?;
    keys.check(membership)?;
    if membership.validators().is_empty() {
        return Err(RunError::NoValidators);
    }
    let member = match keys.member(membership) {
        Some(member) => member,
        // A node that the ledger does not know yet follows it until it does.
        None => own_member(folder, membership)?
            .map(|own| own.id)
            .filter(|own| membership.past(own).is_none() || keys.record.contains_key(own))
            .ok_or_else(|| RunError::NotAMember(folder.keys_path()))?,
    };
    let origin = membership.origin();
    let validator = match keys.validator {
        Some(validator) => {
            let cosigner = Cosigner::new(cosigner_name(origin, &member), validator.cosigner)?;
            let log = LogSigner::new(origin, validator.log)?;
            Some(ValidatorSigners {
                consensus: validator.consensus,
                cosigned: LastCosigned::of_member(folder.cosigned_path(), membership, &member)
                    .signing_as(log.verifier_key(), cosigner.verifier_key()),
                log,
                cosigner,
            })
        }
        None => None,
    };
    Ok(Signers { network: keys.network, validator, records: keys.record, member })
}

/// What this node's `member.toml` says of it, where `init` left one.
fn own_member(folder: &DataFolder, membership: &Membership) -> Result<Option<Member>, RunError> {
    let path = folder.member_path();
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path, GENESIS_BYTES_MAX)?;
    let file = MemberFile::from_toml(&text)?;
    let Some(entry) = file.member.into_iter().next() else { return Ok(None) };
    Ok(Some(entry.named_for(membership.origin())?.into_member()?))
}

fn open_store(
    folder: &DataFolder,
    membership: &Membership,
    options: store::Options,
) -> Result<Store, RunError> {
    let path: PathBuf = folder.ledger_path();
    let store = Store::open(&path, membership.clone(), options)?;
    if store.disk_bytes()? <= SCRUB_FIRST_BYTES_MAX {
        store.scrub(|_| true)?;
    }
    Ok(store)
}

/// Opens the vault, and makes it and its key where there is none. Erasures that
/// were cut off are finished before anything is served.
fn open_vault(folder: &DataFolder, records_max: usize) -> Result<Vault, RunError> {
    let path = folder.vault_path();
    let key = keys::open_vault_key(&folder.keys_path(), &path)?;
    let vault = Vault::open(&path, key, records_max)?;
    let slots = path.join("slots");
    if vault.damaged() > 0 {
        tracing::error!(
            slots = vault.damaged(),
            "slots of the vault are damaged: what is private of their records cannot be read; \
             put {} back from a backup",
            slots.display()
        );
    }
    if vault.orphans() > 0 {
        tracing::error!(
            files = vault.orphans(),
            "sealed files of the vault have no slots, so that they cannot be read: put the newest \
             {} back from a backup; nothing of them is destroyed meanwhile",
            slots.display()
        );
    }
    Ok(vault)
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
        let store = open_store(&folder, &membership, store::Options::default()).unwrap();
        let (pending, waiting) = Pending::open(store.folder(), &membership, false).unwrap();
        let limits = QueueLimits::default();
        let network =
            Network::new(&membership, &signers.member, None, &crate::config::Network::default())
                .unwrap();
        let settings =
            network.engine(&signers, folder.votes_path(), membership.ledger_id()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let engine = runtime.block_on(Engine::start(settings)).unwrap();
        let pipeline =
            Pipeline::start(Arc::new(store), pending, waiting, signers, limits, engine, None)
                .unwrap();
        pipeline.handle(None).damaged(damage());
        let fatal = pipeline.stop(Duration::from_secs(10)).unwrap_err();
        assert!(matches!(&*fatal, Fatal::Store(error) if error.is_damage()), "{fatal}");
    }

    #[test]
    fn examples_are_for_the_nodes_own_member_and_not_for_the_first_by_its_name() {
        let ids = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let held: Vec<MemberId> = ids(&["auto-fr", "heca", "petexpert"]);
        let expected: Vec<MemberId> = ids(&["petexpert", "auto-fr", "heca"]);
        assert_eq!(own_first(held.clone().into_iter(), &ids(&["petexpert"]).remove(0)), expected);
        // Where it holds no key of its own, nothing changes.
        let own = "vet-1".parse().unwrap();
        assert_eq!(own_first(held.clone().into_iter(), &own), held);
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
            RunError::NoValidators,
        ] {
            assert!(!setting.is_failure(), "{setting}");
        }
    }
}
