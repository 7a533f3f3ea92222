//! `GET /v1/blocks…`: blocks with their headers and the ids of their records.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    chain::{Certificate, CommitSignature, Header},
    digest::{Digest, LedgerId, RecordId},
    store::{Store, StoreError},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::utc;
use crate::{
    budget::Reserved,
    extract::{PathOf, QueryOf, page_items, parse},
    problem::{Problem, ProblemBody},
    state::Shared,
};

/// A block without the bytes of its records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockAnswer {
    /// Its place in the chain, from 1.
    height: u64,
    /// SHA-256 of the header's bytes.
    #[schema(value_type = String)]
    hash: Digest,
    /// What it commits to.
    header: HeaderAnswer,
    /// The ids of its records, in order.
    #[schema(value_type = Vec<String>)]
    ids: Vec<RecordId>,
    /// The index of its first record.
    first_index: u64,
    /// The precommits by which the validators decided on it.
    certificate: CertificateAnswer,
}

impl BlockAnswer {
    /// What it takes in an answer, in bytes, about.
    fn bytes(&self) -> usize {
        let signatures = self.certificate.signatures.len();
        HEADER_BYTES + self.ids.len() * ID_BYTES + signatures * SIGNATURE_BYTES
    }
}

/// What the header of a block takes in an answer, in bytes, about.
const HEADER_BYTES: usize = 1024;
/// What the id of a record takes: 64 digits between quotation marks, and a comma.
const ID_BYTES: usize = 67;
/// What a precommit takes: a key, a signature and their names.
const SIGNATURE_BYTES: usize = 192;

/// Why a block is decided: precommits of more than two thirds of the validators.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CertificateAnswer {
    /// The round of all of them, from 0.
    round: u32,
    /// One for each validator that is in it, by consensus key.
    signatures: Vec<CommitSignatureAnswer>,
}

/// One validator's precommit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommitSignatureAnswer {
    /// The validator's consensus key, in hexadecimal digits.
    validator: String,
    /// Its signature, in base64.
    signature: String,
}

impl From<Certificate> for CertificateAnswer {
    fn from(certificate: Certificate) -> Self {
        let signatures = certificate
            .signatures
            .into_iter()
            .map(|CommitSignature { validator, signature }| CommitSignatureAnswer {
                validator: hex::encode(validator),
                signature: STANDARD.encode(signature),
            })
            .collect();
        Self { round: certificate.round, signatures }
    }
}

/// The fields of a header, and its bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeaderAnswer {
    /// The ledger's id.
    #[schema(value_type = String)]
    ledger: LedgerId,
    /// Its place in the chain, from 1.
    height: u64,
    /// Hash of the block before it; zeros for the first.
    #[schema(value_type = String)]
    previous: Digest,
    /// When it was made, RFC 3339 in UTC.
    time: String,
    /// When it was made, in milliseconds since the Unix epoch.
    time_ms: u64,
    /// Consensus public key of the validator that proposed it, in hexadecimal digits.
    proposer: String,
    /// Records on the ledger once it is in.
    tree_size: u64,
    /// Root of the tree over all their ids.
    #[schema(value_type = String)]
    tree_root: Digest,
    /// Digest of what it changes in the state.
    #[schema(value_type = String)]
    effects: Digest,
    /// Digest of the validators that decide on it.
    #[schema(value_type = String)]
    validators: Digest,
    /// The 236 bytes that are hashed, in base64.
    bytes: String,
}

impl From<&Header> for HeaderAnswer {
    fn from(header: &Header) -> Self {
        Self {
            ledger: header.ledger,
            height: header.height,
            previous: header.previous,
            time: utc(header.time_ms),
            time_ms: header.time_ms,
            proposer: hex::encode(header.proposer),
            tree_size: header.tree_size,
            tree_root: header.tree_root,
            effects: header.effects,
            validators: header.validators,
            bytes: STANDARD.encode(header.encode()),
        }
    }
}

/// Reads a block's header and ids from the disk.
fn read(store: &Store, height: u64) -> Result<Option<BlockAnswer>, StoreError> {
    let Some((header, first_index)) = store.header(height)? else { return Ok(None) };
    let Some(block) = store.raw_block(height)? else { return Ok(None) };
    Ok(Some(BlockAnswer {
        height,
        hash: header.hash(),
        header: HeaderAnswer::from(&header),
        ids: block.records.iter().map(|jws| RecordId::of(jws)).collect(),
        first_index,
        certificate: block.certificate.into(),
    }))
}

/// One block
#[utoipa::path(
    get,
    path = "/v1/blocks/{height}",
    tag = "read",
    params(("height" = u64, Path, description = "The block's height, from 1")),
    responses(
        (status = 200, description = "The block", body = BlockAnswer),
        (status = 400, description = "Not a height", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such block yet", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_block(
    State(app): State<Shared>,
    PathOf(height): PathOf<String>,
) -> Result<Json<BlockAnswer>, Problem> {
    let height: u64 = parse("height", &height)?;
    app.read(move |app, _| Ok(read(&app.store, height)?))
        .await?
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("the ledger has no block {height}")))
}

/// Which page of a list that is ordered by a number.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The cursor: only what comes after it.
    pub(crate) after: Option<String>,
    /// How many at most; 1 to 1000.
    pub(crate) limit: Option<u32>,
}

/// Blocks, in the order of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlocksAnswer {
    /// The blocks, newest last.
    blocks: Vec<BlockAnswer>,
    /// The cursor to go on from; null at the end of what there is now.
    next: Option<String>,
}

/// Blocks after a height
///
/// A page may end early where its blocks hold many records; `next` goes on.
#[utoipa::path(
    get,
    path = "/v1/blocks",
    tag = "read",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of blocks", body = BlocksAnswer),
        (status = 400, description = "A parameter cannot be read", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn list_blocks(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Response, Problem> {
    let limits = &app.config.limits;
    let (limit, ids_max) = (page_items(query.limit, limits)?, limits.page_ids_max);
    let after: u64 = query.after.as_deref().map_or(Ok(0), |after| parse("after", after))?;
    app.read(move |app, patience| {
        let mut blocks = Vec::new();
        let (mut ids, mut bytes) = (0, 0_usize);
        let mut share = app.response_bytes.share();
        let mut height = after;
        while blocks.len() < limit && ids < ids_max {
            patience.check()?;
            if patience.is_used_up() && !blocks.is_empty() {
                break;
            }
            let Some(block) = read(&app.store, height.saturating_add(1))? else { break };
            height = block.height;
            ids += block.ids.len();
            bytes = bytes.saturating_add(block.bytes());
            if !share.cover(bytes) {
                return Err(app.answers_are_many().into());
            }
            blocks.push(block);
        }
        let next = (height < app.store.tip().height).then(|| height.to_string());
        let mut response = Json(BlocksAnswer { blocks, next }).into_response();
        response.extensions_mut().insert(Reserved::from(share));
        Ok(response)
    })
    .await
}
