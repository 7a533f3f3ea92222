//! A node whose clock is hours off harms nobody: the others decide as fast as
//! before, and the node follows, so that even its own clients are served.
//!
//! The clock is off for the node only: libfaketime shows it another time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use quittance_tests::{Cluster, load::Pace, load::percentile, tools};

/// The day and hour in which a node last logged something: `2026-01-02T09`.
fn hour(cluster: &Cluster, node: usize) -> String {
    let log = cluster.node(node).log();
    log.lines().last().unwrap_or_default().chars().take("2026-01-02T09".len()).collect()
}

/// Node 3 lives in another time from its start on.
fn with_a_clock_off(offset: &str) {
    let Some(library) = tools::faketime() else { return };
    let mut cluster = Cluster::new(4);
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", offset.to_owned()),
        // Only the time of day is wrong; time passes as it should.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    cluster.settings(3).environment.extend(environment);
    cluster.start_all();
    assert_ne!(hour(&cluster, 3), hour(&cluster, 0), "the clock of node 3 is right");
    let begin = Instant::now();
    let pace = Pace { wait_s: 30, ..Pace::default() };
    let load = cluster.load_with(&cluster.all(), pace);
    load.wait_for_acknowledged(120);
    let told = load.end();
    let all = told.acknowledged.len();
    for node in cluster.all() {
        let mut took: Vec<_> = told.of_node(node).map(|one| one.took).collect();
        took.sort_unstable();
        println!(
            "{offset}, node {node}: p50 {:?}, p99 {:?} of {}",
            percentile(&took, 50),
            percentile(&took, 99),
            took.len()
        );
        assert!(percentile(&took, 50) < Duration::from_secs(3), "node {node}: {took:?}");
        assert!(told.of_node(node).all(|one| matches!(one.status, 200 | 201)), "node {node}");
    }
    println!("{all} in {:?}", begin.elapsed());
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    let history = cluster.same_history(&cluster.all());
    // Block times are the others' times.
    let head = cluster.node(0).json(&format!("/v1/blocks/{}", history.len()));
    let time_ms = head["header"]["time_ms"].as_u64().unwrap();
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert!(now_ms.abs_diff(time_ms) < 60_000, "{head}");
    cluster.stop(&[3]);
    cluster.start(3);
    let load = cluster.load_with(&[0, 3], pace);
    load.wait_for_acknowledged(10);
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &cluster.all());
    cluster.same_history(&cluster.all());
}

#[test]
fn a_clock_two_hours_ahead_harms_nobody() {
    with_a_clock_off("+2h");
}

#[test]
fn a_clock_two_hours_behind_harms_nobody() {
    with_a_clock_off("-2h");
}
