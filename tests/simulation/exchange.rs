//! Records between machines. A machine numbers what it accepts; the others take
//! it in that order only, hold what comes too early, and ask for what is missing
//! (node/src/pipeline/exchange.rs).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use quittance_ledger::{digest::RecordId, record::Record};

use crate::{
    clock::Moment,
    network::{Machine, Message},
    node::{Action, Halt, Works},
    plan::Sabotage,
};

/// How often each machine is asked whether something was missed.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What came from one machine.
#[derive(Debug, Default)]
struct Origin {
    epoch: u64,
    /// The number of the record that is taken next.
    next: u64,
    /// One more than the largest number that was heard of.
    end: u64,
    held: BTreeMap<u64, Vec<Record>>,
    asked: Option<Moment>,
}

/// Records on their way between machines.
#[derive(Debug, Default)]
pub struct Exchange {
    epoch: u64,
    next: u64,
    own: VecDeque<(u64, RecordId)>,
    origins: BTreeMap<Machine, Origin>,
}

impl Exchange {
    /// Numbers what an earlier run acknowledged, anew.
    pub fn begin(&mut self, epoch: u64, pending: &[Record]) {
        self.epoch = epoch;
        for record in pending {
            self.number(record.id());
        }
    }

    fn number(&mut self, id: RecordId) -> u64 {
        let number = self.next;
        self.next += 1;
        self.own.push_back((number, id));
        number
    }

    /// A machine that can be talked to again is asked at once.
    pub fn connect(&mut self, peer: Machine) {
        self.origins.entry(peer).or_default().asked = None;
    }
}

impl Works {
    /// Makes a record durable that somebody submits, and tells the others.
    pub fn accept(&mut self, record: &Record) -> Result<(), Halt> {
        let id = record.id();
        let is_pending = self.disk.pending.iter().any(|pending| pending.id() == id);
        if !is_pending && !self.disk.decided.contains(&id) {
            self.disk.pending.push(record.clone());
            self.step()?;
            if !self.host.waiting.iter().any(|waiting| waiting.id() == id) {
                self.host.waiting.push(record.clone());
            }
            let first = self.exchange.number(id);
            let records = vec![Bytes::copy_from_slice(record.jws())];
            let epoch = self.exchange.epoch;
            self.act(Action::Broadcast(Message::Records { epoch, first, records, answer: false }));
            self.step()?;
        }
        self.act(Action::Acknowledged(record.clone()));
        Ok(())
    }

    /// Records that another machine accepted.
    pub fn take_records(
        &mut self,
        from: Machine,
        epoch: u64,
        first: u64,
        records: Vec<Bytes>,
        answer: bool,
    ) -> Result<(), Halt> {
        let membership = self.disk.membership();
        let records: Result<Vec<_>, _> = records
            .into_iter()
            .map(|jws| match self.host.waiting.iter().find(|known| known.jws()[..] == jws[..]) {
                Some(known) => Ok(known.clone()),
                None => Record::open(jws.to_vec(), membership),
            })
            .collect();
        let records = records.map_err(|refusal| Halt::Failed(refusal.to_string()))?;
        let more = answer && !records.is_empty();
        let origin = self.exchange.origins.entry(from).or_default();
        if origin.epoch != epoch {
            *origin = Origin { epoch, asked: origin.asked, ..Origin::default() };
        }
        origin.end = origin.end.max(first + records.len() as u64);
        if answer && first > origin.next {
            // It has none before these any more.
            origin.next = first;
        }
        if self.sabotage == Some(Sabotage::TakeInAnyOrder) {
            origin.next = first;
        }
        origin.held.entry(first).or_insert(records);
        let mut taken = Vec::new();
        while let Some(entry) = origin.held.first_entry()
            && *entry.key() <= origin.next
        {
            let (first, records) = entry.remove_entry();
            let end = first + records.len() as u64;
            let known = usize::try_from(origin.next - first).unwrap();
            taken.extend(records.into_iter().skip(known));
            origin.next = origin.next.max(end);
        }
        if answer && !more {
            origin.end = origin.next;
        }
        let (epoch, first) = (origin.epoch, origin.next);
        for record in taken {
            let id = record.id();
            let is_waiting = self.host.waiting.iter().any(|waiting| waiting.id() == id);
            if !is_waiting && !self.disk.decided.contains(&id) {
                self.host.waiting.push(record);
            }
        }
        if more {
            self.act(Action::Send(from, Message::AskRecords { epoch, first }));
        }
        Ok(())
    }

    /// Answers whoever asks for records that this machine accepted.
    pub fn serve_records(&mut self, to: Machine, epoch: u64, first: u64) {
        let disk = &self.disk;
        let exchange = &mut self.exchange;
        while exchange.own.front().is_some_and(|(_, id)| disk.decided.contains(id)) {
            exchange.own.pop_front();
        }
        let from = if epoch == exchange.epoch { first } else { 0 };
        let mut batch = (exchange.next, Vec::new());
        for (number, id) in exchange.own.iter().filter(|(number, _)| *number >= from) {
            let Some(record) = disk.pending.iter().find(|record| record.id() == *id) else {
                // A run without gaps: the rest is asked for next.
                if batch.1.is_empty() { continue } else { break }
            };
            if batch.1.is_empty() {
                batch.0 = *number;
            }
            batch.1.push(Bytes::copy_from_slice(record.jws()));
        }
        let (first, records) = batch;
        let epoch = exchange.epoch;
        self.act(Action::Send(to, Message::Records { epoch, first, records, answer: true }));
    }

    /// Asks for what may have been missed.
    pub fn look_for_records(&mut self) {
        let now = self.now;
        let mut asks = Vec::new();
        for peer in self.host.peers.keys() {
            let origin = self.exchange.origins.entry(*peer).or_default();
            if origin.asked.is_none_or(|asked| asked + ASK_AGAIN < now) {
                origin.asked = Some(now);
                let (epoch, first) = (origin.epoch, origin.next);
                asks.push(Action::Send(*peer, Message::AskRecords { epoch, first }));
            }
        }
        asks.into_iter().for_each(|ask| self.act(ask));
    }
}
