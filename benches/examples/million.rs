//! Fills a ledger with a million records, as a node does, and says how fast that
//! was, what it takes of memory and disk, and how fast it is to open and read.
//!
//! ```text
//! cargo run --release -p quittance-benches --example million -- [--records N] [--block N] [--folder DIR]
//! ```
//!
//! The filled ledger is opened again in a process of its own, twice: after an
//! orderly stop, and after a process that ended without one. Memory is that of
//! these processes and so nothing but the store's.

#![allow(clippy::expect_used, missing_docs, reason = "a tool for developers")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use quittance_benches::{
    fixture::{Ledger, Stages},
    machine::Machine,
};
use quittance_ledger::{
    audit,
    digest::RecordId,
    record::Record,
    store::{Pending, Store},
};
use rayon::prelude::*;

const CONTRACTS: u64 = 50_000;
const SAMPLES: u64 = 5000;

fn main() {
    let mut records = 1_000_000;
    let mut block = 4000;
    let mut folder = None;
    let mut read = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().expect("every option has a value");
        match name.as_str() {
            "--records" => records = value.parse().expect("a number"),
            "--block" => block = value.parse().expect("a number"),
            "--folder" => folder = Some(PathBuf::from(value)),
            "--read" => read = Some(PathBuf::from(value)),
            other => panic_on(other),
        }
    }
    if let Some(folder) = read {
        read_back(&folder);
        return;
    }
    let kept = folder.is_some();
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.unwrap_or_else(|| temporary.path().join("ledger"));
    fs::create_dir_all(&folder).expect("the folder");
    fill(&folder, records, block);
    let child = |what: &str| {
        println!("\n{what}");
        let program = std::env::current_exe().expect("this program's path");
        let status = Command::new(program).arg("--read").arg(&folder).status();
        assert!(status.expect("the second process").success());
    };
    child("opened after an orderly stop:");
    child("opened after a process that was killed:");
    if kept {
        println!("\nleft in {}", folder.display());
    }
}

fn panic_on(option: &str) -> ! {
    eprintln!("no option {option}; there are --records N, --block N and --folder DIR");
    std::process::exit(2);
}

/// What one stage took, for so many records.
fn line(name: &str, took: Duration, records: u64, machine: &Machine) {
    let per_s = records as f64 / took.as_secs_f64();
    println!(
        "  {name:<34} {:>8.2} s {per_s:>12.0} records/s {:>7.2} µs each, ratio {:.3}",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / records as f64,
        machine.ratio(per_s)
    );
}

fn fill(folder: &Path, records: u64, block: u64) {
    let machine = Machine::measure(folder).expect("the machine's rates");
    println!("{machine}\nfilling with {records} records in blocks of {block}");
    let ledger = Ledger::new().expect("the ledger");
    let series = ledger.series(CONTRACTS, b"million").expect("a series");
    let store = ledger.open(folder).expect("the store");
    let ledger_id = ledger.membership.ledger_id();
    let (pending, _) = Pending::open(folder, ledger_id).expect("the queue");
    let (mut verify, mut queue, mut look_up, mut maintain) = <(Duration, Duration, Duration, Duration)>::default();
    let mut stages = Stages::default();
    let (mut bytes, mut worst) = (0_u64, Duration::ZERO);
    let mut first = 0;
    while first < records {
        let next = (first + block).min(records);
        let jws: Vec<_> = series
            .records(first..next, |_| ())
            .expect("records")
            .into_iter()
            .map(|envelope| envelope.jws().clone())
            .collect();
        bytes += jws.iter().map(|jws| jws.len() as u64).sum::<u64>();
        let opened = timed(&mut verify, || {
            jws.into_par_iter()
                .map(|jws| Record::open(jws, &ledger.membership))
                .collect::<Result<Vec<_>, _>>()
                .expect("good records")
        });
        timed(&mut look_up, || {
            for record in &opened {
                assert!(!store.contains(&record.id()).expect("the store"));
            }
        });
        timed(&mut queue, || {
            pending.append(&opened).expect("the queue");
            pending.forget_before(None).expect("the queue");
        });
        let took = ledger.commit_all(&store, &opened, usize::MAX).expect("a block");
        worst = worst.max(took.total());
        stages += took;
        timed(&mut maintain, || while store.maintain().expect("merging") {});
        if next % 100_000 < block {
            println!(
                "  {next:>8} records; commit of this block {:>6.1} ms; {}",
                took.total().as_secs_f64() * 1e3,
                memory()
            );
        }
        first = next;
    }
    println!("stages (the first on all cores, the others on one):");
    line("verify", verify, records, &machine);
    line("look up (not there yet)", look_up, records, &machine);
    line("queue (durable)", queue, records, &machine);
    line("build block", stages.build, records, &machine);
    line("append block (durable, read back)", stages.append, records, &machine);
    line("sign checkpoint", stages.sign, records, &machine);
    line("commit (durable)", stages.commit, records, &machine);
    line("merge postings", maintain, records, &machine);
    let all = verify + look_up + queue + stages.total() + maintain;
    line("all, one after the other", all, records, &machine);
    println!("  slowest block {:.1} ms", worst.as_secs_f64() * 1e3);
    let clock = Instant::now();
    store.close().expect("closing");
    drop(store);
    println!("  closed in {:.2} s", clock.elapsed().as_secs_f64());
    let on_disk = disk_bytes(folder);
    println!(
        "disk: {:.1} MB for {:.1} MB of records, {:.2} to one",
        on_disk as f64 / 1e6,
        bytes as f64 / 1e6,
        on_disk as f64 / bytes as f64
    );
    for part in ["blocks", "index", "pending", "nodes.flat", "positions.flat", "heights.flat"] {
        println!("  {part:<16} {:>8.1} MB", disk_bytes(&folder.join(part)) as f64 / 1e6);
    }
}

