//! `quittance policy`: whose signatures make a checkpoint valid.

use std::io::{self, IsTerminal as _};

use clap::Args;
use quittance_ledger::membership::Membership;

use super::{CommandResult, Outcome, output, source::Source};
use crate::{
    client::{Client, Patience},
    layout::{DataFolder, read_genesis},
};

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// A data folder, the URL of a node, or a genesis.toml
    #[arg(value_name = "DIR|URL|FILE")]
    source: Source,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "PEM")]
    ca: Option<std::path::PathBuf>,
}

pub(super) fn policy(args: &PolicyArgs) -> CommandResult {
    let policy = match &args.source {
        Source::Url(url) => Client::new(url, args.ca.as_deref(), Patience::NONE)?.policy()?,
        Source::Path(path) if path.is_dir() => DataFolder::new(path).membership()?.policy(),
        Source::Path(path) => Membership::from_genesis(&read_genesis(path)?).policy(),
    };
    let bytes = policy.to_bytes();
    if io::stdout().is_terminal() {
        // A node chooses the names in its policy; a file gets them as they are.
        output::bytes(output::printable(&String::from_utf8_lossy(&bytes)).as_bytes())?;
    } else {
        output::bytes(&bytes)?;
    }
    Ok(Outcome::Yes)
}
