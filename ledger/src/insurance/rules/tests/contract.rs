//! Contracts: versions, periods, ceilings, time in force.

use super::*;

fn amended(at: &str, version: u64, more: Value) -> Value {
    let data = json!({"version": version, "change": "address", "effective": "2025-04-01"});
    with(record("contract.amended", at, data), json!({ "data": more }))
}

fn change_requested(at: &str, to: u64) -> Value {
    let data = json!({"change": "ceiling", "to": to, "wanted_on": "2026-03-01", "currency": "EUR"});
    record("contract.change_requested", at, data)
}

const RENEWED_AT: &str = "2026-03-01T00:00:00+01:00";

fn renewed(version: u64, from: &str, to: &str, ceiling: Option<u64>) -> Value {
    let mut data = json!({"version": version, "period": {"from": from, "to": to}});
    if let Some(ceiling) = ceiling {
        data = with(data, json!({"annual_ceiling": ceiling, "currency": "EUR"}));
    }
    record("contract.renewed", RENEWED_AT, data)
}

fn renewed_on_time(version: u64, ceiling: Option<u64>) -> Value {
    renewed(version, "2026-03-01", "2027-02-28", ceiling)
}

fn terminated(at: &str, effective: Option<&str>) -> Value {
    let mut data = json!({"reason": "sold"});
    if let Some(day) = effective {
        data = with(data, json!({ "effective": day }));
    }
    record("contract.terminated", at, data)
}

#[test]
fn a_number_is_given_once() {
    let mut world = World::new();
    world.refuse(Code::VersionGap, "ins", with(issued(), json!({"data": {"version": 2}})));
    world.take("ins", issued());
    let refusal = world.refuse(Code::ContractExists, "ins", issued());
    assert!(refusal.detail.contains(&world.records[0].id().to_string()), "{refusal}");
    // Another insurer's number is another number.
    world.take("other", with(issued(), json!({"contract": "other/C"})));
}

#[test]
fn nothing_is_recorded_about_a_contract_or_claim_that_was_never_issued_or_opened() {
    let mut world = World::new();
    let at = "2025-04-01T09:00:00+02:00";
    for (signer, record) in [
        ("broker", change_requested(at, 1)),
        ("ins", amended(at, 2, json!({}))),
        ("ins", renewed_on_time(2, None)),
        ("ins", terminated(at, None)),
        ("vet", requested(at, "PA", 1)),
        ("ins", answered(at, "PA", 1, 0)),
        ("broker", opened(at, "K", 1)),
        ("ins", decided(at, "K", 1, 0)),
        ("ins", paid(at, "K", 1)),
        ("broker", record("party.updated", at, json!({"what": "bank", "effective": "2025-04-01"}))),
        (
            "vet",
            record(
                "consent.recorded",
                at,
                json!({"consent": "CN", "purpose": "p", "state": "given"}),
            ),
        ),
    ] {
        let refusal = world.refuse(Code::UnknownReference, signer, record);
        assert_eq!(refusal.field.as_deref(), Some("contract"));
    }
    world.take("ins", issued());
    for record in [decided(at, "K", 1, 0), paid(at, "K", 1)] {
        let refusal = world.refuse(Code::UnknownReference, "ins", record);
        assert_eq!(refusal.field.as_deref(), Some("claim"));
    }
    world.take("broker", opened(at, "K", 1));
    world.take("ins", with(issued(), json!({"contract": "ins/D"})));
    let of_another = with(decided(at, "K", 1, 0), json!({"contract": "ins/D"}));
    world.refuse(Code::UnknownReference, "ins", of_another);
    world.take("ins", decided(at, "K", 1, 0));
}

#[test]
fn what_comes_before_a_contract_must_be_known_where_it_is_named() {
    let mut world = World::new();
    let at = "2025-01-01T09:00:00+01:00";
    let applied = json!({"type": "contract.applied", "occurred_at": at,
        "data": {"application": "A", "quote": "Q"}});
    let quoted = json!({"type": "contract.quoted", "occurred_at": at, "data": {"quote": "Q"}});
    let consent = json!({"type": "consent.recorded", "occurred_at": at,
        "data": {"consent": "CN", "purpose": "referral", "state": "given"}});
    let rewarded = json!({"type": "reward.recorded", "occurred_at": at,
        "data": {"referral": "CN", "to": "vet", "amount": 1, "currency": "EUR"}});
    let on_both = with(issued(), json!({"data": {"application": "A", "referral": "CN"}}));
    assert_eq!(
        world.refuse(Code::UnknownReference, "broker", applied.clone()).field.unwrap(),
        "data.quote"
    );
    world.take("broker", quoted);
    assert_eq!(
        world.refuse(Code::UnknownReference, "ins", on_both.clone()).field.unwrap(),
        "data.application"
    );
    world.take("broker", applied);
    assert_eq!(
        world.refuse(Code::UnknownReference, "ins", on_both.clone()).field.unwrap(),
        "data.referral"
    );
    world.take("vet", consent);
    world.refuse(Code::UnknownReference, "ins", rewarded.clone());
    world.take("ins", on_both);
    world.take("ins", rewarded);
}

