//! `quittance sign`: a record, offline.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use quittance_ledger::{
    digest::Digest,
    limits::RECORD_BYTES_MAX,
    membership::{KeyId, MemberId, Origin},
    record::sign as sign_record,
    refusal::Refusal,
    vault::{Concealed, Presentation, PrivateField, conceal, random_salt},
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
    /// Keep this field out of the record, such as data.premium; may be given
    /// several times. Names, addresses, bank details and the like always are
    #[arg(long, value_name = "FIELD")]
    private: Vec<PrivateField>,
    /// Write the record with its private fields to this new file (SD-JWT), for
    /// `quittance append` to bring to the node's vault [default: the file of --out
    /// with the ending sd-jwt]
    #[arg(long, value_name = "FILE")]
    disclosures: Option<PathBuf>,
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

/// How the file is named that holds a record with its private fields.
pub(super) const PRESENTATION_EXTENSION: &str = "sd-jwt";

pub(super) fn sign(args: &SignArgs) -> CommandResult {
    let presentation = signed(args)?;
    let record = presentation.record();
    let private = presentation.fields().len();
    if private > 0 {
        let path = private_path(args)?;
        if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
            return Err(Failure::unusable(format_args!("{} is there already", out.display())));
        }
        // First: a record whose private fields are lost is worth little.
        files::create(&path, presentation.to_string().as_bytes(), true)?;
        output::note(format!(
            "{private} private {} in {}: it is not for the ledger; keep it where only those read \
             who may",
            if private == 1 { "field" } else { "fields" },
            path.display()
        ));
    }
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

/// Where the private fields go.
fn private_path(args: &SignArgs) -> Result<PathBuf, Failure> {
    let beside = |out: &PathBuf| out.with_extension(PRESENTATION_EXTENSION);
    args.disclosures.clone().or_else(|| args.out.as_ref().map(beside)).ok_or_else(|| {
        Failure::unusable(
            "the record has private fields; say with --disclosures FILE where they go",
        )
    })
}

fn signed(args: &SignArgs) -> Result<Presentation, Failure> {
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
    let refused = |refusal: Refusal| Failure::negative(format_args!("{name}: {refusal}"));
    let Concealed { payload, disclosures } =
        conceal(payload, &args.private, |_, _, _| random_salt()).map_err(refused)?;
    let record = sign_record(payload, &args.ledger, &args.kid.member, &args.kid.key, &key)
        .map_err(refused)?;
    Presentation::new(record, disclosures).map_err(refused)
}

/// The file with the private fields of the record in `path`, where there is one.
pub(super) fn presentation_beside(path: &Path) -> Option<PathBuf> {
    let beside = path.with_extension(PRESENTATION_EXTENSION);
    (beside != path && beside.is_file()).then_some(beside)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quittance_ledger::record::Envelope;
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
            private: Vec::new(),
            disclosures: None,
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

    const MOVED: &str = r#"{"type":"party.updated","occurred_at":"2026-01-02T08:00:00+01:00",
        "name":"Anna Rossi","contract":"petexpert/PX-1",
        "data":{"what":"address","effective":"2026-02-01","address":"Via Garibaldi 12"}}"#;

    #[test]
    fn private_fields_go_into_a_file_beside_the_record() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path(), MOVED);
        assert_eq!(sign(&args).unwrap(), Outcome::Yes);
        let record = std::fs::read(folder.path().join("record.jws")).unwrap();
        let beside = folder.path().join("record.sd-jwt");
        let text = std::fs::read_to_string(&beside).unwrap();
        assert_eq!(std::fs::metadata(&beside).unwrap().permissions().mode() & 0o777, 0o600);
        let presentation = Presentation::parse(&text).unwrap();
        assert_eq!(&**presentation.record().jws(), &*record);
        let names: Vec<_> =
            presentation.fields().iter().map(|field| field.disclosure.name()).collect();
        assert_eq!(names, ["name", "address"]);
        let shown = String::from_utf8_lossy(presentation.record().payload_json()).into_owned();
        assert!(!shown.contains("Rossi") && !shown.contains("Garibaldi"), "{shown}");
        assert_eq!(presentation_beside(&folder.path().join("record.jws")), Some(beside.clone()));
        assert_eq!(presentation_beside(&beside), None);
    }

    #[test]
    fn private_fields_are_never_written_among_the_record_nor_lost() {
        let folder = tempfile::tempdir().unwrap();
        let without_file = SignArgs { out: None, ..args(folder.path(), MOVED) };
        let failure = sign(&without_file).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.message.contains("--disclosures"), "{}", failure.message);
        // Where the record cannot be written, its private fields are not either.
        let args = args(folder.path(), MOVED);
        std::fs::write(folder.path().join("record.jws"), "another").unwrap();
        assert_eq!(sign(&args).unwrap_err().code, 2);
        assert!(!folder.path().join("record.sd-jwt").exists());
        // And the other way round.
        std::fs::remove_file(folder.path().join("record.jws")).unwrap();
        std::fs::write(folder.path().join("record.sd-jwt"), "another").unwrap();
        assert_eq!(sign(&args).unwrap_err().code, 2);
        assert!(!folder.path().join("record.jws").exists());
    }

    #[test]
    fn other_fields_are_private_by_flag_and_the_rest_must_be_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let quote = r#"{"type":"contract.quoted","occurred_at":"2026-01-02T08:00:00+01:00",
            "data":{"quote":"Q-1","premium":12000,"currency":"EUR"}}"#;
        let private = |fields: &[&str]| SignArgs {
            private: fields.iter().map(|field| field.parse().unwrap()).collect(),
            ..args(folder.path(), quote)
        };
        for (fields, says) in
            [(&["data.quote"][..], "data.quote is what"), (&["data.x"][..], "data.x")]
        {
            let failure = sign(&private(fields)).unwrap_err();
            assert!(failure.code == 1 && failure.message.contains(says), "{}", failure.message);
        }
        assert_eq!(sign(&private(&["data.premium"])).unwrap(), Outcome::Yes);
        let text = std::fs::read_to_string(folder.path().join("record.sd-jwt")).unwrap();
        let presentation = Presentation::parse(&text).unwrap();
        assert_eq!(presentation.fields()[0].disclosure.value(), 12000);
    }

    #[test]
    fn a_kid_is_a_member_and_a_key() {
        assert!("petexpert#1".parse::<Kid>().is_ok());
        for wrong in ["petexpert", "#1", "petexpert#", "PetExpert#1"] {
            assert!(wrong.parse::<Kid>().is_err(), "{wrong}");
        }
    }
}
