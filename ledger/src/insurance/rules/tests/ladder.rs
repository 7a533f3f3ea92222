//! Deductibles: what applies to a case, and every step up and down.

use super::*;

fn legal(model: &str) -> World {
    let mut world = World::new();
    let contract = json!({"occurred_at": "2021-01-01T00:00:00+01:00", "data": {
        "line_of_business": "legal_expenses", "modules": ["private", "employment", "traffic"],
        "period": {"from": "2021-01-01", "to": "2021-12-31"}, "deductible_model": model,
        "annual_ceiling": null,
    }});
    world.take("ins", with(issued(), contract));
    world
}

fn set(at: &str, model: &str, amount: u64, cause: &str) -> Value {
    let data = json!({"model": model, "amount": amount, "cause": cause, "currency": "EUR"});
    record("deductible.set", at, data)
}

fn case(at: &str, claim: &str, service: &str) -> Value {
    let more = json!({"data": {"claimed": null, "currency": null, "service": service}});
    with(opened(at, claim, 1), more)
}

fn judged(at: &str, claim: &str, approved: u64, deductible: u64, ladder: &str) -> Value {
    let outcome = if approved == 0 { "refused" } else { "approved" };
    let more = json!({"data": {"deductible": deductible, "ladder": ladder, "outcome": outcome}});
    with(decided(at, claim, approved, 0), more)
}

const DAY: &str = "2021-05-03T10:00:00+02:00";

/// A variable deductible that `claims` cases of 2021 have raised.
fn raised(claims: u64) -> World {
    let mut world = legal("variable");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "variable", 0, "start"));
    for number in 1..=claims {
        let claim = format!("RS-{number}");
        let before = ((number - 1) * 10_000).min(30_000);
        world.take("ins", case(DAY, &claim, "legal_case"));
        world.take("ins", judged(DAY, &claim, 90_000, before, "step_up"));
        world.take("ins", set(DAY, "variable", (number * 10_000).min(30_000), &claim));
    }
    world
}

#[test]
fn a_ladder_starts_once_and_where_its_model_says() {
    for (model, start) in [("variable", 0), ("bonus", 30_000)] {
        let mut world = legal(model);
        world.refuse(Code::LadderStep, "ins", set(DAY, model, start, "claim_free:2020"));
        world.refuse(Code::LadderStep, "ins", set(DAY, model, start + 1, "start"));
        world.take("ins", set(DAY, model, start, "start"));
        world.refuse(Code::LadderStep, "ins", set(DAY, model, start, "start"));
    }
    let mut world = legal("variable");
    world.refuse(Code::LadderStep, "ins", set(DAY, "bonus", 30_000, "start"));
    let mut world = super::world();
    world.refuse(Code::LadderStep, "ins", set(DAY, "variable", 0, "start"));
}

#[test]
fn claims_raise_a_variable_deductible_up_to_300_euro() {
    let mut world = raised(4);
    world.take("ins", case(DAY, "RS-5", "legal_case"));
    world.take("ins", judged(DAY, "RS-5", 90_000, 30_000, "step_up"));
    world.refuse(Code::LadderStep, "ins", set(DAY, "variable", 40_000, "RS-5"));
    world.take("ins", set(DAY, "variable", 30_000, "RS-5"));
}

#[test]
fn each_claim_raises_it_once_and_under_any_of_its_names() {
    let mut world = raised(0);
    let number = of_claim("claim.registered", DAY, "RS-3", json!({"number": "DE-7"}));
    for (claim, cause, amount) in
        [("RS-1", "RS-1", 10_000), ("RS-2", "ins/RS-2", 20_000), ("RS-3", "DE-7", 30_000)]
    {
        world.refuse(Code::LadderStep, "ins", set(DAY, "variable", amount, cause));
        world.take("ins", case(DAY, claim, "legal_case"));
        if cause == "DE-7" {
            world.take("ins", number.clone());
        }
        // A claim that is not decided raises nothing.
        world.refuse(Code::LadderStep, "ins", set(DAY, "variable", amount, cause));
        world.take("ins", judged(DAY, claim, 90_000, amount - 10_000, "step_up"));
        world.refuse(Code::LadderStep, "ins", set(DAY, "variable", amount - 1, cause));
        world.take("ins", set(DAY, "variable", amount, cause));
        world.refuse(Code::LadderStep, "ins", set(DAY, "variable", amount, cause));
    }
}