#[test]
fn a_deductible_that_moves_needs_its_modules() {
    for (modules, is_enough) in [
        (json!(["private", "employment", "traffic"]), true),
        (json!(["property", "traffic", "company", "more"]), true),
        (json!(["private", "employment"]), false),
        (json!(["company", "employment", "traffic"]), false),
        (Value::Null, false),
    ] {
        let mut world = World::new();
        let data = json!({"data": {"deductible_model": "variable", "modules": modules}});
        let record = with(issued(), data);
        if is_enough {
            world.take("ins", record);
        } else {
            world.refuse(Code::ModuleCombination, "ins", record);
        }
    }
}

#[test]
fn a_time_zone_is_one_that_every_node_knows() {
    let mut world = World::new();
    let bad = with(issued(), json!({"data": {"time_zone": "Europe/Atlantis"}}));
    let refusal = world.refuse(Code::Malformed, "ins", bad);
    assert_eq!(refusal.field.as_deref(), Some("data.time_zone"));
    world.take("ins", with(issued(), json!({"data": {"time_zone": "America/New_York"}})));
    // 2025-03-01 begins in New York at 05:00Z.
    world.refuse(Code::PolicyNotInForce, "broker", opened("2025-03-01T04:59:59Z", "K", 1));
    world.take("broker", opened("2025-03-01T05:00:00Z", "K", 1));
}

#[test]
fn cover_begins_with_the_first_second_of_the_first_day() {
    let mut world = world();
    world.refuse(Code::PolicyNotInForce, "broker", opened("2025-02-28T23:59:59+01:00", "K", 1));
    world.take("broker", opened("2025-03-01T00:00:00+01:00", "K", 1));
}

#[test]
fn days_are_counted_across_a_change_of_the_clock() {
    // In Brussels the clocks go forward in the night to 2025-03-30.
    let mut world = World::new();
    let period = json!({"data": {"period": {"from": "2025-03-31", "to": "2025-10-26"}}});
    world.take("ins", with(issued(), period));
    world.refuse(Code::PolicyNotInForce, "vet", requested("2025-03-30T21:59:59Z", "PA", 1));
    world.take("vet", requested("2025-03-30T22:00:00Z", "PA", 1));
    // And back in the night to 2025-10-26, a day of 25 hours: 24 hours are no day.
    world.take("ins", answered("2025-10-25T22:30:00Z", "PA", 1, 0));
    let until = world.period("ins/C", 1).holds[0].until;
    assert_eq!(until.to_string(), "2025-10-26T22:30:00Z");
    let next_day = with(
        terminated("2025-10-26T12:00:00Z", Some("2025-10-26")),
        json!({"data": {"reason": "sold"}}),
    );
    world.take("ins", next_day);
    world.take("vet", claimed("2025-10-26T22:30:00Z", "K", "PA", 1));
    world.refuse(Code::PolicyNotInForce, "broker", opened("2025-10-26T23:00:00Z", "L", 1));
}

#[test]
fn cover_goes_on_after_the_last_period_until_the_contract_is_ended() {
    let mut world = world();
    world.take("broker", opened("2031-01-01T00:00:00Z", "K", 1));
    assert_eq!(world.claim("ins/K").period, 1);
}

#[test]
fn a_contract_that_ends_at_once_is_over_from_that_second() {
    let mut world = world();
    let end = "2025-06-01T12:00:00+02:00";
    world.take("ins", terminated(end, None));
    world.take("broker", opened("2025-06-01T11:59:59+02:00", "K", 1));
    world.refuse(Code::PolicyNotInForce, "broker", opened(end, "L", 1));
    world.refuse(Code::PolicyNotInForce, "vet", requested(end, "PA", 1));
    world.refuse(Code::PolicyNotInForce, "ins", amended(end, 2, json!({})));
    world.refuse(Code::PolicyNotInForce, "ins", renewed_on_time(2, None));
    world.refuse(Code::PolicyNotInForce, "ins", terminated(end, None));
    world.take("ins", amended("2025-06-01T11:59:59+02:00", 2, json!({})));
}

