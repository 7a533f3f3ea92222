//! How the node is, as far as other nodes matter: whether enough validators can
//! be reached, whether it has caught up, who contradicted themselves, and
//! whether the engine hangs.

use std::time::{Duration, Instant};

use quittance_api::submit::PeerStatus;
use quittance_ledger::{chain::Evidence, store::StoreError};

use super::Shared;
use crate::engine::{Peer, Peers};

/// So many blocks behind the others, a node counts as catching up.
const BEHIND_MAX: u64 = 20;

/// How long the engine may be silent while the other validators speak and there
/// is something to decide.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A validator that voted or proposed within this time is taken to be there.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// What health depends on of the others.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Why the node cannot make records final now, in a sentence.
    pub not_ready: Option<String>,
    /// What people should look at, besides.
    pub alerts: Vec<String>,
    /// The other members' nodes.
    pub peers: Vec<PeerStatus>,
    /// The last block that the others have decided, once enough have told.
    pub tip: Option<u64>,
    /// Whether enough validators speak for the engine to go on.
    pub quorum_speaks: bool,
}

/// The other members' nodes, with what their engines say.
fn neighbours(shared: &Shared, peers: &Peers) -> Vec<(PeerStatus, Option<Peer>)> {
    let connected = peers.all();
    // The engine may hold on to a connection long after the other end is gone;
    // gossip asks it every few seconds.
    let reached: Option<Vec<_>> = shared.gossip.get().map(|gossip| gossip.peers().borrow().clone());
    shared
        .neighbours()
        .iter()
        .map(|neighbour| {
            let id = neighbour.peer.to_string();
            let peer = connected
                .iter()
                .filter(|_| reached.as_ref().is_none_or(|peers| peers.contains(&neighbour.peer)))
                .find(|(peer, _)| *peer == id)
                .map(|(_, peer)| *peer);
            let status = PeerStatus {
                member: Some(neighbour.member.clone()),
                validator: neighbour.validator,
                connected: peer.is_some(),
                height: peer.map(|peer| peer.tip.0),
            };
            (status, peer)
        })
        .collect()
}

impl Health {
    /// Looks at the others.
    pub fn of(shared: &Shared, peers: &Peers, alerts: &[String]) -> Self {
        let membership = shared.membership();
        let mut health = Self { alerts: alerts.to_vec(), ..Self::default() };
        let (validators, quorum) =
            (membership.validators().len(), membership.validators().quorum());
        let own = usize::from(shared.own_validator().is_some());
        let neighbours = neighbours(shared, peers);
        let now = Instant::now();
        let validating = || neighbours.iter().filter(|(status, _)| status.validator);
        let speaking = validating()
            .filter_map(|(_, peer)| *peer)
            .filter(|peer| peer.voted_within(HEARD_WITHIN, now))
            .count();
        health.quorum_speaks = own + speaking >= quorum;
        let reached = own + validating().filter(|(status, _)| status.connected).count();
        let mut tips: Vec<u64> =
            validating().filter_map(|(_, peer)| Some(peer.as_ref()?.tip.0)).collect();
        tips.sort_unstable_by(|a, b| b.cmp(a));
        // Fewer than a third may lie; the next one below them does not.
        let liars_max = (validators.saturating_sub(1)) / 3;
        let tip = tips.get(liars_max).copied().unwrap_or(0);
        if tips.len() >= quorum.saturating_sub(own) {
            health.tip = Some(tip);
        }
        let decided = shared.store.decided().height;
        let is_behind = tip > decided + BEHIND_MAX;
        // Whoever is far behind does not know yet who is on the ledger now.
        if let Some(why) = shared.unlisted().filter(|_| !is_behind) {
            health.not_ready =
                Some(format!("{why}: the members' nodes refuse this one, and it takes no records"));
        } else if reached < quorum {
            health.not_ready = Some(format!(
                "below quorum: {reached} of {validators} validators can be reached, {quorum} are \
                 needed; records are accepted and kept, and become final when enough are back"
            ));
        } else if is_behind {
            health.not_ready = Some(format!("catching up: at block {decided} of {tip}"));
        }
        health.peers = neighbours.into_iter().map(|(status, _)| status).collect();
        health
    }
}

/// Whom the evidence that is kept accuses, each of the newest.
pub fn evidence_alerts(shared: &Shared) -> Result<Vec<String>, StoreError> {
    let membership = shared.membership();
    let mut latest: Vec<Evidence> = Vec::new();
    for evidence in shared.store.evidence()?.into_iter().rev() {
        if !latest.iter().any(|known| known.validator == evidence.validator) {
            latest.push(evidence);
        }
    }
    Ok(latest
        .iter()
        .map(|evidence| {
            let who = membership
                .validators()
                .by_consensus_key(&evidence.validator)
                .map_or_else(|| hex::encode(evidence.validator), |one| one.member.to_string());
            format!(
                "validator {who} contradicted itself at height {}, round {}: it signed two \
                 different {} statements; /v1/evidence holds both",
                evidence.height,
                evidence.round,
                evidence.step.as_str()
            )
        })
        .collect())
}

/// Notices an engine that hangs.
#[derive(Debug)]
pub struct Watchdog {
    spoke: Instant,
}

impl Watchdog {
    pub fn new() -> Self {
        Self { spoke: Instant::now() }
    }

    /// The engine has asked something, or has nothing to do.
    pub const fn fed(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// Why the engine is taken to hang: it is silent though others speak.
    pub fn bite(&mut self, health: &Health, now: Instant) -> Option<String> {
        if !health.quorum_speaks {
            // Without them it has nothing to say.
            self.fed(now);
        }
        (now.saturating_duration_since(self.spoke) > SILENCE_MAX).then(|| {
            format!(
                "has said nothing for {} s though enough validators speak and there is something \
                 to decide; this process ends so that it can be started again",
                SILENCE_MAX.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_hangs_ends_the_process_and_one_that_waits_does_not() {
        let with = |quorum_speaks| Health { quorum_speaks, ..Health::default() };
        let (mut watchdog, start) = (Watchdog::new(), Instant::now());
        watchdog.fed(start);
        let silent = start + SILENCE_MAX;
        assert_eq!(watchdog.bite(&with(true), silent), None, "the last moment");
        let hangs = silent + Duration::from_millis(1);
        assert!(watchdog.bite(&with(true), hangs).is_some_and(|why| why.contains("for 60 s")));
        assert_eq!(watchdog.bite(&with(false), hangs), None, "below quorum it has nothing to say");
        assert_eq!(watchdog.bite(&with(true), hangs + SILENCE_MAX), None, "counted anew");
        watchdog.fed(hangs + SILENCE_MAX);
        assert_eq!(watchdog.bite(&with(true), hangs + 2 * SILENCE_MAX), None);
    }
}
