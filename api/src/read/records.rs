//! `GET /v1/records…`: one record, or those that are about something.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use quittance_ledger::{
    digest::RecordId,
    insurance::rules,
    membership::{KeyId, MemberId},
    record::Record,
    refusal::Code,
    store::{Entry, Filter, Page, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::utc;
use crate::{
    extract::{IdPath, QueryOf, WhichRecord, page_items, parse, parse_some, with_plus},
    headers::preferred,
    problem::{Problem, ProblemBody},
    reading::{Failed, Patience},
    state::Shared,
};

/// The media type of a JWS in compact serialization (RFC 7515, section 9.2.1).
pub(crate) const JOSE: &str = "application/jose";

/// What never changes may be kept for ever.
pub(crate) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A record with its place on the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordAnswer {
    /// The record's id: SHA-256 of its bytes.
    #[schema(value_type = String)]
    pub(crate) id: RecordId,
    /// Its place on the ledger, from 0; null while it is pending.
    pub(crate) index: Option<u64>,
    /// The block it stands in; null while it is pending.
    pub(crate) height: Option<u64>,
    /// When that block was made, RFC 3339 in UTC; null while it is pending.
    pub(crate) block_time: Option<String>,
    /// `final` or `pending`.
    #[schema(value_type = String, example = "final")]
    pub(crate) status: &'static str,
    /// The member that signed it.
    #[schema(value_type = String, example = "petexpert")]
    pub(crate) signer: MemberId,
    /// The member's key that it is signed with.
    #[schema(value_type = String, example = "1")]
    pub(crate) key: KeyId,
    /// What it says, as it was signed.
    #[schema(value_type = serde_json::Value)]
    pub(crate) record: Box<RawValue>,
    /// The signed bytes: what its id is the SHA-256 of.
    pub(crate) jws: String,
    /// `late`: recorded more than an hour after it happened. Else the code of a
    /// rule that it breaks and that this ledger only flags.
    #[schema(value_type = Vec<String>)]
    pub(crate) flags: Vec<&'static str>,
    /// The newest record that corrects this one.
    #[schema(value_type = Option<String>)]
    pub(crate) corrected_by: Option<RecordId>,
}

impl RecordAnswer {
    /// The answer for a record on the ledger. Reads from the disk.
    pub(crate) fn of_entry(entry: &Entry, store: &Store) -> Result<Self, Failed> {
        let mut answer = Self::of_pending(&entry.record)?;
        answer.index = Some(entry.index);
        answer.height = Some(entry.height);
        answer.block_time = Some(utc(entry.block_time_ms));
        answer.status = "final";
        answer.flags = flags_of(entry, store)?;
        answer.corrected_by = store.correction_of(&answer.id)?;
        Ok(answer)
    }

    fn of_pending(record: &Record) -> Result<Self, Problem> {
        let payload = serde_json::from_slice(record.payload_json());
        Ok(Self {
            id: record.id(),
            index: None,
            height: None,
            block_time: None,
            status: "pending",
            signer: record.signer().clone(),
            key: record.key_id().clone(),
            record: payload.map_err(|error| Problem::internal(&error))?,
            jws: String::from_utf8_lossy(record.jws()).into_owned(),
            flags: Vec::new(),
            corrected_by: None,
        })
    }
}

pub(crate) fn flags_of(entry: &Entry, store: &Store) -> Result<Vec<&'static str>, StoreError> {
    let late = rules::is_late(&entry.record, entry.block_time_ms).then_some("late");
    let broken = store.flags(entry.index)?.into_iter().map(Code::as_str);
    Ok(late.into_iter().chain(broken).collect())
}

/// A record on the ledger, or one that waits for its block.
pub(crate) enum Found {
    Entry(Entry),
    Pending(Record),
}

/// The id of the record that is meant. Reads from the disk.
pub(crate) fn id_of(app: &Shared, which: WhichRecord) -> Result<RecordId, Failed> {
    let beginning = match which {
        WhichRecord::Id(id) => return Ok(id),
        WhichRecord::Beginning(beginning) => beginning,
    };
    if let Some(index) = app.store.find_by_prefix(beginning)?
        && let Some(entry) = app.store.entry(index)?
    {
        return Ok(entry.record.id());
    }
    Err(Problem::not_found("no record's id begins like that").into())
}

