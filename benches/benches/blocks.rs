//! Committing blocks of several sizes: built, durable, signed, acknowledged.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use quittance_benches::{
    figures::Figures,
    fixture::{Ledger, Rules},
};
use quittance_ledger::store::Pending;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = Figures::new(folder.path()).expect("the machine's rates");
    let mut ledger = Ledger::new().expect("the ledger");
    // The same records again and again; what the rules cost, the bench `rules` tells.
    ledger.rules = Rules::Off;
    let records = ledger.records(1000, 4000).expect("records");

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("block");
    for size in [1, 100, 4000] {
        let block = records.get(..size).expect("enough records");
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("commit", size), |bencher| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = ledger.open(folder.path()).expect("a store");
            // The same records in every block: only whoever checks a block of
            // another validator looks for them, and that is not measured here.
            bencher.iter_custom(|iterations| {
                let name = format!("commit a block of {size:>4}");
                figures.timed(&name, size as u64, iterations, |_| {
                    ledger.commit_all(&store, block, usize::MAX).expect("a block");
                    store.maintain().expect("merging");
                })
            });
        });
        group.bench_function(BenchmarkId::new("queue", size), |bencher| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (pending, _) =
                Pending::open(folder.path(), &ledger.membership, false).expect("a queue");
            bencher.iter_custom(|iterations| {
                let name = format!("queue a batch of {size:>4} (durable)");
                figures.timed(&name, size as u64, iterations, |_| {
                    pending.append(block).expect("a batch");
                    pending.forget_before(None).expect("the queue");
                })
            });
        });
    }
    group.finish();
    criterion.final_summary();
    figures.print();
}
