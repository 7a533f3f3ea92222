//! `quittance policy`: whose signatures make a checkpoint valid.

use std::io::{self, IsTerminal as _};

use clap::Args;
use quittance_ledger::{
    membership::Membership,
    store::{Options, Store, StoreError},
    transparency::Policy,
};

use super::{CommandResult, Failure, Outcome, ShownToken, output, source::Source};
use crate::{
    client::Patience,
    layout::{DataFolder, read_genesis},
};

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// A data folder, the URL of a node, or a genesis.toml
    #[arg(value_name = "DIR|URL|FILE")]
    source: Source,
    /// The policy of those who decide on this block, which its checkpoint and receipts
    /// satisfy [default: the next block]
    #[arg(long, value_name = "HEIGHT")]
    at: Option<u64>,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "PEM")]
    ca: Option<std::path::PathBuf>,
    #[command(flatten)]
    token: ShownToken,
}

pub(super) fn policy(args: &PolicyArgs) -> CommandResult {
    let policy = match &args.source {
        Source::Url(url) => {
            let client = args.token.client(url, args.ca.as_deref(), Patience::NONE)?;
            match args.at {
                Some(height) => client.policy_at(height)?,
                None => client.policy()?,
            }
        }
        Source::Path(path) if path.is_dir() => of_folder(&DataFolder::new(path), args.at)?,
        Source::Path(_) if args.at.is_some() => {
            return Err(Failure::unusable(
                "a genesis knows nothing of later blocks; name a data folder or the URL of a node",
            ));
        }
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

/// The policy of block `at`, or of the next one, by the ledger in the folder.
fn of_folder(folder: &DataFolder, at: Option<u64>) -> Result<Policy, Failure> {
    let genesis = folder.membership()?;
    if !folder.ledger_path().is_dir() {
        return match at {
            None | Some(1) => Ok(genesis.policy()),
            Some(_) => Err(still_to_come(1)),
        };
    }
    let options = Options { inspect: true, ..Options::default() };
    let store = match Store::open(&folder.ledger_path(), genesis.clone(), options) {
        Ok(store) => store,
        Err(error @ StoreError::InUse(_)) if at.is_some() => {
            return Err(Failure::unusable(format_args!("{error}; ask its URL instead")));
        }
        Err(StoreError::InUse(_)) => {
            output::note(
                "A node runs on this folder, so this is the policy of the genesis. \
                 The URL of the node gives what holds now.",
            );
            return Ok(genesis.policy());
        }
        Err(error) => return Err(error.into()),
    };
    let tip = store.tip();
    let next = tip.height.saturating_add(1);
    match at.unwrap_or(next) {
        height if height == 0 || height > next => Err(still_to_come(next)),
        height => Ok(tip.membership().at(height).policy()),
    }
}

fn still_to_come(next: u64) -> Failure {
    Failure::unusable(format_args!("--at takes a height from 1 to {next}, the next block"))
}
