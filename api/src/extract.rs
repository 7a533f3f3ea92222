//! Taking parts of a request apart. What does not fit becomes a [`Problem`].

use std::{borrow::Cow, str::FromStr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, Query, path::ErrorKind, rejection::PathRejection},
    http::{HeaderMap, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use quittance_ledger::{digest::RecordId, refusal::Code};
use serde::de::DeserializeOwned;

use crate::{
    budget::{Share, hold},
    limits::Limits,
    problem::{Kind, Problem},
    state::App,
};

/// So much of a body beyond its bound is still taken off the wire, so that the
/// client reads the answer instead of a broken connection.
const DRAINED_BYTES_MAX: usize = 1024 * 1024;

/// The query of a request. Unknown parameters are refused by the types that
/// are read, so that a typing error never widens a question in silence.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|rejection| Problem::new(Kind::BadQuery, rejection.body_text()))
    }
}

/// The one variable part of a path.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(part)| Self(part))
            .map_err(|rejection| path_problem(&rejection))
    }
}

fn path_problem(rejection: &PathRejection) -> Problem {
    if let PathRejection::FailedToDeserializePathParams(failure) = rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = failure.kind()
    {
        return Problem::new(Kind::BadQuery, "the address is not UTF-8").about(key.clone());
    }
    Problem::new(Kind::BadQuery, rejection.body_text())
}

/// The id of a record in the path, or what else says which one it is.
pub(crate) struct IdPath<T = RecordId>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: std::fmt::Display>> FromRequestParts<S> for IdPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let PathOf(text) = PathOf::<String>::from_request_parts(parts, state).await?;
        parse("id", &text).map(Self)
    }
}

/// Which record somebody means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhichRecord {
    /// The one with this id.
    Id(RecordId),
    /// The first one whose id begins with these bytes, as lists show it.
    Beginning([u8; RecordId::BEGINNING_DIGITS / 2]),
}

/// The text names no record.
#[derive(Debug, thiserror::Error)]
#[error("neither the id of a record, 64 hexadecimal digits in lower case, nor its first 16")]
pub(crate) struct NamesNoRecord;

impl FromStr for WhichRecord {
    type Err = NamesNoRecord;

    fn from_str(text: &str) -> Result<Self, NamesNoRecord> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let mut beginning = [0; RecordId::BEGINNING_DIGITS / 2];
        if text.contains(|character: char| character.is_ascii_uppercase()) {
            return Err(NamesNoRecord);
        }
        hex::decode_to_slice(text, &mut beginning).map_err(|_| NamesNoRecord)?;
        Ok(Self::Beginning(beginning))
    }
}

/// Reads one parameter.
pub(crate) fn parse<T: FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::query(field, format!("{field}: {error}")))
}

/// Reads one parameter that may be left out. An empty one counts as left out:
/// that is what a form sends for a field nobody filled in.
pub(crate) fn parse_some<T: FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.filter(|text| !text.is_empty()).map(|text| parse(field, text)).transpose()
}

/// A moment whose offset lost its `+`: in a query it stands for a space, which
/// can stand nowhere else in a moment of RFC 3339 with an offset.
pub(crate) fn with_plus(text: &str) -> Cow<'_, str> {
    match text.rsplit_once(' ') {
        Some((before, offset)) if before.contains(['T', 't']) && offset.len() == 5 => {
            Cow::Owned(format!("{before}+{offset}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// The number of items that a page may hold.
pub(crate) fn page_items(limit: Option<u32>, limits: &Limits) -> Result<usize, Problem> {
    let items = limit.unwrap_or(limits.page_items_default.min(limits.page_items_max));
    if items == 0 || items > limits.page_items_max {
        let detail = format!("limit must be from 1 to {}, not {items}", limits.page_items_max);
        return Err(Problem::query("limit", detail));
    }
    Ok(usize::try_from(items).unwrap_or(usize::MAX))
}

/// Reads a body of at most `bytes_max` bytes, in the time that the limits give.
pub(crate) async fn read_body(
    body: Body,
    headers: &HeaderMap,
    bytes_max: usize,
    limits: &Limits,
) -> Result<Bytes, Problem> {
    read_in_time(body, headers, bytes_max, limits, |_| Ok(())).await
}

/// As [`read_body`], for a large body: each part of it counts among the bytes of
/// batches in memory from when it comes until the last of the body is dropped.
pub(crate) async fn read_counted_body(
    app: &App,
    body: Body,
    headers: &HeaderMap,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let mut share: Share = app.batch_bytes.share();
    let count = |bytes| {
        let detail = "too many batches are in memory at once";
        share.cover(bytes).then_some(()).ok_or_else(|| app.overloaded(detail))
    };
    let bytes = read_in_time(body, headers, bytes_max, &app.config.limits, count).await?;
    Ok(hold(Arc::new(share), bytes))
}

/// Reads a body of at most `bytes_max` bytes; `count` is told how many have come
/// before they are kept, and may refuse them.
async fn read_in_time(
    body: Body,
    headers: &HeaderMap,
    bytes_max: usize,
    limits: &Limits,
    count: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max.saturating_add(DRAINED_BYTES_MAX)) {
        return Err(too_large(bytes_max));
    }
    tokio::time::timeout(limits.body_time(), collect(body, announced, bytes_max, count))
        .await
        .map_err(|_| {
            let detail = format!("the body did not come within {} s", limits.body_time_s);
            Problem::new(Kind::BodyTimeout, detail)
        })?
}

async fn collect(
    body: Body,
    announced: Option<usize>,
    bytes_max: usize,
    mut count: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let mut parts = body.into_data_stream();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut bytes: usize = 0;
    let mut refused: Option<(Problem, usize)> = None;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Problem::new(Kind::BadRequest, "the body broke off"))?;
        bytes = bytes.saturating_add(part.len());
        if let Some((_, drained)) = &mut refused {
            *drained = drained.saturating_add(part.len());
            if *drained > DRAINED_BYTES_MAX {
                break;
            }
            continue;
        }
        let counted = if bytes > bytes_max { Err(too_large(bytes_max)) } else { count(bytes) };
        if let Err(problem) = counted {
            // Kept no longer, only taken off the wire.
            (first, rest) = (None, BytesMut::new());
            refused = Some((problem, 0));
            continue;
        }
        // A body that comes in one part is not copied.
        match &first {
            None if rest.is_empty() => first = Some(part),
            _ => {
                if let Some(first) = first.take() {
                    rest.reserve(announced.unwrap_or(0).clamp(bytes, bytes_max));
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&part);
            }
        }
    }
    if let Some((problem, _)) = refused {
        return Err(problem);
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is larger than {bytes_max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_that_a_query_made_a_space_is_one_again_and_nothing_else_is() {
        assert_eq!(with_plus("2025-09-01T10:15:00 02:00"), "2025-09-01T10:15:00+02:00");
        for same in ["2025-09-01T10:15:00+02:00", "2025-09-01 10:15", "2025-09-01", "7", "a b", ""]
        {
            assert_eq!(with_plus(same), same);
        }
    }
}
