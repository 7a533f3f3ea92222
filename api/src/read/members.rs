//! Who is on the ledger: members, genesis and policy.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::membership::{KeyId, Member, MemberId, Role};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{problem::Problem, state::Shared};

const TEXT: &str = "text/plain; charset=utf-8";

/// The members of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersAnswer {
    /// The members, by id.
    members: Vec<MemberAnswer>,
}

/// One organisation on the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberAnswer {
    /// The name it signs under.
    #[schema(value_type = String, example = "petexpert")]
    id: MemberId,
    /// What people call it.
    name: String,
    /// What it may sign.
    #[schema(value_type = String, example = "insurer")]
    role: Role,
    /// IANA time zone in which its contracts count days, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// Its record keys over time.
    keys: Vec<KeyAnswer>,
    /// What it validates with, where it validates.
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<ValidatorAnswer>,
}

/// A key that a member signs records with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// The part of `kid` after `#`.
    #[schema(value_type = String, example = "1")]
    id: KeyId,
    /// Always `Ed25519`.
    #[schema(value_type = String, example = "Ed25519")]
    alg: &'static str,
    /// The public key, 32 bytes in base64.
    public: String,
    /// The first block it is in force for.
    from_height: u64,
    /// The last block it is in force for; null while it is in force.
    to_height: Option<u64>,
}

/// What a member validates with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidatorAnswer {
    /// Consensus public key, 32 bytes in base64.
    consensus: String,
    /// Signs checkpoints: a vkey of type 0x01 (C2SP signed-note).
    log: String,
    /// Cosigns checkpoints: a vkey of type 0x04 (C2SP tlog-cosignature).
    cosigner: String,
    /// libp2p peer id of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
}

impl From<&Member> for MemberAnswer {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id.clone(),
            name: member.name.clone(),
            role: member.role,
            time_zone: member.time_zone.clone(),
            keys: member
                .keys
                .iter()
                .map(|key| KeyAnswer {
                    id: key.id.clone(),
                    alg: "Ed25519",
                    public: STANDARD.encode(key.public.as_bytes()),
                    // Keys of the genesis hold from the first block on.
                    from_height: 1,
                    to_height: None,
                })
                .collect(),
            validator: member.validator.as_ref().map(|validator| ValidatorAnswer {
                consensus: STANDARD.encode(validator.consensus.as_bytes()),
                log: validator.log.to_string(),
                cosigner: validator.cosigner.to_string(),
                peer: validator.peer.clone(),
            }),
        }
    }
}

/// Members and their keys
#[utoipa::path(
    get,
    path = "/v1/members",
    tag = "members",
    responses((status = 200, description = "The members, by id", body = MembersAnswer))
)]
pub(crate) async fn list_members(State(app): State<Shared>) -> Json<MembersAnswer> {
    Json(MembersAnswer { members: app.membership().members().map(MemberAnswer::from).collect() })
}

/// The genesis the ledger started from
///
/// `genesis.toml`; the SHA-256 of its canonical form is the ledger's id.
#[utoipa::path(
    get,
    path = "/v1/genesis",
    tag = "members",
    responses((status = 200, description = "genesis.toml", body = String, content_type = "text/plain"))
)]
pub(crate) async fn get_genesis(State(app): State<Shared>) -> Result<Response, Problem> {
    let text = app.membership().genesis().to_toml().map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

/// The trust policy
///
/// Whose signatures make a checkpoint final (C2SP tlog-policy). Keep it where
/// you verify receipts; do not fetch it again from a node you do not trust.
#[utoipa::path(
    get,
    path = "/v1/policy",
    tag = "members",
    responses((status = 200, description = "The policy", body = String, content_type = "text/plain"))
)]
pub(crate) async fn get_policy(State(app): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], app.membership().policy().to_bytes()).into_response()
}
