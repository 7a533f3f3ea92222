//! Records that wait until they are final, in the order of acceptance.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use quittance_api::submit::Outcome;
use quittance_ledger::{
    digest::RecordId, limits::RECORD_OVERHEAD_BYTES, record::Record, refusal::Refusal,
};
use tokio::sync::{Notify, watch};

/// One other node may take this part of the queue.
const FOREIGN_PART: usize = 8;

/// Records set aside that are tried again with one block, those first that came
/// first: whoever sends many that never pass must not hold blocks up.
const TRIED_AGAIN_MAX: usize = 1000;

/// Refusals that are remembered.
const REFUSALS_MAX: usize = 10_000;

/// Where a record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may go into the next block.
    Ready,
    /// The rules do not let it in as things stand; looked at again with the next
    /// block.
    Set,
    /// It stands in a block that is decided but not final yet.
    Decided,
}

/// What records of one kind take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    records: usize,
    bytes: usize,
}

impl Share {
    fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.records -= 1;
        self.bytes -= bytes;
    }
}

struct Waiting {
    record: Record,
    /// The node that accepted it, as long as this one has not.
    origin: Option<PeerId>,
    /// Where its batch stands in the durable queue; none for a record that
    /// another node accepted and keeps.
    position: Option<u64>,
    stage: Stage,
    since: Instant,
    outcome: watch::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    /// The order of acceptance; ids of records that have left may linger.
    order: VecDeque<RecordId>,
    by_id: HashMap<RecordId, Waiting>,
    bytes: usize,
    ready: usize,
    aside: usize,
    /// What each other node has put here.
    foreign: HashMap<PeerId, Share>,
    /// How many records of each durable batch still wait.
    positions: BTreeMap<u64, usize>,
    refused: Refusals,
}

/// Records that were accepted here and then refused, the last ones, for whoever
/// did not wait for the outcome.
#[derive(Default)]
struct Refusals {
    order: VecDeque<RecordId>,
    by_id: HashMap<RecordId, Refusal>,
}

impl Refusals {
    fn add(&mut self, id: RecordId, refusal: Refusal) {
        if self.by_id.insert(id, refusal).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > REFUSALS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }
}

impl State {
    fn set_stage(&mut self, id: &RecordId, stage: Stage) {
        let Some(waiting) = self.by_id.get_mut(id) else { return };
        self.ready -= usize::from(waiting.stage == Stage::Ready);
        self.ready += usize::from(stage == Stage::Ready);
        self.aside -= usize::from(waiting.stage == Stage::Set);
        self.aside += usize::from(stage == Stage::Set);
        waiting.stage = stage;
    }

    fn remove(&mut self, id: &RecordId) -> Option<Waiting> {
        let waiting = self.by_id.remove(id)?;
        self.bytes -= waiting.record.jws().len();
        self.ready -= usize::from(waiting.stage == Stage::Ready);
        self.aside -= usize::from(waiting.stage == Stage::Set);
        self.let_go(waiting.position);
        self.disown(waiting.origin, waiting.record.jws().len());
        Some(waiting)
    }

    fn disown(&mut self, origin: Option<PeerId>, bytes: usize) {
        let Some(origin) = origin else { return };
        if let Some(share) = self.foreign.get_mut(&origin) {
            share.take(bytes);
            if share.records == 0 {
                self.foreign.remove(&origin);
            }
        }
    }

    fn let_go(&mut self, position: Option<u64>) {
        let Some(position) = position else { return };
        if let Some(count) = self.positions.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.positions.remove(&position);
            }
        }
    }

    /// Drops ids that linger, so that one record that waits long does not keep
    /// the ids of all that came after it.
    fn compact(&mut self) {
        let Self { order, by_id, .. } = self;
        while order.front().is_some_and(|id| !by_id.contains_key(id)) {
            order.pop_front();
        }
        if order.len() > 1024 + 2 * by_id.len() {
            order.retain(|id| by_id.contains_key(id));
        }
    }
}

