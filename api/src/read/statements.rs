//! `GET /v1/statements`: what a payee received, and what is open.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, http::HeaderMap, response::Response};
use jiff::civil::Date;
use quittance_ledger::{
    insurance::{
        Code, Data, Day,
        rules::statement_figures,
        state::keys::Scope,
        views::{self, AsOf, At, Line, POLICYHOLDER, Statement, StatementQuery, zone_of_insurer},
    },
    limits::CORRECTION_CHAIN_MAX,
    membership::{MemberId, Role},
    record::{ContractRef, Record},
    store::{StoreError, Subject},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    table::Table,
    views::{Asked, Form, Lines, at_of, cell, decimal},
};
use crate::{
    extract::{QueryOf, parse, parse_some},
    problem::{Kind, Problem, ProblemBody},
    reading::{Failed, Patience},
    state::Shared,
};

/// What a statement is about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementsQuery {
    /// Who was paid: a member's id, or `policyholder`.
    #[param(required, example = "vet-1")]
    payee: Option<String>,
    /// The first day, in the insurer's time zone.
    #[param(required, example = "2025-09-01")]
    from: Option<String>,
    /// The last day, in the insurer's time zone.
    #[param(required, example = "2025-09-30")]
    to: Option<String>,
    /// Only what this insurer pays.
    insurer: Option<String>,
    /// Only what is paid under this contract: `<insurer>/<number>`.
    contract: Option<String>,
    /// As of when; now, where it is left out. See the dossier of a contract.
    at: Option<String>,
}

impl StatementsQuery {
    fn query(&self) -> Result<StatementQuery, Problem> {
        let needed = |field: &'static str, text: Option<&str>| {
            let missing = || Problem::query(field, format!("{field} is missing"));
            text.filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(missing)
        };
        let day = |field, text| {
            let day: Day = parse(field, &needed(field, text)?)?;
            Ok::<Date, Problem>(day.date())
        };
        let payee: Code = parse("payee", &needed("payee", self.payee.as_deref())?)?;
        let (from, to) = (day("from", self.from.as_deref())?, day("to", self.to.as_deref())?);
        if from > to {
            return Err(Problem::query("to", format!("to: {to} is before {from}")));
        }
        let insurer: Option<MemberId> = parse_some("insurer", self.insurer.as_deref())?;
        Ok(StatementQuery {
            payee: payee.to_string(),
            from,
            to,
            insurer: insurer.map(|insurer| insurer.to_string()),
            contract: parse_some("contract", self.contract.as_deref())?,
        })
    }
}

