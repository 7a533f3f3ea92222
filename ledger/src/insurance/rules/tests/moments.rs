//! Rules go by when things happened: nothing is built on what came later, and what
//! is told late is judged as it was then.

use super::*;

const BEFORE: &str = "2025-05-06T08:59:59+02:00";
const AT: &str = "2025-05-06T09:00:00+02:00";

fn returned(at: &str, amount: u64, payee: &str) -> Value {
    with(paid(at, "K", amount), json!({"data": {"status": "returned", "payee": payee}}))
}

#[test]
fn nothing_is_done_about_a_claim_before_it_is_open() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    let offer = json!({"round": 1, "amount": 50, "currency": "EUR"});
    for (signer, record) in [
        ("ins", of_claim("claim.registered", BEFORE, "K", json!({"number": "N"}))),
        ("ins", of_claim("claim.state", BEFORE, "K", json!({"state": "in_review"}))),
        ("ins", decided(BEFORE, "K", 100, 0)),
        ("broker", of_claim("claim.disputed", BEFORE, "K", json!({"between": ["ins"]}))),
        ("ins", of_claim("claim.closed", BEFORE, "K", json!({"paid": 0, "currency": "EUR"}))),
        ("ins", of_claim("settlement.offered", BEFORE, "K", offer)),
    ] {
        let refusal = world.refuse(Code::ClaimState, signer, record);
        assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
        assert!(refusal.detail.contains(&world.records[1].id().to_string()), "{refusal}");
    }
    // Its documents may have come before.
    let asked = json!({"items": ["invoice"], "due": "2025-06-01"});
    world.take("broker", of_claim("document.requested", BEFORE, "K", asked));
    world.take("ins", decided(AT, "K", 100, 0));
}

#[test]
fn nothing_is_paid_a_second_before_it_was_decided() {
    let mut world = world();
    world.take("broker", opened(BEFORE, "K", 100));
    world.take("ins", decided(AT, "K", 100, 0));
    world.refuse(Code::NotDecided, "ins", paid(BEFORE, "K", 1));
    world.take("ins", paid(AT, "K", 1));
    // Another decision leaves what the first one allowed, but is not older.
    world.take("broker", of_claim("claim.disputed", AT, "K", json!({"between": ["ins"]})));
    world.refuse(Code::ClaimState, "ins", decided(BEFORE, "K", 90, 10));
    world.take("ins", decided("2025-05-07T09:00:00+02:00", "K", 90, 10));
    world.take("ins", paid(AT, "K", 1));
}

#[test]
fn a_dispute_that_is_told_late_opens_no_later_decision() {
    let mut world = world();
    let disputed =
        |at: &str| of_claim("claim.disputed", at, "K", json!({"between": ["policyholder"]}));
    world.take("broker", opened(BEFORE, "K", 100));
    world.take("ins", decided(AT, "K", 0, 100));
    world.take("broker", disputed(BEFORE));
    world.refuse(Code::ClaimState, "ins", decided(AT, "K", 100, 0));
    world.take("broker", disputed(AT));
    world.take("ins", decided(AT, "K", 100, 0));
}

#[test]
fn money_comes_back_only_from_whom_it_went_to_and_after_it_went() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 100, 0));
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    world.take("ins", paid(&on(10), "K", 60));
    world.refuse(Code::TotalMismatch, "ins", returned(&on(12), 1, "vet"));
    world.refuse(Code::TotalMismatch, "ins", returned(&on(9), 1, "policyholder"));
    world.take("ins", returned(&on(12), 50, "policyholder"));
    // Told late, it does not come back twice either.
    world.refuse(Code::TotalMismatch, "ins", returned(&on(11), 11, "policyholder"));
    world.take("ins", returned(&on(11), 10, "policyholder"));
}

