//! `quittance audit`: a whole history, verified again.

use std::{collections::VecDeque, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use quittance_ledger::{
    audit::{self, Defect, History, Report},
    chain::{Header, RawBlock},
    limits::{BLOCK_BYTES_MAX, RECORD_OVERHEAD_BYTES},
    membership::Membership,
    store::{Options, Pending, Store, StoreError},
    transparency::{Policy, SignedCheckpoint},
};
use serde_json::json;

use super::{
    CommandResult, Failure, Outcome, ShownToken, output,
    source::{self, Source},
};
use crate::{
    client::{BlockItem, Client, ClientError, Patience, RecordItem},
    cosigned::{CosignedError, LastCosigned},
    layout::{DataFolder, read_genesis},
};

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// A data folder on which no node runs, or the URL of a node
    #[arg(value_name = "DIR|URL")]
    source: Source,
    /// A trust policy that you trust, beside those that follow from the genesis and the
    /// membership changes since: checkpoints of its time must satisfy it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The genesis you have from somebody you trust [default: the one at the source]
    #[arg(long, value_name = "GENESIS.TOML")]
    genesis: Option<PathBuf>,
    /// A checkpoint kept from an earlier audit: the history must contain it, and
    /// signatures of the records it covers are not verified once more
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    /// Trust the certificates in this PEM file instead of the web's
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    token: ShownToken,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How an audit ended that could read its history.
enum Verdict {
    Clean(Report),
    Defect(String),
}

pub(super) fn audit(args: &AuditArgs) -> CommandResult {
    let given = args.genesis.as_deref().map(read_genesis).transpose()?;
    let since = args.since.as_deref().map(source::read_checkpoint).transpose()?;
    let policy = args.policy.as_deref().map(source::read_policy).transpose()?;
    let (membership, verdict) = match &args.source {
        Source::Url(url) => {
            let client = args.token.client(url, args.ca.as_deref(), Patience::WORK)?;
            let first_try = client.clone().with_patience(Patience::NONE);
            let head = first_try.status()?.head;
            let genesis = match given {
                Some(genesis) => genesis,
                None => client.genesis()?,
            };
            let membership = Membership::from_genesis(&genesis);
            let (total, end) = (head.tree_size, (head.height, head.tree_size, head.hash.clone()));
            let mut history = RemoteHistory::new(client, head.height, head.tree_size);
            let verdict = examine(
                &mut history,
                &membership,
                policy.as_ref(),
                since.as_ref(),
                total,
                |_: &_| false,
            )?;
            (membership, at_its_head(verdict, &end))
        }
        Source::Path(path) => {
            let folder = DataFolder::new(path);
            let genesis = match given {
                Some(genesis) => genesis,
                None => folder.genesis()?,
            };
            let membership = Membership::from_genesis(&genesis);
            let verdict = examine_folder(&folder, &membership, policy.as_ref(), since.as_ref())?;
            (membership, verdict)
        }
    };
    tell(args, &membership, &verdict)
}

/// A history that does not end where the node said its head is, is none.
fn at_its_head(verdict: Verdict, (height, size, hash): &(u64, u64, String)) -> Verdict {
    match verdict {
        Verdict::Clean(report)
            if (report.height, report.records) != (*height, *size)
                || (*height > 0 && report.head.to_string() != *hash) =>
        {
            Verdict::Defect(format!(
                "the node says that its head is block {height} with {size} records, {hash}; its \
                 blocks lead to block {} with {} records, {}",
                report.height, report.records, report.head
            ))
        }
        verdict => verdict,
    }
}

fn examine_folder(
    folder: &DataFolder,
    membership: &Membership,
    policy: Option<&Policy>,
    since: Option<&SignedCheckpoint>,
) -> Result<Verdict, Failure> {
    let ledger = folder.ledger_path();
    if !ledger.is_dir() {
        match last_cosigned(folder, membership).read() {
            Ok(Some(last)) if last.size > 0 => {
                let (cosigned, found) = (last.size, 0);
                let error = CosignedError::RolledBack { cosigned, found };
                return Ok(Verdict::Defect(error.to_string()));
            }
            Ok(_) => {}
            Err(error) => return Ok(Verdict::Defect(error.to_string())),
        }
        return Err(Failure::unusable(format_args!(
            "{} holds no ledger yet; name a data folder or the URL of a node",
            folder.root().display()
        )));
    }
    let damage = |error: StoreError| {
        if error.is_damage() { Ok(Verdict::Defect(error.to_string())) } else { Err(error.into()) }
    };
    let options = Options { inspect: true, ..Options::default() };
    let store = match Store::open(&ledger, membership.clone(), options) {
        Ok(store) => store,
        Err(StoreError::InUse(path)) => {
            return Err(Failure::unusable(format_args!(
                "{} is in use by a running node; stop it, or audit its URL instead",
                path.display()
            )));
        }
        Err(error) => return damage(error),
    };
    let total = store.tip().frontier.size();
    let mut history = &store;
    let verdict = examine(&mut history, membership, policy, since, total, StoreError::is_damage)?;
    if let Verdict::Clean(_) = verdict {
        // The history is in order; what the node derived from it must be, too.
        let mut progress = output::Progress::new("records read back", Some(total));
        let scrubbed = store.scrub(|done| {
            progress.set(done.records);
            true
        });
        progress.finish();
        // Records that wait for a block were acknowledged too.
        let decided = store.decided();
        let waiting =
            scrubbed.and_then(|()| Pending::open(store.folder(), decided.membership(), true));
        if let Err(error) = waiting {
            return damage(error);
        }
        let vouched = if observes(folder) {
            LastCosigned::check_observed(&store)
        } else {
            last_cosigned(folder, decided.membership()).check(&store)
        };
        if let Err(error) = vouched {
            return Ok(Verdict::Defect(error.to_string()));
        }
    }
    Ok(verdict)
}

/// Whether this is the folder of a node that never validated: it has keys, but
/// none to cosign with, and has cosigned nothing.
fn observes(folder: &DataFolder) -> bool {
    !folder.cosigned_path().exists() && folder.keys().is_ok_and(|keys| keys.validator.is_none())
}

/// What the node of this folder cosigned last, whichever validator it is or was.
fn last_cosigned(folder: &DataFolder, membership: &Membership) -> LastCosigned {
    let (logs, cosigners) = membership
        .history()
        .flat_map(|member| &member.validators)
        .map(|validator| (validator.of.log.clone(), validator.of.cosigner.clone()))
        .unzip();
    LastCosigned::new(folder.cosigned_path(), logs, cosigners)
}

/// Audits with progress. `is_damage` tells a history that is damaged from one
/// that cannot be read just now.
fn examine<H: History + Send>(
    history: &mut H,
    membership: &Membership,
    policy: Option<&Policy>,
    since: Option<&SignedCheckpoint>,
    total: u64,
    is_damage: impl Fn(&H::Error) -> bool,
) -> Result<Verdict, Failure> {
    let mut progress = output::Progress::new("records", Some(total));
    let result = audit::audit(history, membership, policy, since, |done| {
        progress.set(done.records);
    });
    progress.finish();
    match result {
        Ok(report) => Ok(Verdict::Clean(report)),
        Err(Defect::Source(error)) if !is_damage(&error) => Err(Failure::unusable(error)),
        // It is the file that is given which cannot be used, most likely.
        Err(defect @ Defect::KeptPolicy { .. }) => Err(Failure::unusable(defect)),
        Err(defect) => Ok(Verdict::Defect(defect.to_string())),
    }
}

fn tell(args: &AuditArgs, membership: &Membership, verdict: &Verdict) -> CommandResult {
    let origin = membership.origin();
    match verdict {
        Verdict::Clean(report) if args.json => output::json(&json!({
            "valid": true,
            "genesis": genesis_from(args),
            "policy": policy_from(args),
            "origin": origin.as_str(),
            "ledger": report.ledger,
            "blocks": report.height,
            "records": report.records,
            "signatures": report.signatures,
            "checkpoints": report.checkpoints,
            "head": report.head,
            "root": report.root,
        }))?,
        Verdict::Clean(report) => {
            let mut table = output::table(&[]);
            for (name, value) in [
                ("ledger", origin.to_string()),
                ("ledger id", report.ledger.to_string()),
                ("blocks", report.height.to_string()),
                ("records", report.records.to_string()),
                ("signatures verified", report.signatures.to_string()),
                ("checkpoints", report.checkpoints.to_string()),
                ("last block", report.head.to_string()),
                ("tree root", report.root.to_string()),
            ] {
                table.add_row([name.to_owned(), value]);
            }
            output::line(format!("The history of {} is in order.\n{table}", args.source))?;
            if args.genesis.is_none() && matches!(args.source, Source::Url(_)) {
                output::note(
                    "The genesis came from the node itself: compare the ledger id with the one \
                     you know, or give --genesis.",
                );
            }
        }
        Verdict::Defect(defect) => {
            if args.json {
                output::json(&json!({
                    "valid": false,
                    "genesis": genesis_from(args),
                    "policy": policy_from(args),
                    "origin": origin.as_str(),
                    "ledger": membership.ledger_id(),
                    "defect": defect,
                }))?;
            }
            let source = &args.source;
            return Err(Failure::negative(format_args!("{source} has a defect: {defect}")));
        }
    }
    Ok(Outcome::Yes)
}

/// Where the genesis came from: an audit that took the source's own shows that a
/// history fits itself, not whose it is.
const fn genesis_from(args: &AuditArgs) -> &'static str {
    if args.genesis.is_some() { "given" } else { "of the source" }
}

