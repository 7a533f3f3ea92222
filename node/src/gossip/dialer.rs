//! When which peer is dialled: each that has an address and is not connected,
//! after a pause that doubles with each failure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use rand_core::{OsRng, RngCore};

/// A connection that ends sooner was refused.
const LASTING: Duration = Duration::from_secs(5);

/// The peers that are to be connected.
pub(super) struct Dialer {
    pause_min: Duration,
    pause_max: Duration,
    targets: HashMap<PeerId, Target>,
}

struct Target {
    addresses: Vec<Multiaddr>,
    /// Dials that failed, or led to a connection that did not last, since one lasted.
    failures: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since then.
    Connected(Instant),
    Dialling,
    /// To be dialled then.
    Waiting(Instant),
}

impl Dialer {
    pub(super) fn new(pause_min: Duration, pause_max: Duration) -> Self {
        Self { pause_min, pause_max, targets: HashMap::new() }
    }

    /// A peer that is not connected, or new addresses of one. Dialled at once.
    pub(super) fn add(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        let target = self.targets.entry(peer).or_insert_with(|| Target {
            addresses: Vec::new(),
            failures: 0,
            state: State::Waiting(now),
        });
        if target.addresses != addresses {
            target.addresses = addresses;
            target.failures = 0;
            if let State::Waiting(_) = target.state {
                target.state = State::Waiting(now);
            }
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.targets.remove(peer);
    }

    pub(super) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.state = State::Connected(now);
        }
    }

    /// A peer that refuses this node does so after the handshake, so only a
    /// connection that lasted ends the doubling of the pause. Whether it lasted.
    pub(super) fn disconnected(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(target) = self.targets.get_mut(peer) else { return true };
        let lasted = match target.state {
            State::Connected(since) => now.saturating_duration_since(since) >= LASTING,
            State::Dialling | State::Waiting(_) => false,
        };
        if lasted {
            target.failures = 0;
        }
        target.state = State::Dialling;
        self.failed(peer, now);
        lasted
    }

    /// A dial failed. Where the peer has connected meanwhile, that is no matter.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        let Some(target) = self.targets.get_mut(peer) else { return };
        if let State::Connected(_) = target.state {
            return;
        }
        let doubled = 2_u32.saturating_pow(target.failures.min(16));
        let pause = self.pause_min.saturating_mul(doubled).min(self.pause_max);
        target.failures = target.failures.saturating_add(1);
        target.state = State::Waiting(later(now, jitter(pause)));
    }

    /// Not before then: it is shut out until then.
    pub(super) fn postpone(&mut self, peer: &PeerId, until: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.state = State::Waiting(until);
        }
    }

    /// When the next peer is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.targets
            .values()
            .filter(|target| !target.addresses.is_empty())
            .filter_map(|target| match target.state {
                State::Waiting(at) => Some(at),
                State::Connected(_) | State::Dialling => None,
            })
            .min()
    }

    /// The peers that are due, with their addresses; they count as being dialled.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (peer, target) in &mut self.targets {
            if matches!(target.state, State::Waiting(at) if at <= now)
                && !target.addresses.is_empty()
            {
                target.state = State::Dialling;
                due.push((*peer, target.addresses.clone()));
            }
        }
        due
    }
}

fn later(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}

/// Three quarters to five quarters of a pause, so that nodes that lost each other
/// do not keep dialling in step.
fn jitter(pause: Duration) -> Duration {
    let share = OsRng.next_u32() % 512;
    (pause.saturating_mul(share.saturating_add(768))) / 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(3);

    fn dialer(now: Instant) -> (Dialer, PeerId) {
        let peer = PeerId::random();
        let mut dialer = Dialer::new(MIN, MAX);
        dialer.add(peer, vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()], now);
        (dialer, peer)
    }

    #[test]
    fn a_peer_that_never_answers_is_dialled_ever_more_seldom_but_never_given_up() {
        let mut now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        for attempt in 0..40_u32 {
            assert_eq!(dialer.due(now).len(), 1, "attempt {attempt}");
            assert!(dialer.next().is_none(), "while it is dialled, nothing is due");
            dialer.failed(&peer, now);
            let next = dialer.next().unwrap();
            let pause = next - now;
            let nominal = MIN.saturating_mul(2_u32.saturating_pow(attempt.min(16))).min(MAX);
            assert!(pause >= nominal * 3 / 4 && pause <= nominal * 5 / 4, "{pause:?}");
            assert!(dialer.due(now).is_empty());
            now = next;
        }
    }

    #[test]
    fn a_dial_that_fails_after_the_peer_dialled_us_is_not_repeated() {
        let now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        dialer.due(now);
        dialer.connected(&peer, now);
        dialer.failed(&peer, now);
        assert!(dialer.next().is_none());
        dialer.disconnected(&peer, now);
        assert!(dialer.next().unwrap() <= now + MIN * 5 / 4);
    }

    #[test]
    fn a_peer_that_refuses_after_the_handshake_is_dialled_ever_more_seldom() {
        let mut now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        for attempt in 0..10_u32 {
            dialer.due(now);
            dialer.connected(&peer, now);
            assert!(!dialer.disconnected(&peer, now + MIN));
            let nominal = MIN.saturating_mul(2_u32.saturating_pow(attempt)).min(MAX);
            let next = dialer.next().unwrap();
            assert!(next >= now + MIN + nominal * 3 / 4, "attempt {attempt}");
            now = next;
        }
        dialer.due(now);
        dialer.connected(&peer, now);
        now += LASTING;
        assert!(dialer.disconnected(&peer, now));
        assert!(dialer.next().unwrap() <= now + MIN * 5 / 4, "it lasted");
    }

    #[test]
    fn a_peer_without_addresses_is_not_dialled() {
        let now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        dialer.add(peer, Vec::new(), now);
        assert!(dialer.next().is_none());
        assert!(dialer.due(now).is_empty());
        dialer.add(peer, vec!["/ip4/127.0.0.1/tcp/2".parse().unwrap()], now);
        assert_eq!(dialer.due(now).len(), 1);
    }
}
