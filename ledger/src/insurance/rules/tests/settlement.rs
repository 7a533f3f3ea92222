//! Settlements: rounds, notices, answers, signatures.

use super::*;

const AT: &str = "2025-05-06T09:00:00+02:00";
const TOLD: &str = "2025-05-07T09:00:00+02:00";
const SIGNED: &str = "2025-05-08T09:00:00+02:00";

fn offered(round: u64, amount: u64) -> Value {
    let data = json!({"round": round, "amount": amount, "currency": "EUR"});
    of_claim("settlement.offered", AT, "K", data)
}

fn notified(round: u64) -> Value {
    of_claim("settlement.notified", TOLD, "K", json!({"round": round, "to": "policyholder"}))
}

fn objected(at: &str, round: u64) -> Value {
    of_claim("settlement.answered", at, "K", json!({"round": round, "answer": "objected"}))
}

fn accepted(at: &str, round: u64, signature: &str) -> Value {
    let data = json!({"round": round, "answer": "accepted", "signature": signature});
    of_claim("settlement.answered", at, "K", data)
}

pub(super) fn sign_offer(world: &mut World, number: &str, round: u64) {
    sign_offer_at(world, number, round, (TOLD, SIGNED));
}

/// Signs an offer, asked for at one moment and completed at another.
pub(super) fn sign_offer_at(world: &mut World, number: &str, round: u64, at: (&str, &str)) {
    let target = json!({"settlement": "ins/K", "round": round});
    let data = json!({"signature": number, "target": target, "signer": "policyholder",
        "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    world.take("broker", record("signature.requested", at.0, data));
    let data = json!({"signature": number, "channel": "sms"});
    world.take("otp", record("signature.challenged", at.0, data));
    let data = json!({"signature": number, "level": "SES"});
    world.take("otp", record("signature.completed", at.1, data));
}

fn with_claim() -> World {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100_000));
    world
}

#[test]
fn rounds_follow_each_other_until_one_is_accepted() {
    let mut world = with_claim();
    world.refuse(Code::RoundGap, "ins", offered(2, 50));
    world.take("ins", offered(1, 50));
    world.refuse(Code::RoundGap, "ins", offered(1, 60));
    world.refuse(Code::RoundGap, "ins", offered(3, 60));
    // An offer may be followed by a better one before it was answered.
    world.take("ins", offered(2, 60));
    world.refuse(Code::RoundGap, "broker", notified(1));
    world.refuse(Code::UnknownReference, "broker", notified(3));
    world.take("broker", notified(2));
    sign_offer(&mut world, "S", 2);
    world.take("broker", accepted(SIGNED, 2, "S"));
    world.refuse(Code::RoundGap, "ins", offered(3, 70));
    world.refuse(Code::RoundGap, "broker", notified(2));
}

#[test]
fn nothing_is_offered_on_a_closed_claim() {
    let mut world = with_claim();
    world.take("ins", of_claim("claim.closed", AT, "K", json!({"paid": 0, "currency": "EUR"})));
    world.refuse(Code::ClaimState, "ins", offered(1, 50));
}

#[test]
fn an_answer_is_to_the_open_round_and_after_it_was_told() {
    let mut world = with_claim();
    world.refuse(Code::RoundGap, "broker", objected(TOLD, 1));
    world.take("ins", offered(1, 50));
    world.refuse(Code::NotNotified, "broker", objected(TOLD, 1));
    world.take("broker", notified(1));
    world.refuse(Code::NotNotified, "broker", objected("2025-05-07T08:59:59+02:00", 1));
    world.refuse(Code::RoundGap, "broker", objected(TOLD, 2));
    let first = world.take("broker", objected(TOLD, 1));
    let refusal = world.refuse(Code::RoundGap, "broker", objected(TOLD, 1));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    world.take("ins", offered(2, 60));
    // The notice of one round is none of the next.
    world.refuse(Code::NotNotified, "broker", objected(TOLD, 2));
}

