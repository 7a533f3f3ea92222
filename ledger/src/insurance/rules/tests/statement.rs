//! Statements: the figures of the ledger to the day and cent; alerts.

use proptest::prelude::*;

use super::*;

fn statement(to: &str, days: (&str, &str), figures: (u64, u64, u64)) -> Value {
    json!({"type": "statement.issued", "occurred_at": "2030-01-01T00:00:00Z", "data": {
        "to": to, "period": {"from": days.0, "to": days.1}, "frequency": "monthly",
        "paid_count": figures.0, "paid_sum": figures.1, "open_count": figures.2, "currency": "EUR",
    }})
}

fn to_vet(at: &str, claim: &str, amount: u64) -> Value {
    with(paid(at, claim, amount), json!({"data": {"payee": "vet"}}))
}

#[test]
fn a_statement_says_what_the_ledger_holds_to_the_day_and_cent() {
    let mut world = world();
    let at = "2025-09-30T23:59:59+02:00";
    world.take("vet", opened(at, "K", 100));
    world.take("ins", decided(at, "K", 100, 0));
    world.take("ins", to_vet(at, "K", 40));
    world.take("ins", to_vet("2025-10-01T00:00:00+02:00", "K", 50));
    let september = ("2025-09-01", "2025-09-30");
    for wrong in [(0, 40, 1), (2, 40, 1), (1, 39, 1), (1, 41, 1), (1, 40, 0), (1, 40, 2)] {
        world.refuse(Code::StatementMismatch, "ins", statement("vet", september, wrong));
    }
    let refusal =
        world.refuse(Code::StatementMismatch, "ins", statement("vet", september, (1, 41, 1)));
    assert_eq!(refusal.field.as_deref(), Some("data.paid_sum"));
    world.take("ins", statement("vet", september, (1, 40, 1)));
    world.take("ins", statement("vet", ("2025-10-01", "2025-10-01"), (1, 50, 1)));
    world.take("ins", statement("vet", ("2025-09-30", "2025-10-01"), (2, 90, 1)));
    world.take("ins", statement("vet", ("2000-01-01", "2099-12-31"), (2, 90, 1)));
    world.take("ins", statement("vet", ("2025-01-01", "2025-09-29"), (0, 0, 0)));
    // Whose records they are not, and who was not paid.
    world.take("other", statement("vet", september, (0, 0, 0)));
    world.take("ins", statement("policyholder", september, (0, 0, 0)));
    let francs = json!({"data": {"currency": "CHF"}});
    world.take("ins", with(statement("vet", september, (0, 0, 1)), francs));
    // What comes back is taken off on its day.
    let returned = json!({"data": {"status": "returned"}});
    world.take("ins", with(to_vet("2025-11-02T09:00:00Z", "K", 40), returned));
    world.take("ins", statement("vet", september, (1, 40, 1)));
    world.take("ins", statement("vet", ("2025-09-01", "2025-11-30"), (1, 50, 1)));
}

#[test]
fn a_statement_about_a_contract_counts_that_contract_only() {
    let mut world = world();
    let at = "2025-09-03T09:00:00+02:00";
    world.take("ins", with(issued(), json!({"contract": "ins/D"})));
    for (contract, claim, amount) in [("ins/C", "K", 10), ("ins/D", "L", 20)] {
        let of = json!({ "contract": contract });
        world.take("vet", with(opened(at, claim, amount), of.clone()));
        world.take("ins", with(decided(at, claim, amount, 0), of.clone()));
        world.take("ins", with(to_vet(at, claim, amount), of));
    }
    let days = ("2025-09-01", "2025-09-30");
    world.take("ins", statement("vet", days, (2, 30, 0)));
    let of = |contract: &str| json!({ "contract": contract });
    world.take("ins", with(statement("vet", days, (1, 10, 0)), of("ins/C")));
    world.take("ins", with(statement("vet", days, (1, 20, 0)), of("ins/D")));
    world.refuse(
        Code::UnknownReference,
        "ins",
        with(statement("vet", days, (0, 0, 0)), of("ins/E")),
    );
}

