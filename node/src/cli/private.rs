//! `quittance private`: what a node's vault keeps that is private of a record, and
//! its erasure.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use quittance_ledger::{
    digest::RecordId,
    insurance::disclosure::Basis,
    limits::RECORD_BYTES_MAX,
    vault::{Disclosed, Place, Presentation},
};
use serde_json::Value;

use super::{ApiArgs, CommandResult, Failure, Outcome, output};
use crate::{
    client::{Client, ClientError, ErasedAnswer, Patience},
    files,
};

/// How long the node may take to bring the record of an erasure onto the ledger.
const ERASURE_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct PrivateArgs {
    /// The record's id
    #[arg(value_name = "ID")]
    id: RecordId,
    /// Erase it for good, on this ground: a code such as gdpr_17_1_b, which stands on the ledger for ever
    #[arg(long, value_name = "BASIS")]
    erase: Option<Basis>,
    /// Erase it for good, where the node does not hold its member's record key: this
    /// file is the signed record that says so (of the type disclosure.erased)
    #[arg(long, value_name = "JWS", conflicts_with = "erase")]
    erase_with: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print the node's own JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn private(args: &PrivateArgs) -> CommandResult {
    match (&args.erase, &args.erase_with) {
        (Some(basis), _) => {
            erase(args, |client| client.erase_private(&args.id, basis, ERASURE_WAIT))
        }
        (None, Some(path)) => {
            let jws = files::read_text(path, RECORD_BYTES_MAX + 2)?;
            erase(args, |client| client.erase_private_signed(&args.id, jws.trim(), ERASURE_WAIT))
        }
        (None, None) => read(args),
    }
}

fn read(args: &PrivateArgs) -> CommandResult {
    let client = args.api.client(Patience::NONE)?;
    if args.json {
        let answer = client.private_json(&args.id).map_err(failure)?;
        warn_of_readers();
        output::json(&answer)?;
        return Ok(Outcome::Yes);
    }
    let presentation = client.private(&args.id).map_err(failure)?;
    warn_of_readers();
    let mut table = output::table(&["field", "value"]);
    for row in rows(&presentation) {
        table.add_row(row);
    }
    output::line(table.to_string())?;
    Ok(Outcome::Yes)
}

/// Where private values are about to go into a file that is not the user's alone.
fn warn_of_readers() {
    if output::is_file_of_others() {
        output::note(
            "the output goes to a file that others on this machine can read, with what is private",
        );
    }
}

/// Each private field's name and value, with nothing in them that commands the
/// terminal.
fn rows(presentation: &Presentation) -> Vec<[String; 2]> {
    let row = |field: &Disclosed| {
        let name = field.disclosure.name();
        let name = match field.place {
            Place::Payload => name.to_owned(),
            Place::Data => format!("data.{name}"),
        };
        let value = match field.disclosure.value() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        [name, value].map(|text| output::printable_line(&text).into_owned())
    };
    presentation.fields().iter().map(row).collect()
}

fn erase(
    args: &PrivateArgs,
    erase: impl FnOnce(&Client) -> Result<ErasedAnswer, ClientError>,
) -> CommandResult {
    let client = args.api.client(Patience::NONE)?;
    let erased = erase(&client).map_err(failure)?;
    if args.json {
        output::json(&erased)?;
    } else {
        output::line(erased.erased_by.to_string())?;
    }
    if erased.status != "final" {
        output::note(
            "It is erased. The record that says so waits for its block; the node brings it there.",
        );
    }
    Ok(Outcome::Yes)
}

