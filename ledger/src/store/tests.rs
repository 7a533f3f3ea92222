//! What the store must survive: being killed between any two writes, a flipped
//! bit in any file, and being opened by two processes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    audit::{self, Defect},
    chain::{self, RawBlock},
    testing::Ledger,
};

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

#[test]
fn reindex_makes_everything_but_the_blocks_again() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 4, 5);
    let checkpoint = store.latest_checkpoint().unwrap().unwrap().to_bytes();
    let state = |store: &Store| store.state_entries().collect::<Result<Vec<_>, _>>().unwrap();
    let state_before = state(&store);
    assert!(!state_before.is_empty());
    drop(store);
    for name in ["nodes.flat", "positions.flat", "heights.flat"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let options = crate::testing::OPTIONS;
    let membership = ledger.membership.clone();
    let store =
        Store::reindex(folder.path(), membership, options, None, |_| None, |_, _| {}).unwrap();
    assert_eq!(state(&store), state_before);
    assert_eq!(store.latest_checkpoint().unwrap().unwrap().to_bytes(), checkpoint);
    everything_is_there(&ledger, &store, 20);
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
fn an_audit_names_a_record_nobody_signed_and_a_checkpoint_that_was_exchanged() {
    let ledger = Ledger::new("test.example/store");
    let stranger = Ledger::new("test.example/other");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let policy = ledger.membership.policy();

    struct Forged<'a>(&'a Store, Option<Vec<u8>>, Option<SignedCheckpoint>, bool);
    impl audit::History for Forged<'_> {
        type Error = StoreError;
        fn block(&mut self, height: u64) -> Result<Option<RawBlock>, StoreError> {
            let mut block = self.0.raw_block(height)?;
            if let (Some(block), Some(jws)) = (&mut block, &self.1) {
                block.records[0] = jws.clone();
            }
            if let (Some(block), true) = (&mut block, self.3) {
                block.certificate.signatures[0].signature[7] ^= 1;
            }
            Ok(block)
        }
        fn checkpoints_after(&mut self, size: u64) -> Result<Vec<SignedCheckpoint>, StoreError> {
            let mut all = self.0.checkpoints(size + 1, 10)?;
            if let (Some(forged), Some(first)) = (&self.2, all.first_mut()) {
                *first = forged.clone();
            }
            Ok(all)
        }
    }
    let run = |jws, checkpoint| {
        let mut history = Forged(&store, jws, checkpoint, false);
        audit::audit(&mut history, &ledger.membership, Some(&policy), None, |_| {})
    };
    assert_eq!(run(None, None).unwrap().signatures, 6);
    let mut undecided = Forged(&store, None, None, true);
    let defect = audit::audit(&mut undecided, &ledger.membership, Some(&policy), None, |_| {});
    assert!(matches!(defect, Err(Defect::Block(chain::BlockError::Certificate { height: 1, .. }))));
    let foreign = stranger.quote(0).jws().to_vec();
    assert!(matches!(run(Some(foreign), None), Err(Defect::Record { index: 0, .. })));
    let other = ledger.quote(77).jws().to_vec();
    assert!(matches!(run(Some(other), None), Err(Defect::Block(_))));
    let impostor = Ledger::with_validator_seed("test.example/store", 111);
    let mut checkpoint = store.checkpoints(1, 1).unwrap().first().unwrap().checkpoint().clone();
    let unsigned = impostor.signed(&checkpoint);
    assert!(matches!(run(None, Some(unsigned)), Err(Defect::CheckpointPolicy { size: 3, .. })));
    checkpoint.root = Digest::ZERO;
    let wrong = ledger.signed(&checkpoint);
    assert!(matches!(run(None, Some(wrong)), Err(Defect::CheckpointRoot { size: 3, .. })));
}

#[test]
fn an_audit_of_blocks_that_hold_nothing_ends_at_the_first() {
    struct Endless(Header, chain::Certificate);
    impl audit::History for Endless {
        type Error = StoreError;
        fn block(&mut self, height: u64) -> Result<Option<RawBlock>, StoreError> {
            let (header, certificate) = (Header { height, ..self.0 }, self.1.clone());
            Ok(Some(RawBlock { header, records: Vec::new(), certificate }))
        }
        fn checkpoints_after(&mut self, _: u64) -> Result<Vec<SignedCheckpoint>, StoreError> {
            Ok(Vec::new())
        }
    }
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let header = ledger.block(&store, vec![ledger.quote(0)]).header;
    let policy = ledger.membership.policy();
    let certificate = chain::Certificate::of_one(&header, &crate::testing::key(101));
    let mut endless = Endless(header, certificate);
    let defect =
        audit::audit(&mut endless, &ledger.membership, Some(&policy), None, |_| {}).unwrap_err();
    assert!(matches!(defect, Defect::Block(crate::chain::BlockError::Empty(1))), "{defect}");
}

