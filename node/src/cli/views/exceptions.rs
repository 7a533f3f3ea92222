//! `quittance exceptions`: what people should look at.

use clap::Args;
use comfy_table::Color;
use jiff::tz::TimeZone;
use quittance_ledger::insurance::{Day, views::Exception};
use serde::Deserialize;

use super::{
    CommandResult, Failure, Question, TableArgs, output,
    shown::{coloured, id, moment, some, text},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ExceptionsArgs {
    /// Of records whose block was made on that day or later, in UTC
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// Of records whose block was made on that day or earlier, in UTC
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,
    /// Only of this kind, such as late or bank_change
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Go on after this record: what the page before ended with
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
    /// How many at most; 1 to 1000
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    #[command(flatten)]
    how: TableArgs,
}

/// What the node answers.
#[derive(Debug, Deserialize)]
struct Page {
    exceptions: Vec<Exception>,
    not_examined: Vec<String>,
    next: Option<String>,
}

pub(in crate::cli) fn exceptions(args: &ExceptionsArgs) -> CommandResult {
    let question = Question::new("/v1/exceptions")
        .with("from", args.from)
        .with("to", args.to)
        .with("kind", args.kind.as_ref())
        .with("after", args.after)
        .with("limit", args.limit);
    args.how.view.ask(question, args.how.csv, show)
}

fn show(page: &Page) -> Result<(), Failure> {
    if page.exceptions.is_empty() {
        output::line("There is none here.")?;
    } else {
        let mut table =
            output::table(&["no.", "recorded", "kind", "claim or contract", "what", "record"]);
        for found in &page.exceptions {
            table.add_row(vec![
                output::number(found.index),
                text(moment(found.block_time, &TimeZone::UTC)),
                coloured(found.kind.as_str(), Color::Yellow),
                some(found.claim.as_ref().or(found.contract.as_ref())),
                text(&found.sentence),
                id(found.record),
            ]);
        }
        output::line(table.to_string())?;
    }
    for contract in &page.not_examined {
        output::note(format!(
            "{} has too many records; only what each shows by itself is listed",
            output::printable_line(contract)
        ));
    }
    if let Some(next) = &page.next {
        output::note(format!("there may be more: --after {}", output::printable_line(next)));
    }
    Ok(())
}
