//! Claims: ways in, numbers, decisions, the end.

use super::*;

const AT: &str = "2025-05-06T09:00:00+02:00";

fn registered(claim: &str, number: &str) -> Value {
    of_claim("claim.registered", AT, claim, json!({ "number": number }))
}

fn state_of(claim: &str) -> Value {
    of_claim("claim.state", AT, claim, json!({"state": "in_review"}))
}

fn disputed(claim: &str) -> Value {
    of_claim("claim.disputed", AT, claim, json!({"between": ["ins", "policyholder"]}))
}

fn closed(claim: &str, paid: u64) -> Value {
    of_claim("claim.closed", AT, claim, json!({"paid": paid, "currency": "EUR"}))
}

#[test]
fn claims_come_in_by_the_four_ways_that_are_open() {
    let mut world = world();
    let by = |channel: &str| with(opened(AT, channel, 1), json!({"data": {"channel": channel}}));
    for channel in ["email", "contact_form", "Portal", "phone"] {
        world.refuse(Code::ChannelNotAccepted, "broker", by(channel));
    }
    for channel in ["vet_system", "crm", "insurer"] {
        world.take("broker", by(channel));
    }
}

#[test]
fn a_claim_through_the_portal_comes_with_care_sheet_and_invoice() {
    let mut world = world();
    let with_documents = |attached: Value| {
        with(opened(AT, "K", 1), json!({"data": {"channel": "portal", "attached": attached}}))
    };
    for attached in [json!([]), json!(["care_sheet"]), json!(["invoice", "photos"])] {
        world.refuse(Code::MandatoryDocumentMissing, "broker", with_documents(attached));
    }
    world.take("broker", with_documents(json!(["invoice", "photos", "care_sheet"])));
}

#[test]
fn what_is_wrong_with_a_claim_is_said_in_this_order() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1));
    let all_wrong =
        with(claimed("2024-01-01T00:00:00Z", "K", "PA", 1), json!({"data": {"channel": "email"}}));
    world.refuse(Code::ChannelNotAccepted, "vet", all_wrong.clone());
    let portal = with(all_wrong, json!({"data": {"channel": "portal"}}));
    world.refuse(Code::MandatoryDocumentMissing, "vet", portal.clone());
    let attached = with(portal, json!({"data": {"attached": ["care_sheet", "invoice"]}}));
    world.refuse(Code::ClaimExists, "vet", attached.clone());
    let new = with(attached, json!({"claim": "ins/L"}));
    world.refuse(Code::PolicyNotInForce, "vet", new.clone());
    world.refuse(Code::UnknownReference, "vet", with(new, json!({ "occurred_at": AT })));
}

#[test]
fn an_insurer_gives_a_number_to_one_claim_and_a_claim_one_number() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 1));
    world.take("broker", opened(AT, "L", 1));
    let first = world.take("ins", registered("K", "N-1"));
    let refusal = world.refuse(Code::ClaimNumberTaken, "ins", registered("L", "N-1"));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    world.refuse(Code::ClaimState, "ins", registered("K", "N-2"));
    world.take("ins", registered("L", "N-2"));
    // Another insurer counts for itself.
    world.take("other", with(issued(), json!({"contract": "other/C"})));
    let of_other = json!({"contract": "other/C", "claim": "other/K"});
    world.take("broker", with(opened(AT, "K", 1), of_other.clone()));
    world.take("other", with(registered("K", "N-1"), of_other));
}

#[test]
fn a_claim_is_decided_once_and_again_after_a_dispute() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", state_of("K"));
    world.take("ins", state_of("K"));
    let first = world.take("ins", decided(AT, "K", 60, 40));
    let refusal = world.refuse(Code::ClaimState, "ins", decided(AT, "K", 70, 30));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    world.refuse(Code::ClaimState, "ins", state_of("K"));
    world.take("vet", disputed("K"));
    world.take("ins", state_of("K"));
    world.take("ins", decided(AT, "K", 70, 30));
    world.refuse(Code::ClaimState, "ins", decided(AT, "K", 80, 20));
    assert_eq!(world.period("ins/C", 1).spent.minor_units(), 70);
}

#[test]
fn nothing_is_decided_on_a_closed_claim() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", closed("K", 0));
    world.refuse(Code::ClaimState, "ins", decided(AT, "K", 60, 40));
    world.take("broker", disputed("K"));
    world.refuse(Code::ClaimState, "ins", decided(AT, "K", 60, 40));
    world.refuse(Code::ClaimState, "ins", state_of("K"));
    world.refuse(Code::ClaimState, "ins", closed("K", 0));
}

#[test]
fn approved_and_refused_are_what_was_claimed_to_the_cent() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    for (approved, refused) in [(60, 39), (60, 41), (99, 0), (0, 101)] {
        world.refuse(Code::SplitMismatch, "ins", decided(AT, "K", approved, refused));
    }
    let as_approved = json!({"data": {"outcome": "approved"}});
    world.refuse(Code::SplitMismatch, "ins", with(decided(AT, "K", 60, 40), as_approved));
    let as_refused = json!({"data": {"outcome": "refused"}});
    world.refuse(Code::SplitMismatch, "ins", with(decided(AT, "K", 60, 40), as_refused));
    world.take("ins", decided(AT, "K", 60, 40));
    // Where nobody said how much was claimed, the insurer does.
    let unknown = with(opened(AT, "L", 1), json!({"data": {"claimed": null, "currency": null}}));
    world.take("broker", unknown);
    world.take("ins", decided(AT, "L", 7, 3));
}

#[test]
fn a_claim_has_one_currency() {
    let mut world = world();
    let francs = json!({"data": {"currency": "CHF"}});
    world.refuse(Code::CurrencyMismatch, "broker", with(opened(AT, "K", 100), francs.clone()));
    world.take("broker", opened(AT, "K", 100));
    world.refuse(Code::CurrencyMismatch, "ins", with(decided(AT, "K", 60, 40), francs.clone()));
    world.take("ins", decided(AT, "K", 60, 40));
    world.refuse(Code::CurrencyMismatch, "ins", with(paid(AT, "K", 60), francs.clone()));
    world.refuse(Code::CurrencyMismatch, "ins", with(closed("K", 0), francs));
}

#[test]
fn a_decision_stays_under_the_ceiling_to_the_cent() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 150_001));
    world.refuse(Code::CeilingExceeded, "ins", decided(AT, "K", 150_001, 0));
    world.take("ins", decided(AT, "K", 150_000, 1));
    world.take("broker", opened(AT, "L", 1));
    world.refuse(Code::CeilingExceeded, "ins", decided(AT, "L", 1, 0));
    world.take("ins", decided(AT, "L", 0, 1));
}

#[test]
fn no_less_is_approved_than_is_paid() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 60, 40));
    world.take("ins", paid(AT, "K", 50));
    world.take("broker", disputed("K"));
    world.refuse(Code::PaidExceedsApproved, "ins", decided(AT, "K", 49, 51));
    world.take("ins", decided(AT, "K", 50, 50));
}

#[test]
fn a_claim_closes_with_what_was_paid_to_the_cent() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 60, 40));
    world.take("ins", paid(AT, "K", 60));
    let returned = json!({"data": {"status": "returned"}});
    world.take("ins", with(paid(AT, "K", 20), returned));
    for total in [39, 41, 60] {
        world.refuse(Code::TotalMismatch, "ins", closed("K", total));
    }
    world.take("ins", closed("K", 40));
    world.refuse(Code::ClaimState, "ins", closed("K", 40));
}
