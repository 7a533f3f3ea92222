//! `quittance demo`: five real dossiers, played on a ledger of this machine.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use quittance_ledger::{
    digest::RecordId,
    limits::RECEIPT_BYTES_MAX,
    refusal::Code,
    transparency::{Policy, verify_bytes},
};
use serde_json::{Value, json};

use super::{
    CommandResult, Failure, Outcome, output,
    run::{start_logging, url_of},
    source::read_policy,
};
use crate::{
    client::{Client, LineAnswer, Outgoing, Patience},
    config::{Config, Log, LogFormat},
    files,
    layout::DataFolder,
    run as node,
    samples::{DOSSIERS, Dossier, Expectation, ORGANISATIONS, Unsigned},
    setup,
};

const ORIGIN: &str = "demo.quittance.local/ledger";
const WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the folder with ledger, keys and receipts, and say where it is
    #[arg(long)]
    keep: bool,
    /// End after the play instead of staying until Ctrl-C
    #[arg(long)]
    exit: bool,
}

/// What became of one dossier.
#[derive(Debug, Default)]
struct Played {
    accepted: Vec<RecordId>,
    refused: u64,
    skipped: u64,
    /// Lines that went otherwise than they say they should.
    surprises: u64,
    valid: u64,
}

pub(super) fn demo(args: &DemoArgs) -> CommandResult {
    start_logging(&Log { level: "warn".to_owned(), format: LogFormat::Human })?;
    let root = tempfile::Builder::new()
        .prefix("quittance-demo-")
        .disable_cleanup(args.keep)
        .tempdir()
        .map_err(|error| {
            Failure::unusable(format_args!("cannot make a temporary folder: {error}"))
        })?;
    let data = setup::create(&root.path().join("data"), ORIGIN.parse()?, &ORGANISATIONS)?;
    // Heard from before the node runs, so that nothing can come in between.
    let mut stop = StopSignal::listen()?;
    let config = Config {
        data: data.root().to_owned(),
        http: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ..Config::default()
    };
    let node = node::start(&config)?;
    let url = url_of(node.address(), false);
    let played = play(&url, &data, root.path());
    let stayed = match &played {
        Ok(_) if args.exit => farewell(args, &url, root.path()),
        Ok(_) => farewell(args, &url, root.path()).map(|()| {
            stop.wait(None);
        }),
        Err(_) => Ok(()),
    };
    // The node hears a signal too, so a play that was stopped by one ends with
    // an error that means nothing.
    let stopped = played.is_err() && stop.wait(Some(Duration::from_millis(100)));
    let ended = node.stop();
    if args.keep {
        output::line(format!(
            "\nThe ledger is kept. Run it again: quittance run --data {}",
            data.root().display()
        ))?;
    }
    if stopped {
        return Ok(Outcome::Yes);
    }
    let outcome = played?;
    stayed?;
    ended?;
    Ok(outcome)
}

fn play(url: &str, data: &DataFolder, root: &Path) -> CommandResult {
    let client = Client::new(url, None, Patience { tries: 3 })?;
    let policy_path = root.join("policy");
    let membership = data.membership()?;
    files::create(&policy_path, &membership.policy().to_bytes(), false)?;
    output::line(format!(
        "A ledger of {} organisations runs on this machine: {}\n\
         Five real dossiers are played on it through its HTTP API.",
        ORGANISATIONS.len(),
        membership.origin(),
    ))?;
    let mut results = Vec::new();
    for (number, dossier) in (1_u32..).zip(&DOSSIERS) {
        output::line(format!(
            "\nDossier {number} of {}: {}, {}",
            DOSSIERS.len(),
            dossier.name,
            dossier.title
        ))?;
        results.push((dossier, play_dossier(&client, dossier)?));
    }
    output::line(
        "\nEvery receipt is fetched, written to a file and verified offline, with nothing but \
         the file and the trust policy.",
    )?;
    let policy = read_policy(&policy_path)?;
    for (dossier, played) in &mut results {
        let folder = root.join("receipts").join(dossier.name);
        played.valid = verify_receipts(&client, &policy, &folder, &played.accepted)?;
    }
    summary(&results)
}

fn play_dossier(client: &Client, dossier: &Dossier) -> Result<Played, Failure> {
    let mut played = Played::default();
    for text in dossier.lines.lines() {
        let line = Unsigned::parse(text)?;
        let told = narrate(&line);
        if let Some(Expectation::Refused(code)) = &line.expectation
            && !is_checked(code)
        {
            played.skipped = played.skipped.saturating_add(1);
            output::line(format!("{told} → not sent: {code} comes with a later release"))?;
            continue;
        }
        let Unsigned { signer, expectation, record } = line;
        let body = json!({ "signer": signer, "record": record }).to_string();
        let answer = client.append(&Outgoing::Unsigned(body), WAIT)?;
        output::line(format!("{told} → {}", said(&answer)))?;
        let as_expected = match (&expectation, answer.id, &answer.code) {
            (Some(Expectation::Accepted) | None, Some(_), _) => answer.index.is_some(),
            (Some(Expectation::Refused(expected)), None, Some(code)) => expected == code,
            _ => false,
        };
        if !as_expected {
            played.surprises = played.surprises.saturating_add(1);
        }
        match answer.id {
            Some(id) => played.accepted.push(id),
            None => played.refused = played.refused.saturating_add(1),
        }
    }
    Ok(played)
}

