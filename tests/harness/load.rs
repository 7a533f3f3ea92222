//! Records that are posted in the background while a test does something to the
//! nodes, and what was answered.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{Cluster, Members, Signed, cluster::Door, wait_for};

/// How the records of a load are sent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between an answer of a node and the next record for it.
    pub pause: Duration,
    /// How long a node may wait for finality before it answers, in seconds; 0
    /// is answered as soon as the record is durable.
    pub wait_s: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(20), wait_s: 0 }
    }
}

/// A record that a node has acknowledged: durable (202), or final (200, 201).
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Which node.
    pub node: usize,
    /// The record.
    pub record: Signed,
    /// The HTTP status.
    pub status: u16,
    /// When it was sent.
    pub sent: Instant,
    /// How long the answer took.
    pub took: Duration,
}

/// What a load was told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// What was acknowledged, in this order; the order of one node is the order
    /// in which it accepted.
    pub acknowledged: Vec<Acknowledged>,
    /// Answers that acknowledge nothing: too busy, stopping.
    pub refused: Vec<String>,
    /// Ids of records that were sent and not answered: they may be there or not.
    pub unknown: Vec<String>,
}

impl Told {
    /// The ids of everything acknowledged.
    #[must_use]
    pub fn acknowledged_ids(&self) -> BTreeSet<String> {
        self.acknowledged.iter().map(|one| one.record.id.clone()).collect()
    }

    /// What one node acknowledged, in its order.
    pub fn of_node(&self, node: usize) -> impl Iterator<Item = &Acknowledged> {
        self.acknowledged.iter().filter(move |one| one.node == node)
    }

    /// What was sent in a time and answered as final: how long that took, the
    /// shortest first.
    #[must_use]
    pub fn final_latencies(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let sent = self.acknowledged.iter().filter(|one| one.sent >= from && one.sent < to);
        let mut latencies: Vec<_> =
            sent.filter(|one| one.status == 201).map(|one| one.took).collect();
        latencies.sort_unstable();
        latencies
    }
}

/// The share of sorted latencies, in per cent, that are not longer.
///
/// # Panics
/// There are none.
#[must_use]
pub fn percentile(sorted: &[Duration], per_cent: usize) -> Duration {
    assert!(!sorted.is_empty(), "no record became final");
    sorted[(sorted.len() - 1) * per_cent / 100]
}

/// Posts records to nodes until it is ended. A node that does not answer gets
/// the next record when it answers again.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    threads: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Begins to post different records to these nodes, each with a client of
    /// its own, at an even pace.
    #[must_use]
    pub fn load(&self, nodes: &[usize]) -> Load {
        self.load_with(nodes, Pace::default())
    }

    /// As [`Cluster::load`], at another pace.
    #[must_use]
    pub fn load_with(&self, nodes: &[usize], pace: Pace) -> Load {
        // Different clusters and different loads of one never send the same record.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::<Mutex<Told>>::default();
        let members: Arc<Members> = Arc::new((**self).clone());
        let threads = nodes.iter().map(|node| {
            let client = Client {
                node: *node,
                name: format!("{number}-{node}"),
                door: self.door(*node),
                members: members.clone(),
                pace,
                stop: stop.clone(),
                told: told.clone(),
            };
            thread::spawn(move || client.run())
        });
        Load { threads: threads.collect(), stop, told }
    }
}

impl Load {
    /// What it was told so far.
    ///
    /// # Panics
    /// A client panicked.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Waits until so many records more have been acknowledged.
    ///
    /// # Panics
    /// That never happens.
    pub fn wait_for_acknowledged(&self, more: usize) {
        let wanted = self.told().acknowledged.len() + more;
        wait_for(&format!("{more} more records to be acknowledged"), || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a client ended");
            (self.told().acknowledged.len() >= wanted).then_some(())
        });
    }

    /// Ends it and gives what it was told.
    ///
    /// # Panics
    /// A client panicked.
    #[must_use]
    pub fn end(mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.told())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Whatever it is, the test has failed already.
            let _ = thread.join();
        }
    }
}

struct Client {
    node: usize,
    name: String,
    door: Door,
    members: Arc<Members>,
    pace: Pace,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
}

impl Client {
    fn run(&self) {
        let mut number = 0_usize;
        while !self.stop.load(Ordering::Relaxed) {
            let api = self.door.lock().unwrap().clone();
            if let Some(api) = api {
                self.post(&api, &self.record(number));
                number += 1;
            }
            thread::sleep(self.pace.pause);
        }
    }

    fn record(&self, number: usize) -> Signed {
        let member = "heca";
        let payload = json!({
            "type": "contract.quoted",
            "occurred_at": "2026-01-02T09:00:00Z",
            "contract": format!("comp-it/L-{}", number % 100),
            "data": { "quote": format!("Q-{}-{number}", self.name), "premium": number, "currency": "EUR" },
        });
        self.members.sign(member, &payload)
    }

    fn post(&self, api: &crate::Api, record: &Signed) {
        let sent = Instant::now();
        let wait = format!("wait={}", self.pace.wait_s);
        let headers = [("content-type", "application/jose"), ("prefer", &*wait)];
        let answer = api.try_post("/v1/records", &headers, &record.jws);
        let took = sent.elapsed();
        let mut told = self.told.lock().unwrap();
        match answer {
            Ok(answer) if matches!(answer.status, 200..=202) => {
                let (node, record, status) = (self.node, record.clone(), answer.status);
                told.acknowledged.push(Acknowledged { node, record, status, sent, took });
            }
            Ok(answer) => {
                let refused = format!("{} {}", answer.status, answer.text());
                assert!(matches!(answer.status, 429 | 503), "{refused}");
                told.refused.push(refused);
            }
            Err(_) => told.unknown.push(record.id.clone()),
        }
    }
}