/// That there is nothing, or nothing any more, is an answer: no.
fn failure(error: ClientError) -> Failure {
    match error.problem() {
        Some(problem) if matches!(problem.status, 404 | 410) => {
            Failure::negative(output::printable_line(&problem.detail))
        }
        Some(problem) if problem.code == "key_not_held" => {
            Failure::unusable(format_args!("{error} (here: --erase-with FILE)"))
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::Parser;
    use ed25519_dalek::SigningKey;
    use quittance_ledger::{
        record,
        vault::{conceal, random_salt},
    };

    use super::*;
    use crate::{client::scripted, json};

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PrivateArgs,
    }

    fn run(url: &str, id: &str, more: &[&str]) -> CommandResult {
        let words = ["private", id, "--api", url].into_iter().chain(more.iter().copied());
        private(&Command::try_parse_from(words).unwrap().args)
    }

    fn presentation() -> Presentation {
        let payload = json::object(
            r#"{"type":"party.updated","salt":"AAAAAAAAAAAAAAAAAAAAAA",
                "occurred_at":"2026-01-01T00:00:00Z","name":"Anna\u202e Rossi",
                "data":{"what":"address","effective":"2026-02-01","address":"Via Garibaldi 12"}}"#,
        )
        .unwrap();
        let concealed = conceal(payload, &[], |_, _, _| random_salt()).unwrap();
        let (origin, member) = ("ledger.example/q".parse().unwrap(), "heca".parse().unwrap());
        let (key_id, key) = ("1".parse().unwrap(), SigningKey::from_bytes(&[1; 32]));
        let signed = record::sign(concealed.payload, &origin, &member, &key_id, &key).unwrap();
        Presentation::new(signed, concealed.disclosures).unwrap()
    }

    #[test]
    fn fields_are_named_by_their_place_and_cannot_command_the_terminal() {
        let rows = rows(&presentation());
        let expected = [["name", "Anna\u{fffd} Rossi"], ["data.address", "Via Garibaldi 12"]];
        assert_eq!(rows, expected);
    }

    #[test]
    fn private_fields_of_another_record_are_not_shown() {
        let kept = presentation();
        let (id, other) = (kept.record().id().to_string(), RecordId::of(b"another").to_string());
        let url = scripted::serve(move |request| {
            assert!(request.headers.contains(&"accept: application/sd-jwt".to_owned()));
            ("200 OK", kept.to_string())
        });
        assert_eq!(run(&url, &id, &[]).unwrap(), Outcome::Yes);
        let failure = run(&url, &other, &[]).unwrap_err();
        assert_eq!(failure.code, 2);
        assert!(failure.message.contains("another record"), "{}", failure.message);
    }

    #[test]
    fn what_was_erased_or_never_kept_is_a_no_and_a_missing_token_is_no_answer() {
        let id = RecordId::of(b"record").to_string();
        for (head, code, ends) in [
            ("410 Gone", "erased", 1),
            ("404 Not Found", "not_found", 1),
            ("401 Unauthorized", "token_required", 2),
            ("403 Forbidden", "insufficient_scope", 2),
        ] {
            let body = format!(r#"{{"code":"{code}","detail":"because"}}"#);
            let url = scripted::serve(move |_| (head, body.clone()));
            for more in [&[][..], &["--json"], &["--erase", "gdpr_17_1_b"]] {
                let failure = run(&url, &id, more).unwrap_err();
                assert_eq!(failure.code, ends, "{head} {more:?}");
                assert!(failure.message.contains("because"), "{}", failure.message);
            }
        }
    }

    #[test]
    fn an_erasure_says_why_and_a_name_is_no_ground() {
        let id = RecordId::of(b"record");
        let by = RecordId::of(b"erasure");
        let url = scripted::serve(move |request| {
            assert_eq!(request.line, format!("DELETE /v1/vault/{id} HTTP/1.1\r\n"));
            assert_eq!(request.body, r#"{"basis":"gdpr_17_1_b"}"#);
            let answer = format!(r#"{{"id":"{id}","erased_by":"{by}","status":"pending"}}"#);
            ("202 Accepted", answer)
        });
        let id = id.to_string();
        assert_eq!(run(&url, &id, &["--erase", "gdpr_17_1_b"]).unwrap(), Outcome::Yes);
        let both = ["private", &*id, "--erase", "gdpr_17_1_b", "--erase-with", "a.jws"];
        assert!(Command::try_parse_from(both).is_err());
        for wrong in ["Anna Rossi", "", "GDPR"] {
            let words = ["private", &*id, "--erase", wrong];
            assert!(Command::try_parse_from(words).is_err(), "{wrong}");
        }
    }
}
