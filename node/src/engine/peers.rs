//! What the engines of other members say: who is connected, how far each is,
//! and of which height it last spoke. That wakes an idle node, and tells one
//! that halts from one that hangs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_malachitebft_app::{
    engine::network::NetworkEvent,
    types::{PeerId, core::Proposal as _, core::Vote as _},
};
use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;

use super::context::{Context, Height};

/// What is known of one connected engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The last height it has decided, as it says.
    pub tip: Height,
    /// The height of its last vote or proposal.
    pub voting: Height,
    /// When it last voted or proposed; before that, when it was connected.
    pub voted: Instant,
}

impl Peer {
    fn new() -> Self {
        Self { tip: Height(0), voting: Height(0), voted: Instant::now() }
    }

    /// Whether it took part in deciding within this time.
    #[must_use]
    pub fn voted_within(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.voted) <= time
    }

    fn votes(&mut self, height: Height) {
        self.voting = height;
        self.voted = Instant::now();
    }
}

/// What the engines say by which a node goes.
#[derive(Debug)]
pub struct Listened(Vec<Peer>);

impl Listened {
    /// Whether one speaks of this height or a later one.
    #[must_use]
    pub fn speak_of(&self, height: Height) -> bool {
        self.0.iter().any(|peer| peer.voting >= height || peer.tip >= height)
    }

    /// Whether one is still voting on `decided`, which it has not decided itself:
    /// it needs this node to go on, or to tell it the block.
    #[must_use]
    pub fn lag_behind(&self, decided: Height) -> bool {
        let lags = |peer: &Peer| peer.voting == decided && peer.tip < decided;
        decided.0 > 0 && self.0.iter().any(lags)
    }
}

/// The connected engines.
#[derive(Debug, Default)]
pub struct Peers {
    by_id: Mutex<BTreeMap<String, Peer>>,
    changed: Notify,
}

impl Peers {
    // No thread leaves the map half changed, so a poisoned lock is still whole.
    fn by_id(&self) -> MutexGuard<'_, BTreeMap<String, Peer>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.by_id().len()
    }

    /// The connected engines, by peer id.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Peer)> {
        self.by_id().iter().map(|(id, peer)| (id.clone(), *peer)).collect()
    }

    /// The engines by which this node goes: those of validators, as long as one
    /// of them is connected. What an observer says of heights is believed only
    /// where there is nobody else to follow; otherwise one that lies could keep
    /// an idle ledger busy.
    #[must_use]
    pub fn listened_to(&self, is_validator: impl Fn(&str) -> bool) -> Listened {
        let by_id = self.by_id();
        let of_validators: Vec<_> =
            by_id.iter().filter(|(id, _)| is_validator(id)).map(|(_, peer)| *peer).collect();
        Listened(if of_validators.is_empty() {
            by_id.values().copied().collect()
        } else {
            of_validators
        })
    }

    /// Resolves when something has changed.
    pub async fn change(&self) {
        self.changed.notified().await;
    }

    fn update(&self, id: PeerId, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.by_id().get_mut(&id.to_string()) {
            change(peer);
        }
        self.changed.notify_one();
    }

    fn hear(&self, event: NetworkEvent<Context>) {
        match event {
            NetworkEvent::PeerConnected(id) => {
                self.by_id().insert(id.to_string(), Peer::new());
                self.changed.notify_one();
            }
            NetworkEvent::PeerDisconnected(id) => {
                self.by_id().remove(&id.to_string());
                self.changed.notify_one();
            }
            NetworkEvent::Vote(id, vote) => {
                self.update(id, |peer| peer.votes(vote.height()));
            }
            NetworkEvent::Proposal(id, proposal) => {
                self.update(id, |peer| peer.votes(proposal.height()));
            }
            NetworkEvent::PolkaCertificate(id, certificate) => {
                self.update(id, |peer| peer.votes(certificate.height));
            }
            NetworkEvent::RoundCertificate(id, certificate) => {
                self.update(id, |peer| peer.votes(certificate.height));
            }
            NetworkEvent::Status(id, status) => {
                self.update(id, |peer| peer.tip = status.tip_height);
            }
            _ => {}
        }
    }
}

/// A message of the network, for the listener.
pub struct Overheard(NetworkEvent<Context>);

impl From<NetworkEvent<Context>> for Overheard {
    fn from(event: NetworkEvent<Context>) -> Self {
        Self(event)
    }
}

/// Listens to the engine's network.
pub struct Listener(pub Arc<Peers>);

#[async_trait]
impl Actor for Listener {
    type Msg = Overheard;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Overheard>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Overheard>,
        Overheard(event): Overheard,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.hear(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(known: &[(&str, u64, u64)]) -> Peers {
        let peers = Peers::default();
        peers.by_id().extend(known.iter().map(|(id, tip, voting)| {
            ((*id).to_owned(), Peer { tip: Height(*tip), voting: Height(*voting), ..Peer::new() })
        }));
        peers
    }

    fn is_validator(id: &str) -> bool {
        id.starts_with("validator")
    }

    #[test]
    fn an_observer_that_lies_about_heights_wakes_no_idle_node() {
        let peers = peers(&[("validator-1", 6, 6), ("observer", u64::MAX, u64::MAX)]);
        let listened = peers.listened_to(is_validator);
        assert!(!listened.speak_of(Height(7)));
        assert!(listened.speak_of(Height(6)));
    }

    #[test]
    fn an_observer_that_pretends_to_lag_starts_no_height() {
        let known = [("validator-1", 6, 6), ("observer", 2, 6)];
        assert!(!peers(&known).listened_to(is_validator).lag_behind(Height(6)));
        let known = [("validator-1", 5, 6), ("observer", 6, 6)];
        assert!(peers(&known).listened_to(is_validator).lag_behind(Height(6)));
    }

    #[test]
    fn a_node_that_reaches_only_observers_follows_them() {
        let peers = peers(&[("observer", 9, 0)]);
        assert!(peers.listened_to(is_validator).speak_of(Height(7)));
    }
}
