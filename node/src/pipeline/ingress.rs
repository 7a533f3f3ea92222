//! Making records durable before anything is said about them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use quittance_api::submit::{Accepted, SubmitError};
use quittance_ledger::{
    chain,
    insurance::rules::BlockState,
    record::Record,
    refusal::{Code, Refusal},
    store::{Pending, StoreError},
};
use tokio::sync::{mpsc, oneshot};

use super::{Fatal, Shared, now_ms};

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

pub struct Ingress {
    shared: Arc<Shared>,
    pending: Pending,
    received: mpsc::Receiver<Submission>,
}

impl Ingress {
    pub fn new(
        shared: Arc<Shared>,
        pending: Pending,
        received: mpsc::Receiver<Submission>,
    ) -> Self {
        Self { shared, pending, received }
    }

    pub fn run(mut self) -> Result<(), Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Fatal::Thread("ingress", error.to_string()))?;
        while !self.shared.is_stopping() {
            let next = runtime
                .block_on(async { tokio::time::timeout(LOOK_UP, self.received.recv()).await });
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
    fn take(&self, group: Vec<Submission>) -> Result<(), Fatal> {
        let mut decided = Vec::with_capacity(group.len());
        let mut new = Vec::new();
        let mut places = HashMap::new();
        // As if they came into the next block: what decides is that block.
        let tip = self.shared.store.decided();
        let time_ms = chain::next_time_ms(&tip, now_ms());
        let mut block = BlockState::new(tip.height + 1, time_ms, &tip.members);
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
                .map(|record| self.decide(record, &mut block, &mut new, &mut places))
                .collect::<Result<Vec<_>, _>>()?;
            new_bytes += bytes;
            decided.push((decisions, answer));
        }
        let receivers: Vec<_> = if new.is_empty() {
            Vec::new()
        } else {
            let position = self.pending.append(&new)?;
            let ids: Vec<_> = new.iter().map(Record::id).collect();
            let receivers = self.shared.queue.push(new.iter().cloned(), position);
            self.shared.publish_records(&new);
            if self.shared.store.decided().height > self.shared.store.tip().height {
                for id in ids {
                    self.shared.settle_known(&id)?;
                }
            }
            receivers
        };
        for (decisions, answer) in decided {
            let accepted = decisions
                .into_iter()
                .filter_map(|decision| match decision {
                    Decision::Answer(accepted) => Some(accepted),
                    Decision::New(place) => receivers.get(place).cloned().map(Accepted::Pending),
                })
                .collect();
            // Whoever asked may have gone; the records are durable all the same.
            let _ = answer.send(Ok(accepted));
        }
        Ok(())
    }

    fn decide(
        &self,
        record: Record,
        block: &mut BlockState,
        new: &mut Vec<Record>,
        places: &mut HashMap<quittance_ledger::digest::RecordId, usize>,
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
        if let Err(refusal) = block.apply(&record)
            && !self.may_be_on_its_way(&refusal)
        {
            return Ok(Decision::Answer(Accepted::Refused(refusal)));
        }
        places.insert(id, new.len());
        new.push(record);
        Ok(Decision::New(new.len() - 1))
    }
}

impl Ingress {
    fn are_known(&self, records: &[Record]) -> Result<bool, StoreError> {
        for id in records.iter().map(Record::id) {
            if !self.shared.queue.contains(&id) && self.shared.store.find(&id)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether what a record names may still wait here or come from another node:
    /// then the record waits for it, too.
    fn may_be_on_its_way(&self, refusal: &Refusal) -> bool {
        let (waiting, _) = self.shared.queue.size();
        refusal.code == Code::UnknownReference
            && (waiting > 0 || self.shared.membership().validators().len() > 1)
    }
}

enum Decision {
    Answer(Accepted),
    /// The place among the group's new records.
    New(usize),
}

fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.jws().len()).sum()
}
