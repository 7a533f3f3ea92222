//! Who may change a membership, when a change is in force, and that every
//! replay comes to the same.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use proptest::prelude::*;

use super::*;
use crate::{
    digest::{Digest, RecordId},
    limits::{OPEN_PROPOSALS_OF_MEMBER_MAX, PROPOSAL_AGE_MS_MAX},
    testing::key,
    transparency::{Cosigner, LogSigner},
};

const ORIGIN: &str = "members.example/quittance";

fn id(text: &str) -> MemberId {
    text.parse().unwrap()
}

fn record_key(name: &str, seed: u8) -> RecordKey {
    RecordKey { id: name.parse().unwrap(), public: key(seed).verifying_key().into() }
}

/// What `member` validates with: keys from `seed` on.
fn validator(member: &str, seed: u8) -> Validator {
    let origin: Origin = ORIGIN.parse().unwrap();
    let name = cosigner_name(&origin, &id(member));
    Validator {
        member: id(member),
        consensus: key(seed).verifying_key(),
        log: LogSigner::new(&origin, key(seed + 1)).unwrap().verifier_key().clone(),
        cosigner: Cosigner::new(name, key(seed + 2)).unwrap().verifier_key().clone(),
        peer: Some(format!("peer-{seed}")),
        engine_address: None,
        gossip_address: None,
    }
}

fn member(name: &str, seed: u8, validates: bool) -> Member {
    Member {
        id: id(name),
        name: name.to_owned(),
        role: Role::Broker,
        time_zone: None,
        keys: vec![record_key("1", seed)],
        validator: validates.then(|| validator(name, seed + 1)),
        observer: None,
    }
}

