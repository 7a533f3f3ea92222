//! Whoever floods a consortium's nodes, or knocks without being a member, gets
//! nothing and disturbs nobody: memory stays bounded, and the others' records
//! become final about as fast as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use quittance_tests::{
    Cluster, Load, Node, copy_folder,
    intruder::{Flood, Intruder, network_key, unknown_key},
    load::{Pace, percentile},
    load_records, quittance, wait_for,
};

/// How long the ledger is watched with and without a flood.
const WATCHED: Duration = Duration::from_secs(10);

/// What is fast enough on a busy machine, whatever it was without the flood: a
/// validator that is away costs 0.7 s at each of its turns.
const MEDIAN_FLOOR: Duration = Duration::from_millis(600);
const TAIL_FLOOR: Duration = Duration::from_millis(1800);

/// What a node may grow by in a flood: its bounds for messages in validation
/// and in queues, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// What is measured must not be disturbed by another test.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gossip ports of these nodes, and who is to answer there.
fn gossip_ports(cluster: &Cluster, nodes: &[usize]) -> Vec<(PeerId, SocketAddr)> {
    let peer = |node: &usize| network_key(cluster.data(*node)).public().to_peer_id();
    nodes.iter().map(|node| (peer(node), cluster.gossip_address(*node))).collect()
}

/// Median and 95th percentile to final while nothing else is done.
fn watch(load: &Load) -> (Duration, Duration) {
    let from = Instant::now();
    wait_for("the time to pass", || (from.elapsed() > WATCHED).then_some(()));
    let latencies = load.told().final_latencies(from, from + WATCHED);
    (percentile(&latencies, 50), percentile(&latencies, 95))
}

/// Watches these nodes without and with a flood that `begin` starts.
fn hold_off<F>(cluster: &mut Cluster, nodes: &[usize], begin: impl FnOnce(&Cluster) -> F) -> F {
    let load = cluster.load_with(nodes, Pace { pause: Duration::from_millis(50), wait_s: 60 });
    load.wait_for_acknowledged(50);
    let before = watch(&load);
    let resident = |node: &usize| cluster.node(*node).resident_bytes();
    let small: Vec<_> = nodes.iter().map(resident).collect();
    let flood = begin(cluster);
    let during = watch(&load);
    let large: Vec<_> = nodes.iter().map(resident).collect();
    println!("median and tail before {before:?}, during {during:?}; bytes {small:?}, {large:?}");
    for (before, during, floor) in
        [(before.0, during.0, MEDIAN_FLOOR), (before.1, during.1, TAIL_FLOOR)]
    {
        assert!(during < 2 * before.max(floor), "{before:?} became {during:?}");
    }
    for (small, large) in small.iter().zip(large) {
        assert!(large < small + GROWTH_BYTES_MAX, "{small} bytes became {large}");
    }
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), nodes);
    flood
}

/// A member's node is stopped, and what has its network key floods the others.
fn a_member_floods(flood: impl FnOnce(&Cluster) -> Flood) {
    let _alone = alone();
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    cluster.stop(&[3]);
    let key = network_key(cluster.data(3));
    let ledger = cluster.membership().ledger_id();
    let intruder = hold_off(&mut cluster, &[0, 1, 2], |cluster| {
        Intruder::start(key, ledger, gossip_ports(cluster, &[0, 1, 2]), Some(flood(cluster)))
    });
    let achieved = intruder.achieved();
    println!("{achieved:?}");
    assert!(achieved.connected() > 0 && achieved.sent() > 0, "{achieved:?}");
    drop(intruder);
    // It is forgiven: once it behaves, the node is a member's again.
    cluster.launch(&[3]);
    let load = cluster.load(&[3]);
    load.wait_for_acknowledged(5);
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.same_history(&cluster.all());
}

#[test]
fn a_member_that_floods_with_garbage_disturbs_nobody() {
    let speech = Box::new(|number: u64| {
        let mut garbage = vec![0xab; 100_000];
        garbage[..8].copy_from_slice(&number.to_be_bytes());
        garbage
    });
    a_member_floods(|_| Flood { topic: "records", pause: Duration::from_millis(5), speech });
}

#[test]
fn a_member_that_floods_with_oversized_messages_disturbs_nobody() {
    let speech = Box::new(|number: u64| {
        let mut huge = vec![0xcd; 8 * 1024 * 1024];
        huge[..8].copy_from_slice(&number.to_be_bytes());
        huge
    });
    a_member_floods(|_| Flood { topic: "records", pause: Duration::from_millis(50), speech });
}

