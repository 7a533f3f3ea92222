//! Every bound of the HTTP side, in one place. Each can be set in the node's
//! configuration; the defaults suit a machine with two cores and 4 GiB.

mod check;

use std::time::Duration;

use quittance_ledger::limits::{RECEIPT_BYTES_MAX, RECORD_BYTES_MAX};
use serde::Deserialize;

pub use check::LimitError;

/// The head of a request, in bytes. Beyond: 431. The server's own bound on what
/// it reads at once is a soft one, so the bytes are counted as well.
pub(crate) const HEAD_BYTES_MAX: usize = 256 * 1024;

/// What the system may hold of the answers to one connection, in bytes. Without
/// it the system takes in megabytes, and who reads nothing goes unnoticed.
pub(crate) const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// What a client must take of an answer, in bytes a second on average.
pub(crate) const READER_BYTES_PER_S_MIN: u64 = 1024;

/// An answer below this size, in bytes, is not counted among those in memory:
/// connections bound them well enough.
pub(crate) const UNCOUNTED_BYTES_MAX: u64 = 16 * 1024;

/// How long a request may wait for a place to read the store. Beyond: 503.
pub(crate) const READ_PLACE_TIME: Duration = Duration::from_secs(2);

/// How long one request may look for records; then it gives what it has found
/// and where to go on.
pub(crate) const LOOKING_TIME: Duration = Duration::from_secs(1);

/// Records that one page of exceptions looks at; then it says where to go on.
pub(crate) const EXCEPTION_RECORDS_MAX: u64 = 10_000;

/// The bounds of the API. What is beyond one of them gets a clear answer and
/// changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Body of one record, in bytes: a record and a line break. Beyond: 413.
    pub record_body_bytes_max: usize,
    /// Body of a batch, in bytes. Beyond: 413.
    pub batch_body_bytes_max: usize,
    /// Lines of a batch. Beyond: 413.
    pub batch_lines_max: usize,
    /// Lines of a batch that the node signs and that have private fields. Beyond: 413.
    pub batch_private_lines_max: usize,
    /// Body of a receipt to verify, in bytes. Beyond: 413.
    pub receipt_body_bytes_max: usize,
    /// Path and query of a request, in bytes. Beyond: 414.
    pub target_bytes_max: usize,
    /// Items of one page of a list. Beyond: 400.
    pub page_items_max: u32,
    /// Items of one page of a list when the request names no number.
    pub page_items_default: u32,
    /// Bytes of records that one page of them may hold; the page ends after the
    /// records that reach it.
    pub page_bytes_max: usize,
    /// Records that one view may be made of, such as those of a contract. Beyond:
    /// 422, or for a statement as of now its figures without the lines.
    pub view_records_max: usize,
    /// Record ids that one page of blocks may hold; the page ends after the
    /// block that reaches it.
    pub page_ids_max: usize,
    /// The longest wait a `Prefer: wait` gets, in seconds; longer wishes are cut to it.
    pub wait_s_max: u64,
    /// Time to send the head of a request, or to leave a connection idle, in
    /// seconds. Beyond: the connection is closed.
    pub header_time_s: u64,
    /// Time to send the body of a request, in seconds. Beyond: 408.
    pub body_time_s: u64,
    /// Time for a whole request besides what `Prefer: wait` asks, in seconds. Beyond: 503.
    pub request_time_s: u64,
    /// Time in which a client must take 1 KiB for each second of it, while
    /// there is something to send to it, in seconds. Beyond: the connection is cut.
    pub write_stall_s: u64,
    /// Requests that are worked on at once. Beyond: 503.
    pub requests_max: usize,
    /// Requests that read the store at once; more of them wait for a moment.
    /// Beyond: 503.
    pub reads_max: usize,
    /// Batches that are verified at once; more of them wait their turn.
    pub batches_max: usize,
    /// Bytes of batches that are in memory at once. Beyond: 503.
    pub batch_bytes_in_flight_max: usize,
    /// Bytes of answers that are in memory at once. Beyond: 503.
    pub response_bytes_max: usize,
    /// Open connections. Beyond: a new connection is closed at once.
    pub connections_max: usize,
    /// Event streams that are open at once. Beyond: 503.
    pub event_clients_max: usize,
    /// Events that wait for one client.
    pub event_queue_max: usize,
    /// Silence after which an event stream sends a comment, in seconds.
    pub event_keep_alive_s: u64,
    /// Threads that verify signatures; 0 for one on each processor.
    pub verify_threads: usize,
    /// What a client that was turned away is told to wait, in seconds.
    pub retry_after_s: u64,
    /// Time for requests in flight to finish at shutdown, in seconds.
    pub grace_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_body_bytes_max: RECORD_BYTES_MAX + 2,
            batch_body_bytes_max: 8 * 1024 * 1024,
            batch_lines_max: 32_768,
            batch_private_lines_max: 1024,
            receipt_body_bytes_max: RECEIPT_BYTES_MAX,
            target_bytes_max: 4096,
            page_items_max: 1000,
            page_items_default: 100,
            page_bytes_max: 1024 * 1024,
            view_records_max: 20_000,
            page_ids_max: 10_000,
            wait_s_max: 60,
            header_time_s: 20,
            body_time_s: 20,
            request_time_s: 30,
            write_stall_s: 30,
            requests_max: 512,
            reads_max: 32,
            batches_max: 16,
            batch_bytes_in_flight_max: 128 * 1024 * 1024,
            response_bytes_max: 64 * 1024 * 1024,
            connections_max: 768,
            event_clients_max: 64,
            event_queue_max: 256,
            event_keep_alive_s: 15,
            verify_threads: 0,
            retry_after_s: 1,
            grace_s: 15,
        }
    }
}

impl Limits {
    pub(crate) const fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_time_s)
    }

    pub(crate) const fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_time_s)
    }

    pub(crate) const fn write_stall(&self) -> Duration {
        Duration::from_secs(self.write_stall_s)
    }

    pub(crate) fn verify_threads(&self) -> usize {
        match self.verify_threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }
}

/// How the API behaves.
///
/// In a configuration file every field may be left out; an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Its bounds.
    pub limits: Limits,
    /// Whether JSON without a signature is taken from programs on this machine
    /// and signed with a key that the node holds. Every user of this machine can
    /// have records signed then, and so can everybody behind a proxy or a
    /// forwarded port that the node does not know of.
    pub unsigned_allowed: bool,
    /// Whether a proxy stands before the node. Every request then comes from a
    /// loopback address or the like, so nothing unsigned is taken.
    pub behind_proxy: bool,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), unsigned_allowed: true, behind_proxy: false }
    }
}
