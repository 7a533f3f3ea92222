//! What each member's node has done lately, and what it may still do.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use libp2p::PeerId;

use super::limits::{GossipLimits, Rate};

/// Numbers of an author's messages that are remembered.
const NUMBERS_MAX: usize = 1_024;

/// A member's excess, in messages, that still counts; more changes nothing.
const EXCESS_MAX: f64 = 400.0;

/// What remains of an excess after a second.
const EXCESS_DECAY: f64 = 0.9;

/// So many quarters of a number.
fn quarters(number: NonZeroU32, quarters: u32) -> NonZeroU32 {
    NonZeroU32::new((number.get() / 4).saturating_mul(quarters)).unwrap_or(NonZeroU32::MIN)
}

/// Messages and bytes in a time.
pub(super) struct Meter {
    messages: DefaultDirectRateLimiter,
    bytes: DefaultDirectRateLimiter,
}

impl Meter {
    pub(super) fn new(rate: &Rate) -> Self {
        let messages = Quota::per_second(rate.messages_per_second).allow_burst(rate.messages_burst);
        let bytes = Quota::per_second(rate.bytes_per_second).allow_burst(rate.bytes_burst);
        Self { messages: RateLimiter::direct(messages), bytes: RateLimiter::direct(bytes) }
    }

    /// For what this node publishes itself: three quarters of a rate, a quarter
    /// at once. What a link held up for a while and then delivers at once is still
    /// within what others take.
    pub(super) fn below(rate: &Rate) -> Self {
        Self::new(&Rate {
            messages_per_second: quarters(rate.messages_per_second, 3),
            messages_burst: quarters(rate.messages_burst, 1),
            bytes_per_second: quarters(rate.bytes_per_second, 3),
            bytes_burst: quarters(rate.bytes_burst, 1),
        })
    }

    /// Counts a message of so many bytes, or says how long until it may come.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Duration> {
        let now = DefaultClock::default().now();
        self.messages.check().map_err(|until| until.wait_time_from(now))?;
        let bytes = u32::try_from(bytes).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        match self.bytes.check_n(bytes) {
            Ok(outcome) => outcome.map_err(|until| until.wait_time_from(now)),
            // Not reached: messages are shorter than the burst.
            Err(_) => Err(Duration::from_secs(1)),
        }
    }
}

/// The numbers of an author's latest messages. An old message that somebody
/// replays after gossipsub has forgotten it has a number that was seen, or one
/// that is lower than all that are remembered.
#[derive(Default)]
struct Numbers {
    seen: BTreeSet<u64>,
    forgotten: Option<u64>,
}

impl Numbers {
    fn is_new(&mut self, number: u64) -> bool {
        if self.forgotten.is_some_and(|forgotten| number <= forgotten) || !self.seen.insert(number)
        {
            return false;
        }
        while self.seen.len() > NUMBERS_MAX {
            self.forgotten = self.seen.pop_first();
        }
        true
    }
}

struct Member {
    connected: bool,
    origin: Meter,
    carrier: Meter,
    requests: DefaultDirectRateLimiter,
    own_requests: DefaultDirectRateLimiter,
    numbers: Numbers,
    excess: f64,
    answers: usize,
    /// Messages of this author in validation, and their bytes.
    validations: usize,
    validation_bytes: usize,
    shut_out_until: Option<Instant>,
    shut_outs: u32,
}

/// Why a message is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Its author is no member, or no longer.
    NotMember,
    /// It came before.
    Replayed,
    /// Its author or carrier sends too much.
    Excess,
    /// All together send too much.
    NodeRate,
}

/// The members' nodes.
pub(super) struct Members {
    limits: GossipLimits,
    node: Meter,
    members: HashMap<PeerId, Member>,
}

impl Members {
    pub(super) fn new(limits: GossipLimits) -> Self {
        Self { node: Meter::new(&limits.node_rate), limits, members: HashMap::new() }
    }

    /// Whether it was none before.
    pub(super) fn add(&mut self, peer: PeerId) -> bool {
        let mut added = false;
        let requests = self.limits.requests_per_second;
        let own_requests = quarters(requests, 3);
        self.members.entry(peer).or_insert_with(|| {
            added = true;
            Member {
                connected: false,
                origin: Meter::new(&self.limits.origin_rate),
                carrier: Meter::new(&self.limits.carrier_rate),
                requests: RateLimiter::direct(Quota::per_second(requests)),
                own_requests: RateLimiter::direct(Quota::per_second(own_requests)),
                numbers: Numbers::default(),
                excess: 0.0,
                answers: 0,
                validations: 0,
                validation_bytes: 0,
                shut_out_until: None,
                shut_outs: 0,
            }
        });
        added
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.members.remove(peer);
    }

