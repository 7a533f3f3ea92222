//! A small client of the HTTP API: every answer is read up to a bound and into
//! a type, and what can be sent twice without harm is tried again.

use std::{
    fmt,
    io::Read as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use quittance_ledger::{
    digest::RecordId,
    limits::{GENESIS_BYTES_MAX, POLICY_BYTES_MAX, RECEIPT_BYTES_MAX},
    membership::{Genesis, GenesisError},
    transparency::{Policy, PolicyError},
};
use serde::{Deserialize, de::DeserializeOwned};
use ureq::{
    Agent,
    http::{Response, StatusCode, Uri},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::files::{self, FileError};

/// The largest page of a listing that is read, in bytes.
const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest answer about one thing, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Records asked for in one page, so that a page of the largest ones stays in bounds.
const RECORDS_PER_PAGE: u32 = 250;
const BLOCKS_PER_PAGE: u32 = 250;
const CHECKPOINTS_PER_PAGE: u32 = 250;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take beyond what the request allows the node to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The API could not be used, or said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Not a URL of an API.
    #[error("{0:?} is no URL of a node; expected one such as http://127.0.0.1:8080")]
    Url(String),
    /// The certificates to trust cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file of certificates holds none.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(String),
    /// Nobody answered.
    #[error("no answer from {url}: {reason}; is a node running there? (quittance run)")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why there was no answer.
        reason: String,
    },
    /// The node answered that it will not.
    #[error("{url} answers {problem}")]
    Problem {
        /// What was asked.
        url: String,
        /// Its answer.
        problem: Box<Problem>,
    },
    /// The answer is not what this API gives.
    #[error("{url} answers with something else than expected: {reason}; is it a Quittance node?")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl ClientError {
    /// The problem that the node named, if it did.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

/// What a node says when it says no (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The stable code.
    #[serde(default)]
    pub code: String,
    /// The field it is about.
    pub field: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if let Some(field) = &self.field {
            write!(f, " ({field})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// How often a request is tried where nobody answers or the node is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Tries in all; at least one is made.
    pub tries: u32,
}

impl Patience {
    /// One try: for somebody who waits for the answer.
    pub const NONE: Self = Self { tries: 1 };
    /// About half a minute: for work that runs by itself.
    pub const WORK: Self = Self { tries: 9 };
}

/// What the ledger says about a record that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LineAnswer {
    /// HTTP status: 200 and 201 are final, 202 waits, the others refuse.
    pub status: u16,
    /// The record's id.
    pub id: Option<RecordId>,
    /// Its place on the ledger.
    pub index: Option<u64>,
    /// Its block.
    pub height: Option<u64>,
    /// The code of a refusal.
    pub code: Option<String>,
    /// The field it is about.
    pub field: Option<String>,
    /// Why, in a sentence.
    pub detail: Option<String>,
}

/// The body of an answer to one record.
#[derive(Deserialize)]
struct AppendAnswer {
    id: Option<RecordId>,
    index: Option<u64>,
    height: Option<u64>,
}

/// How a node and its ledger are.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// Which ledger.
    pub ledger: LedgerStatus,
    /// The node.
    pub node: NodeStatus,
    /// Its newest block.
    pub head: HeadStatus,
    /// What waits.
    pub pending: PendingStatus,
    /// Members of the ledger.
    pub members: u64,
    /// Members that validate.
    pub validators: u64,
    /// Validators that a checkpoint needs.
    pub quorum: u64,
    /// What somebody should look at.
    #[serde(default)]
    pub alerts: Vec<serde_json::Value>,
}

/// Which ledger a node serves.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerStatus {
    /// Its name.
    pub origin: String,
    /// The digest of its genesis.
    pub id: String,
}

/// What a node says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeStatus {
    /// Its release.
    pub version: String,
    /// The member it belongs to.
    pub member: Option<String>,
    /// Whether it validates.
    pub validator: bool,
    /// How long it has run, in seconds.
    pub uptime_s: u64,
}

