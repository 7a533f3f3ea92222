//! Random histories: whatever is tried, what is taken can be true.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::insurance::{
    Amount, Data, Moment,
    settlement::{Outcome, PaymentStatus},
};

/// Something that somebody tries. Most is refused; numbers are few, so that
/// attempts meet each other.
#[derive(Debug, Clone)]
enum Attempt {
    Request {
        number: u8,
        amount: u64,
    },
    Answer {
        number: u8,
        guaranteed: u64,
        share: u64,
    },
    Release {
        number: u8,
    },
    Claim {
        claim: u8,
        number: Option<u8>,
        amount: u64,
    },
    Decide {
        claim: u8,
        approved: u64,
        refused: u64,
    },
    Dispute {
        claim: u8,
    },
    Offer {
        claim: u8,
        round: u64,
        amount: u64,
    },
    Notify {
        claim: u8,
        round: u64,
    },
    Answered {
        claim: u8,
        round: u64,
        accepted: bool,
    },
    Sign {
        claim: u8,
        round: u64,
    },
    Pay {
        claim: u8,
        amount: u64,
        status: u8,
        on_account: bool,
    },
    Close {
        claim: u8,
        paid: u64,
    },
    Amend {
        version: u64,
        ceiling: Option<u64>,
    },
    Renew {
        version: u64,
        year: i32,
    },
    /// Says the `back`th record before the last anew, with other amounts.
    Correct {
        back: usize,
        amount: u64,
    },
}

/// An attempt and how many seconds after the one before it; some are late.
fn attempts() -> impl Strategy<Value = Vec<(i64, Attempt)>> {
    let (number, claim) = (|| 0..5_u8, || 0..3_u8);
    let amount = || prop_oneof![0..40_u64, 0..400_u64];
    // Mostly the round that comes next or is open.
    let round = || prop_oneof![5 => Just(0_u64), 1 => 1..4_u64];
    let attempt = prop_oneof![
        3 => (number(), amount()).prop_map(|(number, amount)| Attempt::Request { number, amount }),
        6 => (number(), amount(), amount())
            .prop_map(|(number, guaranteed, share)| Attempt::Answer { number, guaranteed, share }),
        1 => number().prop_map(|number| Attempt::Release { number }),
        5 => (claim(), prop::option::of(number()), amount())
            .prop_map(|(claim, number, amount)| Attempt::Claim { claim, number, amount }),
        5 => (claim(), amount(), amount())
            .prop_map(|(claim, approved, refused)| Attempt::Decide { claim, approved, refused }),
        2 => claim().prop_map(|claim| Attempt::Dispute { claim }),
        2 => (claim(), round(), amount())
            .prop_map(|(claim, round, amount)| Attempt::Offer { claim, round, amount }),
        7 => (claim(), round()).prop_map(|(claim, round)| Attempt::Notify { claim, round }),
        4 => (claim(), round()).prop_map(|(claim, round)| Attempt::Sign { claim, round }),
        9 => (claim(), round(), any::<bool>())
            .prop_map(|(claim, round, accepted)| Attempt::Answered { claim, round, accepted }),
        8 => (claim(), amount(), 0..3_u8, any::<bool>()).prop_map(
            |(claim, amount, status, on_account)| Attempt::Pay { claim, amount, status, on_account }),
        1 => (claim(), amount()).prop_map(|(claim, paid)| Attempt::Close { claim, paid }),
        1 => (1..6_u64, prop::option::of(amount()))
            .prop_map(|(version, ceiling)| Attempt::Amend { version, ceiling }),
        1 => (1..6_u64, 2026..2028_i32).prop_map(|(version, year)| Attempt::Renew { version, year }),
        5 => (0..8_usize, amount()).prop_map(|(back, amount)| Attempt::Correct { back, amount }),
    ];
    let step = prop_oneof![6 => 0..20_000_i64, 2 => 0..90_000_i64, 1 => -40_000..0_i64];
    prop::collection::vec((step, attempt), 40..200)
}

