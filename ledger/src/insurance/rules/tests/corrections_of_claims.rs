//! Corrections of claims and of what follows on them: holds, decisions, offers,
//! payments, deductibles.

use super::{
    corrections::{correcting, figures},
    settlement::sign_offer,
    *,
};

const AT: &str = "2025-05-06T09:00:00+02:00";

#[test]
fn a_request_is_corrected_until_it_is_answered() {
    let mut world = world();
    let asked = world.take("vet", requested(AT, "PA", 1));
    world.take("ins", answered(AT, "PA", 1, 0));
    world.refuse(Code::AlreadyAnswered, "vet", correcting(requested(AT, "PA", 2), &asked));
}

#[test]
fn an_answer_is_corrected_until_its_hold_ends_and_the_ceiling_counts_it_once() {
    let mut world = world();
    world.take("vet", requested(AT, "PA", 150_000));
    let first = world.take("ins", answered(AT, "PA", 150_000, 0));
    world.refuse(Code::SplitMismatch, "ins", correcting(answered(AT, "PA", 149_999, 0), &first));
    let refused = correcting(
        with(answered(AT, "PA", 1, 149_999), json!({"data": {"hold_until": AT}})),
        &first,
    );
    world.refuse(Code::HoldNot24h, "ins", refused);
    let second = world.take("ins", correcting(answered(AT, "PA", 150_000, 0), &first));
    let third = world.take("ins", correcting(answered(AT, "PA", 100_000, 50_000), &second));
    world.take("garage", requested(AT, "PB", 50_001));
    world.refuse(Code::CeilingExceeded, "ins", answered(AT, "PB", 50_001, 0));
    world.take("ins", answered(AT, "PB", 50_000, 1));
    world.refuse(
        Code::CeilingExceeded,
        "ins",
        correcting(answered(AT, "PA", 100_001, 49_999), &third),
    );
    world.take("vet", claimed(AT, "K", "PA", 1));
    world.refuse(Code::NotHeld, "ins", correcting(answered(AT, "PA", 2, 149_998), &third));
}

#[test]
fn a_payment_is_corrected_under_the_same_guard() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 60, 40));
    let first = world.take("ins", paid(AT, "K", 50));
    let refused = correcting(paid(AT, "K", 61), &first);
    world.refuse(Code::PaidExceedsApproved, "ins", refused);
    let second = world.take("ins", correcting(paid(AT, "K", 40), &first));
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 21));
    world.take("ins", paid(AT, "K", 20));
    let returned =
        world.take("ins", with(paid(AT, "K", 55), json!({"data": {"status": "returned"}})));
    // What came back must have been paid.
    world.refuse(Code::TotalMismatch, "ins", correcting(paid(AT, "K", 34), &second));
    world.take("ins", correcting(paid(AT, "K", 35), &second));
    let less = with(paid(AT, "K", 5), json!({"data": {"status": "returned"}}));
    world.take("ins", correcting(less, &returned));
    assert_eq!(world.claim("ins/K").paid().minor_units(), 50);
    // Statements count what stands.
    let statement = json!({"type": "statement.issued", "occurred_at": AT, "data": {
        "to": "policyholder", "period": {"from": "2025-05-01", "to": "2025-05-31"},
        "frequency": "monthly", "paid_count": 1, "paid_sum": 50, "open_count": 0, "currency": "EUR",
    }});
    world.take("ins", statement);
}

#[test]
fn what_came_back_is_not_corrected_so_that_more_is_paid_than_was_approved() {
    let mut world = world();
    let back = |amount: u64| with(paid(AT, "K", amount), json!({"data": {"status": "returned"}}));
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(AT, "K", 60, 40));
    world.take("ins", paid(AT, "K", 60));
    let returned = world.take("ins", back(20));
    world.take("ins", paid(AT, "K", 10));
    world.refuse(Code::PaidExceedsApproved, "ins", correcting(back(9), &returned));
    world.take("ins", correcting(back(10), &returned));
}

