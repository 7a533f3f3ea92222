//! The pieces that views are printed with.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::{
    digest::RecordId,
    insurance::views::{AsOfShown, format_amount},
};

use super::super::{Failure, output};

/// Digits of a record's id in a table; the whole ids are in JSON and CSV.
const ID_DIGITS: usize = 12;

/// A text that came from elsewhere.
pub(super) fn text(text: impl AsRef<str>) -> Cell {
    Cell::new(output::printable_line(text.as_ref()))
}

/// A text that may be missing.
pub(super) fn some(value: Option<impl ToString>) -> Cell {
    text(value.map(|value| value.to_string()).unwrap_or_default())
}

/// A text in a colour, on a terminal.
pub(super) fn coloured(words: impl AsRef<str>, color: Color) -> Cell {
    text(words).fg(color).add_attribute(Attribute::Bold)
}

/// Good is green and bad is red.
pub(super) fn judged(words: impl AsRef<str>, good: bool) -> Cell {
    coloured(words, if good { Color::Green } else { Color::Red })
}

/// An amount with its currency, to the right.
pub(super) fn amount(minor_units: Option<impl Into<i128>>, currency: Option<&str>) -> Cell {
    let shown = match (minor_units, currency) {
        (Some(amount), Some(currency)) => format_amount(amount.into(), currency),
        (Some(amount), None) => amount.into().to_string(),
        (None, _) => String::new(),
    };
    text(shown).set_alignment(CellAlignment::Right)
}

/// The beginning of a record's id.
pub(super) fn id(record: impl Into<Option<RecordId>>) -> Cell {
    let id = record.into().map(|id| id.to_string()).unwrap_or_default();
    Cell::new(id.chars().take(ID_DIGITS).collect::<String>())
}

/// A moment on the clocks of a time zone.
pub(super) fn moment(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A moment that may be missing.
pub(super) fn when(time: Option<Timestamp>, zone: &TimeZone) -> Cell {
    Cell::new(time.map(|time| moment(time, zone)).unwrap_or_default())
}

/// The moment of a view, in a sentence.
pub(super) fn as_of(as_of: &AsOfShown, zone: &TimeZone) -> String {
    let time = moment(as_of.time, zone);
    match (as_of.height, as_of.past) {
        (Some(height), _) => format!("as the ledger held it after block {height}, {time}"),
        (None, true) => format!("what had happened by {time}, as it is known today"),
        (None, false) => format!("now, {time}"),
    }
}

/// Prints a table under a title, where it has a row.
pub(super) fn section(title: &str, table: &Table) -> Result<(), Failure> {
    if table.row_count() == 0 {
        return Ok(());
    }
    output::line(format!("\n{title}"))?;
    output::line(table.to_string())
}

/// Prints facts, each with its name.
pub(super) fn facts(rows: Vec<(&str, Cell)>) -> Result<(), Failure> {
    let mut table = output::table(&[]);
    for (name, value) in rows {
        if !value.content().is_empty() {
            table.add_row(vec![Cell::new(name), value]);
        }
    }
    output::line(table.to_string())
}

/// The time zone of that name.
pub(super) fn zone(name: &str) -> TimeZone {
    quittance_ledger::insurance::views::time_zone(name).unwrap_or(TimeZone::UTC)
}
