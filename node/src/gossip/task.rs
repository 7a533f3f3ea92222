//! The task that drives the swarm: what happens when something comes, is to be
//! sent, or a time is over. It never waits for anything but the next of these.

use std::{
    net::{IpAddr, TcpListener},
    num::NonZeroU32,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Swarm, allow_block_list,
    core::transport::ListenerId,
    gossipsub::{self, MessageAcceptance, MessageId, PublishError as PubsubError},
    multiaddr::Protocol,
    ping, request_response,
    swarm::{
        DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    GossipError, GossipLimits, GossipMetrics, Inbox, Peer, RequestError, Settings, Verdict,
    answers::{self, Ready, Requests},
    behaviour::{self, Behaviour, BehaviourEvent, SHUT_OUT_SCORE, Topics},
    dialer::Dialer,
    handle::{Asked, Outgoing, Topic},
    limits::{ADDRESSES_MAX, PEERS_MAX},
    members::{Members, Meter},
    metrics::Outcome,
    wire::{self, Answer, Request},
};

/// The task's ends of the handle's channels.
pub(super) struct Ends {
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) wanted: watch::Receiver<Vec<Peer>>,
    pub(super) connected: watch::Sender<Vec<PeerId>>,
    pub(super) listening: watch::Sender<Vec<Multiaddr>>,
}

/// A message whose validation has ended.
struct Validated {
    id: MessageId,
    carrier: PeerId,
    origin: PeerId,
    bytes: usize,
    /// None where it took too long or panicked.
    verdict: Option<Verdict>,
}

/// All that the task has.
pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    listener: Option<ListenerId>,
    own: PeerId,
    topics: Topics,
    limits: GossipLimits,
    inbox: Arc<dyn Inbox>,
    ends: Ends,
    members: Members,
    dialer: Dialer,
    requests: Requests,
    validations: JoinSet<Validated>,
    validation_bytes: usize,
    published: Meter,
    /// A message whose turn comes when this node may publish again.
    held: Option<(Outgoing, Instant)>,
    metrics: GossipMetrics,
}

impl Task {
    /// Listens, where an address is given, and waits until it does.
    pub(super) async fn start(
        settings: Settings,
        inbox: Arc<dyn Inbox>,
        ends: Ends,
    ) -> Result<Self, GossipError> {
        let Settings { keypair, listen, ledger, peers, limits, metrics } = settings;
        check_peers(&peers)?;
        let swarm = behaviour::swarm(keypair, &ledger, &limits)?;
        let mut task = Self {
            own: *swarm.local_peer_id(),
            swarm,
            listener: None,
            topics: Topics::new(&ledger),
            members: Members::new(limits.clone()),
            dialer: Dialer::new(limits.redial_min, limits.redial_max),
            requests: Requests::new(inbox.clone(), limits.requests_max, limits.answers_max),
            validations: JoinSet::new(),
            validation_bytes: 0,
            published: Meter::below(&limits.origin_rate),
            held: None,
            metrics,
            limits,
            inbox,
            ends,
        };
        if let Some(address) = listen {
            task.listen(address).await?;
        }
        task.set_peers();
        Ok(task)
    }

