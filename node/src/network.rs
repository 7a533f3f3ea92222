//! Where this node listens for other nodes and whom it talks to: the members
//! that the ledger knows, and nobody else.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use libp2p::{Multiaddr, PeerId, identity::Keypair, multiaddr::Protocol};
use quittance_ledger::{
    digest::LedgerId,
    membership::{Member, MemberId, Membership},
};

use crate::{
    config,
    engine::EngineSettings,
    gossip::{self, GossipLimits, GossipMetrics},
    pipeline::Signers,
};

/// The other nodes cannot be reached as the ledger says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A validator among several has no address.
    #[error(
        "validator {member} has no {field} in the genesis; where several nodes run, each validator \
         needs peer, engine_address and gossip_address (`quittance init --engine-address \
         --gossip-address` writes them)"
    )]
    Missing {
        /// Whose entry.
        member: MemberId,
        /// What is missing.
        field: &'static str,
    },
    /// An address or peer id cannot be read.
    #[error("{member}: {field}: {problem}")]
    Unreadable {
        /// Whose entry.
        member: MemberId,
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The network key does not make a peer id.
    #[error("the network key cannot be used: {0}")]
    Key(String),
}

/// Another member's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The member.
    pub member: MemberId,
    /// Whether it validates.
    pub validator: bool,
    /// What its node proves to be.
    pub peer: PeerId,
    /// Its engine; none where it only dials others.
    pub engine: Option<Multiaddr>,
    /// Its gossip; none where it only dials others.
    pub gossip: Option<Multiaddr>,
}

impl Neighbour {
    /// Its engine's address with the peer id, without which the engine would let
    /// anybody in.
    #[must_use]
    pub fn engine_peer(&self) -> Multiaddr {
        self.engine.clone().unwrap_or_else(Multiaddr::empty).with(Protocol::P2p(self.peer))
    }

    /// It as the gossip takes it.
    #[must_use]
    pub fn gossip_peer(&self) -> gossip::Peer {
        gossip::Peer { peer: self.peer, addresses: self.gossip.iter().cloned().collect() }
    }
}

/// What the ledger or a `member.toml` says of where a member's node is.
struct Place<'a> {
    member: &'a MemberId,
    validator: bool,
    peer: Option<&'a String>,
    engine: Option<&'a String>,
    gossip: Option<&'a String>,
}

impl<'a> Place<'a> {
    fn of(member: &'a Member) -> Option<Self> {
        match (&member.validator, &member.observer) {
            (Some(validator), _) => Some(Self {
                member: &member.id,
                validator: true,
                peer: validator.peer.as_ref(),
                engine: validator.engine_address.as_ref(),
                gossip: validator.gossip_address.as_ref(),
            }),
            (None, Some(observer)) => Some(Self {
                member: &member.id,
                validator: false,
                peer: Some(&observer.peer),
                engine: observer.engine_address.as_ref(),
                gossip: observer.gossip_address.as_ref(),
            }),
            (None, None) => None,
        }
    }

    fn address(
        &self,
        field: &'static str,
        value: Option<&String>,
    ) -> Result<Option<Multiaddr>, NetworkError> {
        let Some(text) = value else {
            // A validator that others cannot dial may never be heard.
            return if self.validator { Err(self.missing(field)) } else { Ok(None) };
        };
        text.parse().map(Some).map_err(|error: libp2p::multiaddr::Error| NetworkError::Unreadable {
            member: self.member.clone(),
            field,
            problem: error.to_string(),
        })
    }

    fn missing(&self, field: &'static str) -> NetworkError {
        NetworkError::Missing { member: self.member.clone(), field }
    }

    fn neighbour(&self) -> Result<Neighbour, NetworkError> {
        let peer = self.peer.ok_or_else(|| self.missing("peer"))?;
        Ok(Neighbour {
            member: self.member.clone(),
            validator: self.validator,
            peer: peer.parse().map_err(|error: libp2p::identity::ParseError| {
                NetworkError::Unreadable {
                    member: self.member.clone(),
                    field: "peer",
                    problem: error.to_string(),
                }
            })?,
            engine: self.address("engine_address", self.engine)?,
            gossip: self.address("gossip_address", self.gossip)?,
        })
    }
}

/// The other members' nodes, as `membership` has them.
///
/// # Errors
/// The first node that cannot be reached as the membership says.
pub fn neighbours(
    membership: &Membership,
    own: &MemberId,
) -> impl Iterator<Item = Result<Neighbour, NetworkError>> {
    membership
        .members()
        .filter(|member| member.id != *own)
        .filter_map(Place::of)
        .map(|place| place.neighbour())
}

