//! The swarm: transport, protocols, and what each of them is allowed.

use std::{collections::HashSet, time::Duration};

use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, Transport as _, allow_block_list,
    connection_limits,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    gossipsub,
    identity::Keypair,
    noise, ping,
    request_response::{self, ProtocolSupport},
    swarm::NetworkBehaviour,
    tcp, yamux,
};
use quittance_ledger::digest::LedgerId;
use sha2::{Digest as _, Sha256};

use super::{
    GossipError,
    closing::Closing,
    limits::{FRAME_BYTES_MAX, GossipLimits, TOPICS_MAX},
    metered::Metered,
    requests::Codec,
    throttle::Throttled,
    unproved::Unproved,
};

type Filter = gossipsub::MaxCountSubscriptionFilter<gossipsub::WhitelistSubscriptionFilter>;
pub(super) type Pubsub = gossipsub::Behaviour<gossipsub::IdentityTransform, Filter>;

/// The protocols of a connection. The order matters: who may not connect, or
/// not once more, is refused before the others hear of the connection.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) members: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    pub(super) unproved: Unproved,
    pub(super) connections: connection_limits::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) pubsub: Metered<Pubsub>,
    pub(super) requests: request_response::Behaviour<Codec>,
}

/// What is gossiped on a ledger.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    pub(super) records: gossipsub::IdentTopic,
    pub(super) attestations: gossipsub::IdentTopic,
}

impl Topics {
    pub(super) fn new(ledger: &LedgerId) -> Self {
        let topic = |what| gossipsub::IdentTopic::new(format!("/quittance/{ledger}/{what}/1"));
        Self { records: topic("records"), attestations: topic("attestations") }
    }
}

/// Penalties only: nobody earns credit that could be spent on misbehaviour, and
/// an idle network, a slow node or many nodes behind one address cost nothing.
mod score {
    /// For the square of the number of invalid messages.
    pub(super) const INVALID: f64 = -10.0;
    /// Below it, no messages are announced to or fetched from a node.
    pub(super) const GOSSIP: f64 = -20.0;
    /// Below it, own messages are not sent to a node.
    pub(super) const PUBLISH: f64 = -50.0;
    /// Below it, nothing that a node sends is processed.
    pub(super) const GRAYLIST: f64 = -80.0;
}

/// A node with this score or a lower one is shut out for a while: to read its
/// messages only to drop them costs time, too. Three invalid messages, or eighty
/// above its rate, within a short time.
pub(super) const SHUT_OUT_SCORE: f64 = score::GRAYLIST;

fn score_parameters(topics: &Topics, shut_out: Duration) -> gossipsub::PeerScoreParams {
    let topic = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: score::INVALID,
        invalid_message_deliveries_decay: gossipsub::score_parameter_decay(Duration::from_secs(
            120,
        )),
        ..gossipsub::TopicScoreParams::default()
    };
    gossipsub::PeerScoreParams {
        topics: [&topics.records, &topics.attestations]
            .into_iter()
            .map(|name| (name.hash(), topic.clone()))
            .collect(),
        topic_score_cap: 0.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        // Promises are broken without ill will when queues are full.
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 10.0,
        behaviour_penalty_decay: gossipsub::score_parameter_decay(Duration::from_secs(60)),
        slow_peer_weight: 0.0,
        // A score does not recover while a node is away. It is forgotten before
        // one that was shut out may come back, or it would be shut out at once.
        retain_score: shut_out / 2,
        ..gossipsub::PeerScoreParams::default()
    }
}

