//! `GET /v1/events`: what happens on the ledger, as server-sent events.
//!
//! Each client has a task that reads from the store where its cursor stands and
//! writes into a short queue. Nothing is kept for a client that is slow: it is
//! cut, and goes on from its cursor when it comes back.

mod cursor;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::Stream;
use quittance_ledger::{
    digest::{Digest, RecordId},
    membership::MemberId,
    record::Record,
    store::{Store, StoreError},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use self::cursor::Cursor;
use crate::{
    access::Identity,
    extract::QueryOf,
    problem::{Problem, ProblemBody},
    read::utc,
    state::Shared,
    stop::Stop,
};

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The id of the last event that was taken, or a height; 0 for all there
    /// ever was; only what is new when left out.
    after: Option<String>,
}

/// The data of an event `record`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordEvent<'a> {
    /// The record's id.
    #[schema(value_type = String)]
    id: RecordId,
    /// Its place on the ledger, from 0.
    index: u64,
    /// The block it stands in.
    height: u64,
    /// The member that signed it.
    #[schema(value_type = String)]
    signer: &'a MemberId,
    /// What it is, such as `contract.issued`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    record_type: &'static str,
    /// The contract it names.
    #[schema(value_type = Option<String>)]
    contract: Option<&'a str>,
    /// The claim it names.
    #[schema(value_type = Option<String>)]
    claim: Option<&'a str>,
}

/// The data of an event `block`, which follows those of its records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockEvent {
    /// The block's height.
    height: u64,
    /// Its hash.
    #[schema(value_type = String)]
    hash: Digest,
    /// When it was made, RFC 3339 in UTC.
    time: String,
    /// Records on the ledger once it is in.
    tree_size: u64,
    /// Records in it.
    count: u64,
}

/// The data of an event `alert`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertEvent<'a> {
    /// What people should look at, in a sentence.
    detail: &'a str,
}

