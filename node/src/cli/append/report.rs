//! What became of the lines, as it is told.

use serde::Serialize;

use super::super::{Failure, Outcome, output};
use crate::samples::Expectation;

/// Lines that are listed for people; `--json` lists all.
const LISTED_MAX: usize = 50;

/// What became of the lines of one file.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) file: String,
    /// New on the ledger.
    pub(super) recorded: u64,
    /// On the ledger before.
    pub(super) present: u64,
    /// Not sent, because a valid receipt was there.
    pub(super) kept: u64,
    /// Refused, whatever the line said itself.
    pub(super) refused: u64,
    /// Not final yet.
    pub(super) waiting: u64,
    /// Not sent, because the line says that it will be refused.
    pub(super) skipped: u64,
    /// Lines that say themselves what becomes of them, and of which something else
    /// has become.
    pub(super) unexpected: u64,
}

/// A line that was refused.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) code: String,
    pub(super) field: Option<String>,
    pub(super) detail: String,
    /// What the line says itself will become of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<Expectation>,
}

/// A line that says itself that it will be refused, and was not.
#[derive(Debug, Serialize)]
pub(super) struct NotRefused {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) expected: Expectation,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Whose policy receipts were checked against: `given` or `of the node`.
    pub(super) policy: &'static str,
    pub(super) files: Vec<Tally>,
    pub(super) refused: Vec<Refused>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_refused: Vec<NotRefused>,
}

impl Refused {
    /// Whether the line says that it will be refused, with this code.
    pub(super) fn is_as_expected(&self) -> bool {
        matches!(&self.expected, Some(Expectation::Refused(code)) if *code == self.code)
    }
}

impl Report {
    /// Whether every line is on the ledger, but for those that say themselves that
    /// they will be refused, and were, with the code they name.
    pub(super) fn outcome(&self) -> Outcome {
        let all = self.files.iter().all(|tally| tally.waiting == 0 && tally.unexpected == 0)
            && self.refused.iter().all(Refused::is_as_expected);
        if all { Outcome::Yes } else { Outcome::No }
    }

    pub(super) fn tell(&self, json: bool, checked_by_the_node: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let mut table = output::table(&[
            "file",
            "recorded",
            "there before",
            "had receipt",
            "refused",
            "waiting",
            "skipped",
        ]);
        for tally in &self.files {
            let numbers = [
                tally.recorded,
                tally.present,
                tally.kept,
                tally.refused,
                tally.waiting,
                tally.skipped,
            ];
            let mut row = vec![comfy_table::Cell::new(&tally.file)];
            row.extend(numbers.map(output::number));
            table.add_row(row);
        }
        output::line(table.to_string())?;
        // What nobody expected comes first: it is what somebody has to look at.
        let (expected, unexpected): (Vec<_>, Vec<_>) =
            self.refused.iter().partition(|refused| refused.is_as_expected());
        let not_refused = self.not_refused.iter().map(|NotRefused { file, line, expected }| {
            format!("{file}:{line}: is on the ledger, but says of itself: {expected}")
        });
        let lines: Vec<_> =
            not_refused.chain(unexpected.into_iter().chain(expected).map(refusal)).collect();
        for text in lines.iter().take(LISTED_MAX) {
            output::line(output::printable_line(text))?;
        }
        match lines.len().saturating_sub(LISTED_MAX) {
            0 => {}
            more => output::line(format!("and {more} more; --json lists them all"))?,
        }
        let some = self.files.iter().any(|tally| tally.recorded > 0 || tally.present > 0);
        if checked_by_the_node && some {
            output::note(
                "The receipts were checked against the node's own policy; \
                 give --policy to check them against the one you trust.",
            );
        }
        Ok(())
    }
}

fn refusal(refused: &Refused) -> String {
    let Refused { file, line, code, field, detail, expected } = refused;
    let field = field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default();
    let says = match expected {
        Some(_) if refused.is_as_expected() => " as it says".to_owned(),
        Some(expected) => format!(", but says of itself {expected}"),
        None => String::new(),
    };
    format!("{file}:{line}: refused{says}: {code}{field}: {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, expected: Option<Expectation>) -> Refused {
        let (file, code) = ("a.jsonl".to_owned(), code.to_owned());
        Refused { file, line: 3, code, field: None, detail: "why".to_owned(), expected }
    }

    fn expects(code: &str) -> Option<Expectation> {
        Some(Expectation::Refused(code.to_owned()))
    }

    #[test]
    fn only_a_refusal_that_a_line_names_itself_leaves_the_import_whole() {
        let outcome = |refused| Report { refused: vec![refused], ..Report::default() }.outcome();
        assert!(matches!(outcome(refused("round_gap", expects("round_gap"))), Outcome::Yes));
        assert!(matches!(outcome(refused("round_gap", expects("claim_state"))), Outcome::No));
        assert!(matches!(outcome(refused("round_gap", Some(Expectation::Accepted))), Outcome::No));
        assert!(matches!(outcome(refused("round_gap", None)), Outcome::No));
    }

    #[test]
    fn each_line_says_whether_it_was_expected() {
        let told = |expected| refusal(&refused("round_gap", expected));
        assert_eq!(told(None), "a.jsonl:3: refused: round_gap: why");
        assert_eq!(told(expects("round_gap")), "a.jsonl:3: refused as it says: round_gap: why");
        assert_eq!(
            told(expects("claim_state")),
            "a.jsonl:3: refused, but says of itself refused:claim_state: round_gap: why"
        );
        assert_eq!(
            told(Some(Expectation::Accepted)),
            "a.jsonl:3: refused, but says of itself accepted: round_gap: why"
        );
    }
}
