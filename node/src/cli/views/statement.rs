//! `quittance statement`: what a payee received in a period, and what is open.

use clap::Args;
use quittance_ledger::{
    insurance::{
        Code, Day,
        views::{OpenClaim, Statement, StatementLines},
    },
    membership::MemberId,
    record::ContractRef,
};

use super::{
    CommandResult, Failure, Question, TableArgs, output,
    shown::{amount, as_of, facts, id, section, some, text, zone},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct StatementArgs {
    /// Who was paid: a member's id, or policyholder
    #[arg(long, value_name = "PAYEE")]
    payee: Code,
    /// The first day
    #[arg(long, value_name = "DAY")]
    from: Day,
    /// The last day
    #[arg(long, value_name = "DAY")]
    to: Day,
    /// Only what this insurer pays
    #[arg(long, value_name = "MEMBER")]
    insurer: Option<MemberId>,
    /// Only what is paid under this contract
    #[arg(long, value_name = "INSURER/NUMBER")]
    contract: Option<ContractRef>,
    #[command(flatten)]
    how: TableArgs,
}

pub(in crate::cli) fn statement(args: &StatementArgs) -> CommandResult {
    let question = Question::new("/v1/statements")
        .with("payee", Some(&args.payee))
        .with("from", Some(args.from))
        .with("to", Some(args.to))
        .with("insurer", args.insurer.as_ref())
        .with("contract", args.contract.as_ref());
    args.how.view.ask(question, args.how.csv, show)
}

/// How many claims are open, and of how many no sum knows the amount.
fn open_claims(statement: &Statement) -> String {
    let known = |claim: &&OpenClaim| claim.open.is_some() && claim.currency.is_some();
    let unknown = statement.open.len() - statement.open.iter().filter(known).count();
    match unknown {
        0 => statement.open_count.to_string(),
        _ => format!("{}, {unknown} of them without an amount", statement.open_count),
    }
}

fn show(statement: &Statement) -> Result<(), Failure> {
    facts(vec![
        ("payee", text(&statement.payee)),
        ("period", text(format!("{} to {}", statement.from, statement.to))),
        ("insurer", some(statement.insurer.as_ref())),
        ("contract", some(statement.contract.as_ref())),
        ("as of", text(as_of(&statement.as_of, &zone("UTC")))),
        ("payments", text(statement.paid_count.to_string())),
        ("open claims", text(open_claims(statement))),
    ])?;
    let mut table = output::table(&["currency", "payments", "paid", "open claims", "open"]);
    for total in &statement.totals {
        table.add_row(vec![
            text(&total.currency),
            output::number(total.paid_count),
            amount(Some(total.paid_sum), Some(&total.currency)),
            total.open_count.map_or_else(|| text(""), output::number),
            amount(total.open_sum, Some(&total.currency)),
        ]);
    }
    section("Sums", &table)?;
    if statement.lines == StatementLines::TooMany {
        return output::line(
            "\nThere are too many payments and claims to list them here. The figures are those \
             by which the ledger judges a statement; what is open of each claim is listed with \
             the lines. Ask for one contract (--contract) to see them.",
        );
    }
    let mut table = output::table(&["day", "claim", "contract", "status", "amount", "", "record"]);
    for line in &statement.payments {
        table.add_row(vec![
            text(line.day.to_string()),
            text(&line.claim),
            text(&line.contract),
            text(&line.status),
            amount(Some(line.amount), Some(&line.currency)),
            text(line.flags.join(", ")),
            id(line.record),
        ]);
    }
    section("Payments", &table)?;
    let mut table = output::table(&[
        "claim",
        "contract",
        "state",
        "claimed",
        "to be paid",
        "paid",
        "open",
        "record",
    ]);
    for claim in &statement.open {
        let currency = claim.currency.as_deref();
        table.add_row(vec![
            text(&claim.claim),
            text(&claim.contract),
            text(claim.status.as_str()),
            amount(claim.claimed, currency),
            amount(claim.payable, currency),
            amount(Some(claim.paid), currency),
            amount(claim.open, currency),
            id(claim.record),
        ]);
    }
    section("Open claims", &table)
}
