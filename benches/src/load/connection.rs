//! One connection: sends requests one after the other and counts the answers.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use ureq::Agent;

use super::{
    LoadError, Options, Request,
    answer::{Status, id_of, lines, status_of},
    file_error,
    report::{Counts, Tally},
};

/// The first pause after an answer to come again later; each next one is twice as long.
const BACKOFF: Duration = Duration::from_millis(10);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long one request is tried again while the node is busy.
const BUSY_MAX: Duration = Duration::from_secs(60);
/// How often in a row a connection may fail before the node counts as gone.
const BROKEN_MAX: u32 = 5;
/// An answer, in bytes; a line for each record of a batch.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Time for an answer besides what the node may wait.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// The node's status, in bytes.
const STATUS_BYTES_MAX: u64 = 64 * 1024;

/// Raised when the node is gone, so that all connections end.
pub struct Stop {
    pub raised: AtomicBool,
    pub reason: Mutex<Option<String>>,
}

impl Stop {
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// The first reason stays.
    fn raise(&self, why: String) {
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.get_or_insert(why);
        self.raised.store(true, Ordering::Relaxed);
    }

    pub fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What came of sending one body.
enum Sent {
    /// The HTTP status; the answer stands in the buffer.
    Answered(u16),
    /// The connection broke.
    Broken(String),
}

pub struct Connection<'a> {
    agent: Agent,
    url: String,
    content_type: &'static str,
    prefer: String,
    single: bool,
    stop: &'a Stop,
    acknowledged: Option<(&'a Mutex<File>, &'a Path)>,
    tally: Tally,
    /// The last answer; its memory is used again.
    answer: Vec<u8>,
    ids: String,
}

impl<'a> Connection<'a> {
    pub fn new(
        options: &'a Options,
        stop: &'a Stop,
        acknowledged: Option<&'a Mutex<File>>,
    ) -> Self {
        let base = options.api.trim_end_matches('/');
        let (path, content_type) = if options.single {
            ("/v1/records", "application/jose")
        } else {
            ("/v1/records/batch", "text/plain; charset=utf-8")
        };
        Self {
            agent: agent(Duration::from_secs(options.wait_s).saturating_add(ANSWER_TIME)),
            url: format!("{base}{path}"),
            content_type,
            prefer: format!("wait={}", options.wait_s),
            single: options.single,
            stop,
            acknowledged: acknowledged.zip(options.acknowledged.as_deref()),
            tally: Tally::default(),
            answer: Vec::new(),
            ids: String::new(),
        }
    }

    pub fn finish(self) -> Tally {
        self.tally
    }

    /// Sends a request until the node has answered for each record, or is gone,
    /// or stays busy. What takes part in the latency is all of that.
    pub fn send(&mut self, request: &Request) -> Result<(), LoadError> {
        let start = Instant::now();
        // Lines that the node could not take at first, put together again.
        let mut rest: Option<Request> = None;
        let (mut pause, mut broken) = (BACKOFF, 0);
        loop {
            let current = rest.as_ref().unwrap_or(request);
            match self.exchange(&current.body) {
                Sent::Broken(problem) => {
                    self.tally.counts.broken_connections += 1;
                    broken += 1;
                    if broken == BROKEN_MAX || self.stop.is_raised() {
                        self.tally.counts.unanswered += current.records as u64;
                        self.stop.raise(problem);
                        return Ok(());
                    }
                }
                Sent::Answered(status) => {
                    broken = 0;
                    self.tally.counts.requests += 1;
                    let left = self.count(status, current)?;
                    if left.is_none() {
                        break;
                    }
                    rest = left;
                    if start.elapsed() > BUSY_MAX {
                        let left = rest.as_ref().map_or(0, |rest| rest.records);
                        self.tally.counts.given_up += left as u64;
                        return Ok(());
                    }
                }
            }
            thread::sleep(pause);
            pause = pause.saturating_mul(2).min(BACKOFF_MAX);
        }
        self.tally.latencies.push(start.elapsed());
        Ok(())
    }

    fn exchange(&mut self, body: &[u8]) -> Sent {
        self.tally.counts.bytes_sent += body.len() as u64;
        let response = self
            .agent
            .post(&self.url)
            .header("content-type", self.content_type)
            .header("prefer", &self.prefer)
            .send(body);
        let mut response = match response {
            Ok(response) => response,
            Err(error) => return Sent::Broken(error.to_string()),
        };
        self.answer.clear();
        let mut reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader();
        match reader.read_to_end(&mut self.answer) {
            Ok(read) => self.tally.counts.bytes_received += read as u64,
            // An answer that broke off still says which records were taken.
            Err(error) => {
                if let Err(error) = self.note_all() {
                    return Sent::Broken(error.to_string());
                }
                return Sent::Broken(error.to_string());
            }
        }
        Sent::Answered(response.status().as_u16())
    }

