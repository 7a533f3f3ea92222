//! One of four validators lies. The other three agree, go on, hold proof of what
//! it did where it contradicted itself, and say why they refuse its blocks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use quittance_tests::{Cluster, byzantine, load::Pace, wait_for};

const HONEST: [usize; 3] = [0, 1, 2];
const LIAR: usize = 3;

/// A consortium whose last validator tells these lies.
fn cluster_with(lies: &str) -> Cluster {
    let mut cluster = Cluster::new(4);
    let settings = cluster.settings(LIAR);
    settings.program = Some(byzantine().to_owned());
    settings.environment = vec![("QUITTANCE_BYZANTINE".to_owned(), lies.to_owned())];
    cluster.launch(&cluster.all());
    cluster.wait_until_ready(&HONEST);
    cluster
}

/// The honest nodes take records, agree on all of them, and each keeps the order.
fn honest_nodes_go_on(cluster: &Cluster, records: usize) {
    let load = cluster.load(&HONEST);
    load.wait_for_acknowledged(records);
    let told = load.end();
    assert!(told.unknown.is_empty(), "{:?}", told.unknown);
    cluster.all_final(&told.acknowledged_ids(), &HONEST);
    let history = cluster.same_history(&HONEST);
    assert!(!history.is_empty());
}

/// Every honest node serves proof against the liar, and only against it, that
/// holds without anything but the bytes; and says so.
fn is_caught(cluster: &Cluster, steps: &[&str]) {
    let liar = cluster.member(LIAR);
    // A lie that arrives after its height was decided is no longer kept: it takes
    // a height in which it arrives in time.
    let pace = Pace { pause: Duration::from_millis(100), wait_s: 10 };
    let _load = cluster.load_with(&HONEST, pace);
    for node in HONEST {
        let evidence = wait_for("evidence", || {
            let all = cluster.node(node).json("/v1/evidence")["evidence"].clone();
            let all = all.as_array().unwrap().clone();
            let has = |step: &&str| all.iter().any(|one| one["step"] == **step);
            steps.iter().all(has).then_some(all)
        });
        for one in evidence {
            assert_eq!(one["member"], liar, "{one}");
            let key = hex::decode(one["validator"].as_str().unwrap()).unwrap();
            let key = VerifyingKey::try_from(&key[..]).unwrap();
            let statements = one["statements"].as_array().unwrap();
            assert_eq!(statements.len(), 2, "{one}");
            assert_ne!(statements[0]["block"], statements[1]["block"], "{one}");
            for statement in statements {
                let bytes = |name: &str| STANDARD.decode(statement[name].as_str().unwrap());
                let signature = Signature::from_slice(&bytes("signature").unwrap()).unwrap();
                key.verify_strict(&bytes("bytes").unwrap(), &signature).unwrap();
            }
        }
        wait_for("the alert", || {
            let status = cluster.node(node).json("/v1/status");
            let alerts = status["alerts"].as_array().unwrap().clone();
            alerts.iter().any(|alert| alert.to_string().contains(liar)).then_some(())
        });
    }
}

fn nobody_is_accused(cluster: &Cluster) {
    for node in HONEST {
        let answer = cluster.node(node).json("/v1/evidence");
        assert_eq!(answer["evidence"].as_array().unwrap().len(), 0, "{answer}");
    }
}

/// Every honest node has logged that it refused a block, for this reason.
fn is_refused(cluster: &Cluster, reason: &str) {
    for node in HONEST {
        wait_for(&format!("node {node} to refuse a block: {reason}"), || {
            let log = cluster.node(node).log();
            log.lines()
                .any(|line| line.contains("a proposed block is refused") && line.contains(reason))
                .then_some(())
        });
    }
}

#[test]
fn a_validator_that_votes_twice_is_caught_and_changes_nothing() {
    let cluster = cluster_with("equivocate-votes");
    honest_nodes_go_on(&cluster, 100);
    is_caught(&cluster, &["prevote", "precommit"]);
}

#[test]
fn evidence_outlives_a_restart() {
    let mut cluster = cluster_with("equivocate-votes");
    honest_nodes_go_on(&cluster, 20);
    is_caught(&cluster, &["prevote"]);
    cluster.kill(&HONEST);
    cluster.launch(&HONEST);
    cluster.wait_until_ready(&HONEST);
    is_caught(&cluster, &["prevote"]);
}

#[test]
fn a_validator_that_proposes_twice_is_caught_and_changes_nothing() {
    let cluster = cluster_with("equivocate-proposals");
    honest_nodes_go_on(&cluster, 100);
    is_caught(&cluster, &["propose"]);
}

#[test]
fn a_validator_that_keeps_silent_is_done_without() {
    let cluster = cluster_with("drop-votes,drop-proposals");
    honest_nodes_go_on(&cluster, 100);
    nobody_is_accused(&cluster);
}

#[test]
fn a_validator_that_never_commits_is_done_without() {
    let cluster = cluster_with("precommit-nil");
    honest_nodes_go_on(&cluster, 100);
    nobody_is_accused(&cluster);
}

#[test]
fn blocks_that_must_not_be_are_refused_for_what_they_are() {
    let cluster = cluster_with("invalid-blocks");
    let reasons = ["tree_root", "again", "bad_signature", "bytes of records; at most"];
    // It proposes at every fourth height, and then each of its blocks in turn.
    let load = cluster.load(&HONEST);
    for reason in reasons {
        is_refused(&cluster, reason);
    }
    let told = load.end();
    cluster.all_final(&told.acknowledged_ids(), &HONEST);
    cluster.same_history(&HONEST);
    nobody_is_accused(&cluster);
}
