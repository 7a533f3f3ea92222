//! The pieces that views are printed with.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use jiff::{Timestamp, tz::TimeZone};
use quittance_ledger::{
    digest::RecordId,
    insurance::views::{AsOfShown, Event, format_amount_or_dash},
};

use super::super::{Failure, output};

/// Digits of a record's id in a table: as many as find the record. The whole ids
/// are in JSON and CSV.
const ID_DIGITS: usize = RecordId::BEGINNING_DIGITS;

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

/// An amount with its currency, to the right. Nothing of no currency is a dash.
pub(super) fn amount(minor_units: Option<impl Into<i128>>, currency: Option<&str>) -> Cell {
    text(format_amount_or_dash(minor_units, currency)).set_alignment(CellAlignment::Right)
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

/// Events as a table, with what is to be known of each.
pub(super) fn events(events: &[Event], zone: &TimeZone) -> Table {
    let mut table = output::table(&["no.", "happened", "what", "", "record"]);
    for event in events {
        table.add_row(vec![
            output::number(event.index),
            text(moment(event.occurred_at, zone)),
            text(&event.sentence),
            coloured(marks(event).join(", "), Color::Yellow),
            id(event.record),
        ]);
    }
    table
}

/// What people should know of an event: its flags, and what corrects what.
fn marks(event: &Event) -> Vec<&str> {
    let corrected = event.corrected_by.map(|_| "corrected");
    let correction = event.corrects.map(|_| "correction");
    event.flags.iter().map(String::as_str).chain(corrected).chain(correction).collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn every_table_of_events_marks_what_corrects_what() {
        let event = |corrects: bool, corrected: bool| -> Event {
            let id = RecordId::of(b"other");
            serde_json::from_value(json!({
                "record": RecordId::of(b"record"), "index": 7, "height": 1,
                "block_time": "2026-01-01T00:00:00Z", "type": "payment.recorded",
                "occurred_at": "2026-01-01T00:00:00Z", "signer": "insurer", "declared_by": null,
                "claim": null, "sentence": "paid", "late": true, "flags": ["late"],
                "corrects": corrects.then_some(id), "corrected_by": corrected.then_some(id),
            }))
            .unwrap()
        };
        assert_eq!(marks(&event(false, false)), ["late"]);
        assert_eq!(marks(&event(true, false)), ["late", "correction"]);
        assert_eq!(marks(&event(false, true)), ["late", "corrected"]);
        let table = events(&[event(true, false)], &TimeZone::UTC).to_string();
        assert!(table.contains("late, correction"), "{table}");
    }
}
