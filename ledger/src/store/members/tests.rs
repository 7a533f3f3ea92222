//! A membership that changes: what a store makes of it when it is opened, and
//! what an audit says.

#![allow(clippy::unwrap_used, clippy::panic)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::{
    audit::{self, Defect},
    chain::{self, BlockError},
    digest::RecordId,
    insurance::state::EmptyState,
    membership::{KeyId, MemberId, Membership},
    refusal::Code,
    store::{Options, terms::RUN_RECORDS},
    testing::{Ledger, OPTIONS, START_MS, key},
};

const OCCURRED_AT: &str = "2026-01-01T00:00:00Z";

fn record(ledger: &Ledger, signer: &str, record_type: &str, data: &Value) -> Record {
    let payload = json!({"type": record_type, "occurred_at": OCCURRED_AT, "data": data});
    ledger.sign(signer, payload)
}

/// Proposes a change in one block and approves it in the next.
fn change(ledger: &Ledger, store: &Store, data: &Value) -> RecordId {
    let proposal = record(ledger, "broker", "member.proposed", data);
    let id = proposal.id();
    ledger.commit(store, vec![proposal]);
    ledger.commit(store, vec![approval(ledger, id)]);
    id
}

fn approval(ledger: &Ledger, proposal: RecordId) -> Record {
    record(ledger, "insurer", "member.approved", &json!({"proposal": proposal}))
}

fn key_added(member: &str, id: &str, seed: u8) -> Value {
    let public = STANDARD.encode(key(seed).verifying_key());
    json!({"change": "key_added", "member": member,
        "key": {"id": id, "alg": "Ed25519", "public": public}})
}

fn key_revoked(member: &str, id: &str) -> Value {
    json!({"change": "key_revoked", "member": member, "key_id": id})
}

/// The validator's keys become those of `after`.
fn rotation(after: &Ledger) -> Value {
    let consensus = STANDARD.encode(key(after.seed).verifying_key());
    let validator = json!({
        "consensus": consensus, "log": after.log.verifier_key().to_string(),
        "cosigner": after.cosigner.verifier_key().to_string(), "peer": "12D3KooW",
    });
    json!({"change": "validator_in", "member": "insurer", "validator": validator})
}

fn quote(ledger: &Ledger, key_id: &str, seed: u8) -> crate::record::Envelope {
    let payload = json!({
        "type": "contract.quoted", "occurred_at": OCCURRED_AT, "data": {"quote": "Q"},
    });
    ledger.sign_as("broker", key_id, seed, payload)
}

/// Opened again, and indexed again, the store knows what it knew.
fn is_the_same_again(ledger: &Ledger, store: Store, folder: &std::path::Path) -> Store {
    let members = store.decided().members.clone();
    store.scrub(|_| true).unwrap();
    store.close().unwrap();
    drop(store);
    let store = ledger.open(folder).unwrap();
    assert_eq!(store.decided().members, members);
    assert_eq!(store.tip().members, members);
    drop(store);
    let genesis = ledger.membership.clone();
    let store = Store::reindex(folder, genesis, OPTIONS, None, |_| None, |_, _| {}).unwrap();
    assert_eq!(store.decided().members, members);
    store
}

fn refused(outcome: Result<chain::Built, StoreError>) -> Vec<Code> {
    outcome.unwrap().refused.into_iter().map(|(_, refusal)| refusal.code).collect()
}

fn build(ledger: &Ledger, store: &Store, records: Vec<Record>) -> Result<chain::Built, StoreError> {
    let proposer = key(ledger.seed).verifying_key().to_bytes();
    chain::build(&store.decided(), &EmptyState, proposer, START_MS, records, |id| {
        store.contains(id)
    })
}

