//! The load generator behind `quittance load`: appends records to a node over
//! HTTP and says how fast the node took them.
//!
//! It shares the machine with the node it measures, so it does what it can
//! beforehand: every record is signed and every request body put together before
//! the clock starts, answers are scanned and not parsed, and the machine's own
//! rates are measured while nothing else runs.

mod answer;
mod connection;
mod report;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use quittance_ledger::membership::Origin;
use rand_core::{OsRng, RngCore as _};
use rayon::prelude::*;

use self::connection::{Connection, Stop};
pub use self::report::{Counts, Latencies, Report};
use crate::{
    machine::Machine,
    records::{DOSSIER_RECORDS, RecordSigner, RecordsError, Series},
};

/// What to append, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node listens, such as `http://127.0.0.1:8080`.
    pub api: String,
    /// The ledger the records are for.
    pub origin: Origin,
    /// Members of that ledger with the keys to sign with; they take turns.
    pub signers: Vec<RecordSigner>,
    /// Records to append.
    pub records: u64,
    /// Stop after this time, even when records are left.
    pub duration: Option<Duration>,
    /// Records in one request.
    pub batch: usize,
    /// Connections, each with one request under way at a time.
    pub connections: usize,
    /// Contracts that the records are spread over.
    pub contracts: u64,
    /// One record in a request (`POST /v1/records`), whatever `batch` says.
    pub single: bool,
    /// How long the node may take to answer that records are final, in seconds.
    pub wait_s: u64,
    /// A file that gets the id of every record the node answered for, one a
    /// line: what must be on the ledger whatever happens to the node.
    pub acknowledged: Option<PathBuf>,
    /// A bearer token for a node where reading needs one.
    pub token: Option<String>,
    /// A folder on the disk that the node writes to, to measure how fast that flushes.
    pub folder: PathBuf,
}

impl Options {
    /// 100 000 records about 10 000 contracts, in batches of 1000 over 8 connections.
    #[must_use]
    pub fn new(api: impl Into<String>, origin: Origin, signers: Vec<RecordSigner>) -> Self {
        Self {
            api: api.into(),
            origin,
            signers,
            records: 100_000,
            duration: None,
            batch: 1000,
            connections: 8,
            contracts: 10_000,
            single: false,
            wait_s: 60,
            acknowledged: None,
            token: None,
            folder: PathBuf::from("."),
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The machine's own rates are being measured.
    Measuring,
    /// Records are being signed; the clock does not run yet.
    Signing {
        /// Signed so far.
        done: u64,
        /// To be signed.
        total: u64,
    },
    /// Records are being appended.
    Appending {
        /// Answered so far.
        done: u64,
        /// To be appended.
        total: u64,
    },
}

/// No figure can be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A number that has to be at least one is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// The node does not answer.
    #[error("no node answers at {api}: {problem}; start one with: quittance run")]
    Unreachable {
        /// Where it was looked for.
        api: String,
        /// What happened.
        problem: String,
    },
    /// The node keeps another ledger than the records are for.
    #[error("the node at {api} keeps the ledger {found}; the keys given are for {expected}")]
    OtherLedger {
        /// The node.
        api: String,
        /// Its ledger.
        found: String,
        /// The ledger of the records.
        expected: Origin,
    },
    /// Records cannot be made.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A file cannot be written.
    #[error("writing to {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The machine has no randomness.
    #[error("this machine has no randomness: {0}")]
    Random(String),
    /// A thread died.
    #[error("a connection's thread ended by itself")]
    Thread,
}

/// A request, ready to be sent.
struct Request {
    body: Vec<u8>,
    records: usize,
}

/// Requests that one connection sends one after the other: the records of a
/// dossier follow each other.
type Turn = Vec<Request>;

/// Appends records as `options` say. `progress` may be called from any thread.
///
/// A node that goes away in the middle is no error: the report says so, and
/// what was acknowledged until then stands in the file.
///
/// # Errors
/// Options that make no sense, a node that does not answer or keeps another
/// ledger, or a file that cannot be written.
pub fn run(options: &Options, progress: impl Fn(Progress) + Sync) -> Result<Report, LoadError> {
    check(options)?;
    connection::check_node(options)?;
    let acknowledged = options
        .acknowledged
        .as_deref()
        .map(|path| File::create(path).map(Mutex::new).map_err(file_error(path)))
        .transpose()?;
    progress(Progress::Measuring);
    let machine = Machine::measure(&options.folder).map_err(file_error(&options.folder))?;
    let turns = sign(options, &progress)?;

    let total: u64 = turns.iter().flatten().map(|request| request.records as u64).sum();
    let answered = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    let stop = Stop { raised: AtomicBool::new(false), reason: Mutex::new(None) };
    let start = Instant::now();
    let deadline = options.duration.and_then(|duration| start.checked_add(duration));
    let work = || {
        let mut connection = Connection::new(options, &stop, acknowledged.as_ref());
        while !stop.is_raised() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let Some(turn) = turns.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            for request in turn {
                if stop.is_raised() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    break;
                }
                connection.send(request)?;
                let records = request.records as u64;
                let done = answered.fetch_add(records, Ordering::Relaxed) + records;
                progress(Progress::Appending { done, total });
            }
        }
        Ok(connection.finish())
    };
    let tallies = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.connections).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| LoadError::Thread)?)
            .collect::<Result<Vec<_>, LoadError>>()
    })?;
    Ok(Report::new(options, machine, start.elapsed(), tallies, stop.reason()))
}

