//! Virtual time: events happen in the order of their time and, at one time, in
//! the order in which they were scheduled. Nothing here ever waits.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    ops::{Add, AddAssign},
    time::Duration,
};

/// A moment of virtual time, in microseconds since the simulation began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment so many milliseconds after the beginning.
    pub const fn from_ms(milliseconds: u64) -> Self {
        Self(milliseconds * 1_000)
    }

    /// Whole milliseconds since the beginning.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + u64::try_from(duration.as_micros()).expect("a simulation is short"))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

#[derive(Debug)]
struct Entry<E> {
    at: Moment,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// The clock and what is still to happen.
#[derive(Debug)]
pub struct Clock<E> {
    now: Moment,
    scheduled: u64,
    events: BinaryHeap<Entry<E>>,
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self { now: Moment::default(), scheduled: 0, events: BinaryHeap::new() }
    }
}

impl<E> Clock<E> {
    /// The present.
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// Schedules an event; one in the past happens now.
    pub fn at(&mut self, moment: Moment, event: E) {
        let at = moment.max(self.now);
        self.events.push(Entry { at, sequence: self.scheduled, event });
        self.scheduled += 1;
    }

    /// Schedules an event after some time.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Moves on to the next event; none when nothing is left.
    pub fn next(&mut self) -> Option<E> {
        let entry = self.events.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}