/// Looks a record up. Reads from the disk.
pub(crate) fn find(app: &Shared, id: &RecordId) -> Result<Found, Failed> {
    // A record may become final between the two questions, so pending comes first.
    let pending = app.node.pending(id);
    if let Some(location) = app.store.find(id)?
        && let Some(entry) = app.store.entry(location.index)?
    {
        return Ok(Found::Entry(entry));
    }
    if let Some(record) = pending {
        return Ok(Found::Pending(record));
    }
    Err(match app.node.refusal(id) {
        Some(refusal) => Problem::from(refusal),
        None => Problem::not_found(format!("the ledger holds no record {id}")),
    }
    .into())
}

/// One record
///
/// `Accept: application/jose` gives the signed bytes, whose SHA-256 is the id.
#[utoipa::path(
    get,
    path = "/v1/records/{id}",
    tag = "read",
    params(("id" = String, Path, description = "The record's id, 64 hexadecimal digits, or its first 16")),
    responses(
        (status = 200, description = "The record", content(
            (RecordAnswer = "application/json"), (String = "application/jose")
        )),
        (status = 400, description = "Not an id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Not on the ledger and not pending", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It was accepted here and then refused by a rule, which the code names", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_record(
    State(app): State<Shared>,
    IdPath(which): IdPath<WhichRecord>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wants_jose = preferred(&headers, &["application/json", JOSE]) == Some(JOSE);
    let read = app.read(move |app, _| match find(app, &id_of(app, which)?)? {
        found if wants_jose => {
            let (Found::Pending(record) | Found::Entry(Entry { record, .. })) = found;
            let headers = [(header::CONTENT_TYPE, JOSE), (header::CACHE_CONTROL, FOR_EVER)];
            Ok((headers, record.jws().to_vec()).into_response())
        }
        Found::Entry(entry) => {
            Ok(Json(RecordAnswer::of_entry(&entry, &app.store)?).into_response())
        }
        Found::Pending(record) => Ok(Json(RecordAnswer::of_pending(&record)?).into_response()),
    });
    let mut response = read.await?;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// What records are looked for. Each parameter narrows the list.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordsQuery {
    /// The contract they name: `<insurer>/<number>`.
    pub(crate) contract: Option<String>,
    /// The claim they name: `<insurer>/<number>`.
    pub(crate) claim: Option<String>,
    /// The member that signed them.
    pub(crate) signer: Option<String>,
    /// `contract`, `signature` or `settlement`.
    pub(crate) family: Option<String>,
    /// Their type, such as `contract.issued`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub(crate) record_type: Option<String>,
    /// The commitment of one of their documents, 64 hexadecimal digits.
    pub(crate) document: Option<String>,
    /// The `match` of one of their documents, 64 hexadecimal digits.
    #[serde(rename = "match")]
    #[param(rename = "match")]
    pub(crate) match_tag: Option<String>,
    /// They happened (`occurred_at`) then or later: RFC 3339, or a day in UTC.
    pub(crate) from: Option<String>,
    /// They happened (`occurred_at`) then or earlier: RFC 3339, or a day in UTC, to its end.
    pub(crate) to: Option<String>,
    /// The cursor: only records after it.
    pub(crate) after: Option<String>,
    /// How many at most; 1 to 1000.
    pub(crate) limit: Option<u32>,
}

impl RecordsQuery {
    pub(crate) fn filter(&self) -> Result<Filter, Problem> {
        Ok(Filter {
            contract: parse_some("contract", self.contract.as_deref())?,
            claim: parse_some("claim", self.claim.as_deref())?,
            signer: parse_some("signer", self.signer.as_deref())?,
            family: parse_some("family", self.family.as_deref())?,
            record_type: parse_some("type", self.record_type.as_deref())?,
            document: parse_some("document", self.document.as_deref())?,
            match_tag: parse_some("match", self.match_tag.as_deref())?,
            from: bound("from", self.from.as_deref(), false)?,
            to: bound("to", self.to.as_deref(), true)?,
        })
    }
}

/// A time bound: a moment, or a day that counts whole.
pub(crate) fn bound(
    field: &'static str,
    text: Option<&str>,
    to_its_end: bool,
) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()).map(with_plus) else { return Ok(None) };
    let bad = || {
        let detail = format!("{field} must be a time such as 2026-03-01T09:00:00Z, or a day");
        Problem::query(field, detail)
    };
    if text.len() > 10 {
        return text.parse().map(Some).map_err(|_| bad());
    }
    let day: Date = text.parse().map_err(|_| bad())?;
    let start = if to_its_end { day.tomorrow().map_err(|_| bad())? } else { day };
    let start = start.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp();
    let nanosecond = jiff::SignedDuration::from_nanos(i64::from(to_its_end));
    start.checked_sub(nanosecond).map(Some).map_err(|_| bad())
}

