//! The queue and finality without a node around them.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use libp2p::PeerId;
use quittance_api::submit::Outcome;
use quittance_ledger::{
    chain::{self, Header, Tip},
    digest::Digest,
    insurance::{rules::BlockState, state::EmptyState},
    limits::BLOCK_BYTES_MAX,
    membership::{Membership, MembershipState},
    record::{Record, sign},
    store::{self, Location, Store},
};

use super::{
    QueueLimits, Shared, Signers,
    ahead::{self, Ahead},
    exchange::{Exchange, ExchangeInbox},
    finality::{Attestation, Finality},
    queue::Queue,
};
use crate::{
    gossip::{Inbox as _, RecordBatch, Verdict},
    json, setup,
};

pub(super) struct Bench {
    pub(super) root: tempfile::TempDir,
    pub(super) membership: Membership,
    keys: crate::keys::Keys,
}

impl Bench {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = setup::ensure(root.path()).unwrap();
        let (membership, keys) = (folder.membership().unwrap(), folder.keys().unwrap());
        Self { root, membership, keys }
    }

    pub(super) fn record(&self, number: u32) -> Record {
        self.record_of(&format!(
            r#"{{"type":"contract.quoted","occurred_at":"2026-01-02T09:00:00+01:00",
                "contract":"insurer/P-{number}","data":{{"quote":"Q-{number}"}}}}"#
        ))
    }

    /// Of a node that validates nothing and signs nothing.
    pub(super) fn signers(&self) -> Signers {
        Signers {
            member: "insurer".parse().unwrap(),
            network: SigningKey::from_bytes(&[7; 32]),
            validator: None,
            records: BTreeMap::new(),
        }
    }

    pub(super) fn record_of(&self, payload: &str) -> Record {
        let payload = json::object(payload).unwrap();
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
    assert_eq!(queue.first(BLOCK_BYTES_MAX).len(), 3);
    queue.decided(&[records[0].id(), records[2].id()]);
    let ready: Vec<_> = queue.first(BLOCK_BYTES_MAX).iter().map(Record::id).collect();
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
    assert_eq!(
        queue.first(BLOCK_BYTES_MAX).iter().map(Record::id).collect::<Vec<_>>(),
        [second.id()]
    );
    queue.set_aside(&second.id());
    assert!(!queue.is_ready(), "nothing keeps the engine awake");
    queue.decided(&[]);
    let ready: Vec<_> = queue.first(BLOCK_BYTES_MAX).iter().map(Record::id).collect();
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

/// A node's side of gossip, on a ledger without blocks.
fn exchange(bench: &Bench) -> (ExchangeInbox, Arc<Exchange>) {
    let path = bench.root.path().join("store");
    let options = store::Options::default();
    let store = Store::open(&path, bench.membership.clone(), options).unwrap();
    let (shared, _) =
        Shared::new(Arc::new(store), bench.signers(), QueueLimits::default()).unwrap();
    let exchange = Arc::new(Exchange::new(shared));
    (ExchangeInbox(exchange.clone()), exchange)
}

#[tokio::test]
async fn what_a_node_hands_on_depends_on_the_bytes_and_not_on_what_their_author_told_it() {
    let (bench, author) = (Bench::new(), PeerId::random());
    let (inbox, exchange) = exchange(&bench);
    let batch = |first: u64, records: Vec<Vec<u8>>| RecordBatch {
        epoch: 9,
        first,
        records: records.into_iter().map(Bytes::from).collect(),
    };
    let good = bench.record(1).jws().to_vec();
    let garbage = b"no record".to_vec();
    // The author says that it has nothing before its thousandth record.
    exchange.take(author, batch(1000, Vec::new()), true);
    for bad in [vec![garbage.clone()], vec![good.clone(), garbage]] {
        let verdict = inbox.records(author, batch(0, bad)).await;
        assert_eq!(verdict, Verdict::Reject, "whoever gets it next would blame this node");
    }
    assert_eq!(inbox.records(author, batch(0, vec![good.clone()])).await, Verdict::Accept);
    assert_eq!(exchange.waiting(), 0, "its turn is over");
    assert_eq!(inbox.records(author, batch(1000, vec![good.clone()])).await, Verdict::Accept);
    assert_eq!(inbox.records(author, batch(1000, vec![good])).await, Verdict::Accept, "again");
    assert_eq!(exchange.waiting(), 1);
}

fn attestation(validator: u8, size: u64) -> Attestation {
    Attestation {
        size,
        root: Digest::from_bytes([validator; 32]),
        validator: [validator; 32],
        log: [0; 64],
        cosigned_at_s: 1,
        cosignature: [0; 64],
    }
}

#[test]
fn a_validator_that_attests_whatever_it_likes_pushes_nobody_elses_attestations_out() {
    let mut finality = Finality::default();
    for size in 11..2000 {
        finality.add(attestation(1, size), 10);
    }
    assert!(finality.sizes().len() < 300, "{}", finality.sizes().len());
    for validator in 2..5 {
        assert!(finality.add(attestation(validator, 5000), 10));
        assert!(!finality.add(attestation(validator, 5000), 10), "it is known");
    }
    assert_eq!(finality.sizes().get(&5000), Some(&3));
    finality.forget_through(4999);
    assert_eq!(finality.sizes().into_iter().collect::<Vec<_>>(), [(5000, 3)]);
    assert!(!finality.add(attestation(1, 10), 10), "that is final");
}

/// A block as it arrives: nothing about its header is checked ahead of its turn.
fn arriving(tip: &Tip, height: u64, records: Vec<Vec<u8>>) -> Vec<u8> {
    let zero = Digest::from_bytes([0; 32]);
    let header = Header {
        ledger: tip.membership().ledger_id(),
        height,
        previous: zero,
        time_ms: 1,
        proposer: [0; 32],
        tree_size: 1,
        tree_root: zero,
        effects: zero,
        validators: zero,
    };
    chain::encode_block(&header, records).unwrap()
}

fn tip_at(bench: &Bench, height: u64) -> Tip {
    Tip { height, ..Tip::empty(MembershipState::from_genesis(bench.membership.genesis())) }
}

#[test]
fn a_block_verified_ahead_is_found_once_for_the_same_bytes_and_the_same_membership() {
    let (bench, ahead) = (Bench::new(), Ahead::default());
    let records: Vec<_> = (0..3).map(|number| bench.record(number).jws().to_vec()).collect();
    let (before, at) = (tip_at(&bench, 5), tip_at(&bench, 6));
    let block = arriving(&at, 7, records.clone());
    let found = |tip: &Tip, records: &[Vec<u8>]| ahead.take(tip, records).map(|found| found.len());
    ahead.verify(&block, &at);
    assert_eq!(found(&at, &records), None, "the host is at that block already");
    ahead.verify(&block, &before);
    assert_eq!(found(&before, &records), None, "it is of another height");
    assert_eq!(found(&at, &records), Some(3));
    assert_eq!(found(&at, &records), None, "it is held no longer");
    for others in [&records[..2], &[&records[1..], &records[..1]].concat()] {
        ahead.verify(&block, &before);
        assert_eq!(found(&at, others), None, "other records");
    }
    ahead.verify(&block, &before);
    ahead.verify(&arriving(&at, 8, records.clone()), &before);
    assert_eq!(found(&tip_at(&bench, 7), &records), Some(3));
    assert_eq!(ahead.bytes(), 0, "what was passed over is gone");
}

#[test]
fn what_was_verified_by_an_earlier_membership_is_verified_again() {
    let (bench, ahead) = (Bench::new(), Ahead::default());
    let records = vec![bench.record(1).jws().to_vec()];
    let before = tip_at(&bench, 5);
    ahead.verify(&arriving(&before, 7, records.clone()), &before);
    let proposal = bench.record_of(
        r#"{"type":"member.proposed","occurred_at":"2026-01-02T09:00:00+01:00",
            "data":{"change":"remove","member":"broker"}}"#,
    );
    let mut changed = tip_at(&bench, 6);
    let mut state =
        BlockState::without_rules(6, 1_800_000_000_000, 0, &changed.members, &EmptyState);
    state.apply(&proposal).unwrap();
    changed.members = state.into_members();
    assert!(changed.members.changed_height() > 0);
    assert!(ahead.take(&changed, &records).is_none());
}

