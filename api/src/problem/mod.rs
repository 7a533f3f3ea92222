//! How the API says no: problem details (RFC 9457) with a stable code.

mod codes;

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use quittance_ledger::{digest::RecordId, refusal::Refusal};
use serde::Serialize;
use utoipa::ToSchema;

pub use codes::{Code, Kind};

use crate::{
    access::challenge,
    submit::{SignError, SubmitError},
};

/// Where the codes are explained; the `type` of a problem is a fragment of it.
pub const PROBLEMS_PATH: &str = "/docs/problems";

/// `Content-Type` of a problem (RFC 9457, section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// An answer that says what went wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    record: Option<RecordId>,
    retry_after_s: Option<u64>,
}

/// A problem as it goes over the wire (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A page that explains the code.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#malformed")]
    pub problem_type: String,
    /// What kind of problem it is, always the same for one code.
    #[schema(value_type = String, example = "The record is not well-formed")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What programs act on.
    #[schema(value_type = String, example = "malformed")]
    pub code: &'static str,
    /// What is wrong here, for people.
    #[schema(value_type = String, example = "occurred_at is missing")]
    pub detail: Cow<'static, str>,
    /// The field or parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "occurred_at")]
    pub field: Option<Cow<'static, str>>,
    /// The record on the ledger that it is about, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub record: Option<RecordId>,
}

impl Problem {
    /// A problem about no single field.
    pub fn new(code: impl Into<Code>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            field: None,
            record: None,
            retry_after_s: None,
        }
    }

    /// Names the field or parameter it is about.
    #[must_use]
    pub fn about(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the record on the ledger that it is about.
    #[must_use]
    pub const fn of_record(mut self, record: RecordId) -> Self {
        self.record = Some(record);
        self
    }

    /// Says when to try again, in seconds (`Retry-After`).
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// A parameter of the query that cannot be read.
    pub(crate) fn query(field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadQuery, detail).about(field)
    }

    /// Something that the ledger does not hold.
    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// The node failed; the reason is for its log only.
    pub(crate) fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        Self::new(Kind::Internal, "the node could not do it; its log says why")
    }

    /// Whether it is a problem of the API's own of that kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.code == Code::Api(kind)
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.code.title()
    }

    /// The field or parameter it is about.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// How to prove who one is, which every 401 names (RFC 9110, section 11.6.1).
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self.code {
            Code::Api(kind) => challenge(kind),
            Code::Refusal(_) => {
                (self.status() == StatusCode::UNAUTHORIZED).then_some("Quittance-Record")
            }
        };
        challenge.map(HeaderValue::from_static)
    }

    /// The problem as it goes over the wire.
    #[must_use]
    pub fn into_body(self) -> ProblemBody {
        ProblemBody {
            problem_type: format!("{PROBLEMS_PATH}#{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail,
            field: self.field,
            record: self.record,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after_s = self.retry_after_s;
        let challenge = self.challenge();
        let mut response = (self.status(), Json(self.into_body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.into(),
            detail: refusal.detail.into(),
            field: refusal.field.map(Cow::Owned),
            record: None,
            retry_after_s: None,
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Busy { retry_after_s } => {
                Self::new(Kind::Busy, detail).retry_after(retry_after_s)
            }
            SubmitError::Stopping => Self::new(Kind::Stopping, detail).retry_after(5),
            SubmitError::NotListed(_) => Self::new(Kind::NotListed, detail),
        }
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Refused(refusal) => refusal.into(),
            SignError::NotHeld(_) => Self::new(Kind::KeyNotHeld, error.to_string()).about("signer"),
        }
    }
}