/// Why the other members' nodes do not talk to the node of `own` whose network
/// key `peer` is, as `membership` has it. None where they do, or where there are
/// none.
#[must_use]
pub fn unlisted(membership: &Membership, own: &MemberId, peer: &PeerId) -> Option<String> {
    let others = membership.members().filter(|member| member.id != *own);
    others.filter_map(Place::of).next()?;
    let Some(member) = membership.member(own) else {
        return Some(format!("{own} is no member of the ledger, as far as this node knows"));
    };
    let Some(place) = Place::of(member) else {
        return Some(format!("{own} is a member of the ledger, but no node of it is listed"));
    };
    // A lone validator need not have a name for others.
    let known = place.peer?;
    (*known != peer.to_string()).then(|| {
        format!("the ledger has another node for {own}, {known}, and not this one, {peer}")
    })
}

/// Where this node listens and whom it talks to.
#[derive(Debug, Clone)]
pub struct Network {
    engine_listen: Multiaddr,
    gossip_listen: Multiaddr,
    neighbours: Vec<Neighbour>,
}

/// A free port on loopback: where the node of a ledger listens that has no other.
fn nowhere() -> Multiaddr {
    Multiaddr::empty().with(Protocol::Ip4([127, 0, 0, 1].into())).with(Protocol::Tcp(0))
}

impl Network {
    /// Reads the membership as this node's neighbourhood. `own` is what this
    /// node's `member.toml` says of it: it counts where the ledger does not know
    /// the node yet, or still another one of this member.
    ///
    /// # Errors
    /// Another node cannot be reached as the membership says.
    pub fn new(
        membership: &Membership,
        member: &MemberId,
        own: Option<&Member>,
        settings: &config::Network,
    ) -> Result<Self, NetworkError> {
        let known = membership.member(member).and_then(Place::of);
        let own = own.and_then(Place::of);
        let place = match (known, own) {
            // With other keys than the ledger has: it is to take the place of
            // the node that is listening there.
            (Some(known), Some(own)) if known.peer != own.peer => Some(own),
            (known, own) => known.or(own),
        };
        let neighbours = neighbours(membership, member).collect::<Result<Vec<_>, _>>()?;
        // A lone validator decides whether or not anybody observes.
        let alone = neighbours.is_empty() || membership.validators().len() == 1;
        let listen =
            |chosen: &Option<Multiaddr>, field, known: fn(&Place<'_>) -> Option<String>| {
                if let Some(address) = chosen {
                    return Ok(address.clone());
                }
                let Some(place) = &place else { return Ok(nowhere()) };
                match known(place) {
                    None if alone => Ok(nowhere()),
                    text => Ok(place.address(field, text.as_ref())?.unwrap_or_else(nowhere)),
                }
            };
        Ok(Self {
            engine_listen: listen(&settings.engine_listen, "engine_address", |place| {
                place.engine.cloned()
            })?,
            gossip_listen: listen(&settings.gossip_listen, "gossip_address", |place| {
                place.gossip.cloned()
            })?,
            neighbours,
        })
    }

    /// How this node's engine is to be started, with its log of votes at `wal`.
    ///
    /// # Errors
    /// The network key cannot be used.
    pub fn engine(
        &self,
        signers: &Signers,
        wal: PathBuf,
        ledger: LedgerId,
    ) -> Result<EngineSettings, NetworkError> {
        Ok(EngineSettings {
            ledger,
            name: signers.member.to_string(),
            consensus: signers.validator.as_ref().map(|validator| validator.consensus.clone()),
            network: keypair(&signers.network)?,
            listen: self.engine_listen.clone(),
            peers: self.neighbours.iter().map(Neighbour::engine_peer).collect(),
            wal,
        })
    }

    /// How this node's gossip is to be started.
    ///
    /// # Errors
    /// The network key cannot be used.
    pub fn gossip(
        &self,
        signers: &Signers,
        ledger: LedgerId,
    ) -> Result<gossip::Settings, NetworkError> {
        Ok(gossip::Settings {
            keypair: keypair(&signers.network)?,
            listen: Some(self.gossip_listen.clone()),
            ledger,
            peers: self.neighbours.iter().map(Neighbour::gossip_peer).collect(),
            limits: GossipLimits::default(),
            metrics: GossipMetrics::default(),
        })
    }

    /// The other members' nodes.
    #[must_use]
    pub fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }
}

/// libp2p's form of a network key.
///
/// # Errors
/// It is none, which a key that was read never is.
pub fn keypair(key: &SigningKey) -> Result<Keypair, NetworkError> {
    Keypair::ed25519_from_bytes(key.to_bytes())
        .map_err(|error| NetworkError::Key(error.to_string()))
}
