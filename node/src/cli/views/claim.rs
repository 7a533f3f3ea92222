//! `quittance claim`: one claim, from its notification to its last payment.

use clap::Args;
use quittance_ledger::{
    insurance::views::{ClaimView, DeadlineState},
    record::ClaimRef,
};

use super::{
    CommandResult, Failure, Question, TableArgs, output,
    shown::{amount, as_of, events, facts, id, judged, moment, section, some, text, when, zone},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ClaimArgs {
    /// The claim
    #[arg(value_name = "INSURER/NUMBER")]
    claim: ClaimRef,
    #[command(flatten)]
    how: TableArgs,
}

pub(in crate::cli) fn claim(args: &ClaimArgs) -> CommandResult {
    let question = Question::about("claims", args.claim.insurer(), args.claim.number());
    args.how.view.ask(question, args.how.csv, show)
}

fn show(claim: &ClaimView) -> Result<(), Failure> {
    let zone = zone(&claim.time_zone);
    let currency = claim.currency.as_deref();
    facts(vec![
        ("claim", text(&claim.claim)),
        ("contract", text(&claim.contract)),
        ("as of", text(as_of(&claim.as_of, &zone))),
        ("state", text(claim.status.as_str())),
        ("opened", when(claim.opened_at, &zone)),
        ("by", some(claim.opened_by.as_ref())),
        ("channel", some(claim.channel.as_ref())),
        ("kind", some(claim.kind.as_ref().or(claim.service.as_ref()))),
        ("number", some(claim.number.as_ref())),
        ("pre-authorisation", some(claim.preauthorisation.as_ref())),
    ])?;
    let mut table = output::table(&[
        "claimed",
        "guaranteed",
        "approved",
        "refused",
        "to be paid",
        "paid",
        "left to pay",
    ]);
    table.add_row(vec![
        amount(claim.claimed, currency),
        amount(claim.guaranteed, currency),
        amount(claim.approved, currency),
        amount(claim.refused, currency),
        amount(claim.payable, currency),
        amount(Some(claim.paid), currency),
        amount(claim.left_to_pay, currency),
    ]);
    section("Amounts", &table)?;
    let mut table =
        output::table(&["round", "offer", "notified", "answer", "answered", "signature", "record"]);
    for offer in &claim.offers {
        table.add_row(vec![
            text(offer.round.to_string()),
            amount(Some(offer.amount), Some(&offer.currency)),
            when(offer.notified_at, &zone),
            some(offer.answer.as_ref()),
            when(offer.answered_at, &zone),
            some(offer.signature.as_ref()),
            id(offer.record),
        ]);
    }
    section("Settlement", &table)?;
    let mut table = output::table(&["payment", "status", "to", "when", "record"]);
    for payment in &claim.payments {
        table.add_row(vec![
            amount(Some(payment.amount), Some(&payment.currency)),
            text(&payment.status),
            text(&payment.payee),
            when(Some(payment.occurred_at), &zone),
            id(payment.record),
        ]);
    }
    section("Payments", &table)?;
    let mut table = output::table(&["deadline", "due", "state", "done", "record"]);
    for deadline in &claim.deadlines {
        let good = matches!(deadline.state, DeadlineState::Met | DeadlineState::Open);
        table.add_row(vec![
            text(deadline.kind.as_str()),
            text(moment(deadline.due, &zone)),
            judged(deadline.state.as_str(), good),
            when(deadline.done_at, &zone),
            id(deadline.from),
        ]);
    }
    section("Deadlines", &table)?;
    section("Events", &events(&claim.events, &zone))
}