    pub(super) fn all(&self) -> Vec<PeerId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn set_connected(&mut self, peer: &PeerId, connected: bool) {
        if let Some(member) = self.members.get_mut(peer) {
            member.connected = connected;
            // A restarted node numbers anew, with a clock that may be another.
            member.numbers = Numbers::default();
        }
    }

    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.members.get(peer).is_some_and(|member| member.connected)
    }

    /// Who is connected, in the order of their ids.
    pub(super) fn connected(&self) -> Vec<PeerId> {
        let mut connected: Vec<PeerId> = self
            .members
            .iter()
            .filter(|(_, member)| member.connected)
            .map(|(peer, _)| *peer)
            .collect();
        connected.sort_unstable();
        connected
    }

    /// Counts a message that `carrier` brought and `origin` signed.
    pub(super) fn admit(
        &mut self,
        carrier: &PeerId,
        origin: &PeerId,
        number: Option<u64>,
        bytes: usize,
    ) -> Result<(), Dropped> {
        let Some(member) = self.members.get_mut(carrier) else { return Err(Dropped::NotMember) };
        if member.carrier.take(bytes).is_err() {
            member.exceed();
            return Err(Dropped::Excess);
        }
        let Some(member) = self.members.get_mut(origin) else { return Err(Dropped::NotMember) };
        // Before the author's rate, so that a replay does not use it up.
        if member.connected && !number.is_some_and(|number| member.numbers.is_new(number)) {
            return Err(Dropped::Replayed);
        }
        if member.origin.take(bytes).is_err() {
            member.exceed();
            return Err(Dropped::Excess);
        }
        self.node.take(bytes).map_err(|_| Dropped::NodeRate)
    }

    /// Counts a request and whether it may be answered now. With `true`,
    /// [`Self::answered`] follows.
    pub(super) fn admit_request(&mut self, peer: &PeerId) -> bool {
        let Some(member) = self.members.get_mut(peer) else { return false };
        if member.requests.check().is_err() {
            member.exceed();
            return false;
        }
        if member.answers >= self.limits.answers_per_peer_max {
            return false;
        }
        member.answers = member.answers.saturating_add(1);
        true
    }

    /// Whether this node may ask a peer: never so often that the peer minds.
    pub(super) fn may_ask(&self, peer: &PeerId) -> bool {
        self.members.get(peer).is_some_and(|member| member.own_requests.check().is_ok())
    }

    pub(super) fn answered(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.get_mut(peer) {
            member.answers = member.answers.saturating_sub(1);
        }
    }

    /// Whether a message of this author may be validated now. With `true`,
    /// [`Self::validated`] follows.
    pub(super) fn admit_validation(&mut self, origin: &PeerId, bytes: usize) -> bool {
        let Some(member) = self.members.get_mut(origin) else { return false };
        let bytes = member.validation_bytes.saturating_add(bytes);
        if member.validations >= self.limits.validations_per_origin_max
            || bytes > self.limits.validations_bytes_per_origin_max
        {
            return false;
        }
        member.validations = member.validations.saturating_add(1);
        member.validation_bytes = bytes;
        true
    }

    pub(super) fn validated(&mut self, origin: &PeerId, bytes: usize) {
        if let Some(member) = self.members.get_mut(origin) {
            member.validations = member.validations.saturating_sub(1);
            member.validation_bytes = member.validation_bytes.saturating_sub(bytes);
        }
    }

    /// Something else was too much, so many times.
    pub(super) fn exceed(&mut self, peer: &PeerId, times: u32) {
        if let Some(member) = self.members.get_mut(peer) {
            member.excess = (member.excess + f64::from(times)).min(EXCESS_MAX);
        }
    }

    /// What a member's excess costs it, as gossipsub's application score.
    pub(super) fn application_score(&self, peer: &PeerId) -> f64 {
        self.members.get(peer).map_or(0.0, |member| -member.excess)
    }

    /// A second has passed.
    pub(super) fn decay(&mut self) {
        for member in self.members.values_mut() {
            member.excess *= EXCESS_DECAY;
            if member.excess < 0.5 {
                member.excess = 0.0;
            }
        }
    }

    /// Shuts a member out for a time, each time longer, and says until when.
    pub(super) fn shut_out(&mut self, peer: &PeerId, now: Instant) -> Option<Instant> {
        let member = self.members.get_mut(peer)?;
        let doubled = 2_u32.saturating_pow(member.shut_outs.min(4));
        let until = now.checked_add(self.limits.shut_out_time.saturating_mul(doubled))?;
        member.shut_outs = member.shut_outs.saturating_add(1);
        member.shut_out_until = Some(until);
        member.excess = 0.0;
        Some(until)
    }

    pub(super) fn shut_out_until(&self, peer: &PeerId) -> Option<Instant> {
        self.members.get(peer)?.shut_out_until
    }

    /// Those whose time is over.
    pub(super) fn let_in_again(&mut self, now: Instant) -> Vec<PeerId> {
        let mut over = Vec::new();
        for (peer, member) in &mut self.members {
            if member.shut_out_until.is_some_and(|until| until <= now) {
                member.shut_out_until = None;
                over.push(*peer);
            }
        }
        over
    }
}

