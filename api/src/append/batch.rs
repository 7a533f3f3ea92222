//! `POST /v1/records/batch`: many records, one on each line.
//!
//! The lines are verified in parallel, in pieces that leave room for others
//! between them; the node gets all that verified in one call.

use std::{ops::Range, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use quittance_ledger::{
    record::Record,
    refusal::{Code, Refusal},
};
use tokio::time::Instant;

use super::{
    AppendQuery, LineAnswer, Peer,
    outcome::settle,
    unsigned::{self, Sender},
    without_line_break,
};
use crate::{
    extract::{QueryOf, read_counted_body},
    headers::{PREFERENCE_APPLIED, Wait, content_type},
    problem::{Kind, Problem, ProblemBody},
    state::Shared,
    stop::Stop,
    vault::{self, Opened, PrivateRoom},
};

/// `Content-Type` of a batch and of its answer.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Lines that one job verifies: a few milliseconds, so that a single record
/// between two batches does not wait long.
const LINES_PER_JOB: usize = 64;

/// Bytes that the answer to one line takes, about.
const ANSWER_BYTES: usize = 256;

/// Append many records
///
/// Each line is a JWS, a JSON string that holds one, or, from programs on the
/// node's own machine or with a token whose scope is `append:<member>`, JSON for
/// the node to sign (then with
/// `Content-Type: application/x-ndjson`). The answer has a line for each, in
/// order; a record that is refused does not stop the others.
#[utoipa::path(
    post,
    path = "/v1/records/batch",
    tag = "append",
    params(
        AppendQuery,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the records to become final")
    ),
    request_body(content(
        (String = "application/x-ndjson"),
        (String = "text/plain")
    )),
    responses(
        (status = 200, description = "A line for each record", body = LineAnswer, content_type = "application/x-ndjson"),
        (status = 403, description = "Unsigned lines are not taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too many bytes or lines", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many records wait; nothing of the batch was stored", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The node cannot take records now", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn append_batch(
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
    let Some(takes_json) = takes_json(media_type.as_deref()) else {
        return Err(unsupported(media_type.as_deref()));
    };
    // Only what has come waits for a turn: who is slow to send holds up nobody.
    let body = read_counted_body(&app, body, &headers, limits.batch_body_bytes_max).await?;
    let turn = app.batches.acquire().await.map_err(|error| Problem::internal(&error))?;
    let unsigned = if takes_json {
        Sender::of(&app, &peer, &uri, &headers).map(|sender| (sender, query.signer))
    } else {
        Err(unsigned_needs_ndjson())
    };
    let unsigned = Arc::new(unsigned);
    let lines = split(&body, limits.batch_lines_max)?;
    // Before anything is recorded: an answer that cannot be held would be lost.
    let answer_bytes = lines.len().saturating_mul(ANSWER_BYTES);
    let reserved = app.reserve_answer(answer_bytes)?;

    let room = Arc::new(PrivateRoom::new(limits.batch_private_lines_max));
    let jobs = lines.chunks(LINES_PER_JOB).map(<[Line]>::to_vec).collect::<Vec<_>>();
    let opened = stream::iter(jobs)
        .map(|lines| {
            let (app, body, unsigned) = (Shared::clone(&app), body.clone(), unsigned.clone());
            let room = room.clone();
            async move {
                let job_app = Shared::clone(&app);
                app.verifier
                    .run(move || {
                        lines
                            .into_iter()
                            .map(|line| {
                                (line.number, open(&line, &body, &unsigned, &room, &job_app))
                            })
                            .collect::<Vec<_>>()
                    })
                    .await
            }
        })
        // Twice as many as threads, so that none of them waits for its next job.
        .buffered(limits.verify_threads().saturating_mul(2))
        .collect::<Vec<_>>()
        .await;
    drop(body);
    // Before anything is recorded.
    room.check()?;

    let mut records = Vec::with_capacity(lines.len());
    let mut staged = Vec::new();
    let mut answers = Vec::with_capacity(lines.len());
    for job in opened {
        for (line, opened) in job? {
            answers.push(match opened {
                Ok(Opened { record, staging }) => {
                    let id = record.id();
                    staged.extend(staging);
                    records.push(record);
                    (line, Ok(id))
                }
                Err(problem) => (line, Err(problem)),
            });
        }
    }

    let deadline = Instant::now() + wait.duration();
    let mut accepted = if records.is_empty() {
        Vec::new().into_iter()
    } else {
        vault::submit(&app, records, staged).await?.into_iter()
    };
    // What may take long from here on holds neither body nor records.
    drop(turn);
    let mut text = Vec::with_capacity(answer_bytes);
    for (line, opened) in answers {
        let answer = match opened {
            Ok(id) => {
                let accepted = accepted
                    .next()
                    .ok_or_else(|| Problem::internal(&"the node gave too few answers"))?;
                let settled = settle(accepted, deadline, &mut stop).await;
                app.metrics.settled(&settled);
                LineAnswer::of(line, id, settled)
            }
            Err(problem) => {
                app.metrics.refused(problem.code());
                LineAnswer::refused(line, None, problem)
            }
        };
        serde_json::to_writer(&mut text, &answer).map_err(|error| Problem::internal(&error))?;
        text.push(b'\n');
    }
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON))];
    let mut response = (StatusCode::OK, content_type, text).into_response();
    if let Some(reserved) = reserved {
        response.extensions_mut().insert(reserved);
    }
    if let Some(applied) = wait.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Whether a batch of this media type may hold unsigned JSON; `None` where the
/// media type is not taken at all. Web pages may send `text/plain` without
/// asking first, so it never may.
fn takes_json(media_type: Option<&str>) -> Option<bool> {
    match media_type? {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(true),
        "text/plain" | "application/octet-stream" | "application/jose" => Some(false),
        _ => None,
    }
}

/// One line of a body that is not empty.
#[derive(Debug, Clone)]
struct Line {
    number: usize,
    place: Range<usize>,
}

fn split(body: &[u8], lines_max: usize) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (position, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let end = start + line.len();
        if !line.trim_ascii().is_empty() {
            if lines.len() >= lines_max {
                let detail = format!("a batch may have {lines_max} lines; send it in parts");
                return Err(Problem::new(Code::TooLarge, detail));
            }
            lines.push(Line { number: position + 1, place: start..end });
        }
        start = end + 1;
    }
    Ok(lines)
}

