//! Whom this node talks to as members and validators change.

use std::time::{Duration, Instant};

use super::Host;
use crate::{
    engine::context::Height,
    network::{Neighbour, neighbours},
};

/// How long a node that is on the ledger no more stays connected.
const FAREWELL: Duration = Duration::from_secs(30);

/// How often a node tells again what it has decided, while somebody may not know.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);

impl Host {
    /// Talks to whom the membership has since the last block, and to nobody else.
    /// Whoever left may hear of it first: until then it takes records that others
    /// would never see.
    pub(super) fn meet_neighbours(&mut self) {
        let tip = self.shared.store.decided();
        if tip.members.changed_height() != tip.height {
            return;
        }
        let now: Vec<Neighbour> = neighbours(tip.membership(), &self.shared.signers.member)
            .filter_map(|neighbour| match neighbour {
                Ok(neighbour) => Some(neighbour),
                Err(error) => {
                    tracing::warn!("a member's node is not talked to: {error}");
                    None
                }
            })
            .collect();
        let before = std::mem::replace(&mut *self.shared.neighbours(), now.clone());
        let is_here = |peer| now.iter().any(|neighbour| neighbour.peer == peer);
        let until = Instant::now() + FAREWELL;
        // Who only validates no more, or does so from now on, stays connected.
        let are_apart = |one: &Neighbour, others: &[Neighbour]| {
            !others.iter().any(|other| other.engine_peer() == one.engine_peer())
        };
        for gone in before.iter().filter(|neighbour| are_apart(neighbour, &now)) {
            if is_here(gone.peer) {
                self.engine.forget_peer(gone.engine_peer());
            } else {
                self.leaving.push((gone.clone(), until));
            }
        }
        for new in now.iter().filter(|neighbour| are_apart(neighbour, &before)) {
            self.engine.add_peer(new.engine_peer());
        }
        self.leaving.retain(|(gone, _)| !is_here(gone.peer));
        self.set_gossip_peers();
    }

    fn set_gossip_peers(&self) {
        let Some(gossip) = self.shared.gossip.get() else { return };
        let now = self.shared.neighbours();
        let leaving = self.leaving.iter().map(|(gone, _)| gone);
        gossip.set_peers(now.iter().chain(leaving).map(Neighbour::gossip_peer).collect());
    }

    /// Tells the others what is decided here while a block is being decided, or while
    /// one of them seems to have decided less.
    pub(super) fn announce_again(&mut self) {
        if self.announced.elapsed() < ANNOUNCE_AGAIN {
            return;
        }
        self.announced = Instant::now();
        let decided = Height(self.shared.store.decided().height);
        let lags = || self.engine.peers().all().iter().any(|(_, peer)| peer.tip < decided);
        if self.held.is_none() || lags() {
            self.engine.announce_again();
        }
    }

    /// Ends the connections of those whose time to leave is over.
    pub(super) fn part(&mut self) {
        let now = Instant::now();
        let (over, leaving): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(|(_, until)| *until <= now);
        self.leaving = leaving;
        for (gone, _) in &over {
            tracing::info!(member = %gone.member, peer = %gone.peer, "a node that left is let in no more");
            self.engine.forget_peer(gone.engine_peer());
        }
        if !over.is_empty() {
            self.set_gossip_peers();
        }
    }
}
