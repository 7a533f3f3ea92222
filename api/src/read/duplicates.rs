//! `GET /v1/duplicates`: the same document at two contracts or claims.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use jiff::tz::TimeZone;
use quittance_ledger::{
    digest::{Digest, RecordId},
    insurance::{RecordType, views::AsOf},
    membership::MemberId,
    store::{DocumentUse, Duplicate},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    table::Table,
    utc,
    views::{Asked, Form, at_of, cell, link_next},
};
use crate::{
    budget::Reserved,
    extract::{QueryOf, page_items, parse, parse_some},
    problem::{Problem, ProblemBody},
    state::Shared,
};

/// Which duplicates are asked for.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct DuplicatesQuery {
    /// Only of the document with this `match`, 64 hexadecimal digits.
    #[serde(rename = "match")]
    #[param(rename = "match")]
    match_tag: Option<String>,
    /// The cursor: only later records after it.
    after: Option<String>,
    /// How many at most; 1 to 1000.
    limit: Option<u32>,
    /// As of when: only records that count then; a day is one in UTC. See the
    /// dossier of a contract.
    at: Option<String>,
}

/// Uses of documents that were used before, in the order of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DuplicatesAnswer {
    /// The duplicates, by the later record.
    duplicates: Vec<DuplicateAnswer>,
    /// The cursor to go on from; null at the end of what there is now.
    next: Option<String>,
}

/// A document that was used before for another contract or claim.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DuplicateAnswer {
    /// The document's `match`, which is the same in all these records.
    #[serde(rename = "match")]
    #[schema(value_type = String)]
    match_tag: Digest,
    /// The later record.
    later: UseAnswer,
    /// The earlier ones, about another contract or claim; the oldest first, at most 16.
    earlier: Vec<UseAnswer>,
    /// Whether there may be earlier ones that are not listed.
    more: bool,
}

/// A record that has the document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UseAnswer {
    /// The record's id.
    #[schema(value_type = String)]
    id: RecordId,
    /// Its place on the ledger, from 0.
    index: u64,
    /// The block it stands in.
    height: u64,
    /// When that block was made, RFC 3339 in UTC.
    block_time: String,
    /// The member that signed it.
    #[schema(value_type = String, example = "petexpert")]
    signer: MemberId,
    /// What kind of record it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "claim.opened")]
    record_type: RecordType,
    /// The contract it is about.
    contract: Option<String>,
    /// The claim it is about.
    claim: Option<String>,
    /// When it happened, as the signer claims; RFC 3339 in UTC.
    occurred_at: String,
    /// What the record calls the document.
    #[schema(example = "invoice")]
    kind: String,
}

impl From<DocumentUse> for UseAnswer {
    fn from(of: DocumentUse) -> Self {
        Self {
            id: of.id,
            index: of.index,
            height: of.height,
            block_time: utc(of.block_time_ms),
            signer: of.signer,
            record_type: of.record_type,
            contract: of.contract.map(|contract| contract.to_string()),
            claim: of.claim.map(|claim| claim.to_string()),
            occurred_at: of.occurred_at.to_string(),
            kind: of.kind.as_str().to_owned(),
        }
    }
}

/// Leaves of a duplicate what counts at that moment; nothing where its later
/// record does not, or none of the earlier ones.
fn as_of(mut duplicate: Duplicate, as_of: AsOf) -> Option<Duplicate> {
    let counts = |of: &DocumentUse| as_of.lets_pass(of.height, of.occurred_at);
    duplicate.earlier.retain(counts);
    let is_one = duplicate.more || !duplicate.earlier.is_empty();
    (counts(&duplicate.later) && is_one).then_some(duplicate)
}

