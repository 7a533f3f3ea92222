//! `quittance append`: records onto the ledger, and receipts back.

mod input;
mod receipts;
pub(super) mod salts;
pub(super) mod send;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use quittance_ledger::{
    digest::RecordId,
    limits::PRESENTATION_BYTES_MAX,
    membership::{MemberId, Origin},
    record::MatchKey,
    refusal::{Code, Refusal},
    transparency::{Policy, Receipt},
    vault::{Concealed, Disclosure, conceal},
};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};

use self::{
    input::{Input, Item, Kind, Parsed, Signer},
    receipts::Receipts,
    salts::{Salts, SaltsError},
};
use super::{
    ApiArgs, CommandResult, Failure, Outcome,
    documents::{self, DocumentOptions},
    output,
    sign::{Kid, presentation_beside},
    source,
};
use crate::{
    client::{Client, LineAnswer, Patience},
    files, keys,
};

/// Records sent in one request, at most.
const CHUNK_RECORDS: usize = 256;
/// Their bytes, about; a single record may be larger.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Refused lines that are listed for people; `--json` lists all.
const LISTED_MAX: usize = 50;

#[derive(Debug, Args)]
pub(super) struct AppendArgs {
    /// Files of records: .jws (one JWS), .sd-jwt (one JWS with its private
    /// fields), .json (one record) or .jsonl (a record a line)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
    /// Sign here with this secret key, instead of leaving it to the node
    #[arg(long, value_name = "PEM", requires_all = ["kid", "ledger"])]
    key: Option<PathBuf>,
    /// Which key that is: the member's id, # and the key's id
    #[arg(long, value_name = "MEMBER#KEY", requires = "key")]
    kid: Option<Kid>,
    /// The ledger to sign for. A node that is of another one gets nothing
    #[arg(long, value_name = "ORIGIN", requires = "key")]
    ledger: Option<Origin>,
    /// Let the node sign as this member, where a line names no signer of its own
    #[arg(long, value_name = "MEMBER", conflicts_with = "key")]
    signer: Option<MemberId>,
    /// The trust policy that receipts must satisfy [default: the node's]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    documents: DocumentOptions,
    /// Also send the lines that say themselves that they will be refused
    #[arg(long)]
    all: bool,
    /// Keep no receipts
    #[arg(long)]
    no_receipts: bool,
    /// How long to wait for records to become final, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of the lines of one file.
#[derive(Debug, Default, Serialize)]
struct Tally {
    file: String,
    /// New on the ledger.
    recorded: u64,
    /// On the ledger before.
    present: u64,
    /// Not sent, because a valid receipt was there.
    kept: u64,
    refused: u64,
    /// Not final yet.
    waiting: u64,
    /// Not sent, because the line says that it will be refused.
    skipped: u64,
}

/// A line that was refused.
#[derive(Debug, Serialize)]
struct Refused {
    file: String,
    line: usize,
    code: String,
    field: Option<String>,
    detail: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whose policy receipts were checked against: `given` or `of the node`.
    policy: &'static str,
    files: Vec<Tally>,
    refused: Vec<Refused>,
}

struct Importer<'a> {
    args: &'a AppendArgs,
    client: Client,
    origin: Origin,
    policy: Policy,
    signer: Option<Signer>,
    match_key: Option<MatchKey>,
    report: Report,
    progress: output::Progress,
}

pub(super) fn append(args: AppendArgs) -> CommandResult {
    let mut lines = 0_u64;
    for path in &args.files {
        lines = lines.saturating_add(Input::count(path)?);
    }
    check_documents(&args)?;
    let match_key = args.documents.match_key()?;
    let key = args.key.as_deref().map(keys::load_record).transpose()?;
    let client = args.api.client(Patience::NONE)?;
    let origin = client.status()?.ledger.origin;
    let origin: Origin = origin.parse().map_err(|error| client.odd("/v1/status", error))?;
    let policy = match &args.policy {
        Some(path) => source::read_policy(path)?,
        None => client.policy()?,
    };
    let signer = match (key, &args.kid, &args.ledger) {
        // What is signed for a ledger can be replayed on it, so the node's word
        // for which one it is must not decide.
        (Some(_), Some(_), Some(ledger)) if *ledger != origin => {
            return Err(Failure::unusable(format_args!(
                "the node is of ledger {origin}, not of {ledger}; nothing was signed"
            )));
        }
        (Some(key), Some(kid), Some(ledger)) => {
            Some(Signer { kid: kid.clone(), key, origin: ledger.clone() })
        }
        _ => None,
    };
    let mut importer = Importer {
        args: &args,
        client: client.with_patience(Patience::WORK),
        origin,
        policy,
        signer,
        match_key,
        report: Report {
            policy: if args.policy.is_some() { "given" } else { "of the node" },
            ..Report::default()
        },
        progress: output::Progress::new("lines", Some(lines)),
    };
    let result = args.files.iter().try_for_each(|path| importer.file(path));
    let Importer { report, progress, .. } = importer;
    progress.finish();
    // What was done before a failure stays done, so it is told too.
    report.tell(args.json, args.policy.is_none() && !args.no_receipts)?;
    result?;
    let refused_or_waiting = |tally: &Tally| tally.refused > 0 || tally.waiting > 0;
    let incomplete = report.files.iter().any(refused_or_waiting);
    Ok(if incomplete { Outcome::No } else { Outcome::Yes })
}