#[test]
fn a_payment_that_is_moved_to_another_day_ends_its_claim_on_that_day() {
    let mut world = world();
    let declared = json!({"declared_by": "policyholder"});
    world.take("broker", with(opened(AT, "K", 100), declared));
    world.take("ins", decided(AT, "K", 100, 0));
    world.take("ins", paid(AT, "K", 60));
    let last = world.take("ins", paid("2025-05-08T09:00:00Z", "K", 40));
    world.take("ins", correcting(paid("2025-05-10T09:00:00Z", "K", 40), &last));
    for (day, count, sum, open) in
        [("2025-05-07", 1, 60, 1), ("2025-05-09", 1, 60, 1), ("2025-05-10", 2, 100, 0)]
    {
        let statement = json!({"type": "statement.issued", "occurred_at": AT, "data": {
            "to": "policyholder", "period": {"from": "2025-05-01", "to": day},
            "frequency": "monthly", "paid_count": count, "paid_sum": sum, "open_count": open,
            "currency": "EUR",
        }});
        world.take("ins", statement);
    }
}

#[test]
fn a_decision_is_corrected_until_another_follows() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    let first = world.take("ins", decided(AT, "K", 60, 40));
    world.take("ins", paid(AT, "K", 50));
    let refused = correcting(decided(AT, "K", 49, 51), &first);
    world.refuse(Code::PaidExceedsApproved, "ins", refused);
    world.refuse(Code::SplitMismatch, "ins", correcting(decided(AT, "K", 61, 40), &first));
    let second = world.take("ins", correcting(decided(AT, "K", 55, 45), &first));
    assert_eq!(figures(&world).0, 55);
    world.refuse(Code::PaidExceedsApproved, "ins", paid(AT, "K", 6));
    let disputed = of_claim("claim.disputed", AT, "K", json!({"between": ["ins"]}));
    world.take("broker", disputed);
    let third = world.take("ins", correcting(decided(AT, "K", 56, 44), &second));
    // A correction does not settle the dispute.
    world.take("ins", decided(AT, "K", 70, 30));
    world.refuse(Code::ClaimState, "ins", correcting(decided(AT, "K", 57, 43), &third));
}

#[test]
fn a_claim_is_opened_anew_until_it_is_decided_and_keeps_its_hold() {
    let mut world = world();
    world.take("vet", requested(AT, "PA", 1_000));
    world.take("ins", answered(AT, "PA", 1_000, 0));
    let first = world.take("vet", claimed(AT, "K", "PA", 900));
    world.take("ins", of_claim("claim.registered", AT, "K", json!({"number": "N"})));
    let other_hold = correcting(claimed(AT, "K", "PB", 900), &first);
    world.refuse(Code::Malformed, "vet", other_hold);
    let too_much = correcting(claimed(AT, "K", "PA", 1_001), &first);
    world.refuse(Code::ClaimExceedsGuarantee, "vet", too_much);
    let too_late = claimed("2025-05-07T09:00:01+02:00", "K", "PA", 1);
    world.refuse(Code::HoldExpired, "vet", correcting(too_late, &first));
    let second = world.take("vet", correcting(claimed(AT, "K", "PA", 700), &first));
    assert_eq!(figures(&world).0, 700);
    assert_eq!(world.claim("ins/K").number.unwrap().as_str(), "N");
    world.refuse(Code::HoldExpired, "vet", claimed(AT, "L", "PA", 1));
    world.take("ins", decided(AT, "K", 700, 0));
    world.refuse(Code::ClaimState, "vet", correcting(claimed(AT, "K", "PA", 1), &second));
}

#[test]
fn an_opening_is_not_corrected_to_after_what_was_done_about_the_claim() {
    let more: [(&str, Value); 3] = [
        ("claim.state", json!({"state": "in_review"})),
        ("claim.registered", json!({"number": "N"})),
        ("claim.disputed", json!({"between": ["ins"]})),
    ];
    for (kind, data) in more {
        let mut world = world();
        let first = world.take("ins", opened(&on(7), "K", 100));
        let later = world.take("ins", of_claim(kind, &on(12), "K", data.clone()));
        if kind == "claim.state" {
            // Told later of an earlier moment, it counts from there.
            world.take("ins", of_claim(kind, &on(10), "K", data));
        }
        let last = if kind == "claim.state" { 10 } else { 12 };
        let moved = |day: u8, old: &Record| correcting(opened(&on(day), "K", 100), old);
        let refusal = world.refuse(Code::ClaimState, "ins", moved(last + 1, &first));
        assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
        assert!(last == 10 || refusal.detail.contains(&later.id().to_string()), "{refusal}");
        let second = world.take("ins", moved(last, &first));
        world.refuse(Code::ClaimState, "ins", moved(last + 1, &second));
    }
}

