//! `quittance policy`: whose signatures make a checkpoint valid.

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
    output::bytes(&policy.to_bytes())?;
    Ok(Outcome::Yes)
}
