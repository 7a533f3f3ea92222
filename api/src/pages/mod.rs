//! Plain pages for people: the head of the ledger, its records, one record with
//! its proof, and a form to verify a receipt. No scripts; every text escaped.

mod block;
mod contract;
mod fields;
mod home;
mod listing;
mod record;
mod verify;

use askama::Template;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::{digest::RecordId, insurance::rules, store::Entry};

use crate::{
    problem::{Code, PROBLEMS_PATH, Problem},
    state::Shared,
};

/// Nothing but the one stylesheet and the pages' own forms.
const PAGE_CSP: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// A form with a receipt in it: the file, or the pasted text.
const FORM_BYTES_MAX: usize = 512 * 1024;

/// The routes of the pages. They are no part of the API's document.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(home::home))
        .route("/records", get(listing::listing))
        .route("/records/{id}", get(record::record))
        .route("/blocks/{height}", get(block::block))
        .route("/contracts/{insurer}/{number}", get(contract::contract))
        .route("/search", get(listing::search))
        .route(
            "/verify",
            get(verify::form).post(verify::verify).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)),
        )
        .route(PROBLEMS_PATH, get(problems))
        .route("/style.css", get(style))
}

async fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, include_str!("../../templates/style.css")).into_response()
}

/// Draws a page.
fn page(template: &impl Template) -> Result<Response, PageProblem> {
    let text = template.render().map_err(|error| Problem::internal(&error))?;
    Ok(with_policy(Html(text).into_response()))
}

fn with_policy(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(PAGE_CSP);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// A problem that a person reads.
#[derive(Debug)]
struct PageProblem(Problem);

impl<T: Into<Problem>> From<T> for PageProblem {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        problem_page(&self.0)
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    status: StatusCode,
}

/// A page that says what went wrong.
pub(crate) fn problem_page(problem: &Problem) -> Response {
    let template = ProblemPage {
        title: problem.title(),
        detail: problem.detail(),
        code: problem.code(),
        status: problem.status(),
    };
    match template.render() {
        Ok(text) => with_policy((problem.status(), Html(text)).into_response()),
        Err(_) => problem.clone().into_response(),
    }
}

#[derive(Template)]
#[template(path = "problems.html")]
struct ProblemsPage {
    codes: Vec<Code>,
}

async fn problems() -> Result<Response, PageProblem> {
    page(&ProblemsPage { codes: Code::all().collect() })
}

/// A record as a line of a list.
struct Row {
    index: u64,
    id: String,
    short_id: String,
    record_type: &'static str,
    signer: String,
    contract: Option<String>,
    claim: Option<String>,
    occurred_at: String,
    occurred: String,
    height: u64,
    late: bool,
}

impl Row {
    fn of(entry: &Entry) -> Self {
        let payload = entry.record.payload();
        let id = entry.record.id().to_string();
        Self {
            index: entry.index,
            short_id: id.chars().take(RecordId::BEGINNING_DIGITS).collect(),
            id,
            record_type: payload.record_type.as_str(),
            signer: entry.record.signer().to_string(),
            contract: payload.contract.as_ref().map(ToString::to_string),
            claim: payload.claim.as_ref().map(ToString::to_string),
            occurred_at: payload.occurred_at.to_string(),
            occurred: human(payload.occurred_at),
            height: entry.height,
            late: rules::is_late(&entry.record, entry.block_time_ms),
        }
    }
}

/// A time for people, in UTC.
fn human(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// A time in milliseconds since the Unix epoch for people, in UTC.
fn human_ms(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(|| format!("{time_ms} ms"), human)
}