    async fn listen(&mut self, address: Multiaddr) -> Result<(), GossipError> {
        let failed = |reason: String| GossipError::Listen { address: address.clone(), reason };
        is_free(&address).map_err(|error| failed(error.to_string()))?;
        let listener =
            self.swarm.listen_on(address.clone()).map_err(|error| failed(error.to_string()))?;
        self.listener = Some(listener);
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    self.ends.listening.send_modify(|listening| listening.push(address));
                    return Ok(());
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. }
                    if listener_id == listener =>
                {
                    return Err(failed(match reason {
                        Ok(()) => "it was closed".to_owned(),
                        Err(error) => error.to_string(),
                    }));
                }
                SwarmEvent::ListenerError { error, .. } => return Err(failed(error.to_string())),
                _ => {}
            }
        }
    }

    /// Runs until the last handle is dropped or the listener fails.
    pub(super) async fn run(mut self) -> Result<(), GossipError> {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self.dialer.next();
            let resume = self.held.as_ref().map(|(_, at)| *at);
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event)?,
                Some(ended) = self.validations.join_next() => self.on_validated(ended),
                Some(ready) = self.requests.ready() => self.on_ready(ready),
                Some(outgoing) = self.ends.outgoing.recv(), if resume.is_none() => {
                    self.publish(outgoing);
                }
                () = until(resume), if resume.is_some() => {
                    if let Some((outgoing, _)) = self.held.take() {
                        self.publish(outgoing);
                    }
                }
                asked = self.ends.asked.recv() => match asked {
                    Some(asked) => self.ask(asked),
                    None => return Ok(()),
                },
                Ok(()) = self.ends.wanted.changed() => self.set_peers(),
                () = until(due), if due.is_some() => self.dial(),
                _ = second.tick() => self.on_second(),
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) -> Result<(), GossipError> {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id, num_established: NonZeroU32::MIN, ..
            } => {
                tracing::debug!(peer = %peer_id, "a member's node is connected");
                self.dialer.connected(&peer_id, Instant::now());
                self.members.set_connected(&peer_id, true);
                self.show_connected();
                self.inbox.connected(peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                let cause = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                if self.dialer.disconnected(&peer_id, Instant::now()) {
                    tracing::info!(peer = %peer_id, %cause, "a member's node is disconnected");
                } else {
                    tracing::debug!(peer = %peer_id, %cause, "a connection did not last");
                }
                if let Some(until) = self.members.shut_out_until(&peer_id) {
                    self.dialer.postpone(&peer_id, until);
                }
                self.members.set_connected(&peer_id, false);
                self.show_connected();
                self.inbox.disconnected(peer_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                if matches!(error, DialError::WrongPeerId { .. }) {
                    tracing::warn!(%peer, %error, "another node answers at a member's address");
                } else {
                    tracing::debug!(%peer, %error, "a member's node cannot be reached");
                }
                self.dialer.failed(&peer, Instant::now());
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.metrics.refused.inc();
                tracing::debug!(from = %send_back_addr, %error, "a connection was refused");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                self.ends.listening.send_modify(|listening| listening.push(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.ends.listening.send_modify(|listening| listening.retain(|a| *a != address));
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. }
                if Some(listener_id) == self.listener =>
            {
                return Err(GossipError::ListenerClosed(match reason {
                    Ok(()) => "it was closed".to_owned(),
                    Err(error) => error.to_string(),
                }));
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "the listener of the record gossip has a problem");
            }
            _ => {}
        }
        Ok(())
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Pubsub(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.on_message(propagation_source, message_id, message),
            BehaviourEvent::Pubsub(gossipsub::Event::SlowPeer { peer_id, .. }) => {
                tracing::debug!(peer = %peer_id, "a member's node takes messages too slowly");
            }
            BehaviourEvent::Pubsub(gossipsub::Event::GossipsubNotSupported { peer_id }) => {
                tracing::warn!(peer = %peer_id, "a member's node is on another ledger or version");
            }
            BehaviourEvent::Requests(event) => self.on_request(event),
            BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(error) }) => {
                tracing::debug!(%peer, %error, "a connection is dead");
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    fn on_message(&mut self, carrier: PeerId, id: MessageId, message: gossipsub::Message) {
        let bytes = message.data.len();
        // Strict mode lets only messages with an author through.
        let origin = message.source.unwrap_or(carrier);
        if let Err(dropped) = self.members.admit(&carrier, &origin, message.sequence_number, bytes)
        {
            self.metrics.received(Outcome::Dropped);
            tracing::debug!(%carrier, %origin, ?dropped, "a message is ignored");
            self.report(&id, &carrier, Verdict::Ignore);
            self.judge(carrier);
            self.judge(origin);
            return;
        }
        let room = self.limits.validations_bytes_max.saturating_sub(self.validation_bytes);
        if self.validations.len() >= self.limits.validations_max
            || bytes > room
            || !self.members.admit_validation(&origin, bytes)
        {
            self.metrics.received(Outcome::NoRoom);
            tracing::debug!(%carrier, %origin, "a message is ignored: too many are in validation");
            self.report(&id, &carrier, Verdict::Ignore);
            return;
        }
        self.validation_bytes = self.validation_bytes.saturating_add(bytes);
        let is_records = message.topic == self.topics.records.hash();
        let validation = validate(self.inbox.clone(), origin, is_records, message.data);
        let timeout = self.limits.validation_timeout;
        self.validations.spawn(async move {
            let validation = AssertUnwindSafe(tokio::time::timeout(timeout, validation));
            let verdict = match validation.catch_unwind().await {
                Ok(Ok(verdict)) => Some(verdict),
                Ok(Err(_)) => {
                    tracing::debug!(%origin, "a validation took too long");
                    None
                }
                Err(_) => {
                    tracing::error!(%origin, "a validation panicked");
                    None
                }
            };
            Validated { id, carrier, origin, bytes, verdict }
        });
    }

    fn on_validated(&mut self, ended: Result<Validated, tokio::task::JoinError>) {
        match ended {
            Ok(Validated { id, carrier, origin, bytes, verdict }) => {
                self.validation_bytes = self.validation_bytes.saturating_sub(bytes);
                self.members.validated(&origin, bytes);
                self.metrics.received(match verdict {
                    Some(Verdict::Accept) => Outcome::Accepted,
                    Some(Verdict::Ignore) => Outcome::Ignored,
                    Some(Verdict::Reject) => Outcome::Rejected,
                    None => Outcome::Lost,
                });
                let verdict = verdict.unwrap_or(Verdict::Ignore);
                if verdict == Verdict::Reject {
                    tracing::warn!(peer = %carrier, "a member's node brought an invalid message");
                }
                self.report(&id, &carrier, verdict);
                self.judge(carrier);
            }
            // Not reached: panics are caught inside, and nobody aborts these tasks.
            Err(error) => tracing::error!(%error, "a validation was lost"),
        }
        if self.validations.is_empty() {
            self.validation_bytes = 0;
        }
    }

    fn report(&mut self, id: &MessageId, carrier: &PeerId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        self.pubsub().report_message_validation_result(id, carrier, acceptance);
    }

    fn publish(&mut self, outgoing: Outgoing) {
        if let Err(pause) = self.published.take(outgoing.content.len()) {
            let now = Instant::now();
            self.held = Some((outgoing, now.checked_add(pause).unwrap_or(now)));
            return;
        }
        let topic = match outgoing.topic {
            Topic::Records => self.topics.records.hash(),
            Topic::Attestations => self.topics.attestations.hash(),
        };
        match self.pubsub().publish(topic, outgoing.content) {
            Ok(_) => drop(self.metrics.published.inc()),
            // Who is not there, or slow, asks for it later.
            Err(
                error @ (PubsubError::NoPeersSubscribedToTopic
                | PubsubError::AllQueuesFull(_)
                | PubsubError::Duplicate),
            ) => tracing::debug!(%error, "a message was not published"),
            Err(error) => tracing::error!(%error, "a message was not published"),
        }
    }

    fn ask(&mut self, asked: Asked) {
        let Asked { peer, request, answer } = asked;
        let refusal = if self.requests.is_full() {
            Some(RequestError::Full)
        } else if !self.members.is_connected(&peer) {
            // Asking would make libp2p dial, at its own pace.
            Some(RequestError::NotConnected)
        } else if !self.members.may_ask(&peer) {
            Some(RequestError::Busy)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _ = answer.send(Err(refusal));
            return;
        }
        let id = self.swarm.behaviour_mut().requests.send_request(&peer, request);
        self.requests.sent(id, answer);
    }

    fn on_request(&mut self, event: request_response::Event<Request, Answer>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request { request_id, request, channel } => {
                    if !self.requests.is_busy() && self.members.admit_request(&peer) {
                        self.metrics.answered.inc();
                        self.requests.answer(peer, request_id, request, channel);
                    } else {
                        self.metrics.busy.inc();
                        self.on_ready(Ready { channel, answer: Answer::Busy });
                        self.judge(peer);
                    }
                }
                Message::Response { request_id, response } => {
                    self.requests.answered(request_id, Ok(response));
                }
            },
            Event::OutboundFailure { request_id, error, .. } => {
                self.requests.answered(request_id, Err(answers::failure(&error)));
            }
            Event::InboundFailure { request_id, .. } | Event::ResponseSent { request_id, .. } => {
                if let Some(peer) = self.requests.ended(request_id) {
                    self.members.answered(&peer);
                }
            }
        }
    }

    fn on_ready(&mut self, Ready { channel, answer }: Ready) {
        // Fails when the peer is gone, or waits no longer.
        let _ = self.swarm.behaviour_mut().requests.send_response(channel, answer);
    }

    fn on_second(&mut self) {
        for (peer, dropped) in self.swarm.behaviour_mut().pubsub.count() {
            tracing::debug!(%peer, dropped, "a member's node sends too many frames");
            self.members.exceed(&peer, dropped);
        }
        for peer in self.members.connected() {
            self.judge(peer);
        }
        self.members.decay();
        for peer in self.members.let_in_again(Instant::now()) {
            self.allowed().allow_peer(peer);
        }
    }

    /// Shuts a member out whose score is too low.
    fn judge(&mut self, peer: PeerId) {
        if !self.members.is_connected(&peer) || self.members.shut_out_until(&peer).is_some() {
            return;
        }
        let excess = self.members.application_score(&peer);
        self.pubsub().set_application_score(&peer, excess);
        let score = self.pubsub().peer_score(&peer).unwrap_or_default();
        if score <= SHUT_OUT_SCORE
            && let Some(until) = self.members.shut_out(&peer, Instant::now())
        {
            let seconds = until.saturating_duration_since(Instant::now()).as_secs();
            tracing::warn!(%peer, score, seconds, "a member's node misbehaves and is shut out");
            self.metrics.shut_out.inc();
            self.allowed().disallow_peer(peer);
        }
    }

    fn set_peers(&mut self) {
        let wanted = self.ends.wanted.borrow_and_update().clone();
        if wanted.len() > PEERS_MAX {
            tracing::error!(peers = wanted.len(), peers_max = PEERS_MAX, "too many peers");
        }
        let wanted: Vec<Peer> =
            wanted.into_iter().filter(|peer| peer.peer != self.own).take(PEERS_MAX).collect();
        for peer in self.members.all() {
            if !wanted.iter().any(|wanted| wanted.peer == peer) {
                self.members.remove(&peer);
                self.dialer.remove(&peer);
                self.allowed().disallow_peer(peer);
            }
        }
        let now = Instant::now();
        for Peer { peer, addresses } in wanted {
            if self.members.add(peer) {
                self.allowed().allow_peer(peer);
            }
            self.dialer.add(peer, usable(peer, addresses), now);
        }
        self.show_connected();
    }

    fn dial(&mut self) {
        for (peer, addresses) in self.dialer.due(Instant::now()) {
            let dial = DialOpts::peer_id(peer)
                .addresses(addresses)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                // From the port that it listens on, which libp2p would take, a node
                // cannot dial again for a while after a connection ended.
                .allocate_new_port()
                .build();
            if let Err(error) = self.swarm.dial(dial) {
                tracing::debug!(%peer, %error, "a member's node is not dialled");
                self.dialer.failed(&peer, Instant::now());
            }
        }
    }

    fn show_connected(&self) {
        let connected = self.members.connected();
        self.metrics.peers.set(u64::try_from(connected.len()).unwrap_or(u64::MAX));
        self.ends.connected.send_if_modified(|shown| {
            let changed = *shown != connected;
            *shown = connected;
            changed
        });
    }

    fn pubsub(&mut self) -> &mut behaviour::Pubsub {
        &mut self.swarm.behaviour_mut().pubsub.inner
    }

    fn allowed(&mut self) -> &mut allow_block_list::Behaviour<allow_block_list::AllowedPeers> {
        &mut self.swarm.behaviour_mut().members
    }
}