fn pubsub(
    keypair: &Keypair,
    ledger: &LedgerId,
    limits: &GossipLimits,
) -> Result<Pubsub, GossipError> {
    let settings = |error: &dyn ToString| GossipError::Settings(error.to_string());
    let configuration = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/quittance/{ledger}/gossip"))
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(FRAME_BYTES_MAX)
        // An honest node sends one message a frame.
        .max_messages_per_rpc(Some(16))
        .flood_publish(true)
        // Up to nine nodes are all in each other's mesh.
        .mesh_outbound_min(2)
        .mesh_n_low(6)
        .mesh_n(8)
        .mesh_n_high(12)
        .gossip_lazy(6)
        .max_ihave_length(1_000)
        .heartbeat_initial_delay(limits.heartbeat_interval)
        .heartbeat_interval(limits.heartbeat_interval)
        .history_length(limits.history_heartbeats)
        .history_gossip(limits.history_heartbeats.min(3))
        .duplicate_cache_time(limits.duplicate_time)
        .prune_backoff(Duration::from_secs(10))
        .connection_handler_queue_len(limits.send_queue_messages)
        .publish_queue_duration(limits.send_timeout)
        .forward_queue_duration(limits.send_timeout)
        .build()
        .map_err(|error| settings(&error))?;
    let topics = Topics::new(ledger);
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: gossipsub::WhitelistSubscriptionFilter(HashSet::from([
            topics.records.hash(),
            topics.attestations.hash(),
        ])),
        max_subscribed_topics: TOPICS_MAX,
        max_subscriptions_per_request: TOPICS_MAX * 2,
    };
    let mut pubsub = Pubsub::new_with_subscription_filter(
        gossipsub::MessageAuthenticity::Signed(keypair.clone()),
        configuration,
        filter,
    )
    .map_err(|error| settings(&error))?;
    let thresholds = gossipsub::PeerScoreThresholds {
        gossip_threshold: score::GOSSIP,
        publish_threshold: score::PUBLISH,
        graylist_threshold: score::GRAYLIST,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.0,
    };
    pubsub
        .with_peer_score(score_parameters(&topics, limits.shut_out_time), thresholds)
        .map_err(|error| settings(&error))?;
    for topic in [&topics.records, &topics.attestations] {
        pubsub.subscribe(topic).map_err(|error| settings(&error))?;
    }
    Ok(pubsub)
}

/// SHA-256 of author, topic and content. With the content alone, whoever
/// publishes another's message as its own first would suppress the author's.
fn message_id(message: &gossipsub::Message) -> gossipsub::MessageId {
    let mut hash = Sha256::new();
    let author = message.source.as_ref().map(|author| author.to_bytes()).unwrap_or_default();
    for part in [author.as_slice(), message.topic.as_str().as_bytes()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.update(&message.data);
    gossipsub::MessageId::from(hash.finalize().to_vec())
}

fn behaviour(
    keypair: &Keypair,
    ledger: &LedgerId,
    limits: &GossipLimits,
) -> Result<Behaviour, GossipError> {
    let protocol = StreamProtocol::try_from_owned(format!("/quittance/{ledger}/request/1"))
        .map_err(|error| GossipError::Settings(error.to_string()))?;
    let streams = limits.answers_per_peer_max.saturating_add(limits.requests_max);
    Ok(Behaviour {
        members: allow_block_list::Behaviour::default(),
        unproved: Unproved::new(limits.pending_incoming_per_address_max),
        connections: connection_limits::Behaviour::new(
            connection_limits::ConnectionLimits::default()
                .with_max_pending_incoming(Some(limits.pending_incoming_max))
                .with_max_pending_outgoing(Some(limits.pending_outgoing_max))
                .with_max_established_per_peer(Some(limits.connections_per_peer_max))
                .with_max_established(Some(limits.connections_max)),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(limits.ping_interval)
                .with_timeout(limits.ping_timeout),
        ),
        pubsub: Metered::new(pubsub(keypair, ledger, limits)?, limits.frames_per_second),
        requests: request_response::Behaviour::new(
            [(protocol, ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(limits.request_timeout)
                .with_max_concurrent_streams(streams),
        ),
    })
}

/// TCP, read no faster than a rate; noise; yamux, closed within a time.
fn transport(
    keypair: &Keypair,
    limits: &GossipLimits,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let bytes_per_second = limits.connection_bytes_per_second;
    let closing_timeout = limits.closing_timeout;
    Ok(tcp::tokio::Transport::new(tcp::Config::default())
        .map(move |stream, _| Throttled::new(stream, bytes_per_second))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(yamux::Config::default())
        .map(move |(peer, muxer), _| {
            (peer, StreamMuxerBox::new(Closing::within(closing_timeout, muxer)))
        })
        .boxed())
}

/// A swarm that neither listens nor dials yet and lets nobody in.
pub(super) fn swarm(
    keypair: Keypair,
    ledger: &LedgerId,
    limits: &GossipLimits,
) -> Result<Swarm<Behaviour>, GossipError> {
    let behaviour = behaviour(&keypair, ledger, limits)?;
    let transport =
        transport(&keypair, limits).map_err(|error| GossipError::Settings(error.to_string()))?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .map_err(|error| GossipError::Settings(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| GossipError::Settings(error.to_string()))?
        .with_swarm_config(|configuration| {
            configuration
                // A member's connection is kept, however quiet it is; ping ends it.
                .with_idle_connection_timeout(Duration::from_secs(u64::MAX))
                .with_max_negotiating_inbound_streams(16)
        })
        .with_connection_timeout(limits.handshake_timeout)
        .build();
    Ok(swarm)
}
