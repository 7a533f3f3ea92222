//! `quittance reindex`: everything that is derived from the blocks, again.

use std::path::PathBuf;

use clap::Args;
use quittance_ledger::store::{Options, Store};

use super::{CommandResult, Failure, Outcome, output};
use crate::layout::DataFolder;

#[derive(Debug, Args)]
pub(super) struct ReindexArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "quittance-data")]
    data: PathBuf,
}

pub(super) fn reindex(args: &ReindexArgs) -> CommandResult {
    let folder = DataFolder::new(&args.data);
    let membership = folder.membership()?;
    let mut progress = output::Progress::new("records", None);
    let made =
        Store::reindex(&folder.ledger_path(), membership, Options::default(), |_, records| {
            progress.set(records);
        });
    progress.finish();
    let store = made.map_err(|error| {
        if error.is_damage() { Failure::negative(error) } else { Failure::unusable(error) }
    })?;
    let tip = store.tip();
    store.close()?;
    output::note(format!(
        "{} records in {} blocks are indexed again.",
        tip.frontier.size(),
        tip.height
    ));
    Ok(Outcome::Yes)
}
