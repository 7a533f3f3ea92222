//! How the node is: for people, for load balancers and for Prometheus.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use quittance_ledger::{
    digest::{Digest, LedgerId},
    membership::{MemberId, Origin},
    store::StoreError,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::utc;
use crate::{
    metrics::OPENMETRICS,
    problem::{Kind, Problem, ProblemBody},
    state::{App, Shared},
};

/// The node and its ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusAnswer {
    ledger: LedgerStatus,
    node: NodeAnswer,
    head: HeadStatus,
    pending: PendingStatus,
    /// The other members' nodes.
    peers: Vec<PeerAnswer>,
    /// How many members there are.
    members: usize,
    /// How many of them validate.
    validators: usize,
    /// How many validators make a checkpoint final.
    quorum: usize,
    /// What people should look at.
    alerts: Vec<String>,
}

/// Which ledger it is.
#[derive(Debug, Serialize, ToSchema)]
struct LedgerStatus {
    /// Its name: what records are signed for.
    #[schema(value_type = String, example = "ledger.example/quittance")]
    origin: Origin,
    /// SHA-256 of its canonical genesis.
    #[schema(value_type = String)]
    id: LedgerId,
}

/// Which node it is.
#[derive(Debug, Serialize, ToSchema)]
struct NodeAnswer {
    /// The release it runs.
    #[schema(value_type = String)]
    version: &'static str,
    /// The member it belongs to.
    #[schema(value_type = Option<String>)]
    member: Option<MemberId>,
    /// Whether it validates.
    validator: bool,
    /// How long it has run, in seconds.
    uptime_s: u64,
    /// Blocks that are decided and durable here; those beyond the head's height
    /// wait for cosignatures.
    decided_height: u64,
}

/// Another member's node.
#[derive(Debug, Serialize, ToSchema)]
struct PeerAnswer {
    /// The member it belongs to.
    #[schema(value_type = Option<String>)]
    member: Option<MemberId>,
    /// Whether it validates.
    validator: bool,
    /// Whether it is connected.
    connected: bool,
    /// The blocks it has decided, as it says; null where it has not said.
    height: Option<u64>,
}

/// The end of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeadStatus {
    /// Blocks on the ledger.
    pub(crate) height: u64,
    /// Hash of the last block; zeros before the first.
    #[schema(value_type = String)]
    pub(crate) hash: Digest,
    /// When it was made, RFC 3339 in UTC; null before the first.
    pub(crate) time: Option<String>,
    /// Records on the ledger.
    pub(crate) tree_size: u64,
    /// Root of the tree over their ids.
    #[schema(value_type = String)]
    pub(crate) root: Digest,
    /// Records under the newest published checkpoint.
    pub(crate) checkpoint_size: u64,
}

/// What waits for a block.
#[derive(Debug, Serialize, ToSchema)]
struct PendingStatus {
    /// How many records.
    records: u64,
    /// Their bytes.
    bytes: u64,
}

/// Reads the head. Reads from the disk.
pub(crate) fn head(app: &App) -> Result<HeadStatus, StoreError> {
    let tip = app.store.tip();
    let checkpoint = app.store.latest_checkpoint()?;
    Ok(HeadStatus {
        height: tip.height,
        hash: tip.hash,
        time: (tip.height > 0).then(|| utc(tip.time_ms)),
        tree_size: tip.frontier.size(),
        root: tip.frontier.root(),
        checkpoint_size: checkpoint.map_or(0, |signed| signed.checkpoint().size),
    })
}

/// The node and its ledger
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "node",
    responses((status = 200, description = "How the node is", body = StatusAnswer))
)]
pub(crate) async fn get_status(State(app): State<Shared>) -> Result<Json<StatusAnswer>, Problem> {
    app.read(|app, _| {
        let membership = app.membership();
        let node = app.node.status();
        Ok(Json(StatusAnswer {
            ledger: LedgerStatus {
                origin: membership.origin().clone(),
                id: membership.ledger_id(),
            },
            node: NodeAnswer {
                version: env!("CARGO_PKG_VERSION"),
                member: node.member,
                validator: node.validator,
                uptime_s: node.uptime.as_secs(),
                decided_height: node.decided_height,
            },
            head: head(app)?,
            pending: PendingStatus { records: node.pending_records, bytes: node.pending_bytes },
            members: membership.members().count(),
            validators: membership.validators().len(),
            quorum: membership.validators().quorum(),
            peers: node
                .peers
                .into_iter()
                .map(|peer| PeerAnswer {
                    member: peer.member,
                    validator: peer.validator,
                    connected: peer.connected,
                    height: peer.height,
                })
                .collect(),
            alerts: node.not_ready.into_iter().chain(node.alerts).collect(),
        }))
    })
    .await
}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "node",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the node can do its work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "node",
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot; the detail says why", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn readyz(State(app): State<Shared>) -> Result<&'static str, Problem> {
    match app.node.status().not_ready {
        None => Ok("ok\n"),
        Some(reason) => {
            let retry_after_s = app.config.limits.retry_after_s;
            Err(Problem::new(Kind::NotReady, reason).retry_after(retry_after_s))
        }
    }
}

/// Figures for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) async fn get_metrics(State(app): State<Shared>) -> Result<Response, Problem> {
    let text = app.metrics.encode(&app).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