/// A statement for a payee and a period
///
/// The payments executed, less those returned, from the day `from` to the day
/// `to`, and the claims that the payee opened and that are open at the end of
/// `to`: neither refused, nor paid in full, nor closed by then. Days are those of
/// the insurer's time zone. Amounts are in minor units, and agree with the
/// records to the cent. `Accept: text/csv` gives payments and open claims as one
/// table.
///
/// Where a statement as of now is made of more records than one view may be, its
/// figures are given without the lines, and `lines` is `too_many`. A table, which
/// is nothing but lines, and a statement of the past are not given then.
#[utoipa::path(
    get,
    path = "/v1/statements",
    tag = "read",
    params(StatementsQuery),
    responses(
        (status = 200, description = "The statement", content(
            (Statement = "application/json"), (String = "text/csv")
        )),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The ledger knows no such payee", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It is made of too many records; name a contract", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_statement(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<StatementsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = at_of(query.at.as_deref())?;
    let query = query.query()?;
    let form = Form::of(&headers);
    app.read(move |app, patience| {
        let asked = Asked::find(&app.store, at)?;
        check_payee(app, &query.payee)?;
        let membership = app.membership();
        let insurer = query.contract.as_ref().map(|contract| contract.insurer());
        let insurer = insurer.or(query.insurer.as_deref()).unwrap_or_default();
        let as_of = asked.as_of(&zone_of_insurer(&membership, insurer))?;
        let mut reading = Lines::new(app, patience);
        let lines = match lines(app, &mut reading, &query, asked.size) {
            Err(error) if error.is(Kind::TooMany) && at == At::Now && form == Form::Json => {
                drop(reading);
                let statement = figures(app, patience, &query, as_of)?;
                return Ok(form.answer(&statement, || table(&statement))?);
            }
            lines => lines?,
        };
        let statement = views::statement(&query, &lines, as_of, |insurer| {
            zone_of_insurer(&membership, insurer)
        });
        let response = form.answer(&statement, || table(&statement))?;
        Ok(reading.into_answer(response))
    })
    .await
}

/// Whom the ledger may say nothing of, and who cannot have been meant.
fn check_payee(app: &Shared, payee: &str) -> Result<(), Failed> {
    let membership = app.membership();
    let is_member = membership.history().any(|member| member.id.as_str() == payee);
    if payee == POLICYHOLDER || is_member {
        return Ok(());
    }
    let size = app.store.tip().frontier.size();
    let named = app.store.records_of(&Subject::Payee(payee.to_owned()), None, size, 1)?;
    if named.entries.is_empty() {
        let detail = format!(
            "the ledger knows no payee {payee}: there is neither a member of that id nor a \
             payment to it; the policyholder is {POLICYHOLDER}"
        );
        return Err(Problem::not_found(detail).into());
    }
    Ok(())
}

/// The statement without its lines, from the figures that the rules keep.
fn figures(
    app: &Shared,
    patience: &Patience,
    query: &StatementQuery,
    as_of: AsOf,
) -> Result<Statement, Failed> {
    let (from, to) = (Day::from(query.from), Day::from(query.to));
    let of = |scope| {
        patience.check()?;
        let figures = statement_figures(&*app.store, scope, &query.payee, from, to);
        Ok::<_, Failed>(figures.map_err(StoreError::from)?)
    };
    let of_insurer = |wanted: &str| query.insurer.as_deref().is_none_or(|only| only == wanted);
    let figures = match &query.contract {
        // An insurer that has nothing to do with the contract pays nothing under it.
        Some(contract) if of_insurer(contract.insurer()) => vec![of(Scope::Contract(contract))?],
        Some(_) => Vec::new(),
        None => {
            let membership = app.membership();
            let insurers = membership.history().filter(|member| member.role == Role::Insurer);
            let insurers = insurers.filter(|member| of_insurer(member.id.as_str()));
            let figures = insurers.map(|member| of(Scope::Insurer(member.id.as_str())));
            figures.collect::<Result<_, _>>()?
        }
    };
    Ok(views::statement_of_figures(query, &figures, as_of))
}

/// Every record that the statement may be made of, in the order of the ledger.
fn lines(
    app: &Shared,
    reading: &mut Lines<'_>,
    query: &StatementQuery,
    size: u64,
) -> Result<Vec<Line>, Failed> {
    if let Some(contract) = &query.contract {
        return reading.of(&Subject::Contract(contract.clone()), size);
    }
    let subject = Subject::Payee(query.payee.clone());
    let records_max = app.config.limits.view_records_max;
    if app.store.has_more_than(&subject, size, records_max)? {
        return Err(reading.too_many().into());
    }
    let mut found: BTreeMap<u64, Line> = BTreeMap::new();
    let mut claims = BTreeSet::new();
    let mut holds: BTreeMap<ContractRef, BTreeSet<String>> = BTreeMap::new();
    let mut payments = Vec::new();
    for line in reading.of(&subject, size)? {
        if !query.lets_pass(&line.record) {
            continue;
        }
        let payload = line.record.payload();
        match (&payload.data, &payload.claim) {
            (Data::ClaimOpened(data), Some(claim)) => {
                claims.insert(claim.clone());
                // It claims what is held.
                if let (None, Some(number), Some(contract)) =
                    (data.claimed, &data.preauthorisation, &payload.contract)
                {
                    holds.entry(contract.clone()).or_default().insert(number.to_string());
                }
            }
            _ => payments.push(line.record.clone()),
        }
        found.insert(line.index, line);
    }
    for claim in claims {
        let lines = reading.of(&Subject::Claim(claim), size)?;
        found.extend(lines.into_iter().map(|line| (line.index, line)));
    }
    for (contract, numbers) in holds {
        let answers = |record: &Record| match &record.payload().data {
            Data::PreauthorisationAnswered(data) => {
                numbers.contains(data.preauthorisation.as_str())
            }
            _ => false,
        };
        let lines = reading.of_some(&Subject::Contract(contract), size, answers)?;
        found.extend(lines.into_iter().map(|line| (line.index, line)));
    }
    // A correction may name another payee: both it and what it corrects belong
    // here. Whoever is found already goes on from there itself.
    for record in payments {
        let mut add = |index: u64, reading: &mut Lines<'_>| -> Result<Option<Record>, Failed> {
            reading.check()?;
            if index >= size || found.contains_key(&index) {
                return Ok(None);
            }
            let Some(entry) = app.store.entry(index)? else { return Ok(None) };
            let record = entry.record.clone();
            found.insert(index, reading.line(entry)?);
            Ok(Some(record))
        };
        follow(record.clone(), |record| match app.store.next_correction_of(&record.id())? {
            Some((index, _)) => add(index, reading),
            None => Ok(None),
        })?;
        follow(record, |record| {
            let Some(corrected) = record.payload().corrects else { return Ok(None) };
            match app.store.find(&corrected)? {
                Some(location) => add(location.index, reading),
                None => Ok(None),
            }
        })?;
    }
    Ok(found.into_values().collect())
}

