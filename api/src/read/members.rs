//! Who is on the ledger, and was: members, proposals, genesis and policy.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    digest::RecordId,
    membership::{KeyId, MemberHistory, MemberId, Observer, Proposal, Role, Tenure, Validator},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::utc;
use crate::{
    extract::{QueryOf, parse_some},
    problem::{Problem, ProblemBody},
    state::Shared,
};

const TEXT: &str = "text/plain; charset=utf-8";

/// The members of the ledger, those that left included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersAnswer {
    /// The members, by id.
    members: Vec<MemberAnswer>,
    /// Changes of the membership that can be approved, the oldest first.
    proposals: Vec<ProposalAnswer>,
}

/// One organisation that is or was on the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberAnswer {
    /// The name it signs under. Never given to anybody else.
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
    /// The first block it is a member for.
    from_height: u64,
    /// The last block it is a member for; null while it is one.
    to_height: Option<u64>,
    /// Its record keys over time, the oldest first.
    keys: Vec<KeyAnswer>,
    /// What it validates with for the next block, where it validates.
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<ValidatorAnswer>,
    /// What it validated and validates with over time, the oldest first.
    validators: Vec<ValidatorAnswer>,
    /// The node it follows the ledger with, where it does not validate.
    #[serde(skip_serializing_if = "Option::is_none")]
    observer: Option<ObserverAnswer>,
}

/// A key that a member signs records with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// The part of `kid` after `#`.
    #[schema(value_type = String, example = "1")]
    id: KeyId,
    /// `Ed25519` or `ES256`.
    #[schema(value_type = String, example = "Ed25519")]
    alg: &'static str,
    /// The public key in base64: 32 bytes for Ed25519; for ES256 a compressed point, 33 bytes.
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
    /// The first block it decides on with these keys.
    from_height: u64,
    /// The last block it decides on with them; null while they are in force.
    to_height: Option<u64>,
}

/// The node of a member that does not validate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObserverAnswer {
    /// libp2p peer id of its node.
    peer: String,
}

/// A change of the membership that was proposed. The record says it in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProposalAnswer {
    /// The record that proposes it.
    #[schema(value_type = String)]
    id: RecordId,
    /// Who signed that.
    #[schema(value_type = String)]
    proposer: MemberId,
    /// What is to change: `add`, `remove`, `key_added`, `key_revoked`,
    /// `validator_in` or `validator_out`.
    #[schema(value_type = String, example = "add")]
    change: &'static str,
    /// The member it is about.
    #[schema(value_type = String)]
    member: MemberId,
    /// The block it was proposed in.
    height: u64,
    /// The time of that block, RFC 3339 in UTC.
    proposed_at: String,
    /// When it lapses unless it is in force, RFC 3339 in UTC.
    lapses_at: String,
    /// Who approved, by id.
    approvals: Vec<ApprovalAnswer>,
    /// How many of the validators' members have to approve.
    quorum: usize,
}

/// One approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalAnswer {
    /// The member.
    #[schema(value_type = String)]
    member: MemberId,
    /// The block that holds its approval.
    height: u64,
    /// Whether it counts: whether the member validates.
    counts: bool,
}

impl From<&Tenure<Validator>> for ValidatorAnswer {
    fn from(tenure: &Tenure<Validator>) -> Self {
        let Validator { consensus, log, cosigner, peer, .. } = &tenure.of;
        Self {
            consensus: STANDARD.encode(consensus.as_bytes()),
            log: log.to_string(),
            cosigner: cosigner.to_string(),
            peer: peer.clone(),
            from_height: tenure.from_height,
            to_height: tenure.to_height,
        }
    }
}