/// The records of an attempt; what is wrong with them is for the rules to say.
fn records(world: &World, at: &str, attempt: &Attempt) -> Vec<(&'static str, Value)> {
    let claim_name = |claim: u8| format!("K-{claim}");
    let number_name = |number: u8| format!("P-{number}");
    let statuses = ["executed", "ordered", "returned"];
    let claim_of = |claim: u8| {
        let key = keys::claim(&format!("ins/K-{claim}").parse().unwrap());
        state::read(&world.state, &key).unwrap()
    };
    // Most attempts should fit what is there, or nothing deep would ever be tried.
    let fits = |amount: u64| !amount.is_multiple_of(5);
    let open_round = |claim: u8, round: u64| {
        let offer = claim_of(claim).and_then(|claim| claim.offer);
        if round == 0 { offer.map_or(1, |offer| offer.round.get()) } else { round }
    };
    let one = match attempt {
        Attempt::Request { number, amount } => {
            ("vet", requested(at, &number_name(*number), *amount))
        }
        Attempt::Answer { number, guaranteed, share } => {
            let key = keys::preauthorisation(
                &"ins/C".parse().unwrap(),
                &number_name(*number).parse().unwrap(),
            );
            let asked = state::read(&world.state, &key).unwrap();
            let total = asked.map_or(guaranteed + share, |asked| asked.total.minor_units());
            let guaranteed = (*guaranteed).min(total);
            let share = if fits(*share) { total - guaranteed } else { *share };
            ("ins", answered(at, &number_name(*number), guaranteed, share))
        }
        Attempt::Release { number } => {
            let data = json!({"preauthorisation": number_name(*number), "reason": "cancelled"});
            ("vet", record("preauthorisation.released", at, data))
        }
        Attempt::Claim { claim, number: Some(number), amount } => {
            ("vet", claimed(at, &claim_name(*claim), &number_name(*number), *amount))
        }
        Attempt::Claim { claim, number: None, amount } => {
            let mut record = opened(at, &claim_name(*claim), *amount);
            if amount % 2 == 0 {
                record = with(record, json!({"data": {"claimed": null, "currency": null}}));
            }
            ("broker", record)
        }
        Attempt::Decide { claim, approved, refused } => {
            let claimed = claim_of(*claim).and_then(|claim| claim.claimed);
            let claimed = claimed.map_or(approved + refused, |claimed| claimed.minor_units());
            let (approved, refused) = if fits(*refused) {
                (*(approved.min(&claimed)), claimed.saturating_sub(*approved))
            } else {
                (*approved, *refused)
            };
            ("ins", decided(at, &claim_name(*claim), approved, refused))
        }
        Attempt::Dispute { claim } => (
            "broker",
            of_claim("claim.disputed", at, &claim_name(*claim), json!({"between": ["ins"]})),
        ),
        Attempt::Offer { claim, round, amount } => {
            let last = claim_of(*claim).and_then(|claim| claim.offer);
            let next = last.map_or(1, |offer| offer.round.get() + 1);
            let round = if *round == 0 { next } else { *round };
            let data = json!({"round": round, "amount": amount, "currency": "EUR"});
            ("ins", of_claim("settlement.offered", at, &claim_name(*claim), data))
        }
        Attempt::Notify { claim, round } => {
            let round = open_round(*claim, *round);
            let data = json!({"round": round, "to": "policyholder"});
            ("broker", of_claim("settlement.notified", at, &claim_name(*claim), data))
        }
        Attempt::Sign { claim, round } => {
            let round = open_round(*claim, *round);
            let number = format!("S-{claim}-{round}");
            let target = json!({"settlement": format!("ins/K-{claim}"), "round": round});
            let asked = json!({"signature": number, "target": target, "signer": "policyholder",
                "method": "sms_otp", "expires": "2035-01-01T00:00:00Z"});
            let challenged = json!({"signature": number, "channel": "sms"});
            let completed = json!({"signature": number, "level": "SES"});
            return vec![
                ("broker", record("signature.requested", at, asked)),
                ("otp", record("signature.challenged", at, challenged)),
                ("otp", record("signature.completed", at, completed)),
            ];
        }
        Attempt::Answered { claim, round, accepted } => {
            let round = open_round(*claim, *round);
            let mut data = json!({"round": round, "answer": "objected"});
            if *accepted {
                data = json!({"round": round, "answer": "accepted",
                    "signature": format!("S-{claim}-{round}")});
            }
            ("broker", of_claim("settlement.answered", at, &claim_name(*claim), data))
        }
        Attempt::Pay { claim, amount, status, on_account } => {
            let there = claim_of(*claim).map_or(0, |claim| match status {
                2 => claim.paid().minor_units(),
                _ => {
                    let payable = claim.payable(*on_account).unwrap_or_default();
                    payable.minor_units().saturating_sub(claim.paid().minor_units())
                }
            });
            let amount = if fits(*amount) { there.min(*amount) } else { *amount };
            let more = json!({"data": {"status": statuses[usize::from(*status)],
                "on_account": on_account}});
            ("ins", with(paid(at, &claim_name(*claim), amount), more))
        }
        Attempt::Close { claim, paid } => {
            let there = claim_of(*claim).map_or(0, |claim| claim.paid().minor_units());
            let paid = if fits(*paid) { there } else { *paid };
            let data = json!({"paid": paid, "currency": "EUR"});
            ("ins", of_claim("claim.closed", at, &claim_name(*claim), data))
        }
        Attempt::Amend { version, ceiling } => {
            let mut data = json!({"version": version, "change": "x", "effective": "2025-06-01"});
            if let Some(ceiling) = ceiling {
                data = with(data, json!({"change": "ceiling", "to": ceiling, "currency": "EUR"}));
            }
            ("ins", record("contract.amended", at, data))
        }
        Attempt::Renew { version, year } => {
            let period =
                json!({"from": format!("{year}-03-01"), "to": format!("{}-02-28", year + 1)});
            ("ins", record("contract.renewed", at, json!({"version": version, "period": period})))
        }
        Attempt::Correct { back, amount } => {
            let Some(old) = world.records.iter().rev().nth(*back) else { return Vec::new() };
            let mut said: Value = serde_json::from_slice(old.payload_json()).unwrap();
            let object = said.as_object_mut().unwrap();
            object.remove("salt");
            object.insert("corrects".to_owned(), json!(old.id()));
            for (name, value) in said["data"].as_object_mut().unwrap() {
                let amounts = ["amount", "approved", "guaranteed", "claimed", "to", "paid"];
                if amounts.contains(&name.as_str()) && value.is_u64() {
                    *value = json!(amount);
                }
            }
            let signer = MEMBERS.iter().find(|(id, _)| *id == old.signer().as_str()).unwrap().0;
            return vec![(signer, said)];
        }
    };
    vec![one]
}