#[test]
fn a_contract_that_ends_with_a_day_is_in_force_through_it() {
    let mut world = world();
    world.take("ins", terminated("2025-06-01T12:00:00+02:00", Some("2025-06-30")));
    world.take("broker", opened("2025-06-30T23:59:59+02:00", "K", 1));
    world.refuse(Code::PolicyNotInForce, "broker", opened("2025-07-01T00:00:00+02:00", "L", 1));
}

#[test]
fn versions_follow_each_other_without_a_gap() {
    let mut world = world();
    let at = "2025-04-01T09:00:00+02:00";
    world.refuse(Code::VersionGap, "ins", amended(at, 1, json!({})));
    world.refuse(Code::VersionGap, "ins", amended(at, 3, json!({})));
    world.take("ins", amended(at, 2, json!({})));
    let refusal = world.refuse(Code::VersionGap, "ins", amended(at, 2, json!({})));
    assert!(refusal.detail.contains(&world.records[1].id().to_string()), "{refusal}");
    world.refuse(Code::VersionGap, "ins", renewed_on_time(2, None));
    world.take("ins", renewed_on_time(3, None));
    // Nor is a later version older than the one before it.
    world.refuse(Code::VersionGap, "ins", amended(at, 4, json!({})));
    world.take("ins", amended("2026-03-01T00:00:00+01:00", 4, json!({})));
}

#[test]
fn a_ceiling_change_is_asked_for_up_to_the_42nd_day_before_the_period_ends() {
    // 2026-02-28 less 42 days.
    let mut world = world();
    world.refuse(
        Code::NoticeTooLate,
        "broker",
        change_requested("2026-01-18T00:00:00+01:00", 300_000),
    );
    world.refuse(Code::NoChangeRequest, "ins", renewed_on_time(2, Some(300_000)));
    world.take("broker", change_requested("2026-01-17T23:59:59+01:00", 300_000));
    world.refuse(Code::NoChangeRequest, "ins", renewed_on_time(2, Some(299_999)));
    world.take("ins", renewed_on_time(2, Some(300_000)));
    assert_eq!(world.period("ins/C", 2).ceiling.unwrap().minor_units(), 300_000);
    // What was asked for in one period does not hold for the next.
    let third = renewed(3, "2027-03-01", "2028-02-29", Some(150_000));
    world.refuse(Code::NoChangeRequest, "ins", third);
    world.take("ins", renewed(3, "2027-03-01", "2028-02-29", None));
    assert_eq!(world.period("ins/C", 3).ceiling.unwrap().minor_units(), 300_000);
}

#[test]
fn other_changes_may_be_asked_for_at_any_time() {
    let mut world = world();
    let late = json!({"change": "address", "wanted_on": "2026-03-01"});
    world.take("broker", record("contract.change_requested", "2026-02-28T12:00:00Z", late));
}

#[test]
fn a_late_notice_that_is_only_flagged_counts() {
    let mut world = World::flagging();
    world.take("ins", issued());
    world.take("broker", change_requested("2026-01-17T23:59:59+01:00", 200_000));
    assert!(world.last_flags().is_empty());
    world.take("broker", change_requested("2026-01-18T00:00:00+01:00", 300_000));
    assert_eq!(world.last_flags(), ["notice_too_late"]);
    world.take("ins", renewed_on_time(2, Some(300_000)));
}

#[test]
fn only_the_last_sixteen_ceilings_asked_for_are_remembered() {
    let mut world = world();
    for to in 1..=17 {
        world.take("broker", change_requested("2025-06-01T09:00:00Z", to * 1_000));
    }
    world.refuse(Code::NoChangeRequest, "ins", renewed_on_time(2, Some(1_000)));
    world.take("ins", renewed_on_time(2, Some(2_000)));
}

fn ceiling_amended(at: &str, effective: &str, to: u64) -> Value {
    let change = json!({"change": "ceiling", "to": to, "effective": effective, "currency": "EUR"});
    amended(at, 2, change)
}