/// Goes from a record along its chain of corrections, to where `step` leads no
/// further.
fn follow<T>(
    mut from: T,
    mut step: impl FnMut(&T) -> Result<Option<T>, Failed>,
) -> Result<(), Failed> {
    for _ in 0..=CORRECTION_CHAIN_MAX {
        match step(&from)? {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
    let detail = format!(
        "a payment was corrected more than {CORRECTION_CHAIN_MAX} times; ask for its contract alone"
    );
    Err(Problem::new(Kind::TooMany, detail).into())
}

/// A statement as a table: its payments, then the open claims.
fn table(statement: &Statement) -> Table<11> {
    let payments = statement.payments.iter().map(|line| {
        let returned = line.status == "returned";
        let signed = i128::from(line.amount) * if returned { -1 } else { 1 };
        [
            "payment".to_owned(),
            line.day.to_string(),
            line.occurred_at.to_string(),
            line.contract.clone(),
            line.claim.clone(),
            line.status.clone(),
            signed.to_string(),
            decimal(signed, &line.currency),
            line.currency.clone(),
            line.flags.join(" "),
            line.record.to_string(),
        ]
    });
    let open = statement.open.iter().map(|claim| {
        let currency = claim.currency.as_deref().unwrap_or_default();
        [
            "open".to_owned(),
            String::new(),
            claim.occurred_at.to_string(),
            claim.contract.clone(),
            claim.claim.clone(),
            claim.status.to_string(),
            cell(claim.open),
            claim.open.map(|open| decimal(open.into(), currency)).unwrap_or_default(),
            currency.to_owned(),
            String::new(),
            claim.record.to_string(),
        ]
    });
    Table {
        header: [
            "line",
            "day",
            "occurred_at",
            "contract",
            "claim",
            "status",
            "minor_units",
            "amount",
            "currency",
            "flags",
            "record",
        ],
        rows: payments.chain(open).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_chain_of_corrections_without_end_is_left_after_so_many_and_said_to_be_too_many() {
        let mut steps = 0;
        let endless = follow(0, |at| {
            steps += 1;
            Ok(Some(at + 1))
        });
        assert!(endless.is_err_and(|error| error.is(Kind::TooMany)));
        assert_eq!(steps, CORRECTION_CHAIN_MAX + 1);
        let longest = follow(0, |at| Ok(Some(at + 1).filter(|at| *at <= CORRECTION_CHAIN_MAX)));
        assert!(longest.is_ok());
    }
}
