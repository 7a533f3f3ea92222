//! `GET /v1/contracts/{insurer}/{number}`: the dossier of a contract.

use axum::{extract::State, http::HeaderMap, response::Response};
use quittance_ledger::{
    insurance::views::{self, Dossier, Event},
    record::ContractRef,
};

use super::{
    table::Table,
    views::{Asked, AtQuery, Form, at_of, cell, contract_lines, nothing, reference},
};
use crate::{
    extract::{PathOf, QueryOf},
    problem::{Problem, ProblemBody},
    reading::{Failed, Patience},
    state::Shared,
};

/// The dossier of a contract
///
/// Its versions, events, premiums, documents, signatures, pre-authorisations,
/// claims, ceiling and deductible, now or as of a past moment; each line with
/// the id of the record it comes from. A record that was corrected is listed
/// among the events with `corrected_by`; its figures count no more. Amounts are
/// in minor units. `Accept: text/csv` gives the events.
#[utoipa::path(
    get,
    path = "/v1/contracts/{insurer}/{number}",
    tag = "read",
    params(
        ("insurer" = String, Path, description = "The insurer's member id", example = "petexpert"),
        ("number" = String, Path, description = "The insurer's own number, percent-encoded: a slash is %2F", example = "PX-1001"),
        AtQuery
    ),
    responses(
        (status = 200, description = "The dossier", content(
            (Dossier = "application/json"), (String = "text/csv")
        )),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The ledger holds no record about it, or held none then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It is made of too many records", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_contract(
    State(app): State<Shared>,
    PathOf(parts): PathOf<(String, String)>,
    QueryOf(query): QueryOf<AtQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let contract: ContractRef = reference("contract", &parts)?;
    let at = at_of(query.at.as_deref())?;
    let form = Form::of(&headers);
    app.read(move |app, patience| {
        let (dossier, lines) = dossier(app, patience, &contract, at)?;
        let response = form.answer(&dossier, || events(&dossier.events))?;
        Ok(lines.into_answer(response))
    })
    .await
}

/// Reads a dossier.
pub(crate) fn dossier<'a>(
    app: &'a Shared,
    patience: &'a Patience,
    contract: &ContractRef,
    at: views::At,
) -> Result<(Dossier, super::views::Lines<'a>), Failed> {
    let asked = Asked::find(&app.store, at)?;
    let (lines, zone, reading) = contract_lines(app, patience, contract, &asked)?;
    let dossier = views::dossier(contract, &lines, asked.as_of(&zone)?, &zone);
    let dossier = dossier.ok_or_else(|| nothing("contract", contract.as_str(), at))?;
    Ok((dossier, reading))
}

/// The events of a dossier or a claim as a table.
pub(crate) fn events(events: &[Event]) -> Table<13> {
    let rows = events.iter().map(|event| {
        [
            event.index.to_string(),
            event.height.to_string(),
            event.block_time.to_string(),
            event.occurred_at.to_string(),
            event.record_type.clone(),
            event.signer.clone(),
            cell(event.declared_by.as_ref()),
            cell(event.claim.as_ref()),
            event.sentence.clone(),
            event.flags.join(" "),
            cell(event.corrects),
            cell(event.corrected_by),
            event.record.to_string(),
        ]
    });
    Table {
        header: [
            "index",
            "height",
            "block_time",
            "occurred_at",
            "type",
            "signer",
            "declared_by",
            "claim",
            "sentence",
            "flags",
            "corrects",
            "corrected_by",
            "record",
        ],
        rows: rows.collect(),
    }
}
