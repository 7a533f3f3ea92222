//! Calls that are not answered yet, because the rules refuse a record of theirs as
//! things stand and what would let it in may be on its way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use quittance_api::submit::{Accepted, Outcome, SubmitError};
use quittance_ledger::record::Record;
use tokio::sync::{oneshot, watch};

/// How long a record is held before it is refused. Blocks of a consortium are
/// decided several times a second, and a node that keeps up is one behind.
pub const HOLD: Duration = Duration::from_secs(1);

/// What is decided of a record.
pub enum Decision {
    Answer(Accepted),
    /// The place among the new records that are made durable together.
    New(usize),
    /// Not yet.
    Hold(Box<Record>),
}

impl Decision {
    /// The answer for a record that has been made durable.
    pub fn kept(self, receivers: &[watch::Receiver<Outcome>]) -> Self {
        match self {
            Self::New(place) => match receivers.get(place) {
                Some(receiver) => Self::Answer(Accepted::Pending(receiver.clone())),
                None => Self::New(place),
            },
            other => other,
        }
    }
}

/// A call that is answered once nothing of it is held any more.
pub struct Call {
    pub decisions: Vec<Decision>,
    pub answer: oneshot::Sender<Result<Vec<Accepted>, SubmitError>>,
    /// When what is still held of it is refused.
    pub until: Instant,
}

impl Call {
    /// How many records of it are held.
    pub fn held(&self) -> usize {
        self.decisions.iter().filter(|one| matches!(one, Decision::Hold(..))).count()
    }
}

/// The calls, in the order in which they came. So those at the front were looked
/// at longest ago and their time is up first, and a signer's records are looked at
/// in the order in which they were sent.
#[derive(Default)]
pub struct HeldCalls(VecDeque<(u64, Call)>);

impl HeldCalls {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a call behind the others; it was looked at after the block of this
    /// height.
    pub fn push(&mut self, call: Call, height: u64) {
        self.0.push_back((height, call));
    }

    /// Takes out the calls that are to be looked at: those whose time is up, and
    /// those that were looked at before the block of this height was decided.
    pub fn take_due(&mut self, height: u64, now: Instant) -> Vec<Call> {
        let is_due = |(looked_at, call): &(u64, Call)| *looked_at < height || call.until <= now;
        let count = self.0.iter().take_while(|held| is_due(held)).count();
        self.0.drain(..count).map(|(_, call)| call).collect()
    }

    /// Takes out all of them.
    pub fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Adds calls behind these.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(until: Instant) -> Call {
        Call { decisions: Vec::new(), answer: oneshot::channel().0, until }
    }

    fn untils(calls: &[Call]) -> Vec<Instant> {
        calls.iter().map(|call| call.until).collect()
    }

    #[test]
    fn a_held_record_whose_time_is_up_does_not_have_the_others_looked_at_again() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut held = HeldCalls::default();
        for ms in [10, 20, 30] {
            held.push(call(at(ms)), 5);
        }
        assert!(held.take_due(5, at(9)).is_empty(), "nothing has come");
        assert_eq!(untils(&held.take_due(5, at(10))), [at(10)]);
        assert!(held.take_due(5, at(19)).is_empty());
        // With a block all are, in the order in which they came, but what was
        // decided on after it.
        held.push(call(at(40)), 6);
        assert_eq!(untils(&held.take_due(6, at(19))), [at(20), at(30)]);
        assert!(held.take_due(6, at(39)).is_empty());
        assert_eq!(untils(&held.take_due(7, at(39))), [at(40)]);
        assert!(held.is_empty());
    }

    #[test]
    fn what_stays_held_keeps_its_place_before_what_came_later() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut held = HeldCalls::default();
        held.push(call(at(10)), 5);
        held.push(call(at(20)), 6);
        let due = held.take_due(6, at(0));
        assert_eq!(untils(&due), [at(10)]);
        let left_alone = held.take_all();
        due.into_iter().for_each(|call| held.push(call, 6));
        held.append(left_alone);
        assert_eq!(untils(&held.take_due(7, at(0))), [at(10), at(20)]);
    }
}
