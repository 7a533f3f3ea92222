//! Making records durable before anything is said about them.
//!
//! A record that the rules refuse as things stand may have been sent just after
//! the one that would let it in, which waits for its block or comes from another
//! node. It is *held* ([`super::held`]): looked at again with each new block, for
//! a moment, and only then refused. Nothing is said about it until then, so
//! nothing that was acknowledged is taken back.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use quittance_api::submit::{Accepted, Outcome, SubmitError};
use quittance_ledger::{
    chain::{self, Tip},
    digest::RecordId,
    insurance::{Family, rules::Judge, state::ApplyError},
    record::Record,
    refusal::{Code, Refusal},
    store::{Pending, Store, StoreError},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Fatal, Shared,
    held::{Call, Decision, HOLD, HeldCalls},
    may_pass_soon, now_ms,
};

/// Records that came with one call, and who waits for the answer.
pub struct Submission {
    pub records: Vec<Record>,
    pub answer: oneshot::Sender<Result<Vec<Accepted>, SubmitError>>,
}

/// Bytes that are made durable together at most; what more has come waits for
/// the next flush.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often the thread looks whether the node is stopping.
const LOOK_UP: Duration = Duration::from_millis(200);

/// How often the thread looks for a new block while it holds records.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Records that are held at once; what more comes is refused at once.
const HELD_RECORDS_MAX: usize = 2000;

pub struct Ingress {
    shared: Arc<Shared>,
    pending: Pending,
    received: mpsc::Receiver<Submission>,
    held: HeldCalls,
    /// How many records that is, with those that are being decided on.
    holding: Cell<usize>,
}

impl Ingress {
    pub fn new(
        shared: Arc<Shared>,
        pending: Pending,
        received: mpsc::Receiver<Submission>,
    ) -> Self {
        let (held, holding) = (HeldCalls::default(), Cell::new(0));
        Self { shared, pending, received, held, holding }
    }

