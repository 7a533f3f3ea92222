//! Reindexing makes everything but the blocks again, loses no checkpoint and signs
//! nothing that nobody decided on.

use super::*;

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
