//! A consortium that loses nodes, some or all, at any moment: nothing that was
//! acknowledged is lost, there is one history, and the ledger goes on by itself
//! as soon as more than two thirds of the validators are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use quittance_tests::{Cluster, load_records, wait_for};

#[test]
fn below_the_quorum_records_are_kept_and_become_final_once_it_is_back() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let records = load_records(&cluster, 13);
    assert_eq!(cluster.node(0).append(&records[0]).status, 201);
    cluster.kill(&[2, 3]);

    // Two of four decide nothing, but what they acknowledge they keep.
    let mut acknowledged = BTreeSet::from([records[0].id.clone()]);
    for (number, record) in records[1..].iter().enumerate() {
        let headers = [("content-type", "application/jose"), ("prefer", "wait=0")];
        let answer = cluster.node(number % 2).post("/v1/records", &headers, &record.jws);
        assert_eq!(answer.status, 202, "{}", answer.text());
        acknowledged.insert(record.id.clone());
    }
    wait_for("node 0 to say that it has no quorum", || (!cluster.node(0).is_ready()).then_some(()));
    cluster.kill(&[0]);
    cluster.launch(&[0]);
    let waiting = cluster.node(0).json(&format!("/v1/records/{}", records[1].id));
    assert_eq!(waiting["status"], "pending", "{waiting}");
    assert_eq!(cluster.node(0).tree_size(), 1);

    // Nobody says anything again: they become final because the quorum is back.
    cluster.launch(&[2]);
    cluster.all_final(&acknowledged, &[0, 1, 2]);
    cluster.wait_until_ready(&[0, 1, 2]);
    cluster.start(3);
    cluster.all_final(&acknowledged, &[3]);
    cluster.same_history(&[0, 1, 2, 3]);
}

#[test]
fn a_node_that_was_away_catches_up_from_others_that_have_been_idle_since_their_start() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    cluster.kill(&[3]);
    let load = cluster.load(&[0, 1, 2]);
    load.wait_for_acknowledged(60);
    let acknowledged = load.end().acknowledged_ids();
    cluster.all_final(&acknowledged, &[0, 1, 2]);
    cluster.stop(&[0, 1, 2]);
    // Nobody records anything from here on.
    cluster.launch(&[0, 1, 2]);
    cluster.wait_until_ready(&[0, 1, 2]);
    cluster.start(3);
    cluster.all_final(&acknowledged, &[3]);
    cluster.same_history(&[0, 1, 2, 3]);
}

#[test]
fn all_validators_restarted_at_once_go_on() {
    let mut cluster = Cluster::new(4);
    cluster.start_all();
    let mut acknowledged = BTreeSet::new();
    // Once killed in the middle of the load, once stopped in order, once idle.
    for round in 0..3 {
        let load = cluster.load(&cluster.all());
        load.wait_for_acknowledged(60);
        match round {
            0 => cluster.kill(&[0, 1, 2, 3]),
            1 => drop(cluster.stop(&[0, 1, 2, 3])),
            _ => {}
        }
        acknowledged.extend(load.end().acknowledged_ids());
        if round == 2 {
            cluster.all_final(&acknowledged, &[0, 1, 2, 3]);
            cluster.stop(&[0, 1, 2, 3]);
        }
        cluster.start_all();
        cluster.all_final(&acknowledged, &[0, 1, 2, 3]);
        cluster.same_history(&[0, 1, 2, 3]);
    }
    let last = load_records(&cluster, 1).remove(0);
    assert_eq!(cluster.node(3).append(&last).status, 201);
}
