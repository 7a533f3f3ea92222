//! What this node gives to the other members' nodes and takes from them, besides
//! votes: records that wait, and validators' signatures of checkpoints.
//!
//! A node numbers the records that it accepts. Another node takes them in that
//! order only: what comes too early is held, within bounds, and what is missing
//! is asked for, so that whoever proposes a block keeps the order in which each
//! node accepted. A node answers for its own records until they are final; a
//! record from elsewhere is kept in memory only.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::PeerId;
use quittance_ledger::{
    chain,
    digest::{Digest, RecordId},
    insurance::{
        rules::BlockState,
        state::{ApplyError, EmptyState},
    },
    record::Record,
    refusal::{Code, Refusal},
    transparency::SignedCheckpoint,
};
use rayon::prelude::*;

use super::{Attested, Shared, finality::Attestation, queue::Queue};
use crate::gossip::{self, Gossip, Inbox, RecordBatch, Verdict, limits as bounds};

/// Bytes of records from one node that are held because earlier ones are missing.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a held batch takes besides its records' bytes, and each record.
const HELD_OVERHEAD_BYTES: usize = 64;

/// How often each connected node is asked whether something was missed.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long a checkpoint may lack cosignatures before a peer is asked for it.
const FINALITY_PATIENCE: Duration = Duration::from_millis(400);

/// How often it is looked whether there is something to ask for.
const LOOK_UP: Duration = Duration::from_millis(100);

/// The records that this node accepted, by number.
#[derive(Debug)]
pub struct Own {
    epoch: u64,
    next: u64,
    /// Those that may still wait.
    records: VecDeque<(u64, RecordId)>,
}

impl Own {
    /// Numbers from 0 in an epoch that no earlier start had.
    pub fn new() -> Self {
        use rand_core::RngCore as _;
        Self { epoch: rand_core::OsRng.next_u64(), next: 0, records: VecDeque::new() }
    }

    /// Numbers records; gives epoch and the first number.
    fn number(&mut self, ids: &[RecordId]) -> (u64, u64) {
        let first = self.next;
        self.next += ids.len() as u64;
        self.records.extend((first..).zip(ids.iter().copied()));
        (self.epoch, first)
    }

    /// Forgets records that have left the queue once they are many.
    fn compact(&mut self, queue: &Queue) {
        if self.records.len() > 4096 + 2 * queue.size().0 {
            self.records.retain(|(_, id)| queue.contains(id));
        }
    }
}

/// What came from one node.
#[derive(Debug, Default)]
struct Origin {
    epoch: u64,
    /// The number of the record that is taken next.
    next: u64,
    /// One more than the largest number that was heard of.
    end: u64,
    /// Not verified: only what is next is worth the work.
    held: BTreeMap<u64, Vec<Bytes>>,
    held_bytes: usize,
    asking: bool,
    asked: Option<Instant>,
    /// Held while records of this node are taken: one batch after the other, so
    /// that each finds those before it, and a node gets no more than one batch's
    /// share of the processors.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Origin {
    fn turn_to(&mut self, epoch: u64) {
        if self.epoch != epoch {
            let (asking, asked, turn) = (self.asking, self.asked, self.turn.clone());
            *self = Self { epoch, asking, asked, turn, ..Self::default() };
        }
    }

    fn hold(&mut self, first: u64, records: Vec<Bytes>) {
        let bytes = bytes_held(&records);
        if self.held_bytes.saturating_add(bytes) <= HELD_BYTES_MAX
            && !self.held.contains_key(&first)
        {
            self.held_bytes += bytes;
            self.held.insert(first, records);
        }
    }

    /// A held batch with the record that is next, or none after it.
    fn let_go(&mut self) -> Option<(u64, Vec<Bytes>)> {
        let entry = self.held.first_entry().filter(|entry| *entry.key() <= self.next)?;
        let (first, records) = entry.remove_entry();
        self.held_bytes = self.held_bytes.saturating_sub(bytes_held(&records));
        Some((first, records))
    }
}

/// Whether a record that is refused now is refused by every later block, too.
const fn is_final(code: Code) -> bool {
    // The time comes, and so may the record that it names.
    !matches!(code, Code::OccurredInFuture | Code::UnknownReference)
}

/// The number after the last of these records.
const fn end_of(first: u64, records: &[Bytes]) -> u64 {
    first.saturating_add(records.len() as u64)
}

fn bytes_held(records: &[Bytes]) -> usize {
    let each = records.iter().map(|jws| jws.len().saturating_add(HELD_OVERHEAD_BYTES));
    each.fold(HELD_OVERHEAD_BYTES, usize::saturating_add)
}