#[test]
fn a_decision_is_not_corrected_away_from_a_step_of_the_deductible_that_it_made() {
    let mut world = World::new();
    let modules = json!({"data": {"modules": ["private", "employment", "traffic"],
        "deductible_model": "variable"}});
    world.take("ins", with(issued(), modules));
    let set = |day: u8, amount: u64, cause: &str| {
        let data =
            json!({"model": "variable", "amount": amount, "cause": cause, "currency": "EUR"});
        record("deductible.set", &on(day), data)
    };
    let judged = |day: u8, approved: u64, ladder: &str, deductible: u64| {
        let more = json!({"data": {"deductible": deductible, "ladder": ladder}});
        with(decided(&on(day), "K", approved, 100_000 - approved), more)
    };
    world.take("ins", opened(&on(7), "K", 100_000));
    world.take("ins", set(7, 0, "start"));
    let first = world.take("ins", judged(8, 90_000, "step_up", 0));
    // Until the step is made, nothing stands on it.
    world.clone().take("ins", correcting(judged(8, 0, "none", 0), &first));
    let step = world.take("ins", set(10, 10_000, "K"));
    let refusal =
        world.refuse(Code::LadderStep, "ins", correcting(judged(8, 0, "none", 0), &first));
    assert!(refusal.detail.contains(&step.id().to_string()), "{refusal}");
    let moved = correcting(judged(11, 90_000, "step_up", 10_000), &first);
    let refusal = world.refuse(Code::LadderStep, "ins", moved);
    assert!(refusal.detail.contains(&step.id().to_string()), "{refusal}");
    let first = world.take("ins", correcting(judged(9, 80_000, "step_up", 0), &first));
    // A second decision made no step: it is corrected as it likes.
    world.take("ins", of_claim("claim.disputed", &on(12), "K", json!({"between": ["ins"]})));
    let second = world.take("ins", judged(13, 70_000, "step_up", 10_000));
    world.refuse(Code::ClaimState, "ins", correcting(judged(9, 0, "none", 0), &first));
    world.take("ins", correcting(judged(14, 0, "none", 0), &second));
}

#[test]
fn an_offer_that_is_corrected_is_told_and_signed_anew() {
    let mut world = world();
    let offered = |amount: u64| {
        let data = json!({"round": 1, "amount": amount, "currency": "EUR"});
        of_claim("settlement.offered", AT, "K", data)
    };
    let told = of_claim("settlement.notified", AT, "K", json!({"round": 1, "to": "policyholder"}));
    let accepted = |signature: &str| {
        let data = json!({"round": 1, "answer": "accepted", "signature": signature});
        of_claim("settlement.answered", "2025-05-09T09:00:00Z", "K", data)
    };
    world.take("broker", opened(AT, "K", 100));
    let first = world.take("ins", offered(50));
    world.take("broker", told.clone());
    sign_offer(&mut world, "S-1", 1);
    let second = world.take("ins", correcting(offered(60), &first));
    world.refuse(Code::NotNotified, "broker", accepted("S-1"));
    world.take("broker", told);
    world.refuse(Code::SignatureIncomplete, "broker", accepted("S-1"));
    sign_offer(&mut world, "S-2", 1);
    let answer = world.take("broker", accepted("S-2"));
    assert_eq!(figures(&world).0, 60);
    world.refuse(Code::RoundGap, "ins", correcting(offered(70), &second));
    // The answer itself can be corrected until something is paid.
    let data = json!({"round": 1, "answer": "objected"});
    let objected = of_claim("settlement.answered", "2025-05-09T09:00:00Z", "K", data);
    let objected = world.take("broker", correcting(objected, &answer));
    assert_eq!(figures(&world).0, 0);
    let paid_on = "2025-05-09T09:00:00Z";
    world.refuse(Code::NotDecided, "ins", paid(paid_on, "K", 60));
    let again = world.take("broker", correcting(accepted("S-2"), &objected));
    world.refuse(Code::NotDecided, "ins", paid("2025-05-09T08:59:59Z", "K", 60));
    world.take("ins", paid(paid_on, "K", 60));
    let data = json!({"round": 1, "answer": "objected"});
    let objected = of_claim("settlement.answered", "2025-05-09T09:00:00Z", "K", data);
    world.refuse(Code::RoundGap, "broker", correcting(objected, &again));
}