impl Importer<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut work = FileWork {
            input: Input::open(path)?,
            path,
            salts: None,
            receipts: Receipts::of(path, Kind::of(path)?)?,
            prepared: false,
            tally: Tally { file: path.display().to_string(), ..Tally::default() },
        };
        let before = self.report.refused.len();
        let result = self.lines(&mut work);
        self.report.files.push(work.tally);
        // Lines that are refused here are known before those that the node refuses.
        if let Some(refused) = self.report.refused.get_mut(before..) {
            refused.sort_by_key(|refused| refused.line);
        }
        result
    }

    fn lines(&mut self, work: &mut FileWork<'_>) -> Result<(), Failure> {
        loop {
            let mut chunk = Vec::new();
            let mut bytes = 0_usize;
            let mut lines = 0_u64;
            while chunk.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
                let Some(line) = work.input.next()? else { break };
                lines = lines.saturating_add(1);
                let number = line.number;
                let item = match line.text {
                    Ok(text) => {
                        bytes = bytes.saturating_add(text.len());
                        self.item(work, number, &text)?
                    }
                    Err(refusal) => Err(refusal),
                };
                match item {
                    Ok(Some(item)) => chunk.push(item),
                    Ok(None) => work.tally.skipped = work.tally.skipped.saturating_add(1),
                    Err(refusal) => {
                        let Refusal { code, field, detail } = refusal;
                        self.refused(work, number, code.to_string(), field, detail);
                    }
                }
            }
            if lines == 0 {
                return Ok(());
            }
            if let Some(salts) = &mut work.salts {
                salts.sync()?;
            }
            self.send(work, chunk)?;
            self.progress.add(lines);
        }
    }

    /// What a line asks for: a record with its salt; none for one that is skipped.
    fn item(
        &self,
        work: &mut FileWork<'_>,
        line: usize,
        text: &str,
    ) -> Result<Result<Option<Item>, Refusal>, Failure> {
        let mut unsigned = match input::parse(text, self.args.all) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(Parsed::Skipped) => return Ok(Ok(None)),
            Ok(Parsed::Signed { id, jws, private }) => {
                let private = match private {
                    None => private_beside(work.path, &id)?,
                    private => private,
                };
                let body = input::Body::Signed { id, jws };
                return Ok(Ok(Some(Item { line, body, private })));
            }
            Ok(Parsed::Unsigned(unsigned)) => unsigned,
        };
        let line_digest = input::digest(text);
        if documents::names_files(&unsigned.record, &self.args.documents) {
            let filled = documents::fill_in(
                &mut unsigned.record,
                files::folder_of(work.path),
                &self.args.documents,
                self.match_key.as_ref(),
                line_digest,
                work.salts()?,
            )?;
            if let Err(refusal) = filled {
                return Ok(Err(refusal));
            }
        }
        if !unsigned.record.contains_key("salt") {
            let salt = work.salts()?.of_line(line_digest)?;
            unsigned.record.insert("salt".to_owned(), salt.into());
        }
        if unsigned.signer.is_none() {
            unsigned.signer = self.args.signer.as_ref().map(MemberId::to_string);
        }
        // A node that signs hides and keeps what is private by itself.
        let mut disclosures = Vec::new();
        if self.signer.is_some() {
            match hide(&mut unsigned.record, work, text)? {
                Ok(hidden) => disclosures = hidden,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Item::unsigned(line, unsigned, disclosures, self.signer.as_ref()).map(Some))
    }

    /// Puts what is private of a record into the node's vault.
    fn put_private(&self, item: &Item, id: &RecordId) -> Result<(), Failure> {
        let Some(private) = &item.private else { return Ok(()) };
        if !self.client.put_private(id, private)? {
            note_erased(id);
        }
        Ok(())
    }

    fn send(&mut self, work: &mut FileWork<'_>, mut chunk: Vec<Item>) -> Result<(), Failure> {
        let receipts_wanted = !self.args.no_receipts;
        if receipts_wanted {
            let (policy, origin, receipts) = (&self.policy, &self.origin, &work.receipts);
            let before = chunk.len();
            chunk =
                chunk.into_par_iter().filter(|item| !receipts.has(item, policy, origin)).collect();
            let kept = before.saturating_sub(chunk.len());
            work.tally.kept = work.tally.kept.saturating_add(count(kept));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if receipts_wanted && !work.prepared {
            work.receipts.prepare()?;
            work.prepared = true;
        }
        let outgoing: Vec<_> = chunk.iter().map(Item::outgoing).collect();
        let answers = send::send(&self.client, &outgoing, Duration::from_secs(self.args.wait))?;
        let mut recorded = Vec::new();
        let mut erased = Vec::new();
        let mut unsettled = false;
        for (item, answer) in chunk.iter().zip(answers) {
            unsettled |= !send::is_settled(&answer);
            match (answer.status, answer.id) {
                (200 | 201, Some(id)) => {
                    let tally = &mut work.tally;
                    let of =
                        if answer.status == 201 { &mut tally.recorded } else { &mut tally.present };
                    *of = of.saturating_add(1);
                    recorded.push((item, id));
                }
                // The node signed it before; the receipt shows whether it was this line.
                (410, Some(id)) => {
                    work.tally.present = work.tally.present.saturating_add(1);
                    note_erased(&id);
                    erased.push((item, id));
                }
                _ if !send::is_settled(&answer) => {
                    work.tally.waiting = work.tally.waiting.saturating_add(1);
                }
                _ => {
                    let LineAnswer { code, field, detail, status, .. } = answer;
                    let code = code.unwrap_or_else(|| status.to_string());
                    self.refused(work, item.line, code, field, detail.unwrap_or_default());
                }
            }
        }
        // Before the receipt, which says that nothing is left to do.
        recorded.iter().try_for_each(|(item, id)| self.put_private(item, id))?;
        recorded.append(&mut erased);
        if receipts_wanted {
            recorded.par_iter().try_for_each(|(item, id)| self.fetch(&work.receipts, item, id))?;
        }
        if unsettled {
            return Err(Failure::negative(format_args!(
                "the ledger did not decide on all records of {} within {} s; \
                 run the same command again to go on",
                work.path.display(),
                self.args.wait
            )));
        }
        Ok(())
    }

    /// Gets the receipt of a record, verifies it and writes it.
    fn fetch(&self, receipts: &Receipts, item: &Item, id: &RecordId) -> Result<(), Failure> {
        let bytes = self.client.receipt(id)?;
        let wrong = |reason: &dyn fmt::Display| {
            Failure::negative(format_args!(
                "the node's receipt of record {id} (line {}) is not valid: {reason}",
                item.line
            ))
        };
        let receipt = Receipt::parse(&bytes).map_err(|error| wrong(&error))?;
        if receipt.id() != *id || !item.is_of(&receipt, &self.origin) {
            return Err(wrong(&"it is of another record than was sent"));
        }
        let mut verification = receipt.verify(&self.policy);
        if !verification.is_valid() && self.args.policy.is_none() {
            // One from before the validators changed holds under the policy of its time.
            let size = receipt.checkpoint.checkpoint().size;
            verification = receipt.verify(&self.client.policy_of_size(size)?);
        }
        if let Some(check) = verification.checks.iter().find(|check| !check.ok) {
            return Err(wrong(&format_args!("{}: {}", check.name, check.detail)));
        }
        Ok(receipts.write(item.line, id, &bytes)?)
    }

    fn refused(
        &mut self,
        work: &mut FileWork<'_>,
        line: usize,
        code: String,
        field: Option<String>,
        detail: String,
    ) {
        work.tally.refused = work.tally.refused.saturating_add(1);
        let file = work.tally.file.clone();
        self.report.refused.push(Refused { file, line, code, field, detail });
    }
}

