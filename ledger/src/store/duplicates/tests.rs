//! The same document is found wherever it was used before, and only then.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::{store::Filter, testing::Ledger};

fn hex_of(number: u64) -> String {
    format!("{number:064x}")
}

/// Record `number`, about a contract and perhaps a claim, with documents of
/// these matches. Commitments are all different, as their salts are.
fn record(ledger: &Ledger, number: u64, about: (&str, Option<&str>), matches: &[u64]) -> Record {
    let salt = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        u128::from(number).to_be_bytes(),
    );
    let documents: Vec<Value> = matches
        .iter()
        .enumerate()
        .map(|(place, tag)| {
            let commitment = hex_of(1_000_000 + number * 100 + place as u64);
            json!({"kind": "invoice", "media_type": "application/pdf", "size": 4,
                "commitment": commitment, "match": hex_of(*tag)})
        })
        .collect();
    let mut payload = json!({
        "type": "contract.quoted", "salt": salt, "occurred_at": "2026-01-01T00:00:00Z",
        "contract": about.0, "data": {"quote": "Q"}, "documents": documents,
    });
    if let Some(claim) = about.1 {
        payload["claim"] = claim.into();
    }
    ledger.sign("broker", payload)
}

/// The later index, the earlier ones, and the match.
type Pair = (u64, Vec<u64>, String);

/// Later and earlier indexes with the match of each duplicate.
fn found(
    store: &Store,
    match_tag: Option<u64>,
    after: Option<u64>,
    limit: usize,
) -> (Vec<Pair>, Option<u64>) {
    let match_tag = match_tag.map(|tag| hex_of(tag).parse().unwrap());
    let Duplicates { duplicates, next_after } = store.duplicates(match_tag, after, limit).unwrap();
    let pairs = duplicates.into_iter().map(|duplicate| {
        let earlier = duplicate.earlier.iter().map(|entry| entry.index).collect();
        (duplicate.later.index, earlier, duplicate.match_tag.to_string())
    });
    (pairs.collect(), next_after)
}

#[test]
fn a_document_at_two_insurers_or_claims_is_found_and_at_one_is_not() {
    let ledger = Ledger::new("test.example/duplicates");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let of = |number, contract, claim, matches: &[u64]| {
        record(&ledger, number, (contract, claim), matches)
    };
    // 0 and 1: the same contract, once without and once with a claim.
    ledger.commit_without_rules(
        &store,
        vec![of(0, "one/C-1", None, &[7]), of(1, "one/C-1", Some("one/S-1"), &[7])],
    );
    assert_eq!(found(&store, None, None, 10), (vec![], None));
    // 2: another insurer, in a block with 3, another claim of the first one,
    // and 4, the first claim again.
    ledger.commit_without_rules(
        &store,
        vec![
            of(2, "two/C-1", Some("two/S-1"), &[7, 8]),
            of(3, "one/C-1", Some("one/S-2"), &[7]),
            of(4, "one/C-1", Some("one/S-1"), &[7]),
            of(5, "one/C-1", Some("one/S-1"), &[9]),
        ],
    );
    let expected =
        vec![(2, vec![0, 1], hex_of(7)), (3, vec![1, 2], hex_of(7)), (4, vec![2, 3], hex_of(7))];
    assert_eq!(found(&store, None, None, 10), (expected.clone(), None));
    assert_eq!(found(&store, Some(7), None, 10), (expected.clone(), None));
    assert_eq!(found(&store, Some(8), None, 10), (vec![], None));
    // In pages, and on from the last one once there is more.
    let (first, next) = found(&store, None, None, 2);
    assert_eq!((&first[..], next), (&expected[..2], Some(3)));
    assert_eq!(found(&store, None, next, 2), (expected[2..].to_vec(), None));
    ledger.commit_without_rules(&store, vec![of(6, "three/C-1", None, &[8, 9])]);
    let later = vec![(6, vec![2], hex_of(8)), (6, vec![5], hex_of(9))];
    assert_eq!(found(&store, None, Some(4), 10), (later.clone(), None));
    let all = [expected, later].concat();
    assert_eq!(found(&store, None, None, 10).0, all);

    // Records are found by the match itself.
    let filter = Filter { match_tag: Some(hex_of(8).parse().unwrap()), ..Filter::default() };
    let page = store.query(&filter, None, 10).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [2, 6]);

    // The same after a start, in order or not, and when all that is derived is made anew.
    store.close().unwrap();
    drop(store);
    let store = ledger.open(folder.path()).unwrap();
    assert_eq!(found(&store, None, None, 10).0, all);
    drop(store);
    let store = ledger.open(folder.path()).unwrap();
    assert_eq!(found(&store, None, None, 10).0, all);
}

