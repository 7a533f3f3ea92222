//! Links between the nodes of a consortium that are cut, slow, or stall: no
//! fork, nothing acknowledged lost, and the ledger goes on once they mend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, time::Duration};

use quittance_tests::{Cluster, load::Pace, load::percentile, load_records, seeded, wait_for};
use rand::Rng as _;

/// Cuts some nodes off under load, mends, and checks that all is well after.
/// `going_on` are the nodes that still have a quorum among themselves.
fn cut_and_heal(cut_off: &[usize], going_on: &[usize]) {
    let Some(mut cluster) = Cluster::on_lan(4) else { return };
    cluster.start_all();
    let load = cluster.load(&cluster.all());
    load.wait_for_acknowledged(60);
    cluster.lan().cut_off(cut_off);
    // Every side takes records, whether it can decide on them or not.
    for node in cluster.all() {
        let before = load.told().of_node(node).count();
        wait_for(&format!("node {node} to acknowledge while links are cut"), || {
            (load.told().of_node(node).count() > before + 20).then_some(())
        });
    }
    cluster.no_fork(&cluster.all());
    if going_on.is_empty() {
        wait_for("nodes to say that they have no quorum", || {
            cluster.all().iter().all(|node| !cluster.node(*node).is_ready()).then_some(())
        });
        let heights: Vec<_> =
            cluster.all().iter().map(|node| cluster.node(*node).tree_size()).collect();
        load.wait_for_acknowledged(60);
        let later: Vec<_> =
            cluster.all().iter().map(|node| cluster.node(*node).tree_size()).collect();
        assert_eq!(heights, later, "a minority decided");
    } else {
        let record = load_records(&cluster, 1).remove(0);
        assert_eq!(cluster.node(going_on[0]).append(&record).status, 201);
        cluster.all_final(&BTreeSet::from([record.id]), going_on);
    }
    cluster.lan().heal();
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.wait_until_ready(&cluster.all());
    cluster.same_history(&cluster.all());
}

#[test]
fn two_halves_decide_nothing_and_become_one_again() {
    cut_and_heal(&[1, 3], &[]);
}

#[test]
fn three_go_on_without_the_fourth_which_catches_up() {
    cut_and_heal(&[2], &[0, 1, 3]);
}

#[test]
fn slow_links_slow_the_ledger_down_and_nothing_else() {
    let mut cluster = Cluster::relayed(4);
    cluster.start_all();
    for node in cluster.all() {
        for relay in cluster.relays(node) {
            relay.delay(Duration::from_millis(100));
        }
    }
    let pace = Pace { wait_s: 30, ..Pace::default() };
    let load = cluster.load_with(&cluster.all(), pace);
    load.wait_for_acknowledged(80);
    let told = load.end();
    let mut took: Vec<_> = told.acknowledged.iter().map(|one| one.took).collect();
    took.sort_unstable();
    println!(
        "to final over links of 100 ms: p50 {:?}, p99 {:?}",
        percentile(&took, 50),
        percentile(&took, 99)
    );
    // Gossip, proposal, two votes and a cosignature take 100 ms each.
    assert!(percentile(&took, 50) < Duration::from_secs(3), "{took:?}");
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.same_history(&cluster.all());
}

#[test]
fn links_that_stall_for_two_seconds_lose_nothing() {
    let mut random = seeded();
    let mut cluster = Cluster::relayed(4);
    cluster.start_all();
    let load = cluster.load(&cluster.all());
    for round in 0..12 {
        load.wait_for_acknowledged(random.random_range(10..80));
        let time = Duration::from_secs(2);
        if round % 4 == 3 {
            // Everything to and from the others.
            cluster
                .relays(random.random_range(0..4))
                .iter()
                .for_each(|relay| relay.stall_all(time));
        } else {
            for _ in 0..3 {
                let relays = cluster.relays(random.random_range(0..4));
                relays[random.random_range(0..2)].stall(random.random_range(0..16), time);
            }
        }
    }
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.wait_until_ready(&cluster.all());
    cluster.same_history(&cluster.all());
}
