//! The files that are appended: which lines they hold, and what each line is.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use quittance_ledger::{
    digest::{Digest, RecordId},
    insurance::RecordType,
    limits::RECORD_BYTES_MAX,
    membership::Origin,
    record::{Envelope, RecordSecretKey, sign},
    refusal::{Code, Refusal},
    transparency::Receipt,
    vault::{Disclosure, Presentation, is_private},
};
use serde_json::{Map, Value, json};

use super::super::{
    Failure,
    sign::{Kid, PRESENTATION_EXTENSION},
};
use crate::{
    client::Outgoing,
    files::FileError,
    samples::{Expectation, Unsigned},
};

/// The longest line that is read, in bytes: a record of the largest size as
/// JSON with spaces, and what stands around it.
const LINE_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;

/// What a file holds, which its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One JWS.
    Jws,
    /// One JWS with its private fields (SD-JWT).
    Presentation,
    /// One record as JSON.
    Json,
    /// A record a line.
    Lines,
}

impl Kind {
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jws") => Ok(Self::Jws),
            Some(PRESENTATION_EXTENSION) => Ok(Self::Presentation),
            Some("json") => Ok(Self::Json),
            Some("jsonl" | "ndjson") => Ok(Self::Lines),
            _ => Err(Failure::unusable(format_args!(
                "{} is neither .jws, .sd-jwt, .json nor .jsonl; name the file after what it holds",
                path.display()
            ))),
        }
    }
}

/// A file that is read line by line; a file of one record is one line.
pub(super) struct Input {
    path: PathBuf,
    kind: Kind,
    reader: BufReader<File>,
    number: usize,
}

/// One line as it stands.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its text without white space around it, or why it cannot be a record.
    pub(super) text: Result<String, Refusal>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let kind = Kind::of(path)?;
        let file = File::open(path).map_err(FileError::io("read", path))?;
        Ok(Self { path: path.to_owned(), kind, reader: BufReader::new(file), number: 0 })
    }

    /// How many lines a file has.
    pub(super) fn count(path: &Path) -> Result<u64, Failure> {
        if !fs::metadata(path).map_err(FileError::io("read", path))?.is_file() {
            return Err(Failure::unusable(format_args!("{} is no file", path.display())));
        }
        if Kind::of(path)? != Kind::Lines {
            return Ok(1);
        }
        let mut reader = BufReader::new(File::open(path).map_err(FileError::io("read", path))?);
        let mut lines = 0_u64;
        loop {
            let buffer = reader.fill_buf().map_err(FileError::io("read", path))?;
            if buffer.is_empty() {
                return Ok(lines);
            }
            let newlines = buffer.iter().filter(|byte| **byte == b'\n').count();
            lines = lines.saturating_add(u64::try_from(newlines).unwrap_or(u64::MAX));
            let length = buffer.len();
            reader.consume(length);
        }
    }

    /// The next line that is not empty; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let Some(bytes) = self.next_bytes()? else { return Ok(None) };
            self.number = self.number.saturating_add(1);
            let text = if bytes.len() > LINE_BYTES_MAX {
                let detail = format!("longer than {LINE_BYTES_MAX} bytes");
                Err(Refusal::new(Code::TooLarge, detail))
            } else {
                match String::from_utf8(bytes) {
                    Ok(text) if text.trim().is_empty() => continue,
                    Ok(text) => Ok(text.trim().to_owned()),
                    Err(_) => Err(Refusal::new(Code::Malformed, "not UTF-8 text")),
                }
            };
            return Ok(Some(Line { number: self.number, text }));
        }
    }

    /// The bytes of a line, or of the whole file; of an over-long line only the beginning.
    fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let failed = FileError::io("read", &self.path);
        let mut bytes = Vec::new();
        // One byte beyond the bound, and the newline, tell that a line is too long.
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
        let mut limited = (&mut self.reader).take(limit);
        let read = match self.kind {
            Kind::Lines => limited.read_until(b'\n', &mut bytes),
            Kind::Jws | Kind::Presentation | Kind::Json => limited.read_to_end(&mut bytes),
        };
        let result = read.and_then(|_| {
            let whole = self.kind != Kind::Lines || bytes.last() == Some(&b'\n');
            if !whole && bytes.len() > LINE_BYTES_MAX {
                self.reader.skip_until(b'\n')?;
            }
            Ok(())
        });
        result.map_err(failed)?;
        Ok(if bytes.is_empty() { None } else { Some(bytes) })
    }
}