#[test]
fn an_offer_is_accepted_by_a_completed_signature_on_that_very_offer() {
    let mut world = with_claim();
    world.take("ins", offered(1, 50));
    world.take("broker", notified(1));
    sign_offer(&mut world, "S-1", 1);
    world.take("broker", objected(TOLD, 1));
    world.take("ins", offered(2, 60));
    world.take("broker", notified(2));
    let incomplete = Code::SignatureIncomplete;
    let unsigned = with(accepted(SIGNED, 2, "S-2"), json!({"data": {"signature": null}}));
    world.refuse(incomplete, "broker", unsigned);
    world.refuse(incomplete, "broker", accepted(SIGNED, 2, "S-2"));
    world.refuse(incomplete, "broker", accepted(SIGNED, 2, "S-1"));
    let of_contract = json!({"signature": "S-0", "target": {"contract": "ins/C", "version": 1},
        "signer": "policyholder", "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    world.take("broker", record("signature.requested", TOLD, of_contract));
    world.refuse(incomplete, "broker", accepted(SIGNED, 2, "S-0"));
    sign_offer(&mut world, "S-2", 2);
    world.refuse(incomplete, "broker", accepted("2025-05-08T08:59:59+02:00", 2, "S-2"));
    world.take("broker", accepted(SIGNED, 2, "S-2"));
}

#[test]
fn a_signature_that_is_not_completed_accepts_nothing() {
    let mut world = with_claim();
    world.take("ins", offered(1, 50));
    world.take("broker", notified(1));
    let target = json!({"settlement": "ins/K", "round": 1});
    let data = json!({"signature": "S", "target": target, "signer": "policyholder",
        "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    world.take("broker", record("signature.requested", TOLD, data));
    world.refuse(Code::SignatureIncomplete, "broker", accepted(SIGNED, 1, "S"));
    world.take(
        "otp",
        record("signature.challenged", TOLD, json!({"signature": "S", "channel": "sms"})),
    );
    world.refuse(Code::SignatureIncomplete, "broker", accepted(SIGNED, 1, "S"));
    world.take(
        "otp",
        record("signature.completed", SIGNED, json!({"signature": "S", "level": "SES"})),
    );
    world.take("broker", accepted(SIGNED, 1, "S"));
}

#[test]
fn what_is_accepted_is_spent_under_the_ceiling() {
    for (amount, fits) in [(150_000, true), (150_001, false)] {
        let mut world = with_claim();
        world.take("ins", offered(1, amount));
        world.take("broker", notified(1));
        sign_offer(&mut world, "S", 1);
        if fits {
            world.take("broker", accepted(SIGNED, 1, "S"));
            assert_eq!(world.period("ins/C", 1).spent.minor_units(), amount);
        } else {
            world.refuse(Code::CeilingExceeded, "broker", accepted(SIGNED, 1, "S"));
        }
    }
}

/// A claim of which no amount is known, on a contract with or without a ceiling.
fn without_amount(ceiling: bool) -> World {
    let mut world = World::new();
    let none = json!({"data": {"annual_ceiling": null, "currency": null}});
    world.take("ins", if ceiling { issued() } else { with(issued(), none) });
    let nothing = json!({"data": {"claimed": null, "currency": null}});
    world.take("broker", with(opened(AT, "K", 1), nothing));
    world
}

#[test]
fn offers_and_decisions_are_in_the_currency_of_the_ceiling_even_those_of_nothing() {
    let mut world = without_amount(true);
    let francs = json!({"data": {"currency": "CHF"}});
    world.refuse(Code::CurrencyMismatch, "ins", with(offered(1, 500), francs.clone()));
    world.refuse(Code::CurrencyMismatch, "ins", with(decided(AT, "K", 0, 0), francs));
    world.take("ins", offered(1, 500));
    world.take("ins", decided(AT, "K", 0, 0));
}

#[test]
fn a_wrong_currency_goes_with_the_offer_or_the_decision_that_brought_it() {
    let francs = json!({"data": {"currency": "CHF"}});
    for record in [offered(1, 500), decided(AT, "K", 500, 0), decided(AT, "K", 0, 500)] {
        let corrects = |old: &Record| json!({"corrects": old.id()});
        let mut world = without_amount(false);
        let wrong = world.take("ins", with(record.clone(), francs.clone()));
        let more = if record["type"] == "claim.decided" {
            offered(1, 1)
        } else {
            decided(AT, "K", 500, 0)
        };
        world.refuse(Code::CurrencyMismatch, "ins", more.clone());
        let right = world.take("ins", with(record.clone(), corrects(&wrong)));
        world.refuse(Code::CurrencyMismatch, "ins", with(more.clone(), francs.clone()));
        world.take("ins", more);
        let period = world.period("ins/C", 1);
        let spent = world.claim("ins/K").counted;
        assert_eq!(period.spent, spent, "{record}");
        // Something else is in that currency now.
        let again = with(with(record.clone(), francs.clone()), corrects(&right));
        world.refuse(Code::CurrencyMismatch, "ins", again);
    }
    // One that the claim was opened in stays.
    let mut world = World::new();
    let none = json!({"data": {"annual_ceiling": null, "currency": null}});
    world.take("ins", with(issued(), none));
    world.take("broker", opened(AT, "K", 500));
    let offer = world.take("ins", offered(1, 500));
    let wrong = with(with(offered(1, 500), francs), json!({"corrects": offer.id()}));
    world.refuse(Code::CurrencyMismatch, "ins", wrong);
}

#[test]
fn a_decision_is_corrected_in_its_own_currency_beside_a_hold_that_has_run_out() {
    let mut world = without_amount(true);
    world.take("vet", requested(AT, "PA", 75_000));
    world.take("ins", answered(AT, "PA", 75_000, 0));
    let (soon, later) = (seconds_after(AT, 3_600), seconds_after(AT, 5 * 86_400));
    let first = world.take("ins", decided(&soon, "K", 45_000, 0));
    world.take("broker", opened(&later, "J", 90_000));
    world.take("ins", decided(&later, "J", 90_000, 0));
    let lower = with(decided(&soon, "K", 30_000, 0), json!({"corrects": first.id()}));
    let second = world.take("ins", lower);
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 120_000);
    // The currency may still have been a typing error, but not of more than there is.
    let more =
        |approved: u64| with(decided(&soon, "K", approved, 0), json!({"corrects": second.id()}));
    world.refuse(Code::CeilingExceeded, "ins", more(60_001));
    // The hold and claim J are never there together.
    world.take("ins", more(60_000));
}
