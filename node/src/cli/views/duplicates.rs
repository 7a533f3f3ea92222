//! `quittance duplicates`: the same document at two contracts or claims.

use clap::Args;
use comfy_table::Color;
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::digest::{Digest, RecordId};
use serde::Deserialize;

use super::{
    CommandResult, Failure, PageArgs, Question, TableArgs, note_next, output,
    shown::{coloured, id, moment, some, text},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct DuplicatesArgs {
    /// Only of the document with this match, 64 hexadecimal digits
    #[arg(long = "match", value_name = "MATCH")]
    match_tag: Option<Digest>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    how: TableArgs,
}

/// What the node answers.
#[derive(Debug, Deserialize)]
struct Page {
    duplicates: Vec<Duplicate>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Duplicate {
    later: Use,
    earlier: Vec<Use>,
    more: bool,
}

#[derive(Debug, Deserialize)]
struct Use {
    id: RecordId,
    index: u64,
    signer: String,
    #[serde(rename = "type")]
    record_type: String,
    contract: Option<String>,
    claim: Option<String>,
    occurred_at: Timestamp,
    kind: String,
}

pub(in crate::cli) fn duplicates(args: &DuplicatesArgs) -> CommandResult {
    let question = Question::new("/v1/duplicates")
        .with("match", args.match_tag)
        .with("after", args.page.after)
        .with("limit", args.page.limit);
    args.how.view.ask(question, args.how.csv, show)
}

fn show(page: &Page) -> Result<(), Failure> {
    if page.duplicates.is_empty() {
        output::line("There is none here.")?;
    } else {
        let head = ["no.", "", "happened", "document", "claim or contract", "signer", "type"];
        let mut table = output::table(&[&head[..], &["record"]].concat());
        for duplicate in &page.duplicates {
            let later = [(&duplicate.later, "again")];
            let earlier = duplicate.earlier.iter().map(|of| (of, "before"));
            for (of, place) in later.into_iter().chain(earlier) {
                let color = if place == "again" { Color::Yellow } else { Color::Reset };
                table.add_row(vec![
                    output::number(of.index),
                    coloured(place, color),
                    text(moment(of.occurred_at, &TimeZone::UTC)),
                    text(&of.kind),
                    some(of.claim.as_ref().or(of.contract.as_ref())),
                    text(&of.signer),
                    text(&of.record_type),
                    id(of.id),
                ]);
            }
        }
        output::line(table.to_string())?;
    }
    for duplicate in page.duplicates.iter().filter(|duplicate| duplicate.more) {
        let index = duplicate.later.index;
        output::note(format!("of no. {index} there may be earlier uses that are not listed"));
    }
    note_next(page.next.as_deref());
    Ok(())
}
