//! `quittance member`: who is on the ledger, and how that changes.

mod propose;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quittance_ledger::{
    digest::RecordId,
    insurance::Data,
    membership::{MemberId, Origin},
    record::{Envelope, sign as sign_record},
};
use serde_json::{Map, Value, json};

use super::{
    ApiArgs, CommandResult, Failure, Outcome,
    append::{salts, send},
    output,
    sign::Kid,
};
use crate::{
    client::{Client, LineAnswer, MemberItem, Members, Outgoing, Patience, ProposalItem},
    keys,
};

#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    /// List members with their keys over time, and the changes that are proposed
    #[command(after_help = "Example:\n  quittance member list --api http://127.0.0.1:8080")]
    List(ListArgs),
    /// Propose a change: any member may
    #[command(after_help = propose::EXAMPLES)]
    Propose(propose::ProposeArgs),
    /// Approve a proposed change, as a member that validates
    #[command(after_help = "Example:\n  quittance member approve \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
        --key keys/record-petexpert-1.pem --kid petexpert#1 --ledger ledger.example/quittance\n\n\
        The change is in force from the block after the one in which more than two thirds of the\n\
        validators' members have approved; one that proposed approves like the others. What is approved\n\
        is shown first.")]
    Approve(ApproveArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ApproveArgs {
    /// The id of the record that proposes the change
    #[arg(value_name = "PROPOSAL")]
    proposal: RecordId,
    #[command(flatten)]
    how: How,
}

/// Who signs, and where the record goes.
#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    api: ApiArgs,
    /// Sign here with this secret record key
    #[arg(long, value_name = "PEM", requires_all = ["kid", "ledger"], required_unless_present = "signer")]
    key: Option<PathBuf>,
    /// Which key that is: the member's id, # and the key's id
    #[arg(long, value_name = "MEMBER#KEY", requires = "key")]
    kid: Option<Kid>,
    /// The ledger to sign for. A node that is of another one gets nothing
    #[arg(long, value_name = "ORIGIN", requires = "key")]
    ledger: Option<Origin>,
    /// Let the node sign as this member instead
    #[arg(long, value_name = "MEMBER", conflicts_with = "key")]
    signer: Option<MemberId>,
    /// How long to wait for the record to become final, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn member(args: &MemberArgs) -> CommandResult {
    match &args.command {
        MemberCommand::List(args) => list(args),
        MemberCommand::Propose(args) => propose::propose(args),
        MemberCommand::Approve(args) => approve(args),
    }
}

fn list(args: &ListArgs) -> CommandResult {
    let members = args.api.client(Patience::NONE)?.members()?;
    if args.json {
        output::json(&members)?;
        return Ok(Outcome::Yes);
    }
    let Members { members, proposals } = &members;
    let mut table =
        output::table(&["member", "name", "role", "blocks", "record keys", "validates"]);
    for member in members {
        table.add_row(row(member).map(|text| output::printable_line(&text).into_owned()));
    }
    output::line(table.to_string())?;
    for proposal in proposals {
        output::line(output::printable_line(&line(proposal)))?;
    }
    Ok(Outcome::Yes)
}

fn row(member: &MemberItem) -> [String; 6] {
    let keys: Vec<_> = member
        .keys
        .iter()
        .map(|key| format!("{} {}", key.id, blocks(key.from_height, key.to_height)))
        .collect();
    let validators = member.validators.iter();
    let validators: Vec<_> =
        validators.map(|keys| blocks(keys.from_height, keys.to_height)).collect();
    [
        member.id.clone(),
        member.name.clone(),
        member.role.clone(),
        blocks(member.from_height, member.to_height),
        keys.join("; "),
        if validators.is_empty() { "no".to_owned() } else { validators.join("; ") },
    ]
}

fn blocks(from_height: u64, to_height: Option<u64>) -> String {
    match to_height {
        Some(to_height) => format!("{from_height} to {to_height}"),
        None => format!("from {from_height}"),
    }
}

fn line(proposal: &ProposalItem) -> String {
    let ProposalItem { id, proposer, change, member, lapses_at, approvals, quorum } = proposal;
    let counted = approvals.iter().filter(|approval| approval.counts).count();
    let names: Vec<_> = approvals.iter().map(|approval| approval.member.as_str()).collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    format!(
        "proposed by {proposer}: {change} {member}; approved by {names} ({counted} of {quorum}); \
         lapses {lapses_at}; {id}"
    )
}

fn approve(args: &ApproveArgs) -> CommandResult {
    let (client, origin) = args.how.node()?;
    let proposal = args.proposal;
    // The id is the hash of what is shown, so the node cannot show something else.
    let record = Envelope::parse(client.record(&proposal)?)
        .map_err(|refusal| Failure::negative(format_args!("record {proposal}: {refusal}")))?;
    if !matches!(record.payload().data, Data::MemberProposed(_)) {
        return Err(Failure::negative(format_args!(
            "record {proposal} is a {}, which proposes no change of the membership",
            record.payload().record_type
        )));
    }
    let payload: Value = serde_json::from_slice(record.payload_json())?;
    let data = serde_json::to_string_pretty(payload.get("data").unwrap_or(&Value::Null))?;
    let shown = format!("{} proposes:\n{data}", record.signer());
    output::note(output::printable(&shown));
    let answer =
        args.how.send(&client, &origin, "member.approved", json!({"proposal": proposal}))?;
    args.how.tell(&answer, "The approval", |_| {
        "`quittance member list` shows whether it was enough.".to_owned()
    })
}