/// What must hold after every record; of what is spent and held at every moment from
/// one on.
fn check(world: &World, since: Moment) {
    let named = "ins/C".parse().unwrap();
    let contract = state::read(&world.state, &keys::contract(&named)).unwrap().unwrap();
    let mut counted = BTreeMap::new();
    for (key, value) in world.state.iter() {
        if key.first() != Some(&0x18) {
            continue;
        }
        let claim: entities::Claim = state::decode(value).unwrap();
        let paid = claim.paid().minor_units();
        let decision = claim.decision.as_ref();
        let approved = decision.filter(|decision| decision.outcome != Outcome::Refused);
        let approved = approved.map(|decision| decision.approved.minor_units());
        let accepted = claim.accepted().map(Amount::minor_units);
        // On account, up to some offer, whether a lower one followed or not.
        let offers = world.records.iter().filter_map(|record| match &record.payload().data {
            Data::SettlementOffered(data) => {
                let named = record.payload().claim.as_ref()?;
                (key[1..].strip_suffix(&[0]) == Some(named.as_str().as_bytes()))
                    .then_some(data.amount.minor_units())
            }
            _ => None,
        });
        let due = accepted.or(approved).unwrap_or_else(|| offers.max().unwrap_or(0));
        assert!(paid <= due, "paid {paid} > {due}: {claim:?}");
        *counted.entry(claim.period).or_insert(0) += claim.counted.minor_units();
    }
    for number in 1..=contract.period {
        let period = world.period("ins/C", number);
        let (spent, ceiling) = (period.spent.minor_units(), period.ceiling.unwrap().minor_units());
        assert_eq!(spent, counted.get(&number).copied().unwrap_or(0), "{period:?}");
        let all: i128 = period.spending.iter().map(|step| step.change).sum();
        assert_eq!(period.spent_before + all, i128::from(spent), "{period:?}");
        let begins = |hold: &entities::Hold| -> Moment {
            seconds_after(&hold.until.timestamp().to_string(), -86_400).parse().unwrap()
        };
        let used_at = |moment: Moment| -> i128 {
            let live = period.holds.iter().filter(|hold| begins(hold) <= moment);
            let live = live.filter(|hold| hold.until >= moment);
            let live = live.filter(|hold| hold.ended.is_none_or(|ended| ended > moment));
            let held: u64 = live.map(|hold| hold.amount.minor_units()).sum();
            let by_then = period.spending.iter().filter(|step| step.at <= moment);
            let spent: i128 = by_then.map(|step| step.change).sum();
            period.spent_before + spent + i128::from(held)
        };
        let moments = period.holds.iter().map(begins);
        let moments = moments.chain(period.spending.iter().map(|step| step.at));
        for moment in moments.filter(|moment| *moment >= since).chain([since]) {
            let used = used_at(moment);
            assert!(used <= i128::from(ceiling), "{used} at {moment} > {ceiling}: {period:?}");
        }
    }
}

