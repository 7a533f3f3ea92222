//! Talking to a node over HTTP.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response},
};

use crate::Signed;

/// What a node answered, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The JSON of each line of the body.
    ///
    /// # Panics
    /// One is not JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `code` of the problem (RFC 9457) that this answer is.
    ///
    /// # Panics
    /// It is no problem, or one that lacks what every problem has.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{} {}",
            self.status,
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for name in ["type", "title", "detail", "code"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// The API of one node.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    agent: Agent,
}

impl Api {
    /// The API at an address.
    pub fn new(address: SocketAddr) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self { address, agent }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL below it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `GET` of a path that must be answered.
    ///
    /// # Panics
    /// The node does not answer.
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        read(self.agent.get(self.url(path)).call()?)
    }

    /// `GET` with headers.
    ///
    /// # Panics
    /// The node does not answer.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call().unwrap()).unwrap()
    }

    /// The JSON at a path that must be there.
    ///
    /// # Panics
    /// The node answers with anything else than 200 and JSON.
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// `POST` that must be answered.
    ///
    /// # Panics
    /// The node does not answer.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.try_post(path, headers, body).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// `POST`.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.agent.run(request.body(body.as_ref())?)?)
    }

    /// `DELETE` with a body.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn try_delete(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.delete(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.force_send_body().send(body.as_ref())?)
    }

    /// Appends one record and waits until it is final.
    ///
    /// # Panics
    /// The node does not answer.
    pub fn append(&self, record: &Signed) -> Answer {
        self.post("/v1/records", JOSE_WAIT, &record.jws)
    }

    /// Appends records in one request, waits until they are final and gives the
    /// answer to each.
    ///
    /// # Panics
    /// The node does not answer with a line for each.
    pub fn append_all<'a>(&self, records: impl IntoIterator<Item = &'a Signed>) -> Vec<Value> {
        let (body, count) = batch(records);
        let answer = self.post("/v1/records/batch", TEXT_WAIT, body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let lines = answer.lines();
        assert_eq!(lines.len(), count);
        lines
    }

    /// As [`Self::append_all`], where the node may be gone at any moment.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn try_append_all<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Signed>,
    ) -> Result<Answer, ureq::Error> {
        self.try_post("/v1/records/batch", TEXT_WAIT, batch(records).0)
    }

    /// The receipt of a record.
    ///
    /// # Panics
    /// There is none.
    pub fn receipt(&self, id: &str) -> Vec<u8> {
        let answer = self.get(&format!("/v1/records/{id}/receipt"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    }

    /// The trust policy as text.
    ///
    /// # Panics
    /// There is none.
    pub fn policy(&self) -> String {
        let answer = self.get("/v1/policy");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    }

    /// Whether the node says that it can do its work.
    pub fn is_ready(&self) -> bool {
        self.try_get("/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// How many records are final.
    ///
    /// # Panics
    /// The node does not say.
    pub fn tree_size(&self) -> u64 {
        self.json("/v1/status")["head"]["tree_size"].as_u64().unwrap()
    }

    /// All records, page by page.
    ///
    /// # Panics
    /// A page does not come.
    pub fn all_records(&self, query: &str) -> Vec<Value> {
        let mut records = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.json(&format!("/v1/records?limit=1000{query}{after}"));
            records.extend(page["records"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return records,
            }
        }
    }
}

const JOSE_WAIT: &[(&str, &str)] = &[("content-type", "application/jose"), ("prefer", "wait=60")];
const TEXT_WAIT: &[(&str, &str)] = &[("content-type", "text/plain"), ("prefer", "wait=60")];

fn batch<'a>(records: impl IntoIterator<Item = &'a Signed>) -> (String, usize) {
    let mut body = String::new();
    let mut count = 0;
    for record in records {
        body.push_str(&record.jws);
        body.push('\n');
        count += 1;
    }
    (body, count)
}

fn read(response: Response<Body>) -> Result<Answer, ureq::Error> {
    let (parts, mut body) = response.into_parts();
    let body = body.with_config().limit(256 << 20).read_to_vec()?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}