#[test]
fn a_member_that_sends_records_out_of_order_without_end_disturbs_nobody() {
    a_member_floods(|cluster| {
        let record = load_records(cluster, 1).remove(0).jws;
        // Batches (docs/FORMATS.md, "Gossip") whose predecessors never come.
        let speech = Box::new(move |number: u64| {
            let mut batch = Vec::new();
            for integer in [number / 50, 1_000_000 + 200 * number, 200] {
                batch.extend_from_slice(&u64::to_be_bytes(integer));
            }
            for _ in 0..200 {
                batch.extend_from_slice(&(record.len() as u64).to_be_bytes());
                batch.extend_from_slice(record.as_bytes());
            }
            batch
        });
        Flood { topic: "records", pause: Duration::from_millis(20), speech }
    });
}

/// Connections that say nothing, or nothing sensible, as many as there can be.
struct Knocking {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Knocking {
    fn at(addresses: Vec<SocketAddr>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let threads = addresses.into_iter().map(|address| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut open = std::collections::VecDeque::new();
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(mut stream) = TcpStream::connect(address) {
                        // Every other one speaks, though not libp2p.
                        if open.len() % 2 == 0 {
                            let _ = stream.write_all(&[0x5a; 4096]);
                        }
                        open.push_back(stream);
                    }
                    if open.len() > 200 {
                        open.pop_front();
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_stranger_that_knocks_without_end_disturbs_nobody_and_is_told_nothing() {
    let _alone = alone();
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let ledger = cluster.membership().ledger_id();
    let all = cluster.all();
    let (intruder, knocking) = hold_off(&mut cluster, &all, |cluster| {
        let speech = Box::new(|number: u64| number.to_be_bytes().to_vec());
        let flood = Flood { topic: "records", pause: Duration::from_millis(5), speech };
        let ports = gossip_ports(cluster, &cluster.all());
        let addresses = cluster
            .all()
            .into_iter()
            .flat_map(|node| [cluster.gossip_address(node), cluster.engine_address(node)]);
        (
            Intruder::start(unknown_key(), ledger, ports, Some(flood)),
            Knocking::at(addresses.collect()),
        )
    });
    println!("{:?}", intruder.achieved());
    assert_eq!(intruder.achieved().received(), 0, "{:?}", intruder.achieved());
    drop((intruder, knocking));
    cluster.same_history(&cluster.all());
}

/// Runs a node that nobody lets in while others take records: it sees none.
fn learns_nothing(data: &Path, load: &Load) -> Node {
    let stranger = Node::try_launch(data, &Default::default())
        .unwrap_or_else(|ended| panic!("{}", ended.stderr));
    load.wait_for_acknowledged(150);
    let status = stranger.json("/v1/status");
    assert_eq!(status["head"]["height"], 0, "{status}");
    assert!(!stranger.is_ready(), "{status}");
    let peers = status["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 4, "{status}");
    assert!(peers.iter().all(|peer| peer["connected"] == false), "{status}");
    stranger
}

#[test]
fn a_fifth_node_that_nobody_listed_gets_nothing() {
    let _alone = alone();
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let load = cluster.load(&cluster.all());
    load.wait_for_acknowledged(40);

    let data = cluster.folder().join("stranger");
    let path = data.to_str().unwrap();
    let own = cluster.spare_addresses().map(|at| format!("/ip4/{}/tcp/{}", at.ip(), at.port()));
    let init = ["init", "--member", "stranger", "--role", "insurer", "--data", path];
    let addresses = ["--engine-address", &own[0], "--gossip-address", &own[1]];
    let _ = quittance([&init[..], &addresses[..]].concat()).success();
    std::fs::write(data.join("genesis.toml"), cluster.genesis()).unwrap();

    // It runs, for it may be added yet, and says how things stand.
    let stranger = learns_nothing(&data, &load);
    assert!(stranger.log().contains("is not on the ledger"), "{}", stranger.log());
    drop(stranger);

    // With a genesis of its own making, in which it stands, it runs: but nobody
    // lets it in, and it learns of no block.
    let other = cluster.folder().join("self-made");
    copy_folder(&data, &other);
    let parts = cluster.all().into_iter().map(|node| cluster.data(node).join("member.toml"));
    let parts: Vec<_> =
        parts.chain([data.join("member.toml")]).map(|p| p.display().to_string()).collect();
    let arguments = ["genesis".to_owned(), "--origin".to_owned(), cluster.origin().to_owned()];
    let genesis = quittance(arguments.into_iter().chain(parts)).success();
    std::fs::write(other.join("genesis.toml"), &genesis.stdout).unwrap();
    drop(learns_nothing(&other, &load));
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.wait_until_ready(&cluster.all());
    cluster.same_history(&cluster.all());
}