#[test]
fn a_key_signs_from_the_block_after_its_approval_to_the_one_that_revokes_it() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let new = || quote(&ledger, "2", 70);
    assert_eq!(new().verify(&store.membership()).unwrap_err().code, Code::UnknownKey);
    change(&ledger, &store, &key_added("broker", "2", 70));
    let waiting = new().verify(&store.membership()).unwrap();
    ledger.commit(&store, vec![waiting.clone()]);
    // One that was signed in time, but waits until the key is revoked.
    let late = quote(&ledger, "2", 70).verify(&store.membership()).unwrap();
    let revoked = change(&ledger, &store, &key_revoked("broker", "2"));
    assert_eq!(new().verify(&store.membership()).unwrap_err().code, Code::KeyNotValidThen);
    assert_eq!(refused(build(&ledger, &store, vec![late.clone()])), [Code::KeyNotValidThen]);
    // A proposer that puts it into a block all the same is found out.
    let mut block = ledger.block(&store, vec![ledger.quote(1)]);
    block.records = vec![late];
    let checked =
        chain::check(&store.decided(), &EmptyState, &block, |_| Ok::<_, BlockError>(false));
    let Err(BlockError::Record { refusal, .. }) = checked else { panic!("{checked:?}") };
    assert_eq!(refusal.code, Code::KeyNotValidThen);
    // It stays listed, with the blocks it was in force for.
    let height = store.find(&revoked).unwrap().unwrap().height + 1;
    let membership = store.membership();
    let (broker, key_id): (MemberId, KeyId) = ("broker".parse().unwrap(), "2".parse().unwrap());
    let listed = membership.past(&broker).unwrap().key(&key_id).unwrap();
    assert_eq!((listed.from_height, listed.to_height), (3, Some(height)));
    assert!(store.membership_at(height).signing_key(&broker, &key_id).is_ok());
    let store = is_the_same_again(&ledger, store, folder.path());
    let mut history = &store;
    let report = audit::audit(&mut history, &ledger.membership, None, None, |_| {}).unwrap();
    assert_eq!(report.signatures, 5);
}

#[test]
fn after_the_validator_changed_its_keys_old_receipts_hold_under_the_policy_of_their_time() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 2, 2);
    let after = ledger.with_keys_from(150);
    let proposal = change(&ledger, &store, &rotation(&after));
    let last_old = store.tip().height;
    assert_eq!(store.find(&proposal).unwrap().unwrap().height + 1, last_old);
    after.fill(&store, 4, 2, 2);
    let receipt = |index| store.receipt(index).unwrap().unwrap();
    let (old, new) = (ledger.membership.policy(), store.membership().policy());
    assert!(receipt(0).verify(&old).is_valid());
    assert!(!receipt(0).verify(&new).is_valid());
    assert!(receipt(6).verify(&new).is_valid());
    assert!(!receipt(6).verify(&old).is_valid());
    for index in 0..store.tip().frontier.size() {
        let policy = store.membership_of_size(index + 1).unwrap().policy();
        assert!(receipt(index).verify(&policy).is_valid(), "{index}");
    }
    assert_eq!(store.membership_at(last_old).policy().to_bytes(), old.to_bytes());
    assert_eq!(store.membership_at(last_old + 1).policy().to_bytes(), new.to_bytes());

    let audited = |policy| {
        let mut history = &store;
        audit::audit(&mut history, &ledger.membership, policy, None, |_| {})
    };
    for policy in [None, Some(&old), Some(&new)] {
        assert_eq!(audited(policy).unwrap().checkpoints, 6);
    }
    let stranger = Ledger::with_validator_seed("test.example/members", 200).membership.policy();
    let defect = audited(Some(&stranger)).unwrap_err();
    assert!(matches!(defect, Defect::CheckpointPolicy { size: 2, .. }), "{defect}");
    let kept = store.checkpoints(4, 1).unwrap().remove(0);
    let mut history = &store;
    let since = audit::audit(&mut history, &ledger.membership, None, Some(&kept), |_| {});
    assert_eq!(since.unwrap().signatures, 6);
    is_the_same_again(&after, store, folder.path());
}

