//! `quittance document`: whether files are those that a record speaks of.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use quittance_ledger::{
    digest::Digest,
    limits::RECORD_BYTES_MAX,
    record::{Document, Envelope},
};
use serde::Serialize;

use super::commitment_of;
use crate::{
    cli::{CommandResult, Failure, Outcome, append::salts, output},
    files::{self, FileError},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The record: a JWS
    #[arg(value_name = "RECORD.JWS")]
    record: PathBuf,
    /// Files that may be documents of it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The salts that were kept beside the file that was signed or appended
    #[arg(long, value_name = "FILE", required_unless_present = "salt")]
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
    let bytes = files::read(&args.record, RECORD_BYTES_MAX)?;
    let record = Envelope::parse(bytes.trim_ascii_end()).map_err(|refusal| {
        Failure::unusable(format_args!("{}: {refusal}", args.record.display()))
    })?;
    let documents = &record.payload().documents;
    let commitments = documents.iter().map(|document| *document.commitment.digest()).collect();
    let kept = match &args.salts {
        Some(path) => salts::of_commitments(path, &commitments)?,
        None => HashMap::new(),
    };
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