const fn policy_from(args: &AuditArgs) -> &'static str {
    if args.policy.is_some() { "given" } else { "of the genesis" }
}

/// A history as a node serves it over HTTP, read page by page.
struct RemoteHistory {
    client: Client,
    /// The head when the audit began; what has come since is not looked at.
    height: u64,
    tree_size: u64,
    blocks: VecDeque<BlockItem>,
    records: VecDeque<RecordItem>,
}

impl RemoteHistory {
    const fn new(client: Client, height: u64, tree_size: u64) -> Self {
        Self { client, height, tree_size, blocks: VecDeque::new(), records: VecDeque::new() }
    }

    /// The block of that height, and where its records end.
    fn block_item(&mut self, height: u64) -> Result<Option<BlockItem>, ClientError> {
        if self.blocks.front().is_none_or(|block| block.height != height) {
            self.blocks = self.client.blocks(height.saturating_sub(1))?.into();
        }
        match self.blocks.pop_front() {
            Some(block) if block.height == height => Ok(Some(block)),
            Some(block) => Err(self.odd(format!("block {} where {height} follows", block.height))),
            None => Ok(None),
        }
    }

    fn record(&mut self, index: u64) -> Result<RecordItem, ClientError> {
        if self.records.front().is_none_or(|record| record.index != index) {
            self.records = self.client.records(index)?.into();
        }
        match self.records.pop_front() {
            Some(record) if record.index == index => Ok(record),
            _ => Err(self.odd(format!("record {index} is missing"))),
        }
    }