fn read_back(folder: &Path) {
    let ledger = Ledger::new().expect("the ledger");
    println!("  before: {}", memory());
    let clock = Instant::now();
    let store = ledger.open(folder).expect("the store");
    println!("  open {:.3} s; {}", clock.elapsed().as_secs_f64(), memory());
    let size = store.tip().frontier.size();
    let ids: Vec<RecordId> = (0..SAMPLES)
        .map(|sample| {
            let index = scatter(sample) % size;
            store.entry(index).expect("the store").expect("a record").record.id()
        })
        .collect();
    let sample = |name: &str, work: &dyn Fn(u64) -> bool| {
        let mut took: Vec<_> = (0..SAMPLES)
            .map(|sample| {
                let clock = Instant::now();
                assert!(work(sample), "{name}");
                clock.elapsed()
            })
            .collect();
        took.sort_unstable();
        let at = |percent: usize| {
            took.get(took.len() * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1e6
        };
        println!("  {name:<24} p50 {:>7.1} µs, p99 {:>7.1} µs; {}", at(50), at(99), memory());
    };
    sample("inclusion proof", &|sample| store.inclusion(scatter(sample) % size, size).is_ok());
    sample("receipt", &|sample| {
        store.receipt(scatter(sample) % size).expect("the store").is_some()
    });
    sample("find by id", &|sample| {
        let id = ids.get(sample as usize).expect("an id");
        store.find(id).expect("the store").is_some()
    });
    sample("find what is not there", &|sample| {
        store.find(&RecordId::of(&sample.to_be_bytes())).expect("the store").is_none()
    });
    sample("entry", &|sample| {
        store.entry(scatter(sample) % size).expect("the store").is_some()
    });
    check_all(&ledger, &store, folder, size);
    // No close: the next process finds the store as a killed one leaves it.
}

fn check_all(ledger: &Ledger, store: &Store, folder: &Path, size: u64) {
    let machine = Machine::measure(folder).expect("the machine's rates");
    println!("  {machine}");
    let clock = Instant::now();
    let policy = ledger.membership.policy();
    let report = audit::audit(&mut &*store, &ledger.membership, &policy, None, |_| ());
    assert_eq!(report.expect("a sound ledger").records, size);
    line("audit (all cores)", clock.elapsed(), size, &machine);
    println!("  {}", memory());
    let clock = Instant::now();
    store.scrub(|_| true).expect("a sound store");
    line("scrub (one core)", clock.elapsed(), size, &machine);
    println!("  {}", memory());
}

/// Numbers without order, always the same.
const fn scatter(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let done = work();
    *sum += clock.elapsed();
    done
}

/// What this process holds in memory, now and at most.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let shown = |name| mib(name).map_or_else(|| "?".to_owned(), |mib| format!("{mib:.0}"));
    format!("memory {} MiB (at most {} MiB)", shown("VmRSS:"), shown("VmHWM:"))
}

fn disk_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| disk_bytes(&entry.path())).sum()
}
