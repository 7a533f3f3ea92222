//! A node for tests: an inbox that keeps what it got, and the gossip in front of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use quittance_ledger::digest::{Digest, LedgerId};
use tokio::sync::Notify;

use crate::gossip::{
    Attestation, Gossip, GossipLimits, GossipMetrics, Inbox, Peer, RecordBatch, Running, Settings,
    Verdict,
};

/// Long enough for anything that works, on a machine that does much else.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn ledger() -> LedgerId {
    LedgerId::from_digest(Digest::of(b"gossip tests"))
}

pub(super) fn batch(epoch: u64, first: u64, records: &[&[u8]]) -> RecordBatch {
    let records = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();
    RecordBatch { epoch, first, records }
}

pub(super) fn attestation(size: u64) -> Attestation {
    Attestation {
        size,
        root: [1; 32],
        validator: [2; 32],
        log: [3; 64],
        cosigned_at_s: 1_700_000_000,
        cosignature: [4; 64],
    }
}

/// What a node's inbox got and answers.
#[derive(Default)]
pub(super) struct Received {
    batches: Mutex<Vec<(PeerId, RecordBatch)>>,
    attestations: Mutex<Vec<(PeerId, Attestation)>>,
    changes: Mutex<Vec<(PeerId, bool)>>,
    pub(super) own: Mutex<Vec<Bytes>>,
    pub(super) notes: Mutex<Vec<Vec<u8>>>,
    /// Answers to requests wait until this is false.
    pub(super) silent: AtomicBool,
    /// Validations never end.
    pub(super) stuck: AtomicBool,
    pub(super) validating: AtomicUsize,
    /// Requests for own records so far.
    pub(super) asked: AtomicUsize,
    changed: Notify,
}

/// The epoch of the nodes' own records.
pub(super) const EPOCH: u64 = 7;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Received {
    pub(super) fn batches(&self) -> Vec<(PeerId, RecordBatch)> {
        lock(&self.batches).clone()
    }

    pub(super) fn attestations(&self) -> Vec<(PeerId, Attestation)> {
        lock(&self.attestations).clone()
    }

    /// Connections (`true`) and disconnections, as they were told.
    pub(super) fn changes(&self) -> Vec<(PeerId, bool)> {
        lock(&self.changes).clone()
    }

    /// Waits until it holds of what the inbox got.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(self) {
                    return;
                }
                changed.await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
    }
}

/// Counts validations down when they end or are dropped.
struct Counted(Arc<Received>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.validating.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

struct TestInbox(Arc<Received>);

impl TestInbox {
    fn judge(&self, verdict: Verdict) -> BoxFuture<'static, Verdict> {
        let inbox = self.0.clone();
        inbox.validating.fetch_add(1, Ordering::SeqCst);
        inbox.changed.notify_waiters();
        let counted = Counted(inbox.clone());
        async move {
            let _counted = counted;
            if inbox.stuck.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            verdict
        }
        .boxed()
    }
}

impl Inbox for TestInbox {
    fn records(&self, origin: PeerId, batch: RecordBatch) -> BoxFuture<'static, Verdict> {
        let starts = |with: &[u8]| batch.records.iter().any(|record| record.starts_with(with));
        let verdict = if starts(b"invalid") {
            Verdict::Reject
        } else if starts(b"panic") {
            panic!("a validation that panics")
        } else {
            Verdict::Accept
        };
        lock(&self.0.batches).push((origin, batch));
        self.0.changed.notify_waiters();
        self.judge(verdict)
    }

    fn attestation(&self, origin: PeerId, attestation: Attestation) -> BoxFuture<'static, Verdict> {
        lock(&self.0.attestations).push((origin, attestation));
        self.0.changed.notify_waiters();
        self.judge(Verdict::Accept)
    }

    fn own_records(&self, epoch: u64, first: u64, _: usize) -> RecordBatch {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
        // Not for ever: a runtime waits for this thread when a test fails.
        let start = Instant::now();
        while self.0.silent.load(Ordering::SeqCst) && start.elapsed() < PATIENCE / 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = if epoch == EPOCH { first } else { 0 };
        let records =
            lock(&self.0.own).iter().skip(usize::try_from(first).unwrap()).cloned().collect();
        RecordBatch { epoch: EPOCH, first, records }
    }

    fn checkpoints(&self, after: u64, count_max: usize) -> Vec<Vec<u8>> {
        let after = usize::try_from(after).unwrap();
        lock(&self.0.notes).iter().skip(after).take(count_max).cloned().collect()
    }

    fn connected(&self, peer: PeerId) {
        lock(&self.0.changes).push((peer, true));
        self.0.changed.notify_waiters();
    }

    fn disconnected(&self, peer: PeerId) {
        lock(&self.0.changes).push((peer, false));
        self.0.changed.notify_waiters();
    }
}