/// Events
///
/// Server-sent events: `record` for each record, `block` behind those of one
/// block, and `alert` for what people should look at; pass over kinds that you
/// do not know. The id of a record or block, `<height>.<n>`, is a cursor: with
/// it in `after` or `Last-Event-ID` the stream goes on without a gap. Alerts
/// have no id: they tell how the node is now, and come at once. A client that takes
/// little or nothing for a while is cut.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "read",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was taken; goes before `after`")
    ),
    responses(
        (status = 200, description = "The stream", content(
            (RecordEvent<'_> = "text/event-stream"), (BlockEvent = "text/event-stream"),
            (AlertEvent<'_> = "text/event-stream")
        )),
        (status = 400, description = "Not a cursor", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn events(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<EventsQuery>,
    Extension(identity): Extension<Identity>,
    stop: Stop,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let last = headers.get("last-event-id").map(|id| {
        id.to_str().map_err(|_| Problem::query("Last-Event-ID", "Last-Event-ID is not ASCII"))
    });
    let cursor = match (last.transpose()?, query.after.as_deref()) {
        (Some(text), _) => Cursor::parse("Last-Event-ID", text)?,
        (None, Some(text)) => Cursor::parse("after", text)?,
        (None, None) => Cursor::after_block(app.store.tip().height),
    };
    // Such a cursor is of another ledger; waiting for it would be for ever.
    let head = app.store.tip().height;
    if cursor > Cursor::after_block(head) {
        let detail = format!("the ledger ends at block {head}; no event there has this id");
        return Err(Problem::query("after", detail));
    }
    let limits = &app.config.limits;
    let place = Arc::clone(&app.event_clients)
        .try_acquire_owned()
        .map_err(|_| app.overloaded("too many event streams are open"))?;
    let (sender, receiver) = mpsc::channel(limits.event_queue_max);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(limits.event_keep_alive_s));
    let client = Client {
        app: Shared::clone(&app),
        heights: app.node.heights(),
        alerts: Some(app.node.alerts()),
        alerted: Vec::new(),
        sender,
        stall: limits.write_stall(),
    };
    tokio::spawn(async move {
        let _held = (place, app.metrics.event_client());
        let mut stop = stop;
        // A token may be revoked, or expire, while the stream is open.
        tokio::select! {
            () = client.follow(cursor) => {}
            () = stop.stopped() => {}
            () = app.access.reading_ends(&identity) => {}
        }
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

/// One open stream.
struct Client {
    app: Shared,
    heights: watch::Receiver<u64>,
    /// None once the node has no more to say.
    alerts: Option<watch::Receiver<Vec<String>>>,
    /// The alerts that stood when this client was last told.
    alerted: Vec<String>,
    sender: mpsc::Sender<Result<Event, Infallible>>,
    stall: Duration,
}

impl Client {
    /// Sends what comes after `cursor`, until the client or the node is gone.
    async fn follow(mut self, mut cursor: Cursor) {
        loop {
            // Marked before the store is asked, so that no growth goes unnoticed.
            self.heights.borrow_and_update();
            while cursor.height <= self.app.store.tip().height {
                let read =
                    self.app.read_in_turn(move |app, _| Ok(events_from(&app.store, cursor)?));
                // What failed has been logged, and ended the node where it must.
                let Ok((events, next)) = read.await else { return };
                if !self.send(events).await {
                    return;
                }
                cursor = next;
            }
            let alerts = self.new_alerts();
            if !self.send(alerts).await {
                return;
            }
            tokio::select! {
                changed = self.heights.changed() => if changed.is_err() { return },
                changed = next_alerts(&mut self.alerts) => if !changed { self.alerts = None },
                () = self.sender.closed() => return,
            }
        }
    }

    /// Sends events; false once the client is gone or stalls.
    async fn send(&self, events: Vec<Event>) -> bool {
        for event in events {
            match tokio::time::timeout(self.stall, self.sender.send(Ok(event))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return false,
                Err(_) => {
                    tracing::info!("cutting an event client that stalls");
                    return false;
                }
            }
        }
        true
    }

    /// Alerts that did not stand when this client was last told.
    fn new_alerts(&mut self) -> Vec<Event> {
        let Some(alerts) = &mut self.alerts else { return Vec::new() };
        let now = alerts.borrow_and_update().clone();
        let new = now.iter().filter(|alert| !self.alerted.contains(alert));
        let events = new
            .map(|detail| {
                let data = serde_json::to_string(&AlertEvent { detail }).unwrap_or_default();
                Event::default().event("alert").data(data)
            })
            .collect();
        self.alerted = now;
        events
    }
}

/// Resolves when the alerts change; false when they never will again.
async fn next_alerts(alerts: &mut Option<watch::Receiver<Vec<String>>>) -> bool {
    match alerts {
        Some(alerts) => alerts.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Events that are read at once: so many may be in memory for one client while
/// it takes nothing.
const PART: u64 = 1024;

/// Events of one block from the cursor on, and where to go on. Reads from the disk.
fn events_from(store: &Store, cursor: Cursor) -> Result<(Vec<Event>, Cursor), StoreError> {
    let height = cursor.height;
    let next_block = Cursor::after_block(height);
    let Some((header, first_index)) = store.header(height)? else {
        return Ok((Vec::new(), next_block));
    };
    let count = header.tree_size.saturating_sub(first_index);
    let end = cursor.position.saturating_add(PART);
    let mut events = Vec::new();
    if cursor.position < count
        && let Some(block) = store.raw_block(height)?
    {
        for (position, jws) in (0_u64..).zip(block.records) {
            if position < cursor.position {
                continue;
            }
            if position >= end {
                return Ok((events, Cursor { height, position }));
            }
            let index = first_index.saturating_add(position);
            let record =
                Record::trusted(jws).map_err(|refusal| StoreError::Record { index, refusal })?;
            let payload = record.payload();
            let data = RecordEvent {
                id: record.id(),
                index,
                height,
                signer: record.signer(),
                record_type: payload.record_type.as_str(),
                contract: payload.contract.as_ref().map(|contract| contract.as_str()),
                claim: payload.claim.as_ref().map(|claim| claim.as_str()),
            };
            events.push(event("record", height, position, &data));
        }
    }
    if cursor.position <= count {
        let data = BlockEvent {
            height,
            hash: header.hash(),
            time: utc(header.time_ms),
            tree_size: header.tree_size,
            count,
        };
        events.push(event("block", height, count, &data));
    }
    Ok((events, next_block))
}

fn event(name: &'static str, height: u64, position: u64, data: &impl Serialize) -> Event {
    let event = Event::default().event(name).id(format!("{height}.{position}"));
    // Plain structures of texts and numbers always become JSON.
    let data = serde_json::to_string(data).unwrap_or_default();
    event.data(data)
}
