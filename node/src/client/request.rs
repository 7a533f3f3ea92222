//! Requests: sent until there is an answer that stays or patience ends, and
//! answers read up to a bound.

use std::{io::Read as _, thread, time::Duration};

use serde::de::DeserializeOwned;
use ureq::{
    RequestBuilder,
    http::{Response, StatusCode},
};

use super::{Client, ClientError, Problem};

/// How long an answer may take beyond what the request allows the node to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// An answer with a body of bounded size.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn refused(&self, path: &str, problem: Problem) -> ClientError {
        ClientError::Problem { url: format!("{}{path}", self.base), problem: Box::new(problem) }
    }

    pub(super) fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.odd(path, error))
    }

    pub(super) fn text(&self, path: &str, body: Vec<u8>) -> Result<String, ClientError> {
        String::from_utf8(body).map_err(|error| self.odd(path, error.utf8_error()))
    }

    pub(super) fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        max: usize,
    ) -> Result<T, ClientError> {
        self.json(path, &self.get(path, max)?)
    }

    pub(super) fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        self.get_accepting(path, bytes_max, None)
    }

    pub(super) fn get_accepting(
        &self,
        path: &str,
        bytes_max: usize,
        media_type: Option<&str>,
    ) -> Result<Vec<u8>, ClientError> {
        let answer = self.patiently(path, bytes_max, |url| {
            let mut request = self.prepared(self.agent.get(url), Duration::ZERO);
            if let Some(media_type) = media_type {
                request = request.header("accept", media_type);
            }
            request.call()
        })?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(self.refused(path, problem(answer.status, &answer.body)))
        }
    }

    pub(super) fn post(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        wait: Duration,
        bytes_max: usize,
    ) -> Result<Answer, ClientError> {
        self.patiently(path, bytes_max, |url| {
            self.prepared(self.agent.post(url), wait)
                .header("content-type", content_type)
                .send(body)
        })
    }

    /// A request with the token, where there is one, that the node may take `wait` to
    /// answer.
    pub(super) fn prepared<B>(
        &self,
        request: RequestBuilder<B>,
        wait: Duration,
    ) -> RequestBuilder<B> {
        let mut request =
            request.config().timeout_global(Some(ANSWER_TIMEOUT.saturating_add(wait))).build();
        if !wait.is_zero() {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// Sends a request that may be sent again, until there is an answer that
    /// stays or patience ends.
    pub(super) fn patiently(
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

pub(super) fn problem(status: u16, body: &[u8]) -> Problem {
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
