//! Payments: never more than was approved or accepted, nor more back than out.

use super::{
    settlement::{sign_offer, sign_offer_at},
    *,
};

const AT: &str = "2025-05-06T09:00:00+02:00";
const LATER: &str = "2025-05-09T09:00:00+02:00";

fn status(amount: u64, status: &str) -> Value {
    with(paid(AT, "K", amount), json!({"data": {"status": status}}))
}

fn on_account(amount: u64) -> Value {
    with(paid(LATER, "K", amount), json!({"data": {"on_account": true}}))
}

fn decided_world() -> World {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 60, 40));
    world
}

fn offer(world: &mut World, round: u64, amount: u64) {
    let data = json!({"round": round, "amount": amount, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", AT, "K", data));
    let told = json!({"round": round, "to": "policyholder"});
    world.take("broker", of_claim("settlement.notified", AT, "K", told));
}

fn answer(world: &mut World, round: u64, answer: &str, signature: Option<&str>) {
    let mut data = json!({"round": round, "answer": answer});
    if let Some(signature) = signature {
        data = with(data, json!({ "signature": signature }));
    }
    world.take("broker", of_claim("settlement.answered", LATER, "K", data));
}

#[test]
fn nothing_is_paid_before_it_is_decided() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    for amount in [paid(AT, "K", 1), status(1, "ordered"), on_account(1)] {
        world.refuse(Code::NotDecided, "ins", amount);
    }
    world.take("ins", decided(AT, "K", 60, 40));
    world.take("ins", paid(AT, "K", 1));
}

#[test]
fn no_more_is_paid_than_was_approved_to_the_cent() {
    let mut world = decided_world();
    world.take("ins", status(60, "ordered"));
    world.refuse(Code::PaidExceedsApproved, "ins", status(61, "ordered"));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 61));
    world.take("ins", paid(AT, "K", 20));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 41));
    world.take("ins", paid(AT, "K", 40));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 1));
    // What came back can be paid again.
    world.take("ins", status(10, "returned"));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 11));
    world.take("ins", paid(AT, "K", 10));
}

#[test]
fn no_more_comes_back_than_was_executed() {
    let mut world = decided_world();
    world.refuse(Code::TotalMismatch, "ins", status(1, "returned"));
    world.take("ins", paid(AT, "K", 30));
    world.refuse(Code::TotalMismatch, "ins", status(31, "returned"));
    world.take("ins", status(30, "returned"));
    world.refuse(Code::TotalMismatch, "ins", status(1, "returned"));
}

#[test]
fn nothing_is_paid_on_a_refusal() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 0, 100));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 1));
}

#[test]
fn an_offer_accepted_after_a_refusal_is_paid() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 0, 100));
    offer(&mut world, 1, 70);
    sign_offer(&mut world, "S", 1);
    answer(&mut world, 1, "accepted", Some("S"));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(LATER, "K", 71));
    world.take("ins", paid(LATER, "K", 70));
}

#[test]
fn on_account_is_paid_up_to_an_offer_that_was_objected_to() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    offer(&mut world, 1, 50);
    world.refuse(Code::NotDecided, "ins", on_account(50));
    answer(&mut world, 1, "objected", None);
    world.refuse(Code::NotDecided, "ins", paid(LATER, "K", 50));
    world.refuse(Code::PaidExceedsApproved, "ins", on_account(51));
    world.take("ins", on_account(50));
    // It counts as spent.
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 50);
    offer(&mut world, 2, 49);
    sign_offer(&mut world, "S", 2);
    let data = json!({"round": 2, "answer": "accepted", "signature": "S"});
    let accepted = of_claim("settlement.answered", LATER, "K", data);
    world.refuse(Code::PaidExceedsApproved, "broker", accepted.clone());
    world.take("ins", with(status(1, "returned"), json!({"occurred_at": LATER})));
    world.take("broker", accepted);
    world.refuse(Code::PaidExceedsApproved, "ins", paid(LATER, "K", 1));
}

#[test]
fn on_account_payments_stay_under_the_ceiling() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    offer(&mut world, 1, 200_000);
    answer(&mut world, 1, "objected", None);
    world.refuse(Code::CeilingExceeded, "ins", on_account(150_001));
    world.take("ins", on_account(150_000));
}

#[test]
fn nothing_is_paid_after_the_claim_is_closed_but_money_may_come_back() {
    let mut world = decided_world();
    world.take("ins", paid(AT, "K", 30));
    world.take("ins", of_claim("claim.closed", AT, "K", json!({"paid": 30, "currency": "EUR"})));
    world.refuse(Code::ClaimState, "ins", paid(AT, "K", 1));
    world.refuse(Code::ClaimState, "ins", status(1, "ordered"));
    world.take("ins", status(30, "returned"));
}