#[test]
fn claim_free_years_lower_it_one_by_one_to_nothing() {
    let mut world = raised(2);
    let free = |at: &str, amount: u64, year: &str| {
        set(at, "variable", amount, &format!("claim_free:{year}"))
    };
    // The year with the claims, one before the contract, one that is not over.
    let new_year = "2023-01-01T00:00:00+01:00";
    world.refuse(Code::LadderStep, "ins", free(new_year, 10_000, "2021"));
    world.refuse(Code::LadderStep, "ins", free(new_year, 10_000, "2020"));
    world.refuse(Code::LadderStep, "ins", free("2022-12-31T23:59:59+01:00", 10_000, "2022"));
    for bad in ["22", "", "+022", "20222", "year"] {
        world.refuse(Code::LadderStep, "ins", free(new_year, 10_000, bad));
    }
    world.refuse(Code::LadderStep, "ins", free(new_year, 0, "2022"));
    world.take("ins", free(new_year, 10_000, "2022"));
    world.refuse(Code::LadderStep, "ins", free(new_year, 0, "2022"));
    world.take("ins", free("2025-01-01T00:00:00+01:00", 0, "2024"));
    // A year before one that was used is used with it.
    world.refuse(Code::LadderStep, "ins", free("2025-01-01T00:00:00+01:00", 0, "2023"));
    world.take("ins", free("2026-01-01T00:00:00+01:00", 0, "2025"));
}

