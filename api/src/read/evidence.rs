//! `GET /v1/evidence`: validators that contradicted themselves.

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    chain::{Evidence, Statement},
    membership::{MemberId, Membership},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{problem::Problem, state::Shared};

/// Evidence that this node holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvidenceList {
    /// By height.
    evidence: Vec<EvidenceAnswer>,
}

/// Two statements of one validator that exclude each other, both signed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvidenceAnswer {
    /// The member that validates with that key now; null where none does.
    #[schema(value_type = Option<String>)]
    member: Option<MemberId>,
    /// The validator's consensus key, in hexadecimal digits.
    validator: String,
    /// `propose`, `prevote` or `precommit`.
    #[schema(value_type = String)]
    step: &'static str,
    /// The height.
    height: u64,
    /// The round, from 0.
    round: u32,
    /// The two statements.
    statements: Vec<StatementAnswer>,
}

/// What a validator signed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatementAnswer {
    /// Hash of the block; null for a vote for no block.
    block: Option<String>,
    /// The bytes that are signed, in base64.
    bytes: String,
    /// The signature, in base64.
    signature: String,
}

fn answer(evidence: &Evidence, membership: &Membership) -> EvidenceAnswer {
    let ledger = membership.ledger_id();
    let statement = |statement: &Statement| StatementAnswer {
        block: statement.block.map(hex::encode),
        bytes: STANDARD.encode(evidence.signed_bytes(ledger, statement)),
        signature: STANDARD.encode(statement.signature),
    };
    EvidenceAnswer {
        member: membership
            .validators()
            .by_consensus_key(&evidence.validator)
            .map(|validator| validator.member.clone()),
        validator: hex::encode(evidence.validator),
        step: evidence.step.as_str(),
        height: evidence.height,
        round: evidence.round,
        statements: evidence.statements.iter().map(statement).collect(),
    }
}

/// Validators that contradicted themselves
///
/// Each entry holds two statements that one validator signed and that exclude
/// each other. Nodes may hold different evidence; each can be checked with
/// nothing but the bytes and the validator's key.
#[utoipa::path(
    get,
    path = "/v1/evidence",
    tag = "members",
    responses((status = 200, description = "The evidence", body = EvidenceList))
)]
pub(crate) async fn list_evidence(
    State(app): State<Shared>,
) -> Result<Json<EvidenceList>, Problem> {
    app.read(|app, _| {
        let evidence = app.store.evidence()?;
        let membership = app.membership();
        let evidence = evidence.iter().map(|one| answer(one, &membership)).collect();
        Ok(Json(EvidenceList { evidence }))
    })
    .await
}