    fn odd(&self, reason: String) -> ClientError {
        self.client.odd("", reason)
    }
}

impl History for RemoteHistory {
    type Error = ClientError;

    fn block(&mut self, height: u64) -> Result<Option<RawBlock>, ClientError> {
        if height > self.height {
            return Ok(None);
        }
        let Some(block) = self.block_item(height)? else { return Ok(None) };
        let header = STANDARD
            .decode(&block.header.bytes)
            .ok()
            .and_then(|bytes| Header::decode(&bytes).ok())
            .ok_or_else(|| self.odd(format!("the header of block {height} cannot be read")))?;
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        for index in block.first_index..header.tree_size {
            let jws = self.record(index)?.jws.into_bytes();
            // The header is the node's word until the audit has checked it.
            bytes = bytes.saturating_add(jws.len()).saturating_add(RECORD_OVERHEAD_BYTES);
            if bytes > BLOCK_BYTES_MAX {
                return Err(self.odd(format!("block {height} is larger than a block may be")));
            }
            records.push(jws);
        }
        let certificate = block.certificate.certificate();
        let certificate = certificate
            .ok_or_else(|| self.odd(format!("the certificate of block {height} cannot be read")))?;
        Ok(Some(RawBlock { header, records, certificate }))
    }

    fn checkpoints_after(&mut self, size: u64) -> Result<Vec<SignedCheckpoint>, ClientError> {
        self.client
            .checkpoints(size)?
            .into_iter()
            .filter(|item| item.size <= self.tree_size)
            .map(|item| {
                SignedCheckpoint::parse(item.note.as_bytes())
                    .map_err(|error| self.odd(format!("checkpoint {}: {error}", item.size)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use quittance_ledger::digest::{Digest, LedgerId};

    use super::*;
    use crate::client::scripted;

    fn header(height: u64, tree_size: u64) -> String {
        let zero = Digest::ZERO;
        let header = Header {
            ledger: LedgerId::from_digest(zero),
            height,
            previous: zero,
            time_ms: 1,
            proposer: [0; 32],
            tree_size,
            tree_root: zero,
            effects: zero,
            validators: zero,
        };
        STANDARD.encode(header.encode())
    }

    /// The number after `name=` in a request's line.
    fn parameter(line: &str, name: &str) -> Option<u64> {
        let (_, rest) = line.split_once(&format!("{name}="))?;
        rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
    }

    /// A node with blocks of two records each, which gives two of anything at a time.
    fn history(blocks: u64, sizes: fn(u64) -> u64) -> RemoteHistory {
        let url = scripted::serve(move |request| {
            let after = parameter(&request.line, "after");
            let items: Vec<_> = if request.line.contains("/v1/blocks") {
                let after = after.unwrap();
                (after + 1..=blocks.min(after + 2))
                    .map(|height| {
                        let header = json!({"bytes": header(height, sizes(height))});
                        let certificate = json!({"round": 0, "signatures": []});
                        json!({
                            "height": height, "first_index": (height - 1) * 2, "header": header,
                            "certificate": certificate,
                        })
                    })
                    .collect()
            } else {
                let from = after.map_or(0, |after| after + 1);
                let record = |index| json!({"index": index, "jws": "x".repeat(60_000)});
                (from..from + 2).map(record).collect()
            };
            ("200 OK", json!({"blocks": items, "records": items}).to_string())
        });
        RemoteHistory::new(Client::new(&url, None, Patience::NONE).unwrap(), blocks, blocks * 2)
    }

    #[test]
    fn a_history_is_read_page_by_page_to_its_end() {
        let mut history = history(5, |height| height * 2);
        for height in 1..=5 {
            let block = history.block(height).unwrap().unwrap();
            assert_eq!((block.header.height, block.records.len()), (height, 2));
        }
        assert!(history.block(6).unwrap().is_none());
        // Going back is possible, too.
        assert_eq!(history.block(2).unwrap().unwrap().header.height, 2);
    }

    #[test]
    fn a_block_without_end_is_not_read_to_its_end() {
        let error = history(1, |_| u64::MAX).block(1).unwrap_err().to_string();
        assert!(error.contains("larger than a block"), "{error}");
    }
}
