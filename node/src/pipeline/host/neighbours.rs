//! Whom this node talks to as members and validators change.

use std::time::{Duration, Instant};

use super::Host;
use crate::{
    network::{Neighbour, neighbours},
    pipeline::health::Health,
};

/// How long a node that is on the ledger no more stays connected.
const FAREWELL: Duration = Duration::from_secs(30);

/// A validator whose engine is silent for so long while a block is being decided
/// is dialled anew: those that vote repeat their votes every second.
const SILENT_MAX: Duration = Duration::from_secs(8);

/// How long a new connection has until it is given up as well.
const RENEW_AGAIN: Duration = Duration::from_secs(20);

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

    /// Dials validators anew whose node answers gossip while its engine has not been
    /// heard for long. On a link that was cut and mended, the kernel tries an old
    /// connection again only after as long as the cut took, up to two minutes; the
    /// engine does not give such a connection up, and nothing is decided until then.
    pub(super) fn renew_silent(&mut self, health: &Health) {
        let now = Instant::now();
        self.renewed.retain(|_, until| *until > now);
        // An engine that was not started is silent, and so are its peers.
        if self.held.is_some() || health.quorum_speaks {
            return;
        }
        let neighbours = self.shared.neighbours().clone();
        for (id, peer) in self.engine.peers().all() {
            let known = neighbours.iter().find(|one| one.validator && one.peer.to_string() == id);
            let Some(neighbour) = known else { continue };
            if peer.heard_within(SILENT_MAX, now)
                || self.renewed.contains_key(&neighbour.peer)
                || !health.reaches(&neighbour.member)
            {
                continue;
            }
            tracing::info!(
                member = %neighbour.member,
                "a validator's engine is silent; it is dialled anew"
            );
            self.renewed.insert(neighbour.peer, now + RENEW_AGAIN);
            self.engine.renew_peer(neighbour.engine_peer());
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
