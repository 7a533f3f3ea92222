//! What every view needs: its lines, its moment, and its answer.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::{
    insurance::views::{AsOf, At, Line, zone_of, zone_of_insurer},
    record::Record,
    store::{Entry, Store, StoreError, Subject},
};
use serde::Serialize;

use super::table::Table;
use crate::{
    budget::{Reserved, Share},
    extract::{parse_some, with_plus},
    headers::preferred,
    problem::{Kind, Problem},
    reading::{Failed, Patience},
    state::{App, Shared},
};

/// The media type of comma-separated values (RFC 4180).
pub(crate) const CSV: &str = "text/csv";

/// Records that are asked of the store at once.
const STEP: usize = 500;

/// What a record takes in memory, in times of its bytes: the bytes, what they
/// say, and what that becomes in an answer.
const BYTES_PER_BYTE: usize = 4;

/// Records of which a view is made, with their share of the memory for answers.
pub(crate) struct Lines<'a> {
    app: &'a App,
    patience: &'a Patience,
    share: Share,
    bytes: usize,
    /// So many were read.
    count: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(app: &'a App, patience: &'a Patience) -> Self {
        Self { app, patience, share: app.response_bytes.share(), bytes: 0, count: 0 }
    }

    /// All records about `subject` among the first `size` of the ledger.
    pub(crate) fn of(&mut self, subject: &Subject, size: u64) -> Result<Vec<Line>, Failed> {
        self.of_some(subject, size, |_| true)
    }

    /// As [`Lines::of`], but only of records that are `wanted`; the others are
    /// looked at and let go.
    pub(crate) fn of_some(
        &mut self,
        subject: &Subject,
        size: u64,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Line>, Failed> {
        let (mut lines, mut after) = (Vec::new(), None);
        loop {
            self.patience.check()?;
            let page = self.app.store.records_of(subject, after, size, STEP)?;
            for entry in page.entries.into_iter().filter(|entry| wanted(&entry.record)) {
                lines.push(self.line(entry)?);
            }
            match page.next_after {
                Some(next) => after = Some(next),
                None => return Ok(lines),
            }
        }
    }

    /// Checks that somebody still waits for the view.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        self.patience.check()
    }

    /// More records than a view may be made of.
    pub(crate) fn too_many(&self) -> Problem {
        let records_max = self.app.config.limits.view_records_max;
        let detail = format!(
            "it is made of more than {records_max} records; GET /v1/records lists them, page by \
             page"
        );
        Problem::new(Kind::TooMany, detail)
    }

    /// Counts a record, and makes a line of it.
    pub(crate) fn line(&mut self, entry: Entry) -> Result<Line, Failed> {
        self.count = self.count.saturating_add(1);
        if self.count > self.app.config.limits.view_records_max {
            return Err(self.too_many().into());
        }
        let bytes = entry.record.jws().len().saturating_mul(BYTES_PER_BYTE);
        self.bytes = self.bytes.saturating_add(bytes);
        if !self.share.cover(self.bytes) {
            return Err(self.app.answers_are_many().into());
        }
        Ok(line_of(entry, &self.app.store)?)
    }

    /// Gives the share to the answer.
    pub(crate) fn into_answer(self, mut response: Response) -> Response {
        response.extensions_mut().insert(Reserved::from(self.share));
        response
    }

    /// The bytes that were counted, and the share that stands for them, for as
    /// long as something made of the records is kept.
    pub(crate) fn into_share(self) -> (usize, Share) {
        (self.bytes, self.share)
    }
}

/// A record as a line of a view.
pub(crate) fn line_of(entry: Entry, store: &Store) -> Result<Line, StoreError> {
    let Entry { index, height, block_time_ms, record } = entry;
    let flags = store.flags(index)?;
    Ok(Line { index, height, block_time_ms, record, flags })
}

/// The moment that is asked for, and how many records the ledger held then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    at: At,
    now: Timestamp,
    block_time: Option<Timestamp>,
    /// The records that may count.
    pub(crate) size: u64,
}

impl Asked {
    /// Looks up the block, where one is named.
    pub(crate) fn find(store: &Store, at: At) -> Result<Self, Failed> {
        let tip = store.tip();
        let (mut size, mut block_time) = (tip.frontier.size(), None);
        if let At::Height(height) = at {
            let Some((header, _)) = store.header(height)? else {
                let blocks = if tip.height == 1 { "block" } else { "blocks" };
                let detail = format!("at: the ledger has {} {blocks}, not {height}", tip.height);
                return Err(Problem::query("at", detail).into());
            };
            size = header.tree_size;
            block_time = i64::try_from(header.time_ms)
                .ok()
                .and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok());
        }
        Ok(Self { at, now: Timestamp::now(), block_time, size })
    }

    /// The moment, where days are those of `zone`.
    pub(crate) fn as_of(&self, zone: &TimeZone) -> Result<AsOf, Problem> {
        let missing = || Problem::query("at", "at: that block has no time");
        self.at.resolve(self.now, zone, self.block_time).ok_or_else(missing)
    }
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Csv,
}