/// A record that is to be appended.
pub(super) struct Item {
    /// The line it stands in.
    pub(super) line: usize,
    pub(super) body: Body,
    /// What is private of it: its presentation, for the node's vault.
    pub(super) private: Option<String>,
    /// What the line says will become of it.
    pub(super) expectation: Option<Expectation>,
}

pub(super) enum Body {
    /// Signed already.
    Signed { id: RecordId, jws: String },
    /// For the node to sign; has its salt.
    Unsigned { signer: Option<String>, record: Map<String, Value> },
}

/// A line's record before it has a salt.
pub(super) enum Parsed {
    /// Says itself that it will be refused.
    Skipped,
    Signed {
        id: RecordId,
        jws: String,
        /// Its presentation, where the line is one with private fields.
        private: Option<String>,
    },
    Unsigned(Unsigned),
}

/// Reads a line: a JWS, with or without its private fields, the same as a JSON
/// string, or a record as JSON.
pub(super) fn parse(text: &str, all: bool) -> Result<Parsed, Refusal> {
    if text.starts_with('{') {
        let line = Unsigned::parse(text)
            .map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
        return Ok(match line.expectation {
            Some(Expectation::Refused(_)) if !all => Parsed::Skipped,
            _ => Parsed::Unsigned(line),
        });
    }
    let jws = if text.starts_with('"') {
        serde_json::from_str(text).map_err(|_| {
            Refusal::new(Code::Malformed, "neither a JWS, a JSON string with one, nor a record")
        })?
    } else {
        text.to_owned()
    };
    if jws.contains('~') {
        let presentation = Presentation::parse(&jws)?;
        let record = presentation.record();
        let private = (!presentation.fields().is_empty()).then(|| presentation.to_string());
        let jws = String::from_utf8_lossy(record.jws()).into_owned();
        return Ok(Parsed::Signed { id: record.id(), jws, private });
    }
    let envelope = Envelope::parse(jws.as_bytes())?;
    Ok(Parsed::Signed { id: envelope.id(), jws, private: None })
}

/// Signs for one member on this machine.
pub(super) struct Signer {
    pub(super) kid: Kid,
    pub(super) key: RecordSecretKey,
    pub(super) origin: Origin,
}

impl Item {
    /// A record that waits for its signature, which has its salt, and what was
    /// taken out of it.
    pub(super) fn unsigned(
        line: usize,
        unsigned: Unsigned,
        disclosures: Vec<Disclosure>,
        signer: Option<&Signer>,
    ) -> Result<Self, Refusal> {
        let Some(own) = signer else {
            let Unsigned { signer, record, expectation } = unsigned;
            let body = Body::Unsigned { signer, record };
            return Ok(Self { line, body, private: None, expectation });
        };
        if let Some(named) = &unsigned.signer
            && named != own.kid.member.as_str()
        {
            let detail = format!("is {named}, but the key given signs for {}", own.kid.member);
            return Err(Refusal::of_field(Code::Malformed, "signer", detail));
        }
        let record = sign(unsigned.record, &own.origin, &own.kid.member, &own.kid.key, &own.key)?;
        let jws = String::from_utf8_lossy(record.jws()).into_owned();
        let body = Body::Signed { id: record.id(), jws };
        let private = match disclosures.is_empty() {
            true => None,
            false => Some(Presentation::new(record, disclosures)?.to_string()),
        };
        Ok(Self { line, body, private, expectation: unsigned.expectation })
    }

    /// The line that is sent.
    pub(super) fn outgoing(&self) -> Outgoing {
        match &self.body {
            Body::Signed { jws, .. } => Outgoing::Signed(jws.clone()),
            Body::Unsigned { signer: Some(signer), record } => {
                Outgoing::Unsigned(json!({ "signer": signer, "record": record }).to_string())
            }
            Body::Unsigned { signer: None, record } => {
                Outgoing::Unsigned(json!({ "record": record }).to_string())
            }
        }
    }

