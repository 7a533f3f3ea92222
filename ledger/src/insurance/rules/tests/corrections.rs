//! Corrections: the state is as if the corrected record had said what the newer
//! says, as far as nothing was built on it.

use super::*;

const AT: &str = "2025-05-06T09:00:00+02:00";

/// `record` as a correction of another one.
pub(super) fn correcting(record: Value, old: &Record) -> Value {
    with(record, json!({ "corrects": old.id() }))
}

/// All of the state but what names a record: two histories that come to the
/// same have the same.
pub(super) fn figures(world: &World) -> (u64, usize, String) {
    let period = world.period("ins/C", 1);
    let agreed: Vec<_> = period.ceilings_agreed.iter().map(|it| (it.from, it.amount)).collect();
    let ceilings = format!("{:?} {:?} {agreed:?}", period.ceiling, period.ceilings_requested);
    (period.spent.minor_units(), period.holds.len(), ceilings)
}

#[test]
fn what_is_corrected_is_on_the_ledger_and_is_corrected_once() {
    let mut world = world();
    let unknown = world.sign("vet", requested(AT, "PA", 1));
    let refusal =
        world.refuse(Code::UnknownReference, "vet", correcting(requested(AT, "PA", 2), &unknown));
    assert_eq!(refusal.field.as_deref(), Some("corrects"));
    let first = world.take("vet", requested(AT, "PA", 1));
    let second = world.take("vet", correcting(requested(AT, "PA", 2), &first));
    let refusal =
        world.refuse(Code::AlreadyCorrected, "vet", correcting(requested(AT, "PA", 3), &first));
    assert!(refusal.detail.contains(&second.id().to_string()), "{refusal}");
    world.take("vet", correcting(requested(AT, "PA", 3), &second));
    world.refuse(Code::SplitMismatch, "ins", answered(AT, "PA", 2, 0));
    world.take("ins", answered(AT, "PA", 3, 0));
}

#[test]
fn a_correction_is_by_the_same_signer_and_about_the_same_thing() {
    let mut world = world();
    world.take("ins", with(issued(), json!({"contract": "ins/D"})));
    let asked = world.take("vet", requested(AT, "PA", 1));
    world.refuse(Code::NotAParty, "garage", correcting(requested(AT, "PA", 2), &asked));
    for other in [
        requested(AT, "PB", 2),
        with(requested(AT, "PA", 2), json!({"contract": "ins/D"})),
        with(requested(AT, "PA", 2), json!({"claim": "ins/K"})),
        opened(AT, "K", 1),
    ] {
        // A claim that is named must be known first.
        if other["claim"] == "ins/K" && other["type"] != "claim.opened" {
            world.refuse(Code::UnknownReference, "vet", correcting(other, &asked));
        } else {
            world.refuse(Code::Malformed, "vet", correcting(other, &asked));
        }
    }
    let opened = world.take("vet", opened(AT, "K", 1));
    let of_other_claim = super::opened(AT, "L", 1);
    world.refuse(Code::Malformed, "vet", correcting(of_other_claim, &opened));
    world.take("vet", correcting(requested(AT, "PA", 2), &asked));
}

#[test]
fn a_record_of_the_same_block_can_be_corrected() {
    let mut world = world();
    let asked = world.sign("vet", requested(AT, "PA", 1));
    let newer = world.sign("vet", correcting(requested(AT, "PA", 2), &asked));
    let mut block = BlockState::new(9, BLOCK_MS, 1, &world.members, &world.state);
    block.apply(&asked).unwrap();
    block.apply(&newer).unwrap();
    let other = world.sign("vet", correcting(requested(AT, "PA", 3), &asked));
    let mut block = BlockState::new(9, BLOCK_MS, 1, &world.members, &world.state);
    assert!(block.apply(&newer).is_err());
    block.apply(&asked).unwrap();
    block.apply(&other).unwrap();
    assert!(block.apply(&newer).is_err());
}