/// Plays attempts; gives how many records were taken.
fn play(world: &mut World, attempts: &[(i64, Attempt)]) -> usize {
    let mut at = "2025-05-01T00:00:00Z".to_owned();
    // A ceiling that is lowered, where that is only flagged, is one from then on.
    let mut since: Moment = "1900-01-01T00:00:00Z".parse().unwrap();
    for (seconds, attempt) in attempts {
        at = seconds_after(&at, *seconds);
        for (signer, record) in records(world, &at, attempt) {
            if let Ok(record) = world.try_take(signer, record) {
                if let Data::ContractAmended(data) = &record.payload().data
                    && data.change.as_str() == "ceiling"
                {
                    since = since.max(record.payload().occurred_at.into());
                }
                check(world, since);
            }
        }
    }
    world.records.len()
}

/// The same again from the records taken, all in one block after the other of `size`.
fn replay(world: &World, size: usize) -> (MemoryState, Vec<crate::digest::Digest>) {
    let mut state = MemoryState::default();
    let mut effects = Vec::new();
    let mut index = 0;
    for (height, records) in (1..).zip(world.records.chunks(size)) {
        let mut block = BlockState::new(height, BLOCK_MS, index, &world.members, &state);
        for record in records {
            block.apply(record).unwrap();
        }
        effects.push(block.effects_digest());
        let changes = block.into_parts().1;
        state.apply(changes, records);
        index += records.len() as u64;
    }
    (state, effects)
}

