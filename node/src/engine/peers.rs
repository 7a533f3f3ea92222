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
    /// When it last said anything.
    pub heard: Instant,
}

impl Peer {
    fn new() -> Self {
        Self { tip: Height(0), voting: Height(0), heard: Instant::now() }
    }

    /// Whether it spoke within this time.
    #[must_use]
    pub fn heard_within(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) <= time
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

    /// Whether a connected engine speaks of this height or a later one.
    #[must_use]
    pub fn speak_of(&self, height: Height) -> bool {
        self.by_id().values().any(|peer| peer.voting >= height || peer.tip >= height)
    }

    /// Whether a connected engine is still voting on `decided`, which it has not
    /// decided itself: it needs this node to go on, or to tell it the block.
    #[must_use]
    pub fn lag_behind(&self, decided: Height) -> bool {
        let lags = |peer: &Peer| peer.voting == decided && peer.tip < decided;
        decided.0 > 0 && self.by_id().values().any(lags)
    }

    /// Resolves when something has changed.
    pub async fn change(&self) {
        self.changed.notified().await;
    }

    fn update(&self, id: PeerId, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.by_id().get_mut(&id.to_string()) {
            change(peer);
            peer.heard = Instant::now();
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
                self.update(id, |peer| peer.voting = vote.height());
            }
            NetworkEvent::Proposal(id, proposal) => {
                self.update(id, |peer| peer.voting = proposal.height());
            }
            NetworkEvent::PolkaCertificate(id, certificate) => {
                self.update(id, |peer| peer.voting = certificate.height);
            }
            NetworkEvent::RoundCertificate(id, certificate) => {
                self.update(id, |peer| peer.voting = certificate.height);
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
