//! Auditing a whole history: every signature, the chain, the tree, the checkpoints.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use quittance_benches::{figures::Figures, fixture::Ledger};
use quittance_ledger::audit;

const RECORDS: u64 = 16_384;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = Figures::new(folder.path()).expect("the machine's rates");
    let ledger = Ledger::new().expect("the ledger");
    let records = ledger.records(1000, RECORDS).expect("records");
    let policy = ledger.membership.policy();

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(8))
        .configure_from_args();
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(RECORDS));
    for block in [100, 4000] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = ledger.open(folder.path()).expect("a store");
        ledger.commit_all(&store, &records, block).expect("blocks");
        group.bench_function(BenchmarkId::new("blocks", block), |bencher| {
            bencher.iter_custom(|iterations| {
                let name = format!("audit, blocks of {block:>4}");
                figures.timed(&name, RECORDS, iterations, |_| {
                    let membership = &ledger.membership;
                    audit::audit(&mut &store, membership, Some(&policy), None, |_| ())
                        .expect("sound")
                })
            });
        });
    }
    group.finish();
    criterion.final_summary();
    figures.print();
}
