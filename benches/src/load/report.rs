//! What a run came to.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::Options;
use crate::machine::Machine;

/// Characters kept of the first refusal.
const REFUSAL_CHARS_MAX: usize = 400;

/// What was sent and what the node answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that were answered.
    pub requests: u64,
    /// Records that are final and new.
    pub created: u64,
    /// Records that were on the ledger before.
    pub known: u64,
    /// Records that are durable but were not final when the wait was over.
    pub pending: u64,
    /// Records that the node refused.
    pub refused: u64,
    /// Records for which the node failed.
    pub failed: u64,
    /// Answers to come again later.
    pub busy: u64,
    /// Records that were given up because the node stayed busy.
    pub given_up: u64,
    /// Records that the node did not answer for.
    pub unanswered: u64,
    /// Connections that broke; their requests were sent again.
    pub broken_connections: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.created += other.created;
        self.known += other.known;
        self.pending += other.pending;
        self.refused += other.refused;
        self.failed += other.failed;
        self.busy += other.busy;
        self.given_up += other.given_up;
        self.unanswered += other.unanswered;
        self.broken_connections += other.broken_connections;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }
}

/// How long requests took, from sending to the whole answer, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten took no longer.
    pub p90_ms: f64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

impl Latencies {
    /// Of these times.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        // The nearest-rank percentile.
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        Self { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
    }
}

/// What one connection came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub counts: Counts,
    pub latencies: Vec<Duration>,
    pub first_refusal: Option<String>,
}

impl Tally {
    pub fn note_refusal(&mut self, http: u16, answer: &[u8]) {
        if self.first_refusal.is_none() {
            let text = String::from_utf8_lossy(answer);
            let text: String = text.trim().chars().take(REFUSAL_CHARS_MAX).collect();
            self.first_refusal = Some(format!("{http}: {text}"));
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The machine's own rates, measured before.
    pub machine: Machine,
    /// Records in one request.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// From the first request to the last answer, in seconds.
    pub elapsed_s: f64,
    /// What was sent and answered.
    pub counts: Counts,
    /// Records that became final, per second.
    pub records_per_s: f64,
    /// `records_per_s` ÷ (cores × strict verifications per second on one core).
    pub ratio: f64,
    /// How long requests took.
    pub latencies: Latencies,
    /// The first answer that was neither acceptance nor "later".
    pub first_refusal: Option<String>,
    /// Why the run ended early.
    pub stopped: Option<String>,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        machine: Machine,
        elapsed: Duration,
        tallies: Vec<Tally>,
        stopped: Option<String>,
    ) -> Self {
        let mut counts = Counts::default();
        let mut times = Vec::new();
        let mut first_refusal = None;
        for tally in tallies {
            counts += tally.counts;
            times.extend(tally.latencies);
            first_refusal = first_refusal.or(tally.first_refusal);
        }
        let elapsed_s = elapsed.as_secs_f64();
        let records_per_s = counts.created as f64 / elapsed_s.max(f64::MIN_POSITIVE);
        Self {
            machine,
            batch: if options.single { 1 } else { options.batch },
            connections: options.connections,
            elapsed_s,
            counts,
            records_per_s,
            ratio: machine.ratio(records_per_s),
            latencies: Latencies::of(times),
            first_refusal,
            stopped,
        }
    }

    /// Whether the node took every record it was sent.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        let counts = &self.counts;
        self.stopped.is_none()
            && counts.refused == 0
            && counts.failed == 0
            && counts.given_up == 0
            && counts.unanswered == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { requests, created, known, pending, .. } = self.counts;
        writeln!(
            f,
            "{created} records final in {:.2} s: {:.0} records/s, ratio {:.3} of what {} cores can verify",
            self.elapsed_s, self.records_per_s, self.ratio, self.machine.cores
        )?;
        writeln!(
            f,
            "requests: {requests} of {} over {} connections; p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, \
             at most {:.2} ms",
            if self.batch == 1 { "1 record".to_owned() } else { format!("{} records", self.batch) },
            self.connections,
            self.latencies.p50_ms,
            self.latencies.p90_ms,
            self.latencies.p99_ms,
            self.latencies.max_ms
        )?;
        writeln!(
            f,
            "sent {:.1} MB ({:.1} MB/s), received {:.1} MB",
            self.counts.bytes_sent as f64 / 1e6,
            self.counts.bytes_sent as f64 / 1e6 / self.elapsed_s.max(f64::MIN_POSITIVE),
            self.counts.bytes_received as f64 / 1e6
        )?;
        for (count, what) in [
            (known, "were there before"),
            (pending, "are durable, but were not final in time"),
            (self.counts.refused, "were refused"),
            (self.counts.failed, "met a failure of the node"),
            (self.counts.given_up, "were given up: the node stayed busy"),
            (self.counts.unanswered, "were not answered for"),
        ] {
            if count > 0 {
                writeln!(f, "{count} records {what}")?;
            }
        }
        if self.counts.busy > 0 {
            writeln!(f, "{} answers to come again later", self.counts.busy)?;
        }
        if self.counts.broken_connections > 0 {
            writeln!(f, "{} broken connections", self.counts.broken_connections)?;
        }
        if let Some(refusal) = &self.first_refusal {
            writeln!(f, "the first refusal: {refusal}")?;
        }
        if let Some(stopped) = &self.stopped {
            writeln!(f, "ended early, the node is gone: {stopped}")?;
        }
        write!(f, "{}", self.machine)
    }
}