/// Records, in the order of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordsAnswer {
    /// The records, newest last.
    records: Vec<RecordAnswer>,
    /// The cursor to go on from; null at the end of what there is now.
    next: Option<String>,
}

/// Records about something
///
/// In the order of the ledger, newest last. `next` goes into `after` for the
/// page that follows; a page may hold fewer than `limit` and still have one.
#[utoipa::path(
    get,
    path = "/v1/records",
    tag = "read",
    params(RecordsQuery),
    responses(
        (status = 200, description = "A page of records", body = RecordsAnswer),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list_records(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<RecordsQuery>,
) -> Result<Response, Problem> {
    let limit = page_items(query.limit, &app.config.limits)?;
    let filter = query.filter()?;
    let after = query.after.as_deref().map(|after| parse::<u64>("after", after)).transpose()?;
    app.read(move |app, patience| {
        let bytes_max = app.config.limits.page_bytes_max;
        let query = |after, items| app.store.query(&filter, after, items);
        let (entries, next) = page(query, patience, after, limit, bytes_max)?;
        let answer_bytes = entries.iter().map(|entry| 2 * entry.record.jws().len()).sum();
        let reserved = app.reserve_answer(answer_bytes)?;
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            patience.check()?;
            records.push(RecordAnswer::of_entry(&entry, &app.store)?);
        }
        let next = next.map(|index| index.to_string());
        let mut response = Json(RecordsAnswer { records, next }).into_response();
        if let Some(reserved) = reserved {
            response.extensions_mut().insert(reserved);
        }
        Ok(response)
    })
    .await
}

/// Records that are asked of the store at once: large ones end a page before
/// they fill the memory.
const STEP: usize = 16;

/// Questions to the store for one page. Each looks at a bounded number of
/// records, so one request does too.
const STEPS_MAX: usize = 64;

/// Reads a page in steps: its entries, and the index to go on after. It ends
/// early where large records fill it or where looking takes long.
fn page(
    query: impl Fn(Option<u64>, usize) -> Result<Page, StoreError>,
    patience: &Patience,
    mut after: Option<u64>,
    limit: usize,
    bytes_max: usize,
) -> Result<(Vec<Entry>, Option<u64>), Failed> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes: usize = 0;
    for _ in 0..STEPS_MAX {
        patience.check()?;
        let step = limit.saturating_sub(entries.len()).min(STEP);
        let read = query(after, step)?;
        after = read.next_after;
        // A step that found less than it was asked for has looked far enough.
        let is_last = read.entries.len() < step;
        for entry in read.entries {
            bytes = bytes.saturating_add(entry.record.jws().len());
            entries.push(entry);
        }
        let is_full = entries.len() >= limit || bytes >= bytes_max;
        if after.is_none() || is_full || is_last || patience.is_used_up() {
            break;
        }
    }
    Ok((entries, after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A store in which nothing passes the filter: each question looks at some
    /// records and says where to go on.
    fn nothing_found(after: Option<u64>) -> Page {
        Page { entries: Vec::new(), next_after: Some(after.unwrap_or(0) + 100) }
    }

    #[test]
    fn a_search_that_finds_nothing_ends_and_says_where_to_go_on() {
        let asked = std::cell::Cell::new(0);
        let query = |after, _| {
            asked.set(asked.get() + 1);
            Ok(nothing_found(after))
        };
        let (entries, next) = page(query, &Patience::new(), Some(7), 1000, usize::MAX).unwrap();
        assert!(entries.is_empty() && asked.get() <= STEPS_MAX);
        assert!(next > Some(7));
    }

    #[test]
    fn a_day_counts_whole_in_utc() {
        let text = |field, to_its_end| {
            bound(field, Some("2026-02-28"), to_its_end).unwrap().unwrap().to_string()
        };
        assert_eq!(text("from", false), "2026-02-28T00:00:00Z");
        assert_eq!(text("to", true), "2026-02-28T23:59:59.999999999Z");
        let moment = bound("from", Some("2026-02-28T01:00:00+01:00"), false).unwrap().unwrap();
        assert_eq!(moment.to_string(), "2026-02-28T00:00:00Z");
        assert_eq!(bound("to", None, true).unwrap(), None);
        for bad in ["tomorrow", "2026-02-30", "2026-02-28T25:00:00Z", "9999-12-31"] {
            assert!(bound("to", Some(bad), true).is_err(), "{bad}");
        }
    }
}
