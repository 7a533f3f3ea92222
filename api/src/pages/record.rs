//! `/records/{id}`: one record, where it stands, what it says, and its proof.

use askama::Template;
use axum::{extract::State, response::Response};
use quittance_ledger::{
    insurance::rules,
    membership::{MemberHistory, Role},
    record::Record,
};

use super::{
    PageProblem, contract,
    fields::{Field, fields},
    human, human_ms, page,
};
use crate::{
    extract::IdPath,
    problem::Problem,
    read::records::{Found, find, flags_of},
    state::Shared,
};

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    id: String,
    record_type: &'static str,
    late: bool,
    flags: Vec<&'static str>,
    corrected_by: Option<String>,
    /// The page of its contract.
    dossier: Option<String>,
    placed: Option<Placed>,
    occurred: String,
    signer: String,
    signer_name: String,
    role: Option<&'static str>,
    key: String,
    fields: Vec<Field>,
    proof: Option<Proof>,
    jws: String,
}

struct Placed {
    index: u64,
    height: u64,
    block_time: String,
}

struct Proof {
    size: u64,
    root: String,
    hashes: Vec<String>,
    checkpoint: String,
}

pub(super) async fn record(
    State(app): State<Shared>,
    id: Result<IdPath, Problem>,
) -> Result<Response, PageProblem> {
    let IdPath(id) = id?;
    let read = app.read(move |app, _| match find(app, &id)? {
        Found::Pending(record) => Ok(RecordPage::of(app, &record)?),
        Found::Entry(entry) => {
            let mut template = RecordPage::of(app, &entry.record)?;
            template.late = rules::is_late(&entry.record, entry.block_time_ms);
            template.flags = flags_of(&entry, &app.store)?;
            template.flags.retain(|flag| *flag != "late");
            template.corrected_by = app.store.correction_of(&id)?.map(|newer| newer.to_string());
            template.placed = Some(Placed {
                index: entry.index,
                height: entry.height,
                block_time: human_ms(entry.block_time_ms),
            });
            template.proof = app.store.receipt(entry.index)?.map(|receipt| Proof {
                size: receipt.checkpoint.checkpoint().size,
                root: receipt.checkpoint.checkpoint().root.to_string(),
                hashes: receipt.proof.iter().map(ToString::to_string).collect(),
                checkpoint: receipt.checkpoint.to_text(),
            });
            Ok(template)
        }
    });
    page(&read.await?)
}

impl RecordPage {
    fn of(app: &Shared, record: &Record) -> Result<Self, Problem> {
        let payload = record.payload();
        let membership = app.membership();
        let member = membership.past(record.signer());
        let signer = record.signer().to_string();
        let json = serde_json::from_slice(record.payload_json());
        Ok(Self {
            id: record.id().to_string(),
            record_type: payload.record_type.as_str(),
            late: false,
            flags: Vec::new(),
            corrected_by: None,
            dossier: payload.contract.as_ref().map(contract::address),
            placed: None,
            occurred: human(payload.occurred_at),
            signer_name: member.map_or_else(|| signer.clone(), |member| member.name.clone()),
            role: member.map(role_of),
            signer,
            key: record.key_id().to_string(),
            fields: fields(json.map_err(|error| Problem::internal(&error))?),
            proof: None,
            jws: String::from_utf8_lossy(record.jws()).into_owned(),
        })
    }
}

const fn role_of(member: &MemberHistory) -> &'static str {
    match member.role {
        Role::Insurer => "insurer",
        Role::Broker => "broker",
        Role::Provider => "provider",
        Role::TrustService => "trust service",
        Role::Regulator => "regulator",
    }
}