#[test]
fn only_the_last_step_of_a_ladder_is_corrected() {
    let mut world = World::new();
    let modules = json!({"data": {"modules": ["private", "employment", "traffic"],
        "deductible_model": "bonus"}});
    let contract = world.take("ins", with(issued(), modules.clone()));
    let set = |at: &str, amount: u64, cause: &str| {
        let data = json!({"model": "bonus", "amount": amount, "cause": cause, "currency": "EUR"});
        record("deductible.set", at, data)
    };
    let start = world.take("ins", set(AT, 30_000, "start"));
    let commitment = world.take("ins", set(AT, 50_000, "cost_commitment"));
    world.refuse(Code::LadderStep, "ins", correcting(set(AT, 30_000, "start"), &start));
    let next_year = "2026-01-01T09:00:00+01:00";
    let free = set(next_year, 20_000, "claim_free:2025");
    world.refuse(Code::LadderStep, "ins", free.clone());
    // It was no commitment: the year is free after all.
    world.take("ins", correcting(free, &commitment));
    world.refuse(Code::LadderStep, "ins", set(next_year, 10_000, "claim_free:2025"));
    let other_model = json!({"data": {"deductible_model": "variable"}});
    let refused = with(with(issued(), modules), other_model);
    world.refuse(Code::LadderStep, "ins", correcting(refused, &contract));
}

#[test]
fn a_decision_is_judged_again_by_the_deductible_of_its_time() {
    let mut world = World::new();
    let modules = json!({"data": {"modules": ["private", "employment", "traffic"],
        "deductible_model": "variable"}});
    world.take("ins", with(issued(), modules));
    let set = |amount: u64, cause: &str| {
        let data =
            json!({"model": "variable", "amount": amount, "cause": cause, "currency": "EUR"});
        record("deductible.set", AT, data)
    };
    let judged = |approved: u64, deductible: u64| {
        let more = json!({"data": {"deductible": deductible, "ladder": "step_up"}});
        with(decided(AT, "K", approved, 100_000 - approved), more)
    };
    world.take("ins", set(0, "start"));
    world.take("ins", opened(AT, "K", 100_000));
    let first = world.take("ins", judged(90_000, 0));
    let step = world.take("ins", set(10_000, "K"));
    world.refuse(Code::DeductibleWrong, "ins", correcting(judged(80_000, 10_000), &first));
    world.take("ins", correcting(judged(80_000, 0), &first));
    // It has raised the deductible once, whatever is corrected.
    world.refuse(Code::LadderStep, "ins", set(20_000, "K"));
    world.take("ins", correcting(set(10_000, "K"), &step));
    world.refuse(Code::LadderStep, "ins", set(20_000, "K"));
}

#[test]
fn a_closing_and_a_statement_are_corrected_to_figures_that_are_true() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    let closed =
        |paid: u64| of_claim("claim.closed", AT, "K", json!({"paid": paid, "currency": "EUR"}));
    let first = world.take("ins", closed(0));
    world.refuse(Code::TotalMismatch, "ins", correcting(closed(1), &first));
    world.take("ins", correcting(closed(0), &first));
    let statement = |open: u64| {
        json!({"type": "statement.issued", "occurred_at": AT, "data": {
            "to": "broker", "period": {"from": "2025-05-01", "to": "2025-05-31"},
            "frequency": "monthly", "paid_count": 0, "paid_sum": 0, "open_count": open,
            "currency": "EUR",
        }})
    };
    let first = world.take("ins", statement(0));
    world.refuse(Code::StatementMismatch, "ins", correcting(statement(1), &first));
    world.take("ins", correcting(statement(0), &first));
}

