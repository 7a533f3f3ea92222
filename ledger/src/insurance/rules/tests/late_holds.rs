//! What is spent and held stays under the ceiling at every moment, told late or not.

use super::*;

const START: &str = "2025-05-01T10:00:00Z";

fn hours(hours: i64) -> String {
    seconds_after(START, hours * 3600)
}

fn released(at: &str, number: &str) -> Value {
    let data = json!({"preauthorisation": number, "reason": "cancelled"});
    record("preauthorisation.released", at, data)
}

/// The contract with a ceiling of 500.00, and four requests that may be answered.
fn asked() -> World {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"annual_ceiling": 50_000}})));
    for number in ["A", "B", "C", "D"] {
        world.take("vet", requested(START, number, 50_000));
    }
    world
}

fn guaranteed(at: i64, number: &str, amount: u64) -> Value {
    answered(&hours(at), number, amount, 50_000 - amount)
}

#[test]
fn a_released_hold_counts_up_to_its_release_for_what_is_told_late() {
    let mut world = asked();
    let first = world.take("ins", guaranteed(0, "A", 50_000));
    world.take("vet", released(&hours(2), "A"));
    let refusal = world.refuse(Code::CeilingExceeded, "ins", guaranteed(1, "B", 1));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    // From its end on it is free, to the second.
    let before = answered(&seconds_after(&hours(2), -1), "B", 1, 49_999);
    world.refuse(Code::CeilingExceeded, "ins", before);
    world.take("ins", guaranteed(2, "B", 50_000));
}

#[test]
fn a_claimed_hold_counts_whole_up_to_its_claim_and_then_what_is_claimed() {
    let mut world = asked();
    world.take("ins", guaranteed(0, "A", 50_000));
    world.take("vet", claimed(&hours(2), "K", "A", 10_000));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(1, "B", 1));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(2, "B", 40_001));
    world.take("ins", guaranteed(2, "B", 40_000));
}

#[test]
fn a_hold_of_a_corrected_answer_counts_up_to_the_correction() {
    let mut world = asked();
    let first = world.take("ins", guaranteed(0, "A", 50_000));
    let corrects = |old: &Record| json!({"corrects": old.id()});
    let second = world.take("ins", with(guaranteed(4, "A", 10_000), corrects(&first)));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(3, "B", 1));
    world.take("ins", guaranteed(4, "B", 40_000));
    // A correction that tells of an earlier moment takes the place of both from then on.
    world.take("ins", with(guaranteed(2, "A", 10_000), corrects(&second)));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(1, "C", 1));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(2, "C", 1));
}

#[test]
fn what_is_spent_later_leaves_room_for_a_hold_that_had_ended_by_then() {
    let mut world = asked();
    world.take("broker", opened(&hours(100), "K", 10_000));
    world.take("ins", decided(&hours(102), "K", 10_000, 0));
    // Its last second is before the decision; then it is not.
    let touching = answered(&hours(78), "A", 50_000, 0);
    world.refuse(Code::CeilingExceeded, "ins", touching);
    world.take("ins", answered(&seconds_after(&hours(78), -1), "A", 50_000, 0));
    // A decision that is told late does not spend what was held by then.
    world.take("broker", opened(&hours(60), "L", 1));
    world.refuse(Code::CeilingExceeded, "ins", decided(&hours(70), "L", 1, 0));
    world.take("ins", decided(&hours(102), "L", 1, 0));
}

#[test]
fn a_claim_within_its_hold_is_taken_where_all_fits_at_every_moment() {
    let mut world = asked();
    world.take("ins", guaranteed(0, "A", 50_000));
    world.take("broker", opened(&hours(96), "L", 50_000));
    world.take("ins", decided(&hours(96), "L", 30_000, 20_000));
    world.take("ins", guaranteed(48, "B", 30_000));
    // What is claimed stays spent, beside hold B and then beside what claim L spends.
    let refusal = world.refuse(Code::CeilingExceeded, "vet", claimed(&hours(1), "K", "A", 20_001));
    assert!(refusal.detail.contains("claimed 20 001 + held 30 000 + spent 0 > "), "{refusal}");
    let without = json!({"data": {"preauthorisation": null}});
    world.clone().take("vet", with(claimed(&hours(1), "K", "A", 20_001), without));
    world.take("vet", claimed(&hours(1), "K", "A", 20_000));
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 50_000);
}

