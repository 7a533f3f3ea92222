//! The transparency tree: checkpoints, tiles (C2SP tlog-tiles) and proofs.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    digest::Digest,
    transparency::{
        SignedCheckpoint,
        layout::{self, TilePath},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::blocks::PageQuery;
use crate::{
    budget::Reserved,
    extract::{QueryOf, page_items, parse},
    problem::{Problem, ProblemBody},
    state::Shared,
};

/// The newest checkpoint
///
/// A signed note (C2SP tlog-checkpoint) that the validators cosigned.
#[utoipa::path(
    get,
    path = "/checkpoint",
    tag = "tiles",
    responses(
        (status = 200, description = "The signed note", body = String, content_type = "text/plain"),
        (status = 404, description = "No checkpoint has been published yet", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_checkpoint(State(app): State<Shared>) -> Result<Response, Problem> {
    let checkpoint = app.read(|app, _| Ok(app.store.latest_checkpoint()?)).await?;
    let checkpoint =
        checkpoint.ok_or_else(|| Problem::not_found("no checkpoint has been published yet"))?;
    let headers = [
        (header::CONTENT_TYPE, layout::CHECKPOINT_CONTENT_TYPE),
        (header::CACHE_CONTROL, layout::CHECKPOINT_CACHE_CONTROL),
    ];
    Ok((headers, checkpoint.to_bytes()).into_response())
}

/// A tile or an entry bundle
///
/// `/tile/<level>/<index>[.p/<width>]` and `/tile/entries/<index>[.p/<width>]`
/// (C2SP tlog-tiles). An entry is the 32-byte id of a record.
#[utoipa::path(
    get,
    path = "/tile/{path}",
    tag = "tiles",
    params(("path" = String, Path, description = "Level and index as tlog-tiles spells them, such as `0/x001/234.p/56`")),
    responses(
        (status = 200, description = "The tile; it never changes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "The tree has no such tile", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_tile(State(app): State<Shared>, uri: Uri) -> Result<Response, Problem> {
    // Programs that fill in the path of an OpenAPI document escape its slashes.
    let path = uri.path().replace("%2F", "/").replace("%2f", "/");
    let tile: TilePath = path
        .strip_prefix('/')
        .unwrap_or_default()
        .parse()
        .map_err(|error| Problem::not_found(format!("no such tile: {error}")))?;
    let read = app.read(move |app, _| {
        // Only what a published checkpoint covers.
        let size = app.store.tip().frontier.size();
        if !tile.exists_in(size) {
            let detail = format!("a tree of {size} records has no {tile}");
            return Err(Problem::not_found(detail).into());
        }
        match tile.entry_range() {
            Some(range) => Ok(layout::entries_bytes(&app.store.ids(range.start, range.end)?)),
            None => Ok(app.store.tile(&tile)?),
        }
    });
    let bytes = read.await?;
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, layout::TILE_CONTENT_TYPE),
        (header::CACHE_CONTROL, layout::TILE_CACHE_CONTROL),
    ];
    Ok((HEADERS, bytes).into_response())
}

/// A published checkpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckpointAnswer {
    /// Records in the tree.
    size: u64,
    /// The root over them.
    #[schema(value_type = String)]
    root: Digest,
    /// The signed note.
    note: String,
}

impl From<&SignedCheckpoint> for CheckpointAnswer {
    fn from(signed: &SignedCheckpoint) -> Self {
        let checkpoint = signed.checkpoint();
        Self { size: checkpoint.size, root: checkpoint.root, note: signed.to_text() }
    }
}

/// Published checkpoints, by size.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckpointsAnswer {
    /// The checkpoints, newest last.
    checkpoints: Vec<CheckpointAnswer>,
    /// The cursor to go on from, a size; null at the end of what there is now.
    next: Option<String>,
}

/// Checkpoints that are asked of the store at once.
const STEP: usize = 16;

/// Every published checkpoint
///
/// Kept for ever, so that anyone can compare them with those they kept. A page
/// may end early where they hold many cosignatures; `next` goes on.
#[utoipa::path(
    get,
    path = "/v1/checkpoints",
    tag = "prove",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of checkpoints", body = CheckpointsAnswer),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list_checkpoints(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Response, Problem> {
    let limit = page_items(query.limit, &app.config.limits)?;
    let from = match query.after.as_deref() {
        Some(after) => parse::<u64>("after", after)?.saturating_add(1),
        None => 0,
    };
    app.read(move |app, patience| {
        let bytes_max = app.config.limits.page_bytes_max;
        let mut share = app.response_bytes.share();
        let mut checkpoints: Vec<CheckpointAnswer> = Vec::new();
        let (mut from, mut bytes, mut more) = (from, 0_usize, true);
        while more && checkpoints.len() < limit && bytes < bytes_max {
            patience.check()?;
            let step = limit.saturating_sub(checkpoints.len()).min(STEP);
            // One more than these, to know whether another follows.
            let mut found = app.store.checkpoints(from, step.saturating_add(1))?;
            more = found.len() > step;
            found.truncate(step);
            for checkpoint in &found {
                let checkpoint = CheckpointAnswer::from(checkpoint);
                from = checkpoint.size.saturating_add(1);
                bytes = bytes.saturating_add(checkpoint.note.len());
                checkpoints.push(checkpoint);
            }
            if !share.cover(bytes) {
                return Err(app.answers_are_many().into());
            }
        }
        let last = checkpoints.last().filter(|_| more);
        let next = last.map(|checkpoint| checkpoint.size.to_string());
        let mut response = Json(CheckpointsAnswer { checkpoints, next }).into_response();
        response.extensions_mut().insert(Reserved::from(share));
        Ok(response)
    })
    .await
}

/// Two sizes of the tree.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// The smaller size.
    from: u64,
    /// The larger size; that of the newest checkpoint when left out.
    to: Option<u64>,
}

/// A consistency proof.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsistencyAnswer {
    /// The smaller size.
    from: u64,
    /// The larger size.
    to: u64,
    /// The proof, each hash in base64 (RFC 6962, section 2.1.2).
    hashes: Vec<String>,
}

/// Whether anything went missing between two sizes
///
/// The proof shows that the tree of `to` records holds the tree of `from`
/// records unchanged, for checkpoints that an inspector kept.
#[utoipa::path(
    get,
    path = "/v1/consistency",
    tag = "prove",
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The proof", body = ConsistencyAnswer),
        (status = 400, description = "Sizes that cannot be read or compared", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_consistency(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<ConsistencyQuery>,
) -> Result<Json<ConsistencyAnswer>, Problem> {
    let size = app.store.tip().frontier.size();
    let (from, to) = (query.from, query.to.unwrap_or(size));
    if to > size {
        let detail = format!("the ledger holds {size} records, not {to}");
        return Err(Problem::query("to", detail));
    }
    if from > to {
        return Err(Problem::query("from", format!("from is {from}, larger than to, {to}")));
    }
    let read = app.read(move |app, _| Ok(app.store.consistency(from, to)?));
    let hashes = read.await?;
    let hashes = hashes.iter().map(|hash| STANDARD.encode(hash.as_bytes())).collect();
    Ok(Json(ConsistencyAnswer { from, to, hashes }))
}
