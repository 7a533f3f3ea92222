//! `quittance demo`: five real dossiers, played on a consortium of four
//! validators and an observer, as five processes on this machine.

mod nodes;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use quittance_ledger::{
    digest::RecordId,
    limits::RECEIPT_BYTES_MAX,
    transparency::{Policy, verify_bytes},
};
use serde_json::{Value, json};

use self::nodes::DemoNodes;
use super::{CommandResult, Failure, Outcome, output, run::start_logging, source::read_policy};
use crate::{
    client::{Client, LineAnswer, Outgoing},
    config::{Log, LogFormat},
    files,
    layout::DataFolder,
    samples::{DOSSIERS, Dossier, Expectation, ORGANISATIONS, Unsigned},
    setup,
};

const ORIGIN: &str = "demo.quittance.local/ledger";
/// How many of the organisations validate; the next one observes.
const VALIDATORS: usize = 4;
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
    let folders =
        setup::create_consortium(root.path(), &ORIGIN.parse()?, &ORGANISATIONS, VALIDATORS)?;
    // Heard from before the nodes run, so that nothing can come in between.
    let mut stop = StopSignal::listen()?;
    output::note("Starting four validators and an observer …");
    let nodes = match DemoNodes::start(&folders) {
        Err(_) if stop.wait(Some(Duration::from_millis(100))) => return Ok(Outcome::Yes),
        started => started?,
    };
    let played = play(&nodes, &folders, root.path());
    let stayed = match &played {
        Ok(_) if args.exit => farewell(args, &nodes, root.path()),
        Ok(_) => farewell(args, &nodes, root.path()).map(|()| {
            stop.wait(None);
        }),
        Err(_) => Ok(()),
    };
    // The nodes hear Ctrl-C too, so a play that was stopped by it ends with an
    // error that means nothing.
    let stopped = played.is_err() && stop.wait(Some(Duration::from_millis(100)));
    drop(nodes);
    if args.keep {
        output::line(format!(
            "\nThe nodes' folders are kept in {0}. Run them again, each in a terminal of its own: \
             quittance run --data {0}/{1} --http 127.0.0.1:8080 …",
            root.path().display(),
            ORGANISATIONS[0].id,
        ))?;
    }
    if stopped {
        return Ok(Outcome::Yes);
    }
    let outcome = played?;
    stayed?;
    Ok(outcome)
}

fn play(nodes: &DemoNodes, folders: &[DataFolder], root: &Path) -> CommandResult {
    let policy_path = root.join("policy");
    let Some(membership) = folders.first().map(DataFolder::membership).transpose()? else {
        return Err(Failure::unusable("the demo has no nodes"));
    };
    files::create(&policy_path, &membership.policy().to_bytes(), false)?;
    output::line(format!(
        "A consortium of {} organisations runs on this machine: {}\n\
         {} validators agree on every block; it is final once {} have signed it.",
        ORGANISATIONS.len(),
        membership.origin(),
        membership.validators().len(),
        membership.validators().quorum(),
    ))?;
    let mut table = output::table(&["node of", "", "API"]);
    for node in &nodes.nodes {
        let validates =
            membership.validators().iter().any(|one| one.member.as_str() == node.member);
        let role = if validates { "validates" } else { "observes" };
        table.add_row([node.member.as_str(), role, &node.url]);
    }
    output::line(format!(
        "{table}\nFive real dossiers are played through the HTTP APIs: each record at the node that \
         signs for its member."
    ))?;
    let mut results = Vec::new();
    for (number, dossier) in (1_u32..).zip(&DOSSIERS) {
        output::line(format!(
            "\nDossier {number} of {}: {}, {}",
            DOSSIERS.len(),
            dossier.name,
            dossier.title
        ))?;
        results.push((dossier, play_dossier(nodes, dossier)?));
    }
    output::line(
        "\nEvery receipt is fetched from the observer, written to a file and verified offline, with \
         nothing but the file and the trust policy.",
    )?;
    let policy = read_policy(&policy_path)?;
    let Some(observer) = nodes.nodes.last() else { return Ok(Outcome::No) };
    let client = observer.client()?;
    for (dossier, played) in &mut results {
        let folder = root.join("receipts").join(dossier.name);
        played.valid = verify_receipts(&client, &policy, &folder, &played.accepted)?;
    }
    if !same_head(nodes)? {
        output::line("The nodes do not hold the same ledger!")?;
        return Ok(Outcome::No);
    }
    summary(&results)
}

/// Whether all nodes come to hold the same ledger; a node may be a block behind.
fn same_head(nodes: &DemoNodes) -> Result<bool, Failure> {
    let deadline = std::time::Instant::now() + WAIT;
    loop {
        let heads = nodes
            .nodes
            .iter()
            .map(|node| Ok(node.client()?.status_json()?.get("head").cloned().unwrap_or_default()))
            .collect::<Result<Vec<_>, Failure>>()?;
        if let [first, others @ ..] = &heads[..]
            && others.iter().all(|head| head["hash"] == first["hash"])
        {
            output::line(format!(
                "\nAll {} nodes hold the same {} blocks, {} records, root {}.",
                heads.len(),
                first["height"],
                first["tree_size"],
                first["root"].as_str().unwrap_or_default()
            ))?;
            return Ok(true);
        }
        if std::time::Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn play_dossier(nodes: &DemoNodes, dossier: &Dossier) -> Result<Played, Failure> {
    let mut played = Played::default();
    for text in dossier.lines.lines() {
        let line = Unsigned::parse(text)?;
        let told = narrate(&line);
        let Unsigned { signer, expectation, record } = line;
        let client = nodes.of(signer.as_deref())?.client()?;
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
    let mut table = output::table(&["dossier", "accepted", "refused", "valid receipts"]);
    let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
    let mut good = true;
    let mut row = |name: &str, numbers: [u64; 3]| {
        let mut cells = vec![comfy_table::Cell::new(name)];
        cells.extend(numbers.map(output::number));
        table.add_row(cells);
    };
    for (dossier, played) in results {
        let accepted = u64::try_from(played.accepted.len()).unwrap_or(u64::MAX);
        good &= played.surprises == 0 && played.valid == accepted;
        let numbers = [accepted, played.refused, played.valid];
        for (column, number) in numbers.into_iter().enumerate() {
            let sum = sums.entry(column).or_default();
            *sum = sum.saturating_add(number);
        }
        row(dossier.name, numbers);
    }
    let sum = |column| sums.get(&column).copied().unwrap_or_default();
    row("all", [sum(0), sum(1), sum(2)]);
    output::line(format!("\n{table}"))?;
    if good {
        Ok(Outcome::Yes)
    } else {
        output::line("Something went otherwise than the dossiers say; see above.")?;
        Ok(Outcome::No)
    }
}

fn farewell(args: &DemoArgs, nodes: &DemoNodes, root: &Path) -> Result<(), Failure> {
    let Some(url) = nodes.nodes.first().map(|node| &node.url) else { return Ok(()) };
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
}
