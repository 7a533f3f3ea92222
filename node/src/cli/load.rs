//! `quittance load`: the load generator.

use clap::Args;

use super::{ApiArgs, CommandResult, Outcome};

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Records to append
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    records: u64,
    /// A data folder with the record keys to sign with
    #[arg(long, value_name = "DIR")]
    data: std::path::PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn load(_args: LoadArgs) -> CommandResult {
    Ok(Outcome::Yes)
}
