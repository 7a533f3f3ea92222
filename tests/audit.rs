//! What an audit says of histories that are in order, that grow, and of where
//! its yardstick came from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use quittance_tests::{Api, Consortium, load_records, quittance};

#[test]
fn a_ledger_that_grows_meanwhile_is_no_defect() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 4000);
    let url = node.url("");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let api = Api::new(node.address());
            for part in records.chunks(5) {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                api.try_append_all(part).unwrap();
            }
        });
        for _ in 0..15 {
            let ended = quittance(["audit", &url, "--json"]);
            assert_eq!(ended.code, Some(0), "{}{}", ended.text(), ended.stderr);
        }
        done.store(true, Ordering::Relaxed);
        appender.join().unwrap();
    });
    assert!(node.tree_size() > 5);
}

#[test]
fn it_says_whose_genesis_and_policy_decided() {
    let consortium = Consortium::new();
    let node = consortium.start();
    node.append_all(&load_records(&consortium, 3));
    let url = node.url("");
    let genesis = consortium.data().join("genesis.toml").display().to_string();
    let policy = consortium.policy_file().display().to_string();
    let report = quittance(["audit", &url, "--json"]).success().json();
    assert_eq!(
        (&report["genesis"], &report["policy"]),
        (&"of the source".into(), &"of the genesis".into())
    );
    let pinned = ["audit", &url, "--json", "--genesis", &genesis, "--policy", &policy];
    let report = quittance(pinned).success().json();
    assert_eq!((&report["genesis"], &report["policy"]), (&"given".into(), &"given".into()));
    let other = Consortium::new().data().join("genesis.toml");
    let ended = quittance(["audit", &url, "--genesis", &other.display().to_string()]);
    assert_ne!(ended.code, Some(0), "another ledger's genesis fits");
}

#[test]
fn the_canonical_genesis_hashes_to_the_ledger_id() {
    use sha2::{Digest as _, Sha256};
    let consortium = Consortium::new();
    let genesis = consortium.data().join("genesis.toml").display().to_string();
    let canonical = quittance(["genesis", "--canonical", &genesis]).success().stdout;
    let id = consortium.membership().ledger_id().to_string();
    assert_eq!(hex::encode(Sha256::digest(&canonical)), id);
}
