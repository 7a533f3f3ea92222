//! Postings are found wherever they are, and damage is named.

#![allow(clippy::unwrap_used)]

use super::{
    merge::LEVEL_MAX,
    run::{PageMeta, encode_head},
    *,
};
use crate::store::codec;

fn tree() -> sled::Tree {
    let database = sled::Config::new().temporary(true).open().unwrap();
    database.open_tree("terms").unwrap()
}

/// Record `index` has its own term, one of ten, and one of a thousand.
fn postings(index: u64) -> [Posting; 3] {
    [
        (Term((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)), index),
        (Term(index % 10), index),
        (Term(1_000_000 + index % 1000), index),
    ]
}

fn fill(terms: &Terms, from: u64, to: u64) {
    for index in from..to {
        terms.add(postings(index)).unwrap();
        let mut batch = sled::Batch::default();
        let run = terms.prepare_run(index + 1, &mut batch).unwrap();
        if let Some(run) = run {
            terms.tree.apply_batch(batch).unwrap();
            terms.run_written(run).unwrap();
        }
    }
}

fn check(terms: &Terms, size: u64) {
    for index in (0..size).step_by(997) {
        let own = postings(index)[0].0;
        assert_eq!(terms.next(own, 0).unwrap(), Some(index));
        assert_eq!(terms.next(own, index + 1).unwrap(), None);
        assert_eq!(terms.next(Term(index % 10), index).unwrap(), Some(index));
        let next = index + 10;
        let expected = (next < size).then_some(next);
        assert_eq!(terms.next(Term(index % 10), index + 1).unwrap(), expected);
    }
    let mut count = 0;
    let mut from = 0;
    while let Some(at) = terms.next(Term(1_000_007), from).unwrap() {
        assert_eq!(at % 1000, 7);
        count += 1;
        from = at + 1;
    }
    assert_eq!(count, (size + 992) / 1000);
    let mut before = size;
    while let Some(at) = terms.previous(Term(1_000_007), before).unwrap() {
        assert_eq!(at % 1000, 7);
        count -= 1;
        before = at;
    }
    assert_eq!(count, 0);
    assert_eq!(terms.next(Term(999_999), 0).unwrap(), None);
}

#[test]
fn postings_are_found_in_memory_in_runs_and_in_merged_runs() {
    let terms = Terms::open(tree()).unwrap();
    let size = RUN_RECORDS * 18 + 100;
    fill(&terms, 0, size);
    check(&terms, size);
    assert_eq!(terms.view().unwrap().runs.len(), 18);
    assert!(terms.merge_one().unwrap());
    assert!(!terms.merge_one().unwrap());
    assert_eq!(terms.view().unwrap().runs.len(), 3);
    check(&terms, size);
    terms.scrub().unwrap();
    let reopened = Terms::open(terms.tree.clone()).unwrap();
    let indexed = reopened.indexed().unwrap();
    assert_eq!(indexed, RUN_RECORDS * 18);
    for index in indexed..size {
        reopened.add(postings(index)).unwrap();
    }
    check(&reopened, size);
}

#[test]
fn a_merge_that_died_after_its_head_was_written_is_finished_at_the_next_start() {
    let terms = Terms::open(tree()).unwrap();
    fill(&terms, 0, RUN_RECORDS * 16);
    let before = terms.tree.len();
    assert!(terms.merge_one().unwrap());
    let after = terms.tree.len();
    assert!(after < before);
    // Put one old page back with its note, as a process killed midway leaves it.
    terms.tree.insert(page_key(0, 0, 3).unwrap(), vec![0; 16]).unwrap();
    terms.tree.insert(run_prefix(b'd', 0, 0), &[]).unwrap();
    let reopened = Terms::open(terms.tree.clone()).unwrap();
    assert_eq!(reopened.tree.len(), after);
    check(&reopened, RUN_RECORDS * 16);
}

#[test]
fn a_head_larger_than_one_value_is_read_again() {
    let terms = Terms::open(tree()).unwrap();
    let count = 4_000_000_u64;
    let filter = filter_of(count as usize, (0..count).step_by(1000).map(Term));
    let page = PageMeta { first_term: 3, first_index: 4, crc: 5 };
    let pages = vec![page; 7000];
    let run = Run { level: LEVEL_MAX, start: 0, end: 9, pages, filter };
    assert!(encode_head(&run).unwrap().len() > codec::VALUE_BYTES_MAX);
    let mut batch = sled::Batch::default();
    write_head(&run, &mut batch).unwrap();
    terms.tree.apply_batch(batch).unwrap();
    let read = terms.read_run(LEVEL_MAX, 0).unwrap();
    assert_eq!((read.end, &read.pages), (run.end, &run.pages));
    assert_eq!(read.filter, run.filter);
    assert!(Terms::open(terms.tree.clone()).is_ok());
}

#[test]
fn a_changed_page_or_head_is_named_as_damage() {
    let terms = Terms::open(tree()).unwrap();
    fill(&terms, 0, RUN_RECORDS);
    for key in [page_key(0, 0, 5).unwrap(), run_key(b'r', 0, 0, 0)] {
        let sound = terms.tree.get(&key).unwrap().unwrap();
        let mut bytes = sound.to_vec();
        bytes[9] ^= 1;
        terms.tree.insert(&key, bytes).unwrap();
        let result = Terms::open(terms.tree.clone()).and_then(|terms| terms.scrub());
        assert!(matches!(result, Err(StoreError::Damaged { .. })));
        terms.tree.insert(&key, sound).unwrap();
    }
}