#[test]
fn a_ceiling_changes_from_the_day_after_the_period() {
    let mut world = world();
    let at = "2025-06-01T09:00:00+02:00";
    world.refuse(Code::ChangeOnlyAtPeriodEnd, "ins", ceiling_amended(at, "2026-02-28", 200_000));
    world.take("ins", ceiling_amended(at, "2026-03-01", 200_000));
    // It was agreed, so the renewal needs no other request.
    assert_eq!(world.period("ins/C", 1).ceiling.unwrap().minor_units(), 150_000);
    world.take("ins", renewed_on_time(3, Some(200_000)));
}

#[test]
fn a_ceiling_agreed_for_the_next_period_is_what_that_starts_with() {
    let mut world = world();
    let at = "2025-06-01T09:00:00+02:00";
    let mut asked_before = world.clone();
    world.take("ins", ceiling_amended(at, "2026-03-01", 250_000));
    let mut unnamed = world.clone();
    unnamed.take("ins", renewed_on_time(3, None));
    assert_eq!(unnamed.period("ins/C", 2).ceiling.unwrap().minor_units(), 250_000);
    unnamed.take("vet", requested("2026-03-02T09:00:00Z", "PA", 250_000));
    unnamed.take("ins", answered("2026-03-02T09:00:00Z", "PA", 250_000, 0));
    world.clone().take("ins", renewed_on_time(3, Some(250_000)));
    // Another one is asked for first, the one before included.
    for other in [150_000, 300_000] {
        let refusal = world.refuse(Code::NoChangeRequest, "ins", renewed_on_time(3, Some(other)));
        assert!(refusal.detail.contains("agreed for it is 250 000 EUR"), "{refusal}");
        assert!(refusal.detail.contains(&world.records[1].id().to_string()), "{refusal}");
        let mut asked = world.clone();
        asked.take("broker", change_requested(at, other));
        asked.take("ins", renewed_on_time(3, Some(other)));
    }
    asked_before.take("broker", change_requested(at, 300_000));
    asked_before.take("ins", ceiling_amended(at, "2026-03-01", 250_000));
    asked_before.clone().take("ins", renewed_on_time(3, Some(300_000)));
    asked_before.take("ins", renewed_on_time(3, None));
    assert_eq!(asked_before.period("ins/C", 2).ceiling.unwrap().minor_units(), 250_000);
    // Its currency is that of the ceiling, so that a renewal can take it.
    let francs = json!({"data": {"version": 3, "currency": "CHF"}});
    let francs = with(ceiling_amended(at, "2026-03-01", 200_000), francs);
    world.refuse(Code::CurrencyMismatch, "ins", francs);
}

#[test]
fn of_ceilings_agreed_the_latest_that_can_hold_by_then_holds_and_of_one_day_the_newest() {
    let mut world = world();
    let at = "2025-06-01T09:00:00+02:00";
    let agreed = |version: u64, effective: &str, to: u64| {
        let more = json!({"data": {"version": version}});
        with(ceiling_amended(at, effective, to), more)
    };
    world.take("ins", agreed(2, "2026-03-02", 300_000));
    world.take("ins", agreed(3, "2026-03-01", 210_000));
    world.take("ins", agreed(4, "2026-03-01", 220_000));
    world.refuse(Code::NoChangeRequest, "ins", renewed_on_time(5, Some(210_000)));
    world.take("ins", renewed_on_time(5, None));
    // Of the day after, it holds from the period that begins then or later.
    world.take("ins", renewed(6, "2027-03-01", "2028-02-29", None));
    world.take("ins", renewed(7, "2028-03-01", "2029-02-28", None));
    let ceilings = [1, 2, 3, 4].map(|number| world.period("ins/C", number).ceiling.unwrap());
    assert_eq!(ceilings.map(|it| it.minor_units()), [150_000, 220_000, 300_000, 300_000]);
    for version in 8..24 {
        world.take(
            "ins",
            with(agreed(version, "2035-03-01", 1), json!({"occurred_at": RENEWED_AT})),
        );
    }
    let one_more = with(agreed(24, "2035-03-01", 1), json!({"occurred_at": RENEWED_AT}));
    world.refuse(Code::TooLarge, "ins", one_more);
}

#[test]
fn a_ceiling_that_is_flagged_holds_at_once_but_not_below_what_is_used() {
    let mut world = World::flagging();
    world.take("ins", issued());
    let at = "2025-06-01T09:00:00+02:00";
    world.take("broker", opened(at, "K", 50_000));
    world.take("ins", decided(at, "K", 50_000, 0));
    world.take("vet", requested(at, "PA", 30_000));
    world.take("ins", answered(at, "PA", 30_000, 0));
    world.refuse(Code::CeilingExceeded, "ins", ceiling_amended(at, "2025-06-01", 79_999));
    world.take("ins", ceiling_amended(at, "2025-06-01", 80_000));
    assert_eq!(world.last_flags(), ["change_only_at_period_end"]);
    world.take("vet", requested(at, "PB", 1));
    world.refuse(Code::CeilingExceeded, "ins", answered(at, "PB", 1, 0));
}

