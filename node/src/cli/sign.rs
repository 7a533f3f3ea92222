//! `quittance sign`: a record, offline.

use std::{io::IsTerminal as _, path::PathBuf, str::FromStr};

use clap::Args;
use quittance_ledger::{
    digest::Digest,
    limits::RECORD_BYTES_MAX,
    membership::{KeyId, MemberId, Origin},
    record::{Envelope, sign as sign_record},
};

use super::{
    CommandResult, Failure, Outcome,
    append::salts::Salts,
    documents::{self, DocumentOptions},
    output,
};
use crate::{files, json, keys};

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The member's secret record key
    #[arg(long, value_name = "PEM")]
    key: PathBuf,
    /// Which key that is: the member's id, # and the key's id
    #[arg(long, value_name = "MEMBER#KEY")]
    kid: Kid,
    /// The name of the ledger that the record is for
    #[arg(long, value_name = "ORIGIN")]
    ledger: Origin,
    /// Write the record to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    documents: DocumentOptions,
    /// The record as JSON, without ledger and salt; - is standard input
    #[arg(value_name = "RECORD.JSON")]
    record: PathBuf,
}

/// A key's full name: `<member>#<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kid {
    pub(super) member: MemberId,
    pub(super) key: KeyId,
}

impl FromStr for Kid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (member, key) =
            text.split_once('#').ok_or("expected <member>#<key>, such as petexpert#1")?;
        Ok(Self {
            member: member.parse().map_err(|error| format!("{error}"))?,
            key: key.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

pub(super) fn sign(args: &SignArgs) -> CommandResult {
    let record = signed(args)?;
    // Exactly the record and no newline, so that sha256sum prints its id.
    match &args.out {
        Some(path) => files::create(path, record.jws(), false)?,
        None => output::bytes(record.jws())?,
    }
    if args.out.is_some() || !std::io::stdout().is_terminal() {
        output::note(format!("Record {}", record.id()));
    }
    Ok(Outcome::Yes)
}

fn signed(args: &SignArgs) -> Result<Envelope, Failure> {
    let key = keys::load_record(&args.key)?;
    let text = files::read_text(&args.record, RECORD_BYTES_MAX)?;
    let name = args.record.display();
    let mut payload =
        json::object(&text).map_err(|error| Failure::unusable(format_args!("{name}: {error}")))?;
    if documents::names_files(&payload, &args.documents) {
        let out = args.out.as_deref().ok_or_else(|| {
            Failure::unusable("give --out: the salts of the documents are kept beside the record")
        })?;
        let folder = files::folder_of(&args.record);
        let match_key = args.documents.match_key()?;
        let mut salts = Salts::open(out)?;
        let line = Digest::of(text.as_bytes());
        let (options, key) = (&args.documents, match_key.as_ref());
        documents::fill_in(&mut payload, folder, options, key, line, &mut salts)?
            .map_err(|refusal| Failure::negative(format_args!("{name}: {refusal}")))?;
        salts.sync()?;
    }
    sign_record(payload, &args.ledger, &args.kid.member, &args.kid.key, &key)
        .map_err(|refusal| Failure::negative(format_args!("{name}: {refusal}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sha2::{Digest as _, Sha256};

    use super::*;

    fn args(folder: &std::path::Path, record: &str) -> SignArgs {
        let (key, path) = (folder.join("key.pem"), folder.join("record.json"));
        if !key.exists() {
            keys::save(&key, &keys::generate().unwrap()).unwrap();
        }
        std::fs::write(&path, record).unwrap();
        SignArgs {
            key,
            kid: "petexpert#1".parse().unwrap(),
            ledger: "ledger.example/q".parse().unwrap(),
            out: Some(folder.join("record.jws")),
            documents: DocumentOptions::default(),
            record: path,
        }
    }

    #[test]
    fn the_id_is_the_sha256_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let insurer = "petexpert".parse().unwrap();
        let args = args(folder.path(), &super::super::run::first_record(&insurer));
        assert_eq!(sign(&args).unwrap(), Outcome::Yes);
        let bytes = std::fs::read(args.out.as_ref().unwrap()).unwrap();
        let record = Envelope::parse(bytes.clone()).unwrap();
        assert_eq!(record.id().to_string(), hex::encode(Sha256::digest(&bytes)));
        assert_eq!(record.signer().as_str(), "petexpert");
        // A second record is never written over the first.
        let error = sign(&args).unwrap_err().message;
        assert!(error.contains("record.jws"), "{error}");
    }

    #[test]
    fn what_cannot_be_a_record_is_refused_with_its_field() {
        let folder = tempfile::tempdir().unwrap();
        for (record, code, says) in [
            ("[]", 2, "record.json"),
            (r#"{"type":"claim.closed","type":"claim.closed"}"#, 2, "stands twice"),
            (r#"{"type":"claim.closed"}"#, 1, "malformed"),
            (r#"{"type":"claim.closed","ledger":"another.example/q"}"#, 1, "wrong_ledger"),
        ] {
            let failure = sign(&args(folder.path(), record)).unwrap_err();
            assert_eq!(failure.code, code, "{record}");
            assert!(failure.message.contains(says), "{}", failure.message);
        }
    }

    #[test]
    fn a_kid_is_a_member_and_a_key() {
        assert!("petexpert#1".parse::<Kid>().is_ok());
        for wrong in ["petexpert", "#1", "petexpert#", "PetExpert#1"] {
            assert!(wrong.parse::<Kid>().is_err(), "{wrong}");
        }
    }
}
