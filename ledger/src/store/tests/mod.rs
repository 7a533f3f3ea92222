//! What the store must survive: being killed between any two writes, a flipped
//! bit in any file, and being opened by two processes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod audits;
mod queries;
mod reindex;

use std::{fs, path::PathBuf};

use super::*;
use crate::{audit, chain, testing::Ledger};

fn everything_is_there(ledger: &Ledger, store: &Store, records: u64) {
    assert_eq!(store.tip().frontier.size(), records);
    let policy = ledger.membership.policy();
    for number in 0..records {
        let record = ledger.quote(number);
        let location = store.find(&record.id()).unwrap().unwrap();
        assert_eq!(location.index, number);
        let entry = store.entry(number).unwrap().unwrap();
        assert_eq!(entry.record.id(), record.id());
        assert_eq!(entry.height, location.height);
        let receipt = store.receipt(number).unwrap().unwrap();
        assert!(receipt.verify(&policy).is_valid());
    }
    assert!(!store.contains(&ledger.quote(records).id()).unwrap());
    store.scrub(|_| true).unwrap();
    let mut history = store;
    let report =
        audit::audit(&mut history, &ledger.membership, Some(&policy), None, |_| {}).unwrap();
    assert_eq!(report.records, records);
    assert_eq!(report.head, store.tip().hash);
}

#[test]
fn records_come_back_with_their_receipts_before_and_after_reopening() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 7, 13);
    everything_is_there(&ledger, &store, 91);
    store.close().unwrap();
    drop(store);
    let store = ledger.open(folder.path()).unwrap();
    everything_is_there(&ledger, &store, 91);
    ledger.fill(&store, 91, 1, 1);
    everything_is_there(&ledger, &store, 92);
}

#[test]
fn a_second_process_is_kept_out() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let _store = ledger.open(folder.path()).unwrap();
    assert!(matches!(ledger.open(folder.path()), Err(StoreError::InUse(_))));
}

#[test]
fn the_store_of_another_ledger_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new("test.example/one");
    ledger.fill(&ledger.open(folder.path()).unwrap(), 0, 1, 1);
    let error = Ledger::new("test.example/two").open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::OtherLedger { .. }), "{error}");
}

#[test]
fn killed_after_the_block_was_written_it_is_brought_in_again() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let block = ledger.block(&store, vec![ledger.quote(6)]);
    let hash = block.header.hash();
    drop(ledger.append(&store, block));
    drop(store);

    let store = ledger.open(folder.path()).unwrap();
    assert_eq!(store.tip().height, 2);
    let (unfinished, certificate) = store.unfinished().unwrap().clone();
    assert_eq!(unfinished.header.hash(), hash);
    let appended = store.append(unfinished, &certificate).unwrap();
    let checkpoint = ledger.signed(appended.checkpoint());
    store.commit(appended, Some(&checkpoint)).unwrap();
    everything_is_there(&ledger, &store, 7);
    drop(store);
    assert!(ledger.open(folder.path()).unwrap().unfinished().is_none());
}

#[test]
fn killed_while_a_block_was_being_written_nothing_of_it_is_left() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 1, 3);
    let end = store.blocks.end().unwrap();
    ledger.append(&store, ledger.block(&store, vec![ledger.quote(3)]));
    store.blocks.truncate(end + 100).unwrap();
    drop(store);
    let store = ledger.open(folder.path()).unwrap();
    assert!(store.unfinished().is_none());
    assert_eq!(store.blocks.end().unwrap(), end);
    ledger.fill(&store, 3, 1, 1);
    everything_is_there(&ledger, &store, 4);
}

#[test]
fn flat_files_that_never_reached_the_disk_are_written_again() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    ledger.fill(&ledger.open(folder.path()).unwrap(), 0, 4, 5);
    for name in ["nodes.flat", "positions.flat", "heights.flat"] {
        let path = folder.path().join(name);
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![0; length as usize / 2]).unwrap();
    }
    everything_is_there(&ledger, &ledger.open(folder.path()).unwrap(), 20);
}

fn spot_check(ledger: &Ledger, store: &Store, records: u64) {
    for number in (0..records).step_by(501) {
        let id = ledger.quote(number).id();
        assert_eq!(store.find(&id).unwrap().unwrap().index, number);
    }
    assert!(!store.contains(&ledger.quote(records).id()).unwrap());
    store.scrub(|_| true).unwrap();
}

#[test]
fn a_run_of_postings_is_written_with_the_block_that_fills_it() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let records = terms::RUN_RECORDS / 1000 * 1000 + 1050;
    ledger.fill(&store, 0, records / 1000, 1000);
    ledger.fill(&store, records - 50, 1, 50);
    assert_eq!(store.terms.indexed().unwrap(), records - 50);
    spot_check(&ledger, &store, records);
    drop(store);
    spot_check(&ledger, &ledger.open(folder.path()).unwrap(), records);
    let options = crate::testing::OPTIONS;
    let membership = ledger.membership.clone();
    let store =
        Store::reindex(folder.path(), membership, options, None, |_| None, |_, _| {}).unwrap();
    spot_check(&ledger, &store, records);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// A flipped bit is either named, or lies where nothing is kept: then the
