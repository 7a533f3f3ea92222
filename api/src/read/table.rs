//! Tables as comma-separated values (RFC 4180) that a spreadsheet opens without
//! running anything in them.

use axum::body::Bytes;

use crate::problem::Problem;

/// Rows of text under names.
pub(crate) struct Table<const COLUMNS: usize> {
    pub(crate) header: [&'static str; COLUMNS],
    pub(crate) rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn to_csv(&self) -> Result<Bytes, Problem> {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        let written = writer.write_record(self.header).and_then(|()| {
            let mut rows = self.rows.iter();
            rows.try_for_each(|row| writer.write_record(row.iter().map(|cell| inert(cell))))
        });
        written.map_err(|error| Problem::internal(&error))?;
        writer.into_inner().map(Bytes::from).map_err(|error| Problem::internal(&error))
    }
}

/// What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection"),
/// in half and in full width.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Where a spreadsheet may begin another cell within a text. Not only commas part
/// cells: by its locale it may part them at semicolons or tabs and then heed no
/// quotation marks that stand elsewhere, nor line breaks between them.
const PARTS: [char; 4] = [';', '\t', '\r', '\n'];

/// A cell of which no part is taken for a formula: what would begin one gets an
/// apostrophe before it, which makes it a text. Numbers stay as they are.
fn inert(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len() + 1);
    // Spreadsheets look past these at its beginning.
    if cell.starts_with(['\t', '\r', '\n']) {
        text.push('\'');
    }
    for part in cell.split_inclusive(PARTS) {
        let content = part.trim_start_matches([' ', '\u{a0}', '"']);
        if content.starts_with(FORMULA) && !is_number(part.trim_end_matches(PARTS)) {
            text.push_str(part.strip_suffix(content).unwrap_or_default());
            text.push('\'');
            text.push_str(content);
        } else {
            text.push_str(part);
        }
    }
    text
}

/// Whether it is a number as amounts are written: `-13800`, `-138.00`, `-12,00`.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned.split_once(['.', ',']) {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_number_stays_one_and_a_text_stays_as_it_is() {
        for cell in [
            "-13800",
            "-138.00",
            "-12,00",
            "+5",
            "0",
            "",
            "vet-1",
            "a;b",
            "a=b",
            "comp-it/HC-C1 -2",
            "2025-09-01",
            "x;-5;y",
            "Zahlung an \"vet-1\"; Rest folgt",
        ] {
            assert_eq!(inert(cell), cell);
        }
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_is_a_text() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("+49 170", "'+49 170"),
            ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
            ("-", "'-"),
            ("-inf", "'-inf"),
            ("-1e5", "'-1e5"),
            ("-12,00,00", "'-12,00,00"),
            ("\tx", "'\tx"),
            ("\r=1", "'\r'=1"),
            ("  =1", "  '=1"),
            ("\"=1", "\"'=1"),
            ("＝1", "'＝1"),
        ] {
            assert_eq!(inert(cell), expected);
        }
    }

    #[test]
    fn a_text_that_another_locale_parts_holds_no_formula_either() {
        for (cell, expected) in [
            ("a;=1+1", "a;'=1+1"),
            ("a;;@x;-5;-x", "a;;'@x;-5;'-x"),
            ("a\t=1", "a\t'=1"),
            ("a\n+x", "a\n'+x"),
            ("a; =1", "a; '=1"),
            ("a;\"=1", "a;\"'=1"),
        ] {
            assert_eq!(inert(cell), expected);
        }
        let table = Table { header: ["x", "y"], rows: vec![["a;=1".into(), "=2,3".into()]] };
        assert_eq!(table.to_csv().unwrap(), "x,y\r\na;'=1,\"'=2,3\"\r\n");
    }

    /// Whichever of the separators a spreadsheet goes by, no cell is a formula: every
    /// text of up to five of the characters that matter.
    #[test]
    fn no_text_has_a_part_that_is_run() {
        const CHARACTERS: [char; 9] = ['a', '1', '=', '-', ',', ' ', ';', '\t', '"'];
        let mut texts = vec![String::new()];
        let mut shorter = texts.clone();
        for _ in 0..5 {
            let longer = shorter.iter().flat_map(|text| {
                CHARACTERS.iter().map(move |character| format!("{text}{character}"))
            });
            shorter = longer.collect();
            texts.extend_from_slice(&shorter);
        }
        for cell in texts {
            let shown = inert(&cell);
            for part in shown.split(PARTS) {
                let content = part.trim_start_matches([' ', '"']);
                assert!(!content.starts_with(FORMULA) || is_number(part), "{cell:?}: {shown:?}");
            }
            assert_eq!(shown.replace('\'', ""), cell);
        }
    }
}