impl Member {
    fn exceed(&mut self) {
        self.excess = (self.excess + 1.0).min(EXCESS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(messages: u32, bytes: u32) -> Rate {
        let number = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        Rate {
            messages_per_second: number(messages),
            messages_burst: number(messages),
            bytes_per_second: number(bytes),
            bytes_burst: number(bytes),
        }
    }

    #[test]
    fn neither_many_small_nor_few_large_messages_pass_a_meter() {
        let meter = Meter::new(&rate(10, 1_000_000));
        assert_eq!((0..20).filter(|_| meter.take(1).is_ok()).count(), 10);
        let meter = Meter::new(&rate(1_000, 1_000));
        assert_eq!((0..20).filter(|_| meter.take(100).is_ok()).count(), 10);
        assert!(Meter::new(&rate(10, 1_000)).take(1_001).is_err(), "longer than the burst");
    }

    #[test]
    fn a_replayed_number_is_noticed_however_old_it_is() {
        let mut numbers = Numbers::default();
        for number in 100..100 + 3 * NUMBERS_MAX as u64 {
            assert!(numbers.is_new(number));
        }
        for number in 0..100 + 3 * NUMBERS_MAX as u64 {
            assert!(!numbers.is_new(number), "{number}");
        }
        assert!(numbers.seen.len() <= NUMBERS_MAX);
        // Messages overtake each other on the way.
        assert!(numbers.is_new(10_010));
        assert!(numbers.is_new(10_005));
        assert!(!numbers.is_new(10_005));
    }

    #[test]
    fn a_replay_does_not_use_up_the_rate_of_the_author() {
        let limits = GossipLimits { origin_rate: rate(5, 1_000_000), ..GossipLimits::default() };
        let mut members = Members::new(limits);
        let (author, other) = (PeerId::random(), PeerId::random());
        members.add(author);
        members.add(other);
        members.set_connected(&author, true);
        assert_eq!(members.admit(&author, &author, Some(1), 10), Ok(()));
        for _ in 0..100 {
            assert_eq!(members.admit(&other, &author, Some(1), 10), Err(Dropped::Replayed));
        }
        assert_eq!(members.admit(&author, &author, Some(2), 10), Ok(()));
    }

    #[test]
    fn excess_costs_and_is_forgiven() {
        let limits = GossipLimits { origin_rate: rate(1, 1_000_000), ..GossipLimits::default() };
        let mut members = Members::new(limits);
        let author = PeerId::random();
        members.add(author);
        for number in 0..10_000 {
            let _ = members.admit(&author, &author, Some(number), 10);
        }
        let score = members.application_score(&author);
        assert!((-EXCESS_MAX..-100.0).contains(&score), "{score}");
        for _ in 0..120 {
            members.decay();
        }
        assert!(members.application_score(&author).abs() < f64::EPSILON);
    }

    #[test]
    fn whoever_is_no_member_is_not_heard_through_a_member() {
        let mut members = Members::new(GossipLimits::default());
        let (carrier, stranger) = (PeerId::random(), PeerId::random());
        members.add(carrier);
        assert_eq!(members.admit(&carrier, &stranger, Some(1), 1), Err(Dropped::NotMember));
        assert_eq!(members.admit(&stranger, &carrier, Some(1), 1), Err(Dropped::NotMember));
    }
}