/// Whether this release refuses anything with that code.
fn is_checked(code: &str) -> bool {
    Code::ALL.iter().any(|known| known.as_str() == code)
}

/// A record as a line for people: when, who, what, about what.
fn narrate(line: &Unsigned) -> String {
    let text = |name: &str| line.record.get(name).and_then(Value::as_str).unwrap_or_default();
    let time: String = text("occurred_at").chars().take(16).collect();
    let about = match (text("claim"), text("contract")) {
        ("", contract) => contract,
        (claim, _) => claim,
    };
    format!(
        "  {}  {:<10} {:<26} {:<22}",
        time.replace('T', " "),
        line.signer.as_deref().unwrap_or_default(),
        text("type"),
        about
    )
}

fn said(answer: &LineAnswer) -> String {
    match (answer.index, &answer.code) {
        (Some(index), _) => format!("accepted #{index}"),
        (None, Some(code)) => {
            let field = answer.field.as_ref().map(|field| format!(" ({field})"));
            let (field, detail) = (field.unwrap_or_default(), answer.detail.as_deref());
            format!("refused {code}{field}: {}", detail.unwrap_or_default())
        }
        (None, None) => "not final yet".to_owned(),
    }
}

/// Writes the receipts of `ids` into `folder` and verifies the files; how many are valid.
fn verify_receipts(
    client: &Client,
    policy: &Policy,
    folder: &Path,
    ids: &[RecordId],
) -> Result<u64, Failure> {
    files::create_folder(folder, false)?;
    let mut valid = 0_u64;
    for id in ids {
        let path = folder.join(format!("{id}.tlog-proof"));
        files::create(&path, &client.receipt(id)?, false)?;
        let verification = verify_bytes(&files::read(&path, RECEIPT_BYTES_MAX)?, policy);
        match verification.checks.iter().find(|check| !check.ok) {
            None => valid = valid.saturating_add(1),
            Some(check) => {
                output::line(format!("  {id}: INVALID: {}: {}", check.name, check.detail))?;
            }
        }
    }
    Ok(valid)
}

fn summary(results: &[(&Dossier, Played)]) -> CommandResult {
    let mut table =
        output::table(&["dossier", "accepted", "refused", "not sent", "valid receipts"]);
    let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
    let mut good = true;
    let mut row = |name: &str, numbers: [u64; 4]| {
        let mut cells = vec![comfy_table::Cell::new(name)];
        cells.extend(numbers.map(output::number));
        table.add_row(cells);
    };
    for (dossier, played) in results {
        let accepted = u64::try_from(played.accepted.len()).unwrap_or(u64::MAX);
        good &= played.surprises == 0 && played.valid == accepted;
        let numbers = [accepted, played.refused, played.skipped, played.valid];
        for (column, number) in numbers.into_iter().enumerate() {
            let sum = sums.entry(column).or_default();
            *sum = sum.saturating_add(number);
        }
        row(dossier.name, numbers);
    }
    let sum = |column| sums.get(&column).copied().unwrap_or_default();
    row("all", [sum(0), sum(1), sum(2), sum(3)]);
    output::line(format!("\n{table}"))?;
    if good {
        Ok(Outcome::Yes)
    } else {
        output::line("Something went otherwise than the dossiers say; see above.")?;
        Ok(Outcome::No)
    }
}

fn farewell(args: &DemoArgs, url: &str, root: &Path) -> Result<(), Failure> {
    let receipt = first_receipt(root).unwrap_or_else(|| root.join("receipts"));
    let policy = root.join("policy");
    let mut text = format!("\nExplorer  {url}/\nAPI       {url}/docs\n");
    if !args.exit || args.keep {
        text.push_str(&format!(
            "Verify    quittance verify {} --policy {}\n",
            receipt.display(),
            policy.display()
        ));
    }
    if !args.exit {
        text.push_str(&format!("Status    quittance status --api {url}\n\nStop with Ctrl-C."));
    }
    output::line(text)
}

fn first_receipt(root: &Path) -> Option<PathBuf> {
    let folder = root.join("receipts").join(DOSSIERS.first()?.name);
    fs::read_dir(folder).ok()?.next()?.ok().map(|entry| entry.path())
}

/// Ctrl-C, or whatever else asks this process to end.
struct StopSignal {
    runtime: tokio::runtime::Runtime,
    signals: [tokio::signal::unix::Signal; 2],
}

impl StopSignal {
    fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let failed = |error: std::io::Error| {
            Failure::unusable(format_args!("cannot listen for Ctrl-C: {error}"))
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let guard = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        drop(guard);
        Ok(Self { runtime, signals: [interrupt, terminate] })
    }

    /// Waits for it, at most so long; whether it came.
    fn wait(&mut self, limit: Option<Duration>) -> bool {
        let [interrupt, terminate] = &mut self.signals;
        let came = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        self.runtime.block_on(async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, came).await.is_ok(),
                None => {
                    came.await;
                    true
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_record_is_told_in_a_line() {
        let first = DOSSIERS[0].lines.lines().nth(1).unwrap();
        let told = narrate(&Unsigned::parse(first).unwrap());
        for part in ["2025-02-27 09:00", "petexpert", "contract.issued", "petexpert/PX-1001"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn refusals_that_this_release_knows_are_shown() {
        assert!(is_checked("amount_negative"));
        assert!(!is_checked("no_such_code"));
    }
}
