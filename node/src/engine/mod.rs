//! The consensus engine, Malachite (Tendermint over libp2p), as this ledger
//! runs it: our types, our signed bytes, our encoding and our bounds.
//!
//! The engine runs as actors. It asks the *host*, one more actor, for values
//! and decisions; here that actor only passes the questions on to the pipeline,
//! whose host thread answers them when it is ready. That is why a question may
//! wait for its answer as long as the ledger is idle.

pub mod arrivals;
pub mod certificate;
mod codec;
pub mod context;
pub mod limits;
pub mod parts;
mod peers;
mod signing;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_malachitebft_app::{
    config::{ConsensusConfig, DiscoveryConfig, P2pConfig, ValuePayload, ValueSyncConfig},
    engine::{
        consensus::ConsensusRef,
        host::HostMsg,
        network::{NetworkIdentity, NetworkMsg, NetworkRef, PersistentPeersOp},
        sync::{Msg as SyncMsg, SyncRef},
        util::{
            events::TxEvent,
            output_port::{OutputPort, OutputPortSubscriberTrait as _},
            streaming::StreamMessage,
        },
    },
    metrics::{Metrics, SharedRegistry},
    spawn::{
        spawn_consensus_actor, spawn_network_actor, spawn_node_actor, spawn_sync_actor,
        spawn_wal_actor,
    },
    types::codec::Codec as _,
};
use arc_malachitebft_sync::HeightStartType;
use async_trait::async_trait;
use bytesize::ByteSize;
use ed25519_dalek::SigningKey;
use libp2p::{Multiaddr, identity::Keypair};
use quittance_ledger::digest::LedgerId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

pub use self::{
    arrivals::Arrivals,
    codec::EngineCodec,
    peers::{Peer, Peers},
    signing::{StrictVerifier, ValidatorSigner},
};
use self::{
    context::{Address, Context, Height, Part},
    limits::{GOSSIP_BYTES_MAX, HOST_QUEUE, SYNC_RESPONSE_BYTES_MAX},
    peers::Listener,
};

/// A question or message of the engine.
pub type Question = HostMsg<Context>;

/// How the engine is started.
pub struct EngineSettings {
    /// The ledger.
    pub ledger: LedgerId,
    /// What the node is called in the engine's log lines.
    pub name: String,
    /// Signs votes; none on an observer.
    pub consensus: Option<SigningKey>,
    /// Names the node to other nodes.
    pub network: Keypair,
    /// Where it listens for other engines.
    pub listen: Multiaddr,
    /// The other members' engines, each with its `/p2p/` peer id. Nobody else
    /// is talked to.
    pub peers: Vec<Multiaddr>,
    /// The engine's log of votes.
    pub wal: PathBuf,
}

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the consensus engine cannot be started: {0}")]
pub struct EngineError(String);

/// A running engine.
pub struct Engine {
    questions: mpsc::Receiver<Question>,
    peers: Arc<Peers>,
    network: NetworkRef<Context>,
    metrics: Metrics,
    ended: Arc<AtomicBool>,
    runtime: tokio::runtime::Handle,
    // Kept, so that the actors are not orphans.
    _consensus: ConsensusRef<Context>,
    sync: Option<SyncRef<Context>>,
    arrivals: Option<Arrivals>,
}

impl Engine {
    /// Starts the engine on the current runtime. One engine runs in a process:
    /// its metrics are the process's.
    ///
    /// # Errors
    /// It cannot listen, or its log cannot be opened.
    pub async fn start(settings: EngineSettings) -> Result<Self, EngineError> {
        start(settings).await.map_err(|error| EngineError(format!("{error:#}")))
    }

    /// The engine's next question; none once it has ended.
    pub async fn next_question(&mut self) -> Option<Question> {
        self.questions.recv().await
    }

    /// Blocks that arrive while this node catches up; only once.
    pub const fn take_arrivals(&mut self) -> Option<Arrivals> {
        self.arrivals.take()
    }

