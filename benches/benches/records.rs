//! One record: signing it, reading it, verifying it.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{Criterion, Throughput};
use quittance_benches::{figures::Figures, fixture::Ledger};
use quittance_ledger::record::{Envelope, Record};
use rayon::prelude::*;

const RECORDS: usize = 4096;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = Figures::new(folder.path()).expect("the machine's rates");
    let ledger = Ledger::new().expect("the ledger");
    let series = ledger.series(1000, b"records").expect("a series");
    let records: Vec<_> = series
        .records(0..RECORDS as u64, |_| ())
        .expect("records")
        .into_iter()
        .map(|envelope| envelope.jws().clone())
        .collect();
    let jws = |number: u64| records.get(number as usize % RECORDS).expect("a record").clone();

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("sign a record", 1, iterations, |number| series.record(number))
        });
    });
    group.bench_function("parse", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("parse a record", 1, iterations, |number| Envelope::parse(jws(number)))
        });
    });
    group.bench_function("open", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("open a record (one core)", 1, iterations, |number| {
                Record::open(jws(number), &ledger.membership).expect("a good record")
            })
        });
    });
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.sample_size(10);
    group.bench_function("open on all cores", |bencher| {
        bencher.iter_custom(|iterations| {
            figures.timed("open records (all cores)", RECORDS as u64, iterations, |_| {
                records
                    .par_iter()
                    .map(|jws| Record::open(jws.clone(), &ledger.membership))
                    .collect::<Result<Vec<_>, _>>()
                    .expect("good records")
            })
        });
    });
    group.finish();
    criterion.final_summary();
    figures.print();
}
