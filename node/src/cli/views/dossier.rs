//! `quittance dossier`: everything the ledger holds about a contract.

use clap::Args;
use comfy_table::Color;
use jiff::tz::TimeZone;
use quittance_ledger::{
    insurance::views::{
        Colour, ContractStatus, Dossier, PeriodUse, PreauthorisationState, format_amount,
        format_days_left,
    },
    record::ContractRef,
};

use super::{
    CommandResult, Failure, Question, TableArgs, output,
    shown::{
        amount, as_of, coloured, events, facts, id, judged, moment, section, some, text, when, zone,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DossierArgs {
    /// The contract
    #[arg(value_name = "INSURER/NUMBER")]
    contract: ContractRef,
    #[command(flatten)]
    how: TableArgs,
}

pub(in crate::cli) fn dossier(args: &DossierArgs) -> CommandResult {
    let question = Question::about("contracts", args.contract.insurer(), args.contract.number());
    args.how.view.ask(question, args.how.csv, show)
}

fn show(dossier: &Dossier) -> Result<(), Failure> {
    let zone = zone(&dossier.time_zone);
    let in_force = dossier.status == ContractStatus::InForce;
    let documents = &dossier.documents;
    let colour = match (documents.colour, documents.days_left) {
        (Colour::Green, _) => "green".to_owned(),
        (Colour::Red, Some(days)) => {
            format!("red, {} missing, {}", documents.missing, format_days_left(days))
        }
        (Colour::Red, None) => format!("red, {} missing", documents.missing),
    };
    let mut rows = vec![
        ("contract", text(&dossier.contract)),
        ("as of", text(as_of(&dossier.as_of, &zone))),
        ("status", judged(dossier.status.as_str(), in_force)),
        ("documents", judged(colour, documents.colour == Colour::Green)),
    ];
    if let Some(says) = &dossier.facts {
        let premium = says.premium.zip(says.currency.as_deref());
        rows.extend([
            ("version", text(says.version.to_string())),
            ("line", text(&says.line_of_business)),
            ("cover", some(says.cover.as_ref())),
            ("modules", text(says.modules.join(", "))),
            ("risk", some(says.risk.as_ref())),
            ("broker", some(says.broker.as_ref())),
            ("referral", some(says.referral.as_ref())),
            (
                "premium",
                some(premium.map(|(premium, currency)| format_amount(premium.into(), currency))),
            ),
            ("signed", when(says.signed_at, &zone)),
        ]);
    }
    if let Some(end) = &dossier.termination {
        rows.push(("ended", text(format!("{}, {}", end.reason, moment(end.occurred_at, &zone)))));
    }
    if let Some(ladder) = &dossier.deductible {
        rows.push(("deductible", text(ladder.in_words())));
    }
    facts(rows)?;
    money(dossier, &zone)?;
    papers(dossier, &zone)?;
    history(dossier, &zone)
}

fn money(dossier: &Dossier, zone: &TimeZone) -> Result<(), Failure> {
    let mut table =
        output::table(&["period", "from", "to", "ceiling", "spent", "held", "left", "record"]);
    for period in &dossier.periods {
        let PeriodUse { limit, spent, held, left, .. } = period;
        let currency = period.currency.as_deref();
        table.add_row(vec![
            text(period.period.to_string()),
            text(period.from.to_string()),
            text(period.to.to_string()),
            amount(*limit, currency),
            amount(Some(*spent), currency),
            amount(Some(*held), currency),
            amount(*left, currency),
            id(period.record),
        ]);
    }
    section("Periods", &table)?;
    let mut table = output::table(&[
        "pre-authorisation",
        "state",
        "provider",
        "asked",
        "guaranteed",
        "customer",
        "held until",
        "record",
    ]);
    for held in &dossier.preauthorisations {
        let currency = held.currency.as_deref();
        let state = match held.state {
            PreauthorisationState::Held => coloured("held", Color::Yellow),
            state => text(state.as_str()),
        };
        table.add_row(vec![
            text(&held.preauthorisation),
            state,
            some(held.provider.as_ref()),
            amount(held.requested, currency),
            amount(held.guaranteed, currency),
            amount(held.customer_share, currency),
            when(held.hold_until, zone),
            id(held.answered_by.or(held.requested_by)),
        ]);
    }
    section("Pre-authorisations", &table)?;
    let mut table = output::table(&[
        "claim",
        "state",
        "opened",
        "by",
        "claimed",
        "approved",
        "paid",
        "left to pay",
        "record",
    ]);
    for claim in &dossier.claims {
        let currency = claim.currency.as_deref();
        table.add_row(vec![
            text(&claim.claim),
            text(claim.status.as_str()),
            when(claim.opened_at, zone),
            some(claim.opened_by.as_ref()),
            amount(claim.claimed, currency),
            amount(claim.approved, currency),
            amount(Some(claim.paid), currency),
            amount(claim.left_to_pay, currency),
            id(claim.record),
        ]);
    }
    section("Claims", &table)?;
    let mut table = output::table(&["premium", "due", "amount", "status", "record"]);
    for premium in &dossier.premiums {
        table.add_row(vec![
            text(&premium.receipt),
            text(premium.due_on.to_string()),
            amount(Some(premium.amount), Some(&premium.currency)),
            text(&premium.status),
            id(premium.record),
        ]);
    }
    section("Premiums", &table)?;
    let mut table = output::table(&["deductible", "because of", "since", "record"]);
    for step in dossier.deductible.iter().flat_map(|ladder| &ladder.steps) {
        table.add_row(vec![
            amount(Some(step.amount), Some(&step.currency)),
            text(&step.cause),
            when(Some(step.occurred_at), zone),
            id(step.record),
        ]);
    }
    section("Deductible", &table)
}

fn papers(dossier: &Dossier, zone: &TimeZone) -> Result<(), Failure> {
    let mut table = output::table(&["document", "state", "due", "", "label", "record"]);
    for item in &dossier.documents.items {
        table.add_row(vec![
            text(&item.item),
            judged(item.state.as_str(), item.colour == Colour::Green),
            some(item.due),
            some(item.days_left.map(format_days_left)),
            some(item.label.as_ref()),
            id(item.record),
        ]);
    }
    section("Documents asked for", &table)?;
    let mut table = output::table(&["paper", "handed out", "by", "record"]);
    for paper in &dossier.documents.issued {
        table.add_row(vec![
            text(&paper.kind),
            when(Some(paper.occurred_at), zone),
            text(&paper.by),
            id(paper.record),
        ]);
    }
    section("Papers", &table)?;
    let mut table =
        output::table(&["signature", "state", "on", "by", "level claimed", "expires", "record"]);
    for signature in &dossier.signatures {
        table.add_row(vec![
            text(&signature.signature),
            text(signature.state.as_str()),
            some(signature.target.as_ref()),
            some(signature.signer.as_ref()),
            some(signature.level_claimed.as_ref()),
            when(signature.expires, zone),
            id(signature.record),
        ]);
    }
    section("Signatures", &table)
}

fn history(dossier: &Dossier, zone: &TimeZone) -> Result<(), Failure> {
    let mut table = output::table(&["version", "effective", "changes", "record"]);
    for version in &dossier.versions {
        let changes: Vec<_> = version.changes.iter().map(ToString::to_string).collect();
        let changes = if changes.is_empty() { version.made_by.clone() } else { changes.join("; ") };
        table.add_row(vec![
            text(version.version.to_string()),
            text(version.effective.to_string()),
            text(changes),
            id(version.record),
        ]);
    }
    section("Versions", &table)?;
    section("Events", &events(&dossier.events, zone))
}