impl Form {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match preferred(headers, &["application/json", CSV]) {
            Some(CSV) => Self::Csv,
            _ => Self::Json,
        }
    }

    /// Answers with a view, or with a table of it.
    pub(crate) fn answer<const COLUMNS: usize>(
        self,
        view: &impl Serialize,
        table: impl FnOnce() -> Table<COLUMNS>,
    ) -> Result<Response, Problem> {
        let mut response = match self {
            Self::Json => Json(view).into_response(),
            Self::Csv => {
                let csv = table().to_csv()?;
                ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], csv)
                    .into_response()
            }
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        Ok(response)
    }
}

/// Names the page that follows in the header `Link` (RFC 8288), for a table has no
/// other place for its cursor: what was asked, from the cursor on.
pub(crate) fn link_next(response: &mut Response, asked: &Uri, next: Option<&str>) {
    let Some(next) = next else { return };
    let parameters = asked.query().unwrap_or_default().split('&');
    let kept = parameters.filter(|one| !one.is_empty() && !one.starts_with("after="));
    let query: String = kept.flat_map(|one| [one, "&"]).collect();
    let link = format!("<{}?{query}after={next}>; rel=\"next\"", asked.path());
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(header::LINK, link);
    }
}

/// A value that may be missing, as a cell.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// An amount without its currency, the minor units behind the point; empty where
/// the currency has none.
pub(crate) fn decimal(minor_units: i128, currency: &str) -> String {
    let shown = quittance_ledger::insurance::views::format_amount(minor_units, currency);
    let amount = shown.strip_suffix(currency).map(str::trim_end);
    amount.filter(|amount| !amount.contains(' ')).unwrap_or_default().to_owned()
}

/// Reads `at`, which may be left out.
pub(crate) fn at_of(at: Option<&str>) -> Result<At, Problem> {
    let at = at.map(with_plus);
    Ok(parse_some("at", at.as_deref())?.unwrap_or_default())
}

/// The parts of a path that name a contract or a claim.
pub(crate) fn reference<T>(
    field: &'static str,
    (insurer, number): &(String, String),
) -> Result<T, Problem>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    crate::extract::parse(field, &format!("{insurer}/{number}"))
}

/// Nothing of it is on the ledger, or was then.
pub(crate) fn nothing(what: &str, name: &str, at: At) -> Problem {
    Problem::not_found(match at {
        At::Now => format!("the ledger holds no record about {what} {name}"),
        _ => format!("the ledger holds no record about {what} {name} that counts at that moment"),
    })
}

/// The moment of a view.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct AtQuery {
    /// As of when; now, where it is left out. A time with offset (RFC 3339) or a
    /// day, to its end in the contract's time zone, asks what had happened by
    /// then (*valid time*: `occurred_at`), as the ledger knows it today; holds, days
    /// left and deadlines are judged at that time. A block's height asks what the
    /// ledger held after that block (*ledger time*); they are judged at the
    /// block's time.
    #[param(example = "2025-09-01T15:00:00+02:00")]
    pub(crate) at: Option<String>,
}

/// Runs a view that is made of the records about one contract.
pub(crate) fn contract_lines<'a>(
    app: &'a Shared,
    patience: &'a Patience,
    contract: &quittance_ledger::record::ContractRef,
    asked: &Asked,
) -> Result<(Vec<Line>, TimeZone, Lines<'a>), Failed> {
    let mut reading = Lines::new(app, patience);
    let lines = reading.of(&Subject::Contract(contract.clone()), asked.size)?;
    let default = zone_of_insurer(&app.membership(), contract.insurer());
    let zone = zone_of(&lines, &default, |zone| asked.as_of(zone).ok());
    Ok((lines, zone, reading))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_page_that_follows_is_of_the_same_question() {
        let link = |asked: &'static str| {
            let mut response = Response::default();
            link_next(&mut response, &Uri::from_static(asked), Some("7"));
            response.headers().get(header::LINK).cloned()
        };
        for (asked, next) in [
            ("/v1/duplicates", "/v1/duplicates?after=7"),
            ("/v1/duplicates?after=3", "/v1/duplicates?after=7"),
            (
                "/v1/exceptions?kind=late&after=3&limit=2",
                "/v1/exceptions?kind=late&limit=2&after=7",
            ),
            (
                "/v1/exceptions?at=2025-09-01T10%3A00%2B02%3A00&",
                "/v1/exceptions?at=2025-09-01T10%3A00%2B02%3A00&after=7",
            ),
        ] {
            assert_eq!(link(asked), Some(format!("<{next}>; rel=\"next\"").parse().unwrap()));
        }
        let mut response = Response::default();
        link_next(&mut response, &Uri::from_static("/v1/exceptions"), None);
        assert!(response.headers().is_empty());
    }

    #[test]
    fn an_amount_without_its_currency_keeps_its_minor_units() {
        assert_eq!(decimal(-13_800, "EUR"), "-138.00");
        assert_eq!(decimal(1500, "JPY"), "1500");
        assert_eq!(decimal(1500, "XAU"), "");
    }
}