#[test]
fn a_second_notification_corrected_leaves_the_first_where_it_is() {
    let mut world = world();
    world.take("broker", opened(AT, "K", 100));
    let offer = json!({"round": 1, "amount": 50, "currency": "EUR"});
    world.take("ins", of_claim("settlement.offered", AT, "K", offer));
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00+02:00");
    let told = |day: u8| {
        let data = json!({"round": 1, "to": "policyholder"});
        of_claim("settlement.notified", &on(day), "K", data)
    };
    let objected = |day: u8| {
        let data = json!({"round": 1, "answer": "objected"});
        of_claim("settlement.answered", &on(day), "K", data)
    };
    let first = world.take("broker", told(10));
    let second = world.take("broker", told(12));
    world.take("broker", correcting(told(14), &second));
    world.refuse(Code::NotNotified, "broker", objected(9));
    world.take("broker", correcting(told(13), &first));
    world.refuse(Code::NotNotified, "broker", objected(12));
    world.take("broker", objected(13));
}

#[test]
fn a_claim_corrected_after_a_renewal_stays_in_its_period() {
    let mut world = world();
    // A day after the last period belongs to that until there is another.
    let at = "2026-03-05T09:00:00+01:00";
    let held = |world: &World, number| world.period("ins/C", number).spent.minor_units();
    world.take("vet", requested(at, "PA", 100));
    world.take("ins", answered(at, "PA", 100, 0));
    let claim = world.take("vet", claimed(at, "K", "PA", 80));
    let period = json!({"from": "2026-03-01", "to": "2027-02-28"});
    let renewed = json!({"version": 2, "period": period});
    world.take("ins", record("contract.renewed", "2026-03-06T09:00:00+01:00", renewed));
    world.take("vet", correcting(claimed(at, "K", "PA", 70), &claim));
    assert_eq!((held(&world, 1), held(&world, 2)), (70, 0));
    let without_hold = world.take("broker", opened(at, "L", 50));
    world.take("broker", correcting(opened(at, "L", 60), &without_hold));
    assert_eq!(world.claim("ins/L").period, 2);
}

#[test]
fn an_earlier_payment_corrected_twice_ends_the_claim_where_it_ended() {
    let mut world = world();
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00Z");
    let declared = json!({"declared_by": "policyholder"});
    world.take("broker", with(opened(&on(1), "K", 100), declared));
    world.take("ins", decided(&on(1), "K", 100, 0));
    let first = world.take("ins", paid(&on(5), "K", 60));
    world.take("ins", paid(&on(9), "K", 40));
    let open = |world: &mut World, day: &str, paid: (u64, u64), count: u64| {
        let statement = json!({"type": "statement.issued", "occurred_at": on(28), "data": {
            "to": "policyholder", "period": {"from": "2025-05-01", "to": day},
            "frequency": "monthly", "paid_count": paid.0, "paid_sum": paid.1,
            "open_count": count, "currency": "EUR",
        }});
        world.take("ins", statement);
    };
    open(&mut world, "2025-05-08", (1, 60), 1);
    open(&mut world, "2025-05-09", (2, 100), 0);
    let less = world.take("ins", correcting(paid(&on(5), "K", 50), &first));
    open(&mut world, "2025-05-09", (2, 90), 1);
    world.take("ins", correcting(paid(&on(5), "K", 60), &less));
    open(&mut world, "2025-05-08", (1, 60), 1);
    open(&mut world, "2025-05-09", (2, 100), 0);
    // Whatever turned it since.
    let back = json!({"data": {"status": "returned"}});
    let last = world.records[4].clone();
    world.take("ins", with(paid(&on(12), "K", 40), back));
    open(&mut world, "2025-05-12", (1, 60), 1);
    world.take("ins", correcting(paid(&on(10), "K", 40), &last));
    open(&mut world, "2025-05-09", (1, 60), 1);
    open(&mut world, "2025-05-10", (2, 100), 0);
    open(&mut world, "2025-05-12", (1, 60), 1);
}

#[test]
fn a_refusal_corrected_after_something_that_changed_nothing_ends_the_claim_on_its_own_day() {
    let mut world = world();
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00Z");
    world.take("broker", opened(&on(1), "K", 100));
    let approved = world.take("ins", decided(&on(2), "K", 100, 0));
    let data = json!({"data": {"status": "ordered"}});
    world.take("ins", with(paid(&on(9), "K", 10), data));
    // Refused, it would leave a payment that nothing allows.
    let refused = correcting(decided(&on(2), "K", 0, 100), &approved);
    world.take("ins", refused);
    for (day, open) in [("2025-05-01", 1), ("2025-05-02", 0)] {
        let statement = json!({"type": "statement.issued", "occurred_at": on(28), "data": {
            "to": "broker", "period": {"from": "2025-05-01", "to": day},
            "frequency": "monthly", "paid_count": 0, "paid_sum": 0,
            "open_count": open, "currency": "EUR",
        }});
        world.take("ins", statement);
    }
}