async fn validate(
    inbox: Arc<dyn Inbox>,
    origin: PeerId,
    is_records: bool,
    content: Vec<u8>,
) -> Verdict {
    let validation = if is_records {
        wire::decode_batch(&content).map(|batch| inbox.records(origin, batch))
    } else {
        wire::decode_attestation(&content).map(|attestation| inbox.attestation(origin, attestation))
    };
    drop(content);
    match validation {
        Ok(validation) => validation.await,
        Err(error) => {
            tracing::warn!(%origin, %error, "a message cannot be read");
            Verdict::Reject
        }
    }
}

/// Sleeps until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Fails when something else listens on the address: libp2p shares ports with
/// whatever shares them too, so that two nodes on one would not be noticed.
fn is_free(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn check_peers(peers: &[Peer]) -> Result<(), GossipError> {
    if peers.len() > PEERS_MAX {
        return Err(GossipError::TooManyPeers { count: peers.len() });
    }
    for Peer { peer, addresses } in peers {
        for address in addresses {
            if address.clone().with_p2p(*peer).is_err() {
                return Err(GossipError::Address { peer: *peer, address: address.clone() });
            }
        }
    }
    Ok(())
}

/// The addresses of a peer that can be dialled, each with the peer's id, so that
/// nobody else is taken for it.
fn usable(peer: PeerId, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    addresses
        .into_iter()
        .take(ADDRESSES_MAX)
        .filter_map(|address| match address.with_p2p(peer) {
            Ok(address) => Some(address),
            Err(address) => {
                tracing::warn!(%peer, %address, "the address is another peer's and is not used");
                None
            }
        })
        .collect()
}
