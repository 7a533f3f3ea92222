//! Who is connected, and what happens when that changes.

use libp2p::identity::Keypair;

use super::harness::{EPOCH, Node, attestation, batch, consortium, introduce, peer, quick};
use crate::gossip::{
    Gossip, GossipError, GossipMetrics, Inbox, Peer, RecordBatch, Settings, Verdict,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_is_dialled_again() {
    let mut nodes = consortium(2, &quick()).await;
    let gone = nodes.pop().unwrap();
    let (keypair, address, gone_peer) = (gone.keypair.clone(), gone.address(), gone.peer);
    gone.stop().await;
    for _ in 0..3 {
        nodes[0].until_connected(&[]).await;
        // It knows nobody's address: only a dial by the other connects them.
        let silent = vec![Peer { peer: nodes[0].peer, addresses: Vec::new() }];
        let back = Node::start_at(keypair.clone(), address.clone(), silent, quick()).await;
        nodes[0].until_connected(&[gone_peer]).await;
        back.until_connected(&[nodes[0].peer]).await;
        back.stop().await;
    }
    let changes: Vec<bool> =
        nodes[0].inbox.changes().iter().map(|(_, connected)| *connected).collect();
    assert!(changes.windows(2).all(|pair| pair[0] != pair[1]), "in turn: {changes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_peer_is_cut_off_and_a_new_one_is_admitted() {
    let mut nodes = consortium(3, &quick()).await;
    let removed = nodes.pop().unwrap();
    let added = Node::start(Keypair::generate_ed25519(), Vec::new(), quick()).await;
    nodes.push(added);
    introduce(&nodes).await;
    // It still counts the others as members, and tries.
    removed.until_connected(&[]).await;
    let before = nodes[0].inbox.batches().len();
    let _ = removed.gossip.publish_records(&batch(EPOCH, 0, &[b"from outside"]));
    nodes[2].gossip.publish_records(&batch(EPOCH, 0, &[b"from inside"])).unwrap();
    for node in &nodes[..2] {
        node.inbox.until("the new member's", |inbox| inbox.batches().len() > before).await;
        assert!(node.inbox.batches().iter().all(|(origin, _)| *origin == nodes[2].peer));
        assert!(node.inbox.changes().contains(&(removed.peer, false)));
    }
    assert!(removed.inbox.batches().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_without_an_address_is_served_when_it_dials() {
    let observer = Keypair::generate_ed25519();
    let known = vec![Peer { peer: peer(&observer), addresses: Vec::new() }];
    let node = Node::start(Keypair::generate_ed25519(), known, quick()).await;
    let observer = Node::start(observer, vec![node.as_peer()], quick()).await;
    observer.until_connected(&[node.peer]).await;
    node.until_connected(&[observer.peer]).await;
    assert!(observer.gossip.request_records(node.peer, EPOCH, 0).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_different_ledgers_have_nothing_to_say_to_each_other() {
    struct Nothing;
    impl Inbox for Nothing {
        fn records(
            &self,
            _: libp2p::PeerId,
            _: RecordBatch,
        ) -> futures::future::BoxFuture<'static, Verdict> {
            panic!("a batch of another ledger")
        }
        fn attestation(
            &self,
            _: libp2p::PeerId,
            _: crate::gossip::Attestation,
        ) -> futures::future::BoxFuture<'static, Verdict> {
            panic!("an attestation of another ledger")
        }
        fn own_records(&self, _: u64, _: u64, _: usize) -> RecordBatch {
            panic!("asked by a node of another ledger")
        }
        fn checkpoints(&self, _: u64, _: usize) -> Vec<Vec<u8>> {
            panic!("asked by a node of another ledger")
        }
        fn connected(&self, _: libp2p::PeerId) {}
        fn disconnected(&self, _: libp2p::PeerId) {}
    }
    let other = Keypair::generate_ed25519();
    let known = vec![Peer { peer: peer(&other), addresses: Vec::new() }];
    let node = Node::start(Keypair::generate_ed25519(), known, quick()).await;
    let ledger = quittance_ledger::digest::LedgerId::from_digest(
        quittance_ledger::digest::Digest::of(b"another"),
    );
    let settings = Settings {
        keypair: other,
        listen: None,
        ledger,
        peers: vec![node.as_peer()],
        limits: quick(),
        metrics: GossipMetrics::default(),
    };
    let (gossip, _running) = Gossip::start(settings, std::sync::Arc::new(Nothing)).await.unwrap();
    let mut connected = gossip.peers();
    connected.wait_for(|peers| peers.contains(&node.peer)).await.unwrap();
    assert!(gossip.listening().is_empty());
    assert!(gossip.request_records(node.peer, EPOCH, 0).await.is_err());
    let from = node.gossip.peers().borrow().clone();
    assert!(node.gossip.request_records(from[0], EPOCH, 0).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_listen_or_has_impossible_settings_says_so() {
    let node = Node::start(Keypair::generate_ed25519(), Vec::new(), quick()).await;
    let start = async |listen, peers, limits| {
        let settings = Settings {
            keypair: Keypair::generate_ed25519(),
            listen: Some(listen),
            ledger: super::harness::ledger(),
            peers,
            limits,
            metrics: GossipMetrics::default(),
        };
        Gossip::start(settings, super::harness::inbox()).await.map(|_| ()).unwrap_err()
    };
    let used = start(node.address(), Vec::new(), quick()).await;
    assert!(matches!(used, GossipError::Listen { .. }), "{used}");
    let unusable = start("/ip4/127.0.0.1/udp/1".parse().unwrap(), Vec::new(), quick()).await;
    assert!(matches!(unusable, GossipError::Listen { .. }), "{unusable}");
    let free = || "/ip4/127.0.0.1/tcp/0".parse().unwrap();
    let mut wrong = node.as_peer();
    wrong.addresses = vec![node.address().with_p2p(peer(&Keypair::generate_ed25519())).unwrap()];
    let wrong = start(free(), vec![wrong], quick()).await;
    assert!(matches!(wrong, GossipError::Address { .. }), "{wrong}");
    let mut limits = quick();
    limits.requests_max = 0;
    let impossible = start(free(), Vec::new(), limits).await;
    assert!(matches!(impossible, GossipError::Settings(_)), "{impossible}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gossip_ends_with_its_last_handle_and_frees_its_port() {
    let node = Node::start(Keypair::generate_ed25519(), Vec::new(), quick()).await;
    let (address, keypair) = (node.address(), node.keypair.clone());
    let (clone, running) = (node.gossip.clone(), node.running);
    drop(node.gossip);
    assert!(clone.publish_attestation(&attestation(1)).is_ok(), "a clone is a handle, too");
    drop(clone);
    running.await.unwrap().unwrap();
    Node::start_at(keypair, address, Vec::new(), quick()).await.stop().await;
}