/// The end of the chain.
#[derive(Debug, Clone, Deserialize)]
pub struct HeadStatus {
    /// Height of the last block.
    pub height: u64,
    /// Its hash.
    pub hash: String,
    /// Its time; none before the first block.
    pub time: Option<serde_json::Value>,
    /// Records on the ledger.
    pub tree_size: u64,
    /// Root of the tree over them.
    pub root: String,
    /// Records that the newest checkpoint covers.
    pub checkpoint_size: Option<u64>,
}

/// What waits for a block.
#[derive(Debug, Clone, Deserialize)]
pub struct PendingStatus {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One block of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct BlockItem {
    /// Its height.
    pub height: u64,
    /// Its header.
    pub header: HeaderItem,
    /// Place of its first record.
    pub first_index: u64,
}

/// The part of a header's JSON that the rest follows from.
#[derive(Debug, Clone, Deserialize)]
pub struct HeaderItem {
    /// Its bytes in base64.
    pub bytes: String,
}

/// One record of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordItem {
    /// Its place on the ledger.
    pub index: u64,
    /// Its JWS.
    pub jws: String,
}

/// One checkpoint of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct CheckpointItem {
    /// Records it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

#[derive(Deserialize)]
struct Blocks {
    blocks: Vec<BlockItem>,
}

#[derive(Deserialize)]
struct Records {
    records: Vec<RecordItem>,
}

#[derive(Deserialize)]
struct Checkpoints {
    checkpoints: Vec<CheckpointItem>,
}

/// A client of one node. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    patience: Patience,
}