fn on(day: u8) -> String {
    format!("2025-05-{day:02}T12:00:00+02:00")
}

#[test]
fn a_decision_is_not_corrected_to_before_the_dispute_or_the_decision_that_it_followed() {
    let mut world = world();
    let disputed = |day: u8| of_claim("claim.disputed", &on(day), "K", json!({"between": ["ins"]}));
    world.take("broker", opened(AT, "K", 100));
    world.take("ins", decided(&on(8), "K", 60, 40));
    world.take("broker", disputed(10));
    let second = world.take("ins", decided(&on(12), "K", 70, 30));
    let moved = |day: u8, old: &Record| correcting(decided(&on(day), "K", 80, 20), old);
    for day in [7, 9] {
        let refusal = world.refuse(Code::ClaimState, "ins", moved(day, &second));
        assert!(refusal.detail.contains(&world.records[3].id().to_string()), "{refusal}");
    }
    let second = world.take("ins", moved(11, &second));
    world.refuse(Code::ClaimState, "ins", moved(9, &second));
    // Nor to after the dispute that followed it.
    world.take("broker", disputed(14));
    world.refuse(Code::ClaimState, "ins", moved(15, &second));
    world.take("ins", moved(14, &second));
}

#[test]
fn an_offer_is_not_corrected_to_before_the_one_that_it_followed() {
    let mut world = world();
    let offered = |day: u8, round: u64| {
        let data = json!({"round": round, "amount": 50, "currency": "EUR"});
        of_claim("settlement.offered", &on(day), "K", data)
    };
    world.take("broker", opened(AT, "K", 100));
    let first = world.take("ins", offered(10, 1));
    let first = world.take("ins", correcting(offered(8, 1), &first));
    let second = world.take("ins", offered(12, 2));
    let refusal = world.refuse(Code::RoundGap, "ins", correcting(offered(7, 2), &second));
    assert!(refusal.detail.contains(&first.id().to_string()), "{refusal}");
    let second = world.take("ins", correcting(offered(8, 2), &second));
    world.refuse(Code::RoundGap, "ins", correcting(offered(7, 2), &second));
}

#[test]
fn a_step_of_the_deductible_is_not_corrected_to_before_the_one_that_it_followed() {
    let mut world = World::new();
    let modules = json!({"data": {"modules": ["private", "employment", "traffic"],
        "deductible_model": "bonus"}});
    world.take("ins", with(issued(), modules));
    let set = |day: u8, amount: u64, cause: &str| {
        let data = json!({"model": "bonus", "amount": amount, "cause": cause, "currency": "EUR"});
        record("deductible.set", &on(day), data)
    };
    let start = world.take("ins", set(10, 30_000, "start"));
    let commitment = world.take("ins", set(20, 50_000, "cost_commitment"));
    let moved = |day: u8| correcting(set(day, 50_000, "cost_commitment"), &commitment);
    let refusal = world.refuse(Code::LadderStep, "ins", moved(9));
    assert!(refusal.detail.contains(&start.id().to_string()), "{refusal}");
    world.take("ins", moved(10));
}

#[test]
fn a_payment_is_not_corrected_to_after_what_came_back_of_it() {
    let mut world = world();
    let back = |day: u8, amount: u64| {
        with(paid(&on(day), "K", amount), json!({"data": {"status": "returned"}}))
    };
    world.take("broker", opened(AT, "K", 300));
    world.take("ins", decided(AT, "K", 300, 0));
    let first = world.take("ins", paid(&on(7), "K", 100));
    world.take("ins", back(10, 100));
    world.take("ins", paid(&on(20), "K", 200));
    let moved = |day: u8, payee: &str| {
        let payment = with(paid(&on(day), "K", 100), json!({"data": {"payee": payee}}));
        correcting(payment, &first)
    };
    // What was paid later carries no earlier return.
    world.refuse(Code::TotalMismatch, "ins", moved(15, "policyholder"));
    world.refuse(Code::TotalMismatch, "ins", moved(7, "vet"));
    world.refuse(Code::TotalMismatch, "ins", back(9, 1));
    world.take("ins", moved(10, "policyholder"));
}