fn note_erased(id: &RecordId) {
    output::note(format!("What is private of record {id} was erased there, and stays so."));
}

/// The private fields of a record that stand in a file beside it.
fn private_beside(path: &Path, id: &RecordId) -> Result<Option<String>, Failure> {
    if Kind::of(path)? != Kind::Jws {
        return Ok(None);
    }
    let Some(beside) = presentation_beside(path) else { return Ok(None) };
    let text = files::read_text(&beside, PRESENTATION_BYTES_MAX)?;
    match input::parse(text.trim(), true) {
        Ok(Parsed::Signed { id: of, private, .. }) if of == *id => Ok(private),
        Ok(_) => Err(Failure::unusable(format_args!(
            "{} is of another record than {}",
            beside.display(),
            path.display()
        ))),
        Err(refusal) => Err(Failure::unusable(format_args!("{}: {refusal}", beside.display()))),
    }
}

/// Takes the private fields out of a line's record. Their salts stand beside the
/// file as the record's does, so that the line always makes the same record.
fn hide(
    record: &mut Map<String, Value>,
    work: &mut FileWork<'_>,
    text: &str,
) -> Result<Result<Vec<Disclosure>, Refusal>, Failure> {
    let line = input::digest(text);
    let mut failed: Option<Failure> = None;
    let concealed = conceal(record.clone(), &[], |place, name, _| {
        let of_field = input::digest(&format!("{line} {} {name}", place.as_str()));
        let mut salt = || -> Result<String, SaltsError> {
            let salts = match &mut work.salts {
                Some(salts) => salts,
                None => work.salts.insert(Salts::open(work.path)?),
            };
            salts.of_line(of_field)
        };
        salt()
            .map_err(|error| failed = Some(error.into()))
            .ok()
            .and_then(|salt| salt.parse().ok())
            .ok_or_else(|| Refusal::new(Code::Malformed, "a private field got no salt"))
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    Ok(concealed.map(|Concealed { payload, disclosures }| {
        *record = payload;
        disclosures
    }))
}

/// One file while it is appended.
struct FileWork<'a> {
    path: &'a Path,
    input: Input,
    /// Opened once a line needs one.
    salts: Option<Salts>,
    receipts: Receipts,
    /// Whether receipts can be written.
    prepared: bool,
    tally: Tally,
}

impl FileWork<'_> {
    fn salts(&mut self) -> Result<&mut Salts, Failure> {
        let salts = match self.salts.take() {
            Some(salts) => salts,
            None => Salts::open(self.path)?,
        };
        Ok(self.salts.insert(salts))
    }
}

