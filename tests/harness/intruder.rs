//! A libp2p client that behaves as no node would: it knocks at a node's gossip
//! port with any key, and says whatever it likes as often as it can.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, gossipsub,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use quittance_ledger::digest::LedgerId;

use crate::members::read_key;

/// Longer than whatever a node takes, so that only the node refuses.
const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Between two attempts to connect.
const KNOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Makes the content of a message from its number.
pub type Speech = Box<dyn FnMut(u64) -> Vec<u8> + Send>;

/// What an intruder says, how often, and on which topic.
pub struct Flood {
    /// `records` or `attestations`.
    pub topic: &'static str,
    /// Between two messages.
    pub pause: Duration,
    /// Makes a message.
    pub speech: Speech,
}

/// What an intruder has achieved so far.
#[derive(Debug, Default)]
pub struct Achieved {
    /// Connections that were set up, if only for a moment.
    pub connected: AtomicU64,
    /// Connections that the other side closed.
    pub closed: AtomicU64,
    /// Messages that were put on their way.
    pub sent: AtomicU64,
    /// What came from nodes: messages and subscriptions.
    pub received: AtomicU64,
}

impl Achieved {
    /// How often a node has let it in.
    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// How often a node has thrown it out.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// How much it has said.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How much it was told.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// An intruder at work, until it is dropped.
#[derive(Debug)]
pub struct Intruder {
    achieved: Arc<Achieved>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The network key of a node, by which it is known to others.
///
/// # Panics
/// The folder holds none.
#[must_use]
pub fn network_key(data: &Path) -> Keypair {
    Keypair::ed25519_from_bytes(read_key(&data.join("keys/network.pem")).to_bytes()).unwrap()
}

/// A key that nobody knows.
#[must_use]
pub fn unknown_key() -> Keypair {
    Keypair::generate_ed25519()
}

impl Intruder {
    /// Begins to knock at these nodes, and to speak to whoever lets it in.
    ///
    /// # Panics
    /// It cannot be set up.
    #[must_use]
    pub fn start(
        key: Keypair,
        ledger: LedgerId,
        nodes: Vec<(PeerId, SocketAddr)>,
        flood: Option<Flood>,
    ) -> Self {
        let (achieved, stop) = (Arc::<Achieved>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (achieved, stop) = (achieved.clone(), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let swarm = swarm(key, &ledger);
                    run(swarm, &ledger, &nodes, flood, &achieved, &stop).await;
                });
            }
        });
        Self { achieved, stop, thread: Some(thread) }
    }

    /// What it has achieved so far.
    pub fn achieved(&self) -> &Achieved {
        &self.achieved
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("an intruder panicked");
        }
    }
}

/// What a node speaks, as far as it takes to be kept connected.
#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    pubsub: gossipsub::Behaviour,
}

fn swarm(key: Keypair, ledger: &LedgerId) -> Swarm<Behaviour> {
    let configuration = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/quittance/{ledger}/gossip"))
        .max_transmit_size(FRAME_BYTES_MAX)
        .flood_publish(true)
        .build()
        .unwrap();
    let authenticity = gossipsub::MessageAuthenticity::Signed(key.clone());
    let mut pubsub = gossipsub::Behaviour::new(authenticity, configuration).unwrap();
    for what in ["records", "attestations"] {
        pubsub.subscribe(&topic(ledger, what)).unwrap();
    }
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| Behaviour { ping: ping::Behaviour::default(), pubsub })
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

fn topic(ledger: &LedgerId, what: &str) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("/quittance/{ledger}/{what}/1"))
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    ledger: &LedgerId,
    nodes: &[(PeerId, SocketAddr)],
    mut flood: Option<Flood>,
    achieved: &Achieved,
    stop: &AtomicBool,
) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let mut knock = tokio::time::interval(KNOCK_INTERVAL);
    let pause = flood.as_ref().map_or(Duration::from_secs(3600), |flood| flood.pause);
    let mut speak = tokio::time::interval(pause);
    for ticker in [&mut knock, &mut speak] {
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    let mut connected = HashSet::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    connected.insert(peer_id);
                    count(&achieved.connected);
                }
                SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
                    if num_established == 0 {
                        connected.remove(&peer_id);
                    }
                    count(&achieved.closed);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Pubsub(
                    gossipsub::Event::Message { .. } | gossipsub::Event::Subscribed { .. },
                )) => {
                    count(&achieved.received);
                }
                _ => {}
            },
            _ = knock.tick() => {
                for (peer, address) in nodes.iter().filter(|(peer, _)| !connected.contains(peer)) {
                    let address = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
                    let dial = DialOpts::peer_id(*peer).addresses(vec![address]).build();
                    // It fails while an attempt is under way.
                    let _ = swarm.dial(dial);
                }
            }
            _ = speak.tick(), if !connected.is_empty() => {
                if let Some(flood) = &mut flood {
                    let said = (flood.speech)(number);
                    number += 1;
                    // Nobody may be there to hear it.
                    let topic = topic(ledger, flood.topic);
                    if swarm.behaviour_mut().pubsub.publish(topic, said).is_ok() {
                        count(&achieved.sent);
                    }
                }
            }
        }
    }
}