    /// The engines of other members.
    #[must_use]
    pub const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Sends pieces of a proposed block to the other validators.
    pub fn publish(&self, messages: Vec<StreamMessage<Part>>) {
        for message in messages {
            // Fails only where the engine has ended, which is noticed elsewhere.
            let _ = self.network.cast(NetworkMsg::PublishProposalPart(message));
        }
    }

    /// Tells the others that everything before `next` is decided here, and gives
    /// it to whoever lacks it. Otherwise the engine does so only once its first
    /// height has started, and that height waits for something to decide.
    pub fn announce(&self, next: Height) {
        if let Some(sync) = &self.sync {
            // Fails only where the engine has ended, which is noticed elsewhere.
            let _ = sync.cast(SyncMsg::StartedHeight(next, HeightStartType::Start));
        }
    }

    /// Tells the others once more what is decided here. By itself the engine does so
    /// after each decision only; where that was lost, nobody hears of it, and two
    /// parts of the validators that wait for votes at different heights wait for ever.
    pub fn announce_again(&self) {
        if let Some(sync) = &self.sync {
            // Fails only where the engine has ended, which is noticed elsewhere.
            let _ = sync.cast(SyncMsg::Tick);
        }
    }

    /// Talks to one more member's engine, or to one at another address.
    pub fn add_peer(&self, address: Multiaddr) {
        self.update_peers(PersistentPeersOp::Add(address));
    }

    /// Talks to a member's engine no longer.
    pub fn forget_peer(&self, address: Multiaddr) {
        self.update_peers(PersistentPeersOp::Remove(address));
    }

    fn update_peers(&self, change: PersistentPeersOp) {
        let network = self.network.clone();
        self.runtime.spawn(async move {
            let asked = ractor::call!(network, |reply| {
                NetworkMsg::UpdatePersistentPeers(change, reply)
            });
            match asked {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("the engine's peers stay as they are: {error}"),
                Err(error) => tracing::warn!("the engine's peers stay as they are: {error}"),
            }
        });
    }

    /// Why the engine will not go on: it stops on purpose where going on could
    /// make it vote twice.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if self.metrics.node_safety_failure.get() != 0 {
            return Some(
                "stopped because its log of votes cannot be read or written: voting on could \
                 contradict an earlier vote. `quittance run --resync` starts over from the other \
                 nodes' blocks once the cause is found"
                    .to_owned(),
            );
        }
        self.ended
            .load(Ordering::SeqCst)
            .then(|| "ended by itself; its log lines say why".to_owned())
    }

    /// The runtime on which the engine runs.
    #[must_use]
    pub const fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }
}

/// Passes the engine's questions on.
struct Host(mpsc::Sender<Question>);

#[async_trait]
impl Actor for Host {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Question>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Question>,
        question: Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // Fails only while the node stops.
        let _ = self.0.send(question).await;
        Ok(())
    }
}

fn consensus_config(settings: &EngineSettings) -> ConsensusConfig {
    let discovery = DiscoveryConfig {
        enabled: false,
        // Members behind one address are as welcome as others; how many peers
        // there are is bounded by the membership.
        max_connections_per_ip: 256,
        ..DiscoveryConfig::default()
    };
    ConsensusConfig {
        enabled: true,
        value_payload: ValuePayload::ProposalAndParts,
        p2p: P2pConfig {
            listen_addr: settings.listen.clone(),
            persistent_peers: settings.peers.clone(),
            persistent_peers_only: true,
            discovery,
            pubsub_max_size: ByteSize::b(GOSSIP_BYTES_MAX as u64),
            rpc_max_size: ByteSize::b(limits::SYNC_MESSAGE_BYTES_MAX as u64),
            ..P2pConfig::default()
        },
        ..ConsensusConfig::default()
    }
}

fn sync_config() -> ValueSyncConfig {
    ValueSyncConfig {
        enabled: true,
        // Tells peers of every decision at once, so that observers keep up.
        status_update_interval: Duration::ZERO,
        request_timeout: Duration::from_secs(10),
        max_response_size: ByteSize::b(SYNC_RESPONSE_BYTES_MAX as u64),
        parallel_requests: 4,
        batch_size: 32,
        ..ValueSyncConfig::default()
    }
}