fn on(day: u8) -> String {
    format!("2025-05-{day:02}T12:00:00+02:00")
}

fn disputed_on(day: u8) -> Value {
    of_claim("claim.disputed", &on(day), "K", json!({"between": ["policyholder"]}))
}

fn paid_on_account(day: u8, amount: u64) -> Value {
    with(paid(&on(day), "K", amount), json!({"data": {"on_account": true}}))
}

/// An offer made and told on a day.
fn offer_on(world: &mut World, day: u8, round: u64, amount: u64) {
    let data = json!({"round": round, "amount": amount, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", &on(day), "K", data));
    let told = json!({"round": round, "to": "policyholder"});
    world.take("broker", of_claim("settlement.notified", &on(day), "K", told));
}

fn objected_on(day: u8, round: u64) -> Value {
    of_claim("settlement.answered", &on(day), "K", json!({"round": round, "answer": "objected"}))
}

/// A claim with two decisions, the first disputed.
fn twice_decided(first: Value, second: Value) -> World {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1_000));
    world.take("ins", first);
    world.take("broker", disputed_on(7));
    world.take("ins", second);
    world
}

#[test]
fn nothing_is_paid_on_a_decision_that_approved_nothing_yet() {
    let nothing = json!({"data": {"outcome": "partly"}});
    let partly = with(decided(&on(7), "K", 0, 1_000), nothing);
    let mut world = twice_decided(partly, decided(&on(10), "K", 1_000, 0));
    let refusal = world.refuse(Code::NotDecided, "ins", paid(&on(9), "K", 1_000));
    assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    assert!(refusal.detail.contains(&world.records[4].id().to_string()), "{refusal}");
    world.take("ins", paid(&on(10), "K", 1_000));
}

#[test]
fn no_more_is_paid_at_a_moment_than_was_approved_by_then() {
    let (first, second) = (decided(&on(7), "K", 10, 990), decided(&on(10), "K", 1_000, 0));
    let mut world = twice_decided(first, second);
    world.refuse(Code::NotDecided, "ins", paid(&on(9), "K", 11));
    world.take("ins", paid(&on(9), "K", 4));
    world.refuse(Code::NotDecided, "ins", paid(&on(8), "K", 11));
    world.refuse(Code::NotDecided, "ins", paid(&on(9), "K", 7));
    world.take("ins", paid(&on(9), "K", 6));
    world.take("ins", paid(&on(10), "K", 990));
}

#[test]
fn nothing_is_paid_between_a_refusal_and_the_decision_that_approves_again() {
    let (first, second) = (decided(&on(7), "K", 1_000, 0), decided(&on(10), "K", 0, 1_000));
    let mut world = twice_decided(first, second);
    world.take("broker", disputed_on(11));
    world.take("ins", decided(&on(15), "K", 1_000, 0));
    world.refuse(Code::NotDecided, "ins", paid(&on(12), "K", 1));
    world.take("ins", paid(&on(9), "K", 1));
    world.take("ins", paid(&on(15), "K", 999));
}

#[test]
fn what_was_paid_on_account_in_an_earlier_round_is_carried_by_its_objection() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1_000));
    offer_on(&mut world, 7, 1, 500);
    world.take("broker", objected_on(7, 1));
    let on_account = world.take("ins", paid_on_account(8, 400));
    offer_on(&mut world, 9, 2, 600);
    let again = |old: &Record, record: Value| with(record, json!({"corrects": old.id()}));
    let on_account = world.take("ins", again(&on_account, paid_on_account(8, 400)));
    let mut decided_instead = world.clone();
    let decision = decided_instead.take("ins", decided(&on(20), "K", 1_000, 0));
    let decision = decided_instead.take("ins", again(&decision, decided(&on(20), "K", 900, 100)));
    let lower = again(&decision, decided(&on(20), "K", 399, 601));
    decided_instead.refuse(Code::PaidExceedsApproved, "ins", lower);
    decided_instead.take("ins", again(&on_account, paid_on_account(8, 400)));
    sign_offer_at(&mut world, "S", 2, (&on(9), &on(10)));
    let data = json!({"round": 2, "answer": "accepted", "signature": "S"});
    let accepted = of_claim("settlement.answered", &on(20), "K", data);
    let answer = world.take("broker", accepted.clone());
    world.take("broker", again(&answer, accepted));
    // No more by it, and none before it.
    world.refuse(Code::NotDecided, "ins", again(&on_account, paid_on_account(8, 501)));
    world.refuse(Code::NotDecided, "ins", again(&on_account, paid_on_account(6, 400)));
    let not_on_account = again(&on_account, paid(&on(8), "K", 400));
    world.refuse(Code::NotDecided, "ins", not_on_account);
    world.take("ins", again(&on_account, paid_on_account(8, 400)));
}

