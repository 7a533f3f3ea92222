//! `quittance append`: records onto the ledger, and receipts back.

mod input;
mod receipts;
mod report;
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
use serde_json::{Map, Value};

use self::{
    input::{Input, Item, Kind, Parsed, Signer},
    receipts::Receipts,
    report::{NotRefused, Refused, Report, Tally},
    salts::{Salts, SaltsError},
};
use super::{
    ApiArgs, CommandResult, Failure,
    documents::{self, DocumentOptions},
    output,
    sign::{Kid, presentation_beside},
    source,
};
use crate::{
    client::{Client, LineAnswer, Patience},
    files, keys,
    samples::Expectation,
};

/// Records sent in one request, at most.
const CHUNK_RECORDS: usize = 256;
/// Their bytes, about; a single record may be larger.
const CHUNK_BYTES: usize = 1024 * 1024;

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
    /// Also send the lines that say themselves that they will be refused. The
    /// command succeeds where every line turns out as it says; a second time some
    /// may be taken, coming after all the others
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

/// Why a line is refused before it is sent, and what it says of itself.
type RefusedHere = (Refusal, Option<Expectation>);

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
    // What it takes to append must not be more than a token to append.
    let origin = client.origin()?;
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
    Ok(report.outcome())
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
                    Err(refusal) => Err((refusal, None)),
                };
                match item {
                    Ok(Some(item)) => chunk.push(item),
                    Ok(None) => work.tally.skipped = work.tally.skipped.saturating_add(1),
                    Err((Refusal { code, field, detail }, expected)) => {
                        let (file, code) = (work.tally.file.clone(), code.to_string());
                        let line = number;
                        self.refused(work, Refused { file, line, code, field, detail, expected });
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
    ) -> Result<Result<Option<Item>, RefusedHere>, Failure> {
        let mut unsigned = match input::parse(text, self.args.all) {
            Err(refusal) => return Ok(Err((refusal, None))),
            Ok(Parsed::Skipped) => return Ok(Ok(None)),
            Ok(Parsed::Signed { id, jws, private }) => {
                let private = match private {
                    None => private_beside(work.path, &id)?,
                    private => private,
                };
                let body = input::Body::Signed { id, jws };
                return Ok(Ok(Some(Item { line, body, private, expectation: None })));
            }
            Ok(Parsed::Unsigned(unsigned)) => unsigned,
        };
        let expectation = unsigned.expectation.clone();
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
                return Ok(Err((refusal, expectation)));
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
                Err(refusal) => return Ok(Err((refusal, expectation))),
            }
        }
        let item = Item::unsigned(line, unsigned, disclosures, self.signer.as_ref());
        Ok(item.map(Some).map_err(|refusal| (refusal, expectation)))
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
            let kept: Vec<_>;
            (kept, chunk) =
                chunk.into_par_iter().partition(|item| receipts.has(item, policy, origin));
            work.tally.kept = work.tally.kept.saturating_add(count(kept.len()));
            kept.iter().for_each(|item| self.on_the_ledger(work, item));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if receipts_wanted && !work.prepared {
            work.receipts.prepare()?;
            work.prepared = true;
        }
        if chunk.iter().any(|item| item.private.is_some()) {
            // Before the records, which would be there without what is private of them.
            self.client.check_private()?;
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
                    self.on_the_ledger(work, item);
                    recorded.push((item, id));
                }
                // The node signed it before; the receipt shows whether it was this line.
                (410, Some(id)) => {
                    work.tally.present = work.tally.present.saturating_add(1);
                    self.on_the_ledger(work, item);
                    note_erased(&id);
                    erased.push((item, id));
                }
                _ if !send::is_settled(&answer) => {
                    work.tally.waiting = work.tally.waiting.saturating_add(1);
                }
                _ => {
                    let LineAnswer { code, field, detail, status, .. } = answer;
                    let code = code.unwrap_or_else(|| status.to_string());
                    let refused = Refused {
                        file: work.tally.file.clone(),
                        line: item.line,
                        code,
                        field,
                        detail: detail.unwrap_or_default(),
                        expected: item.expectation.clone(),
                    };
                    self.refused(work, refused);
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

    fn refused(&mut self, work: &mut FileWork<'_>, refused: Refused) {
        let tally = &mut work.tally;
        tally.refused = tally.refused.saturating_add(1);
        if refused.expected.is_some() && !refused.is_as_expected() {
            tally.unexpected = tally.unexpected.saturating_add(1);
        }
        self.report.refused.push(refused);
    }

    /// Notes where a line is on the ledger that says itself that it will be refused.
    fn on_the_ledger(&mut self, work: &mut FileWork<'_>, item: &Item) {
        if let Some(expected @ Expectation::Refused(_)) = &item.expectation {
            work.tally.unexpected = work.tally.unexpected.saturating_add(1);
            let file = work.tally.file.clone();
            self.report.not_refused.push(NotRefused {
                file,
                line: item.line,
                expected: expected.clone(),
            });
        }
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

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
