//! `quittance key`: making and showing keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quittance_ledger::{
    membership::{Algorithm, RecordPublicKey},
    transparency::{KeyKind, VerifierKey},
};
use serde::Serialize;

use super::{CommandResult, Failure, Outcome, output};
use crate::keys;

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key, and print its public part in base64
    #[command(
        after_help = "Examples:\n  quittance key new --out key.pem\n  quittance key new --alg ES256 --out record.pem"
    )]
    New {
        /// Ed25519, or ES256 (P-256), which only record keys may be
        #[arg(long, value_name = "ALG", default_value_t = Algorithm::Ed25519)]
        alg: Algorithm,
        /// Write the secret key to this new file, readable by its owner only; without it, to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a match key, which members share out of band to find the same document at two of them
    #[command(after_help = "Example:\n  quittance key match --out match.key")]
    Match {
        /// Write the key to this new file, readable by its owner only
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the public part of a key
    #[command(
        after_help = "Example:\n  quittance key show key.pem --vkey-name ledger.example/quittance"
    )]
    Show {
        /// A secret or public key
        #[arg(value_name = "PEM")]
        key: PathBuf,
        /// Also show it as C2SP vkeys of this name
        #[arg(long, value_name = "NAME")]
        vkey_name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Shown {
    alg: &'static str,
    public: String,
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_vkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigner_vkey: Option<String>,
}

/// Only Ed25519 keys name nodes or sign checkpoints.
fn shown(public: &RecordPublicKey, vkey_name: Option<&str>) -> Result<Shown, Failure> {
    let mut shown = Shown {
        alg: public.algorithm().as_str(),
        public: public.to_string(),
        peer: None,
        log_vkey: None,
        cosigner_vkey: None,
    };
    match (public, vkey_name) {
        (RecordPublicKey::Ed25519(key), name) => {
            let vkey = |kind| {
                name.map(|name| VerifierKey::new(name, kind, *key))
                    .transpose()
                    .map(|key| key.map(|key| key.to_string()))
            };
            shown.peer = keys::peer_id(key);
            shown.log_vkey = vkey(KeyKind::Log)?;
            shown.cosigner_vkey = vkey(KeyKind::Cosigner)?;
        }
        (RecordPublicKey::Es256(_), None) => {}
        (RecordPublicKey::Es256(_), Some(_)) => {
            return Err(Failure::unusable("the key is of ES256; vkeys are Ed25519 keys"));
        }
    }
    Ok(shown)
}

pub(super) fn key(args: &KeyArgs) -> CommandResult {
    match &args.command {
        KeyCommand::New { alg, out: Some(path) } => {
            let key = keys::generate_record(*alg)?;
            keys::save_record(path, &key)?;
            output::line(key.public().to_string())?;
        }
        KeyCommand::New { alg, out: None } => {
            if output::is_file_of_others() {
                return Err(Failure::unusable(
                    "others could read the secret key in that file; \
                     --out FILE makes one that only you can read",
                ));
            }
            let key = keys::generate_record(*alg)?;
            output::bytes(keys::record_to_pem(&key)?.as_bytes())?;
            output::note(key.public().to_string());
        }
        KeyCommand::Match { out } => {
            keys::create_match_key(out)?;
            output::note(
                "Whoever has this key can tell whether a document that he holds is on the ledger; \
                 hand it to members only, and not through the ledger.",
            );
        }
        KeyCommand::Show { key, vkey_name, json } => {
            let public = keys::load_record_public(key)?;
            let shown = shown(&public, vkey_name.as_deref())?;
            if *json {
                output::json(&shown)?;
            } else {
                output::line(&shown.public)?;
                for vkey in [shown.log_vkey, shown.cosigner_vkey].into_iter().flatten() {
                    output::line(vkey)?;
                }
            }
        }
    }
    Ok(Outcome::Yes)
}