/// An answer with a body of bounded size.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Client {
    /// A client of the node at `base`, such as `http://127.0.0.1:8080`, which
    /// trusts the certificates in the PEM file `ca` instead of the web's, where given.
    ///
    /// # Errors
    /// `base` is no such URL, or `ca` cannot be used.
    pub fn new(base: &str, ca: Option<&Path>, patience: Patience) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(base.chars().take(200).collect());
        let uri: Uri = base.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(wrong());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("quittance/", env!("CARGO_PKG_VERSION")));
        if is_loopback(host) {
            // A proxy of the environment cannot reach this machine's own node.
            config = config.proxy(None);
        }
        if let Some(ca) = ca {
            config = config.tls_config(trusting(ca)?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base: base.trim_end_matches('/').to_owned(),
            patience,
        })
    }

    /// The same client with other patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The node's URL, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How the node is, as it says it.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn status_json(&self) -> Result<serde_json::Value, ClientError> {
        self.get_json("/v1/status", ANSWER_BYTES_MAX)
    }

    /// How the node is.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.get_json("/v1/status", ANSWER_BYTES_MAX)
    }

    /// The ledger's genesis, as the node has it.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn genesis(&self) -> Result<Genesis, ClientError> {
        let path = "/v1/genesis";
        let text = self.text(path, self.get(path, GENESIS_BYTES_MAX)?)?;
        Genesis::from_toml(&text).map_err(|error: GenesisError| self.odd(path, error))
    }

    /// The ledger's trust policy, as the node has it.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn policy(&self) -> Result<Policy, ClientError> {
        let path = "/v1/policy";
        let bytes = self.get(path, POLICY_BYTES_MAX)?;
        Policy::parse(&bytes).map_err(|error: PolicyError| self.odd(path, error))
    }

    /// The receipt of a record, as bytes that are yet to be verified.
    ///
    /// # Errors
    /// The node has none, or does not answer.
    pub fn receipt(&self, id: &RecordId) -> Result<Vec<u8>, ClientError> {
        self.get(&format!("/v1/records/{id}/receipt"), RECEIPT_BYTES_MAX)
    }

    /// Sends one record, signed or not, and waits up to `wait` until it is
    /// final. A refusal is an answer, not an error.
    ///
    /// # Errors
    /// The node does not answer, is busy, or the request itself is wrong.
    pub fn append(&self, record: &Outgoing, wait: Duration) -> Result<LineAnswer, ClientError> {
        let path = "/v1/records";
        let content_type = match record {
            Outgoing::Signed(_) => "application/jose",
            Outgoing::Unsigned(_) => "application/json",
        };
        let answer = self.post(path, content_type, record.as_bytes(), wait, ANSWER_BYTES_MAX)?;
        match answer.status {
            200..=202 => {
                let body: AppendAnswer = self.json(path, &answer.body)?;
                Ok(LineAnswer {
                    status: answer.status,
                    id: body.id,
                    index: body.index,
                    height: body.height,
                    code: None,
                    field: None,
                    detail: None,
                })
            }
            status => {
                let problem = problem(status, &answer.body);
                if problem.code.is_empty() || matches!(status, 404 | 405 | 415 | 429 | 500..) {
                    return Err(self.refused(path, problem));
                }
                Ok(LineAnswer {
                    status,
                    id: None,
                    index: None,
                    height: None,
                    code: Some(problem.code),
                    field: problem.field,
                    detail: Some(problem.detail),
                })
            }
        }
    }

    /// Sends records in order and waits up to `wait` until they are final. The
    /// answers stand in the order of the records.
    ///
    /// # Errors
    /// The node does not answer, is busy, or refuses the request as a whole.
    pub fn append_batch(
        &self,
        records: &[Outgoing],
        wait: Duration,
    ) -> Result<Vec<LineAnswer>, ClientError> {
        let path = "/v1/records/batch";
        let mut body = Vec::new();
        for record in records {
            body.extend_from_slice(record.as_bytes());
            body.push(b'\n');
        }
        let answer = self.post(path, "application/x-ndjson", &body, wait, PAGE_BYTES_MAX)?;
        if answer.status != 200 {
            return Err(self.refused(path, problem(answer.status, &answer.body)));
        }
        let text = self.text(path, answer.body)?;
        let answers: Vec<LineAnswer> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| self.json(path, line.as_bytes()))
            .collect::<Result<_, _>>()?;
        if answers.len() == records.len() {
            Ok(answers)
        } else {
            let (sent, answered) = (records.len(), answers.len());
            Err(self.odd(path, format!("{answered} answers to {sent} records")))
        }
    }

    /// A page of the blocks after height `after`; empty at the end.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub fn blocks(&self, after: u64) -> Result<Vec<BlockItem>, ClientError> {
        let path = format!("/v1/blocks?after={after}&limit={BLOCKS_PER_PAGE}");
        Ok(self.get_json::<Blocks>(&path, PAGE_BYTES_MAX)?.blocks)
    }

    /// A page of the records from place `from` on; empty at the end.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub fn records(&self, from: u64) -> Result<Vec<RecordItem>, ClientError> {
        let mut path = format!("/v1/records?limit={RECORDS_PER_PAGE}");
        if let Some(after) = from.checked_sub(1) {
            path.push_str(&format!("&after={after}"));
        }
        Ok(self.get_json::<Records>(&path, PAGE_BYTES_MAX)?.records)
    }

    /// A page of the checkpoints of more than `after` records; empty at the end.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub fn checkpoints(&self, after: u64) -> Result<Vec<CheckpointItem>, ClientError> {
        let path = format!("/v1/checkpoints?after={after}&limit={CHECKPOINTS_PER_PAGE}");
        Ok(self.get_json::<Checkpoints>(&path, PAGE_BYTES_MAX)?.checkpoints)
    }

    /// An answer that should not have come from this API.
    pub(crate) fn odd(&self, path: &str, reason: impl fmt::Display) -> ClientError {
        let reason = reason.to_string().chars().take(300).collect();
        ClientError::Answer { url: format!("{}{path}", self.base), reason }
    }

    fn refused(&self, path: &str, problem: Problem) -> ClientError {
        ClientError::Problem { url: format!("{}{path}", self.base), problem: Box::new(problem) }
    }

    fn json<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.odd(path, error))
    }

    fn text(&self, path: &str, body: Vec<u8>) -> Result<String, ClientError> {
        String::from_utf8(body).map_err(|error| self.odd(path, error.utf8_error()))
    }

    fn get_json<T: DeserializeOwned>(&self, path: &str, max: usize) -> Result<T, ClientError> {
        self.json(path, &self.get(path, max)?)
    }

    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        let answer = self.patiently(path, bytes_max, |url| {
            self.agent.get(url).config().timeout_global(Some(ANSWER_TIMEOUT)).build().call()
        })?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(self.refused(path, problem(answer.status, &answer.body)))
        }
    }

    fn post(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        wait: Duration,
        bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        self.patiently(path, bytes_max, |url| {
            self.agent
                .post(url)
                .config()
                .timeout_global(Some(ANSWER_TIMEOUT.saturating_add(wait)))
                .build()
                .header("content-type", content_type)
                .header("prefer", format!("wait={}", wait.as_secs()))
                .send(body)
        })
    }

    /// Sends a request that may be sent again, until there is an answer that
    /// stays or patience ends.
    fn patiently(
        &self,
        path: &str,
        bytes_max: usize,
        send: impl Fn(&str) -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut pause = PAUSE_MIN;
        let mut tries = 1;
        loop {
            let (result, asked_pause) = match send(&url) {
                Ok(response) => {
                    let passing = is_passing(response.status());
                    let asked = retry_after(&response);
                    let answer = read(response, bytes_max).map_err(|reason| match reason {
                        ReadError::TooLarge => {
                            self.odd(path, format!("more than {bytes_max} bytes"))
                        }
                        ReadError::Cut(reason) => {
                            ClientError::Unreachable { url: url.clone(), reason }
                        }
                    });
                    match answer {
                        Ok(answer) if !passing => return Ok(answer),
                        Err(error @ ClientError::Answer { .. }) => return Err(error),
                        other => (other, asked),
                    }
                }
                Err(error) => {
                    let reason = describe(&error);
                    (Err(ClientError::Unreachable { url: url.clone(), reason }), None)
                }
            };
            if tries >= self.patience.tries {
                return result;
            }
            tries = tries.saturating_add(1);
            thread::sleep(asked_pause.unwrap_or(pause).min(PAUSE_MAX));
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
}

/// A record on its way to the node, as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A JWS.
    Signed(String),
    /// `{"signer": …, "record": {…}}` or the record object, for the node to sign.
    Unsigned(String),
}

