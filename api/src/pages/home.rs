//! `/`: the head of the ledger and its latest records.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{PageProblem, Row, human_ms, page};
use crate::{read::status, state::Shared};

/// Records that the page shows.
const LATEST: u64 = 15;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    origin: String,
    ledger_id: String,
    records: u64,
    height: u64,
    pending: u64,
    members: usize,
    validators: usize,
    quorum: usize,
    time: Option<String>,
    hash: String,
    root: String,
    checkpoint_size: u64,
    not_ready: Option<String>,
    rows: Vec<Row>,
}

pub(super) async fn home(State(app): State<Shared>) -> Result<Response, PageProblem> {
    let read = app.read(|app, _| {
        let membership = app.membership();
        let node = app.node.status();
        let head = status::head(app)?;
        let first = head.tree_size.saturating_sub(LATEST);
        let mut rows = Vec::new();
        for index in (first..head.tree_size).rev() {
            rows.extend(app.store.entry(index)?.as_ref().map(Row::of));
        }
        let tip = app.store.tip();
        Ok(Home {
            origin: membership.origin().to_string(),
            ledger_id: membership.ledger_id().to_string(),
            records: head.tree_size,
            height: head.height,
            pending: node.pending_records,
            members: membership.members().count(),
            validators: membership.validators().len(),
            quorum: membership.validators().quorum(),
            time: head.time.map(|_| human_ms(tip.time_ms)),
            hash: head.hash.to_string(),
            root: head.root.to_string(),
            checkpoint_size: head.checkpoint_size,
            not_ready: node.not_ready,
            rows,
        })
    });
    page(&read.await?)
}