impl MemberAnswer {
    /// As it is known, and as it is for the block after `height`.
    fn of(member: &MemberHistory, height: u64) -> Self {
        let next = height.saturating_add(1);
        let in_force = member.validators.iter().find(|validator| validator.is_in_force(next));
        Self {
            id: member.id.clone(),
            name: member.name.clone(),
            role: member.role,
            time_zone: member.time_zone.clone(),
            from_height: member.from_height,
            to_height: member.to_height,
            keys: member
                .keys
                .iter()
                .map(|key| KeyAnswer {
                    id: key.of.id.clone(),
                    alg: key.of.public.algorithm().as_str(),
                    public: key.of.public.to_string(),
                    from_height: key.from_height,
                    to_height: key.to_height,
                })
                .collect(),
            validator: in_force.map(ValidatorAnswer::from),
            validators: member.validators.iter().map(ValidatorAnswer::from).collect(),
            observer: member
                .observer
                .as_ref()
                .map(|Observer { peer, .. }| ObserverAnswer { peer: peer.clone() }),
        }
    }
}

impl ProposalAnswer {
    fn of(proposal: &Proposal, validates: impl Fn(&MemberId) -> bool, quorum: usize) -> Self {
        Self {
            id: proposal.id,
            proposer: proposal.proposer.clone(),
            change: proposal.change.kind(),
            member: proposal.change.member().clone(),
            height: proposal.height,
            proposed_at: utc(proposal.time_ms),
            lapses_at: utc(proposal.lapses_ms()),
            approvals: proposal
                .approvals
                .iter()
                .map(|(member, height)| ApprovalAnswer {
                    member: member.clone(),
                    height: *height,
                    counts: validates(member),
                })
                .collect(),
            quorum,
        }
    }
}

/// Members, their keys over time, and open proposals
///
/// Whoever left stays listed, as do keys that are in force no more: what they
/// signed verifies for ever. A change is proposed by a record `member.proposed`
/// of any member and approved by records `member.approved` of more than two
/// thirds of the members that validate; it is in force from the next block.
#[utoipa::path(
    get,
    path = "/v1/members",
    tag = "members",
    responses((status = 200, description = "The members, by id", body = MembersAnswer))
)]
pub(crate) async fn list_members(State(app): State<Shared>) -> Json<MembersAnswer> {
    let tip = app.store.tip();
    let membership = tip.membership();
    let validators = membership.validators();
    let validates = |member: &MemberId| validators.of_member(member).is_some();
    let members = membership.history().map(|member| MemberAnswer::of(member, tip.height));
    let proposals = tip.members.open_proposals(tip.time_ms);
    let proposals = proposals
        .iter()
        .map(|proposal| ProposalAnswer::of(proposal, validates, validators.quorum()));
    Json(MembersAnswer { members: members.collect(), proposals: proposals.collect() })
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

/// Which policy is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyQuery {
    /// The block whose validators' policy it is, from 1 to the next one; the next one without it.
    #[param(value_type = Option<u64>)]
    at: Option<String>,
    /// Instead of `at`: how many records the checkpoint covers that is to be verified.
    #[param(value_type = Option<u64>)]
    size: Option<String>,
}

/// The trust policy
///
/// Whose signatures make a checkpoint final (C2SP tlog-policy). Keep it where
/// you verify receipts; do not fetch it again from a node you do not trust.
/// When validators change, so does the policy: a receipt verifies under the
/// one of the block that its checkpoint ends with.
#[utoipa::path(
    get,
    path = "/v1/policy",
    tag = "members",
    params(PolicyQuery),
    responses(
        (status = 200, description = "The policy", body = String, content_type = "text/plain"),
        (status = 400, description = "Not a height, or one that is still to come", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_policy(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<PolicyQuery>,
) -> Result<Response, Problem> {
    let at: Option<u64> = parse_some("at", query.at.as_deref())?;
    let size: Option<u64> = parse_some("size", query.size.as_deref())?;
    let membership = match (at, size) {
        (Some(_), Some(_)) => return Err(Problem::query("size", "size: give either at or size")),
        (None, None) => app.membership(),
        (None, Some(size)) => {
            app.read(move |app, _| Ok(app.store.membership_of_size(size)?)).await?
        }
        (Some(height), None) => {
            let tip = app.store.tip();
            let next = tip.height.saturating_add(1);
            if height == 0 || height > next {
                let detail =
                    format!("at: must be a height from 1 to {next}, the next block, not {height}");
                return Err(Problem::query("at", detail));
            }
            tip.membership().at(height)
        }
    };
    let policy = membership.policy();
    Ok(([(header::CONTENT_TYPE, TEXT)], policy.to_bytes()).into_response())
}