    /// Whether a receipt is of this very record on the ledger `origin`.
    pub(super) fn is_of(&self, receipt: &Receipt, origin: &Origin) -> bool {
        match &self.body {
            Body::Signed { id, .. } => *id == receipt.id(),
            Body::Unsigned { signer, record } => {
                let Ok(envelope) = Envelope::parse(receipt.record.clone()) else { return false };
                let by = envelope.signer().as_str();
                let payload: Result<Map<String, Value>, _> =
                    serde_json::from_slice(envelope.payload_json());
                let Ok(mut payload) = payload else { return false };
                let mut record = record.clone();
                if show(&mut payload) != hide(&mut record, envelope.payload().record_type) {
                    return false;
                }
                if !record.contains_key("ledger") {
                    payload.remove("ledger");
                }
                envelope.payload().ledger == *origin
                    && payload == record
                    && signer.as_ref().is_none_or(|signer| signer == by)
            }
        }
    }
}

/// Takes the digests out of a payload, and counts them.
fn show(payload: &mut Map<String, Value>) -> usize {
    payload.remove("_sd_alg");
    let mut digests = vec![payload.remove("_sd")];
    digests.push(data_of(payload).and_then(|data| data.remove("_sd")));
    digests.iter().flatten().filter_map(Value::as_array).map(Vec::len).sum()
}

/// Takes out of a record what the node keeps out of it, and counts that.
fn hide(record: &mut Map<String, Value>, record_type: RecordType) -> usize {
    let take = |object: &mut Map<String, Value>| {
        let before = object.len();
        object.retain(|name, _| !is_private(Some(record_type), name));
        before.saturating_sub(object.len())
    };
    let of_payload = take(record);
    of_payload.saturating_add(data_of(record).map_or(0, take)).saturating_add(show(record))
}

fn data_of(payload: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    payload.get_mut("data")?.as_object_mut()
}

/// What tells a line from all others, whatever its number: SHA-256 of its text.
pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn lines(name: &str, bytes: &[u8]) -> Vec<(usize, Result<String, Code>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mut input = Input::open(&path).unwrap();
        let mut found = Vec::new();
        while let Some(line) = input.next().unwrap() {
            found.push((line.number, line.text.map_err(|refusal| refusal.code)));
        }
        found
    }

    #[test]
    fn empty_lines_are_passed_over_and_keep_their_number() {
        let found = lines("a.jsonl", b"one\n\n  two \r\n\nthree");
        let expected = [(1, "one"), (3, "two"), (5, "three")];
        assert_eq!(found, expected.map(|(number, text)| (number, Ok(text.to_owned()))));
    }

    #[test]
    fn lines_that_are_too_long_or_not_text_do_not_stop_the_rest() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX + 500_000];
        bytes.extend_from_slice(b"\nlast\n\xff\xfe\n");
        assert_eq!(
            lines("a.jsonl", &bytes),
            [(1, Err(Code::TooLarge)), (2, Ok("last".to_owned())), (3, Err(Code::Malformed)),]
        );
    }

    #[test]
    fn a_file_of_one_record_may_have_many_lines() {
        assert_eq!(lines("a.json", b"{\n}\n"), [(1, Ok("{\n}".to_owned()))]);
    }

    #[test]
    fn names_tell_what_files_hold() {
        assert_eq!(Kind::of(Path::new("a.jws")).unwrap(), Kind::Jws);
        assert!(Kind::of(Path::new("a.txt")).is_err());
        assert!(Kind::of(Path::new("jsonl")).is_err());
    }

    #[test]
    fn lines_that_say_they_are_refused_are_skipped_unless_all_are_wanted() {
        let line = r#"{"expect":"refused:malformed","record":{}}"#;
        assert!(matches!(parse(line, false), Ok(Parsed::Skipped)));
        assert!(matches!(parse(line, true), Ok(Parsed::Unsigned(_))));
    }

    #[test]
    fn what_is_no_record_is_refused_here() {
        for line in ["{", "\"x\"", "\"x", "a.b", "[1]"] {
            assert!(parse(line, false).is_err(), "{line}");
        }
    }
}
