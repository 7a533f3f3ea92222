//! A dossier of a thousand records in a ledger of a million: read, folded and
//! written as JSON, now and as of the past.
//!
//! ```text
//! cargo bench -p quittance-benches --bench dossiers -- [--records N]
//! ```

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use quittance_benches::fixture::Ledger;
use quittance_ledger::{
    insurance::views::{self, AsOf, DEFAULT_TIME_ZONE, Line, time_zone},
    record::{ContractRef, Record},
    store::{Entry, Store, Subject},
};
use rayon::prelude::*;
use tikv_jemallocator::Jemalloc;

/// The program's own allocator: much of what a view takes is its work.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Records of each dossier.
const DOSSIER: u64 = 1000;
const BLOCK: u64 = 4000;
/// Views of each kind that are timed.
const ROUNDS: u64 = 400;

fn main() {
    let mut records = 1_000_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--records" {
            records = arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = Ledger::new().expect("the ledger");
    let store = ledger.open(folder.path()).expect("a store");
    fill(&ledger, &store, records);
    let size = store.tip().frontier.size();
    println!("{size} records, {} blocks", store.tip().height);

    let contracts: Vec<ContractRef> = (0..ROUNDS)
        .filter_map(|round| {
            let index = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
            let entry = store.entry(index).expect("the store")?;
            entry.record.payload().contract.clone()
        })
        .collect();
    let half = store.tip().height / 2;
    let (header, _) = store.header(half).expect("the store").expect("a block");
    let past = time(header.time_ms);
    let now = AsOf::Now(time(store.tip().time_ms));
    let kinds = [
        ("now", now, size),
        ("as of a past time", AsOf::Time(past), size),
        (
            "as of the height in the middle",
            AsOf::Height { height: half, time: past },
            header.tree_size,
        ),
    ];
    let mut present = None;
    for (name, as_of, size) in kinds {
        // What is not in memory yet is not what is measured.
        view(&store, contracts.first().expect("a contract"), as_of, size);
        let mut took: Vec<Duration> = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        let before = processor();
        for contract in &contracts {
            let clock = Instant::now();
            let (count, json) = view(&store, contract, as_of, size);
            took.push(clock.elapsed());
            events += count;
            bytes += json;
        }
        let each = (processor() - before) / u32::try_from(contracts.len()).expect("few");
        took.sort();
        let at = |percent: usize| {
            took.get((took.len() - 1) * percent / 100).copied().unwrap_or_default()
        };
        let (p50, p99) = (at(50), at(99));
        let present = *present.get_or_insert(p50);
        println!(
            "dossier {name:<32} p50 {:>6.2} ms, p99 {:>6.2} ms, {:.2} ms processor, {} records and {} kB each, {:.2} × now",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3,
            each.as_secs_f64() * 1e3,
            events / contracts.len(),
            bytes / contracts.len() / 1000,
            p50.as_secs_f64() / present.as_secs_f64(),
        );
    }
}

/// Processor time of this process so far, to a hundredth of a second: the figure
/// to go by on a machine that has other work to do.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 (proc_pid_stat(5)); the second one, a name, may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 10)
}

fn time(time_ms: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(time_ms).expect("a time")).expect("a time")
}

fn fill(ledger: &Ledger, store: &Store, records: u64) {
    let contracts = (records / DOSSIER).max(1);
    let series = ledger.series(contracts, b"dossiers").expect("a series");
    let mut first = 0;
    while first < records {
        let next = (first + BLOCK).min(records);
        let made = series.records(first..next, |_| ()).expect("records");
        // Their signatures are good: nothing is gained by verifying them.
        let made: Vec<Record> = made.into_par_iter().map(|envelope| envelope.trusted()).collect();
        ledger.commit_all(store, &made, usize::MAX).expect("a block");
        while store.maintain().expect("merging") {}
        first = next;
    }
}

/// Reads a dossier as the API does; gives its records and the bytes of its JSON.
fn view(store: &Store, contract: &ContractRef, as_of: AsOf, size: u64) -> (usize, usize) {
    let subject = Subject::Contract(contract.clone());
    let page = store.records_of(&subject, None, size, 20_000).expect("the store");
    let lines: Vec<Line> = page
        .entries
        .into_iter()
        .map(|Entry { index, height, block_time_ms, record }| Line {
            index,
            height,
            block_time_ms,
            record,
            flags: Vec::new(),
        })
        .collect();
    let zone = time_zone(DEFAULT_TIME_ZONE).expect("a time zone");
    match views::dossier(contract, &lines, as_of, &zone) {
        Some(dossier) => {
            let json = serde_json::to_vec(&dossier).expect("JSON");
            (dossier.events.len(), json.len())
        }
        None => (0, 0),
    }
}
