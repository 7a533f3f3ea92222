//! Documents of records: what a record says of files, and whether a file is one
//! that a record speaks of. Files are read in one pass and never stand in memory.

mod check;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use quittance_ledger::{
    digest::Digest,
    record::{FileCommitment, MatchKey},
    refusal::{Code, Refusal},
};
use serde_json::{Map, Value, json};

pub(super) use self::check::{CheckArgs, check};
use super::{Failure, append::salts::Salts};
use crate::{
    files::{self, FileError},
    keys,
};

/// The private field of a payload that holds the salts of its documents: an
/// object from the commitment in hexadecimal to the salt in base64url.
const DOCUMENT_SALTS: &str = "document_salts";

/// Options of commands that sign.
#[derive(Debug, Default, Args)]
pub(super) struct DocumentOptions {
    /// A file that the record commits to: KIND=FILE, or KIND:MEDIA/TYPE=FILE; may be repeated
    #[arg(long = "document", value_name = "KIND=FILE")]
    pub(super) documents: Vec<NamedFile>,
    /// The match key that the members share, to record each file's `match` too
    #[arg(long, value_name = "FILE")]
    match_key: Option<PathBuf>,
}

impl DocumentOptions {
    pub(super) fn match_key(&self) -> Result<Option<MatchKey>, Failure> {
        Ok(self.match_key.as_deref().map(keys::load_match_key).transpose()?)
    }
}

/// A file, and what the record calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    kind: String,
    /// As its name tells, where none is given.
    media_type: Option<String>,
    path: PathBuf,
}

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .filter(|(name, path)| !name.is_empty() && !path.is_empty())
            .ok_or("expected KIND=FILE, such as invoice=invoice.pdf")?;
        // A code may hold a colon; a media type holds a slash, which tells it apart.
        let (kind, media_type) = match name.rsplit_once(':') {
            Some((kind, media_type)) if media_type.contains('/') => (kind, Some(media_type)),
            _ => (name, None),
        };
        Ok(Self {
            kind: kind.to_owned(),
            media_type: media_type.map(str::to_owned),
            path: PathBuf::from(path),
        })
    }
}

impl NamedFile {
    /// The entry of a record's `documents` that names a file: `{kind, file,
    /// media_type?}`. None for one that names none.
    fn of_entry(entry: &Value, field: &str, folder: &Path) -> Result<Option<Self>, Refusal> {
        let Value::Object(members) = entry else { return Ok(None) };
        if !members.contains_key("file") {
            return Ok(None);
        }
        let wrong = |name: &str, predicate: &str| {
            let field = format!("{field}.{name}");
            let detail = format!("{field} {predicate}");
            Refusal::of_field(Code::Malformed, field, detail)
        };
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name, "must be a text")),
        };
        if let Some(name) =
            members.keys().find(|name| !["kind", "file", "media_type"].contains(&name.as_str()))
        {
            return Err(wrong(name, "must not stand beside a file, from which it is computed"));
        }
        let kind = text("kind")?.ok_or_else(|| wrong("kind", "is missing"))?;
        let file = text("file")?.unwrap_or_default();
        Ok(Some(Self { kind, media_type: text("media_type")?, path: folder.join(file) }))
    }

    fn media_type(&self) -> Result<String, Failure> {
        let guessed = || mime_guess::from_path(&self.path).first_raw().map(str::to_owned);
        self.media_type.clone().or_else(guessed).ok_or_else(|| {
            Failure::unusable(format_args!(
                "the name of {} does not tell its media type; say it: \
                 {}:application/octet-stream=…, or media_type beside the file",
                self.path.display(),
                self.kind
            ))
        })
    }

    /// Reads the file, gives what the record says of it, and notes the salt.
    fn document(
        &self,
        line: Digest,
        match_key: Option<&MatchKey>,
        salts: &mut Salts,
        document_salts: &mut Map<String, Value>,
    ) -> Result<Value, Failure> {
        let media_type = self.media_type()?;
        let of = [
            line.as_bytes(),
            self.kind.as_bytes(),
            b"\0",
            self.path.as_os_str().as_encoded_bytes(),
        ];
        let (FileCommitment { size, commitment, match_tag }, salt) =
            salts.of_document(Digest::of(&of.concat()), &self.path, |salt| {
                commitment_of(&self.path, salt, match_key)
            })?;
        let mut document = json!({
            "kind": self.kind, "media_type": media_type, "size": size,
            "commitment": commitment.to_string(),
        });
        document_salts.insert(commitment.to_string(), salt.into());
        if let (Some(match_tag), Some(document)) = (match_tag, document.as_object_mut()) {
            document.insert("match".to_owned(), match_tag.to_string().into());
        }
        Ok(document)
    }
}

