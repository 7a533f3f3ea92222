//! `quittance dossier`, `claim`, `statement`, `exceptions` and `duplicates`: what
//! people ask of the ledger, as tables on a terminal, JSON or CSV.

mod claim;
mod dossier;
mod duplicates;
mod exceptions;
mod shown;
mod statement;

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quittance_ledger::insurance::views::At;
use serde::de::DeserializeOwned;

use super::{ApiArgs, CommandResult, Failure, Outcome, output};
use crate::client::Patience;

pub(super) use claim::{ClaimArgs, claim};
pub(super) use dossier::{DossierArgs, dossier};
pub(super) use duplicates::{DuplicatesArgs, duplicates};
pub(super) use exceptions::{ExceptionsArgs, exceptions};
pub(super) use statement::{StatementArgs, statement};

/// What every view can be asked.
#[derive(Debug, Args)]
struct ViewArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// As of when: a time with offset, a day (to its end), or a block's height. Now, if left out
    #[arg(long, value_name = "TIME|DAY|HEIGHT", value_parser = checked_at)]
    at: Option<String>,
    /// Print the node's own JSON
    #[arg(long)]
    json: bool,
}

/// How a table is printed.
#[derive(Debug, Args)]
struct TableArgs {
    #[command(flatten)]
    view: ViewArgs,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Which page of a listing is asked for.
#[derive(Debug, Args)]
struct PageArgs {
    /// Go on after this record: what the page before ended with
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
    /// How many at most; 1 to 1000
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
}

/// Tells how to ask for the page that follows.
fn note_next(next: Option<&str>) {
    if let Some(next) = next {
        output::note(format!("there may be more: --after {}", output::printable_line(next)));
    }
}

/// The moment goes to the node as it was written, if it is one.
fn checked_at(text: &str) -> Result<String, String> {
    text.parse::<At>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A path with a query. Parameters without a value are left out.
struct Question {
    path: String,
    begun: bool,
}

impl Question {
    fn new(path: &str) -> Self {
        Self { path: path.to_owned(), begun: false }
    }

    /// `/v1/<what>/<insurer>/<number>`.
    fn about(what: &str, insurer: &str, number: &str) -> Self {
        Self::new(&format!("/v1/{what}/{}/{}", encoded(insurer), encoded(number)))
    }

    fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.path.push(if self.begun { '&' } else { '?' });
            self.begun = true;
            self.path.push_str(&format!("{name}={}", encoded(&value.to_string())));
        }
        self
    }
}

/// What stands as it is in a part of a path and in a query, so that people can
/// read the addresses that errors name. A dot does not: two alone are a step up.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~').remove(b':');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl ViewArgs {
    /// Asks the node, and prints its answer: as it is where that is wanted, else
    /// by `show`.
    fn ask<V: DeserializeOwned>(
        &self,
        question: Question,
        csv: bool,
        show: impl FnOnce(&V) -> Result<(), Failure>,
    ) -> CommandResult {
        let path = question.with("at", self.at.as_ref()).path;
        let client = self.api.client(Patience::NONE)?;
        if csv {
            output::bytes(&client.view_bytes(&path, "text/csv")?)?;
        } else if self.json {
            let answer: serde_json::Value = client.view(&path)?;
            output::json(&answer)?;
        } else {
            show(&client.view(&path)?)?;
        }
        Ok(Outcome::Yes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_with_any_character_come_through_an_address() {
        let question = Question::about("contracts", "rs-de", "RS 77/88&?ä")
            .with("from", None::<String>)
            .with("at", Some("2025-09-01T15:00:00+02:00"))
            .with("limit", Some(7));
        assert_eq!(
            question.path,
            "/v1/contracts/rs-de/RS%2077%2F88%26%3F%C3%A4?at=2025-09-01T15:00:00%2B02:00&limit=7"
        );
        assert!(checked_at("yesterday").is_err());
    }
}
