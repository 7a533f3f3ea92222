//! Pre-authorisations: splits, holds to the second, the ceiling to the cent.

use super::*;

const AT: &str = "2025-05-06T09:00:00+02:00";
const LAST: &str = "2025-05-07T09:00:00+02:00";
const OVER: &str = "2025-05-07T09:00:01+02:00";

fn released(at: &str, number: &str) -> Value {
    let data = json!({"preauthorisation": number, "reason": "cancelled"});
    record("preauthorisation.released", at, data)
}

/// A world in which `PA` is held for `vet`.
fn held(guaranteed: u64, share: u64) -> World {
    let mut world = world();
    world.take("vet", requested(AT, "PA", guaranteed + share));
    world.take("ins", answered(AT, "PA", guaranteed, share));
    world
}

#[test]
fn a_number_is_used_once_in_a_contract() {
    let mut world = world();
    world.take("vet", requested(AT, "PA", 1));
    world.refuse(Code::PreauthorisationExists, "garage", requested(AT, "PA", 1));
    world.take("ins", with(issued(), json!({"contract": "ins/D"})));
    world.take("vet", with(requested(AT, "PA", 1), json!({"contract": "ins/D"})));
}

#[test]
fn what_is_replaced_or_answered_was_requested() {
    let mut world = world();
    let replacing = with(requested(AT, "PB", 1), json!({"data": {"replaces": "PA"}}));
    world.refuse(Code::UnknownReference, "vet", replacing.clone());
    world.refuse(Code::UnknownReference, "ins", answered(AT, "PA", 1, 0));
    world.refuse(Code::UnknownReference, "vet", released(AT, "PA"));
    world.take("vet", requested(AT, "PA", 1));
    world.take("vet", replacing);
    world.take("ins", answered(AT, "PA", 1, 0));
    world.refuse(Code::AlreadyAnswered, "ins", answered(AT, "PA", 1, 0));
}

#[test]
fn guarantee_and_share_are_the_sum_of_the_lines_to_the_cent() {
    let mut world = world();
    let lines = json!([{"code": "a", "amount": 60}, {"code": "b", "amount": 40}]);
    let not_covered = json!([{"code": "c", "amount": 7}]);
    let asked = json!({"data": {"lines": lines, "not_covered": not_covered}});
    world.take("vet", with(requested(AT, "PA", 0), asked));
    for (guaranteed, share) in [(80, 19), (80, 21), (100, 7)] {
        world.refuse(Code::SplitMismatch, "ins", answered(AT, "PA", guaranteed, share));
    }
    world.take("ins", answered(AT, "PA", 80, 20));
}

#[test]
fn a_hold_lasts_24_hours_to_the_second() {
    let mut world = world();
    world.take("vet", requested(AT, "PA", 1));
    for seconds in [86_399, 86_401, 0, -86_400] {
        let until = json!({"data": {"hold_until": seconds_after(AT, seconds)}});
        world.refuse(Code::HoldNot24h, "ins", with(answered(AT, "PA", 1, 0), until));
    }
    let fraction = json!({"data": {"hold_until": "2025-05-07T09:00:00.001+02:00"}});
    world.refuse(Code::HoldNot24h, "ins", with(answered(AT, "PA", 1, 0), fraction));
    let none = json!({"data": {"hold_until": null}});
    world.refuse(Code::HoldNot24h, "ins", with(answered(AT, "PA", 1, 0), none.clone()));
    // Nothing guaranteed is not held.
    world.take("ins", with(answered(AT, "PA", 0, 1), none));
    world.refuse(Code::NotHeld, "vet", released(AT, "PA"));
}

#[test]
fn amounts_are_in_the_currency_of_request_and_ceiling() {
    let mut world = world();
    let francs = json!({"data": {"currency": "CHF"}});
    world.take("vet", requested(AT, "PA", 1));
    world.refuse(Code::CurrencyMismatch, "ins", with(answered(AT, "PA", 1, 0), francs.clone()));
    world.take("ins", answered(AT, "PA", 1, 0));
    world.take("vet", with(requested(AT, "PB", 1), francs.clone()));
    world.refuse(Code::CurrencyMismatch, "ins", with(answered(AT, "PB", 1, 0), francs));
}

