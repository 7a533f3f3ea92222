//! `quittance load`: the load generator.

use std::{path::PathBuf, sync::Mutex, time::Duration};

use clap::Args;
use quittance_benches::{
    load::{self, Options, Progress},
    records::RecordSigner,
};
use quittance_ledger::membership::{MemberId, Membership};

use super::{CommandResult, Failure, Outcome, ShownToken, output};
use crate::{keys::Keys, layout::DataFolder};

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// The node's API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    #[command(flatten)]
    token: ShownToken,
    /// A data folder of that ledger, for the keys to sign with; flushes are measured on its disk
    #[arg(long, value_name = "DIR", default_value = "quittance-data")]
    data: PathBuf,
    /// Sign as this member only; may be repeated [default: all whose keys are there]
    #[arg(long, value_name = "ID")]
    member: Vec<MemberId>,
    /// Records to append
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    records: u64,
    /// Stop after so many seconds, even when records are left
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Records in one request
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    batch: usize,
    /// Send one record in each request, and wait for it to be final
    #[arg(long, conflicts_with = "batch")]
    single: bool,
    /// Connections, each with one request under way
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    connections: usize,
    /// Contracts that the records are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    contracts: u64,
    /// How long the node may wait for records to become final, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Write the id of every record that the node answered for into this file
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn load(args: LoadArgs) -> CommandResult {
    let folder = DataFolder::new(&args.data);
    let membership = folder.membership()?;
    let keys = folder.keys()?;
    keys.check(&membership)?;
    let signers = signers(&args.member, keys, &membership)?;
    let options = Options {
        records: args.records,
        duration: args.duration.map(Duration::from_secs),
        batch: args.batch,
        connections: args.connections,
        contracts: args.contracts,
        single: args.single,
        wait_s: args.wait,
        acknowledged: args.acknowledged,
        token: args.token.read()?.map(|token| token.expose().to_owned()),
        folder: args.data,
        ..Options::new(args.api, membership.origin().clone(), signers)
    };
    let shown = Mutex::new(Shown { stage: None, progress: None });
    let report = load::run(&options, |progress| {
        // A poisoned lock costs the bar, not the run.
        if let Ok(mut shown) = shown.lock() {
            shown.show(progress);
        }
    });
    if let Ok(Shown { progress: Some(progress), .. }) = shown.into_inner() {
        progress.finish();
    }
    let report = report?;
    if args.json {
        output::json(&report)?;
    } else {
        output::line(output::printable(report.to_string().trim_end()))?;
    }
    Ok(if report.is_complete() { Outcome::Yes } else { Outcome::No })
}

/// The members to sign as, with their keys.
fn signers(
    wanted: &[MemberId],
    mut keys: Keys,
    membership: &Membership,
) -> Result<Vec<RecordSigner>, Failure> {
    let wanted =
        if wanted.is_empty() { keys.record.keys().cloned().collect() } else { wanted.to_vec() };
    wanted
        .into_iter()
        .map(|id| {
            let held = keys.record.remove(&id).zip(membership.member(&id));
            let ((key_id, key), member) = held.ok_or_else(|| {
                Failure::unusable(format_args!(
                    "the data folder holds no record key of member {id}"
                ))
            })?;
            Ok(RecordSigner { member: id, role: member.role, key_id, key })
        })
        .collect()
}

/// The progress of the stage that is under way.
struct Shown {
    stage: Option<&'static str>,
    progress: Option<output::Progress>,
}

impl Shown {
    fn show(&mut self, progress: Progress) {
        let (stage, done, total) = match progress {
            Progress::Measuring => {
                output::note("Measuring this machine");
                return;
            }
            Progress::Signing { done, total } => ("records signed", done, total),
            Progress::Appending { done, total } => ("records appended", done, total),
        };
        if self.stage != Some(stage) {
            if let Some(before) = self.progress.take() {
                before.finish();
            }
            self.stage = Some(stage);
            self.progress = Some(output::Progress::new(stage, Some(total)));
        }
        if let Some(shown) = &mut self.progress {
            shown.set(done);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::setup;

    #[test]
    fn all_members_of_the_folder_sign_unless_some_are_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let (membership, keys) = (folder.membership().unwrap(), folder.keys().unwrap());
        assert_eq!(signers(&[], keys.clone(), &membership).unwrap().len(), 4);
        let broker = ["broker".parse().unwrap()];
        assert_eq!(signers(&broker, keys.clone(), &membership).unwrap()[0].member, broker[0]);
        let error = signers(&["nobody".parse().unwrap()], keys, &membership).unwrap_err();
        assert!(error.message.contains("nobody"), "{}", error.message);
    }
}
