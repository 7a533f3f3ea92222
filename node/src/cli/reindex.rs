//! `quittance reindex`: everything that is derived from the blocks, again.

use std::path::PathBuf;

use clap::Args;
use quittance_ledger::store::{Options, Store};

use super::{CommandResult, Failure, Outcome, output};
use crate::{layout::DataFolder, run};

#[derive(Debug, Args)]
pub(super) struct ReindexArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "quittance-data")]
    data: PathBuf,
    /// Sign for the blocks as they are, though the file `cosigned` that vouches
    /// for them is gone: after restoring a backup that you trust
    #[arg(long)]
    adopt: bool,
}

pub(super) fn reindex(args: &ReindexArgs) -> CommandResult {
    let folder = DataFolder::new(&args.data);
    let membership = folder.membership()?;
    let signers = run::signers(&folder, &membership).map_err(Failure::unusable)?;
    let validator = signers.validator.as_ref();
    let cosigned = validator
        .map_or(Ok(None), |validator| validator.cosigned.read())
        .map_err(Failure::negative)?;
    // Where several validators cosign, one cannot make up a lost checkpoint.
    let alone = validator.filter(|_| membership.validators().len() == 1);
    // Checkpoints that are lost are signed again only for blocks that lead
    // through what this node cosigned last, or that the operator answers for.
    // In both cases the certificate of every block is verified before.
    let may_sign = args.adopt || cosigned.is_some();
    let mut progress = output::Progress::new("records", None);
    let made = Store::reindex(
        &folder.ledger_path(),
        membership,
        Options::default(),
        cosigned.as_ref(),
        |checkpoint| alone.filter(|_| may_sign)?.sign(checkpoint).ok(),
        |_, records| progress.set(records),
    );
    progress.finish();
    let store = made.map_err(|error| match error {
        error if !error.is_damage() => Failure::unusable(error),
        error if may_sign => Failure::negative(error),
        error => Failure::negative(format_args!(
            "{error}. If it is only checkpoints that are lost, and you answer for these blocks, \
             --adopt signs for them"
        )),
    })?;
    if let Some(validator) = validator {
        validator.cosigned.keep_newest(&store).map_err(Failure::unusable)?;
    }
    let tip = store.tip();
    store.close()?;
    output::note(format!(
        "{} records in {} blocks are indexed again.",
        tip.frontier.size(),
        tip.height
    ));
    Ok(Outcome::Yes)
}