#[test]
fn a_case_of_250_euro_has_no_deductible_and_steps_all_the_same() {
    let mut world = raised(1);
    world.take("ins", case(DAY, "S", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged(DAY, "S", 25_000, 10_000, "step_up"));
    world.refuse(Code::DeductibleWrong, "ins", judged(DAY, "S", 25_001, 0, "step_up"));
    world.refuse(Code::DeductibleWrong, "ins", judged(DAY, "S", 25_001, 9_999, "step_up"));
    world.refuse(Code::LadderEffectWrong, "ins", judged(DAY, "S", 25_000, 0, "none"));
    let mut other = world.clone();
    world.take("ins", judged(DAY, "S", 25_000, 0, "step_up"));
    world.take("ins", set(DAY, "variable", 20_000, "S"));
    other.take("ins", judged(DAY, "S", 25_001, 10_000, "step_up"));
}

#[test]
fn services_without_a_deductible_neither_cost_nor_raise_one() {
    let services = ["JurWay", "JurLine", "55plus", "ReputationsService", "BonusBeratung"];
    for model in ["variable", "bonus"] {
        let mut world = legal(model);
        let start = if model == "bonus" { 30_000 } else { 0 };
        world.take("ins", set(DAY, model, start, "start"));
        for service in services {
            world.take("ins", case(DAY, service, service));
            let wrong = judged(DAY, service, 90_000, 1, "none");
            world.refuse(Code::DeductibleWrong, "ins", wrong);
            let wrong = judged(DAY, service, 90_000, 0, "step_up");
            world.refuse(Code::LadderEffectWrong, "ins", wrong);
            world.take("ins", judged(DAY, service, 90_000, 0, "none"));
            world.refuse(Code::LadderStep, "ins", set(DAY, model, 10_000, service));
        }
    }
}

#[test]
fn a_claim_that_is_refused_need_not_step() {
    for ladder in ["none", "step_up"] {
        let mut world = raised(1);
        world.take("ins", case(DAY, "R", "legal_case"));
        world.take("ins", judged(DAY, "R", 0, 0, ladder));
        let step = set(DAY, "variable", 20_000, "R");
        if ladder == "step_up" {
            world.take("ins", step);
        } else {
            world.refuse(Code::LadderStep, "ins", step);
        }
    }
}

#[test]
fn a_decision_after_a_dispute_takes_a_step_back_that_was_not_taken() {
    let mut world = raised(0);
    world.take("ins", case(DAY, "R", "legal_case"));
    world.take("ins", judged(DAY, "R", 90_000, 0, "step_up"));
    world.take("ins", of_claim("claim.disputed", DAY, "R", json!({"between": ["ins"]})));
    world.take("ins", judged(DAY, "R", 0, 0, "none"));
    world.refuse(Code::LadderStep, "ins", set(DAY, "variable", 10_000, "R"));
    // So the year is free of claims.
    world.take("ins", set("2022-01-01T00:00:00+01:00", "variable", 0, "claim_free:2021"));
}

#[test]
fn a_cost_commitment_raises_the_deductible_of_the_next_claim_within_a_year_only() {
    let mut world = legal("bonus");
    let on = |day: &str| format!("{day}T10:00:00+02:00");
    world.take("ins", case(&on("2021-05-02"), "A", "legal_case"));
    world.take("ins", set("2021-01-01T00:00:01+01:00", "bonus", 30_000, "start"));
    world.take("ins", set(DAY, "bonus", 50_000, "cost_commitment"));
    // One that was open before, and one that opens more than a year after it.
    let judged = |day: &str, claim: &str, amount: u64| {
        judged(&format!("{day}T10:00:00+02:00"), claim, 90_000, amount, "none")
    };
    world.refuse(Code::DeductibleWrong, "ins", judged("2021-05-04", "A", 50_000));
    world.take("ins", judged("2021-05-04", "A", 30_000));
    world.take("ins", case(&on("2022-05-04"), "D", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged("2022-05-04", "D", 50_000));
    world.take("ins", judged("2022-05-04", "D", 30_000));
    // The first that is decided of those within the year, to its last day, and no other.
    world.take("ins", case(&on("2022-05-03"), "B", "legal_case"));
    world.take("ins", case(&on("2022-05-03"), "C", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged("2022-05-05", "B", 30_000));
    let first = world.take("ins", judged("2022-05-05", "B", 50_000));
    world.refuse(Code::DeductibleWrong, "ins", judged("2022-05-05", "C", 50_000));
    world.take("ins", judged("2022-05-05", "C", 30_000));
    // Decided once more, it has the same.
    let again = with(judged("2022-05-05", "B", 50_000), json!({"corrects": first.id()}));
    let again = world.take("ins", again);
    // So it has where the commitment is corrected, and no other claim then.
    let commitment = world.records[3].id();
    let corrected = set(DAY, "bonus", 50_000, "cost_commitment");
    world.take("ins", with(corrected, json!({ "corrects": commitment })));
    world.take("ins", case(&on("2022-05-02"), "E", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged("2022-05-06", "E", 50_000));
    // Where it turns out too small for a deductible, the next one has it.
    let small = with(judged("2022-05-05", "B", 0), json!({"data": {"approved": 25_000}}));
    world.take("ins", with(small, json!({"corrects": again.id()})));
    world.refuse(Code::DeductibleWrong, "ins", judged("2022-05-06", "E", 30_000));
    world.take("ins", judged("2022-05-06", "E", 50_000));
    // A claim that was open before it has what was before, whatever steps followed.
    world.take("ins", set("2024-01-01T00:00:00+01:00", "bonus", 40_000, "claim_free:2023"));
    world.take("ins", case(&on("2021-05-01"), "F", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged("2024-01-02", "F", 40_000));
    world.take("ins", judged("2024-01-02", "F", 30_000));
}

#[test]
fn a_step_is_not_made_before_the_one_before_it_nor_before_the_decision_that_raises_it() {
    let mut world = legal("variable");
    world.take("ins", set(DAY, "variable", 0, "start"));
    world.take("ins", case(DAY, "K", "legal_case"));
    let later = "2021-05-04T10:00:00+02:00";
    world.take("ins", judged(later, "K", 90_000, 0, "step_up"));
    let early = seconds_after(later, -1);
    world.refuse(Code::LadderStep, "ins", set(&early, "variable", 10_000, "K"));
    world.take("ins", set(later, "variable", 10_000, "K"));
    world.refuse(Code::LadderStep, "ins", set(&early, "variable", 0, "claim_free:2020"));
}

#[test]
fn a_bonus_falls_with_claim_free_years_and_jumps_with_a_cost_commitment() {
    let mut world = legal("bonus");
    world.take("ins", set(DAY, "bonus", 30_000, "start"));
    world.take("ins", case(DAY, "B", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged(DAY, "B", 90_000, 29_999, "none"));
    world.take("ins", judged(DAY, "B", 90_000, 30_000, "none"));
    world.refuse(Code::LadderStep, "ins", set(DAY, "bonus", 40_000, "B"));
    world.refuse(Code::LadderStep, "ins", set(DAY, "bonus", 49_999, "cost_commitment"));
    world.take("ins", set(DAY, "bonus", 50_000, "cost_commitment"));
    let free = |year: i32, amount| {
        set(
            &format!("{}-01-01T00:00:00+01:00", year + 1),
            "bonus",
            amount,
            &format!("claim_free:{year}"),
        )
    };
    // The year of the commitment is not claim-free.
    world.refuse(Code::LadderStep, "ins", free(2021, 40_000));
    for (year, amount) in [(2022, 40_000), (2023, 30_000), (2024, 20_000), (2025, 10_000)] {
        world.take("ins", free(year, amount));
    }
    world.take("ins", free(2026, 0));
    world.take("ins", free(2027, 0));
    let mut variable = raised(1);
    let commitment = set(DAY, "variable", 50_000, "cost_commitment");
    variable.refuse(Code::LadderStep, "ins", commitment);
}

#[test]
fn a_year_with_a_claim_is_not_claim_free_for_a_bonus_either() {
    let mut world = legal("bonus");
    world.take("ins", set(DAY, "bonus", 30_000, "start"));
    world.take("ins", case(DAY, "B", "legal_case"));
    let up = judged(DAY, "B", 90_000, 30_000, "step_up");
    world.refuse(Code::LadderEffectWrong, "ins", up);
    world.take("ins", judged(DAY, "B", 90_000, 30_000, "none"));
    world.take("ins", case("2022-05-03T10:00:00+02:00", "J", "JurLine"));
    world.take("ins", judged("2022-05-03T11:00:00+02:00", "J", 90_000, 0, "none"));
    let free = |year: i32| {
        let at = format!("{}-01-01T00:00:00+01:00", year + 1);
        set(&at, "bonus", 20_000, &format!("claim_free:{year}"))
    };
    world.refuse(Code::LadderStep, "ins", free(2021));
    // What is free of the deductible is free for the year.
    world.take("ins", free(2022));
}

#[test]
fn a_contract_without_a_ladder_is_not_judged_by_one() {
    let mut world = world();
    let at = "2025-05-06T09:00:00+02:00";
    world.take("broker", opened(at, "K", 100));
    let more = |ladder: &str| json!({"data": {"deductible": 7, "ladder": ladder}});
    let record = decided(at, "K", 100, 0);
    world.refuse(Code::LadderEffectWrong, "ins", with(record.clone(), more("step_up")));
    world.take("ins", with(record, more("none")));
}

#[test]
fn a_year_ends_on_the_clocks_of_the_contract() {
    let mut world = legal("variable");
    world.take("ins", set(DAY, "variable", 0, "start"));
    let free = |at: &str| set(at, "variable", 0, "claim_free:2021");
    world.refuse(Code::LadderStep, "ins", free("2021-12-31T22:59:59Z"));
    world.take("ins", free("2021-12-31T23:00:00Z"));
}

/// A deductible with a bonus, and cost commitments on these days of May 2021.
fn committed(world: &mut World, day: u8) {
    world.take("ins", set(&in_may(day), "bonus", 50_000, "cost_commitment"));
}

fn in_may(day: u8) -> String {
    format!("2021-05-{day:02}T10:00:00+02:00")
}

fn judged_in_may(day: u8, claim: &str, deductible: u64) -> Value {
    judged(&in_may(day), claim, 90_000, deductible, "none")
}

fn with_bonus() -> World {
    let mut world = legal("bonus");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "bonus", 30_000, "start"));
    committed(&mut world, 10);
    world
}

#[test]
fn a_claim_uses_up_the_commitment_that_it_was_opened_under_and_no_later_one() {
    let mut world = with_bonus();
    for claim in ["A", "B"] {
        world.take("ins", case(&in_may(12), claim, "legal_case"));
    }
    let first = world.take("ins", judged_in_may(14, "A", 50_000));
    committed(&mut world, 20);
    let again = with(judged_in_may(14, "A", 50_000), json!({"corrects": first.id()}));
    world.take("ins", again);
    world.take("ins", case(&in_may(25), "C", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged_in_may(26, "C", 30_000));
    world.take("ins", judged_in_may(26, "C", 50_000));
    world.refuse(Code::DeductibleWrong, "ins", judged_in_may(27, "B", 50_000));
    world.take("ins", judged_in_may(27, "B", 30_000));
}

#[test]
fn a_claim_opened_between_two_commitments_has_what_the_first_of_them_made_it() {
    let mut world = with_bonus();
    world.take("ins", case(&in_may(12), "A", "legal_case"));
    committed(&mut world, 20);
    world.refuse(Code::DeductibleWrong, "ins", judged_in_may(22, "A", 30_000));
    world.take("ins", judged_in_may(22, "A", 50_000));
    world.take("ins", case(&in_may(25), "C", "legal_case"));
    world.take("ins", judged_in_may(26, "C", 50_000));
}

#[test]
fn a_claim_free_year_corrected_into_a_commitment_is_not_used_up_by_an_earlier_claim() {
    let mut world = with_bonus();
    world.take("ins", case(&in_may(12), "A", "legal_case"));
    world.take("ins", judged_in_may(14, "A", 50_000));
    let new_year = "2023-01-02T10:00:00+01:00";
    let free = world.take("ins", set(new_year, "bonus", 40_000, "claim_free:2022"));
    let commitment = set(new_year, "bonus", 50_000, "cost_commitment");
    world.take("ins", with(commitment, json!({"corrects": free.id()})));
    world.take("ins", case(new_year, "B", "legal_case"));
    world.refuse(Code::DeductibleWrong, "ins", judged(new_year, "B", 90_000, 30_000, "none"));
    world.take("ins", judged(new_year, "B", 90_000, 50_000, "none"));
}

fn free(year: i32, amount: u64) -> Value {
    let at = format!("{}-01-01T00:00:00+01:00", year + 1);
    set(&at, "bonus", amount, &format!("claim_free:{year}"))
}

/// That a claim opened and decided at that moment bears so much and nothing else.
fn bears(world: &World, at: &str, deductible: u64) {
    let mut world = world.clone();
    world.take("ins", case(at, "ASKED", "legal_case"));
    for wrong in
        [0, 10_000, 20_000, 30_000, 40_000, 50_000].into_iter().filter(|it| *it != deductible)
    {
        let wrong = judged(at, "ASKED", 90_000, wrong, "none");
        world.refuse(Code::DeductibleWrong, "ins", wrong);
    }
    world.take("ins", judged(at, "ASKED", 90_000, deductible, "none"));
}

#[test]
fn what_was_earned_is_not_lost_when_the_year_of_a_cost_commitment_is_over() {
    let mut world = legal("bonus");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "bonus", 30_000, "start"));
    world.take("ins", free(2021, 20_000));
    bears(&world, "2022-05-09T10:00:00+02:00", 20_000);
    world.take("ins", set("2022-05-10T10:00:00+02:00", "bonus", 50_000, "cost_commitment"));
    bears(&world, "2022-05-10T10:00:00+02:00", 50_000);
    bears(&world, "2023-05-10T23:59:59+02:00", 50_000);
    bears(&world, "2023-05-11T00:00:00+02:00", 20_000);
    // Once a claim has borne it, it is over at once.
    let mut used = world.clone();
    used.take("ins", case("2022-05-11T10:00:00+02:00", "A", "legal_case"));
    used.take("ins", judged("2022-05-11T10:00:00+02:00", "A", 90_000, 50_000, "none"));
    bears(&used, "2022-05-12T10:00:00+02:00", 20_000);
    // The next year without a claim lowers what the ladder has come to.
    world.take("ins", free(2023, 10_000));
    bears(&world, "2024-01-01T00:00:00+01:00", 10_000);
    world.take("ins", free(2024, 0));
    bears(&world, "2025-01-01T00:00:00+01:00", 0);
}

#[test]
fn a_claim_free_year_told_after_a_cost_commitment_leaves_what_the_next_claim_bears() {
    let mut world = legal("bonus");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "bonus", 30_000, "start"));
    world.take("ins", set("2022-03-01T10:00:00+01:00", "bonus", 50_000, "cost_commitment"));
    let late = |amount: u64| set("2022-04-01T10:00:00+02:00", "bonus", amount, "claim_free:2021");
    for wrong in [50_000, 30_000, 10_000] {
        world.refuse(Code::LadderStep, "ins", late(wrong));
    }
    // Counted on from what the commitment said, or from the ladder: it is the same step.
    for amount in [40_000, 20_000] {
        let mut world = world.clone();
        world.take("ins", late(amount));
        bears(&world, "2022-04-02T10:00:00+02:00", 50_000);
        bears(&world, "2023-03-02T10:00:00+01:00", 20_000);
    }
}

#[test]
fn a_commitment_is_remembered_for_the_claim_that_it_was_for_however_many_followed() {
    let mut world = with_bonus();
    for claim in ["A", "B"] {
        world.take("ins", case(&in_may(12), claim, "legal_case"));
    }
    for day in 13..20 {
        committed(&mut world, day);
    }
    let first = world.take("ins", judged_in_may(21, "A", 50_000));
    world.refuse(Code::DeductibleWrong, "ins", judged_in_may(21, "B", 50_000));
    let again = with(judged_in_may(21, "A", 50_000), json!({"corrects": first.id()}));
    world.take("ins", again);
    world.take("ins", judged_in_may(21, "B", 30_000));
}

#[test]
fn what_a_claim_bears_is_refused_where_the_steps_of_its_time_are_forgotten() {
    let mut world = with_bonus();
    for claim in ["A", "B"] {
        world.take("ins", case(&in_may(12), claim, "legal_case"));
    }
    for _ in 0..crate::limits::LADDER_STEPS_MAX {
        committed(&mut world, 20);
    }
    for amount in [30_000, 50_000] {
        let refusal = world.refuse(Code::DeductibleWrong, "ins", judged_in_may(21, "A", amount));
        assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    }
    // What bears none needs no step.
    world.take("ins", with(judged_in_may(21, "B", 0), json!({"data": {"approved": 25_000}})));
    bears(&world, &in_may(21), 50_000);
}

#[test]
fn a_commitment_that_a_claim_has_borne_is_not_corrected_away_from_it() {
    let mut world = legal("bonus");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "bonus", 30_000, "start"));
    let set_in_may = |day: u8| set(&in_may(day), "bonus", 50_000, "cost_commitment");
    let commitment = world.take("ins", set_in_may(10));
    world.take("ins", case(&in_may(12), "A", "legal_case"));
    let decision = world.take("ins", judged_in_may(12, "A", 50_000));
    let moved = |record: Value| with(record, json!({"corrects": commitment.id()}));
    let refusal = world.refuse(Code::LadderStep, "ins", moved(set_in_may(13)));
    assert!(refusal.detail.contains(&decision.id().to_string()), "{refusal}");
    let other = set("2022-01-01T00:00:00+01:00", "bonus", 20_000, "claim_free:2021");
    world.refuse(Code::LadderStep, "ins", moved(other));
    world.take("ins", moved(set_in_may(12)));
    bears(&world, &in_may(13), 30_000);
}

