//! What the rules between records and their state cost of appending: the same
//! records verified, judged as they come in, put into blocks and committed, with
//! the rules and without, by turns.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use quittance_benches::{
    figures::Figures,
    fixture::{Ledger, Rules},
};
use quittance_ledger::{
    chain,
    insurance::{
        rules::{BlockState, Judge},
        state::EmptyState,
    },
    record::{Envelope, Record},
    store::Store,
};
use rayon::prelude::*;
use tikv_jemallocator::Jemalloc;

/// The program's own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const RECORDS: u64 = 100_000;
const BLOCK: usize = 4000;
const ROUNDS: usize = 5;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = Figures::new(folder.path()).expect("the machine's rates");
    let mut ledger = Ledger::new().expect("the ledger");
    let series = ledger.series(10_000, b"rules").expect("a series");
    let envelopes = series.records(0..RECORDS, |_| ()).expect("records");
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (place, rules) in [Rules::On, Rules::Off].into_iter().enumerate() {
            ledger.rules = rules;
            let name = match rules {
                Rules::On => "append with rules",
                Rules::Off => "append without rules",
            };
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = ledger.open(folder.path()).expect("a store");
            let took_one = figures.timed(name, RECORDS, 1, |_| append(&ledger, &store, &envelopes));
            if let Some(took) = took.get_mut(place) {
                took.push(took_one);
            }
            store.close().expect("closing");
        }
    }
    figures.print();
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64()
    };
    let [on, off] = &mut took;
    let (on, off) = (median(on), median(off));
    println!(
        "rules and state take {:.1} % of the append rate (goal: at most 40 %)",
        100.0 * (1.0 - off / on)
    );
}

/// As a node with one validator does it.
fn append(ledger: &Ledger, store: &Store, envelopes: &[Envelope]) {
    for chunk in envelopes.chunks(BLOCK) {
        let records: Vec<Record> = chunk
            .par_iter()
            .map(|envelope| envelope.clone().verify(&ledger.membership).expect("a record"))
            .collect();
        let tip = store.decided();
        let time_ms = chain::next_time_ms(&tip, 0).max(1_800_000_000_000);
        let (height, first) = (tip.height + 1, tip.frontier.size());
        let judged = match ledger.rules {
            Rules::On => {
                let mut judge = Judge::new(height, time_ms, first, &tip.members, store);
                records.iter().try_for_each(|record| judge.apply(record))
            }
            Rules::Off => {
                let members = &tip.members;
                let mut state = BlockState::without_rules(height, time_ms, 0, members, &EmptyState);
                records.iter().try_for_each(|record| state.apply(record))
            }
        };
        judged.expect("records that the rules let pass");
        ledger.commit_all(store, &records, usize::MAX).expect("a block");
        store.maintain().expect("merging");
    }
}
