//! Signatures: asked for, challenged, completed in time.

use super::*;

const ASKED_AT: &str = "2025-04-01T09:00:00+02:00";
const EXPIRES: &str = "2025-04-08T09:00:00+02:00";

fn asked(target: Value) -> Value {
    let data = json!({"signature": "S", "target": target, "signer": "policyholder",
        "method": "sms_otp", "expires": EXPIRES});
    record("signature.requested", ASKED_AT, data)
}

fn asked_for_version(version: u64) -> Value {
    asked(json!({"contract": "ins/C", "version": version}))
}

fn challenged(at: &str) -> Value {
    record("signature.challenged", at, json!({"signature": "S", "channel": "sms"}))
}

fn failed(reason: &str) -> Value {
    let data = json!({"signature": "S", "reason": reason, "attempt": 1});
    record("signature.failed", "2025-04-02T09:00:00+02:00", data)
}

fn completed(at: &str) -> Value {
    record("signature.completed", at, json!({"signature": "S", "level": "SES"}))
}

const CHALLENGED_AT: &str = "2025-04-02T09:00:00+02:00";

#[test]
fn what_is_signed_is_on_the_ledger() {
    let mut world = world();
    world.refuse(Code::UnknownReference, "broker", asked_for_version(2));
    world.take("ins", with(issued(), json!({"contract": "ins/D"})));
    let of_another = asked(json!({"contract": "ins/D", "version": 1}));
    world.refuse(Code::UnknownReference, "broker", of_another);
    let of_offer = asked(json!({"settlement": "ins/K", "round": 1}));
    world.refuse(Code::UnknownReference, "broker", of_offer.clone());
    world.take("broker", opened(ASKED_AT, "K", 100));
    world.refuse(Code::UnknownReference, "broker", of_offer.clone());
    let offer = json!({"round": 1, "amount": 100, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", ASKED_AT, "K", offer));
    let of_second = asked(json!({"settlement": "ins/K", "round": 2}));
    world.refuse(Code::UnknownReference, "broker", of_second);
    let on_other = with(of_offer.clone(), json!({"contract": "ins/D"}));
    world.refuse(Code::UnknownReference, "broker", on_other);
    world.take("broker", of_offer);
    world.refuse(Code::SignatureExists, "broker", asked_for_version(1));
    // Numbers are a contract's own.
    let on_other = json!({"contract": "ins/D", "data": {"target": {"contract": "ins/D"}}});
    world.take("broker", with(asked_for_version(1), on_other));
}

#[test]
fn a_signature_that_nobody_asked_for_is_unknown() {
    let mut world = world();
    let at = CHALLENGED_AT;
    for record in [challenged(at), failed("wrong_code"), completed(at)] {
        world.refuse(Code::UnknownReference, "otp", record.clone());
    }
    world.take("broker", asked_for_version(1));
    world.take("otp", challenged(at));
    world.take("otp", failed("wrong_code"));
    world.take("otp", completed(at));
}

#[test]
fn it_is_completed_once_and_after_a_challenge_that_still_stands() {
    let mut world = world();
    world.take("broker", asked_for_version(1));
    world.refuse(Code::SignatureState, "otp", completed(CHALLENGED_AT));
    world.take("otp", challenged(CHALLENGED_AT));
    world.refuse(Code::SignatureState, "otp", completed("2025-04-02T08:59:59+02:00"));
    for reason in ["declined", "expired"] {
        world.take("otp", failed(reason));
        world.refuse(Code::SignatureState, "otp", completed(CHALLENGED_AT));
        world.take("otp", challenged(CHALLENGED_AT));
    }
    world.take("otp", failed("wrong_code"));
    world.take("otp", completed(CHALLENGED_AT));
    world.refuse(Code::SignatureState, "otp", completed(CHALLENGED_AT));
    world.refuse(Code::SignatureState, "otp", challenged(CHALLENGED_AT));
}

#[test]
fn what_is_told_late_is_signed_by_a_code_that_had_been_sent_by_then() {
    let mut world = world();
    let at = |second: i64| seconds_after(CHALLENGED_AT, second);
    let declined = |second: i64| with(failed("declined"), json!({"occurred_at": at(second)}));
    world.take("broker", asked_for_version(1));
    world.take("otp", challenged(&at(60)));
    world.take("otp", challenged(&at(300)));
    world.refuse(Code::SignatureState, "otp", completed(&at(59)));
    world.clone().take("otp", completed(&at(180)));
    // Declined in between, the first is good no more, and the last is.
    let mut declined_since = world.clone();
    declined_since.take("otp", declined(120));
    declined_since.refuse(Code::SignatureState, "otp", completed(&at(180)));
    declined_since.take("otp", completed(&at(300)));
    // Declined before both, both are.
    world.take("otp", declined(30));
    world.take("otp", completed(&at(60)));
}

#[test]
fn nothing_is_asked_to_be_signed_before_it_is_there() {
    let mut world = world();
    let early = |target: Value, at: &str| with(asked(target), json!({"occurred_at": at}));
    let version = |version: u64| json!({"contract": "ins/C", "version": version});
    let issued_at = "2025-02-27T09:00:00+01:00";
    let refusal = world.refuse(
        Code::UnknownReference,
        "broker",
        early(version(1), &seconds_after(issued_at, -1)),
    );
    assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    assert!(refusal.detail.contains(&world.records[0].id().to_string()), "{refusal}");
    world.clone().take("broker", early(version(1), issued_at));
    let amended = |version: u64, at: &str| {
        let data = json!({"version": version, "change": "x", "effective": "2025-06-01"});
        record("contract.amended", at, data)
    };
    world.take("ins", amended(2, "2025-03-10T09:00:00+01:00"));
    world.take("ins", amended(3, "2025-03-20T09:00:00+01:00"));
    // Of a version that is not the newest, the moment of the last before it counts.
    for (number, day, taken) in
        [(3, 19, false), (3, 20, true), (2, 9, false), (2, 10, true), (1, 9, false), (1, 10, true)]
    {
        let said = early(version(number), &format!("2025-03-{day:02}T09:00:00+01:00"));
        match taken {
            true => drop(world.clone().take("broker", said)),
            false => drop(world.refuse(Code::UnknownReference, "broker", said)),
        }
    }
    world.take("broker", opened("2025-03-01T09:00:00+01:00", "K", 100));
    for round in [1, 2] {
        let data = json!({"round": round, "amount": 100, "currency": "EUR"});
        let at = format!("2025-03-{:02}T09:00:00+01:00", 9 + round);
        world.take("ins", of_claim("settlement.offered", &at, "K", data));
    }
    let round = |round: u64| json!({"settlement": "ins/K", "round": round});
    for (number, at) in [(1, "2025-03-10T09:00:00+01:00"), (2, "2025-03-11T09:00:00+01:00")] {
        let said = early(round(number), &seconds_after(at, -1));
        world.refuse(Code::UnknownReference, "broker", said);
        world.clone().take("broker", early(round(number), at));
    }
}

#[test]
fn it_is_completed_up_to_its_last_moment() {
    let mut world = world();
    world.take("broker", asked_for_version(1));
    world.take("otp", challenged(CHALLENGED_AT));
    world.refuse(Code::SignatureExpired, "otp", completed("2025-04-08T09:00:01+02:00"));
    world.take("otp", completed(EXPIRES));
}

#[test]
fn a_contract_to_be_signed_is_in_force_from_the_second_of_its_signature() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"signature_required": true}})));
    let before = opened("2025-04-02T09:00:09+02:00", "K", 1);
    let then = opened("2025-04-02T09:00:10+02:00", "L", 1);
    world.refuse(Code::PolicyNotInForce, "broker", then.clone());
    world.take("broker", asked_for_version(1));
    world.take("otp", challenged(CHALLENGED_AT));
    world.refuse(Code::PolicyNotInForce, "broker", then.clone());
    world.take("otp", completed("2025-04-02T09:00:10+02:00"));
    world.refuse(Code::PolicyNotInForce, "broker", before);
    world.take("broker", then);
}

#[test]
fn a_signature_on_an_offer_does_not_put_a_contract_in_force() {
    let mut world = world();
    world.take("broker", opened(ASKED_AT, "K", 100));
    let offer = json!({"round": 1, "amount": 100, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", ASKED_AT, "K", offer));
    world.take("broker", asked(json!({"settlement": "ins/K", "round": 1})));
    world.take("otp", challenged(CHALLENGED_AT));
    world.take("otp", completed(CHALLENGED_AT));
    let contract = keys::contract(&"ins/C".parse().unwrap());
    assert_eq!(state::read(&world.state, &contract).unwrap().unwrap().signed_at, None);
}