impl Outgoing {
    /// The line's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Signed(text) | Self::Unsigned(text) => text.as_bytes(),
        }
    }
}

/// Waits until `deadline` or for `pause`, whichever is sooner; false once the deadline is past.
pub(crate) fn pause_until(deadline: Instant, pause: Duration) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    thread::sleep(pause.min(left));
    !left.is_zero()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn trusting(ca: &Path) -> Result<TlsConfig, ClientError> {
    let pem = files::read(ca, ANSWER_BYTES_MAX)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(ClientError::NoCertificate(ca.display().to_string()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(certificates.into())).build())
}

/// Whether the same request may well succeed a little later.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(response: &Response<ureq::Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

enum ReadError {
    TooLarge,
    Cut(String),
}

fn read(response: Response<ureq::Body>, bytes_max: usize) -> Result<Answer, ReadError> {
    let status = response.status().as_u16();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|error| ReadError::Cut(error.to_string()))?;
    if body.len() > bytes_max { Err(ReadError::TooLarge) } else { Ok(Answer { status, body }) }
}

fn problem(status: u16, body: &[u8]) -> Problem {
    let mut problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        status,
        code: String::new(),
        field: None,
        detail: String::from_utf8_lossy(body).chars().take(200).collect(),
    });
    problem.status = status;
    problem
}

fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        other => other.to_string(),
    }
}

/// A server that answers as a test tells it.
#[cfg(test)]
pub(crate) mod scripted {
    #![allow(clippy::unwrap_used)]

    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    /// A request as it came.
    pub(crate) struct Request {
        /// Method and path.
        pub(crate) line: String,
        pub(crate) headers: Vec<String>,
        pub(crate) body: String,
    }

