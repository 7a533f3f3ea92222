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
    insurance::rules::BlockState,
    record::Record,
    refusal::Code,
    transparency::SignedCheckpoint,
};
use rayon::prelude::*;

use super::{Attested, Shared, finality::Attestation, queue::Queue};
use crate::gossip::{self, Gossip, Inbox, RecordBatch, Verdict, limits as bounds};

/// Bytes of records from one node that are held because earlier ones are missing.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

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
    held: BTreeMap<u64, Vec<Record>>,
    held_bytes: usize,
    asking: bool,
    asked: Option<Instant>,
}

impl Origin {
    fn turn_to(&mut self, epoch: u64) {
        if self.epoch != epoch {
            *self = Self { epoch, asking: self.asking, asked: self.asked, ..Self::default() };
        }
    }

    fn hold(&mut self, first: u64, records: Vec<Record>) {
        let bytes = bytes_of(&records);
        if self.held_bytes + bytes <= HELD_BYTES_MAX && !self.held.contains_key(&first) {
            self.held_bytes += bytes;
            self.held.insert(first, records);
        }
    }
}

/// Whether a record that is refused now is refused by every later block, too.
const fn is_final(code: Code) -> bool {
    // The time comes, and so may the record that it names.
    !matches!(code, Code::OccurredInFuture | Code::UnknownReference)
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.jws().len()).sum()
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

/// What was found of records from another node.
enum Opened {
    Records(Vec<Record>),
    /// Nobody could have accepted them.
    Invalid(String),
    /// Not by this node's membership; it may be behind.
    Unknown,
}

impl Exchange {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, origins: Mutex::default() }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<PeerId, Origin>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies records that are not known; to be called where blocking is fine.
    fn open(&self, records: &[Bytes]) -> Opened {
        let membership = self.shared.membership();
        let opened: Result<Vec<Record>, quittance_ledger::refusal::Refusal> = records
            .par_iter()
            .map(|jws| {
                let id = RecordId::of(jws);
                self.shared
                    .queue
                    .get(&id)
                    .map_or_else(|| Record::open(jws.to_vec(), &membership), Ok)
            })
            .collect();
        match opened {
            Ok(records) => Opened::Records(records),
            Err(refusal) => match refusal.code {
                Code::UnknownMember | Code::UnknownKey | Code::KeyNotValidThen => Opened::Unknown,
                _ => Opened::Invalid(refusal.to_string()),
            },
        }
    }

    /// Takes verified records of `peer`, as far as those before them are here.
    /// `settled` says that the peer has none before them any more.
    fn take(
        &self,
        peer: PeerId,
        epoch: u64,
        first: u64,
        records: Vec<Record>,
        settled: bool,
    ) -> bool {
        let mut origins = self.origins();
        let origin = origins.entry(peer).or_default();
        origin.turn_to(epoch);
        let end = first + records.len() as u64;
        origin.end = origin.end.max(end);
        if settled && first > origin.next {
            origin.next = first;
        }
        if first > origin.next {
            origin.hold(first, records);
            return true;
        }
        if !self.push(peer, origin, first, records) {
            return false;
        }
        while let Some(entry) = origin.held.first_entry()
            && *entry.key() <= origin.next
        {
            let (first, records) = entry.remove_entry();
            origin.held_bytes -= bytes_of(&records);
            if !self.push(peer, origin, first, records) {
                return false;
            }
        }
        true
    }

    /// Puts records into the queue, all of which but the already known ones are
    /// the next of their origin. False where the queue is full: they are asked
    /// for again.
    fn push(&self, peer: PeerId, origin: &mut Origin, first: u64, records: Vec<Record>) -> bool {
        let end = first + records.len() as u64;
        let known = usize::try_from(origin.next.saturating_sub(first)).unwrap_or(usize::MAX);
        let new: Vec<Record> = records.into_iter().skip(known).collect();
        // What is decided already needs no proposer, and what no block may hold any
        // more none either.
        let tip = self.shared.store.decided();
        let time_ms = chain::next_time_ms(&tip, 0);
        let new = new
            .into_iter()
            .filter(|record| !self.shared.store.is_decided(&record.id()).unwrap_or(true))
            .filter(|record| {
                let mut state = BlockState::new(tip.height + 1, time_ms, &tip.members);
                !state.apply(record).is_err_and(|refusal| is_final(refusal.code))
            })
            .collect();
        if !self.shared.queue.push_foreign(peer, new) {
            return false;
        }
        origin.next = origin.next.max(end);
        true
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
            let exchange = self.clone();
            let taken = tokio::task::spawn_blocking(move || {
                let Opened::Records(records) = exchange.open(&batch.records) else { return false };
                exchange.take(peer, batch.epoch, batch.first, records, true)
            });
            if !taken.await.unwrap_or(false) || !more {
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
                // A node that is away tells where it stands when it comes back.
                let here: HashSet<_> = peers.iter().collect();
                let mut origins = self.origins();
                for (peer, origin) in origins.iter_mut() {
                    if !here.contains(peer) {
                        origin.asked = None;
                    }
                }
            }
            if self.shared.store.decided().height == self.shared.store.tip().height {
                behind_since = None;
            } else if behind_since.get_or_insert_with(Instant::now).elapsed() > FINALITY_PATIENCE
                && !peers.is_empty()
            {
                turn = turn.wrapping_add(1);
                let peer = peers[turn % peers.len()];
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
            let taken = tokio::task::spawn_blocking(move || match exchange.open(&batch.records) {
                Opened::Records(records) => {
                    if exchange.take(origin, batch.epoch, batch.first, records, false) {
                        Verdict::Accept
                    } else {
                        Verdict::Ignore
                    }
                }
                Opened::Unknown => Verdict::Ignore,
                Opened::Invalid(reason) => {
                    tracing::warn!(%origin, %reason, "gossip that nobody could have accepted");
                    Verdict::Reject
                }
            });
            taken.await.unwrap_or(Verdict::Ignore)
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