#[test]
fn spent_and_held_never_exceed_the_ceiling_by_a_cent() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 50_000));
    world.take("ins", decided(AT, "K", 50_000, 0));
    world.take("vet", requested(AT, "PA", 60_000));
    world.take("ins", answered(AT, "PA", 60_000, 0));
    world.take("garage", requested(AT, "PB", 50_000));
    world.refuse(Code::CeilingExceeded, "ins", answered(AT, "PB", 40_001, 9_999));
    world.take("ins", answered(AT, "PB", 40_000, 10_000));
    world.take("garage", requested(AT, "PC", 1));
    world.refuse(Code::CeilingExceeded, "ins", answered(AT, "PC", 1, 0));
    world.take("ins", answered(AT, "PC", 0, 1));
}

#[test]
fn a_hold_counts_on_its_last_second_and_not_after() {
    let mut world = held(150_000, 0);
    world.take("garage", requested(AT, "PB", 1));
    world.refuse(Code::CeilingExceeded, "ins", answered(LAST, "PB", 1, 0));
    world.take("ins", answered(OVER, "PB", 1, 0));
}

#[test]
fn an_answer_that_comes_late_counts_the_holds_after_it() {
    let mut world = held(150_000, 0);
    world.take("garage", requested("2025-05-05T09:00:00+02:00", "PB", 1));
    let before = answered("2025-05-06T08:00:00+02:00", "PB", 1, 0);
    world.refuse(Code::CeilingExceeded, "ins", before);
}

#[test]
fn a_hold_is_live_on_its_last_second() {
    let mut world = held(100, 0);
    let refusal = world.refuse(Code::HoldExpired, "vet", claimed(OVER, "K", "PA", 100));
    assert!(refusal.detail.contains("expired"), "{refusal}");
    world.refuse(Code::NotHeld, "vet", released(OVER, "PA"));
    world.refuse(Code::NotHeld, "vet", released("2025-05-06T08:59:59+02:00", "PA"));
    let mut other = world.clone();
    other.take("vet", released(LAST, "PA"));
    world.take("vet", claimed(LAST, "K", "PA", 100));
}

#[test]
fn a_hold_ends_once() {
    let mut claimed_once = held(100, 0);
    let mut released_once = claimed_once.clone();
    let first = claimed_once.take("vet", claimed(AT, "K", "PA", 60));
    let refusal = claimed_once.refuse(Code::HoldExpired, "vet", claimed(AT, "L", "PA", 40));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    claimed_once.refuse(Code::NotHeld, "vet", released(AT, "PA"));
    let first = released_once.take("ins", released(AT, "PA"));
    let refusal = released_once.refuse(Code::HoldExpired, "vet", claimed(AT, "L", "PA", 40));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    released_once.refuse(Code::NotHeld, "ins", released(AT, "PA"));
}

#[test]
fn claiming_spends_what_is_claimed_and_frees_the_rest() {
    let mut world = held(150_000, 0);
    world.take("vet", claimed(AT, "K", "PA", 100_000));
    let period = world.period("ins/C", 1);
    assert_eq!((period.spent.minor_units(), period.holds.len()), (100_000, 0));
    world.take("garage", requested(AT, "PB", 50_001));
    world.refuse(Code::CeilingExceeded, "ins", answered(AT, "PB", 50_001, 0));
    world.take("ins", answered(AT, "PB", 50_000, 1));
    // A decision corrects what is spent.
    world.take("ins", decided(AT, "K", 90_000, 10_000));
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 90_000);
}