    /// Counts the answer. Gives what has to be sent again.
    fn count(&mut self, http: u16, request: &Request) -> Result<Option<Request>, LoadError> {
        let outcome = Status::of_http(http);
        if outcome == Status::Busy {
            self.tally.counts.busy += 1;
            return Ok(Some(Request { body: request.body.clone(), records: request.records }));
        }
        let is_answered_by_line = !self.single && (200..300).contains(&http);
        if !is_answered_by_line {
            self.tally.counts.add(outcome, request.records as u64);
            if outcome.is_acknowledged() {
                self.note_all()?;
            } else {
                self.tally.note_refusal(http, &self.answer);
            }
            return Ok(None);
        }
        let mut answered = 0;
        let mut again = Vec::new();
        let mut bodies = request.body.split(|byte| *byte == b'\n');
        let mut refusal = None;
        for line in lines(&self.answer).take(request.records) {
            let body = bodies.next().unwrap_or_default();
            answered += 1;
            match status_of(line).unwrap_or(Status::Failed) {
                Status::Busy => {
                    again.extend_from_slice(body);
                    again.push(b'\n');
                }
                status => {
                    if !status.is_acknowledged() {
                        refusal = refusal.or(Some(line));
                    }
                    self.tally.counts.add(status, 1);
                }
            }
        }
        if let Some(refusal) = refusal {
            self.tally.note_refusal(http, refusal.as_bytes());
        }
        self.tally.counts.unanswered += (request.records - answered) as u64;
        self.note_all()?;
        let records = again.iter().filter(|byte| **byte == b'\n').count();
        self.tally.counts.busy += u64::from(records > 0);
        Ok((records > 0).then_some(Request { body: again, records }))
    }

    /// Writes down the ids of all records that the answer acknowledges.
    fn note_all(&mut self) -> Result<(), LoadError> {
        let Some((file, path)) = self.acknowledged else { return Ok(()) };
        self.ids.clear();
        for line in lines(&self.answer) {
            let is_acknowledged = status_of(line).is_some_and(Status::is_acknowledged);
            if let Some(id) = id_of(line).filter(|_| is_acknowledged) {
                self.ids.push_str(id);
                self.ids.push('\n');
            }
        }
        // One write for each answer, so that lines of two connections never mix.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(self.ids.as_bytes()).map_err(file_error(path))
    }
}

impl Counts {
    const fn add(&mut self, status: Status, records: u64) {
        match status {
            Status::Created => self.created += records,
            Status::Known => self.known += records,
            Status::Pending => self.pending += records,
            Status::Refused => self.refused += records,
            Status::Busy | Status::Failed => self.failed += records,
        }
    }
}

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .max_idle_connections(1)
        .proxy(None)
        .user_agent("quittance-load")
        .build()
        .new_agent()
}

/// Looks whether the node answers and keeps the ledger that the records are for.
pub fn check_node(options: &Options) -> Result<(), LoadError> {
    let url = format!("{}/v1/status", options.api.trim_end_matches('/'));
    let unreachable =
        |problem: String| LoadError::Unreachable { api: options.api.clone(), problem };
    let mut request = agent(Duration::from_secs(10)).get(&url);
    // Signed records need none, so it is sent here only.
    if let Some(token) = &options.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().map_err(|error| unreachable(error.to_string()))?;
    let mut body = Vec::new();
    response
        .body_mut()
        .with_config()
        .limit(STATUS_BYTES_MAX)
        .reader()
        .read_to_end(&mut body)
        .map_err(|error: io::Error| unreachable(error.to_string()))?;
    let status: Value = serde_json::from_slice(&body)
        .map_err(|_| unreachable(format!("{url} answers {}", response.status())))?;
    match status.pointer("/ledger/origin").and_then(Value::as_str) {
        Some(found) if found == options.origin.as_str() => Ok(()),
        Some(found) => Err(LoadError::OtherLedger {
            api: options.api.clone(),
            found: found.to_owned(),
            expected: options.origin.clone(),
        }),
        None => Err(unreachable(format!("{url} answers {}", response.status()))),
    }
}