/// Verifies one line, or has it signed.
fn open(
    line: &Line,
    body: &Bytes,
    unsigned: &Result<(Sender, Option<String>), Problem>,
    room: &PrivateRoom,
    app: &Shared,
) -> Result<Opened, Problem> {
    let text = without_line_break(body.get(line.place.clone()).unwrap_or_default());
    if text.len() > app.config.limits.record_body_bytes_max {
        let detail = format!("the line has {} bytes, more than a record may", text.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    match text.first() {
        Some(b'{') => {
            let (sender, signer) = unsigned.as_ref().map_err(Problem::clone)?;
            unsigned::sign(text, signer.as_deref(), sender, room, app)
        }
        Some(b'"') => match inside_quotes(text) {
            Some(jws) => Ok(Record::open(jws, &app.membership())?.into()),
            None => {
                let jws: String = serde_json::from_slice(text).map_err(|error| {
                    let detail = format!("the line is not a JSON string: {error}");
                    Problem::from(Refusal::of_field(Code::Malformed, "record", detail))
                })?;
                Ok(Record::open(jws.into_bytes(), &app.membership())?.into())
            }
        },
        _ => Ok(Record::open(text, &app.membership())?.into()),
    }
}

/// What stands in a JSON string without escapes, which is how a JWS is written.
fn inside_quotes(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"\"")?.trim_ascii_end().strip_suffix(b"\"")?;
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    inside.iter().all(plain).then_some(inside)
}

fn unsigned_needs_ndjson() -> Problem {
    let detail = "send lines of unsigned JSON with Content-Type: application/x-ndjson";
    Problem::new(Kind::UnsignedNotAllowed, detail)
}

fn unsupported(given: Option<&str>) -> Problem {
    let given = given.map_or_else(String::new, |given| format!(", not {given}"));
    let detail =
        format!("send the lines with Content-Type: application/x-ndjson or text/plain{given}");
    Problem::new(Kind::UnsupportedMediaType, detail).about("content-type")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_empty_ones_are_passed_over() {
        let body = b"a\n\r\n\nbc\r\nd";
        let lines = split(body, 3).unwrap();
        let found: Vec<_> =
            lines.iter().map(|line| (line.number, &body[line.place.clone()])).collect();
        assert_eq!(found, [(1, &b"a"[..]), (4, b"bc\r"), (5, b"d")]);
        assert_eq!(split(body, 2).unwrap_err().code(), "too_large");
    }

    #[test]
    fn a_plain_json_string_is_read_without_copying() {
        assert_eq!(inside_quotes(b"\"a.b.c\" "), Some(&b"a.b.c"[..]));
        assert_eq!(inside_quotes(b"\"a\\u002eb\""), None);
        assert_eq!(inside_quotes(b"\"a"), None);
        assert_eq!(inside_quotes(b"\""), None);
    }
}