#[test]
fn an_audit_since_a_kept_checkpoint_verifies_only_what_came_after() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let kept = store.latest_checkpoint().unwrap().unwrap();
    ledger.fill(&store, 6, 2, 3);
    let policy = ledger.membership.policy();
    let mut history = &store;
    let since = |kept: &SignedCheckpoint, history: &mut &Store| {
        audit::audit(history, &ledger.membership, Some(&policy), Some(kept), |_| {})
    };
    let report = since(&kept, &mut history).unwrap();
    assert_eq!((report.records, report.signatures), (12, 6));
    let mut other = kept.checkpoint().clone();
    other.root = Digest::of(b"another history");
    let rewritten = since(&ledger.signed(&other), &mut history);
    assert!(matches!(rewritten, Err(Defect::CheckpointRoot { size: 6, .. })));
    other.size = 100;
    let cut = since(&ledger.signed(&other), &mut history);
    assert!(matches!(cut, Err(Defect::Shorter { size: 12, since: 100 })));
}

#[test]
fn queries_combine_filters_and_page_without_gaps() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 5, 20);
    let filter = Filter {
        contract: Some("insurer/C-3".parse().unwrap()),
        signer: Some("broker".parse().unwrap()),
        record_type: Some("contract.quoted".parse().unwrap()),
        ..Filter::default()
    };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.query(&filter, after, 3).unwrap();
        found.extend(page.entries.iter().map(|entry| entry.index));
        assert!(page.entries.len() <= 3);
        match page.next_after {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, (0..10).map(|tens| tens * 10 + 3).collect::<Vec<_>>());
    let nobody = Filter { signer: Some("provider".parse().unwrap()), ..Filter::default() };
    assert!(store.query(&nobody, None, 10).unwrap().entries.is_empty());
    let page = store.query(&Filter::default(), Some(95), 100).unwrap();
    assert_eq!(page.entries.len(), 4);
}

#[test]
fn corrections_point_to_the_newest() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let wrong = ledger.quote(0);
    let correct = |wrong: &Record, premium: u64| {
        ledger.sign(
            "broker",
            serde_json::json!({
                "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z",
                "contract": "insurer/C-0", "corrects": wrong.id(),
                "data": { "quote": "Q-0", "premium": premium, "currency": "EUR" },
            }),
        )
    };
    ledger.commit(&store, vec![wrong.clone()]);
    assert_eq!(store.correction_of(&wrong.id()).unwrap(), None);
    let first = correct(&wrong, 100);
    ledger.commit(&store, vec![first.clone()]);
    assert_eq!(store.correction_of(&wrong.id()).unwrap(), Some(first.id()));
    let second = correct(&first, 200);
    ledger.commit(&store, vec![second.clone()]);
    for older in [&wrong, &first] {
        assert_eq!(store.correction_of(&older.id()).unwrap(), Some(second.id()));
    }
    assert_eq!(store.correction_of(&second.id()).unwrap(), None);
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
fn a_reindex_that_was_cut_short_loses_no_checkpoint() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 4, 5);
    let published = store.checkpoints(0, 100).unwrap();
    drop(store);
    let reindex = || {
        Store::reindex(
            folder.path(),
            ledger.membership.clone(),
            crate::testing::OPTIONS,
            None,
            |_| None,
            |_, _| {},
        )
    };
    let refuses = || {
        let error = ledger.open(folder.path()).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("cut short"), "{error}");
    };
    // While the new index was being made.
    fs::create_dir(at("index.new")).unwrap();
    fs::remove_file(at("nodes.flat")).unwrap();
    refuses();
    drop(reindex().unwrap());
    // Between its renamings.
    fs::rename(at("index"), at("index.replaced")).unwrap();
    fs::create_dir(at("index.new")).unwrap();
    refuses();
    drop(reindex().unwrap());
    // Before the old one was removed.
    copy(&at("index"), &at("index.replaced"));
    refuses();
    let store = reindex().unwrap();
    assert_eq!(store.checkpoints(0, 100).unwrap(), published);
    everything_is_there(&ledger, &store, 20);
}