#[test]
fn an_offer_is_told_once_it_is_made_and_the_next_is_not_older() {
    let mut world = world();
    let offered = |at: &str, round: u64| {
        let data = json!({"round": round, "amount": 50, "currency": "EUR"});
        of_claim("settlement.offered", at, "K", data)
    };
    let told = |at: &str| {
        let data = json!({"round": 1, "to": "policyholder"});
        of_claim("settlement.notified", at, "K", data)
    };
    world.take("broker", opened(BEFORE, "K", 100));
    world.take("ins", offered(AT, 1));
    world.refuse(Code::RoundGap, "broker", told(BEFORE));
    world.take("broker", told(AT));
    world.refuse(Code::RoundGap, "ins", offered(BEFORE, 2));
    world.take("ins", offered(AT, 2));
}

#[test]
fn a_preauthorisation_is_answered_once_it_is_asked_for() {
    let mut world = world();
    world.take("vet", requested(AT, "PA", 100));
    let refusal = world.refuse(Code::UnknownReference, "ins", answered(BEFORE, "PA", 100, 0));
    assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    world.take("ins", answered(AT, "PA", 100, 0));
}

#[test]
fn a_hold_that_began_later_leaves_room_for_one_that_had_ended_by_then() {
    let mut world = world();
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    for number in ["PA", "PB", "PC", "PD"] {
        world.take("vet", requested(&on(1), number, 100_000));
    }
    world.take("ins", answered(&on(10), "PA", 100_000, 0));
    // Told late: over a second before the other began, and then touching it.
    let day_before = |second: i64| seconds_after(&on(9), second);
    world.refuse(Code::CeilingExceeded, "ins", answered(&day_before(0), "PB", 100_000, 0));
    world.take("ins", answered(&day_before(-1), "PB", 100_000, 0));
    // What is spent from a moment on stands beside every later hold.
    world.take("ins", answered(&on(5), "PC", 100_000, 0));
    let too_much = claimed(&on(5), "K", "PC", 50_001);
    world.refuse(Code::CeilingExceeded, "vet", too_much);
    world.take("vet", claimed(&on(5), "K", "PC", 50_000));
}

#[test]
fn a_code_is_sent_once_the_signature_is_asked_for_and_a_late_failure_voids_no_later_code() {
    let mut world = world();
    let of =
        |kind: &str, at: &str, more: Value| record(kind, at, with(json!({"signature": "S"}), more));
    let target = json!({"target": {"contract": "ins/C", "version": 1}, "signer": "policyholder",
        "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    let sms = json!({"channel": "sms"});
    let declined = json!({"reason": "declined", "attempt": 1});
    world.take("broker", of("signature.requested", AT, target));
    world.refuse(Code::SignatureState, "otp", of("signature.challenged", BEFORE, sms.clone()));
    world.refuse(Code::SignatureState, "otp", of("signature.failed", BEFORE, declined.clone()));
    let later = "2025-05-06T10:00:00+02:00";
    world.take("otp", of("signature.challenged", later, sms.clone()));
    world.take("otp", of("signature.failed", AT, declined.clone()));
    world.take("otp", of("signature.completed", later, json!({"level": "SES"})));
}

#[test]
fn papers_and_ends_are_judged_by_the_documents_of_their_moment() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let mut world = world();
    let asked = json!({"items": ["licence"], "due": "2025-05-10"});
    let card = |at: &str| record("document.issued", at, json!({"kind": "green_card"}));
    let assessed = |at: &str, verdict: &str| {
        record("document.assessed", at, json!({"item": "licence", "verdict": verdict}))
    };
    let ended =
        |at: &str| record("contract.terminated", at, json!({"reason": "missing_documents"}));
    world.take("broker", record("document.requested", &on(2), asked));
    // Before it was asked for, nothing was missing.
    world.take("broker", card(&on(1)));
    world.refuse(Code::DossierRed, "broker", card(&on(2)));
    world.take("broker", assessed(&on(15), "accepted"));
    world.refuse(Code::DossierRed, "broker", card(&seconds_after(&on(15), -1)));
    world.take("broker", card(&on(15)));
    // Told late, that it was no good before: it is good all the same.
    world.take("broker", assessed(&on(14), "unreadable"));
    world.take("broker", card(&on(15)));
    // On the 12th it was missing, whatever came in since.
    world.refuse(Code::DossierGreen, "ins", ended(&on(15)));
    world.take("ins", ended(&on(12)));
}

#[test]
fn what_was_accepted_once_counts_for_its_time_whatever_was_found_since() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let mut world = world();
    let asked = |day: u8, due: u8| {
        let data = json!({"items": ["licence"], "due": format!("2025-05-{due:02}")});
        record("document.requested", &on(day), data)
    };
    let assessed = |day: u8, verdict: &str| {
        record("document.assessed", &on(day), json!({"item": "licence", "verdict": verdict}))
    };
    let card = |day: u8| record("document.issued", &on(day), json!({"kind": "green_card"}));
    let missing = json!({"reason": "missing_documents"});
    let ended = |day: u8| record("contract.terminated", &on(day), missing.clone());
    world.take("broker", asked(1, 5));
    world.take("ins", assessed(2, "accepted"));
    world.take("ins", assessed(20, "rejected"));
    world.take("broker", card(10));
    world.refuse(Code::DossierGreen, "ins", ended(10));
    world.refuse(Code::DossierRed, "broker", card(1));
    world.refuse(Code::DossierRed, "broker", card(20));
    // Asked for once more, it is missing from then on and was not in between.
    world.take("ins", assessed(22, "accepted"));
    world.take("broker", asked(25, 28));
    world.take("broker", card(24));
    world.refuse(Code::DossierRed, "broker", card(21));
    world.refuse(Code::DossierGreen, "ins", ended(24));
    world.refuse(Code::DeadlineNotPassed, "ins", ended(28));
    world.take("ins", ended(21));
}