#[test]
fn an_issue_is_corrected_while_it_is_the_newest_version() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100_000));
    world.take("ins", decided(AT, "K", 100_000, 0));
    let first = world.records[0].clone();
    let ceiling = |amount: u64| with(issued(), json!({"data": {"annual_ceiling": amount}}));
    world.refuse(Code::CeilingExceeded, "ins", correcting(ceiling(99_999), &first));
    let second = world.take("ins", correcting(ceiling(100_000), &first));
    assert_eq!(figures(&world).0, 100_000);
    let data = json!({"version": 2, "change": "address", "effective": "2025-06-01"});
    let amended = world.take("ins", record("contract.amended", AT, data.clone()));
    world.refuse(Code::VersionGap, "ins", correcting(ceiling(120_000), &second));
    let again = with(data, json!({"effective": "2025-07-01"}));
    let newer = record("contract.amended", AT, again);
    world.take("ins", correcting(newer, &amended));
    let data = json!({"version": 3, "change": "address", "effective": "2025-08-01"});
    world.take("ins", record("contract.amended", AT, data));
}

#[test]
fn a_renewal_is_corrected_with_what_its_period_has_used() {
    let mut world = world();
    let renewed = |from: &str, to: &str| {
        let data = json!({"version": 2, "period": {"from": from, "to": to}});
        record("contract.renewed", "2026-03-01T00:00:00+01:00", data)
    };
    let first = world.take("ins", renewed("2026-03-01", "2027-02-28"));
    world.take("broker", opened("2026-04-01T09:00:00Z", "K", 500));
    world.take("ins", decided("2026-04-01T09:00:00Z", "K", 500, 0));
    let gap = correcting(renewed("2026-03-02", "2027-02-28"), &first);
    world.refuse(Code::PeriodGap, "ins", gap);
    world.take("ins", correcting(renewed("2026-03-01", "2026-12-31"), &first));
    let period = world.period("ins/C", 2);
    assert_eq!((period.spent.minor_units(), period.to.to_string().as_str()), (500, "2026-12-31"));
}

#[test]
fn a_ceiling_that_was_asked_for_by_mistake_is_not_remembered() {
    let mut world = world();
    let asked = |to: u64| {
        let data =
            json!({"change": "ceiling", "to": to, "wanted_on": "2026-03-01", "currency": "EUR"});
        record("contract.change_requested", AT, data)
    };
    let first = world.take("broker", asked(300_000));
    world.take("broker", correcting(asked(200_000), &first));
    let renewed = |ceiling: u64| {
        let data = json!({"version": 2, "period": {"from": "2026-03-01", "to": "2027-02-28"},
            "annual_ceiling": ceiling, "currency": "EUR"});
        record("contract.renewed", "2026-03-01T00:00:00+01:00", data)
    };
    world.refuse(Code::NoChangeRequest, "ins", renewed(300_000));
    world.take("ins", renewed(200_000));
}

#[test]
fn an_amended_ceiling_is_corrected_on_its_side_of_the_period_end() {
    let mut world = World::flagging();
    world.take("ins", issued());
    let amended = |effective: &str, to: u64| {
        let data = json!({"version": 2, "change": "ceiling", "to": to, "effective": effective,
            "currency": "EUR"});
        record("contract.amended", AT, data)
    };
    let first = world.take("ins", amended("2025-06-01", 200_000));
    world.refuse(
        Code::ChangeOnlyAtPeriodEnd,
        "ins",
        correcting(amended("2026-03-01", 200_000), &first),
    );
    world.take("ins", correcting(amended("2025-07-01", 180_000), &first));
    assert_eq!(world.last_flags(), ["change_only_at_period_end"]);
    let limit = |day: &str| {
        let limit = world.period("ins/C", 1).limit_on(day.parse().unwrap());
        limit.unwrap().0.minor_units()
    };
    assert_eq!([limit("2025-06-30"), limit("2025-07-01")], [150_000, 180_000]);
}