#[test]
fn a_block_with_a_record_that_does_not_hold_is_never_taken_for_verified() {
    let (bench, ahead) = (Bench::new(), Ahead::default());
    let (good, other) = (bench.record(1).jws().to_vec(), Bench::new().record(2));
    let mut forged = good.clone();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let tip = tip_at(&bench, 1);
    let at = tip_at(&bench, 8);
    for bad in [forged, other.jws().to_vec(), b"no record".to_vec()] {
        let records = vec![good.clone(), bad];
        ahead.verify(&arriving(&tip, 9, records.clone()), &tip);
        assert!(ahead.take(&at, &records).is_none());
    }
    ahead.verify(b"no block", &tip);
    ahead.verify(&arriving(&tip, 9, vec![good.clone()]), &tip);
    assert!(ahead.take(&at, &[good]).is_some(), "what is bad does not end the thread's work");
}

#[test]
fn verifying_ahead_holds_bounded_memory_and_lets_go_of_what_nobody_takes() {
    let (bench, ahead) = (Bench::new(), Ahead::default());
    let tip = tip_at(&bench, 1);
    // The same records in every block: their order is checked later.
    let records: Vec<_> = (0..1000).map(|number| bench.record(number).jws().to_vec()).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    let blocks = ahead::BYTES_MAX / bytes;
    for height in 3..3 + blocks as u64 + 5 {
        ahead.verify(&arriving(&tip, height, records.clone()), &tip);
    }
    assert_eq!(ahead.bytes(), blocks * bytes);
    ahead.make_room();
    assert_eq!(ahead.bytes(), 0);
}