/// store is exactly what it was.
#[test]
fn a_flipped_bit_anywhere_is_named_or_changes_nothing() {
    let ledger = Ledger::new("test.example/store");
    let sound = tempfile::tempdir().unwrap();
    let store = ledger.open(sound.path()).unwrap();
    ledger.fill(&store, 0, 6, 4);
    store.close().unwrap();
    drop(store);
    let mut named = 0;
    let mut tried = 0;
    for file in files_below(sound.path()) {
        let name = file.strip_prefix(sound.path()).unwrap();
        let length = fs::metadata(&file).unwrap().len() as usize;
        let whole = !name.starts_with("index");
        // Every byte of our own files would take minutes; a prime step covers
        // every kind of field. sled's files are mostly empty.
        for position in (0..length).step_by(if whole { 97 } else { 331 }) {
            let folder = tempfile::tempdir().unwrap();
            copy(sound.path(), folder.path());
            let mut bytes = fs::read(&file).unwrap();
            bytes[position] ^= 1 << (position % 8);
            let empty = !whole
                && bytes[position].count_ones() == 1
                && bytes[position..].len() > 64
                && bytes[position + 1..position + 64].iter().all(|byte| *byte == 0);
            if empty {
                continue;
            }
            fs::write(folder.path().join(name), bytes).unwrap();
            tried += 1;
            let outcome = ledger.open(folder.path()).and_then(|store| {
                store.scrub(|_| true)?;
                Ok(store)
            });
            match outcome {
                Err(_) => named += 1,
                Ok(store) => {
                    assert!(!whole, "{} byte {position} passed", name.display());
                    everything_is_there(&ledger, &store, 24);
                }
            }
        }
    }
    assert!(named > tried / 4, "{named} of {tried} named");
}

#[test]
fn what_waits_survives_and_a_cut_off_batch_does_not() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let open = || Pending::open(folder.path(), &ledger.membership, false);
    let (pending, waiting) = open().unwrap();
    assert!(waiting.is_empty());
    pending.append(&[ledger.quote(0), ledger.quote(1)]).unwrap();
    pending.append(&[ledger.quote(2)]).unwrap();
    drop(pending);
    let path = files_below(folder.path()).pop().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let (pending, waiting) = open().unwrap();
    let ids: Vec<_> = waiting.iter().flat_map(|batch| &batch.records).map(Record::id).collect();
    assert_eq!(ids, [ledger.quote(0).id(), ledger.quote(1).id()]);
    pending.append(&[ledger.quote(3)]).unwrap();
    drop(pending);
    let (_, waiting) = open().unwrap();
    assert_eq!(waiting.len(), 2);
}

#[test]
fn a_record_that_nobody_signed_is_not_taken_from_the_disk() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let open = || Pending::open(folder.path(), &ledger.membership, false);
    // Whoever can write the file makes a sound frame; a signature takes a key.
    let mut jws = ledger.quote(0).jws().to_vec();
    let signature = jws.iter().rposition(|byte| *byte == b'.').unwrap() + 1;
    jws[signature..].fill(b'A');
    open().unwrap().0.append(&[Record::trusted(jws).unwrap()]).unwrap();
    let error = open().unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("bad_signature"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let open = || Pending::open(folder.path(), &ledger.membership, false);
    let foreign = Ledger::new("test.example/other").quote(0);
    open().unwrap().0.append(&[foreign]).unwrap();
    let error = open().unwrap_err();
    assert!(error.to_string().contains("wrong_ledger"), "{error}");
}

#[test]
fn inspecting_changes_nothing() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let end = store.blocks.end().unwrap();
    ledger.append(&store, ledger.block(&store, vec![ledger.quote(6)]));
    store.blocks.truncate(end + 100).unwrap();
    drop(store);
    // sled keeps house in its own files, whatever is asked of it.
    let ours = || -> Vec<_> {
        files_below(folder.path())
            .into_iter()
            .filter(|path| !path.starts_with(folder.path().join("index")))
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect()
    };
    let before = ours();
    let options = Options { inspect: true, ..crate::testing::OPTIONS };
    let store = Store::open(folder.path(), ledger.membership.clone(), options).unwrap();
    everything_is_there(&ledger, &store, 6);
    drop(store);
    assert!(ours() == before);
    let store = Store::open(folder.path(), ledger.membership.clone(), options).unwrap();
    let block = ledger.block(&store, vec![ledger.quote(6)]);
    let certificate = chain::Certificate::of_one(&block.header, &crate::testing::key(101));
    assert!(matches!(store.append(block, &certificate), Err(StoreError::ReadOnly)));
    drop(store);
    assert!(ours() == before);
    ledger.open(folder.path()).unwrap().close().unwrap();
    let before = ours();
    drop(Store::open(folder.path(), ledger.membership.clone(), options).unwrap());
    assert!(ours() == before);
}