#[test]
fn no_more_is_claimed_than_was_guaranteed() {
    let mut world = held(100, 20);
    world.refuse(Code::ClaimExceedsGuarantee, "vet", claimed(AT, "K", "PA", 101));
    let mut other = world.clone();
    world.take("vet", claimed(AT, "K", "PA", 100));
    // Where it does not say how much, it is all that is guaranteed.
    let all = json!({"data": {"claimed": null, "currency": null}});
    other.take("vet", with(claimed(AT, "K", "PA", 1), all));
    assert_eq!(other.claim("ins/K").claimed.unwrap().minor_units(), 100);
    assert_eq!(other.period("ins/C", 1).spent.minor_units(), 100);
}

#[test]
fn only_the_provider_that_asked_uses_its_hold() {
    let mut world = held(100, 0);
    world.refuse(Code::NotAParty, "garage", claimed(AT, "K", "PA", 100));
    world.refuse(Code::NotAParty, "garage", released(AT, "PA"));
    world.take("vet", claimed(AT, "K", "PA", 100));
}

#[test]
fn a_claim_on_a_hold_that_is_not_there_yet_is_refused() {
    let mut world = world();
    world.refuse(Code::UnknownReference, "vet", claimed(AT, "K", "PA", 1));
    world.take("vet", requested(AT, "PA", 2));
    world.refuse(Code::NotHeld, "vet", claimed(AT, "K", "PA", 1));
    world.take("ins", answered(AT, "PA", 2, 0));
    world.refuse(Code::NotHeld, "vet", claimed("2025-05-06T08:59:59+02:00", "K", "PA", 1));
    world.take("vet", claimed(AT, "K", "PA", 1));
}

#[test]
fn a_late_claim_does_not_take_what_another_holds_by_now() {
    let mut world = held(150_000, 0);
    world.take("garage", requested(AT, "PB", 100_000));
    world.take("ins", answered(OVER, "PB", 100_000, 0));
    world.refuse(Code::CeilingExceeded, "vet", claimed(LAST, "K", "PA", 50_001));
    world.take("vet", claimed(LAST, "K", "PA", 50_000));
}

#[test]
fn only_a_renewal_resets_the_ceiling() {
    let mut world = held(150_000, 0);
    world.take("vet", claimed(AT, "K", "PA", 150_000));
    let after = "2026-03-02T09:00:00+01:00";
    world.take("vet", requested(after, "PB", 1));
    world.refuse(Code::CeilingExceeded, "ins", answered(after, "PB", 1, 0));
    let data = json!({"version": 2, "period": {"from": "2026-03-01", "to": "2027-02-28"}});
    world.take("ins", record("contract.renewed", after, data));
    world.take("ins", answered(after, "PB", 1, 0));
}

#[test]
fn a_hold_of_the_last_day_is_paid_by_the_period_that_held_it() {
    let mut world = world();
    let data = json!({"version": 2, "period": {"from": "2026-03-01", "to": "2027-02-28"}});
    let last_day = "2026-02-28T12:00:00+01:00";
    world.take("vet", requested(last_day, "PA", 100));
    world.take("ins", answered(last_day, "PA", 100, 0));
    world.take("ins", record("contract.renewed", "2026-03-01T00:00:00+01:00", data));
    world.take("vet", claimed("2026-03-01T09:00:00+01:00", "K", "PA", 100));
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 100);
    assert_eq!(world.period("ins/C", 2).spent.minor_units(), 0);
}

#[test]
fn a_period_keeps_256_live_holds_and_forgets_those_that_are_over() {
    let mut world = world();
    for number in 0..257 {
        let number = format!("P-{number}");
        world.take("vet", requested(AT, &number, 1));
        if number != "P-256" {
            world.take("ins", answered(AT, &number, 1, 0));
        }
    }
    world.refuse(Code::TooLarge, "ins", answered(AT, "P-256", 1, 0));
    world.take("ins", answered(OVER, "P-256", 1, 0));
    assert_eq!(world.period("ins/C", 1).holds.len(), 1);
}

#[test]
fn without_a_ceiling_anything_can_be_guaranteed() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"annual_ceiling": null}})));
    world.take("vet", requested(AT, "PA", 9_007_199_254_740_991));
    world.take("ins", answered(AT, "PA", 9_007_199_254_740_991, 0));
}