/// Four validators, a to d with keys from 10, 20, 30, 40; e and f only look on.
fn state() -> MembershipState {
    let members = [("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50), ("f", 60)]
        .map(|(name, seed)| member(name, seed, seed < 50));
    let genesis = Genesis::from_members(ORIGIN.parse().unwrap(), members.to_vec()).unwrap();
    MembershipState::from_genesis(&genesis)
}

fn record(number: u64) -> RecordId {
    RecordId::from_digest(Digest::of(&number.to_be_bytes()))
}

/// A ledger's membership with nothing else: each step is a block of its own.
struct Chain {
    state: MembershipState,
    height: u64,
    time_ms: u64,
    next: u64,
    steps: Vec<Vec<u8>>,
}

impl Chain {
    fn new() -> Self {
        Self { state: state(), height: 0, time_ms: 1_000, next: 0, steps: Vec::new() }
    }

    fn at(&mut self) -> At {
        self.height += 1;
        self.time_ms += 1;
        At { height: self.height, time_ms: self.time_ms }
    }

    fn propose(&mut self, proposer: &str, change: Change) -> Result<RecordId, Code> {
        let at = self.at();
        self.next += 1;
        let new = record(self.next);
        let mut note = |step: Step<'_>| self.steps.push(step.encode());
        let taken = self.state.propose(at, new, &id(proposer), change, &mut note);
        taken.map(|()| new).map_err(|refusal| refusal.code)
    }

    fn approve(&mut self, proposal: RecordId, approver: &str) -> Result<(), Code> {
        let at = self.at();
        let deciding = self.state.membership().clone();
        let mut note = |step: Step<'_>| self.steps.push(step.encode());
        self.state
            .approve(at, &deciding, proposal, &id(approver), &mut note)
            .map_err(|refusal| refusal.code)
    }

    /// Proposes and brings in force with three of the four first validators.
    fn change(&mut self, change: Change) {
        let proposal = self.propose("e", change).unwrap();
        for approver in ["a", "b", "c"] {
            self.approve(proposal, approver).unwrap();
        }
    }

    fn members(&self) -> &Membership {
        self.state.membership()
    }
}

fn added_key(member: &str, name: &str, seed: u8) -> Change {
    Change::KeyAdded { member: id(member), key: record_key(name, seed) }
}

fn revoked_key(member: &str, name: &str) -> Change {
    Change::KeyRevoked { member: id(member), key_id: name.parse().unwrap() }
}

fn add(member: Member) -> Change {
    Change::Add(Box::new(member))
}

fn validator_in(validator: Validator) -> Change {
    Change::ValidatorIn(Box::new(validator))
}

#[test]
fn a_change_is_in_force_after_more_than_two_thirds_and_not_before() {
    let mut chain = Chain::new();
    let proposal = chain.propose("f", add(member("g", 70, false))).unwrap();
    for approver in ["a", "d"] {
        chain.approve(proposal, approver).unwrap();
        assert!(chain.members().member(&id("g")).is_none());
    }
    chain.approve(proposal, "b").unwrap();
    let height = chain.height;
    assert_eq!(chain.members().member(&id("g")).unwrap().keys.len(), 1);
    assert_eq!(chain.members().from_height(), height + 1);
    assert!(chain.members().at(height).member(&id("g")).is_none());
    let (signer, key_id) = (id("g"), "1".parse().unwrap());
    let early = chain.members().at(height).signing_key(&signer, &key_id).unwrap_err();
    assert_eq!(early.code, Code::KeyNotValidThen);
    assert!(chain.members().signing_key(&signer, &key_id).is_ok());
    assert!(chain.state.open_proposals(chain.time_ms).is_empty());
}

#[test]
fn only_validators_members_approve_and_each_once() {
    let mut chain = Chain::new();
    let proposal = chain.propose("a", Change::Remove(id("f"))).unwrap();
    assert_eq!(chain.approve(proposal, "e"), Err(Code::NotAParty));
    // The proposer's approval is one like any other's.
    assert!(chain.state.open_proposals(0)[0].approvals.is_empty());
    chain.approve(proposal, "a").unwrap();
    assert_eq!(chain.approve(proposal, "a"), Err(Code::AlreadyApproved));
    assert_eq!(chain.approve(record(99), "a"), Err(Code::UnknownReference));
    for approver in ["b", "c"] {
        chain.approve(proposal, approver).unwrap();
    }
    assert_eq!(chain.approve(proposal, "d"), Err(Code::ProposalSettled));
}

#[test]
fn of_two_changes_of_one_member_the_first_approved_wins() {
    let mut chain = Chain::new();
    let first = chain.propose("a", added_key("f", "2", 80)).unwrap();
    let second = chain.propose("b", Change::Remove(id("f"))).unwrap();
    let other = chain.propose("b", Change::Remove(id("e"))).unwrap();
    for (proposal, approver) in [(first, "a"), (second, "a"), (second, "b"), (first, "b")] {
        chain.approve(proposal, approver).unwrap();
    }
    chain.approve(second, "d").unwrap();
    assert!(chain.members().member(&id("f")).is_none());
    assert_eq!(chain.approve(first, "d"), Err(Code::ProposalVoid));
    // What is about somebody else stays open.
    chain.approve(other, "a").unwrap();
}

#[test]
fn two_changes_may_come_in_force_with_one_block_but_not_about_one_member() {
    let mut chain = Chain::new();
    let one = chain.propose("a", Change::Remove(id("e"))).unwrap();
    let two = chain.propose("a", Change::Remove(id("f"))).unwrap();
    let three = chain.propose("a", added_key("f", "2", 80)).unwrap();
    for approver in ["a", "b"] {
        for proposal in [one, two, three] {
            chain.approve(proposal, approver).unwrap();
        }
    }
    let at = chain.at();
    let deciding = chain.members().clone();
    let mut approve = |proposal| {
        chain.state.approve(at, &deciding, proposal, &id("c"), &mut |_| {}).map_err(|no| no.code)
    };
    assert_eq!((approve(one), approve(two)), (Ok(()), Ok(())));
    assert_eq!(approve(three), Err(Code::ProposalVoid));
    assert_eq!(chain.members().members().count(), 4);
}

#[test]
fn keys_are_never_used_again_by_anybody_for_anything() {
    let mut chain = Chain::new();
    chain.change(added_key("f", "2", 80));
    chain.change(revoked_key("f", "2"));
    chain.change(Change::Remove(id("e")));
    // A record key in force, one of a member that left, one that was revoked,
    // a consensus, log and cosigner key.
    for seed in [10, 50, 80, 11, 12, 13] {
        let error = chain.propose("a", added_key("d", "9", seed));
        assert_eq!(error, Err(Code::ChangeImpossible), "{seed}");
        let error = chain.propose("a", add(member("g", seed, false)));
        assert_eq!(error, Err(Code::ChangeImpossible), "{seed}");
        if seed < 80 {
            let error = chain.propose("a", validator_in(validator("f", seed)));
            assert_eq!(error, Err(Code::ChangeImpossible), "{seed}");
        }
    }
    assert_eq!(chain.propose("a", added_key("f", "2", 90)), Err(Code::ChangeImpossible));
    assert_eq!(chain.propose("a", add(member("e", 90, false))), Err(Code::ChangeImpossible));
    assert!(chain.propose("a", added_key("f", "3", 90)).is_ok());
}

#[test]
fn a_key_of_es256_comes_goes_and_is_never_used_again() {
    let mut chain = Chain::new();
    let point = "A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF".parse().unwrap();
    let key = |member: &str, name: &str| Change::KeyAdded {
        member: id(member),
        key: RecordKey { id: name.parse().unwrap(), public: point },
    };
    chain.change(key("f", "2"));
    let of = |chain: &Chain| {
        let member = chain.members().member(&id("f")).unwrap();
        member.key(&"2".parse().unwrap()).map(|key| key.public)
    };
    assert_eq!(of(&chain), Some(point));
    assert_eq!(chain.propose("a", key("d", "9")), Err(Code::ChangeImpossible));
    chain.change(revoked_key("f", "2"));
    assert_eq!(of(&chain), None);
    assert_eq!(chain.propose("a", key("f", "3")), Err(Code::ChangeImpossible));
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let mut chain = Chain::new();
    let mut misnamed = validator("e", 80);
    misnamed.cosigner = validator("f", 90).cosigner;
    let mut weak = record_key("2", 1);
    let small_order = curve25519_small_order();
    weak.public = small_order.into();
    let twice =
        Member { keys: vec![record_key("1", 80), record_key("2", 80)], ..member("g", 1, false) };
    let silent = Member { keys: Vec::new(), ..member("g", 80, true) };
    let nowhere = Member { time_zone: Some("Europe/Nowhere".to_owned()), ..member("g", 80, false) };
    for change in [
        add(member("a", 80, false)),
        add(twice),
        add(silent),
        add(nowhere),
        Change::Remove(id("g")),
        added_key("g", "2", 80),
        added_key("a", "1", 80),
        Change::KeyAdded { member: id("e"), key: weak },
        revoked_key("a", "2"),
        // The last key of a validator.
        revoked_key("a", "1"),
        validator_in(misnamed),
        validator_in(validator("g", 80)),
        Change::ValidatorOut(id("e")),
    ] {
        assert_eq!(chain.propose("a", change.clone()), Err(Code::ChangeImpossible), "{change:?}");
    }
    chain.change(revoked_key("e", "1"));
    let mute = chain.propose("a", validator_in(validator("e", 80)));
    assert_eq!(mute, Err(Code::ChangeImpossible), "without a record key nobody can approve");
    assert!(chain.steps.iter().all(|step| (1..=4).contains(&step[0])));
}

/// The point of order 1, as a key: y = 1.
fn curve25519_small_order() -> VerifyingKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    VerifyingKey::from_bytes(&bytes).unwrap()
}

#[test]
fn the_last_validator_stays() {
    let mut chain = Chain::new();
    chain.change(Change::ValidatorOut(id("d")));
    let proposal = chain.propose("e", Change::Remove(id("c"))).unwrap();
    for approver in ["a", "b", "c"] {
        chain.approve(proposal, approver).unwrap();
    }
    let proposal = chain.propose("e", Change::ValidatorOut(id("b"))).unwrap();
    chain.approve(proposal, "a").unwrap();
    chain.approve(proposal, "b").unwrap();
    assert_eq!(chain.members().validators().len(), 1);
    for change in [Change::Remove(id("a")), Change::ValidatorOut(id("a"))] {
        assert_eq!(chain.propose("a", change), Err(Code::ChangeImpossible));
    }
    // Its node may follow on: its peer is known as an observer's.
    let observer = chain.members().member(&id("b")).unwrap().observer.as_ref();
    assert_eq!(observer.unwrap().peer, "peer-21");
}

#[test]
fn a_validator_changes_its_keys_and_the_old_ones_hold_for_their_time() {
    let mut chain = Chain::new();
    let before = chain.members().policy().to_bytes();
    chain.change(validator_in(validator("a", 80)));
    let height = chain.height;
    let of = |members: &Membership| {
        *members.validators().of_member(&id("a")).unwrap().consensus.as_bytes()
    };
    assert_eq!(of(chain.members()), key(80).verifying_key().to_bytes());
    assert_eq!(of(&chain.members().at(height)), key(11).verifying_key().to_bytes());
    assert_eq!(chain.members().at(height).policy().to_bytes(), before);
    assert_ne!(chain.members().policy().to_bytes(), before);
    assert_eq!(chain.members().validators().len(), 4);
    let history = chain.members().past(&id("a")).unwrap();
    let terms: Vec<_> =
        history.validators.iter().map(|keys| (keys.from_height, keys.to_height)).collect();
    assert_eq!(terms, [(1, Some(height)), (height + 1, None)]);
}

#[test]
fn the_last_allowed_proposal_is_taken_and_the_first_too_many_refused() {
    let mut chain = Chain::new();
    for number in 0..OPEN_PROPOSALS_OF_MEMBER_MAX {
        let name = format!("k{number}");
        chain.propose("f", added_key("f", &name, 80)).unwrap();
    }
    assert_eq!(chain.propose("f", Change::Remove(id("f"))), Err(Code::TooManyProposals));
    assert!(chain.propose("a", Change::Remove(id("f"))).is_ok());
    // One that comes in force closes all others about the same member.
    let own = chain.state.open_proposals(chain.time_ms)[0].id;
    for approver in ["a", "b", "c"] {
        chain.approve(own, approver).unwrap();
    }
    assert!(chain.state.open_proposals(chain.time_ms).is_empty());
    assert!(chain.propose("f", Change::Remove(id("f"))).is_ok());
}

#[test]
fn a_proposal_that_nobody_approves_lapses() {
    let mut chain = Chain::new();
    let proposal = chain.propose("f", Change::Remove(id("e"))).unwrap();
    let proposed_ms = chain.time_ms;
    chain.time_ms = proposed_ms + PROPOSAL_AGE_MS_MAX - 1;
    chain.approve(proposal, "a").unwrap();
    assert_eq!(chain.time_ms, proposed_ms + PROPOSAL_AGE_MS_MAX);
    assert_eq!(chain.approve(proposal, "b"), Err(Code::ProposalVoid));
    assert!(chain.state.open_proposals(chain.time_ms).is_empty());
    chain.propose("f", Change::Remove(id("e"))).unwrap();
    assert_eq!(chain.approve(proposal, "b"), Err(Code::ProposalVoid));
}

#[test]
fn approvals_of_those_who_no_longer_validate_do_not_count() {
    let mut chain = Chain::new();
    let proposal = chain.propose("e", Change::Remove(id("f"))).unwrap();
    chain.approve(proposal, "a").unwrap();
    chain.approve(proposal, "d").unwrap();
    chain.change(Change::ValidatorOut(id("d")));
    chain.approve(proposal, "b").unwrap();
    assert!(chain.members().member(&id("f")).is_some(), "a and b are not enough of a, b, c");
    chain.approve(proposal, "c").unwrap();
    assert!(chain.members().member(&id("f")).is_none());
}

#[test]
fn approvals_that_become_enough_when_others_leave_are_counted_when_one_is_repeated() {
    let mut chain = Chain::new();
    let proposal = chain.propose("e", Change::Remove(id("f"))).unwrap();
    chain.approve(proposal, "a").unwrap();
    chain.approve(proposal, "b").unwrap();
    chain.change(Change::ValidatorOut(id("d")));
    let out = chain.propose("e", Change::ValidatorOut(id("c"))).unwrap();
    assert_eq!(chain.approve(proposal, "a"), Err(Code::AlreadyApproved));
    for approver in ["a", "b", "c"] {
        chain.approve(out, approver).unwrap();
    }
    chain.approve(proposal, "a").unwrap();
    assert!(chain.members().member(&id("f")).is_none());
}

#[test]
fn whoever_is_removed_leaves_no_proposal_and_no_key_behind() {
    let mut chain = Chain::new();
    let orphan = chain.propose("f", Change::Remove(id("e"))).unwrap();
    chain.change(Change::Remove(id("f")));
    let height = chain.height;
    assert_eq!(chain.approve(orphan, "a"), Err(Code::ProposalVoid));
    let key_id = "1".parse().unwrap();
    let refusal = chain.members().signing_key(&id("f"), &key_id).unwrap_err();
    assert_eq!(refusal.code, Code::KeyNotValidThen);
    assert!(chain.members().at(height).signing_key(&id("f"), &key_id).is_ok());
    assert_eq!(chain.members().past(&id("f")).unwrap().to_height, Some(height));
    assert!(chain.members().signing_key(&id("nobody"), &key_id).is_err());
}

/// A change that may fit or not, and who proposes or approves.
#[derive(Debug, Clone)]
enum Move {
    Propose(&'static str, Box<Change>),
    Approve(usize, &'static str),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let names = prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "g", "h"]);
    let change = (names.clone(), 0..6_usize, 0..12_u8).prop_map(|(name, kind, number)| {
        let seed = 100 + number * 4;
        match kind {
            0 => add(member(name, seed, number % 2 == 0)),
            1 => Change::Remove(id(name)),
            2 => added_key(name, &format!("{number}"), seed),
            3 => revoked_key(name, &format!("{}", number % 3)),
            4 => validator_in(validator(name, seed)),
            _ => Change::ValidatorOut(id(name)),
        }
    });
    let propose =
        (names.clone(), change).prop_map(|(name, change)| Move::Propose(name, Box::new(change)));
    let approve = (0..8_usize, names).prop_map(|(back, name)| Move::Approve(back, name));
    prop::collection::vec(prop_oneof![1 => propose, 5 => approve], 1..150)
}

proptest! {
    #[test]
    fn every_replay_comes_to_the_same_and_refusals_change_nothing(moves in moves()) {
        let (mut chain, mut replay) = (Chain::new(), Chain::new());
        let mut proposals = Vec::new();
        let mut taken = 0;
        let mut versions = BTreeMap::from([(1, chain.members().clone())]);
        for made in moves {
            let before = chain.state.clone();
            let steps = chain.steps.len();
            let outcome = match &made {
                Move::Propose(proposer, change) => chain
                    .propose(proposer, Change::clone(change))
                    .map(|proposal| proposals.push(proposal)),
                Move::Approve(back, approver) => {
                    let place = proposals.len().checked_sub(back + 1);
                    match place.and_then(|place| proposals.get(place)) {
                        Some(proposal) => chain.approve(*proposal, approver),
                        None => Err(Code::UnknownReference),
                    }
                }
            };
            if outcome.is_err() {
                prop_assert_eq!(&chain.state, &before);
                prop_assert_eq!(chain.steps.len(), steps);
                continue;
            }
            taken += 1;
            // Only what was taken stands on the ledger.
            (replay.height, replay.time_ms, replay.next) =
                (chain.height - 1, chain.time_ms - 1, chain.next - u64::from(matches!(made, Move::Propose(..))));
            match made {
                Move::Propose(proposer, change) => { replay.propose(proposer, *change).unwrap(); }
                Move::Approve(back, approver) => {
                    replay.approve(proposals[proposals.len() - 1 - back], approver).unwrap();
                }
            }
            versions.insert(chain.members().from_height(), chain.members().clone());
        }
        prop_assert_eq!(&replay.state, &chain.state);
        prop_assert_eq!(&replay.steps, &chain.steps);
        prop_assert!(taken <= chain.height);
        // Whoever was on the ledger at some height is found again from the last version.
        for (from_height, version) in &versions {
            let again = chain.members().at(*from_height);
            let keys = |members: &Membership| {
                members.members().map(|member| (member.id.clone(), member.keys.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(keys(&again), keys(version));
            prop_assert_eq!(again.validators(), version.validators());
            prop_assert!(!version.validators().is_empty());
        }
        // No key is anybody's twice.
        let all: Vec<_> = chain.members().history().flat_map(MemberHistory::public_keys).collect();
        let different: std::collections::HashSet<_> = all.iter().collect();
        prop_assert_eq!(different.len(), all.len());
    }
}