/// The record's bytes, without a copy.
fn bytes_to_send(record: &Record) -> Bytes {
    Bytes::from_owner(record.jws().clone())
}

/// The node's side of gossip.
pub struct Exchange {
    shared: Arc<Shared>,
    origins: Mutex<HashMap<PeerId, Origin>>,
}

impl Shared {
    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers records that an earlier run of this node accepted, before any that
    /// this run accepts: the others ask for them, and so keep that order too.
    pub fn number_waiting(&self, ids: &[RecordId]) {
        self.own().number(ids);
    }

    /// Tells the other nodes of records that this node has made durable.
    pub fn publish_records(&self, records: &[Record]) {
        let ids: Vec<_> = records.iter().map(Record::id).collect();
        let (epoch, mut first) = {
            let mut own = self.own();
            own.compact(&self.queue);
            own.number(&ids)
        };
        let Some(gossip) = self.gossip.get() else { return };
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest
                .iter()
                .take_while(|record| {
                    bytes += record.jws().len() + bounds::BATCH_RECORD_OVERHEAD_BYTES;
                    bytes <= bounds::BATCH_BYTES_MAX
                })
                .take(bounds::BATCH_RECORDS_MAX)
                .count()
                .max(1);
            let (now, later) = rest.split_at(fitting);
            let batch =
                RecordBatch { epoch, first, records: now.iter().map(bytes_to_send).collect() };
            // What is not sent now is asked for.
            if let Err(error) = gossip.publish_records(&batch) {
                tracing::debug!("records are not gossiped: {error}");
            }
            first += fitting as u64;
            rest = later;
        }
    }

    /// Tells the other nodes what this validator cosigned.
    pub fn publish_attestation(&self, attestation: &Attestation) {
        let Some(gossip) = self.gossip.get() else { return };
        let message = gossip::Attestation {
            size: attestation.size,
            root: *attestation.root.as_bytes(),
            validator: attestation.validator,
            log: attestation.log,
            cosigned_at_s: attestation.cosigned_at_s,
            cosignature: attestation.cosignature,
        };
        // Whoever misses it asks for the checkpoint.
        if let Err(error) = gossip.publish_attestation(&message) {
            tracing::debug!("an attestation is not gossiped: {error}");
        }
    }
}

/// What became of records from another node.
pub(super) enum Taken {
    /// They wait for a block, or are in one.
    Queued,
    /// Earlier ones are missing; they are held, where there is room.
    Early,
    /// The queue is full; they are asked for again.
    Full,
    /// Nobody could have accepted them.
    Invalid(String),
    /// Nobody could by this node's membership; it may be behind.
    Unknown,
}