#[test]
fn checkpoints_that_are_lost_or_forged_are_signed_again_or_named() {
    let ledger = Ledger::new("test.example/store");
    let impostor = Ledger::with_validator_seed("test.example/store", 111);
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 4, 5);
    let second = store.checkpoint_at(10).unwrap().unwrap();
    assert_eq!(store.checkpoint_at(9).unwrap(), None);
    store.database.insert(checkpoint_key(10), impostor.signed(&second).to_bytes()).unwrap();
    store.database.flush().unwrap();
    drop(store);
    let reindex = |sign: fn(&Ledger, &Checkpoint) -> Option<SignedCheckpoint>| {
        Store::reindex(
            folder.path(),
            ledger.membership.clone(),
            crate::testing::OPTIONS,
            None,
            |checkpoint| sign(&ledger, checkpoint),
            |_, _| {},
        )
    };
    let error = reindex(|_, _| None).unwrap_err();
    assert!(error.to_string().contains("for block 2"), "{error}");
    let store = reindex(|ledger, checkpoint| Some(ledger.signed(checkpoint))).unwrap();
    everything_is_there(&ledger, &store, 20);
    drop(store);
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    let store = reindex(|ledger, checkpoint| Some(ledger.signed(checkpoint))).unwrap();
    everything_is_there(&ledger, &store, 20);
    let cosigned = store.checkpoint_at(10).unwrap().unwrap();
    drop(store);

    // Nothing is signed for blocks that do not lead through what was cosigned.
    let through = |cosigned: &Checkpoint| {
        Store::reindex(
            folder.path(),
            ledger.membership.clone(),
            crate::testing::OPTIONS,
            Some(cosigned),
            |_| panic!("it was asked to sign"),
            |_, _| {},
        )
    };
    for other in [
        Checkpoint { root: Digest::of(b"another history"), ..cosigned.clone() },
        Checkpoint { size: 9, ..cosigned.clone() },
        Checkpoint { size: 100, ..cosigned.clone() },
    ] {
        assert!(through(&other).unwrap_err().is_damage());
    }
    // Neither a refusal nor what it was about hinders the next start.
    drop(ledger.open(folder.path()).unwrap());
    through(&cosigned).unwrap();
}

#[test]
fn reindex_signs_nothing_for_blocks_that_nobody_decided_on_or_that_end_too_early() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 3);
    let end = store.blocks.end().unwrap();
    let reindex = || {
        Store::reindex(
            folder.path(),
            ledger.membership.clone(),
            crate::testing::OPTIONS,
            None,
            |_| panic!("it was asked to sign"),
            |_, _| {},
        )
    };
    // Whoever can write to the disk makes a sound frame; a precommit takes a key.
    let block = ledger.block(&store, vec![ledger.quote(6)]);
    let forged = chain::Certificate::of_one(&block.header, &crate::testing::key(112));
    drop(store.append(block.clone(), &forged).unwrap());
    drop(store);
    let error = reindex().unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("certificate"), "{error}");
    let error = ledger.open(folder.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("certificate"), "{error}");

    // A checkpoint that was published tells that blocks are gone.
    let blocks = folder.path().join("blocks").join(format!("{:020}.frames", 0));
    let file = fs::OpenOptions::new().write(true).open(&blocks).unwrap();
    file.set_len(end + 60 - 500).unwrap();
    let error = reindex().unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("a tree of 6 was cosigned"), "{error}");
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

#[test]
fn a_search_that_finds_nothing_ends_and_goes_on_where_it_was() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    // A signer and a type that never meet, each on every other record.
    let size = 4000_u64;
    let other = |number: u64| {
        ledger.sign(
            "insurer",
            serde_json::json!({
                "type": "alert.raised", "occurred_at": "2026-01-01T00:00:00Z",
                "data": { "alert": format!("A-{number}"), "basis": "chance" },
            }),
        )
    };
    for part in 0..size / 1000 {
        let from = part * 1000;
        let records = (from..from + 1000)
            .map(|number| if number % 2 == 0 { ledger.quote(number) } else { other(number) })
            .collect();
        ledger.commit(&store, records);
    }
    let filter = Filter {
        signer: Some("broker".parse().unwrap()),
        family: Some(crate::insurance::Family::Settlement),
        ..Filter::default()
    };
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = store.query(&filter, after, 10).unwrap();
        assert!(page.entries.is_empty());
        pages += 1;
        let Some(next) = page.next_after else { break };
        assert!(after.is_none_or(|after| next > after), "no headway at {next}");
        after = Some(next);
    }
    assert!(pages > 1, "one page looked at everything");
}