#[test]
fn what_came_back_before_a_claim_was_closed_is_not_corrected_after_it() {
    let mut world = world();
    let back = |amount: u64| with(paid(AT, "K", amount), json!({"data": {"status": "returned"}}));
    world.take("broker", opened(AT, "K", 300));
    world.take("ins", decided(AT, "K", 300, 0));
    world.take("ins", paid(AT, "K", 300));
    let before = world.take("ins", back(100));
    world.take("ins", of_claim("claim.closed", AT, "K", json!({"paid": 200, "currency": "EUR"})));
    world.refuse(Code::ClaimState, "ins", correcting(back(50), &before));
    let after = world.take("ins", back(60));
    world.take("ins", correcting(back(50), &after));
}

#[test]
fn a_step_of_the_deductible_that_is_undone_leaves_no_step_to_a_claim_that_was_refused_since() {
    let mut world = World::new();
    let modules = json!({"data": {"modules": ["private", "employment", "traffic"],
        "deductible_model": "variable"}});
    world.take("ins", with(issued(), modules));
    let set = |at: &str, amount: u64, cause: &str| {
        let data =
            json!({"model": "variable", "amount": amount, "cause": cause, "currency": "EUR"});
        record("deductible.set", at, data)
    };
    let judged = |claim: &str, approved: u64, ladder: &str| {
        let more = json!({"data": {"deductible": 0, "ladder": ladder}});
        with(decided(AT, claim, approved, 1_000 - approved), more)
    };
    world.take("ins", set(AT, 0, "start"));
    for claim in ["K", "L"] {
        world.take("ins", opened(AT, claim, 1_000));
        world.take("ins", judged(claim, 900, "step_up"));
    }
    let of_first = world.take("ins", set(AT, 10_000, "K"));
    world.take("ins", of_claim("claim.disputed", AT, "K", json!({"between": ["ins"]})));
    let refused = world.take("ins", judged("K", 0, "none"));
    // Decided to raise it once more, it has raised it already.
    let mut again = world.clone();
    again.take("ins", correcting(judged("K", 900, "step_up"), &refused));
    again.refuse(Code::LadderStep, "ins", set(AT, 20_000, "K"));
    again.take("ins", correcting(set(AT, 10_000, "L"), &of_first));
    again.take("ins", set(AT, 20_000, "K"));
    let of_second = world.take("ins", correcting(set(AT, 10_000, "L"), &of_first));
    world.refuse(Code::LadderStep, "ins", set(AT, 20_000, "K"));
    // No claim that raises it is left in that year.
    world.take("ins", of_claim("claim.disputed", AT, "L", json!({"between": ["ins"]})));
    world.take("ins", judged("L", 0, "none"));
    let next_year = "2026-01-01T09:00:00+01:00";
    let free = set(next_year, 0, "claim_free:2025");
    world.take("ins", correcting(free, &of_second));
}

#[test]
fn what_came_back_in_full_does_not_come_back_again_nor_goes_behind_that() {
    let mut world = world();
    let of = |at: &str, payee: &str, status: &str| {
        with(paid(at, "K", 100), json!({"data": {"payee": payee, "status": status}}))
    };
    world.take("broker", opened(AT, "K", 200));
    world.take("ins", decided(AT, "K", 200, 0));
    let first = world.take("ins", of(&on(10), "vet", "executed"));
    world.take("ins", of(&on(11), "garage", "executed"));
    // Payment and return of one month come to nothing together.
    world.take("ins", of(&on(20), "vet", "returned"));
    world.refuse(Code::TotalMismatch, "ins", of(&on(15), "vet", "returned"));
    world.refuse(Code::TotalMismatch, "ins", correcting(of(&on(21), "vet", "executed"), &first));
    // So do they in a later month.
    let july = |day: u8| format!("2025-07-{day:02}T12:00:00+02:00");
    world.take("ins", of(&july(5), "garage", "returned"));
    world.take("ins", of(&july(20), "garage", "executed"));
    world.refuse(Code::TotalMismatch, "ins", of("2025-06-01T12:00:00+02:00", "garage", "returned"));
    world.take("ins", of(&july(20), "garage", "returned"));
}