    pub fn run(mut self) -> Result<(), Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Fatal::Thread("ingress", error.to_string()))?;
        while !self.shared.is_stopping() {
            let pause = if self.held.is_empty() { LOOK_UP } else { LOOK_AGAIN };
            let next =
                runtime.block_on(async { tokio::time::timeout(pause, self.received.recv()).await });
            self.look_again()?;
            let Ok(Some(first)) = next else {
                self.forget()?;
                continue;
            };
            let mut bytes = bytes_of(&first.records);
            let mut group = vec![first];
            while bytes < GROUP_BYTES_MAX
                && let Ok(more) = self.received.try_recv()
            {
                bytes += bytes_of(&more.records);
                group.push(more);
            }
            self.take(group)?;
            self.forget()?;
        }
        self.received.close();
        Ok(())
    }

    /// Drops what has left the queue. Only this thread may: between making a
    /// record durable and putting it into the queue, nobody else knows of it.
    fn forget(&self) -> Result<(), StoreError> {
        self.pending.forget_before(self.shared.queue.first_position())
    }

    /// Decides on a group, flushes what is new once, then answers everybody.
    fn take(&mut self, group: Vec<Submission>) -> Result<(), Fatal> {
        let mut decided = Vec::with_capacity(group.len());
        let mut new = Vec::new();
        let mut places = HashMap::new();
        let shared = self.shared.clone();
        let tip = shared.store.decided();
        let mut block = next_block(&tip, &shared.store);
        let mut new_bytes = 0;
        let unlisted = self.shared.unlisted();
        for Submission { records, answer } in group {
            if let Some(why) = &unlisted
                && !self.are_known(&records)?
            {
                let _ = answer.send(Err(SubmitError::NotListed(why.clone())));
                continue;
            }
            let bytes = bytes_of(&records);
            if self.shared.queue.is_full(new.len() + records.len(), new_bytes + bytes) {
                let _ = answer.send(Err(SubmitError::Busy { retry_after_s: 1 }));
                continue;
            }
            let decisions = records
                .into_iter()
                .map(|record| self.decide(record, true, &mut block, &mut new, &mut places))
                .collect::<Result<Vec<_>, _>>()?;
            new_bytes += bytes;
            decided.push((decisions, answer));
        }
        let receivers = self.keep(&new)?;
        for (decisions, answer) in decided {
            let decisions: Vec<_> =
                decisions.into_iter().map(|decision| decision.kept(&receivers)).collect();
            self.answer(Call { decisions, answer, until: Instant::now() + HOLD }, tip.height);
        }
        Ok(())
    }

    /// Makes new records durable and puts them into the queue.
    fn keep(&self, new: &[Record]) -> Result<Vec<watch::Receiver<Outcome>>, Fatal> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let position = self.pending.append(new)?;
        let receivers = self.shared.queue.push(new.iter().cloned(), position);
        self.shared.publish_records(new);
        if self.shared.store.decided().height > self.shared.store.tip().height {
            for record in new {
                self.shared.settle_known(&record.id())?;
            }
        }
        Ok(receivers)
    }

    /// Answers a call of which nothing is held, and keeps any other one, which
    /// was decided on after the block of this height.
    fn answer(&mut self, call: Call, height: u64) {
        if call.held() > 0 {
            self.held.push(call, height);
            return;
        }
        let accepted = call
            .decisions
            .into_iter()
            .filter_map(|decision| match decision {
                Decision::Answer(accepted) => Some(accepted),
                Decision::New(_) | Decision::Hold(..) => None,
            })
            .collect();
        // Whoever asked may have gone; the records are durable all the same.
        let _ = call.answer.send(Ok(accepted));
    }

    /// Looks again at what is held, where a block has been decided since or its
    /// time is up. The rest is left alone: nothing has come that could let it in.
    fn look_again(&mut self) -> Result<(), Fatal> {
        if self.held.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let tip = shared.store.decided();
        let now = Instant::now();
        let due = self.held.take_due(tip.height, now);
        if due.is_empty() {
            return Ok(());
        }
        let mut block = next_block(&tip, &shared.store);
        let (mut new, mut places) = (Vec::new(), HashMap::new());
        let mut calls = Vec::with_capacity(due.len());
        // Those that stay held are counted again.
        let taken = due.iter().map(Call::held).sum();
        self.holding.set(self.holding.get().saturating_sub(taken));
        for Call { decisions, answer, until } in due {
            let may_wait = now < until;
            let decisions = decisions
                .into_iter()
                .map(|decision| match decision {
                    Decision::Hold(record) => {
                        self.decide(*record, may_wait, &mut block, &mut new, &mut places)
                    }
                    other => Ok(other),
                })
                .collect::<Result<Vec<_>, _>>()?;
            calls.push(Call { decisions, answer, until });
        }
        let receivers = self.keep(&new)?;
        // What stays held came before all that was left alone.
        let left_alone = self.held.take_all();
        for Call { decisions, answer, until } in calls {
            let decisions =
                decisions.into_iter().map(|decision| decision.kept(&receivers)).collect();
            self.answer(Call { decisions, answer, until }, tip.height);
        }
        self.held.append(left_alone);
        Ok(())
    }

    fn decide(
        &self,
        record: Record,
        may_wait: bool,
        block: &mut Judge<'_>,
        new: &mut Vec<Record>,
        places: &mut HashMap<RecordId, usize>,
    ) -> Result<Decision, StoreError> {
        let id = record.id();
        if let Some(place) = places.get(&id) {
            return Ok(Decision::New(*place));
        }
        // The queue first: a record leaves it only once the store shows it.
        if let Some(outcome) = self.shared.queue.subscribe_durable(&id) {
            return Ok(Decision::Answer(Accepted::Pending(outcome)));
        }
        if let Some(location) = self.shared.store.find(&id)? {
            return Ok(Decision::Answer(Accepted::Recorded(location)));
        }
        match block.apply(&record) {
            Ok(()) => {}
            Err(ApplyError::State(error)) => return Err(error.into()),
            Err(ApplyError::Refused(refusal)) if !self.may_pass_later(&refusal) => {
                return Ok(Decision::Answer(Accepted::Refused(refusal)));
            }
            // A change of the membership may wait for long for what it names.
            Err(ApplyError::Refused(refusal))
                if record.payload().record_type.family() == Family::Member
                    && refusal.code == Code::UnknownReference => {}
            Err(ApplyError::Refused(refusal)) => {
                let holding = self.holding.get();
                return Ok(if may_wait && holding < HELD_RECORDS_MAX {
                    self.holding.set(holding + 1);
                    Decision::Hold(Box::new(record))
                } else {
                    Decision::Answer(Accepted::Refused(refusal))
                });
            }
        }
        places.insert(id, new.len());
        new.push(record);
        Ok(Decision::New(new.len() - 1))
    }

    fn are_known(&self, records: &[Record]) -> Result<bool, StoreError> {
        for id in records.iter().map(Record::id) {
            if !self.shared.queue.contains(&id) && self.shared.store.find(&id)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether what would let a record in may wait here or come from another node.
    fn may_pass_later(&self, refusal: &Refusal) -> bool {
        let (waiting, _) = self.shared.queue.size();
        may_pass_soon(refusal.code)
            && (waiting > 0 || self.shared.membership().validators().len() > 1)
    }
}

/// As if records came into the next block: what decides is that block.
fn next_block<'a>(tip: &Tip, store: &'a Store) -> Judge<'a> {
    let (height, first) = (tip.height.saturating_add(1), tip.frontier.size());
    Judge::new(height, chain::next_time_ms(tip, now_ms()), first, &tip.members, store)
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.jws().len()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use quittance_ledger::store;

    use super::{
        super::{QueueLimits, tests::Bench},
        *,
    };

    type Answered = oneshot::Receiver<Result<Vec<Accepted>, SubmitError>>;

    fn ingress(bench: &Bench) -> Ingress {
        let path = bench.root.path().join("store");
        let store = Store::open(&path, bench.membership.clone(), store::Options::default());
        let (pending, _) = Pending::open(&path, &bench.membership, false).unwrap();
        let (shared, received) =
            Shared::new(Arc::new(store.unwrap()), bench.signers(), QueueLimits::default()).unwrap();
        Ingress::new(shared, pending, received)
    }

    fn submit(ingress: &mut Ingress, record: Record) -> Answered {
        let (answer, answered) = oneshot::channel();
        ingress.take(vec![Submission { records: vec![record], answer }]).unwrap();
        answered
    }

    #[test]
    fn a_held_record_whose_time_is_up_is_refused_and_those_behind_it_stay_held() {
        let bench = Bench::new();
        let mut ingress = ingress(&bench);
        // Something waits for a block, which may let in what comes behind it.
        let mut first = submit(&mut ingress, bench.record(1));
        assert!(matches!(first.try_recv().unwrap().unwrap()[..], [Accepted::Pending(_)]));
        let closed = |number: u32| {
            bench.record_of(&format!(
                r#"{{"type":"claim.closed","occurred_at":"2026-01-02T09:00:00+01:00",
                    "contract":"insurer/P-1","claim":"insurer/C-{number}",
                    "data":{{"paid":500,"currency":"EUR"}}}}"#
            ))
        };
        let records: Vec<_> = (0..3).map(closed).collect();
        let mut held: Vec<_> =
            records.iter().map(|record| submit(&mut ingress, record.clone())).collect();
        assert_eq!(ingress.holding.get(), 3);
        ingress.look_again().unwrap();
        assert!(held.iter_mut().all(|answered| answered.try_recv().is_err()));

        let now = Instant::now();
        for (number, mut call) in ingress.held.take_due(u64::MAX, now).into_iter().enumerate() {
            call.until = if number == 0 { now } else { now + HOLD };
            ingress.held.push(call, 0);
        }
        ingress.look_again().unwrap();
        let refused = held[0].try_recv().unwrap().unwrap();
        assert!(matches!(refused[..], [Accepted::Refused(_)]), "{refused:?}");
        assert!(held[1..].iter_mut().all(|answered| answered.try_recv().is_err()));
        assert_eq!(ingress.holding.get(), 2);
        let left = ingress.held.take_due(u64::MAX, now);
        let left: Vec<_> = left
            .iter()
            .flat_map(|call| &call.decisions)
            .map(|decision| match decision {
                Decision::Hold(record) => record.id(),
                Decision::Answer(_) | Decision::New(_) => panic!("it is held"),
            })
            .collect();
        assert_eq!(left, [records[1].id(), records[2].id()]);
    }
}
