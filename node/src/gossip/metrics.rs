//! Figures of the gossip for Prometheus.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What became of a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Accepted,
    Ignored,
    Rejected,
    /// Its author or carrier sends too much, it came before, or its author is no member.
    Dropped,
    /// Too many were in validation.
    NoRoom,
    /// Its validation took too long, or panicked.
    Lost,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
            Self::Dropped => "dropped",
            Self::NoRoom => "no_room",
            Self::Lost => "lost",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Received {
    outcome: Outcome,
}

/// The figures; clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct GossipMetrics {
    received: Family<Received, Counter>,
    pub(super) published: Counter,
    pub(super) peers: Gauge<u64, AtomicU64>,
    pub(super) refused: Counter,
    pub(super) shut_out: Counter,
    pub(super) answered: Counter,
    pub(super) busy: Counter,
}

impl GossipMetrics {
    /// Makes the figures part of a registry, as `gossip_…`.
    pub fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("gossip");
        own.register("messages_received", "Messages, by outcome", self.received.clone());
        own.register("messages_published", "Messages of this node", self.published.clone());
        own.register("peers", "Members' nodes that are connected", self.peers.clone());
        own.register("connections_refused", "Connections of strangers", self.refused.clone());
        own.register("peers_shut_out", "Shut out for misbehaviour", self.shut_out.clone());
        own.register("requests_answered", "Requests of others", self.answered.clone());
        own.register("requests_busy", "Requests answered as busy", self.busy.clone());
    }

    pub(super) fn received(&self, outcome: Outcome) {
        self.received.get_or_create(&Received { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_figure_is_shown() {
        let metrics = GossipMetrics::default();
        let mut registry = Registry::with_prefix("quittance");
        metrics.register(&mut registry);
        metrics.received(Outcome::NoRoom);
        metrics.peers.set(3);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("quittance_gossip_messages_received_total{outcome=\"no_room\"} 1"),
            "{text}"
        );
        assert!(text.contains("quittance_gossip_peers 3"), "{text}");
    }
}