#[test]
fn where_it_is_not_remembered_what_was_missing_no_paper_and_no_end_is_taken() {
    let day = |day: i64| seconds_after("2025-04-01T12:00:00Z", day * 86_400);
    let mut world = world();
    let asked = json!({"items": ["licence", "photo"], "due": "2025-04-01"});
    world.take("broker", record("document.requested", &day(0), asked));
    let assessed = |at: i64, item: &str, accepted: bool| {
        let verdict = if accepted { "accepted" } else { "rejected" };
        record("document.assessed", &day(at), json!({"item": item, "verdict": verdict}))
    };
    world.take("ins", assessed(1, "photo", true));
    let last = i64::try_from(crate::limits::ITEM_CHANGES_MAX).unwrap() + 3;
    for at in 1..=last {
        world.take("ins", assessed(at, "licence", at % 2 == 1));
    }
    let card = |at: i64| record("document.issued", &day(at), json!({"kind": "green_card"}));
    let ended =
        |at: i64| record("contract.terminated", &day(at), json!({"reason": "missing_documents"}));
    for at in [1, 2] {
        let refusal = world.refuse(Code::DossierRed, "broker", card(at));
        assert!(refusal.detail.contains("not known any more: licence"), "{refusal}");
        let refusal = world.refuse(Code::DossierGreen, "ins", ended(at));
        assert!(refusal.detail.contains("licence"), "{refusal}");
    }
    world.take("broker", card(5));
    world.refuse(Code::DossierRed, "broker", card(6));
    world.take("ins", ended(6));
}

#[test]
fn documents_are_not_due_before_they_are_asked_for() {
    let mut world = world();
    let asked = |due: &str| {
        let data = json!({"items": ["licence"], "due": due});
        record("document.requested", "2025-05-06T23:30:00+02:00", data)
    };
    let refusal = world.refuse(Code::Malformed, "broker", asked("2025-05-05"));
    assert_eq!(refusal.field.as_deref(), Some("data.due"));
    world.take("broker", asked("2025-05-06"));
}

#[test]
fn a_contract_does_not_end_for_missing_documents_by_a_day_on_which_they_may_come_in() {
    let mut world = world();
    let asked = json!({"items": ["licence"], "due": "2025-05-10"});
    world.take("broker", record("document.requested", AT, asked));
    let ended = |at: &str, reason: &str, effective: Value| {
        let ended = record("contract.terminated", at, json!({ "reason": reason }));
        with(ended, json!({"data": {"effective": effective}}))
    };
    let late = "2025-05-11T09:00:00+02:00";
    let missing = "missing_documents";
    world.refuse(Code::DeadlineNotPassed, "ins", ended(late, missing, json!("2025-05-09")));
    let end = world.take("ins", ended(late, missing, json!("2025-05-10")));
    // Nor by a correction of another day, or of another reason.
    let corrects = json!({"corrects": end.id()});
    let early = ended("2025-05-10T09:00:00+02:00", missing, Value::Null);
    world.refuse(Code::DeadlineNotPassed, "ins", with(early, corrects.clone()));
    let sooner = ended(late, missing, json!("2025-05-09"));
    world.refuse(Code::DeadlineNotPassed, "ins", with(sooner, corrects.clone()));
    world.take("ins", with(ended(late, missing, Value::Null), corrects));
}

