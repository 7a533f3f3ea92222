//! `GET /v1/exceptions`: what people should look at.

use std::collections::{BTreeSet, HashMap};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use jiff::tz::TimeZone;
use quittance_ledger::{
    insurance::views::{self, AsOf, Consequences, Exception, ExceptionKind},
    record::ContractRef,
    store::Subject,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    records::bound,
    table::Table,
    views::{Asked, Form, Lines, at_of, cell, line_of, link_next},
};
use crate::{
    budget::{Reserved, Share},
    extract::{QueryOf, page_items, parse_some},
    limits::EXCEPTION_RECORDS_MAX,
    problem::{Kind, Problem, ProblemBody},
    reading::{Failed, Patience},
    state::Shared,
};

/// Records that are read at once.
const STEP: u64 = 128;

/// Dossiers that are kept while a page is made.
const DOSSIERS_MAX: usize = 32;

/// What the records of the dossiers that are kept may take in memory, in bytes,
/// by the count of [`Lines`]; one larger than that is kept alone.
const DOSSIERS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an exception takes in memory and in an answer besides the records that it
/// names, in bytes, about.
const EXCEPTION_BYTES: usize = 1024;
/// What the id of another record takes.
const OTHER_BYTES: usize = 100;

/// Which exceptions are looked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExceptionsQuery {
    /// Of records whose block was made then or later: RFC 3339, or a day in UTC.
    #[param(example = "2025-09-01")]
    from: Option<String>,
    /// Of records whose block was made then or earlier: RFC 3339, or a day in UTC, to its end.
    #[param(example = "2025-09-30")]
    to: Option<String>,
    /// Only of this kind, such as `late`.
    kind: Option<String>,
    /// The cursor: only records after it.
    after: Option<String>,
    /// How many at most; 1 to 1000. A page may hold a few more: those of one
    /// record stay together.
    limit: Option<u32>,
    /// As of when what was not done in time is judged. See the dossier of a contract.
    at: Option<String>,
}

/// Exceptions, in the order of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExceptionsAnswer {
    /// What people should look at.
    exceptions: Vec<Exception>,
    /// Contracts with too many records for a dossier: of theirs, only what a
    /// record shows by itself is listed.
    not_examined: Vec<String>,
    /// The cursor to go on from; null at the end of the period.
    next: Option<String>,
}

/// What people should look at
///
/// Of the records whose block was made from `from` to `to`: those that are
/// flagged, late, or corrections; holds that they made and nobody claimed;
/// offers that they notified and nobody answered in 30 days; claims that they
/// opened and nobody handled in 48 hours; decisions and agreements that were not
/// paid in 30 days; and payments to the policyholder within 30 days after the
/// bank account changed; and holds and claims of a provider while another one has
/// one on the same contract. Each is listed with the record from which it follows. A
/// page looks at a bounded number of records, and may hold none and still have a
/// `next`. `Accept: text/csv` gives a table; its cursor is in the header
/// `Link` with `rel="next"`.
#[utoipa::path(
    get,
    path = "/v1/exceptions",
    tag = "read",
    params(ExceptionsQuery),
    responses(
        (status = 200, description = "A page of exceptions", content(
            (ExceptionsAnswer = "application/json"), (String = "text/csv")
        )),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list_exceptions(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<ExceptionsQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = page_items(query.limit, &app.config.limits)?;
    let at = at_of(query.at.as_deref())?;
    let after: Option<u64> = parse_some("after", query.after.as_deref())?;
    let kind = query.kind.as_deref().filter(|kind| !kind.is_empty());
    let kind = kind.map(kind_of).transpose()?;
    let from = bound("from", query.from.as_deref(), false)?;
    let to = bound("to", query.to.as_deref(), true)?;
    let form = Form::of(&headers);
    app.read(move |app, patience| {
        let asked = Asked::find(&app.store, at)?;
        let size_at = |time: jiff::Timestamp| match u64::try_from(time.as_millisecond()) {
            Ok(time_ms) => app.store.size_at_time(time_ms),
            Err(_) => Ok(0),
        };
        // A block that was made at `from` itself counts.
        let millisecond = jiff::SignedDuration::from_millis(1);
        let start = match from.and_then(|from| from.checked_sub(millisecond).ok()) {
            Some(before) => size_at(before)?,
            None => 0,
        };
        let start = start.max(after.map_or(0, |after| after.saturating_add(1)));
        let end = to.map_or(Ok(u64::MAX), size_at)?.min(asked.size);
        let mut page = Page {
            app,
            patience,
            share: app.response_bytes.share(),
            asked,
            dossiers: HashMap::new(),
            dossiers_bytes: 0,
            not_examined: BTreeSet::new(),
        };
        let (exceptions, next) = page.find(start, end, limit, kind)?;
        let Page { share, not_examined, .. } = page;
        let not_examined = not_examined.into_iter().collect();
        let next = next.map(|next| next.to_string());
        let answer = ExceptionsAnswer { exceptions, not_examined, next };
        let mut response = form.answer(&answer, || table(&answer))?;
        link_next(&mut response, &uri, answer.next.as_deref());
        response.extensions_mut().insert(Reserved::from(share));
        Ok(response)
    })
    .await
}

fn kind_of(text: &str) -> Result<ExceptionKind, Problem> {
    serde_json::from_value(text.into())
        .map_err(|error| Problem::query("kind", format!("kind: {error}")))
}

/// A page while it is made.
struct Page<'a> {
    app: &'a Shared,
    patience: &'a Patience,
    /// Of what was found, in the memory for answers.
    share: Share,
    asked: Asked,
    /// What dossiers show, each with its share of the memory for answers; none
    /// where a contract has too many records.
    dossiers: HashMap<ContractRef, Option<(Consequences, Share)>>,
    /// What the shares of the dossiers stand for.
    dossiers_bytes: usize,
    not_examined: BTreeSet<String>,
}