#[test]
fn a_repetition_is_noticed_across_runs_of_postings() {
    let ledger = Ledger::new("test.example/duplicates");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.commit_without_rules(&store, vec![record(&ledger, 0, ("one/C-1", None), &[7])]);
    // More than one run holds.
    let runs = super::super::terms::RUN_RECORDS + 10;
    ledger.fill(&store, 1, runs.div_ceil(1000), 1000);
    let last = store.tip().frontier.size();
    ledger.commit_without_rules(&store, vec![record(&ledger, last, ("two/C-1", None), &[7])]);
    assert_eq!(found(&store, None, None, 10).0, [(last, vec![0], hex_of(7))]);
}

#[test]
fn a_document_that_is_used_very_often_costs_no_more_than_is_listed() {
    let ledger = Ledger::new("test.example/duplicates");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let uses = DUPLICATE_USES_MAX as u64 + 2;
    let records =
        (0..uses).map(|number| record(&ledger, number, (&format!("one/C-{number}"), None), &[7]));
    ledger.commit_without_rules(&store, records.collect());
    let Duplicates { duplicates, .. } = store.duplicates(None, None, 1000).unwrap();
    let listed: Vec<_> = duplicates.iter().map(|found| (found.earlier.len(), found.more)).collect();
    let expected: Vec<_> = (1..uses as usize)
        .map(|before| (before.min(DUPLICATE_USES_MAX), before > DUPLICATE_USES_MAX))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn repetitions_within_one_claim_do_not_hide_a_use_elsewhere() {
    let ledger = Ledger::new("test.example/duplicates");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let within = EARLIER_READS_MAX as u64;
    let same = (0..within).map(|number| record(&ledger, number, ("one/C-1", None), &[7]));
    let mut records: Vec<_> = same.collect();
    records.push(record(&ledger, within, ("two/C-1", None), &[7]));
    records.push(record(&ledger, within + 1, ("one/C-1", None), &[7]));
    ledger.commit_without_rules(&store, records);
    // Looking costs much here, so there are pages without anything.
    let (mut indexes, mut after) = (Vec::new(), None);
    loop {
        let page = store.duplicates(None, after, 1000).unwrap();
        let listed = page.duplicates.iter();
        indexes.extend(listed.map(|found| (found.later.index, found.earlier.len(), found.more)));
        assert!(page.next_after.is_none_or(|next| Some(next) > after));
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    // The last one says that it could not look at all that came before.
    assert_eq!(indexes, [(within, DUPLICATE_USES_MAX, true), (within + 1, 0, true)]);
}

#[test]
fn a_record_with_many_documents_used_very_often_does_not_make_a_page_read_without_bound() {
    let ledger = Ledger::new("test.example/duplicates");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    // Each document stands so often in one claim that all the reads for one are used up.
    let tags: Vec<u64> = (0..16).collect();
    let same = (0..EARLIER_READS_MAX as u64)
        .map(|number| record(&ledger, number, ("one/C-1", None), &tags));
    ledger.commit_without_rules(&store, same.collect());
    let last = store.tip().frontier.size();
    let elsewhere = ["two/C-1", "three/C-1"];
    let elsewhere = (last..).zip(elsewhere);
    let records = elsewhere.map(|(number, at)| record(&ledger, number, (at, None), &tags));
    ledger.commit_without_rules(&store, records.collect());
    let later = DocumentUse::of(&store.entry(last).unwrap().unwrap(), {
        let tag: Digest = hex_of(0).parse().unwrap();
        tag.into()
    });
    let (later, mut reads) = (later.unwrap(), READS_MAX - 3);
    let tag: Digest = hex_of(0).parse().unwrap();
    let (earlier, more) = store.earlier_uses(&later, tag.into(), &mut reads).unwrap();
    assert_eq!((earlier.len(), more, reads), (3, true, READS_MAX));

    let (mut indexes, mut after) = (Vec::new(), Some(last - 1));
    loop {
        let page = store.duplicates(None, after, 1000).unwrap();
        let mut of_page: Vec<_> = page.duplicates.iter().map(|found| found.later.index).collect();
        // Every document of a record stands on the page of the record.
        assert!(of_page.iter().all(|index| of_page.iter().filter(|it| *it == index).count() == 16));
        of_page.dedup();
        indexes.extend(of_page);
        assert!(page.next_after.is_none_or(|next| Some(next) > after));
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(indexes, [last, last + 1]);
}