#[test]
fn the_first_moment_a_record_can_tell_of_is_the_year_1900() {
    let mut world = World::new();
    let quoted =
        |at: &str| json!({"type": "contract.quoted", "occurred_at": at, "data": {"quote": "Q"}});
    world.refuse(Code::Backdated, "broker", quoted("1899-12-31T23:59:59Z"));
    world.take("broker", quoted("1900-01-01T00:00:00Z"));
}

#[test]
fn a_broker_that_takes_over_speaks_for_the_contract_from_that_day_on() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"broker": "broker"}})));
    let consent = |at: &str| record("document.issued", at, json!({"kind": "letter"}));
    let change = |version: u64, to: Value| {
        let data = json!({"version": version, "change": "broker", "to": to,
            "effective": "2025-06-01"});
        record("contract.amended", AT, data)
    };
    world.refuse(Code::NotAParty, "rival", consent(AT));
    let amount = with(change(2, json!(7)), json!({"data": {"currency": "EUR"}}));
    world.refuse(Code::Malformed, "ins", amount);
    let amended = world.take("ins", change(2, json!("rival")));
    let (last, first) = ("2025-05-31T23:59:59+02:00", "2025-06-01T00:00:00+02:00");
    world.take("broker", consent(last));
    world.refuse(Code::NotAParty, "rival", consent(last));
    world.take("rival", consent(first));
    world.refuse(Code::NotAParty, "broker", consent(first));
    // A correction of the change brings the first one back, up to its own day.
    let corrected = with(change(2, json!("broker")), json!({"corrects": amended.id()}));
    world.take("ins", corrected);
    world.take("broker", consent(first));
    world.refuse(Code::NotAParty, "rival", consent(first));
}

fn statement(world: &mut World, payee: &str, days: (&str, &str), figures: (u64, u64, u64)) {
    let statement = |open: u64| {
        json!({"type": "statement.issued", "occurred_at": "2025-06-30T12:00:00Z", "data": {
            "to": payee, "period": {"from": days.0, "to": days.1}, "frequency": "monthly",
            "paid_count": figures.0, "paid_sum": figures.1, "open_count": open,
            "currency": "EUR",
        }})
    };
    world.take("ins", statement(figures.2));
    world.refuse(Code::StatementMismatch, "ins", statement(figures.2 + 1));
}

fn partly(at: &str, approved: u64, refused: u64) -> Value {
    decided(at, "K", approved, refused)
}

fn disputed(at: &str) -> Value {
    of_claim("claim.disputed", at, "K", json!({"between": ["policyholder"]}))
}

#[test]
fn a_claim_is_one_or_none_on_every_day_however_late_it_is_told() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00Z");
    let days = |day: u8| format!("2025-05-{day:02}");
    let mut world = world();
    world.take("broker", opened(&on(1), "K", 300));
    world.take("ins", partly(&on(5), 100, 200));
    world.take("ins", paid(&on(20), "K", 100));
    world.take("broker", disputed(&on(21)));
    // What is decided again is decided after the dispute, and the claim is open from then.
    world.refuse(Code::ClaimState, "ins", partly(&on(6), 200, 100));
    world.take("ins", partly(&on(22), 200, 100));
    for (day, open) in [(1, 1), (19, 1), (20, 0), (21, 0), (22, 1)] {
        statement(&mut world, "broker", ("2025-05-25", "2025-05-25"), (0, 0, 1));
        statement(&mut world, "broker", (&days(1), &days(day)), (0, 0, open));
    }
    world.refuse(Code::NotDecided, "ins", paid(&on(10), "K", 100));
    // Told late, it was closed all the same from that day on.
    let closed = json!({"paid": 100, "currency": "EUR"});
    world.take("ins", of_claim("claim.closed", &on(10), "K", closed));
    for (day, open) in [(9, 1), (10, 0), (19, 0), (20, 0), (21, 0), (22, 0), (23, 0)] {
        statement(&mut world, "broker", (&days(1), &days(day)), (0, 0, open));
    }
}

