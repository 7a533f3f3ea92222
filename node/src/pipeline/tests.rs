//! The queue and finality without a node around them.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use libp2p::PeerId;
use quittance_api::submit::Outcome;
use quittance_ledger::{
    membership::Membership,
    record::{Record, sign},
    store::Location,
};

use super::queue::Queue;
use crate::{json, setup};

struct Bench {
    _root: tempfile::TempDir,
    membership: Membership,
    keys: crate::keys::Keys,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let (membership, keys) = (folder.membership().unwrap(), folder.keys().unwrap());
        Self { _root: root, membership, keys }
    }

    fn record(&self, number: u32) -> Record {
        let payload = json::object(&format!(
            r#"{{"type":"contract.quoted","occurred_at":"2026-01-02T09:00:00+01:00",
                "contract":"insurer/P-{number}","data":{{"quote":"Q-{number}"}}}}"#
        ))
        .unwrap();
        let member = "insurer".parse().unwrap();
        let (id, key) = &self.keys.record[&member];
        let signed = sign(payload, self.membership.origin(), &member, id, key).unwrap();
        Record::open(signed.jws().clone(), &self.membership).unwrap()
    }
}

fn at(index: u64) -> Outcome {
    Outcome::Final(Location { index, height: 1 })
}

#[test]
fn records_leave_the_queue_only_once_they_are_final() {
    let bench = Bench::new();
    let queue = Queue::new(10, 1 << 20);
    let records: Vec<_> = (0..3).map(|number| bench.record(number)).collect();
    let receivers = queue.push(records.clone(), 7);
    assert_eq!(queue.first().len(), 3);
    queue.decided(&[records[0].id(), records[2].id()]);
    let ready: Vec<_> = queue.first().iter().map(Record::id).collect();
    assert_eq!(ready, [records[1].id()], "what is decided is not proposed again");
    assert!(queue.get(&records[0].id()).is_some(), "it can still be looked up");
    assert_eq!(queue.first_position(), Some(7));
    queue.settle([(records[0].id(), at(0))]);
    assert_eq!(*receivers[0].borrow(), at(0));
    assert_eq!(queue.first_position(), Some(7), "two of its batch still wait");
    queue.settle([(records[1].id(), at(1)), (records[2].id(), at(2))]);
    assert_eq!((queue.size(), queue.first_position()), ((0, 0), None));
}

#[test]
fn a_record_from_elsewhere_is_no_acknowledgement_until_it_is_durable_here() {
    let bench = Bench::new();
    let queue = Queue::new(10, 1 << 20);
    let record = bench.record(1);
    assert!(queue.push_foreign(PeerId::random(), vec![record.clone()]));
    assert!(queue.subscribe_durable(&record.id()).is_none());
    assert_eq!(queue.first_position(), None);
    let own = queue.push([record.clone()], 3);
    assert!(queue.subscribe_durable(&record.id()).is_some());
    assert_eq!((queue.size().0, queue.first_position()), (1, Some(3)));
    queue.settle([(record.id(), at(0))]);
    assert_eq!(*own[0].borrow(), at(0));
}

#[test]
fn what_is_set_aside_is_looked_at_again_with_the_next_block() {
    let bench = Bench::new();
    let queue = Queue::new(10, 1 << 20);
    let (first, second) = (bench.record(1), bench.record(2));
    queue.push([first.clone(), second.clone()], 0);
    queue.set_aside(&first.id());
    assert_eq!(queue.first().iter().map(Record::id).collect::<Vec<_>>(), [second.id()]);
    queue.set_aside(&second.id());
    assert!(!queue.is_ready(), "nothing keeps the engine awake");
    queue.decided(&[]);
    let ready: Vec<_> = queue.first().iter().map(Record::id).collect();
    assert_eq!(ready, [first.id(), second.id()], "in the order of acceptance");
}

#[test]
fn a_record_that_waits_long_does_not_keep_what_came_after_it() {
    let bench = Bench::new();
    let queue = Queue::new(10_000, 1 << 30);
    let stuck = bench.record(0);
    queue.push([stuck.clone()], 0);
    queue.set_aside(&stuck.id());
    let passing = bench.record(1);
    for position in 1..5_000 {
        queue.push([passing.clone()], position);
        queue.settle([(passing.id(), at(position))]);
    }
    assert!(queue.order_len() < 2_000, "{}", queue.order_len());
    assert_eq!((queue.size().0, queue.first_position()), (1, Some(0)));
}

#[test]
fn one_node_cannot_take_the_place_of_all_others() {
    let bench = Bench::new();
    let queue = Queue::new(80, 1 << 20);
    let flooder = PeerId::random();
    let records: Vec<_> = (0..30).map(|number| bench.record(number)).collect();
    assert!(!queue.push_foreign(flooder, records[..11].to_vec()), "more than an eighth");
    assert!(queue.push_foreign(flooder, records[..10].to_vec()));
    assert!(!queue.push_foreign(flooder, records[10..11].to_vec()));
    assert!(queue.push_foreign(PeerId::random(), records[10..20].to_vec()));
    assert!(!queue.is_full(60, 0), "the rest is free for what this node accepts");
    // Accepted here as well, they are the flooder's no longer.
    queue.push(records[..5].to_vec(), 0);
    assert!(queue.push_foreign(flooder, records[20..25].to_vec()));
    queue.expire_foreign(Duration::ZERO);
    assert_eq!(queue.size().0, 5, "what this node keeps durably stays");
}