#[cfg(feature = "byzantine")]
use crate::byzantine::signer as boxed;

#[cfg(not(feature = "byzantine"))]
fn boxed(signer: ValidatorSigner) -> Box<dyn arc_malachitebft_signing::Signer<Context>> {
    Box::new(signer)
}

async fn start(
    settings: EngineSettings,
) -> Result<Engine, Box<dyn std::error::Error + Send + Sync>> {
    let context = Context::new(settings.ledger);
    let (consensus_config, sync_config) = (consensus_config(&settings), sync_config());
    let EngineSettings { ledger, name, consensus, network, wal, .. } = settings;
    let registry = SharedRegistry::global().with_moniker(name.as_str());
    let metrics = Metrics::register(&registry);
    let peer = network.public().to_peer_id();
    #[cfg(feature = "byzantine")]
    let key = consensus.clone();
    let signer = consensus.map(|key| {
        let address = Address(key.verifying_key().to_bytes());
        (address, ValidatorSigner::new(ledger, key))
    });
    let identity = match &signer {
        Some((address, signer)) => {
            let proof = EngineCodec.encode(&signer.prove(&peer.to_bytes()))?;
            NetworkIdentity::new_validator(name, network, address.to_string(), proof)
        }
        None => NetworkIdentity::new(name, network, None),
    };

    let (node, ended) = spawn_node_actor(metrics.clone()).await?;
    let (codec, arrivals) = arrivals::showing();
    let network =
        spawn_network_actor(&consensus_config, &sync_config, identity, &registry, codec).await?;
    network.link(node.get_cell());
    let wal = spawn_wal_actor(&context, EngineCodec, &wal, &registry, node.clone()).await?;
    wal.link(node.get_cell());
    let (sender, questions) = mpsc::channel(HOST_QUEUE);
    let (host, _) = Actor::spawn(None, Host(sender), ()).await?;
    host.link(node.get_cell());
    let events = TxEvent::new();
    let peers = Arc::new(Peers::default());
    let (listener, _) = Actor::spawn(None, Listener(peers.clone()), ()).await?;
    listener.link(node.get_cell());
    network.cast(NetworkMsg::Subscribe(Box::new(listener)))?;
    let sync_port = Arc::new(OutputPort::new());
    // An observer's address is nobody's.
    let address = signer.as_ref().map_or(Address([0; 32]), |(address, _)| *address);
    let outward = network.clone();
    #[cfg(feature = "byzantine")]
    let outward = match key {
        Some(key) => crate::byzantine::corrupt(outward, ledger, key).await?,
        None => outward,
    };
    let consensus = spawn_consensus_actor(
        context,
        address,
        consensus_config,
        Box::new(StrictVerifier::new(ledger)),
        signer.map(|(_, signer)| boxed(signer)),
        outward,
        host.clone(),
        wal,
        sync_port.clone(),
        metrics.clone(),
        events,
        node.clone(),
    )
    .await?;
    consensus.link(node.get_cell());
    let sync = spawn_sync_actor(
        context,
        network.clone(),
        host,
        consensus.clone(),
        EngineCodec,
        &sync_config,
        &registry,
    )
    .await?;
    if let Some(sync) = &sync {
        sync.link(node.get_cell());
        sync.subscribe_to_port(&sync_port);
    }
    let flag = Arc::new(AtomicBool::new(false));
    tokio::spawn({
        let flag = flag.clone();
        async move {
            // However it ends, it has ended.
            let _ = ended.await;
            flag.store(true, Ordering::SeqCst);
        }
    });
    Ok(Engine {
        questions,
        peers,
        network,
        metrics,
        ended: flag,
        runtime: tokio::runtime::Handle::current(),
        _consensus: consensus,
        sync,
        arrivals: Some(arrivals),
    })
}