#[test]
fn a_ceiling_agreed_is_corrected_and_a_renewal_with_it() {
    let mut world = world();
    let amended = |to: Option<u64>| {
        let data = json!({"version": 2, "change": "ceiling", "effective": "2026-03-01"});
        let more = to.map_or(json!({}), |to| json!({"to": to, "currency": "EUR"}));
        record("contract.amended", AT, with(data, more))
    };
    let renewed = |ceiling: Option<u64>| {
        let version = json!({"data": {"version": 3, "annual_ceiling": ceiling}});
        with(renewed_with(1), version)
    };
    let limit = |world: &World| world.period("ins/C", 2).ceiling.unwrap().minor_units();
    let first = world.take("ins", amended(Some(200_000)));
    let mut withdrawn = world.clone();
    withdrawn.take("ins", correcting(amended(None), &first));
    let without = with(renewed(None), json!({"data": {"currency": null}}));
    withdrawn.refuse(Code::NoChangeRequest, "ins", renewed(Some(200_000)));
    withdrawn.take("ins", without.clone());
    assert_eq!(limit(&withdrawn), 150_000);
    let second = world.take("ins", correcting(amended(Some(250_000)), &first));
    world.refuse(Code::NoChangeRequest, "ins", renewed(Some(200_000)));
    let old = world.take("ins", without.clone());
    assert_eq!(limit(&world), 250_000);
    // Once there is a renewal, it is that which is corrected.
    world.refuse(Code::VersionGap, "ins", correcting(amended(Some(300_000)), &second));
    world.refuse(Code::NoChangeRequest, "ins", correcting(renewed(Some(150_000)), &old));
    let named = world.take("ins", correcting(renewed(Some(250_000)), &old));
    world.take("ins", correcting(without, &named));
    assert_eq!(limit(&world), 250_000);
}

#[test]
fn a_termination_is_corrected_and_the_contract_is_in_force_that_long() {
    let mut world = world();
    let ended =
        |day: &str| record("contract.terminated", AT, json!({"reason": "sold", "effective": day}));
    let first = world.take("ins", ended("2025-05-31"));
    world.refuse(Code::PolicyNotInForce, "broker", opened("2025-06-02T09:00:00Z", "K", 1));
    world.take("ins", correcting(ended("2025-06-30"), &first));
    world.take("broker", opened("2025-06-02T09:00:00Z", "K", 1));
}

#[test]
fn no_correction_takes_a_contract_away_from_what_rests_on_it() {
    let mut world = world();
    let first = world.records[0].clone();
    let begins = |day: &str| with(issued(), json!({"data": {"period": {"from": day}}}));
    let to_sign = with(issued(), json!({"data": {"signature_required": true}}));
    let ended = |day: Option<&str>| {
        let data = json!({"reason": "sold", "effective": day});
        with(
            record("contract.terminated", "2025-06-20T09:00:00Z", json!({})),
            json!({"data": data}),
        )
    };
    let claim = world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 100, 0));
    world.take("ins", paid(AT, "K", 100));
    for issue in [to_sign.clone(), begins("2025-05-07")] {
        let refusal = world.refuse(Code::PolicyNotInForce, "ins", correcting(issue, &first));
        assert_eq!(refusal.field.as_deref(), Some("corrects"));
        assert!(refusal.detail.contains(&claim.id().to_string()), "{refusal}");
    }
    let first = world.take("ins", correcting(begins("2025-05-06"), &first));
    // Nor does a correction of its end, to the second.
    let last = world.take("vet", requested("2025-06-10T23:59:59+02:00", "PA", 1));
    let end = world.take("ins", ended(Some("2025-06-30")));
    let refusal =
        world.refuse(Code::PolicyNotInForce, "ins", correcting(ended(Some("2025-06-09")), &end));
    assert!(refusal.detail.contains(&last.id().to_string()), "{refusal}");
    let end = world.take("ins", correcting(ended(Some("2025-06-10")), &end));
    let at_once = |at: &str| with(ended(None), json!({"occurred_at": at}));
    let at = "2025-06-10T21:59:59Z";
    world.refuse(Code::PolicyNotInForce, "ins", correcting(at_once(at), &end));
    let end = world.take("ins", correcting(at_once("2025-06-10T22:00:00Z"), &end));
    // The time zone moves the end, too.
    let tokyo = json!({"data": {"time_zone": "Asia/Tokyo"}});
    let in_tokyo = correcting(with(begins("2025-05-06"), tokyo), &first);
    world.clone().take("ins", in_tokyo.clone());
    let mut by_day = world.clone();
    by_day.take("ins", correcting(ended(Some("2025-06-10")), &end));
    by_day.refuse(Code::PolicyNotInForce, "ins", in_tokyo);
    // What is told of another moment, or was never told, stands in nobody's way.
    world.take("vet", correcting(requested("2025-06-01T09:00:00Z", "PA", 1), &last));
    world.take("ins", correcting(ended(Some("2025-06-01")), &end));
}

