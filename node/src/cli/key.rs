//! `quittance key`: making and showing keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quittance_ledger::transparency::{KeyKind, VerifierKey};
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
    #[command(after_help = "Example:\n  quittance key new --out key.pem")]
    New {
        /// Write the secret key to this new file, readable by its owner only; without it, to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
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
    public: String,
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_vkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigner_vkey: Option<String>,
}

pub(super) fn key(args: &KeyArgs) -> CommandResult {
    match &args.command {
        KeyCommand::New { out: Some(path) } => {
            let key = keys::generate()?;
            keys::save(path, &key)?;
            output::line(keys::public_text(&key.verifying_key()))?;
        }
        KeyCommand::New { out: None } => {
            if output::is_file_of_others() {
                return Err(Failure::unusable(
                    "others could read the secret key in that file; \
                     --out FILE makes one that only you can read",
                ));
            }
            let key = keys::generate()?;
            output::bytes(keys::to_pem(&key)?.as_bytes())?;
            output::note(keys::public_text(&key.verifying_key()));
        }
        KeyCommand::Show { key, vkey_name, json } => {
            let public = keys::load_public(key)?;
            let vkey = |kind| {
                vkey_name
                    .as_ref()
                    .map(|name| VerifierKey::new(name, kind, public))
                    .transpose()
                    .map(|key| key.map(|key| key.to_string()))
            };
            let shown = Shown {
                public: keys::public_text(&public),
                peer: keys::peer_id(&public),
                log_vkey: vkey(KeyKind::Log)?,
                cosigner_vkey: vkey(KeyKind::Cosigner)?,
            };
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
