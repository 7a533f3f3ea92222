//! A small client of the HTTP API: every answer is read up to a bound and into
//! a type, and what can be sent twice without harm is tried again.

mod answers;
mod private;
mod request;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use quittance_api::access::Token;
use quittance_ledger::{
    digest::RecordId,
    limits::{GENESIS_BYTES_MAX, POLICY_BYTES_MAX, RECEIPT_BYTES_MAX},
    membership::{Genesis, GenesisError, Origin},
    transparency::{Policy, PolicyError, VerifierKey},
};
use serde::{Deserialize, de::DeserializeOwned};
use ureq::{
    Agent,
    http::{HeaderValue, Uri},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

pub use answers::{
    ApprovalItem, BlockItem, CheckpointItem, ErasedAnswer, HeadStatus, HeaderItem, KeyItem,
    LedgerStatus, LineAnswer, MemberItem, Members, NodeStatus, Outgoing, PendingStatus, Problem,
    ProposalItem, RecordItem, Status, ValidatorItem,
};

use self::{
    answers::{Blocks, Checkpoints, RecordAnswer, Records},
    request::problem,
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
    /// Others could read the token on its way (RFC 6750, section 5.3).
    #[error("a token is not sent to {0} unencrypted; use https")]
    TokenInClear(String),
    /// Others could read on its way what is private.
    #[error(
        "what is or may be private is not sent to {0} unencrypted: use https, or, for records \
         without private fields, sign them here"
    )]
    PrivateInClear(String),
    /// Nobody answered.
    #[error("no answer from {url}: {reason}; is a node running there? (quittance run)")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why there was no answer.
        reason: String,
    },
    /// The node answered that it will not.
    #[error("{url} answers {problem}{}", how_to_show_a_token(problem))]
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

/// What a user of the command line does where a node asks for a token.
fn how_to_show_a_token(problem: &Problem) -> &'static str {
    if problem.code == "token_required" {
        " (here: --token-file FILE, or the variable QUITTANCE_TOKEN)"
    } else {
        ""
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

/// The body of an answer to one record.
#[derive(Deserialize)]
struct AppendAnswer {
    id: Option<RecordId>,
    index: Option<u64>,
    height: Option<u64>,
}

/// A client of one node. Cheap to clone; connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    patience: Patience,
    /// Whether others could read what goes to the node.
    is_in_clear: bool,
    /// `Bearer` and a token; shown by no `Debug`.
    authorization: Option<HeaderValue>,
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
            is_in_clear: uri.scheme_str() != Some("https") && !is_loopback(host),
            authorization: None,
        })
    }

    /// The same client with other patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The same client, which shows a token with each request.
    ///
    /// # Errors
    /// The node is another machine and the connection to it is not encrypted.
    pub fn with_token(mut self, token: &Token) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(self.base.clone());
        if self.is_in_clear {
            return Err(ClientError::TokenInClear(self.base));
        }
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| wrong())?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Checks that what is private may be sent: nobody else can read it on its way.
    ///
    /// # Errors
    /// The node is another machine and the connection to it is not encrypted.
    pub(crate) fn check_private(&self) -> Result<(), ClientError> {
        match self.is_in_clear {
            true => Err(ClientError::PrivateInClear(self.base.clone())),
            false => Ok(()),
        }
    }

    /// Checks that a record may be sent. One that is yet to be signed may hold
    /// private fields, which the node is to take out of it.
    fn check_outgoing(&self, record: &Outgoing) -> Result<(), ClientError> {
        match record {
            Outgoing::Signed(_) => Ok(()),
            Outgoing::Unsigned(_) => self.check_private(),
        }
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

    /// Asks whether the node can make records final.
    ///
    /// # Errors
    /// It cannot, and says why, or does not answer.
    pub fn ready(&self) -> Result<(), ClientError> {
        self.get("/readyz", ANSWER_BYTES_MAX).map(drop)
    }

    /// The name of the ledger that the node is of, by the keys that it signs its
    /// checkpoints with. It asks for no token.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn origin(&self) -> Result<Origin, ClientError> {
        let odd = |reason: &dyn fmt::Display| self.odd("/v1/policy", reason);
        let policy = self.policy()?;
        let name = policy.logs().next().map(VerifierKey::name);
        let name = name.ok_or_else(|| odd(&"the policy names no log"))?;
        name.parse().map_err(|error| odd(&error))
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
        self.policy_from("/v1/policy")
    }

    /// The policy of those who decide on block `height`, as the node has it.
    ///
    /// # Errors
    /// The block is still to come, or the node does not answer, or with something else.
    pub fn policy_at(&self, height: u64) -> Result<Policy, ClientError> {
        self.policy_from(&format!("/v1/policy?at={height}"))
    }

    /// The policy that a checkpoint of `size` records has to satisfy, as the node has it.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub fn policy_of_size(&self, size: u64) -> Result<Policy, ClientError> {
        self.policy_from(&format!("/v1/policy?size={size}"))
    }

    fn policy_from(&self, path: &str) -> Result<Policy, ClientError> {
        let bytes = self.get(path, POLICY_BYTES_MAX)?;
        Policy::parse(&bytes).map_err(|error: PolicyError| self.odd(path, error))
    }

    /// Who is and was on the ledger, and what is proposed, as the node has it.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn members(&self) -> Result<Members, ClientError> {
        self.get_json("/v1/members", PAGE_BYTES_MAX)
    }

    /// The bytes of a record, whose id has been checked; its signature has not.
    ///
    /// # Errors
    /// The node has no such record, or does not answer, or with something else.
    pub fn record(&self, id: &RecordId) -> Result<Vec<u8>, ClientError> {
        let path = format!("/v1/records/{id}");
        let jws = self.get_json::<RecordAnswer>(&path, ANSWER_BYTES_MAX)?.jws.into_bytes();
        if RecordId::of(&jws) == *id {
            Ok(jws)
        } else {
            Err(self.odd(&path, "it is another record than was asked for"))
        }
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
    /// The node does not answer, is busy, or the request itself is wrong; or others
    /// could read an unsigned record on its way.
    pub fn append(&self, record: &Outgoing, wait: Duration) -> Result<LineAnswer, ClientError> {
        self.check_outgoing(record)?;
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
                // What is wrong with the token says nothing about the record.
                let of_token = matches!(
                    &*problem.code,
                    "token_required" | "invalid_token" | "insufficient_scope"
                );
                if problem.code.is_empty()
                    || of_token
                    || matches!(status, 404 | 405 | 415 | 429 | 500..)
                {
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
    /// The node does not answer, is busy, or refuses the request as a whole; or
    /// others could read an unsigned record on its way.
    pub fn append_batch(
        &self,
        records: &[Outgoing],
        wait: Duration,
    ) -> Result<Vec<LineAnswer>, ClientError> {
        records.iter().try_for_each(|record| self.check_outgoing(record))?;
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

    /// What the node answers to a question about contracts, claims or payees.
    ///
    /// # Errors
    /// The node says no, does not answer, or with something else.
    pub fn view<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get_json(path, PAGE_BYTES_MAX)
    }

    /// As [`Client::view`], as bytes of that media type.
    ///
    /// # Errors
    /// The node says no, or does not answer.
    pub fn view_bytes(&self, path: &str, media_type: &str) -> Result<Vec<u8>, ClientError> {
        self.get_accepting(path, PAGE_BYTES_MAX, Some(media_type))
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
