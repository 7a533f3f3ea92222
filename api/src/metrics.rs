//! Figures for Prometheus, in the OpenMetrics text format.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use axum::http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{append::Settled, problem::Code, state::App};

/// `Content-Type` of the figures.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    /// The route's template, never the path itself: there are few of them.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

type UnsignedGauge = Gauge<u64, AtomicU64>;

/// The API's own figures, and everything else in the registry it was given.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    recorded: Counter,
    pending_answers: Counter,
    known: Counter,
    refused: Family<Refused, Counter>,
    event_clients: Gauge,
    pending_records: UnsignedGauge,
    pending_bytes: UnsignedGauge,
    height: UnsignedGauge,
    tree_size: UnsignedGauge,
}

fn duration_histogram() -> Histogram {
    // From 0.5 ms to 16 s.
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Metrics {
    pub(crate) fn new(mut registry: Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(duration_histogram),
            recorded: Counter::default(),
            pending_answers: Counter::default(),
            known: Counter::default(),
            refused: Family::default(),
            event_clients: Gauge::default(),
            pending_records: Gauge::default(),
            pending_bytes: Gauge::default(),
            height: Gauge::default(),
            tree_size: Gauge::default(),
            registry: Registry::default(),
        };
        let own = registry.sub_registry_with_prefix("quittance");
        own.register("http_requests", "Requests, by route and status", metrics.requests.clone());
        own.register(
            "http_request_duration_seconds",
            "Time from the head of a request to the head of its answer",
            metrics.durations.clone(),
        );
        own.register(
            "records_final",
            "Appended records that were final when they were answered",
            metrics.recorded.clone(),
        );
        own.register(
            "records_pending_answers",
            "Appended records that were durable but not final when they were answered",
            metrics.pending_answers.clone(),
        );
        own.register(
            "records_known",
            "Appended records that were on the ledger before",
            metrics.known.clone(),
        );
        own.register("records_refused", "Records not taken, by code", metrics.refused.clone());
        own.register("event_clients", "Open event streams", metrics.event_clients.clone());
        own.register(
            "pending_records",
            "Records that wait for a block",
            metrics.pending_records.clone(),
        );
        own.register("pending_bytes", "Their bytes", metrics.pending_bytes.clone());
        own.register("height", "Blocks on the ledger", metrics.height.clone());
        own.register("tree_size", "Records on the ledger", metrics.tree_size.clone());
        Self { registry, ..metrics }
    }

    /// Counts an answered request.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let route = route.unwrap_or("unmatched").to_owned();
        let request =
            Request { method: method_label(method), route: route.clone(), status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        self.durations.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    /// Counts a record that the node has answered for.
    pub(crate) fn settled(&self, settled: &Settled) {
        match settled {
            Settled::Known(_) => drop(self.known.inc()),
            Settled::Final(_) => drop(self.recorded.inc()),
            Settled::Pending => drop(self.pending_answers.inc()),
            Settled::Refused(refusal) => self.refused(Code::from(refusal.code).as_str()),
        }
    }

    /// Counts a record that was not taken.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&Refused { code }).inc();
    }

    /// Counts an event stream for as long as the answer lives.
    pub(crate) fn event_client(&self) -> EventClient {
        self.event_clients.inc();
        EventClient(self.event_clients.clone())
    }

    /// All figures as they are now.
    pub(crate) fn encode(&self, app: &App) -> Result<String, fmt::Error> {
        let node = app.node.status();
        let tip = app.store.tip();
        self.pending_records.set(node.pending_records);
        self.pending_bytes.set(node.pending_bytes);
        self.height.set(tip.height);
        self.tree_size.set(tip.frontier.size());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// An open event stream.
pub(crate) struct EventClient(Gauge);

impl Drop for EventClient {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A client may send any method; only the known ones become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