fn bytes(state: &MemoryState) -> Vec<(&[u8], &[u8])> {
    state.iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_tried_money_and_versions_stay_true(attempts in attempts(), flags in any::<bool>()) {
        let mut world = if flags { World::flagging() } else { World::new() };
        world.take("ins", with(issued(), json!({"data": {"annual_ceiling": 500}})));
        play(&mut world, &attempts);

        // Versions without a gap, and one exit for each hold.
        let mut version = 0;
        let mut exits: BTreeMap<String, usize> = BTreeMap::new();
        for record in &world.records {
            let payload = record.payload();
            let made = match &payload.data {
                Data::ContractIssued(data) => Some(data.version.get()),
                Data::ContractAmended(data) => Some(data.version.get()),
                Data::ContractRenewed(data) => Some(data.version.get()),
                _ => None,
            };
            if let Some(made) = made {
                let expected = if payload.corrects.is_some() { version } else { version + 1 };
                prop_assert_eq!(made, expected);
                version = made;
            }
            let exit = match &payload.data {
                _ if payload.corrects.is_some() => None,
                Data::PreauthorisationReleased(data) => Some(&data.preauthorisation),
                Data::ClaimOpened(data) => data.preauthorisation.as_ref(),
                _ => None,
            };
            if let Some(number) = exit {
                *exits.entry(number.to_string()).or_default() += 1;
            }
        }
        prop_assert!(exits.values().all(|count| *count == 1), "{exits:?}");

        // What the claims hold is what the payments that stand add up to.
        let corrected: Vec<_> =
            world.records.iter().filter_map(|record| record.payload().corrects).collect();
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for record in world.records.iter().filter(|record| !corrected.contains(&record.id())) {
            if let Data::PaymentRecorded(data) = &record.payload().data {
                let claim = record.payload().claim.as_ref().unwrap();
                let sum = sums.entry(claim.to_string()).or_default();
                match data.status {
                    PaymentStatus::Executed => sum.0 += data.amount.minor_units(),
                    PaymentStatus::Returned => sum.1 += data.amount.minor_units(),
                    PaymentStatus::Ordered => {}
                }
            }
        }
        let (mut count, mut open) = (0_i64, 0);
        for (claim, sum) in &sums {
            let claim = world.claim(claim);
            let stands = claim.stands();
            prop_assert_eq!((stands.executed.minor_units(), stands.returned.minor_units()), *sum);
        }
        for record in world.records.iter().filter(|record| !corrected.contains(&record.id())) {
            match &record.payload().data {
                Data::PaymentRecorded(data) => count += match data.status {
                    PaymentStatus::Executed => 1,
                    PaymentStatus::Ordered => 0,
                    PaymentStatus::Returned => -1,
                },
                Data::ClaimOpened(_) => {
                    let claim = world.claim(record.payload().claim.as_ref().unwrap().as_str());
                    open += u64::from(claim.opener == "broker" && claim.is_open());
                }
                _ => {}
            }
        }
        // And a statement is the sum of the records that stand.
        let sum: u64 = sums.values().map(|(executed, returned)| executed - returned).sum();
        let statement = |to: &str, count: i64, sum: u64, open: u64| json!({
            "type": "statement.issued", "occurred_at": "2035-01-01T00:00:00Z", "data": {
                "to": to, "period": {"from": "2020-01-01", "to": "2035-01-01"}, "frequency": "once",
                "paid_count": count, "paid_sum": sum, "open_count": open, "currency": "EUR",
            }});
        let before = world.clone();
        world.take("ins", statement("broker", 0, 0, open));
        if count >= 0 {
            world.take("ins", statement("policyholder", count, sum, 0));
        }
        world = before;

        // Another node comes to the same bytes, block by block or in blocks of many.
        let (state, effects) = replay(&world, 1);
        prop_assert_eq!(&effects, &world.effects);
        prop_assert_eq!(bytes(&state), bytes(&world.state));
        let (state, _) = replay(&world, 7);
        prop_assert_eq!(bytes(&state), bytes(&world.state));
    }

    /// A block with records that are refused is the same block without them.
    #[test]
    fn refused_records_leave_no_trace(attempts in attempts()) {
        let mut world = World::new();
        world.take("ins", with(issued(), json!({"data": {"annual_ceiling": 500}})));
        let before = world.state.clone();
        let mut tried = Vec::new();
        let mut at = "2025-05-01T00:00:00Z".to_owned();
        for (seconds, attempt) in &attempts {
            at = seconds_after(&at, *seconds);
            for (signer, record) in records(&world, &at, attempt) {
                tried.push(world.sign(signer, record));
            }
        }
        let mut block = BlockState::new(2, BLOCK_MS, 1, &world.members, &before);
        let taken: Vec<_> =
            tried.iter().filter(|record| block.apply(record).is_ok()).cloned().collect();
        let mut same = BlockState::new(2, BLOCK_MS, 1, &world.members, &before);
        for record in &taken {
            same.apply(record).unwrap();
        }
        prop_assert_eq!(block.effects_digest(), same.effects_digest());
        prop_assert_eq!(block.into_parts().1, same.into_parts().1);
    }
}

/// The properties above would hold of a history in which everything is refused.
#[test]
fn random_histories_are_about_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..24 {
        let attempts = attempts().new_tree(&mut runner).unwrap().current();
        let mut world = World::flagging();
        world.take("ins", with(issued(), json!({"data": {"annual_ceiling": 500}})));
        play(&mut world, &attempts);
        for record in &world.records {
            *counts.entry(record.payload().record_type.as_str()).or_default() += 1;
            if record.payload().corrects.is_some() {
                *counts.entry("corrections").or_default() += 1;
            }
        }
    }
    for what in [
        "preauthorisation.answered",
        "claim.opened",
        "claim.decided",
        "payment.recorded",
        "settlement.answered",
        "contract.amended",
        "corrections",
    ] {
        assert!(counts.get(what).copied().unwrap_or(0) >= 5, "{what}: {counts:?}");
    }
}