impl Page<'_> {
    /// Exceptions of the records `start..end`, and after which index to go on.
    fn find(
        &mut self,
        start: u64,
        end: u64,
        limit: usize,
        kind: Option<ExceptionKind>,
    ) -> Result<(Vec<Exception>, Option<u64>), Failed> {
        let as_of = self.asked.as_of(&TimeZone::UTC)?;
        let (mut found, mut bytes): (Vec<Exception>, usize) = (Vec::new(), 0);
        let last = end.min(start.saturating_add(EXCEPTION_RECORDS_MAX));
        let mut from = start;
        while from < last {
            for entry in self.app.store.entries(from, last.min(from.saturating_add(STEP)))? {
                self.patience.check()?;
                let line = line_of(entry, &self.app.store)?;
                from = line.index.saturating_add(1);
                if as_of.lets_pass(line.height, line.record.payload().occurred_at) {
                    let mut of_line = views::of_record(&line);
                    if views::follow_up(&line)
                        && let Some(contract) = &line.record.payload().contract
                    {
                        match self.consequences(contract) {
                            Ok(Some(consequences)) => of_line.extend(consequences.of(&line)),
                            Ok(None) => {}
                            // Beside what was found there is no room for the dossier;
                            // on a page that begins here there is.
                            Err(error) if error.is(Kind::Overloaded) && !found.is_empty() => {
                                return Ok((found, line.index.checked_sub(1)));
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    of_line.retain(|found| kind.is_none_or(|kind| found.kind == kind));
                    bytes = of_line.iter().map(bytes_of).fold(bytes, usize::saturating_add);
                    if !self.share.cover(bytes) {
                        self.forget_dossiers();
                        if !self.share.cover(bytes) {
                            return Err(self.app.answers_are_many().into());
                        }
                    }
                    found.append(&mut of_line);
                }
                if found.len() >= limit || self.patience.is_used_up() {
                    return Ok((found, (from < end).then(|| from.saturating_sub(1))));
                }
            }
        }
        Ok((found, (from < end).then(|| from.saturating_sub(1))))
    }

    /// What the dossier of a contract shows; none where it has too many records.
    fn consequences(&mut self, contract: &ContractRef) -> Result<Option<&Consequences>, Failed> {
        if !self.dossiers.contains_key(contract) {
            if self.dossiers.len() >= DOSSIERS_MAX || self.dossiers_bytes >= DOSSIERS_BYTES_MAX {
                self.forget_dossiers();
            }
            let read = match self.read(contract) {
                Err(error) if error.is(Kind::Overloaded) && !self.dossiers.is_empty() => {
                    self.forget_dossiers();
                    self.read(contract)?
                }
                read => read?,
            };
            let made = read.map(|(made, bytes, share)| {
                self.dossiers_bytes = self.dossiers_bytes.saturating_add(bytes);
                (made, share)
            });
            if made.is_none() {
                self.not_examined.insert(contract.to_string());
            }
            self.dossiers.insert(contract.clone(), made);
        }
        Ok(self.dossiers.get(contract).and_then(Option::as_ref).map(|(made, _)| made))
    }

    /// Gives the memory of the dossiers that are kept back.
    fn forget_dossiers(&mut self) {
        self.dossiers.clear();
        self.dossiers_bytes = 0;
    }

    /// What a dossier shows, the bytes that it counts for and their share.
    fn read(&self, contract: &ContractRef) -> Result<Option<(Consequences, usize, Share)>, Failed> {
        let subject = Subject::Contract(contract.clone());
        // One more than a dossier may have tells whether it has too many.
        let records_max = self.app.config.limits.view_records_max;
        let whole = self.app.store.has_more_than(&subject, self.asked.size, records_max)?;
        if whole {
            return Ok(None);
        }
        let mut reading = Lines::new(self.app, self.patience);
        let lines = reading.of(&subject, self.asked.size)?;
        let membership = self.app.membership();
        let default = views::zone_of_insurer(&membership, contract.insurer());
        let zone = views::zone_of(&lines, &default, |zone| self.asked.as_of(zone).ok());
        let as_of: AsOf = self.asked.as_of(&zone)?;
        let is_provider = |member: &_| views::is_provider(&membership, member);
        let made = Consequences::new(contract, &lines, as_of, &zone, is_provider);
        let (bytes, share) = reading.into_share();
        Ok(Some((made, bytes, share)))
    }
}

/// What an exception takes in memory and in an answer, in bytes, about.
fn bytes_of(exception: &Exception) -> usize {
    let others = exception.others.len().saturating_mul(OTHER_BYTES);
    others.saturating_add(exception.sentence.len()).saturating_add(EXCEPTION_BYTES)
}

/// Exceptions as a table.
fn table(answer: &ExceptionsAnswer) -> Table<11> {
    let rows = answer.exceptions.iter().map(|found| {
        let others: Vec<_> = found.others.iter().map(ToString::to_string).collect();
        [
            found.index.to_string(),
            found.block_time.to_string(),
            found.occurred_at.to_string(),
            found.kind.to_string(),
            found.record_type.clone(),
            found.signer.clone(),
            cell(found.contract.as_ref()),
            cell(found.claim.as_ref()),
            found.sentence.clone(),
            others.join(" "),
            found.record.to_string(),
        ]
    });
    Table {
        header: [
            "index",
            "block_time",
            "occurred_at",
            "kind",
            "type",
            "signer",
            "contract",
            "claim",
            "sentence",
            "others",
            "record",
        ],
        rows: rows.collect(),
    }
}
