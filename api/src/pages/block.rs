//! `/blocks/{height}`: one block and its records.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{PageProblem, Row, human_ms, page};
use crate::{
    extract::{PathOf, QueryOf, parse},
    problem::Problem,
    state::Shared,
};

/// Records on one page.
const ROWS: u64 = 100;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockQuery {
    before: Option<u64>,
}

#[derive(Template)]
#[template(path = "block.html")]
struct BlockPage {
    height: u64,
    hash: String,
    time: String,
    proposer: Option<String>,
    proposer_key: String,
    previous: String,
    tree_size: u64,
    tree_root: String,
    effects: String,
    validators: String,
    count: u64,
    rows: Vec<Row>,
    older: Option<String>,
}

pub(super) async fn block(
    State(app): State<Shared>,
    height: Result<PathOf<String>, Problem>,
    query: Result<QueryOf<BlockQuery>, Problem>,
) -> Result<Response, PageProblem> {
    let (PathOf(height), QueryOf(query)) = (height?, query?);
    let height: u64 = parse("height", &height)?;
    let read = app.read(move |app, patience| {
        let Some((header, first)) = app.store.header(height)? else {
            return Err(Problem::not_found(format!("the ledger has no block {height}")).into());
        };
        let end = query.before.unwrap_or(u64::MAX).clamp(first, header.tree_size);
        let start = end.saturating_sub(ROWS).max(first);
        let mut rows = Vec::new();
        for index in (start..end).rev() {
            patience.check()?;
            rows.extend(app.store.entry(index)?.as_ref().map(Row::of));
        }
        let deciding = app.store.membership_at(height);
        let proposer = deciding.validators().by_consensus_key(&header.proposer);
        Ok(BlockPage {
            height,
            hash: header.hash().to_string(),
            time: human_ms(header.time_ms),
            proposer: proposer.map(|validator| validator.member.to_string()),
            proposer_key: hex::encode(header.proposer),
            previous: header.previous.to_string(),
            tree_size: header.tree_size,
            tree_root: header.tree_root.to_string(),
            effects: header.effects.to_string(),
            validators: header.validators.to_string(),
            count: header.tree_size.saturating_sub(first),
            rows,
            older: (start > first).then(|| format!("/blocks/{height}?before={start}")),
        })
    });
    page(&read.await?)
}
