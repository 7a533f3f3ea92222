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
    ops::AddAssign,
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
            "--read" | "--audit" => read = Some((PathBuf::from(value), name == "--audit")),
            other => panic_on(other),
        }
    }
    if let Some((folder, audit)) = read {
        read_back(&folder, audit);
        return;
    }
    let kept = folder.is_some();
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.unwrap_or_else(|| temporary.path().join("ledger"));
    fs::create_dir_all(&folder).expect("the folder");
    fill(&folder, records, block);
    let child = |what: &str, mode: &str| {
        println!("\n{what}");
        let program = std::env::current_exe().expect("this program's path");
        let status = Command::new(program).arg(mode).arg(&folder).status();
        assert!(status.expect("the second process").success());
    };
    child("opened after an orderly stop:", "--read");
    child("opened after a process that was killed:", "--audit");
    if kept {
        println!("\nleft in {}", folder.display());
    }
}

fn panic_on(option: &str) -> ! {
    eprintln!("no option {option}; there are --records N, --block N and --folder DIR");
    std::process::exit(2);
}

/// What a stage took: elapsed, and processor time of all threads of this process.
#[derive(Clone, Copy, Default)]
struct Took {
    elapsed: Duration,
    processor: Duration,
}

impl AddAssign for Took {
    fn add_assign(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.processor += other.processor;
    }
}

/// What one stage took, for so many records. On a machine that has other work
/// to do, the processor time is the figure to go by.
fn line(name: &str, took: Took, records: u64, machine: &Machine) {
    let per_s = records as f64 / took.elapsed.as_secs_f64();
    let each_us = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
    println!(
        "  {name:<34} {:>8.2} s {per_s:>12.0} records/s {:>7.2} µs each ({:>6.2} µs processor), ratio {:.3}",
        took.elapsed.as_secs_f64(),
        each_us(took.elapsed),
        each_us(took.processor),
        machine.ratio(per_s)
    );
}

/// Processor time of this process so far, to a hundredth of a second.
fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 (proc_pid_stat(5)); the second one, a name, may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 10)
}

fn fill(folder: &Path, records: u64, block: u64) {
    let machine = Machine::measure(folder).expect("the machine's rates");
    println!("{machine}\nfilling with {records} records in blocks of {block}");
    let ledger = Ledger::new().expect("the ledger");
    let series = ledger.series(CONTRACTS, b"million").expect("a series");
    let store = ledger.open(folder).expect("the store");
    let (pending, _) = Pending::open(folder, &ledger.membership, false).expect("the queue");
    let mut verify = Took::default();
    let (mut queue, mut look_up, mut commit, mut maintain) = (verify, verify, verify, verify);
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
        let took =
            timed(&mut commit, || ledger.commit_all(&store, &opened, usize::MAX).expect("a block"));
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
    line("commit block", commit, records, &machine);
    for (name, took) in [
        ("  of that: build", stages.build),
        ("  append (durable, read back)", stages.append),
        ("  sign checkpoint", stages.sign),
        ("  acknowledge (durable)", stages.commit),
    ] {
        let each_us = took.as_secs_f64() * 1e6 / records as f64;
        println!("  {name:<34} {:>8.2} s {each_us:>31.2} µs each", took.as_secs_f64());
    }
    line("merge postings", maintain, records, &machine);
    let mut all = verify;
    for stage in [look_up, queue, commit, maintain] {
        all += stage;
    }
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

fn read_back(folder: &Path, audit: bool) {
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
    sample("entry", &|sample| store.entry(scatter(sample) % size).expect("the store").is_some());
    if audit {
        check_all(&ledger, &store, folder, size);
    }
    // No close: the next process finds the store as a killed one leaves it.
}

fn check_all(ledger: &Ledger, store: &Store, folder: &Path, size: u64) {
    let machine = Machine::measure(folder).expect("the machine's rates");
    println!("  {machine}");
    let mut took = Took::default();
    let policy = ledger.membership.policy();
    let report = timed(&mut took, || {
        audit::audit(&mut &*store, &ledger.membership, Some(&policy), None, |_| ())
    });
    assert_eq!(report.expect("a sound ledger").records, size);
    line("audit (all cores)", took, size, &machine);
    println!("  {}", memory());
    let mut took = Took::default();
    timed(&mut took, || store.scrub(|_| true).expect("a sound store"));
    line("scrub (one core)", took, size, &machine);
    println!("  {}", memory());
}

/// Numbers without order, always the same.
const fn scatter(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn timed<T>(sum: &mut Took, work: impl FnOnce() -> T) -> T {
    let (clock, before) = (Instant::now(), processor());
    let done = work();
    *sum += Took { elapsed: clock.elapsed(), processor: processor().saturating_sub(before) };
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
