//! Records that are durable and wait for a block, in the order of acceptance.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use quittance_api::submit::Outcome;
use quittance_ledger::{digest::RecordId, limits::BLOCK_BYTES_MAX, record::Record};
use tokio::sync::watch;

struct Waiting {
    record: Record,
    /// Where its batch stands in the durable queue.
    position: u64,
    outcome: watch::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    order: VecDeque<RecordId>,
    by_id: HashMap<RecordId, Waiting>,
    bytes: usize,
}

/// The queue. Only the ingress thread pushes, only the sequencer takes out.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    records_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), records_max, bytes_max }
    }

    /// No thread leaves the state half changed, so a poisoned lock is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a durable record; the receiver tells what becomes of it.
    pub fn push(&self, record: Record, position: u64) -> watch::Receiver<Outcome> {
        let mut state = self.state();
        let id = record.id();
        if let Some(waiting) = state.by_id.get(&id) {
            return waiting.outcome.subscribe();
        }
        let (outcome, receiver) = watch::channel(Outcome::Pending);
        state.bytes += record.jws().len();
        state.order.push_back(id);
        state.by_id.insert(id, Waiting { record, position, outcome });
        drop(state);
        self.changed.notify_all();
        receiver
    }

    /// Whether so many more would be too many.
    pub fn is_full(&self, records: usize, bytes: usize) -> bool {
        let state = self.state();
        state.order.len() + records > self.records_max || state.bytes + bytes > self.bytes_max
    }

    pub fn get(&self, id: &RecordId) -> Option<Record> {
        self.state().by_id.get(id).map(|waiting| waiting.record.clone())
    }

    pub fn subscribe(&self, id: &RecordId) -> Option<watch::Receiver<Outcome>> {
        self.state().by_id.get(id).map(|waiting| waiting.outcome.subscribe())
    }

    /// Records that wait, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.order.len(), state.bytes)
    }

    /// The first records, as many as a block may hold. Waits for one for at
    /// most `patience`.
    pub fn first(&self, patience: Duration) -> Vec<Record> {
        let mut state = self.state();
        if state.order.is_empty() {
            state = self
                .changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut bytes = 0;
        state
            .order
            .iter()
            .filter_map(|id| state.by_id.get(id))
            .take_while(|waiting| {
                let first = bytes == 0;
                bytes += waiting.record.jws().len();
                first || bytes <= BLOCK_BYTES_MAX
            })
            .map(|waiting| waiting.record.clone())
            .collect()
    }

    /// Where the durable queue must be kept from: none when nothing waits.
    pub fn first_position(&self) -> Option<u64> {
        let state = self.state();
        state.order.front().and_then(|id| state.by_id.get(id)).map(|first| first.position)
    }

    /// Takes records out and tells whoever waits for them.
    pub fn settle(&self, outcomes: impl IntoIterator<Item = (RecordId, Outcome)>) {
        let mut state = self.state();
        for (id, outcome) in outcomes {
            if let Some(waiting) = state.by_id.remove(&id) {
                state.bytes -= waiting.record.jws().len();
                waiting.outcome.send_replace(outcome);
            }
        }
        while let Some(id) = state.order.front()
            && !state.by_id.contains_key(id)
        {
            state.order.pop_front();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Wakes whoever waits, to look whether the node is stopping.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    pub fn wait_until_empty(&self, deadline: Instant, give_up: impl Fn() -> bool) {
        let mut state = self.state();
        while !state.order.is_empty() && !give_up() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
