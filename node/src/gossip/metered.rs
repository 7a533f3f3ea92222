//! Gossipsub, of which each peer gets only so many frames processed in a second.
//!
//! Gossipsub tells the application of new messages only. Duplicates, announcements
//! and empty frames come without end unless they are counted before it sees them.

use std::{
    collections::HashMap,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

/// A protocol, and how many events its connections brought since the last count.
pub(super) struct Metered<B> {
    pub(super) inner: B,
    events_max: u32,
    events: HashMap<PeerId, u32>,
}

impl<B> Metered<B> {
    /// Lets at most `events_max` events of a peer through between two counts.
    pub(super) fn new(inner: B, events_max: u32) -> Self {
        Self { inner, events_max, events: HashMap::new() }
    }

    /// Ends a count, and says which peers brought too many events, and how many
    /// of them were dropped.
    pub(super) fn count(&mut self) -> Vec<(PeerId, u32)> {
        let events_max = self.events_max;
        self.events
            .drain()
            .filter_map(|(peer, events)| {
                events.checked_sub(events_max).filter(|dropped| *dropped > 0).map(|n| (peer, n))
            })
            .collect()
    }

    fn is_within(&mut self, peer: PeerId) -> bool {
        let events = self.events.entry(peer).or_default();
        *events = events.saturating_add(1);
        *events <= self.events_max
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Metered<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if self.is_within(peer) {
            self.inner.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context)
    }
}