#[test]
fn what_was_spent_for_a_while_counts_for_that_while() {
    let mut world = asked();
    world.take("ins", guaranteed(0, "A", 50_000));
    world.take("vet", claimed(&hours(1), "K", "A", 50_000));
    world.take("ins", decided(&hours(30), "K", 10_000, 40_000));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(29, "B", 1));
    world.take("ins", guaranteed(30, "B", 40_000));
    // A decision that is corrected to a later moment leaves the claim as it was told.
    let first = world.records.iter().rev().nth(1).unwrap().id();
    let corrects = json!({"corrects": first});
    let moved = with(decided(&hours(40), "K", 0, 50_000), corrects);
    world.take("ins", moved);
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(39, "C", 1));
    let after = hours(30 + 24);
    world.take("ins", answered(&seconds_after(&after, 1), "C", 50_000, 0));
}

#[test]
fn a_payment_told_of_before_a_decision_was_moved_counts_beside_what_stood_then() {
    let mut world = asked();
    world.take("ins", guaranteed(0, "A", 50_000));
    world.take("vet", claimed(&hours(1), "K", "A", 50_000));
    let first = world.take("ins", decided(&hours(2), "K", 10_000, 40_000));
    // Up to there, what is corrected stands.
    let corrects = json!({"corrects": first.id()});
    world.take("ins", with(decided(&hours(90), "K", 30_000, 20_000), corrects));
    for (signer, kind, data) in [
        ("ins", "settlement.offered", json!({"amount": 30_000, "currency": "EUR"})),
        ("broker", "settlement.notified", json!({"to": "policyholder"})),
        ("broker", "settlement.answered", json!({"answer": "objected"})),
    ] {
        world.take(signer, of_claim(kind, &hours(3), "K", with(data, json!({"round": 1}))));
    }
    let on_account = json!({"data": {"on_account": true}});
    world.take("ins", with(paid(&hours(4), "K", 20_000), on_account));
    world.refuse(Code::CeilingExceeded, "ins", guaranteed(5, "B", 30_001));
    // Nor is more refused than the payment by itself could add.
    world.take("ins", guaranteed(5, "B", 20_000));
}

#[test]
fn holds_and_spending_that_are_forgotten_leave_no_room_for_what_is_told_of_their_time() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"annual_ceiling": 100}})));
    let count = 3 * i64::try_from(crate::limits::PERIOD_HOLDS_MAX).unwrap();
    let minute = |minute: i64| seconds_after(START, minute * 60);
    // One after the other, each held for half a minute.
    for number in 0..count {
        let name = format!("P-{number}");
        world.take("vet", requested(&minute(number), &name, 60));
        world.take("ins", answered(&minute(number), &name, 60, 0));
        world.take("vet", released(&seconds_after(&minute(number), 30), &name));
    }
    let period = world.period("ins/C", 1);
    assert!(period.holds.len() <= crate::limits::PERIOD_HOLDS_MAX);
    assert!(period.spending.len() <= crate::limits::PERIOD_SPENDING_MAX);
    assert!(period.spent_since.is_some(), "{period:?}");
    assert_eq!((period.spent.minor_units(), period.spent_before), (0, 60));
    // Of what is forgotten the most counts: a hold of that time may have 40.
    world.take("vet", requested(START, "X", 41));
    world.refuse(Code::CeilingExceeded, "ins", answered(&minute(1), "X", 41, 0));
    world.take("ins", answered(&minute(1), "X", 40, 1));
    // And what is told of the present has all.
    world.take("vet", requested(&minute(count), "Y", 100));
    world.refuse(Code::CeilingExceeded, "ins", answered(&minute(count), "Y", 61, 39));
    world.take("ins", answered(&minute(count), "Y", 60, 40));
}