#[test]
fn a_decision_told_late_is_judged_by_the_step_of_its_own_moment() {
    let mut world = legal("variable");
    world.take("ins", set("2021-01-01T00:00:01+01:00", "variable", 0, "start"));
    for claim in ["A", "B", "C"] {
        world.take("ins", case(&in_may(1), claim, "legal_case"));
    }
    let judged = |day: u8, claim: &str, deductible: u64| {
        judged(&in_may(day), claim, 90_000, deductible, "step_up")
    };
    world.take("ins", judged(2, "A", 0));
    let step = world.take("ins", set(&in_may(10), "variable", 10_000, "A"));
    let refusal = world.refuse(Code::DeductibleWrong, "ins", judged(3, "B", 10_000));
    assert!(refusal.detail.contains(&world.records[1].id().to_string()), "{refusal}");
    let late = world.take("ins", judged(3, "B", 0));
    let refusal = world.refuse(Code::DeductibleWrong, "ins", judged(10, "C", 0));
    assert!(refusal.detail.contains(&step.id().to_string()), "{refusal}");
    world.take("ins", judged(10, "C", 10_000));
    // Moved behind the step by a correction, it bears what holds there.
    let moved = |deductible| with(judged(11, "B", deductible), json!({"corrects": late.id()}));
    world.refuse(Code::DeductibleWrong, "ins", moved(0));
    world.take("ins", moved(10_000));
}
