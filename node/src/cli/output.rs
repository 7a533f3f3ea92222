//! What a command writes: results, tables, progress and errors.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;

/// Pause between two lines of progress where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A terminal that says it is narrower than this, 0 columns mostly, does not know its
/// width (some consoles and most programs that pretend to be one).
const COLUMNS_MIN: u16 = 20;

/// What it is taken for then.
const COLUMNS_ASSUMED: u16 = 80;

/// Writes bytes to standard output as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::unread()
        } else {
            Failure::unusable(format_args!("cannot write the output: {error}"))
        }
    })
}

/// Writes a line of text to standard output.
pub(super) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut text = text.as_ref().to_owned();
    text.push('\n');
    bytes(text.as_bytes())
}

/// Writes a value to standard output as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?)
}

/// Writes a line to standard error. Where nobody reads it, nothing can be done.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Writes an error to standard error.
pub(super) fn error(message: &str) {
    note(format!("error: {}", printable(message)));
}

/// A text that came from elsewhere, without what would command the terminal or
/// turn the order of what is read.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    without(text, |character| commands(character) && character != '\n')
}

/// As [`printable`], and without what would begin another line.
pub(super) fn printable_line(text: &str) -> Cow<'_, str> {
    without(text, |character| commands(character) || matches!(character, '\u{2028}' | '\u{2029}'))
}

/// Control characters (C0, C1) and those that turn the direction of text.
const fn commands(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

fn without(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) {
        Cow::Owned(text.replace(unwanted, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether standard output is a file that its group or others may read.
pub(super) fn is_file_of_others() -> bool {
    #[cfg(unix)]
    {
        use std::os::{fd::AsFd as _, unix::fs::PermissionsExt as _};
        let file = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        file.and_then(|file| file.metadata())
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    false
}

/// A table with a line below its header, where it has one.
pub(super) fn table(header: &[&str]) -> Table {
    let line = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(line))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !header.is_empty() {
        table.set_header(header);
    }
    if table.width().is_some_and(|columns| columns < COLUMNS_MIN) {
        table.set_width(COLUMNS_ASSUMED);
    }
    table
}

/// A number, to the right of its column.
pub(super) fn number(value: impl std::fmt::Display) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

/// How far long work has come: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    last_line: Instant,
}

impl Progress {
    /// Work of which so many `what` are to be done, where that is known.
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => (
                    ProgressBar::new(total),
                    "{elapsed_precise} {wide_bar} {human_pos} of {human_len} {msg} ({per_sec}, {eta} left)",
                ),
                None => (
                    ProgressBar::new_spinner(),
                    "{elapsed_precise} {spinner} {human_pos} {msg} ({per_sec})",
                ),
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.with_message(what)
        });
        Self { bar, what, total, done: 0, last_line: Instant::now() }
    }

    /// So many are done now.
    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                self.last_line = Instant::now();
                match self.total {
                    Some(total) => note(format!("{done} of {total} {}", self.what)),
                    None => note(format!("{done} {}", self.what)),
                }
            }
            None => {}
        }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, more: u64) {
        self.set(self.done.saturating_add(more));
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_cannot_command_the_terminal() {
        assert_eq!(printable("a\nb"), "a\nb");
        assert_eq!(printable("a\u{1b}[2Jb\u{7}"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("a\u{9b}2J\u{202e}b"), "a\u{fffd}2J\u{fffd}b");
        assert_eq!(printable_line("a\nb\u{2028}ü"), "a\u{fffd}b\u{fffd}ü");
    }
}