/// Duplicates as a table: each later record, then the earlier ones.
fn table(answer: &DuplicatesAnswer) -> Table<13> {
    let row = |duplicate: &DuplicateAnswer, of: &UseAnswer, place: &str| {
        [
            duplicate.match_tag.to_string(),
            duplicate.later.id.to_string(),
            place.to_owned(),
            of.index.to_string(),
            of.height.to_string(),
            of.block_time.clone(),
            of.occurred_at.clone(),
            of.record_type.to_string(),
            of.signer.to_string(),
            cell(of.contract.as_ref()),
            cell(of.claim.as_ref()),
            of.kind.clone(),
            of.id.to_string(),
        ]
    };
    let rows = answer.duplicates.iter().flat_map(|duplicate| {
        let later = [row(duplicate, &duplicate.later, "later")];
        let earlier = duplicate.earlier.iter().map(move |of| row(duplicate, of, "earlier"));
        later.into_iter().chain(earlier)
    });
    Table {
        header: [
            "match",
            "duplicate",
            "use",
            "index",
            "height",
            "block_time",
            "occurred_at",
            "type",
            "signer",
            "contract",
            "claim",
            "kind",
            "record",
        ],
        rows: rows.collect(),
    }
}

impl From<Duplicate> for DuplicateAnswer {
    fn from(duplicate: Duplicate) -> Self {
        Self {
            match_tag: duplicate.match_tag,
            later: duplicate.later.into(),
            earlier: duplicate.earlier.into_iter().map(UseAnswer::from).collect(),
            more: duplicate.more,
        }
    }
}

/// What one use takes in the answer, in bytes, about.
const USE_BYTES: usize = 640;

/// Later records that are asked of the store at once.
const STEP: usize = 16;

/// Questions to the store for one page. Each looks at a bounded number of records.
const STEPS_MAX: usize = 64;

/// The same document at two contracts or claims
///
/// Members that share a match key record each document with its `match`,
/// HMAC-SHA-256 under that key; equal ones are of the same file. Whoever has no
/// key cannot tell from a `match` which file it is. Each later record is listed
/// with the earlier ones that are about another contract or claim. `next` goes
/// into `after` for the page that follows; a page may hold fewer than `limit`
/// and still have one. `Accept: text/csv` gives a table, in which `duplicate` is
/// the later record of each; its cursor is in the header `Link` with `rel="next"`.
#[utoipa::path(
    get,
    path = "/v1/duplicates",
    tag = "read",
    params(DuplicatesQuery),
    responses(
        (status = 200, description = "A page of duplicates", content(
            (DuplicatesAnswer = "application/json"), (String = "text/csv")
        )),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list_duplicates(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<DuplicatesQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = at_of(query.at.as_deref())?;
    let form = Form::of(&headers);
    let limit = page_items(query.limit, &app.config.limits)?;
    let match_tag: Option<Digest> = parse_some("match", query.match_tag.as_deref())?;
    let mut after = query.after.as_deref().map(|after| parse::<u64>("after", after)).transpose()?;
    app.read(move |app, patience| {
        let asked = Asked::find(&app.store, at)?;
        let moment = asked.as_of(&TimeZone::UTC)?;
        let bytes_max = app.config.limits.page_bytes_max;
        let (mut duplicates, mut bytes) = (Vec::<DuplicateAnswer>::new(), 0_usize);
        let mut share = app.response_bytes.share();
        for _ in 0..STEPS_MAX {
            patience.check()?;
            let step = limit.saturating_sub(duplicates.len()).min(STEP);
            let found = app.store.duplicates(match_tag, after, step)?;
            after = found.next_after;
            // Nothing that comes after the last block that counts is of interest.
            after = after.filter(|after| after.saturating_add(1) < asked.size);
            let counting = found.duplicates.into_iter().filter_map(|found| as_of(found, moment));
            for duplicate in counting {
                let uses = duplicate.earlier.len().saturating_add(1);
                bytes = bytes.saturating_add(uses.saturating_mul(USE_BYTES));
                duplicates.push(duplicate.into());
            }
            if !share.cover(bytes) {
                return Err(app.answers_are_many().into());
            }
            let is_full = duplicates.len() >= limit || bytes >= bytes_max;
            if after.is_none() || is_full || patience.is_used_up() {
                break;
            }
        }
        let next = after.map(|index| index.to_string());
        let answer = DuplicatesAnswer { duplicates, next };
        let mut response = form.answer(&answer, || table(&answer))?;
        link_next(&mut response, &uri, answer.next.as_deref());
        response.extensions_mut().insert(Reserved::from(share));
        Ok(response)
    })
    .await
}