/// An inbox that nobody looks into.
pub(super) fn inbox() -> Arc<dyn Inbox> {
    Arc::new(TestInbox(Arc::default()))
}

/// A running node.
pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) keypair: Keypair,
    pub(super) inbox: Arc<Received>,
    pub(super) gossip: Gossip,
    pub(super) running: Running,
}

/// Limits for tests: the bounds of a node, but no long pauses.
pub(super) fn quick() -> GossipLimits {
    GossipLimits {
        redial_min: Duration::from_millis(20),
        redial_max: Duration::from_millis(500),
        ..GossipLimits::default()
    }
}

pub(super) fn peer(keypair: &Keypair) -> PeerId {
    keypair.public().to_peer_id()
}

impl Node {
    pub(super) async fn start(keypair: Keypair, peers: Vec<Peer>, limits: GossipLimits) -> Self {
        Self::start_at(keypair, "/ip4/127.0.0.1/tcp/0".parse().unwrap(), peers, limits).await
    }

    pub(super) async fn start_at(
        keypair: Keypair,
        listen: Multiaddr,
        peers: Vec<Peer>,
        limits: GossipLimits,
    ) -> Self {
        let inbox = Arc::new(Received::default());
        let settings = Settings {
            keypair: keypair.clone(),
            listen: Some(listen),
            ledger: ledger(),
            peers,
            limits,
            metrics: GossipMetrics::default(),
        };
        let (gossip, running) =
            Gossip::start(settings, Arc::new(TestInbox(inbox.clone()))).await.unwrap();
        Self { peer: peer(&keypair), keypair, inbox, gossip, running }
    }

    pub(super) fn address(&self) -> Multiaddr {
        self.gossip.listening().first().unwrap().clone()
    }

    pub(super) fn as_peer(&self) -> Peer {
        Peer { peer: self.peer, addresses: vec![self.address()] }
    }

    /// Waits until exactly these are connected.
    pub(super) async fn until_connected(&self, peers: &[PeerId]) {
        let mut sorted = peers.to_vec();
        sorted.sort_unstable();
        let mut connected = self.gossip.peers();
        let wait = connected.wait_for(|connected| *connected == sorted);
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never connected");
    }

    /// Ends it; its port is free afterwards.
    pub(super) async fn stop(self) {
        drop(self.gossip);
        self.running.await.unwrap().unwrap();
    }
}

/// So many nodes that all know and dial each other, connected.
pub(super) async fn consortium(count: usize, limits: &GossipLimits) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::start(Keypair::generate_ed25519(), Vec::new(), limits.clone()).await);
    }
    introduce(&nodes).await;
    nodes
}

/// Makes all nodes members to each other, and waits until each hears the others:
/// a subscription follows a connection a little later.
pub(super) async fn introduce(nodes: &[Node]) {
    let peers: Vec<Peer> = nodes.iter().map(Node::as_peer).collect();
    for node in nodes {
        node.gossip.set_peers(peers.clone());
    }
    for node in nodes {
        let others: Vec<PeerId> =
            nodes.iter().map(|other| other.peer).filter(|peer| *peer != node.peer).collect();
        node.until_connected(&others).await;
    }
    for (index, node) in nodes.iter().enumerate() {
        hear(node, nodes, u64::try_from(index).unwrap()).await;
    }
}

/// Publishes attestations of impossible sizes until all others got one.
async fn hear(node: &Node, nodes: &[Node], index: u64) {
    let base = u64::MAX - (index + 1) * 1_000_000;
    let heard = |other: &Node| {
        other
            .inbox
            .attestations()
            .iter()
            .any(|(from, what)| *from == node.peer && what.size >= base)
    };
    let wait = async {
        for attempt in 0.. {
            node.gossip.publish_attestation(&attestation(base + attempt)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if nodes.iter().all(|other| other.peer == node.peer || heard(other)) {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never heard");
}

/// The attestations that a test published, not those of [`introduce`].
pub(super) fn of_test(node: &Node) -> HashMap<(PeerId, u64), usize> {
    let mut counts = HashMap::new();
    for (from, what) in node.inbox.attestations() {
        if what.size < 1_000_000_000 {
            *counts.entry((from, what.size)).or_default() += 1;
        }
    }
    counts
}