#[test]
fn nothing_is_paid_before_something_was_approved_whatever_was_refused_before() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00Z");
    let mut world = world();
    world.take("broker", opened(&on(1), "K", 100));
    world.take("ins", partly(&on(10), 0, 100));
    world.take("broker", disputed(&on(11)));
    let second = world.take("ins", partly(&on(20), 100, 0));
    world.refuse(Code::NotDecided, "ins", paid(&on(19), "K", 100));
    world.take("ins", paid(&on(20), "K", 60));
    // Nor does the decision move behind what was paid on it.
    let moved = |at: &str| with(partly(at, 100, 0), json!({"corrects": second.id()}));
    world.refuse(Code::NotDecided, "ins", moved(&on(21)));
    world.take("ins", moved(&on(15)));
    world.take("ins", paid(&on(15), "K", 40));
}

#[test]
fn a_payment_is_of_something() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.refuse(Code::Malformed, "ins", returned(AT, 0, "vet"));
    world.take("ins", partly(AT, 100, 0));
    world.refuse(Code::Malformed, "ins", paid(AT, "K", 0));
    world.take("ins", paid(AT, "K", 1));
}

#[test]
fn a_month_in_which_more_came_back_than_went_out_is_stated_as_none() {
    let mut world = world();
    world.take("broker", opened("2025-04-10T12:00:00Z", "K", 100));
    world.take("ins", partly("2025-04-11T12:00:00Z", 100, 0));
    world.take("ins", paid("2025-04-30T12:00:00Z", "K", 100));
    for amount in [40, 60] {
        world.take("ins", returned("2025-05-02T12:00:00Z", amount, "policyholder"));
    }
    statement(&mut world, "policyholder", ("2025-04-01", "2025-04-30"), (1, 100, 0));
    statement(&mut world, "policyholder", ("2025-05-01", "2025-05-31"), (0, 0, 0));
    statement(&mut world, "policyholder", ("2025-04-01", "2025-05-31"), (0, 0, 0));
}

#[test]
fn no_payee_is_left_with_more_back_than_it_received_by_a_correction() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 300));
    world.take("ins", partly(AT, 300, 0));
    let first = world.take("ins", paid(AT, "K", 100));
    world.take("ins", returned(AT, 100, "policyholder"));
    let to_vet = with(paid(AT, "K", 100), json!({"data": {"payee": "vet"}}));
    let to_vet = with(to_vet, json!({"corrects": first.id()}));
    world.refuse(Code::TotalMismatch, "ins", to_vet.clone());
    world.take("ins", paid(AT, "K", 100));
    world.take("ins", to_vet);
}

#[test]
fn a_closed_claim_takes_no_answer_and_its_returns_can_be_corrected() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 300));
    world.take("ins", partly(AT, 300, 0));
    world.take("ins", paid(AT, "K", 300));
    let offer = json!({"round": 1, "amount": 300, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", AT, "K", offer));
    let told = json!({"round": 1, "to": "policyholder"});
    world.take("broker", of_claim("settlement.notified", AT, "K", told));
    world.take("ins", of_claim("claim.closed", AT, "K", json!({"paid": 300, "currency": "EUR"})));
    let objected = json!({"round": 1, "answer": "objected"});
    let objected = of_claim("settlement.answered", AT, "K", objected);
    world.refuse(Code::ClaimState, "broker", objected);
    let back = world.take("ins", returned(AT, 100, "policyholder"));
    let corrects = json!({"corrects": back.id()});
    world.refuse(
        Code::TotalMismatch,
        "ins",
        with(returned(AT, 301, "policyholder"), corrects.clone()),
    );
    world.take("ins", with(returned(AT, 50, "policyholder"), corrects));
}

#[test]
fn two_brokers_to_come_leave_the_one_there_is() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"broker": "broker"}})));
    let change = |version: u64, to: &str, effective: &str| {
        let data = json!({"version": version, "change": "broker", "to": to,
            "effective": effective});
        record("contract.amended", AT, data)
    };
    world.take("ins", change(2, "rival", "2025-07-01"));
    world.take("ins", change(3, "heca", "2025-09-01"));
    let letter = |at: &str| record("document.issued", at, json!({"kind": "letter"}));
    for (at, broker) in [
        ("2025-06-30T12:00:00Z", "broker"),
        ("2025-07-01T12:00:00Z", "rival"),
        ("2025-08-31T12:00:00Z", "rival"),
        ("2025-09-01T12:00:00Z", "heca"),
    ] {
        for other in ["broker", "rival", "heca"] {
            if other == broker {
                world.take(other, letter(at));
            } else {
                world.refuse(Code::NotAParty, other, letter(at));
            }
        }
    }
}