impl Exchange {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, origins: Mutex::default() }
    }

    /// Records that wait here.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.queue.size().0
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<PeerId, Origin>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's turn to give records, for which others of its wait.
    fn turn(&self, peer: PeerId) -> Arc<tokio::sync::Mutex<()>> {
        self.origins().entry(peer).or_default().turn.clone()
    }

    /// Takes records of `peer` in its turn, where blocking is fine. `settled`
    /// says that the peer has none before them any more.
    async fn take_in_turn(
        self: Arc<Self>,
        peer: PeerId,
        batch: RecordBatch,
        settled: bool,
    ) -> Taken {
        let turn = self.turn(peer).lock_owned().await;
        let taken = tokio::task::spawn_blocking(move || {
            let taken = self.take(peer, batch, settled);
            drop(turn);
            taken
        });
        taken.await.unwrap_or(Taken::Full)
    }

    /// Takes records of `peer`, as far as those before them are here. Only one
    /// call for a peer may be under way.
    pub(super) fn take(&self, peer: PeerId, batch: RecordBatch, settled: bool) -> Taken {
        let RecordBatch { epoch, first, records } = batch;
        let mut next = {
            let mut origins = self.origins();
            let origin = origins.entry(peer).or_default();
            origin.turn_to(epoch);
            origin.end = origin.end.max(end_of(first, &records));
            if settled && first > origin.next {
                origin.next = first;
            }
            if first > origin.next {
                origin.hold(first, records);
                return Taken::Early;
            }
            origin.next
        };
        if let Err(refused) = self.push(peer, next, first, &records) {
            return refused;
        }
        next = next.max(end_of(first, &records));
        while let Some((first, records)) = self.go_on(peer, next) {
            match self.push(peer, next, first, &records) {
                Ok(()) => next = next.max(end_of(first, &records)),
                // It came with another message than the one that is looked at.
                Err(Taken::Invalid(reason)) => {
                    tracing::warn!(%peer, %reason, "gossip that nobody could have accepted");
                    break;
                }
                // It is asked for.
                Err(_) => break,
            }
        }
        Taken::Queued
    }

    /// Notes up to where the records of a peer are taken, and gives those that
    /// are held and follow.
    fn go_on(&self, peer: PeerId, next: u64) -> Option<(u64, Vec<Bytes>)> {
        let mut origins = self.origins();
        let origin = origins.entry(peer).or_default();
        origin.next = origin.next.max(next);
        origin.let_go()
    }

    /// Verifies the records that are neither waiting nor decided, and puts those
    /// from the number `next` on into the queue.
    ///
    /// Those before it are verified as well: the numbers that a node tells this
    /// one may not be those that it tells another. Were they taken on trust, this
    /// node would hand on what the next one refuses, and be blamed for it.
    fn push(&self, peer: PeerId, next: u64, first: u64, records: &[Bytes]) -> Result<(), Taken> {
        let known = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        let membership = self.shared.membership();
        // What is decided already needs no proposer, and what no block may hold any
        // more none either.
        let tip = self.shared.store.decided();
        let time_ms = chain::next_time_ms(&tip, 0);
        let opened: Result<Vec<Option<Record>>, Refusal> = records
            .par_iter()
            .enumerate()
            .map(|(place, jws)| {
                let id = RecordId::of(jws);
                if self.shared.queue.contains(&id)
                    || self.shared.store.is_decided(&id).unwrap_or(true)
                {
                    return Ok(None);
                }
                let record = Record::open(jws.to_vec(), &membership)?;
                if place < known {
                    return Ok(None);
                }
                // What the rules between records say, the next proposer asks.
                let mut state = BlockState::without_rules(
                    tip.height + 1,
                    time_ms,
                    0,
                    &tip.members,
                    &EmptyState,
                );
                let is_refused = matches!(
                    state.apply(&record),
                    Err(ApplyError::Refused(refusal)) if is_final(refusal.code)
                );
                Ok((!is_refused).then_some(record))
            })
            .collect();
        let new = opened.map_err(|refusal| match refusal.code {
            Code::UnknownMember | Code::UnknownKey | Code::KeyNotValidThen => Taken::Unknown,
            _ => Taken::Invalid(refusal.to_string()),
        })?;
        let new = new.into_iter().flatten().collect();
        if self.shared.queue.push_foreign(peer, new) { Ok(()) } else { Err(Taken::Full) }
    }

    /// Asks for what is missing, as long as something comes.
    async fn ask_records(self: Arc<Self>, gossip: Gossip, peer: PeerId) {
        loop {
            let (epoch, next) = {
                let mut origins = self.origins();
                let origin = origins.entry(peer).or_default();
                (origin.epoch, origin.next)
            };
            let Ok(batch) = gossip.request_records(peer, epoch, next).await else { break };
            let more = !batch.records.is_empty();
            let taken = self.clone().take_in_turn(peer, batch, true).await;
            if !matches!(taken, Taken::Queued) || !more {
                break;
            }
        }
        if let Some(origin) = self.origins().get_mut(&peer) {
            origin.asking = false;
            // What is still held waits for records that the peer no longer has.
            origin.end = origin.next;
        }
    }

    /// Asks a peer for final checkpoints that this node lacks.
    async fn ask_checkpoints(self: Arc<Self>, gossip: Gossip, peer: PeerId) {
        let after = self.shared.store.tip().frontier.size();
        let Ok(notes) = gossip.request_checkpoints(peer, after).await else { return };
        let signed: Vec<_> =
            notes.iter().filter_map(|note| SignedCheckpoint::parse(note).ok()).collect();
        self.shared.offer_checkpoints(signed);
    }

    /// Looks after what may have been missed, until the node stops.
    pub async fn run(self: Arc<Self>, gossip: Gossip) {
        let connected = gossip.peers();
        let mut behind_since: Option<Instant> = None;
        let mut turn = 0_usize;
        while !self.shared.is_stopping() {
            tokio::time::sleep(LOOK_UP).await;
            let peers: Vec<PeerId> = connected.borrow().clone();
            // What would not fit is not asked for.
            let has_room = !self.shared.queue.is_full(1, bounds::ANSWER_RECORDS_BYTES_MAX);
            for peer in &peers {
                let due = {
                    let mut origins = self.origins();
                    let origin = origins.entry(*peer).or_default();
                    let due = !origin.asking
                        && has_room
                        && (origin.next < origin.end
                            || origin.asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN));
                    if due {
                        origin.asking = true;
                        origin.asked = Some(Instant::now());
                    }
                    due
                };
                if due {
                    tokio::spawn(self.clone().ask_records(gossip.clone(), *peer));
                }
            }
            {
                let here: HashSet<_> = peers.iter().copied().collect();
                let listed: HashSet<_> =
                    self.shared.neighbours().iter().map(|neighbour| neighbour.peer).collect();
                let mut origins = self.origins();
                // What is held of a node that left is of no use; of one that only is
                // away, it is.
                origins.retain(|peer, origin| {
                    origin.asking || here.contains(peer) || listed.contains(peer)
                });
                // A node that is away tells where it stands when it comes back.
                for (peer, origin) in origins.iter_mut() {
                    if !here.contains(peer) {
                        origin.asked = None;
                    }
                }
            }
            if self.shared.store.decided().height == self.shared.store.tip().height {
                behind_since = None;
            } else if behind_since.get_or_insert_with(Instant::now).elapsed() > FINALITY_PATIENCE
                && let Some(peer) = peers.get(turn % peers.len().max(1)).copied()
            {
                turn = turn.wrapping_add(1);
                let before = self.shared.store.tip().height;
                self.clone().ask_checkpoints(gossip.clone(), peer).await;
                // While it helps, go on at once.
                if self.shared.store.tip().height == before {
                    behind_since = Some(Instant::now());
                }
            }
        }
    }
}

