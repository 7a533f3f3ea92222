//! Connections whose other side has not proved who it is yet: so many from one
//! address, so that one machine full of strangers does not take the places of all.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

/// Too many connections of this address are without a proof.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from {0} at once")]
struct TooMany(IpAddr);

/// Counts incoming connections in their handshake, by address.
pub(super) struct Unproved {
    per_address_max: usize,
    connections: HashMap<ConnectionId, IpAddr>,
    counts: HashMap<IpAddr, usize>,
}

impl Unproved {
    pub(super) fn new(per_address_max: usize) -> Self {
        Self { per_address_max, connections: HashMap::new(), counts: HashMap::new() }
    }

    fn enter(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), TooMany> {
        let Some(address) = address(remote) else { return Ok(()) };
        let count = self.counts.entry(address).or_default();
        if *count >= self.per_address_max {
            return Err(TooMany(address));
        }
        *count = count.saturating_add(1);
        self.connections.insert(connection, address);
        Ok(())
    }

    fn leave(&mut self, connection: &ConnectionId) {
        let Some(address) = self.connections.remove(connection) else { return };
        if let Some(count) = self.counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }
}

/// The IP address of a multiaddress; of version 6 the network's part, because one
/// machine has all addresses of its network.
fn address(address: &Multiaddr) -> Option<IpAddr> {
    const NETWORK: u128 = u128::MAX << 64;
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6((ip.to_bits() & NETWORK).into())),
        _ => None,
    })
}

impl NetworkBehaviour for Unproved {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.enter(connection, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.leave(&connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.leave(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn one_address_does_not_take_the_places_of_others() {
        let mut unproved = Unproved::new(2);
        let one: Multiaddr = "/ip4/192.0.2.1/tcp/1000".parse().unwrap();
        let same: Multiaddr = "/ip4/192.0.2.1/tcp/1001".parse().unwrap();
        let other: Multiaddr = "/ip4/192.0.2.2/tcp/1000".parse().unwrap();
        unproved.enter(connection(1), &one).unwrap();
        unproved.enter(connection(2), &same).unwrap();
        assert!(unproved.enter(connection(3), &same).is_err());
        unproved.enter(connection(4), &other).unwrap();
        unproved.leave(&connection(3));
        assert!(unproved.enter(connection(5), &one).is_err(), "the refused one held no place");
        unproved.leave(&connection(1));
        unproved.enter(connection(6), &one).unwrap();
        for number in 0..10 {
            unproved.leave(&connection(number));
        }
        assert!(unproved.connections.is_empty() && unproved.counts.is_empty());
    }

    #[test]
    fn the_addresses_of_one_network_count_as_one() {
        let mut unproved = Unproved::new(1);
        let one: Multiaddr = "/ip6/2001:db8::1/tcp/1".parse().unwrap();
        let neighbour: Multiaddr = "/ip6/2001:db8::2/tcp/1".parse().unwrap();
        unproved.enter(connection(1), &one).unwrap();
        assert!(unproved.enter(connection(2), &neighbour).is_err());
    }
}
