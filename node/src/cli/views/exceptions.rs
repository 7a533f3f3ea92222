//! `quittance exceptions`: what people should look at.

use clap::Args;
use comfy_table::Color;
use jiff::tz::TimeZone;
use quittance_ledger::insurance::{Day, views::Exception};
use serde::Deserialize;

use super::{
    CommandResult, Failure, PageArgs, Question, TableArgs, note_next, output,
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
    #[command(flatten)]
    page: PageArgs,
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
        .with("after", args.page.after)
        .with("limit", args.page.limit);
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
    note_next(page.next.as_deref());
    Ok(())
}