impl Inbox for ExchangeInbox {
    fn records(&self, origin: PeerId, batch: RecordBatch) -> BoxFuture<'static, Verdict> {
        let exchange = self.0.clone();
        Box::pin(async move {
            match exchange.take_in_turn(origin, batch, false).await {
                Taken::Queued => Verdict::Accept,
                // The others get them from their origin, as this node does.
                Taken::Early | Taken::Full | Taken::Unknown => Verdict::Ignore,
                Taken::Invalid(reason) => {
                    tracing::warn!(%origin, %reason, "gossip that nobody could have accepted");
                    Verdict::Reject
                }
            }
        })
    }

    fn attestation(
        &self,
        origin: PeerId,
        message: gossip::Attestation,
    ) -> BoxFuture<'static, Verdict> {
        let shared = self.0.shared.clone();
        Box::pin(async move {
            let attestation = Attestation {
                size: message.size,
                root: Digest::from_bytes(message.root),
                validator: message.validator,
                log: message.log,
                cosigned_at_s: message.cosigned_at_s,
                cosignature: message.cosignature,
            };
            match shared.add_attestation(attestation) {
                Ok(Attested::New) => Verdict::Accept,
                Ok(Attested::Known | Attested::Stranger) => Verdict::Ignore,
                Ok(Attested::Forged) => {
                    tracing::warn!(%origin, "an attestation whose signatures are not the validator's");
                    Verdict::Reject
                }
                Err(error) => {
                    shared.fail(error.into());
                    Verdict::Ignore
                }
            }
        })
    }

    fn own_records(&self, epoch: u64, first: u64, bytes_max: usize) -> RecordBatch {
        let shared = &self.0.shared;
        let mut own = shared.own();
        // What has left the queue is final, and everybody gets it as a block.
        while own.records.front().is_some_and(|(_, id)| !shared.queue.contains(id)) {
            own.records.pop_front();
        }
        let from = if epoch == own.epoch { first } else { 0 };
        let mut batch = RecordBatch { epoch: own.epoch, first: own.next, records: Vec::new() };
        let mut bytes = 0;
        let start = own.records.partition_point(|(number, _)| *number < from);
        for (number, id) in own.records.range(start..) {
            let Some(record) = shared.queue.get(id) else {
                // A run without gaps: the rest is asked for next.
                if batch.records.is_empty() { continue } else { break }
            };
            bytes += record.jws().len() + bounds::BATCH_RECORD_OVERHEAD_BYTES;
            if bytes > bytes_max {
                break;
            }
            if batch.records.is_empty() {
                batch.first = *number;
            }
            batch.records.push(bytes_to_send(&record));
        }
        batch
    }

    fn checkpoints(&self, after: u64, count_max: usize) -> Vec<Vec<u8>> {
        let store = &self.0.shared.store;
        match store.checkpoints(after.saturating_add(1), count_max) {
            Ok(signed) => signed.iter().map(SignedCheckpoint::to_bytes).collect(),
            Err(error) => {
                self.0.shared.fail(error.into());
                Vec::new()
            }
        }
    }

    fn connected(&self, peer: PeerId) {
        if let Some(origin) = self.0.origins().get_mut(&peer) {
            origin.asked = None;
        }
    }

    /// What came from it stays; it is asked again when it is back.
    fn disconnected(&self, _peer: PeerId) {}
}

/// What gossip talks to.
pub struct ExchangeInbox(pub Arc<Exchange>);