#[test]
fn a_ceiling_that_is_flagged_does_not_count_before_its_day() {
    let mut world = World::flagging();
    world.take("ins", issued());
    let at = "2025-06-01T09:00:00+02:00";
    world.take("ins", ceiling_amended(at, "2025-07-01", 200_000));
    let answer = |world: &mut World, at: &str, amount: u64, number: &str| {
        world.take("vet", requested(at, number, amount));
        world.try_take("ins", answered(at, number, amount, 0)).err().map(|refusal| refusal.code)
    };
    let exceeded = Some(Code::CeilingExceeded);
    assert_eq!(answer(&mut world, "2025-06-15T10:00:00+02:00", 200_000, "A"), exceeded);
    assert_eq!(answer(&mut world, "2025-06-30T23:59:59+02:00", 150_001, "B"), exceeded);
    assert_eq!(answer(&mut world, "2025-06-15T10:00:00+02:00", 150_000, "C"), None);
    assert_eq!(answer(&mut world, "2025-07-01T00:00:00+02:00", 200_000, "D"), None);
    // One that is lowered counts from its day on for what is held until then.
    let lower = json!({"data": {"version": 3}, "occurred_at": "2025-08-01T09:00:00+02:00"});
    world.take("ins", with(ceiling_amended(at, "2025-09-01", 100_000), lower));
    assert_eq!(answer(&mut world, "2025-08-31T00:00:01+02:00", 100_001, "E"), exceeded);
    assert_eq!(answer(&mut world, "2025-08-30T23:59:59+02:00", 200_000, "F"), None);
    // What is spent stays spent.
    world.take("broker", opened("2025-08-15T09:00:00+02:00", "K", 100_001));
    world.refuse(
        Code::CeilingExceeded,
        "ins",
        decided("2025-08-15T09:00:00+02:00", "K", 100_001, 0),
    );
    // The next period starts with what holds on the last day.
    world.take("ins", renewed_on_time(4, None));
    assert_eq!(world.period("ins/C", 2).ceiling.unwrap().minor_units(), 100_000);
}

#[test]
fn a_period_begins_the_day_after_the_last() {
    let mut world = world();
    for from in ["2026-02-28", "2026-03-02"] {
        world.refuse(Code::PeriodGap, "ins", renewed(2, from, "2027-02-28", None));
    }
    world.take("ins", renewed_on_time(2, None));
    let period = world.period("ins/C", 2);
    assert_eq!((period.spent.minor_units(), period.holds.len()), (0, 0));
}

#[test]
fn a_renewal_changes_the_ceiling_but_not_its_currency() {
    let mut world = world();
    let in_francs = json!({"data": {"annual_ceiling": 150_000, "currency": "CHF"}});
    let refused = with(renewed_on_time(2, None), in_francs);
    world.refuse(Code::CurrencyMismatch, "ins", refused);
    world.take("ins", renewed_on_time(2, Some(150_000)));
}

#[test]
fn a_record_counts_for_the_period_that_holds_its_day() {
    let mut world = world();
    for version in 2..=6 {
        let year = 2024 + version;
        let (from, to) = (format!("{year}-03-01"), format!("{}-02-28", year + 1));
        let to = if year + 1 == 2028 { "2028-02-29".to_owned() } else { to };
        world.take("ins", renewed(version, &from, &to, None));
    }
    for (number, day) in [
        (1, "2025-03-01"),
        (1, "2026-02-28"),
        (2, "2026-03-01"),
        (3, "2028-02-29"),
        (6, "2035-01-01"),
    ] {
        let claim = format!("K-{day}");
        world.take("broker", opened(&format!("{day}T12:00:00Z"), &claim, 1));
        assert_eq!(world.claim(&format!("ins/{claim}")).period, number, "{day}");
    }
}