#[test]
fn a_claim_is_open_from_its_day_to_the_day_it_is_refused_paid_or_closed() {
    let mut world = world();
    let declared = json!({"declared_by": "policyholder"});
    let open = |world: &mut World, day: &str, count: u64| {
        let figures = |count| statement("policyholder", ("2025-01-01", day), (0, 0, count));
        world.take("ins", figures(count));
        world.refuse(Code::StatementMismatch, "ins", figures(count + 1));
    };
    let on = |day: u8| format!("2025-05-{day:02}T12:00:00Z");
    for (day, claim) in [(2, "K"), (4, "L"), (4, "M")] {
        world.take("broker", with(opened(&on(day), claim, 100), declared.clone()));
    }
    open(&mut world, "2025-05-01", 0);
    open(&mut world, "2025-05-03", 1);
    open(&mut world, "2025-05-04", 3);
    world.take("ins", decided(&on(6), "K", 0, 100));
    world.take("ins", decided(&on(6), "L", 100, 0));
    open(&mut world, "2025-05-05", 3);
    open(&mut world, "2025-05-06", 2);
    world.take("ins", to_vet(&on(8), "L", 99));
    open(&mut world, "2025-05-08", 2);
    world.take("ins", to_vet(&on(9), "L", 1));
    open(&mut world, "2025-05-08", 2);
    open(&mut world, "2025-05-09", 1);
    let closed = json!({"paid": 0, "currency": "EUR"});
    world.take("ins", of_claim("claim.closed", &on(10), "M", closed));
    open(&mut world, "2025-05-09", 1);
    open(&mut world, "2025-05-10", 0);
    // Money that came back leaves it open again.
    let returned = json!({"data": {"status": "returned"}});
    world.take("ins", with(to_vet(&on(12), "L", 1), returned));
    open(&mut world, "2025-05-11", 0);
    open(&mut world, "2025-05-12", 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However payments lie and whichever days are asked for: the tallies are
    /// the sums of the payments.
    #[test]
    fn a_statement_is_the_sum_of_its_records(
        payments in prop::collection::vec((0..900_i64, 1..5_u64, any::<bool>()), 1..25),
        asked in prop::collection::vec((-40..940_i64, 0..500_i64), 1..8),
    ) {
        let mut world = World::new();
        world.take("ins", with(issued(), json!({"data": {"annual_ceiling": null}})));
        let at = "2025-03-02T12:00:00Z";
        world.take("vet", opened(at, "K", 1_000_000));
        world.take("ins", decided(at, "K", 1_000_000, 0));
        let day = |days: i64| seconds_after("2025-03-02T12:00:00Z", days * 86_400);
        let mut held: Vec<(i64, i64)> = Vec::new();
        for (days, amount, back) in payments {
            let paid = to_vet(&day(days), "K", amount);
            // What the payee has on that day and keeps on every later one.
            let by = |last: i64| -> i64 {
                held.iter().filter(|(day, _)| *day <= last).map(|(_, amount)| amount).sum()
            };
            let later = held.iter().map(|(day, _)| *day).filter(|day| *day > days);
            let out = later.map(by).fold(by(days), i64::min);
            let signed = i64::try_from(amount).unwrap();
            if back && signed <= out {
                world.take("ins", with(paid, json!({"data": {"status": "returned"}})));
                held.push((days, -signed));
            } else {
                world.take("ins", paid);
                held.push((days, signed));
            }
        }
        for (from, length) in asked {
            let to = from + length;
            let within = || held.iter().filter(|(day, _)| (from..=to).contains(day));
            let count: i64 = within().map(|(_, amount)| amount.signum()).sum();
            let sum: i64 = within().map(|(_, amount)| amount).sum();
            let (first, last) = (day(from)[..10].to_owned(), day(to)[..10].to_owned());
            if let (Ok(count), Ok(sum)) = (u64::try_from(count), u64::try_from(sum)) {
                let open = u64::from(to >= 0);
                let figures = (count, sum, open);
                world.take("ins", statement("vet", (&first, &last), figures));
                let of_contract = json!({"contract": "ins/C"});
                let same = with(statement("vet", (&first, &last), figures), of_contract);
                world.take("ins", same);
            }
        }
    }
}

/// What is told of a claim, and on which day it happened.
#[derive(Debug, Clone, Copy)]
enum Told {
    Decided(u64),
    Paid(i64),
    Closed,
}

/// Whether a claim of 10 is open at the end of a day, by what had happened by then.
fn is_open(told: &[(i64, Told)], day: i64) -> bool {
    let mut by_then: Vec<_> = told.iter().filter(|(at, _)| *at <= day).collect();
    by_then.sort_by_key(|(at, _)| *at);
    let (mut due, mut paid, mut closed) = (None, 0, false);
    for (_, told) in by_then {
        match told {
            Told::Decided(approved) => due = Some(i64::try_from(*approved).unwrap()),
            Told::Paid(amount) => paid += amount,
            Told::Closed => closed = true,
        }
    }
    !closed && due.is_none_or(|due| paid < due)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// In whatever order a claim's records come: it is open on the days on which it was.
    #[test]
    fn a_claim_counts_as_open_by_what_had_happened_by_then(
        tried in prop::collection::vec((0..6_u8, 0..20_i64, 0..11_u64), 4..40),
        carried in any::<bool>(),
    ) {
        let mut world = world();
        let at = |day: i64| seconds_after("2025-05-01T12:00:00Z", day * 86_400);
        world.take("vet", opened(&at(0), "K", 10));
        if carried {
            // So that something is paid before it is decided.
            let offer = json!({"round": 1, "amount": 10, "currency": "EUR"});
            world.take("ins", of_claim("settlement.offered", &at(0), "K", offer));
            let notified = json!({"round": 1, "to": "policyholder"});
            world.take("broker", of_claim("settlement.notified", &at(0), "K", notified));
            let objected = json!({"round": 1, "answer": "objected"});
            world.take("broker", of_claim("settlement.answered", &at(0), "K", objected));
        }
        let mut told = Vec::new();
        for (kind, day, amount) in tried {
            let on = at(day);
            let signed = i64::try_from(amount).unwrap();
            let (record, what) = match kind {
                0 => (decided(&on, "K", amount.min(10), 10 - amount.min(10)),
                    Some(Told::Decided(amount.min(10)))),
                1 => (of_claim("claim.disputed", &on, "K", json!({"between": ["x"]})), None),
                2 => {
                    let back = json!({"data": {"status": "returned"}});
                    (with(paid(&on, "K", amount), back), Some(Told::Paid(-signed)))
                }
                3 if amount == 10 => {
                    let paid = world.claim("ins/K").stands().paid().minor_units();
                    let data = json!({"paid": paid, "currency": "EUR"});
                    (of_claim("claim.closed", &on, "K", data), Some(Told::Closed))
                }
                _ => {
                    let on_account = json!({"data": {"on_account": kind == 5}});
                    (with(paid(&on, "K", amount), on_account), Some(Told::Paid(signed)))
                }
            };
            if world.try_take("ins", record).is_ok() {
                told.extend(what.map(|what| (day, what)));
            }
        }
        for day in 0..21 {
            let open = u64::from(is_open(&told, day));
            let last = at(day)[..10].to_owned();
            let said = |open: u64| with(
                statement("vet", (&last, &last), (0, 0, open)),
                json!({"contract": "ins/C"}),
            );
            prop_assert!(world.clone().try_take("ins", said(open)).is_ok(), "{day} {told:?}");
            prop_assert!(world.clone().try_take("ins", said(1 - open)).is_err(), "{day} {told:?}");
        }
    }
}

#[test]
fn what_comes_before_the_last_64_things_done_about_a_claim_is_refused() {
    let mut world = world();
    let at = |second: i64| seconds_after("2025-05-01T12:00:00Z", second);
    world.take("vet", opened(&at(0), "K", 1_000));
    world.take("ins", decided(&at(0), "K", 1_000, 0));
    for second in 1..=crate::limits::CLAIM_STEPS_MAX as i64 {
        // Told out of order, the ledger forgets what happened first.
        world.take("ins", to_vet(&at(100 - second), "K", 1));
    }
    world.take("ins", to_vet(&at(100), "K", 1));
    let refusal = world.refuse(Code::ClaimState, "ins", to_vet(&at(35), "K", 1));
    assert_eq!(refusal.field.as_deref(), Some("occurred_at"));
    world.take("ins", to_vet(&at(36), "K", 1));
}

#[test]
fn an_alert_is_about_what_the_ledger_holds() {
    let mut world = world();
    let at = "2025-05-06T09:00:00+02:00";
    let alert = |what: Value| {
        let data = with(json!({"alert": "possible_duplicate", "basis": "same_risk"}), what);
        record("alert.raised", at, data)
    };
    let by_number = alert(json!({"preauthorisations": ["PA"]}));
    let by_claim = alert(json!({"claims": ["ins/K"]}));
    world.refuse(Code::UnknownReference, "ins", by_number.clone());
    world.refuse(Code::UnknownReference, "ins", by_claim.clone());
    world.take("vet", requested(at, "PA", 1));
    world.take("vet", opened(at, "K", 1));
    world.take("ins", by_number);
    world.take("ins", by_claim);
}
