//! `POST /v1/records`: one record, signed or, from this machine or with a token,
//! to be signed.

mod batch;
mod outcome;
mod unsigned;

use std::net::SocketAddr;

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, State},
    http::{HeaderMap, HeaderValue, Uri, Version, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use quittance_ledger::record::Record;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

pub(crate) use batch::{__path_append_batch, append_batch};
pub(crate) use outcome::{AppendAnswer, LineAnswer, Settled, settle};
pub(crate) use unsigned::Sender;

use crate::{
    extract::{QueryOf, read_body},
    headers::{PREFERENCE_APPLIED, Wait, content_type},
    problem::{Kind, Problem, ProblemBody},
    state::Shared,
    stop::Stop,
    vault::{self, Opened, PrivateRoom},
};

/// The parameters of an append.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AppendQuery {
    /// The member to sign unsigned JSON for; may be left out when the node
    /// holds the key of one member only.
    signer: Option<String>,
}

/// JSON to be signed by the node.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "signer": "petexpert",
    "record": {
        "type": "contract.issued",
        "occurred_at": "2026-03-01T09:00:00+01:00",
        "contract": "petexpert/PX-1001",
        "data": {
            "version": 1,
            "line_of_business": "pet_health",
            "period": {"from": "2026-03-01", "to": "2027-02-28"},
            "signature_required": false
        }
    }
}))]
#[expect(dead_code, reason = "describes the body; it is read field by field")]
pub(crate) struct UnsignedRecord {
    /// The member to sign for.
    signer: Option<String>,
    /// The fields of the record, without `ledger`; `salt` is filled in unless given.
    /// Private fields (names, addresses …) go into the node's vault.
    record: serde_json::Value,
    /// More fields that are private, such as `data.premium`.
    private: Option<Vec<String>>,
}

/// Who sent a request, and in which version of HTTP.
pub(crate) struct Peer {
    /// Where the server knows it.
    address: Option<SocketAddr>,
    version: Version,
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Ok(Self { address, version: parts.version })
    }
}

/// Append one record
///
/// The body is a JWS in compact serialization, which needs no token, or, from
/// programs on the node's own machine or with a token whose scope is
/// `append:<member>`, JSON that the node signs. A record is answered once it is
/// durable. Sending the same record again is harmless and gives the same answer;
/// JSON with private fields and a `salt` is the same record for whoever may read
/// these fields, and for the token that sent it just before. Once they are erased
/// it is refused (410), and `record` names the record.
#[utoipa::path(
    post,
    path = "/v1/records",
    tag = "append",
    params(
        AppendQuery,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the record to become final")
    ),
    request_body(content(
        (String = "application/jose", example = "eyJhbGciOiJFZDI1NTE5Ii…"),
        (UnsignedRecord = "application/json")
    )),
    responses(
        (status = 201, description = "It is final", body = AppendAnswer),
        (status = 200, description = "It was on the ledger already", body = AppendAnswer),
        (status = 202, description = "It is durable and waits for its block", body = AppendAnswer),
        (status = 400, description = "It is malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Its signer, key or signature is not known or does not fit, or the token is not good", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Its signer may not, or the token is not good for that member", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "JSON that was signed before, as the record that is named; what was private of it was erased since", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "It is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A rule refuses it; `code` says which", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many records wait", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The node cannot take records now", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn append_record(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<AppendQuery>,
    peer: Peer,
    mut stop: Stop,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let limits = &app.config.limits;
    let media_type = content_type(&headers);
    let wait = Wait::of(&headers, limits.wait_s_max);
    let is_json = match media_type.as_deref() {
        Some("application/json") => true,
        Some("application/jose" | "text/plain" | "application/octet-stream") => false,
        other => return Err(unsupported(other)),
    };
    let sender = if is_json { Some(Sender::of(&app, &peer, &uri, &headers)?) } else { None };
    let body = read_body(body, &headers, limits.record_body_bytes_max, limits).await?;
    let job_app = Shared::clone(&app);
    let opened = app
        .verifier
        .run(move || match sender {
            Some(sender) => {
                let room = PrivateRoom::new(1);
                unsigned::sign(&body, query.signer.as_deref(), &sender, &room, &job_app)
            }
            None => open(&body, &job_app).map(Opened::from),
        })
        .await?
        .inspect_err(|problem| app.metrics.refused(problem.code()))?;

    let id = opened.record.id();
    let deadline = Instant::now() + wait.duration();
    let staged = opened.staging.into_iter().collect();
    let accepted = vault::submit(&app, vec![opened.record], staged).await?.pop();
    let accepted = accepted.ok_or_else(|| Problem::internal(&"the node gave no answer"))?;
    let settled = settle(accepted, deadline, &mut stop).await;
    app.metrics.settled(&settled);
    let (status, answer) = AppendAnswer::of(id, settled)?;
    let mut response = (status, Json(answer)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/records/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(applied) = wait.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Verifies a JWS. A line break behind it, as files and pipes add, is no part of it.
fn open(body: &Bytes, app: &Shared) -> Result<Record, Problem> {
    let jws = without_line_break(body);
    Ok(Record::open(jws, &app.membership())?)
}

pub(crate) fn without_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn unsupported(given: Option<&str>) -> Problem {
    let given = given.map_or_else(String::new, |given| format!(", not {given}"));
    let detail = format!(
        "send a signed record with Content-Type: application/jose, or, from this machine \
         or with a token, JSON with Content-Type: application/json{given}"
    );
    Problem::new(Kind::UnsupportedMediaType, detail).about("content-type")
}