/// The queue.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    arrived: Notify,
    records_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            arrived: Notify::new(),
            records_max,
            bytes_max,
        }
    }

    /// No thread leaves the state half changed, so a poisoned lock is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds records that this node has made durable at `position`; the receivers
    /// tell what becomes of them.
    pub fn push(
        &self,
        records: impl IntoIterator<Item = Record>,
        position: u64,
    ) -> Vec<watch::Receiver<Outcome>> {
        let mut state = self.state();
        // At once, so that they get into one block.
        let receivers = records
            .into_iter()
            .map(|record| Self::add(&mut state, record, None, Some(position)))
            .collect();
        drop(state);
        self.arrived.notify_one();
        receivers
    }

    /// Adds records that another node has accepted and keeps. False, and nothing
    /// is added, where that node has too many here: one node must not take the
    /// place of all others.
    pub fn push_foreign(&self, origin: PeerId, records: Vec<Record>) -> bool {
        let mut state = self.state();
        let mut share = state.foreign.get(&origin).copied().unwrap_or_default();
        records.iter().for_each(|record| share.add(record.jws().len()));
        if share.records > self.records_max / FOREIGN_PART
            || share.bytes > self.bytes_max / FOREIGN_PART
            || self.would_be_full(&state, &share)
        {
            return false;
        }
        for record in records {
            let _ = Self::add(&mut state, record, Some(origin), None);
        }
        drop(state);
        self.arrived.notify_one();
        true
    }

    fn add(
        state: &mut State,
        record: Record,
        origin: Option<PeerId>,
        position: Option<u64>,
    ) -> watch::Receiver<Outcome> {
        let id = record.id();
        if state.by_id.contains_key(&id) {
            return Self::take_over(state, &id, position);
        }
        let (outcome, receiver) = watch::channel(Outcome::Pending);
        let bytes = record.jws().len();
        state.bytes += bytes;
        state.ready += 1;
        state.order.push_back(id);
        if let Some(position) = position {
            *state.positions.entry(position).or_default() += 1;
        }
        if let Some(origin) = origin {
            state.foreign.entry(origin).or_default().add(bytes);
        }
        let since = Instant::now();
        let stage = Stage::Ready;
        state.by_id.insert(id, Waiting { record, origin, position, stage, since, outcome });
        receiver
    }

    /// A record that is here already; perhaps it came from another node first and
    /// was then accepted here, too.
    fn take_over(
        state: &mut State,
        id: &RecordId,
        position: Option<u64>,
    ) -> watch::Receiver<Outcome> {
        let Some(waiting) = state.by_id.get_mut(id) else {
            return watch::channel(Outcome::Pending).1;
        };
        let receiver = waiting.outcome.subscribe();
        if waiting.position.is_none()
            && let Some(position) = position
        {
            waiting.position = Some(position);
            let (origin, bytes) = (waiting.origin.take(), waiting.record.jws().len());
            *state.positions.entry(position).or_default() += 1;
            state.disown(origin, bytes);
        }
        receiver
    }

    /// Whether other nodes' records leave no room for more of them.
    fn would_be_full(&self, state: &State, more: &Share) -> bool {
        let foreign = state.foreign.values().fold(*more, |mut sum, share| {
            sum.records += share.records;
            sum.bytes += share.bytes;
            sum
        });
        foreign.records > self.records_max / 2 || foreign.bytes > self.bytes_max / 2
    }

    /// Lets go of other nodes' records that have waited for so long: the nodes
    /// that accepted them keep them.
    pub fn expire_foreign(&self, age: Duration) {
        let mut state = self.state();
        let old: Vec<_> = state
            .by_id
            .iter()
            .filter(|(_, waiting)| waiting.origin.is_some() && waiting.since.elapsed() > age)
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            state.remove(&id);
        }
        state.compact();
    }

    /// Lets a record into the next block that was set aside.
    pub fn ready(&self, id: &RecordId) {
        self.state().set_stage(id, Stage::Ready);
        self.arrived.notify_one();
    }

    /// Whether so many more would be too many.
    pub fn is_full(&self, records: usize, bytes: usize) -> bool {
        let state = self.state();
        state.by_id.len() + records > self.records_max || state.bytes + bytes > self.bytes_max
    }

    pub fn get(&self, id: &RecordId) -> Option<Record> {
        self.state().by_id.get(id).map(|waiting| waiting.record.clone())
    }

    /// Why a record was refused that this node had accepted, if it was lately.
    pub fn refusal(&self, id: &RecordId) -> Option<Refusal> {
        self.state().refused.by_id.get(id).cloned()
    }

    pub fn contains(&self, id: &RecordId) -> bool {
        self.state().by_id.contains_key(id)
    }

    /// Whether a record waits that this node keeps durably itself.
    pub fn keeps(&self, id: &RecordId) -> bool {
        self.state().by_id.get(id).is_some_and(|waiting| waiting.position.is_some())
    }

    /// What becomes of a record that waits and that this node keeps durably.
    pub fn subscribe_durable(&self, id: &RecordId) -> Option<watch::Receiver<Outcome>> {
        let state = self.state();
        let waiting = state.by_id.get(id).filter(|waiting| waiting.position.is_some())?;
        Some(waiting.outcome.subscribe())
    }

    /// Records that wait, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.by_id.len(), state.bytes)
    }

    /// Whether a record may go into the next block.
    pub fn is_ready(&self) -> bool {
        self.state().ready > 0
    }

    /// Resolves when a record arrives.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// The first records that may go into a block, as many as so many bytes hold.
    pub fn first(&self, bytes_max: usize) -> Vec<Record> {
        let state = self.state();
        let mut bytes = 0;
        state
            .order
            .iter()
            .filter_map(|id| state.by_id.get(id))
            .filter(|waiting| waiting.stage == Stage::Ready)
            .take_while(|waiting| {
                bytes += waiting.record.jws().len() + RECORD_OVERHEAD_BYTES;
                bytes <= bytes_max
            })
            .map(|waiting| waiting.record.clone())
            .collect()
    }

    /// Sets a record aside until the next block. Gives for how long it has waited.
    pub fn set_aside(&self, id: &RecordId) -> Option<Instant> {
        let mut state = self.state();
        state.set_stage(id, Stage::Set);
        state.by_id.get(id).map(|waiting| waiting.since)
    }

    /// Records that are set aside and have waited for so long, and since when.
    pub fn aside_for(&self, patience: Duration) -> Vec<(Record, Instant)> {
        let state = self.state();
        if state.aside == 0 {
            return Vec::new();
        }
        state
            .by_id
            .values()
            .filter(|waiting| waiting.stage == Stage::Set && waiting.since.elapsed() >= patience)
            .map(|waiting| (waiting.record.clone(), waiting.since))
            .collect()
    }

    /// Notes that these stand in a decided block, and that what was set aside is
    /// to be looked at again. Gives which of them wait here.
    pub fn decided(&self, ids: &[RecordId]) -> Vec<RecordId> {
        let mut state = self.state();
        let waiting: Vec<_> =
            ids.iter().filter(|id| state.by_id.contains_key(*id)).copied().collect();
        for id in &waiting {
            state.set_stage(id, Stage::Decided);
        }
        if state.aside == 0 {
            return waiting;
        }
        let is_aside =
            |id: &&RecordId| state.by_id.get(*id).is_some_and(|one| one.stage == Stage::Set);
        let aside: Vec<_> =
            state.order.iter().filter(is_aside).take(TRIED_AGAIN_MAX).copied().collect();
        for id in &aside {
            state.set_stage(id, Stage::Ready);
        }
        waiting
    }

    /// Where the durable queue must be kept from: none when nothing durable waits.
    pub fn first_position(&self) -> Option<u64> {
        self.state().positions.first_key_value().map(|(position, _)| *position)
    }

    /// Takes records out and tells whoever waits for them.
    pub fn settle(&self, outcomes: impl IntoIterator<Item = (RecordId, Outcome)>) {
        let mut state = self.state();
        for (id, outcome) in outcomes {
            if let Some(waiting) = state.remove(&id) {
                if let Outcome::Refused(refusal) = &outcome
                    && waiting.position.is_some()
                {
                    state.refused.add(id, refusal.clone());
                }
                waiting.outcome.send_replace(outcome);
            }
        }
        state.compact();
        drop(state);
        self.changed.notify_all();
    }

    /// Wakes whoever waits, to look whether the node is stopping.
    pub fn wake(&self) {
        self.changed.notify_all();
        self.arrived.notify_one();
    }

    /// Ids that are kept, those of records that have left included.
    #[cfg(test)]
    pub fn order_len(&self) -> usize {
        self.state().order.len()
    }

    pub fn wait_until_empty(&self, deadline: Instant, give_up: impl Fn() -> bool) {
        let mut state = self.state();
        while !state.by_id.is_empty() && !give_up() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