/// Reads a regular file to its end. One that changes meanwhile is refused: it would
/// be committed to bytes that never stood in it together.
fn commitment_of(
    path: &Path,
    salt: &[u8; 16],
    match_key: Option<&MatchKey>,
) -> Result<FileCommitment, FileError> {
    files::read_unchanged(path, |file| FileCommitment::of(file, salt, match_key))
}

/// Whether signing that record takes files.
pub(super) fn names_files(record: &Map<String, Value>, options: &DocumentOptions) -> bool {
    let names_file = |entry: &Value| entry.get("file").is_some();
    let entries = record.get("documents").and_then(Value::as_array);
    !options.documents.is_empty() || entries.is_some_and(|entries| entries.iter().any(names_file))
}

/// Puts what the record says of files into its `documents`: in place of entries
/// that name one, relative to `folder`, and of those in the options after them.
/// `line` is the digest of the text that the record stands in; the same text
/// gets the same salts. These go into the private field `document_salts`.
pub(super) fn fill_in(
    record: &mut Map<String, Value>,
    folder: &Path,
    options: &DocumentOptions,
    match_key: Option<&MatchKey>,
    line: Digest,
    salts: &mut Salts,
) -> Result<Result<(), Refusal>, Failure> {
    let mut document_salts = match record.get(DOCUMENT_SALTS) {
        None => Map::new(),
        Some(Value::Object(given)) => given.clone(),
        Some(_) => {
            let detail = format!("{DOCUMENT_SALTS} must be an object of commitments and salts");
            return Ok(Err(Refusal::of_field(Code::Malformed, DOCUMENT_SALTS, detail)));
        }
    };
    let documents = record.entry("documents").or_insert_with(|| Value::Array(Vec::new()));
    // What is no list is refused when the record is read.
    let Value::Array(documents) = documents else { return Ok(Ok(())) };
    for (place, entry) in documents.iter_mut().enumerate() {
        match NamedFile::of_entry(entry, &format!("documents[{place}]"), folder) {
            Ok(Some(file)) => {
                *entry = file.document(line, match_key, salts, &mut document_salts)?;
            }
            Ok(None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    for file in &options.documents {
        documents.push(file.document(line, match_key, salts, &mut document_salts)?);
    }
    if !document_salts.is_empty() {
        record.insert(DOCUMENT_SALTS.to_owned(), Value::Object(document_salts));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn salts(folder: &Path) -> Salts {
        Salts::open(&folder.join("a.jsonl")).unwrap()
    }

    fn filled(folder: &Path, record: Value, salts: &mut Salts) -> Result<Value, String> {
        let Value::Object(mut record) = record else { return Err("no object".to_owned()) };
        let options = DocumentOptions::default();
        let key = MatchKey::from_bytes([7; 32]);
        match fill_in(&mut record, folder, &options, Some(&key), Digest::of(b"line"), salts) {
            Ok(Ok(())) => Ok(Value::Object(record)),
            Ok(Err(refusal)) => Err(refusal.to_string()),
            Err(failure) => Err(failure.message),
        }
    }

    #[test]
    fn options_name_kind_media_type_and_file() {
        let parse = |text: &str| text.parse::<NamedFile>();
        let file = parse("invoice=a=b.pdf").unwrap();
        assert_eq!((file.kind.as_str(), file.path.to_str().unwrap()), ("invoice", "a=b.pdf"));
        assert_eq!(file.media_type().unwrap(), "application/pdf");
        let file = parse("photo:image/x-own=b").unwrap();
        assert_eq!((file.kind.as_str(), &*file.media_type().unwrap()), ("photo", "image/x-own"));
        assert_eq!(parse("ns:photo=b.jpg").unwrap().kind, "ns:photo");
        assert!(parse("photo=b").unwrap().media_type().is_err());
        for wrong in ["", "invoice", "=a.pdf", "invoice="] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_same_line_makes_the_same_documents_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invoice.pdf");
        std::fs::write(&path, "an invoice").unwrap();
        let record = json!({"documents": [{"kind": "invoice", "file": "invoice.pdf"}]});
        let mut first = salts(folder.path());
        let made = filled(folder.path(), record.clone(), &mut first).unwrap();
        assert_eq!(made["documents"][0]["size"], 10);
        assert_eq!(made["documents"][0]["match"].as_str().unwrap().len(), 64);
        let commitment = made["documents"][0]["commitment"].as_str().unwrap();
        let document_salts = made["document_salts"].as_object().unwrap();
        assert_eq!(document_salts.len(), 1);
        let salt = URL_SAFE_NO_PAD.decode(document_salts[commitment].as_str().unwrap()).unwrap();
        let recomputed = commitment_of(&path, &salt.try_into().unwrap(), None).unwrap();
        assert_eq!(recomputed.commitment.to_string(), commitment);
        first.sync().unwrap();
        drop(first);
        let mut second = salts(folder.path());
        assert_eq!(filled(folder.path(), record.clone(), &mut second).unwrap(), made);
        std::fs::write(&path, "An invoice").unwrap();
        let error = filled(folder.path(), record, &mut second).unwrap_err();
        assert!(error.contains("invoice.pdf") && error.contains("changed"), "{error}");
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_committed_to_in_no_mixture() {
        use std::{
            fs::OpenOptions,
            io::Write as _,
            os::unix::fs::FileExt as _,
            sync::atomic::{AtomicBool, Ordering},
            thread,
            time::Duration,
        };

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scan.tiff");
        // Takes no room on the disk, and some time to read.
        std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        for grows in [false, true] {
            let done = AtomicBool::new(false);
            let read = thread::scope(|scope| {
                scope.spawn(|| {
                    let mut file =
                        OpenOptions::new().append(grows).write(true).open(&path).unwrap();
                    while !done.load(Ordering::Relaxed) {
                        let written =
                            if grows { file.write_all(b"x") } else { file.write_all_at(b"x", 0) };
                        written.unwrap();
                        thread::sleep(Duration::from_millis(1));
                    }
                });
                let read = commitment_of(&path, &[7; 16], None);
                done.store(true, Ordering::Relaxed);
                read
            });
            assert!(matches!(read, Err(FileError::Changing(_))), "{grows} {read:?}");
        }
        let whole = commitment_of(&path, &[7; 16], None).unwrap();
        assert_eq!(whole.size, size(&path));
    }

    #[test]
    fn salts_that_are_given_stay_beside_those_that_are_made() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.pdf"), "an invoice").unwrap();
        let documents = json!([{"kind": "invoice", "file": "a.pdf"}]);
        let mut salts = salts(folder.path());
        let given = json!({"documents": documents, "document_salts": {"0": "AA"}});
        let made = filled(folder.path(), given, &mut salts).unwrap();
        assert_eq!(made["document_salts"].as_object().unwrap().len(), 2);
        let wrong = json!({"documents": documents, "document_salts": 7});
        let error = filled(folder.path(), wrong, &mut salts).unwrap_err();
        assert!(error.contains("document_salts"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut salts = salts(folder.path());
        let mut of = |entry: Value| {
            filled(folder.path(), json!({"documents": [entry]}), &mut salts).unwrap_err()
        };
        for (entry, says) in [
            (json!({"kind": "invoice", "file": "missing.pdf"}), "missing.pdf"),
            (json!({"kind": "invoice", "file": ".", "media_type": "a/b"}), "no regular file"),
            (json!({"kind": "invoice", "file": 7}), "documents[0].file"),
            (json!({"file": "a.pdf"}), "documents[0].kind"),
            (json!({"kind": "a", "file": "a.pdf", "size": 7}), "documents[0].size"),
        ] {
            let error = of(entry);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn entries_that_are_computed_already_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let record = json!({"documents": [{"kind": "invoice", "commitment": "0".repeat(64)}]});
        let Value::Object(members) = &record else { return };
        assert!(!names_files(members, &DocumentOptions::default()));
        let mut salts = salts(folder.path());
        assert_eq!(filled(folder.path(), record.clone(), &mut salts).unwrap(), record);
    }
}
