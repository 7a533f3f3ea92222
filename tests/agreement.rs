//! Whichever node of a consortium is asked, there is one ledger: the same
//! record everywhere at once is one entry, the order in which a node accepted
//! is kept whoever proposes, and a receipt from one node convinces everybody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Barrier,
    thread,
};

use quittance_tests::{Cluster, Signed, history, load::Pace, load_records, quittance, wait_for};
use std::time::Duration;

#[test]
fn the_same_record_posted_to_all_nodes_at_once_is_one_entry() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let records = load_records(&cluster, 20);
    let start = Barrier::new(4);
    let answers: Vec<Vec<(u16, serde_json::Value)>> = thread::scope(|scope| {
        let threads: Vec<_> = cluster
            .all()
            .into_iter()
            .map(|node| {
                let (api, start, records) = (cluster.node(node).api(), &start, &records);
                scope.spawn(move || {
                    let post = |record: &Signed| {
                        start.wait();
                        let answer = api.append(record);
                        (answer.status, answer.json())
                    };
                    records.iter().map(post).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, record) in records.iter().enumerate() {
        for node in &answers {
            let (status, answer) = &node[number];
            assert!(matches!(status, 200 | 201), "{status} {answer}");
            assert_eq!(answer["id"], record.id);
            for field in ["index", "height"] {
                assert_eq!(answer[field], answers[0][number].1[field], "{answer}");
            }
        }
    }
    let history = cluster.same_history(&cluster.all());
    assert_eq!(history::ids(&history).len(), records.len());
}

#[test]
fn records_keep_the_order_in_which_a_node_accepted_them() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let pace = Pace { pause: Duration::from_millis(2), ..Pace::default() };
    let load = cluster.load_with(&cluster.all(), pace);
    load.wait_for_acknowledged(150);
    // Who is down does not propose: its turn is another's.
    cluster.kill(&[3]);
    load.wait_for_acknowledged(150);
    cluster.start(3);
    load.wait_for_acknowledged(150);
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    let history = cluster.same_history(&cluster.all());
    let mut proposers = BTreeMap::<&str, BTreeSet<usize>>::new();
    for node in cluster.all() {
        let ids: Vec<_> = told.of_node(node).map(|one| &one.record.id).collect();
        let places = Cluster::places(&history, ids.iter().copied());
        assert!(places.is_sorted(), "node {node} accepted in another order: {places:?}");
        for block in &history {
            if ids.iter().any(|id| block.ids.contains(id)) {
                proposers.entry(&block.proposer).or_default().insert(node);
            }
        }
    }
    // It was put to the test: proposers included records of others.
    assert!(proposers.len() >= 3, "{proposers:?}");
    assert!(proposers.values().any(|nodes| nodes.len() > 1), "{proposers:?}");
}

#[test]
fn a_receipt_from_one_node_verifies_offline_and_at_every_other_node() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let records = load_records(&cluster, 8);
    let policy = cluster.policy_file().display().to_string();
    for (number, record) in records.iter().enumerate() {
        let answer = cluster.node(number % 4).append(record);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let (first, last) = (&records[0], &records[7]);
    cluster.all_final(&BTreeSet::from([last.id.clone()]), &cluster.all());
    for node in cluster.all() {
        for record in [first, last] {
            let receipt = cluster.node(node).receipt(&record.id);
            let path = cluster.folder().join(format!("{node}.tlog-proof"));
            fs::write(&path, &receipt).unwrap();
            let path = path.display().to_string();
            let _ = quittance(["verify", &path, "--policy", &policy]).success();
            for other in cluster.all() {
                let headers = [("content-type", "text/plain")];
                let answer = cluster.node(other).post("/v1/verify", &headers, &receipt).json();
                assert_eq!(answer["valid"], true, "{node} at {other}: {answer}");
            }
        }
    }
    // With a policy that anybody may have fetched from any node.
    let fetched = cluster.folder().join("fetched");
    let path = cluster.folder().join("0.tlog-proof").display().to_string();
    for node in cluster.all() {
        fs::write(&fetched, cluster.node(node).policy()).unwrap();
        let fetched = fetched.display().to_string();
        let _ = quittance(["verify", &path, "--policy", &fetched]).success();
    }
    // And when all nodes are gone.
    cluster.kill(&cluster.all());
    let _ = quittance(["verify", &path, "--policy", &policy]).success();
}

#[test]
fn a_node_with_an_empty_disk_catches_up_and_joins_in() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let load = cluster.load(&[0, 1, 2]);
    load.wait_for_acknowledged(100);
    cluster.kill(&[3]);
    cluster.wipe(3);
    load.wait_for_acknowledged(100);
    cluster.launch(&[3]);
    load.wait_for_acknowledged(50);
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.wait_until_ready(&[3]);
    cluster.same_history(&cluster.all());
    // It votes and proposes: without it there would be no quorum.
    cluster.kill(&[0]);
    let load = cluster.load(&[1, 3]);
    load.wait_for_acknowledged(40);
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &[1, 2, 3]);
    let mut proposed = false;
    let key = cluster.membership().validators();
    let key = key.iter().find(|one| one.member.as_str() == cluster.member(3)).unwrap();
    let key = hex::encode(key.consensus.to_bytes());
    wait_for("the node that was empty to propose a block", || {
        proposed |= history::blocks(cluster.node(1)).iter().skip(2).any(|b| b.proposer == key);
        if !proposed {
            let load = cluster.load(&[1]);
            load.wait_for_acknowledged(3);
            drop(load.end());
        }
        proposed.then_some(())
    });
}
