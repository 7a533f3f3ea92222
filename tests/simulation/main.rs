//! A simulation of several machines without sockets or clocks: Malachite's own
//! core, this ledger's votes, blocks and records, and a network in which messages
//! are lost, delayed, doubled and overtake each other, machines crash at any
//! moment, networks fall apart, and two machines vote with one key. One seed
//! makes one history.
//!
//! `QUITTANCE_SIMULATION_SEEDS=5000 cargo test -p quittance-tests --test
//! simulation` runs more seeds, from `QUITTANCE_SIMULATION_FIRST` on;
//! `QUITTANCE_SIMULATION_REPLAY=<seed>` prints all that happens in one. The rest
//! is in docs/OPERATIONS.md.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clock;
mod disk;
mod effects;
mod exchange;
mod host;
mod ledger;
mod lies;
mod network;
mod node;
mod plan;
mod properties;
mod sync;
mod world;

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use plan::Sabotage;
use world::{History, World};

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 300;

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

/// Runs one seed; a panic inside is a failure like others.
fn run(seed: u64) -> Result<History, String> {
    let world = AssertUnwindSafe(|| World::new(seed, false).run());
    panic::catch_unwind(world).unwrap_or_else(|_| Err("it panicked".to_owned())).map_err(|why| {
        format!(
            "seed {seed}: {why}\nreplay it with: QUITTANCE_SIMULATION_REPLAY={seed} cargo test \
             -p quittance-tests --test simulation -- --nocapture replay"
        )
    })
}

#[test]
fn no_seed_makes_the_machines_disagree_lose_or_stop() {
    let first = setting("QUITTANCE_SIMULATION_FIRST").unwrap_or(0);
    let count = setting("QUITTANCE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let work = || {
            let mut results = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return results;
                }
                results.push((seed, run(seed)));
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let failures: Vec<_> =
        results.iter().filter_map(|(_, result)| result.as_ref().err()).take(5).collect();
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    for failure in &failures {
        println!("{failure}");
    }
    let histories: Vec<_> = results.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
    let sum = |of: fn(&History) -> u64| histories.iter().map(|history| of(history)).sum::<u64>();
    println!(
        "{count} seeds from {first}: {} events, {} blocks, {} crashes, {} validators caught, \
         slowest recovery {:?}",
        sum(|history| history.events),
        sum(|history| history.blocks as u64),
        sum(|history| history.crashes),
        sum(|history| history.accused as u64),
        histories.iter().map(|history| history.recovery).max().unwrap_or_default(),
    );
    assert_eq!(failed, 0, "of {count} seeds; the first: {:?}", failures.first());
}

/// Runs one seed; a panic inside is a failure like others.
fn run_sabotaged(seed: u64, sabotage: Sabotage) -> Result<History, String> {
    let world = AssertUnwindSafe(|| World::sabotaged(seed, false, Some(sabotage)).run());
    panic::catch_unwind(world).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

#[test]
fn mistakes_made_on_purpose_are_noticed() {
    let cases = [
        (Sabotage::ForgetLog, "two "),
        (Sabotage::SkipFlush, "two "),
        (Sabotage::ForgetBlocks, "which is not held"),
        (Sabotage::TakeInAnyOrder, "the order of one submitter"),
    ];
    for (sabotage, symptom) in cases {
        let seen = (0..SEEDS)
            .find(|seed| run_sabotaged(*seed, sabotage).is_err_and(|why| why.contains(symptom)));
        println!("{sabotage:?}: {seen:?}");
        assert!(seen.is_some(), "{sabotage:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(0), run(1));
}

#[test]
fn replay() {
    let Some(seed) = setting("QUITTANCE_SIMULATION_REPLAY") else { return };
    match World::new(seed, true).run() {
        Ok(history) => println!("{history:#?}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}