    /// Serves `answer`, which gives the status line's end, more header lines and
    /// the body, and gives the server's URL.
    pub(crate) fn serve(
        mut answer: impl FnMut(&Request) -> (&'static str, String) + Send + 'static,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 {
                    continue;
                }
                let headers: Vec<_> = reader
                    .by_ref()
                    .lines()
                    .map(|line| line.unwrap().to_lowercase())
                    .take_while(|line| !line.is_empty())
                    .collect();
                let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                let (head, body) = answer(&Request { line, headers, body });
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                // A client that has read enough may be gone.
                let _ = reader.get_mut().write_all(text.as_bytes());
            }
        });
        url
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::net::TcpListener;

    use super::*;

    fn client(url: &str, tries: u32) -> Client {
        Client::new(url, None, Patience { tries }).unwrap()
    }

    #[test]
    fn a_busy_node_is_asked_again_and_one_that_stays_busy_is_told() {
        let mut asked = 0;
        let url = scripted::serve(move |_| {
            asked += 1;
            match asked {
                1 | 2 => {
                    ("503 Busy\r\nretry-after: 0", r#"{"code":"busy","detail":"wait"}"#.to_owned())
                }
                _ => ("200 OK", r#"{"blocks":[],"next":null}"#.to_owned()),
            }
        });
        let error = client(&url, 2).blocks(0).unwrap_err();
        assert_eq!(error.problem().unwrap().code, "busy");
        assert!(client(&url, 1).blocks(0).unwrap().is_empty());
    }

    #[test]
    fn nobody_there_is_said_in_a_sentence() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = client(&format!("http://127.0.0.1:{port}"), 2).status().unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("is a node running there?"), "{error}");
    }

    #[test]
    fn answers_are_read_up_to_a_bound() {
        let url = scripted::serve(|_| ("200 OK", "x".repeat(RECEIPT_BYTES_MAX + 1)));
        let error = client(&url, 3).receipt(&RecordId::of(b"")).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }

    #[test]
    fn what_is_no_node_is_noticed() {
        let url = scripted::serve(|_| ("200 OK", "<html>".to_owned()));
        assert!(matches!(client(&url, 1).status(), Err(ClientError::Answer { .. })));
        for wrong in ["", "localhost:8080", "ftp://a", "http://", "http://a/?b"] {
            assert!(
                matches!(Client::new(wrong, None, Patience::NONE), Err(ClientError::Url(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_record_is_sent_as_what_it_is_and_a_refusal_is_an_answer() {
        let url = scripted::serve(|request| {
            assert!(request.line.starts_with("POST /v1/records "), "{}", request.line);
            assert!(request.headers.contains(&"prefer: wait=5".to_owned()));
            if request.headers.contains(&"content-type: application/jose".to_owned()) {
                let id = RecordId::of(request.body.as_bytes());
                ("201 Created", format!(r#"{{"id":"{id}","index":7,"height":2,"status":"final"}}"#))
            } else {
                (
                    "422 Refused",
                    r#"{"status":422,"code":"amount_negative","field":"data.claimed","detail":"no"}"#
                        .to_owned(),
                )
            }
        });
        let client = client(&url, 1);
        let wait = Duration::from_secs(5);
        let answer = client.append(&Outgoing::Signed("a.b.c".to_owned()), wait).unwrap();
        assert_eq!((answer.status, answer.index), (201, Some(7)));
        let answer = client.append(&Outgoing::Unsigned("{}".to_owned()), wait).unwrap();
        assert_eq!((answer.status, answer.code.as_deref()), (422, Some("amount_negative")));
    }

    #[test]
    fn answers_to_another_number_of_records_are_not_believed() {
        let url = scripted::serve(|_| ("200 OK", "{\"line\":1,\"status\":201}\n".to_owned()));
        let records = ["a", "b"].map(|text| Outgoing::Signed(text.to_owned()));
        let error = client(&url, 1).append_batch(&records, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("1 answers to 2 records"), "{error}");
    }
}
