//! A node never signs a second history: a ledger that was emptied, rolled back
//! or exchanged is refused, and a backup is taken up only where somebody
//! answers for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

use quittance_tests::{Consortium, Node, Settings, Signed, copy_folder, load_records, quittance};

/// A ledger with records in its data folder, stopped; and the records.
fn stopped(records: usize) -> (Consortium, Vec<Signed>) {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    let records = load_records(&consortium, records);
    for record in &records {
        node.append(record);
    }
    node.stop();
    (consortium, records)
}

/// Neither the node nor the audit passes over it, and both say what it is.
fn is_refused(data: &Path, says: &str) {
    let ended = Node::try_start(data, &Settings::default()).unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let audit = quittance(["audit", data.to_str().unwrap()]);
    assert_eq!(audit.code, Some(1), "{}", audit.stderr);
    assert!(format!("{}{}", audit.text(), audit.stderr).contains(says), "{}", audit.stderr);
}

fn reindex(data: &Path, options: &[&str]) -> quittance_tests::Ended {
    quittance([&["reindex", "--data", data.to_str().unwrap()], options].concat())
}

#[test]
fn a_ledger_that_was_removed_is_not_begun_again() {
    let (consortium, _) = stopped(3);
    fs::remove_dir_all(consortium.data().join("ledger")).unwrap();
    let ended = Node::try_start(&consortium.data(), &Settings::default()).unwrap_err();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("rolled back"), "{}", ended.stderr);
    fs::remove_dir_all(consortium.data().join("ledger")).unwrap();
    is_refused(&consortium.data(), "rolled back");
}

#[test]
fn a_ledger_without_what_was_cosigned_last_is_taken_up_by_nobody() {
    let (consortium, _) = stopped(3);
    fs::remove_file(consortium.data().join("cosigned")).unwrap();
    is_refused(&consortium.data(), "--adopt");
    let _ = reindex(&consortium.data(), &["--adopt"]).success();
    let _ = consortium.start();
}

#[test]
fn a_ledger_that_was_rolled_back_is_refused() {
    let (consortium, _) = stopped(2);
    let ledger = consortium.data().join("ledger");
    let older = consortium.folder().join("older");
    copy_folder(&ledger, &older);
    let mut node = consortium.start();
    node.append(&load_records(&consortium, 5)[4]);
    node.stop();
    fs::remove_dir_all(&ledger).unwrap();
    copy_folder(&older, &ledger);
    is_refused(&consortium.data(), "rolled back");
}

#[test]
fn a_ledger_with_another_past_is_refused() {
    let consortium = Consortium::new();
    let other = consortium.folder().join("other");
    copy_folder(&consortium.data(), &other);
    let records = load_records(&consortium, 6);
    let append = |data: &Path, records: &[Signed]| {
        let mut node = Node::start(data);
        for record in records {
            node.append(record);
        }
        node.stop();
    };
    append(&consortium.data(), &records[..3]);
    append(&other, &records[2..6]);
    let ledger = consortium.data().join("ledger");
    fs::remove_dir_all(&ledger).unwrap();
    copy_folder(&other.join("ledger"), &ledger);
    is_refused(&consortium.data(), "rewritten");
}

#[test]
fn what_was_cosigned_last_cannot_be_changed_unnoticed() {
    let (consortium, _) = stopped(2);
    let path = consortium.data().join("cosigned");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [("\n2\n", "\n1\n"), ("tests.quittance", "rests.quittance"), ("\n", "")] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        is_refused(&consortium.data(), "cosigned");
    }
    fs::write(&path, text).unwrap();
    let _ = consortium.start();
}

#[test]
fn a_backup_of_blocks_and_keys_runs_again_once_somebody_answers_for_it() {
    let (consortium, records) = stopped(4);
    let policy = consortium.policy_file();
    let kept = consortium.folder().join("kept.tlog-proof");
    let mut node = consortium.start();
    fs::write(&kept, node.receipt(&records[1].id)).unwrap();
    node.stop();
    let backup = consortium.folder().join("backup");
    fs::create_dir(&backup).unwrap();
    fs::copy(consortium.data().join("genesis.toml"), backup.join("genesis.toml")).unwrap();
    copy_folder(&consortium.data().join("keys"), &backup.join("keys"));
    copy_folder(&consortium.data().join("ledger/blocks"), &backup.join("ledger/blocks"));

    let ended = Node::try_start(&backup, &Settings::default()).unwrap_err();
    assert!(ended.stderr.contains("reindex"), "{}", ended.stderr);
    let ended = reindex(&backup, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("--adopt"), "{}", ended.stderr);
    let _ = reindex(&backup, &["--adopt"]).success();
    let mut node = Node::start(&backup);
    assert_eq!(node.tree_size(), 4);
    node.append(&load_records(&consortium, 5)[4]);
    node.stop();
    let policy = policy.to_str().unwrap();
    let _ = quittance(["verify", kept.to_str().unwrap(), "--policy", policy]).success();
    let _ = quittance(["audit", backup.to_str().unwrap(), "--policy", policy]).success();
}

#[test]
fn an_index_that_is_lost_is_made_again_by_the_node_that_cosigned() {
    let (consortium, records) = stopped(4);
    fs::remove_dir_all(consortium.data().join("ledger/index")).unwrap();
    let ended = Node::try_start(&consortium.data(), &Settings::default()).unwrap_err();
    assert!(ended.stderr.contains("reindex"), "{}", ended.stderr);
    let _ = reindex(&consortium.data(), &[]).success();
    let node = consortium.start();
    assert_eq!(node.tree_size(), 4);
    assert!(!node.receipt(&records[0].id).is_empty());
}
