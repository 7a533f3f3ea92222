//! `quittance document`: whether files are those that a record speaks of.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use quittance_ledger::{
    digest::Digest,
    limits::PRESENTATION_BYTES_MAX,
    record::{Document, Envelope},
    vault::{Place, Presentation},
};
use serde::Serialize;

use super::{DOCUMENT_SALTS, commitment_of};
use crate::{
    cli::{CommandResult, Failure, Outcome, append::salts, output, sign::presentation_beside},
    files::{self, FileError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The record: a JWS, or one with its private fields (SD-JWT)
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// Files that may be documents of it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The record with its private fields (SD-JWT), or the file of salts that was
    /// kept beside what was signed or appended [default: the one beside the record]
    #[arg(long, value_name = "FILE")]
    salts: Option<PathBuf>,
    /// The salt of one document, 16 bytes in base64url; may be repeated
    #[arg(long, value_name = "BASE64URL", value_parser = salt)]
    salt: Vec<[u8; 16]>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn salt(text: &str) -> Result<[u8; 16], String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "expected 16 bytes in base64url, 22 characters".to_owned())
}

#[derive(Serialize)]
struct Checked {
    file: String,
    /// Its place among the record's documents, from 0; null where it is none of them.
    document: Option<usize>,
    kind: Option<String>,
}

pub(in crate::cli) fn check(args: &CheckArgs) -> CommandResult {
    let presentation = read(&args.record)?;
    let record = presentation.record();
    let documents = &record.payload().documents;
    let kept = kept_salts(args, &presentation)?;
    let mut all = true;
    let mut checked = Vec::new();
    for path in &args.files {
        let found = document_of(path, documents, &kept, &args.salt)?;
        all &= found.is_some();
        checked.push(Checked {
            file: path.display().to_string(),
            document: found.map(|(place, _)| place),
            kind: found.map(|(_, document)| document.kind.as_str().to_owned()),
        });
    }
    if args.json {
        output::json(&checked)?;
    } else {
        for Checked { file, document, kind } in &checked {
            output::line(output::printable_line(&match (document, kind) {
                (Some(place), Some(kind)) => {
                    format!("{file}: documents[{place}] of the record, {kind}, unchanged")
                }
                _ => format!(
                    "{file}: none of the record's documents whose salts are given; \
                     the file was changed, or is another one"
                ),
            }))?;
        }
    }
    Ok(if all { Outcome::Yes } else { Outcome::No })
}

/// Reads a record with or without private fields.
fn read(path: &Path) -> Result<Presentation, Failure> {
    let text = files::read_text(path, PRESENTATION_BYTES_MAX)?;
    let text = text.trim_ascii_end();
    let read = if text.contains('~') {
        Presentation::parse(text)
    } else {
        Envelope::parse(text.as_bytes()).and_then(|record| Presentation::new(record, Vec::new()))
    };
    read.map_err(|refusal| Failure::unusable(format_args!("{}: {refusal}", path.display())))
}

/// The salts of the record's documents: from where the options say, or from
/// what is found in the record or beside it.
fn kept_salts(
    args: &CheckArgs,
    record: &Presentation,
) -> Result<HashMap<Digest, [u8; 16]>, Failure> {
    let path = match &args.salts {
        Some(path) => path.clone(),
        None => {
            let own = of_presentation(record);
            if !own.is_empty() || !args.salt.is_empty() {
                return Ok(own);
            }
            let beside = Some(files::beside(&args.record, ".salts")).filter(|path| path.is_file());
            presentation_beside(&args.record).or(beside).ok_or_else(|| {
                Failure::unusable(
                    "neither beside the record nor in it are salts; say with --salts FILE where \
                     they are: in the record's .sd-jwt, or in the .salts beside what was signed",
                )
            })?
        }
    };
    if !is_presentation(&path)? {
        let documents = &record.record().payload().documents;
        let commitments = documents.iter().map(|document| *document.commitment.digest()).collect();
        return Ok(salts::of_commitments(&path, &commitments)?);
    }
    let presentation = read(&path)?;
    if presentation.record().id() != record.record().id() {
        return Err(Failure::unusable(format_args!(
            "{} is of another record than {}",
            path.display(),
            args.record.display()
        )));
    }
    Ok(of_presentation(&presentation))
}

/// Whether a file holds a record with private fields: a file of salts has JSON
/// objects, and a JWS never begins as one.
fn is_presentation(path: &Path) -> Result<bool, FileError> {
    let mut first = Vec::new();
    let file = fs::File::open(path).map_err(FileError::io("open", path))?;
    file.take(1).read_to_end(&mut first).map_err(FileError::io("read", path))?;
    Ok(first.first().is_some_and(|byte| *byte != b'{'))
}

/// The salts that a record discloses. What is no salt is passed over: nothing is
/// made of what is read here.
fn of_presentation(presentation: &Presentation) -> HashMap<Digest, [u8; 16]> {
    let disclosed = presentation
        .fields()
        .iter()
        .filter(|field| field.place == Place::Payload)
        .filter(|field| field.disclosure.name() == DOCUMENT_SALTS);
    disclosed
        .filter_map(|field| field.disclosure.value().as_object())
        .flatten()
        .filter_map(|(commitment, text)| {
            Some((commitment.parse().ok()?, salt(text.as_str()?).ok()?))
        })
        .collect()
}

/// Which of the documents a file is. It is read once for each salt that could fit.
fn document_of<'d>(
    path: &Path,
    documents: &'d [Document],
    kept: &HashMap<Digest, [u8; 16]>,
    given: &[[u8; 16]],
) -> Result<Option<(usize, &'d Document)>, Failure> {
    let size = fs::metadata(path).map_err(FileError::io("read", path))?.len();
    for (place, document) in documents.iter().enumerate() {
        if document.size.get() != size {
            continue;
        }
        for salt in kept.get(document.commitment.digest()).into_iter().chain(given) {
            if commitment_of(path, salt, None)?.commitment == document.commitment {
                return Ok(Some((place, document)));
            }
        }
    }
    Ok(None)
}