#[test]
fn a_contract_that_nothing_rests_on_is_corrected_freely() {
    let mut world = world();
    let claim = world.take("broker", opened("2025-03-02T09:00:00Z", "K", 100));
    world.take("broker", correcting(opened("2025-05-06T09:00:00Z", "K", 100), &claim));
    let first = world.records[0].clone();
    let later = json!({"data": {"period": {"from": "2025-04-01"}}});
    world.take("ins", correcting(with(issued(), later), &first));
    // One that ended before a claim already may end otherwise before it.
    let ended = |day: &str| {
        record(
            "contract.terminated",
            "2025-06-20T09:00:00Z",
            json!({"reason": "sold",
            "effective": day}),
        )
    };
    let end = world.take("ins", ended("2025-05-01"));
    let end = world.take("ins", correcting(ended("2025-05-03"), &end));
    world.take("ins", correcting(ended("2025-05-02"), &end));
}

#[test]
fn a_verdict_is_corrected_while_it_is_the_newest() {
    let mut world = world();
    let data = json!({"items": ["licence", "wrong"], "due": "2025-06-01"});
    let asked = world.take("broker", record("document.requested", AT, data));
    let verdict = |verdict: &str| {
        record("document.assessed", AT, json!({"item": "licence", "verdict": verdict}))
    };
    let card = record("document.issued", AT, json!({"kind": "green_card"}));
    let first = world.take("broker", verdict("accepted"));
    let data = json!({"items": ["licence"], "due": "2025-06-01"});
    // What was asked for by mistake is no longer missing; what came in stays.
    world.take("broker", correcting(record("document.requested", AT, data), &asked));
    world.take("broker", card.clone());
    let second = world.take("broker", correcting(verdict("rejected"), &first));
    world.refuse(Code::DossierRed, "broker", card.clone());
    world.take("broker", verdict("accepted"));
    // Not the newest word any more.
    world.take("broker", correcting(verdict("unreadable"), &second));
    world.take("broker", card);
}

#[test]
fn what_has_no_other_effect_is_replaced_all_the_same() {
    let mut world = world();
    let updated =
        |what: &str| record("party.updated", AT, json!({"what": what, "effective": "2025-06-01"}));
    let first = world.take("broker", updated("bank"));
    world.refuse(Code::Malformed, "broker", correcting(updated("address"), &first));
    let second = world.take("broker", correcting(updated("bank"), &first));
    let key = keys::correction(&first.id());
    assert_eq!(state::read(&world.state, &key).unwrap().unwrap().record, second.id());
}