#[test]
fn an_objection_is_not_corrected_behind_what_was_paid_on_account() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1_000));
    offer_on(&mut world, 7, 1, 500);
    let objected = world.take("broker", objected_on(7, 1));
    world.take("ins", with(paid_on_account(8, 1), json!({"data": {"status": "ordered"}})));
    let moved = |day: u8| with(objected_on(day, 1), json!({"corrects": objected.id()}));
    world.refuse(Code::NotDecided, "broker", moved(9));
    world.take("broker", moved(8));
}

#[test]
fn nothing_told_late_leaves_a_later_payment_with_more_than_was_decided_by_then() {
    let (first, second) = (decided(&on(7), "K", 10, 990), decided(&on(10), "K", 1_000, 0));
    let mut world = twice_decided(first, second);
    let paid_then = world.take("ins", paid(&on(9), "K", 10));
    let refusal = world.refuse(Code::NotDecided, "ins", paid(&on(8), "K", 1));
    assert!(refusal.detail.contains(&paid_then.id().to_string()), "{refusal}");
    world.take("ins", paid(&on(10), "K", 990));
}

#[test]
fn a_return_is_not_corrected_to_after_what_was_paid_in_its_place() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 300));
    world.take("ins", decided(&on(7), "K", 300, 0));
    let back = |day: u8| with(paid(&on(day), "K", 100), json!({"data": {"status": "returned"}}));
    world.take("ins", paid(&on(8), "K", 300));
    let returned = world.take("ins", back(9));
    world.take("ins", paid(&on(11), "K", 100));
    let moved = |day: u8| with(back(day), json!({"corrects": returned.id()}));
    world.refuse(Code::NotDecided, "ins", moved(12));
    world.take("ins", moved(10));
}

#[test]
fn nothing_comes_back_at_an_hour_before_it_went_out() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1_000));
    world.take("ins", decided(AT, "K", 1_000, 0));
    let of = |hour: u8, amount: u64, payee: &str, status: &str| {
        let more = json!({"data": {"payee": payee, "status": status}});
        with(paid(&format!("2025-05-09T{hour:02}:00:00+02:00"), "K", amount), more)
    };
    let first = world.take("ins", of(15, 50, "vet", "executed"));
    let refusal = world.refuse(Code::TotalMismatch, "ins", of(14, 50, "vet", "returned"));
    assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    // What another had by then is not that payee's.
    world.take("ins", of(10, 100, "garage", "executed"));
    world.refuse(Code::TotalMismatch, "ins", of(14, 50, "vet", "returned"));
    world.take("ins", of(12, 60, "garage", "returned"));
    world.refuse(Code::TotalMismatch, "ins", of(12, 41, "garage", "returned"));
    // Nor does it move behind what came back of it.
    world.take("ins", of(15, 20, "vet", "returned"));
    let moved = |hour: u8| with(of(hour, 50, "vet", "executed"), json!({"corrects": first.id()}));
    world.refuse(Code::TotalMismatch, "ins", moved(16));
    let first = world.take("ins", moved(14));
    world.refuse(Code::TotalMismatch, "ins", of(13, 1, "vet", "returned"));
    world.take("ins", of(14, 30, "vet", "returned"));
    let to_garage = with(of(14, 50, "garage", "executed"), json!({"corrects": first.id()}));
    world.refuse(Code::TotalMismatch, "ins", to_garage);
}

#[test]
fn money_comes_back_on_the_day_it_went_out_and_went_out_again() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1_000));
    world.take("ins", decided(AT, "K", 1_000, 0));
    let of = |hour: u8, status: &str| {
        let more = json!({"data": {"status": status}});
        with(paid(&format!("2025-05-09T{hour:02}:00:00+02:00"), "K", 100), more)
    };
    world.take("ins", with(of(9, "executed"), json!({"occurred_at": on(8)})));
    world.take("ins", of(10, "returned"));
    world.take("ins", of(16, "executed"));
    // Between the two nothing was there that could come back.
    world.refuse(Code::TotalMismatch, "ins", of(12, "returned"));
    world.take("ins", of(16, "returned"));
}