#[test]
fn a_contract_has_one_broker() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"broker": "broker"}})));
    let at = "2025-04-01T09:00:00+02:00";
    world.refuse(Code::NotAParty, "heca", opened(at, "K", 1));
    world.refuse(Code::NotAParty, "heca", change_requested(at, 1));
    // A claim leads to its contract, where none is named.
    world.take("broker", opened(at, "N", 1));
    let updated = json!({"type": "party.updated", "occurred_at": at, "claim": "ins/N",
        "data": {"what": "bank", "effective": "2025-04-01"}});
    world.refuse(Code::NotAParty, "heca", updated.clone());
    world.take("broker", updated.clone());
    let of_none = with(updated, json!({"claim": "ins/none"}));
    world.refuse(Code::UnknownReference, "broker", of_none);
    // A consent may come from anybody, and a claim from insurer or provider.
    let consent = json!({"consent": "CN", "purpose": "p", "state": "given"});
    world.take("heca", record("consent.recorded", at, consent));
    world.take("broker", opened(at, "K", 1));
    world.take("vet", opened(at, "L", 1));
    world.take("ins", opened(at, "M", 1));
}

#[test]
fn nobody_makes_the_ledger_forget_a_ceiling_that_another_asked_for() {
    let mut world = world();
    let at = "2025-05-06T09:00:00+02:00";
    world.take("broker", ceiling_asked(at, 200_000));
    for _ in 0..=crate::limits::PERIOD_CEILINGS_REQUESTED_MAX {
        world.take("rival", ceiling_asked(at, 300_000));
    }
    let mut insurers = world.clone();
    insurers.take("ins", ceiling_asked(at, 400_000));
    insurers.take("ins", renewed_with(400_000));
    world.take("ins", renewed_with(200_000));
}

#[test]
fn changes_of_the_broker_that_are_to_come_are_not_made_at_once_by_more_of_them() {
    let mut world = World::new();
    world.take("ins", with(issued(), json!({"data": {"broker": "broker"}})));
    let at = "2025-05-06T09:00:00+02:00";
    let change = |version: u64, at: &str| {
        let data = json!({"version": version, "change": "broker", "to": "rival",
            "effective": format!("2025-07-{version:02}")});
        record("contract.amended", at, data)
    };
    let last = 1 + crate::limits::BROKER_CHANGES_MAX as u64;
    for version in 2..=last {
        world.take("ins", change(version, at));
    }
    world.refuse(Code::TooLarge, "ins", change(last + 1, at));
    let letter = record("document.issued", at, json!({"kind": "letter"}));
    world.take("broker", letter);
    world.take("ins", change(last + 1, "2025-07-02T09:00:00+02:00"));
}

#[test]
fn a_version_corrected_to_before_the_one_before_it_is_told_which_that_is() {
    let mut world = world();
    let amended = |at: &str| {
        let data = json!({"version": 2, "change": "address", "effective": "2025-06-01"});
        record("contract.amended", at, data)
    };
    let first = world.take("ins", amended("2025-05-06T09:00:00+02:00"));
    let moved = with(amended("2025-02-26T09:00:00+01:00"), json!({"corrects": first.id()}));
    let refusal = world.refuse(Code::VersionGap, "ins", moved);
    assert!(refusal.detail.contains(&world.records[0].id().to_string()), "{refusal}");
}

/// A state whose records cannot be read, only looked up.
struct Unread<'a>(&'a state::MemoryState);

impl StateReader for Unread<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, state::StateError> {
        self.0.get(key)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<state::Pair>, state::StateError> {
        self.0.range(from, to, limit)
    }

    fn record(&self, id: &crate::digest::RecordId) -> Result<Option<Record>, state::StateError> {
        Err(state::StateError::new(format!("{id} is read")))
    }

    fn holds_record(&self, id: &crate::digest::RecordId) -> Result<bool, state::StateError> {
        self.0.holds_record(id)
    }
}

#[test]
fn a_record_whose_private_data_is_erased_is_looked_up_and_not_read() {
    let mut world = world();
    let erased = |id: String| {
        let data = json!({"record": id, "basis": "request"});
        json!({"type": "disclosure.erased", "occurred_at": "2025-05-06T09:00:00Z", "data": data})
    };
    let known = world.records[0].id().to_string();
    let (known, unknown) = (erased(known), erased("ab".repeat(32)));
    let [known, unknown] = [known, unknown].map(|record| world.sign("broker", record));
    let of_block = world.sign("broker", erased(known.id().to_string()));
    let reader = Unread(&world.state);
    let mut block = BlockState::new(9, BLOCK_MS, 1, &world.members, &reader);
    block.apply(&known).unwrap();
    block.apply(&of_block).unwrap();
    assert!(matches!(
        block.apply(&unknown),
        Err(state::ApplyError::Refused(refusal)) if refusal.code == Code::UnknownReference
    ));
}
