//! Documents: red and green, deadlines, what is never asked for.

use super::*;

const AT: &str = "2025-04-01T09:00:00+02:00";

fn asked(items: Value, due: &str) -> Value {
    record("document.requested", AT, json!({"items": items, "due": due}))
}

fn assessed(item: &str, verdict: &str) -> Value {
    record("document.assessed", AT, json!({"item": item, "verdict": verdict}))
}

fn card() -> Value {
    record("document.issued", AT, json!({"kind": "green_card"}))
}

fn debit() -> Value {
    let data = json!({"receipt": "R", "due_on": "2025-05-01", "amount": 1, "currency": "EUR",
        "status": "due", "direct_debit": true});
    record("contract.premium", AT, data)
}

fn terminated(at: &str) -> Value {
    record("contract.terminated", at, json!({"reason": "missing_documents"}))
}

#[test]
fn the_dossier_is_red_until_each_item_is_accepted_and_again_when_one_no_longer_is() {
    let mut world = world();
    world.take("broker", card());
    world.take("broker", asked(json!(["licence", "papers"]), "2025-05-01"));
    world.refuse(Code::DossierRed, "broker", card());
    world.take("broker", assessed("licence", "accepted"));
    world.take("broker", assessed("licence", "accepted"));
    world.take("broker", assessed("papers", "unreadable"));
    let refusal = world.refuse(Code::DossierRed, "broker", card());
    let asked_by = world.records[2].id();
    let ending = format!("not accepted then: papers (record {asked_by})");
    assert!(refusal.detail.ends_with(&ending), "{refusal}");
    world.refuse(Code::DossierRed, "ins", debit());
    world.take("broker", assessed("papers", "accepted"));
    world.take("broker", card());
    world.take("ins", debit());
    world.take("broker", assessed("papers", "rejected"));
    world.refuse(Code::DossierRed, "broker", card());
    let seen = record("document.received", AT, json!({"item": "papers"}));
    world.take("broker", seen.clone());
    world.refuse(Code::DossierRed, "broker", card());
    world.take("broker", with(seen, json!({"data": {"verdict": "accepted"}})));
    world.take("broker", card());
    // Asking again asks for another one.
    world.take("broker", asked(json!(["licence"]), "2025-06-01"));
    world.refuse(Code::DossierRed, "broker", card());
}

#[test]
fn red_stops_papers_of_cover_and_debits_only() {
    let mut world = world();
    world.take("broker", asked(json!(["licence"]), "2025-05-01"));
    for kind in ["green_card", "certificate", "vehicle_memo"] {
        let paper = record("document.issued", AT, json!({ "kind": kind }));
        world.refuse(Code::DossierRed, "broker", paper);
    }
    world.take("broker", record("document.issued", AT, json!({"kind": "conditions"})));
    world.take("ins", with(debit(), json!({"data": {"direct_debit": false}})));
    world.take("ins", with(debit(), json!({"data": {"direct_debit": null}})));
}

#[test]
fn where_red_is_only_flagged_the_paper_goes_out() {
    let mut world = World::flagging();
    world.take("ins", issued());
    world.take("broker", asked(json!(["licence"]), "2025-05-01"));
    world.take("broker", card());
    assert_eq!(world.last_flags(), ["dossier_red"]);
    world.take("ins", debit());
    assert_eq!(world.last_flags(), ["dossier_red"]);
}

#[test]
fn a_contract_ends_for_missing_documents_from_the_day_after_the_first_was_due() {
    let mut world = world();
    world.refuse(Code::DossierGreen, "ins", terminated("2025-05-02T00:00:00+02:00"));
    world.take("broker", asked(json!(["licence"]), "2025-05-01"));
    world.take("broker", asked(json!(["papers"]), "2025-06-01"));
    world.refuse(Code::DeadlineNotPassed, "ins", terminated("2025-05-01T23:59:59+02:00"));
    // Once the first came in, the second's day counts.
    let mut other = world.clone();
    other.take("broker", assessed("licence", "accepted"));
    other.refuse(Code::DeadlineNotPassed, "ins", terminated("2025-05-02T00:00:00+02:00"));
    other.refuse(Code::DeadlineNotPassed, "ins", terminated("2025-06-01T23:59:59+02:00"));
    other.take("broker", assessed("papers", "accepted"));
    other.refuse(Code::DossierGreen, "ins", terminated("2025-06-02T00:00:00+02:00"));
    world.take("ins", terminated("2025-05-02T00:00:00+02:00"));
    world.refuse(Code::PolicyNotInForce, "ins", terminated("2025-05-03T00:00:00+02:00"));
}