#[test]
fn a_contract_is_not_corrected_once_it_is_signed_nor_signed_once_it_is_corrected() {
    let mut world = World::new();
    let required = json!({"data": {"signature_required": true}});
    let first = world.take("ins", with(issued(), required.clone()));
    let of = |kind: &str, number: &str, more: Value| {
        record(kind, AT, with(json!({ "signature": number }), more))
    };
    let target = json!({"target": {"contract": "ins/C", "version": 1}, "signer": "policyholder",
        "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    let ceiling = |amount: u64| {
        with(with(issued(), required.clone()), json!({"data": {"annual_ceiling": amount}}))
    };
    for number in ["S-1", "S-2"] {
        world.take("broker", of("signature.requested", number, target.clone()));
        world.take("otp", of("signature.challenged", number, json!({"channel": "sms"})));
        if number == "S-1" {
            world.take("ins", correcting(ceiling(200_000), &first));
            let completed = of("signature.completed", number, json!({"level": "SES"}));
            world.refuse(Code::SignatureState, "otp", completed);
            world.refuse(Code::PolicyNotInForce, "broker", opened(AT, "K", 1));
        }
    }
    world.take("otp", of("signature.completed", "S-2", json!({"level": "SES"})));
    world.take("broker", opened(AT, "K", 1));
    let newer = world.records[3].clone();
    assert_eq!(newer.payload().corrects, Some(first.id()));
    world.refuse(Code::SignatureState, "ins", correcting(ceiling(300_000), &newer));
}

#[test]
fn what_rules_rest_on_stays_as_it_was_in_a_correction_for_readers() {
    let mut world = world();
    let of =
        |kind: &str, at: &str, more: Value| record(kind, at, with(json!({"signature": "S"}), more));
    let request = |expires: &str| {
        let target = json!({"target": {"contract": "ins/C", "version": 1},
            "signer": "policyholder", "method": "sms_otp", "expires": expires});
        of("signature.requested", AT, target)
    };
    let requested = world.take("broker", request("2025-06-01T00:00:00Z"));
    world.refuse(
        Code::Malformed,
        "broker",
        correcting(request("2025-07-01T00:00:00Z"), &requested),
    );
    let sms = |at: &str| of("signature.challenged", at, json!({"channel": "sms"}));
    let challenged = world.take("otp", sms(AT));
    world.refuse(Code::Malformed, "otp", correcting(sms("2025-05-06T09:00:01Z"), &challenged));
    let mail = of("signature.challenged", AT, json!({"channel": "e-mail"}));
    world.take("otp", correcting(mail, &challenged));
}

#[test]
fn a_referral_is_kept_while_another_contract_was_issued_on_it() {
    let mut world = World::new();
    let consent = json!({"consent": "CN", "purpose": "referral", "state": "given"});
    world.take("broker", json!({"type": "consent.recorded", "occurred_at": AT, "data": consent}));
    let on_it = json!({"data": {"referral": "CN"}});
    let first = world.take("ins", with(issued(), on_it.clone()));
    let other = with(with(issued(), on_it), json!({"contract": "ins/D"}));
    let second = world.take("ins", other.clone());
    let reward = json!({"referral": "CN", "to": "broker", "amount": 1, "currency": "EUR"});
    let reward = json!({"type": "reward.recorded", "occurred_at": AT, "data": reward});
    world.take("ins", correcting(issued(), &first));
    world.take("ins", reward.clone());
    let without = with(other, json!({"data": {"referral": null}}));
    world.take("ins", correcting(without, &second));
    world.refuse(Code::UnknownReference, "ins", reward);
}

#[test]
fn a_request_corrected_after_another_one_leaves_what_came_in_for_that() {
    let mut world = world();
    let asked =
        |due: &str| record("document.requested", AT, json!({"items": ["licence"], "due": due}));
    let first = world.take("broker", asked("2025-06-01"));
    world.take("broker", asked("2025-07-01"));
    let accepted = json!({"item": "licence", "verdict": "accepted"});
    world.take("broker", record("document.assessed", AT, accepted));
    world.take("broker", correcting(asked("2025-06-15"), &first));
    world.take("broker", record("document.issued", AT, json!({"kind": "green_card"})));
}

#[test]
fn corrections_of_corrections_come_to_an_end() {
    let mut world = world();
    let said = || record("party.updated", AT, json!({"what": "bank", "effective": "2025-06-01"}));
    let mut last = world.take("broker", said());
    for _ in 0..crate::limits::CORRECTION_CHAIN_MAX {
        last = world.take("broker", correcting(said(), &last));
    }
    world.refuse(Code::TooLarge, "broker", correcting(said(), &last));
}

#[test]
fn who_withdraws_a_ceiling_leaves_what_another_has_asked_for() {
    let mut world = world();
    world.take("broker", ceiling_asked(AT, 200_000));
    let of_insurer = world.take("ins", ceiling_asked(AT, 200_000));
    world.take("ins", correcting(ceiling_asked(AT, 300_000), &of_insurer));
    world.refuse(Code::NoChangeRequest, "ins", renewed_with(400_000));
    world.take("ins", renewed_with(200_000));
}

#[test]
fn a_contract_issued_again_without_a_ceiling_counts_in_the_currency_it_is_used_in() {
    let mut world = World::new();
    let first = world.take("ins", issued());
    let without = json!({"data": {"annual_ceiling": null, "currency": null}});
    world.take("ins", correcting(with(issued(), without), &first));
    let dollars = json!({"data": {"currency": "USD"}});
    world.take("broker", with(opened(AT, "K", 100), dollars.clone()));
    world.take("ins", with(decided(AT, "K", 100, 0), dollars));
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 100);
}