#[test]
fn a_word_on_a_document_told_late_is_about_what_had_been_asked_for_by_then() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let mut world = world();
    let asked = json!({"items": ["licence"], "due": "2025-06-10"});
    let accepted = json!({"item": "licence", "verdict": "accepted"});
    for day in [2, 10] {
        world.take("broker", record("document.requested", &on(day), asked.clone()));
    }
    world.take("broker", record("document.assessed", &on(5), accepted.clone()));
    let card = record("document.issued", &on(11), json!({"kind": "green_card"}));
    world.refuse(Code::DossierRed, "broker", card.clone());
    world.take("broker", record("document.assessed", &on(10), accepted));
    world.take("broker", card);
}

#[test]
fn a_correction_of_an_old_word_is_no_word_on_a_document_asked_for_since() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let asked = |day: u8| {
        let data = json!({"items": ["licence"], "due": "2025-06-10"});
        record("document.requested", &on(day), data)
    };
    let word = |day: u8, label: &str| {
        let data = json!({"item": "licence", "verdict": "accepted", "label": label});
        record("document.assessed", &on(day), data)
    };
    let card = record("document.issued", &on(11), json!({"kind": "green_card"}));
    let corrects = |old: &Record| json!({"corrects": old.id()});
    let mut world = world();
    world.take("broker", asked(1));
    let first = world.take("broker", word(2, "a"));
    world.take("broker", asked(10));
    world.refuse(Code::DossierRed, "broker", card.clone());
    let first = world.take("broker", with(word(2, "b"), corrects(&first)));
    world.refuse(Code::DossierRed, "broker", card.clone());
    // Nor does one that was told late become one.
    let late = world.take("broker", word(9, "a"));
    let late = world.take("broker", with(word(9, "b"), corrects(&late)));
    world.refuse(Code::DossierRed, "broker", card.clone());
    // The word on the document that was asked for.
    world.take("broker", with(word(10, "c"), corrects(&late)));
    world.take("broker", card.clone());
    world.take("broker", with(word(2, "c"), corrects(&first)));
    world.take("broker", card);
}

#[test]
fn a_code_told_late_revives_no_signature_that_was_declined_since() {
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let of = |kind: &str, day: u8, more: Value| {
        record(kind, &on(day), with(json!({"signature": "S"}), more))
    };
    let target = json!({"target": {"contract": "ins/C", "version": 1}, "signer": "policyholder",
        "method": "sms_otp", "expires": "2025-06-01T00:00:00Z"});
    let sms = |day: u8| of("signature.challenged", day, json!({"channel": "sms"}));
    let declined =
        |day: u8| of("signature.failed", day, json!({"reason": "declined", "attempt": 1}));
    let completed = of("signature.completed", 5, json!({"level": "SES"}));
    let mut world = world();
    world.take("broker", of("signature.requested", 1, target));
    world.take("otp", sms(3));
    world.take("otp", declined(4));
    world.take("otp", declined(2));
    world.take("otp", sms(2));
    world.take("otp", sms(3));
    world.refuse(Code::SignatureState, "otp", completed.clone());
    world.take("otp", sms(5));
    world.take("otp", completed);
}