#[test]
fn blocks_of_former_validators_are_defects() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let after = ledger.with_keys_from(150);
    change(&ledger, &store, &rotation(&after));
    let refused = build(&ledger, &store, vec![ledger.quote(1)]).unwrap_err();
    assert!(matches!(refused, StoreError::Block(BlockError::Header { field: "proposer", .. })));
    // Whoever has the old keys makes it nevertheless, and writes it to the disk.
    let mut block = after.block(&store, vec![ledger.quote(1)]);
    block.header.proposer = key(ledger.seed).verifying_key().to_bytes();
    let checked =
        chain::check(&store.decided(), &EmptyState, &block, |_| Ok::<_, BlockError>(false));
    assert!(matches!(checked, Err(BlockError::Header { field: "proposer", .. })), "{checked:?}");
    let appended = ledger.append(&store, block);
    let checkpoint = ledger.signed(appended.checkpoint());
    store.commit(appended, Some(&checkpoint)).unwrap();
    let mut history = &store;
    let defect = audit::audit(&mut history, &ledger.membership, None, None, |_| {}).unwrap_err();
    assert!(matches!(defect, Defect::Block(BlockError::Certificate { height: 3, .. })), "{defect}");
    drop(store);
    let genesis = ledger.membership.clone();
    let again = Store::reindex(folder.path(), genesis, OPTIONS, None, |_| None, |_, _| {});
    assert!(matches!(again, Err(StoreError::Block(BlockError::Certificate { height: 3, .. }))));
}

#[test]
fn a_block_under_way_that_the_new_validator_decided_is_brought_in_again() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let after = ledger.with_keys_from(150);
    change(&ledger, &store, &rotation(&after));
    let block = after.block(&store, vec![ledger.quote(1)]);
    drop(after.append(&store, block));
    drop(store);
    let store = ledger.open(folder.path()).unwrap();
    let (block, certificate) = store.unfinished().unwrap().clone();
    chain::check(&store.decided(), &EmptyState, &block, |id| store.contains(id)).unwrap();
    let appended = store.append(block, &certificate).unwrap();
    let checkpoint = after.signed(appended.checkpoint());
    store.commit(appended, Some(&checkpoint)).unwrap();
    is_the_same_again(&after, store, folder.path());
}

#[test]
fn changes_before_the_last_run_of_postings_are_found_again() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 64 << 20, ..OPTIONS };
    let store = Store::open(folder.path(), ledger.membership.clone(), options).unwrap();
    change(&ledger, &store, &key_added("broker", "2", 70));
    let open = record(&ledger, "provider", "member.proposed", &key_revoked("broker", "1"));
    ledger.commit(&store, vec![open.clone()]);
    ledger.fill(&store, 0, RUN_RECORDS / 1000 + 1, 1000);
    assert!(store.terms.indexed().unwrap() > 3);
    let store = is_the_same_again(&ledger, store, folder.path());
    assert_eq!(store.decided().members.open_proposals(0)[0].id, open.id());
    // Approved before and after a block that is not final yet.
    let decided = |records| {
        let appended = ledger.append(&store, ledger.block(&store, records));
        let checkpoint = ledger.signed(appended.checkpoint());
        store.commit(appended, None).unwrap();
        checkpoint
    };
    let checkpoint = decided(vec![ledger.quote(1_000_000)]);
    decided(vec![approval(&ledger, open.id())]);
    let broker = "broker".parse().unwrap();
    let keys = |membership: &Membership| membership.member(&broker).unwrap().keys.len();
    assert_eq!((keys(store.decided().membership()), keys(&store.membership())), (1, 2));
    store.publish(&checkpoint).unwrap();
    assert_eq!((keys(store.decided().membership()), keys(&store.membership())), (1, 2));
    assert_eq!(store.tip().members.open_proposals(0)[0].id, open.id());
}

#[test]
fn a_block_that_hides_a_change_is_refused_and_one_on_the_disk_is_damage() {
    let ledger = Ledger::new("test.example/members");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let data = key_added("broker", "2", 70);
    let proposal = record(&ledger, "broker", "member.proposed", &data);
    let mut block = ledger.block(&store, vec![proposal]);
    assert_ne!(block.header.effects, Effects::default().digest());
    block.header.effects = Effects::default().digest();
    let checked =
        chain::check(&store.decided(), &EmptyState, &block, |_| Ok::<_, BlockError>(false));
    assert!(matches!(checked, Err(BlockError::Header { field: "effects", .. })), "{checked:?}");
    block.header.effects = crate::digest::Digest::ZERO;
    let certificate = chain::Certificate::of_one(&block.header, &key(ledger.seed));
    assert!(store.append(block, &certificate).unwrap_err().is_damage());
}
