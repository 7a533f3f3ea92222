//! A node that keeps to no rule but those that its libp2p has.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, gossipsub,
    identity::Keypair,
    noise, ping,
    request_response::{self, ProtocolSupport},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};

use super::harness::{PATIENCE, ledger};
use crate::gossip::{behaviour::Topics, requests::Codec, wire::Request};

#[derive(NetworkBehaviour)]
pub(super) struct RawBehaviour {
    ping: ping::Behaviour,
    pub(super) pubsub: gossipsub::Behaviour,
    pub(super) requests: request_response::Behaviour<Codec>,
}

pub(super) struct Raw {
    pub(super) swarm: Swarm<RawBehaviour>,
    pub(super) topics: Topics,
}

impl Raw {
    /// With the protocols of the tests' ledger.
    pub(super) fn new(keypair: Keypair) -> Self {
        let ledger = ledger();
        let topics = Topics::new(&ledger);
        let configuration = gossipsub::ConfigBuilder::default()
            .protocol_id_prefix(format!("/quittance/{ledger}/gossip"))
            .max_transmit_size(64 * 1024 * 1024)
            .heartbeat_initial_delay(Duration::from_millis(100))
            .build()
            .unwrap();
        let mut pubsub = gossipsub::Behaviour::new(
            gossipsub::MessageAuthenticity::Signed(keypair.clone()),
            configuration,
        )
        .unwrap();
        pubsub.subscribe(&topics.records).unwrap();
        pubsub.subscribe(&topics.attestations).unwrap();
        let protocol =
            StreamProtocol::try_from_owned(format!("/quittance/{ledger}/request/1")).unwrap();
        let requests = request_response::Behaviour::new(
            [(protocol, ProtocolSupport::Full)],
            request_response::Config::default(),
        );
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| RawBehaviour { ping: ping::Behaviour::default(), pubsub, requests })
            .unwrap()
            .with_swarm_config(|configuration| {
                configuration.with_idle_connection_timeout(Duration::from_secs(3600))
            })
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        Self { swarm, topics }
    }

    pub(super) fn peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// The next event for which `found` finds something.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&SwarmEvent<RawBehaviourEvent>) -> Option<T>,
    ) -> T {
        let wait = async {
            loop {
                let event = self.swarm.select_next_some().await;
                if let Some(found) = found(&event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    pub(super) async fn address(&mut self) -> Multiaddr {
        self.until("listening", |event| match event {
            SwarmEvent::NewListenAddr { address, .. } => Some(address.clone()),
            _ => None,
        })
        .await
    }

    pub(super) fn publish_records(
        &mut self,
        content: Vec<u8>,
    ) -> Result<(), gossipsub::PublishError> {
        let topic = self.topics.records.hash();
        self.swarm.behaviour_mut().pubsub.publish(topic, content).map(|_| ())
    }

    pub(super) fn ask(&mut self, peer: PeerId, request: Request) {
        self.swarm.behaviour_mut().requests.send_request(&peer, request);
    }

    /// Drives the swarm for as long as another future takes.
    pub(super) async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }
}