/// Documents that are named as options belong to one record.
fn check_documents(args: &AppendArgs) -> Result<(), Failure> {
    if args.documents.documents.is_empty() {
        return Ok(());
    }
    match args.files.as_slice() {
        [file] if Kind::of(file)? == Kind::Json => Ok(()),
        _ => Err(Failure::unusable(
            "--document is for one .json file of one record; in lines, name files as \
             {\"kind\": KIND, \"file\": PATH} in documents",
        )),
    }
}

impl Report {
    fn tell(&self, json: bool, receipts_checked_by_the_node: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let mut table = output::table(&[
            "file",
            "recorded",
            "there before",
            "had receipt",
            "refused",
            "waiting",
            "skipped",
        ]);
        for tally in &self.files {
            let numbers = [
                tally.recorded,
                tally.present,
                tally.kept,
                tally.refused,
                tally.waiting,
                tally.skipped,
            ];
            let mut row = vec![comfy_table::Cell::new(&tally.file)];
            row.extend(numbers.map(output::number));
            table.add_row(row);
        }
        output::line(table.to_string())?;
        for refused in self.refused.iter().take(LISTED_MAX) {
            let Refused { file, line, code, field, detail } = refused;
            let field = field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default();
            let text = format!("{file}:{line}: refused: {code}{field}: {detail}");
            output::line(output::printable_line(&text))?;
        }
        match self.refused.len().saturating_sub(LISTED_MAX) {
            0 => {}
            more => output::line(format!("and {more} more; --json lists them all"))?,
        }
        let some = self.files.iter().any(|tally| tally.recorded > 0 || tally.present > 0);
        if receipts_checked_by_the_node && some {
            output::note(
                "The receipts were checked against the node's own policy; \
                 give --policy to check them against the one you trust.",
            );
        }
        Ok(())
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