#[test]
fn an_item_was_asked_for_or_came_with_the_claim() {
    let mut world = world();
    let received = record("document.received", AT, json!({"item": "invoice"}));
    let of_claim = |record: Value| with(record, json!({"claim": "ins/K"}));
    world.refuse(Code::UnknownReference, "broker", received.clone());
    world.refuse(Code::UnknownReference, "broker", assessed("invoice", "accepted"));
    let claim = with(opened(AT, "K", 1), json!({"data": {"attached": ["invoice"]}}));
    world.take("broker", claim);
    world.take("broker", of_claim(assessed("invoice", "unreadable")));
    world.refuse(Code::UnknownReference, "broker", received);
    world.refuse(Code::UnknownReference, "broker", of_claim(assessed("report", "accepted")));
    world.take("broker", of_claim(asked(json!(["report"]), "2025-05-01")));
    world.take("broker", of_claim(assessed("report", "accepted")));
    world.refuse(Code::UnknownReference, "broker", assessed("report", "accepted"));
    // What a claim lacks does not make the contract's dossier red.
    world.take("broker", of_claim(asked(json!(["photos"]), "2025-05-01")));
    world.take("broker", card());
    // What the contract lacks may come with a claim.
    world.take("broker", asked(json!(["licence"]), "2025-05-01"));
    world.take("broker", of_claim(assessed("licence", "accepted")));
    world.take("broker", card());
}

#[test]
fn a_dossier_asks_for_256_documents_and_no_more() {
    let mut world = world();
    let items: Vec<_> = (0..256).map(|number| format!("item-{number}")).collect();
    world.take("broker", asked(json!(items), "2025-05-01"));
    world.take("broker", asked(json!(items[..2]), "2025-05-01"));
    world.refuse(Code::TooLarge, "broker", asked(json!(["one more"]), "2025-05-01"));
}

#[test]
fn nobody_has_a_document_before_it_was_asked_for() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let asked =
        |day: u8| with(asked(json!(["licence"]), "2025-07-01"), json!({"occurred_at": on(day)}));
    let word = |day: u8| with(assessed("licence", "accepted"), json!({"occurred_at": on(day)}));
    let received = |day: u8| record("document.received", &on(day), json!({"item": "licence"}));
    let mut world = world();
    world.take("broker", asked(10));
    let first = world.records[1].id();
    for early in [word(9), received(9)] {
        let refusal = world.refuse(Code::UnknownReference, "broker", early);
        assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
        assert!(refusal.detail.contains(&first.to_string()), "{refusal}");
    }
    world.take("broker", received(10));
    // Told late, it was asked for before that; what came then was not for the later one.
    let late = world.take("broker", asked(5));
    world.refuse(Code::UnknownReference, "broker", word(4));
    world.take("broker", word(9));
    world.take("broker", received(5));
    world.refuse(Code::DossierRed, "broker", with(card(), json!({"occurred_at": on(11)})));
    // Asked for again, it had been asked for all the same.
    world.take("broker", asked(20));
    world.take("broker", word(12));
    world.take("broker", with(asked(6), json!({"corrects": late.id()})));
    world.take("broker", word(5));
}

#[test]
fn a_corrected_request_is_not_moved_behind_what_was_found() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let asked =
        |day: u8| with(asked(json!(["licence"]), "2025-07-01"), json!({"occurred_at": on(day)}));
    let word = |day: u8| with(assessed("licence", "accepted"), json!({"occurred_at": on(day)}));
    let mut world = world();
    let first = world.take("broker", asked(10));
    let found = world.take("broker", word(12));
    let refusal = world.refuse(
        Code::UnknownReference,
        "broker",
        with(asked(13), json!({"corrects": first.id()})),
    );
    assert!(refusal.detail.contains(&found.id().to_string()), "{refusal}");
    world.refuse(Code::UnknownReference, "broker", with(word(9), json!({"corrects": found.id()})));
    let first = world.take("broker", with(asked(11), json!({"corrects": first.id()})));
    world.refuse(Code::UnknownReference, "broker", word(10));
    world.take("broker", with(word(14), json!({"corrects": found.id()})));
    world.take("broker", with(asked(13), json!({"corrects": first.id()})));
    world.take("broker", with(card(), json!({"occurred_at": on(14)})));
}

#[test]
fn what_came_with_a_claim_may_be_looked_at_before_it_is_asked_for_again() {
    let of_claim =
        |record: Value, at: &str| with(record, json!({"claim": "ins/K", "occurred_at": at}));
    let mut world = world();
    let claim = with(opened(AT, "K", 1), json!({"data": {"attached": ["invoice"]}}));
    world.take("broker", claim);
    let (before, after) = ("2025-04-02T09:00:00+02:00", "2025-04-03T09:00:00+02:00");
    let asked = asked(json!(["invoice", "report"]), "2025-05-01");
    world.take("broker", of_claim(asked, after));
    world.take("broker", of_claim(assessed("invoice", "unreadable"), before));
    world.refuse(
        Code::UnknownReference,
        "broker",
        of_claim(assessed("report", "rejected"), before),
    );
}