impl How {
    /// The node, and the ledger to sign for.
    fn node(&self) -> Result<(Client, Origin), Failure> {
        let client = self.api.client(Patience::NONE)?;
        let origin = client.origin()?;
        match &self.ledger {
            Some(ledger) if *ledger != origin => Err(Failure::unusable(format_args!(
                "the node is of ledger {origin}, not of {ledger}; nothing was signed"
            ))),
            _ => Ok((client, origin)),
        }
    }

    /// Makes a record of that type, which happens now, and sends it.
    fn send(
        &self,
        client: &Client,
        origin: &Origin,
        record_type: &str,
        data: Value,
    ) -> Result<LineAnswer, Failure> {
        let mut payload = Map::new();
        payload.insert("type".to_owned(), record_type.into());
        payload.insert("occurred_at".to_owned(), jiff::Timestamp::now().to_string().into());
        payload.insert("data".to_owned(), data);
        let outgoing = match (&self.key, &self.kid, &self.signer) {
            (Some(key), Some(kid), _) => {
                let key = keys::load_record(key)?;
                let record = sign_record(payload, origin, &kid.member, &kid.key, &key)
                    .map_err(Failure::negative)?;
                Outgoing::Signed(String::from_utf8_lossy(record.jws()).into_owned())
            }
            (_, _, Some(signer)) => {
                payload.insert("salt".to_owned(), salts::new_salt()?.into());
                Outgoing::Unsigned(json!({"signer": signer, "record": payload}).to_string())
            }
            _ => return Err(Failure::unusable("give --key with --kid and --ledger, or --signer")),
        };
        let wait = std::time::Duration::from_secs(self.wait);
        let mut answers = send::send(client, &[outgoing], wait)?;
        answers.pop().ok_or_else(|| client.odd("/v1/records/batch", "no answer").into())
    }

    /// Tells what became of a record, and what to do next.
    fn tell(
        &self,
        answer: &LineAnswer,
        what: &str,
        next: impl FnOnce(&RecordId) -> String,
    ) -> CommandResult {
        let LineAnswer { status, id, height, code, field, detail, .. } = answer;
        if self.json {
            output::json(&json!({
                "status": status, "id": id, "height": height, "code": code, "field": field,
                "detail": detail,
            }))?;
        }
        match (status, id) {
            (200 | 201, Some(id)) => {
                if !self.json {
                    output::line(id.to_string())?;
                }
                output::note(format!(
                    "{what} is final in block {}. {}",
                    height.unwrap_or_default(),
                    next(id)
                ));
                Ok(Outcome::Yes)
            }
            _ if !send::is_settled(answer) => Err(Failure::negative(format_args!(
                "the ledger did not decide on it within {} s; it may still be recorded: \
                 look at `quittance member list` before you try again",
                self.wait
            ))),
            _ => {
                let code = code.clone().unwrap_or_else(|| status.to_string());
                let field = field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default();
                let detail = detail.clone().unwrap_or_default();
                let text = format!("refused: {code}{field}: {detail}");
                Err(Failure::negative(output::printable_line(&text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{cli::ShownToken, client::scripted};

    #[test]
    fn what_is_sent_again_is_the_same_record() {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = bodies.clone();
        let url = scripted::serve(move |request| {
            let mut seen = seen.lock().unwrap();
            seen.push(request.body.clone());
            let status = if seen.len() == 1 { 202 } else { 201 };
            ("200 OK", format!("{{\"line\":0,\"status\":{status}}}\n"))
        });
        let how = How {
            api: ApiArgs { api: url, ca: None, token: ShownToken { token_file: None } },
            key: None,
            kid: None,
            ledger: None,
            signer: Some("a".parse().unwrap()),
            wait: 20,
            json: false,
        };
        let client = how.api.client(Patience::NONE).unwrap();
        let origin = "l.example/q".parse().unwrap();
        let answer = how.send(&client, &origin, "member.approved", json!({})).unwrap();
        assert_eq!(answer.status, 201);
        let bodies = bodies.lock().unwrap();
        assert_eq!(bodies.len(), 2);
        assert!(bodies[0].contains("\"salt\"") && bodies[0] == bodies[1], "{bodies:?}");
    }

    #[test]
    fn members_and_proposals_are_told_in_lines() {
        let members: Members = serde_json::from_value(json!({
            "members": [{"id": "a", "name": "A", "role": "insurer", "from_height": 1,
                "to_height": null,
                "keys": [{"id": "1", "alg": "Ed25519", "public": "x", "from_height": 1, "to_height": 7},
                    {"id": "2", "alg": "Ed25519", "public": "y", "from_height": 4, "to_height": null}],
                "validators": [{"consensus": "c", "log": "l", "cosigner": "k", "from_height": 1,
                    "to_height": null}]}],
            "proposals": [{"id": "0".repeat(64), "proposer": "b", "change": "remove", "member": "c",
                "height": 3, "proposed_at": "", "lapses_at": "2026-05-01T00:00:00.000Z",
                "approvals": [{"member": "a", "height": 4, "counts": true}], "quorum": 3}],
        }))
        .unwrap();
        let [.., keys, validates] = row(&members.members[0]);
        assert_eq!((keys.as_str(), validates.as_str()), ("1 1 to 7; 2 from 4", "from 1"));
        let told = line(&members.proposals[0]);
        assert!(told.starts_with("proposed by b: remove c; approved by a (1 of 3)"), "{told}");
    }
}