fn check(options: &Options) -> Result<(), LoadError> {
    let zero = |name| Err(LoadError::Zero(name));
    match options {
        Options { records: 0, .. } => zero("the number of records"),
        Options { batch: 0, single: false, .. } => zero("the number of records in a batch"),
        Options { connections: 0, .. } => zero("the number of connections"),
        _ => Ok(()),
    }
}

/// Signs everything and puts the bodies together.
fn sign(options: &Options, progress: &(impl Fn(Progress) + Sync)) -> Result<Vec<Turn>, LoadError> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|error| LoadError::Random(error.to_string()))?;
    let now = jiff::Timestamp::now();
    // Whole seconds, so that every record is equally long.
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let signers = options.signers.clone();
    let series = Series::new(&options.origin, signers, options.contracts, now, &seed)?;
    let total = options.records;
    let batch = if options.single { 1 } else { options.batch as u64 };
    // Where a dossier is spread over several requests, they go out one after the other.
    let turn = if batch.is_multiple_of(DOSSIER_RECORDS) {
        batch
    } else {
        batch.div_ceil(DOSSIER_RECORDS).saturating_mul(DOSSIER_RECORDS)
    };
    let signed = AtomicU64::new(0);
    (0..total.div_ceil(turn))
        .into_par_iter()
        .map(|number| {
            let first = number * turn;
            let last = first.saturating_add(turn).min(total);
            let requests = (first..last)
                .step_by(usize::try_from(batch).unwrap_or(usize::MAX))
                .map(|first| {
                    request(&series, first, first.saturating_add(batch).min(last), options.single)
                })
                .collect();
            let before = signed.fetch_add(last - first, Ordering::Relaxed);
            let done = before + last - first;
            // Not for every record of single requests.
            if before / 1024 != done / 1024 || done == total {
                progress(Progress::Signing { done, total });
            }
            requests
        })
        .collect()
}

fn request(series: &Series, first: u64, last: u64, single: bool) -> Result<Request, LoadError> {
    let mut body = Vec::with_capacity((last - first) as usize * 560);
    for number in first..last {
        body.extend_from_slice(series.record(number)?.jws());
        if !single {
            body.push(b'\n');
        }
    }
    Ok(Request { body, records: (last - first) as usize })
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    let path = path.to_owned();
    move |source| LoadError::File { path, source }
}
