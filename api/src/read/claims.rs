//! `GET /v1/claims/{insurer}/{number}`: a claim.

use axum::{extract::State, http::HeaderMap, response::Response};
use quittance_ledger::{
    insurance::views::{self, ClaimView},
    record::ClaimRef,
    store::Subject,
};

use super::{
    contracts::events,
    views::{Asked, AtQuery, Form, at_of, contract_lines, nothing, reference},
};
use crate::{
    extract::{PathOf, QueryOf},
    problem::{Problem, ProblemBody},
    state::Shared,
};

/// A claim
///
/// Where it stands, what was claimed, guaranteed, approved and paid, the rounds
/// of its settlement and its deadlines, now or as of a past moment; each line
/// with the id of the record it comes from. Amounts are in minor units.
/// `Accept: text/csv` gives the events.
#[utoipa::path(
    get,
    path = "/v1/claims/{insurer}/{number}",
    tag = "read",
    params(
        ("insurer" = String, Path, description = "The insurer's member id", example = "petexpert"),
        ("number" = String, Path, description = "The claim's number, percent-encoded: a slash is %2F", example = "PX-C1"),
        AtQuery
    ),
    responses(
        (status = 200, description = "The claim", content(
            (ClaimView = "application/json"), (String = "text/csv")
        )),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The ledger holds no record about it, or held none then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Its contract has too many records", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_claim(
    State(app): State<Shared>,
    PathOf(parts): PathOf<(String, String)>,
    QueryOf(query): QueryOf<AtQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let claim: ClaimRef = reference("claim", &parts)?;
    let at = at_of(query.at.as_deref())?;
    let form = Form::of(&headers);
    app.read(move |app, patience| {
        let asked = Asked::find(&app.store, at)?;
        let missing = || nothing("claim", claim.as_str(), at);
        // Holds and signatures stand in the dossier of its contract.
        let first = app.store.records_of(&Subject::Claim(claim.clone()), None, asked.size, 1)?;
        let first = first.entries.first();
        let contract =
            first.and_then(|entry| entry.record.payload().contract.clone()).ok_or_else(missing)?;
        let (lines, zone, reading) = contract_lines(app, patience, &contract, &asked)?;
        let view = views::claim(&claim, &contract, &lines, asked.as_of(&zone)?, &zone);
        let view = view.ok_or_else(missing)?;
        let response = form.answer(&view, || events(&view.events))?;
        Ok(reading.into_answer(response))
    })
    .await
}
