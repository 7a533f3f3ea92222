//! What people should look at: not done in time, late, used twice.

use super::*;

#[test]
fn exceptions_name_what_was_not_done_in_time() {
    let lines = Lines::of_sample("petexpert");
    let found = lines.exceptions("petexpert/PX-1001", now());
    let kinds: Vec<_> = found.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [ExceptionKind::HoldExpired], "{found:#?}");
    assert!(found[0].sentence.contains("1260.00 EUR"), "{}", found[0].sentence);
    let before = AsOf::Time(time("2025-09-02T15:00:05+02:00"));
    assert!(lines.exceptions("petexpert/PX-1001", before).is_empty(), "its last second");

    let lines = Lines::of_sample("heca");
    let found = lines.exceptions("comp-it/HC-5501", now());
    let kinds: Vec<_> = found.iter().map(|found| found.kind).collect();
    let handling = ExceptionKind::HandlingOverdue;
    assert_eq!(kinds, [handling, handling], "one late, one never: {found:#?}");
}

#[test]
fn a_change_of_the_bank_account_counts_for_thirty_days_to_the_second() {
    for (changed, expected) in [
        ("2025-02-03T10:00:00Z", true),
        ("2025-02-03T09:59:59Z", false),
        ("2025-03-05T10:00:01Z", false),
    ] {
        let mut lines = with_claim();
        let change = lines.add(
            "ins",
            json!({"type": "party.updated", "occurred_at": changed,
            "contract": "ins/1", "data": {"what": "bank", "effective": "2025-02-04"}}),
        );
        lines.add("ins", payment("2025-03-05T10:00:00Z", 20_000, "executed"));
        let found = lines.exceptions("ins/1", now());
        let found: Vec<_> =
            found.iter().filter(|it| it.kind == ExceptionKind::BankChange).collect();
        assert_eq!(found.len(), usize::from(expected), "{changed}");
        assert!(found.iter().all(|found| found.others == [change]));
    }
}

#[test]
fn the_same_risk_at_two_providers_shows_as_long_as_the_first_has_it() {
    const LAST: &str = "2025-05-07T09:00:00Z";
    let hold = |lines: &mut Lines, provider: &str, number: &str, at: &str, until: &str| {
        lines.add(
            provider,
            json!({"type": "preauthorisation.requested", "occurred_at": at, "contract": "ins/1",
                "data": {"preauthorisation": number, "lines": [{"code": "x", "amount": 100}],
                    "currency": "EUR"}}),
        );
        lines.add(
            "ins",
            json!({"type": "preauthorisation.answered", "occurred_at": at, "contract": "ins/1",
                "data": {"preauthorisation": number, "guaranteed": 100, "customer_share": 0,
                    "hold_until": until, "currency": "EUR"}}),
        )
    };
    let claim = |lines: &mut Lines, provider: &str, number: &str, at: &str, held: Option<&str>| {
        let mut data = json!({"channel": "vet_system", "attached": []});
        if let Some(held) = held {
            data["preauthorisation"] = held.into();
        }
        lines.add(
            provider,
            json!({"type": "claim.opened", "occurred_at": at, "contract": "ins/1",
                "claim": format!("ins/{number}"), "data": data}),
        )
    };
    let found = |lines: &Lines| -> Vec<_> {
        let found = lines.exceptions("ins/1", now()).into_iter();
        let found = found.filter(|found| found.kind == ExceptionKind::TwoProviders);
        found.map(|found| (found.record, found.others)).collect()
    };
    // The other provider's hold, to its last second; its own does not count.
    for (at, until, provider, expected) in [
        (LAST, "2025-05-08T09:00:00Z", "vet-2", true),
        ("2025-05-07T09:00:01Z", "2025-05-08T09:00:01Z", "vet-2", false),
        (LAST, "2025-05-08T09:00:00Z", "vet-1", false),
    ] {
        let mut lines = Lines::default();
        let first = hold(&mut lines, "vet-1", "A", "2025-05-06T09:00:00Z", LAST);
        let second = hold(&mut lines, provider, "B", at, until);
        let all = found(&lines);
        assert_eq!(all, if expected { vec![(second, vec![first])] } else { vec![] }, "{at}");
    }
    // A hold that was given back is none.
    let mut lines = Lines::default();
    hold(&mut lines, "vet-1", "A", "2025-05-06T09:00:00Z", LAST);
    lines.add(
        "vet-1",
        json!({"type": "preauthorisation.released", "occurred_at": "2025-05-06T10:00:00Z",
            "contract": "ins/1", "data": {"preauthorisation": "A", "reason": "cancelled"}}),
    );
    hold(&mut lines, "vet-2", "B", "2025-05-06T10:00:01Z", "2025-05-07T10:00:01Z");
    assert_eq!(found(&lines), []);
    // A claim counts for 24 hours; one on its own hold is not listed again.
    for (at, expected) in [("2025-05-07T09:00:00Z", true), ("2025-05-07T09:00:01Z", false)] {
        let mut lines = Lines::default();
        let first = claim(&mut lines, "vet-1", "C1", "2025-05-06T09:00:00Z", None);
        let second = hold(&mut lines, "vet-2", "B", at, "2025-05-09T09:00:00Z");
        claim(&mut lines, "vet-2", "C2", "2025-05-07T09:00:02Z", Some("B"));
        let all = found(&lines);
        assert_eq!(all, if expected { vec![(second, vec![first])] } else { vec![] }, "{at}");
    }
}

#[test]
fn a_claim_is_a_providers_by_who_opened_it_and_not_by_the_way_it_came() {
    // Who claims, for whom, by which channel, and whether that is another provider.
    for (signer, by, channel, expected) in [
        ("vet-2", None, "crm", true),
        ("vet-2", None, "portal", true),
        ("vet-2", None, "insurer", true),
        ("vet-2", None, "vet_system", true),
        ("vet-1", None, "insurer", false),
        ("ins", Some("policyholder"), "vet_system", false),
        ("broker", Some("policyholder"), "vet_system", false),
        ("vet-2", Some("policyholder"), "vet_system", false),
        ("ins", None, "vet_system", false),
        ("broker", None, "crm", false),
    ] {
        let mut lines = Lines::default();
        let (at, until) = ("2025-05-06T09:00:00Z", "2025-05-07T09:00:00Z");
        lines.add(
            "vet-1",
            json!({"type": "preauthorisation.requested", "occurred_at": at, "contract": "ins/1",
                "data": {"preauthorisation": "A", "lines": [{"code": "x", "amount": 100}],
                    "currency": "EUR"}}),
        );
        let hold = lines.add(
            "ins",
            json!({"type": "preauthorisation.answered", "occurred_at": at, "contract": "ins/1",
                "data": {"preauthorisation": "A", "guaranteed": 100, "customer_share": 0,
                    "hold_until": until, "currency": "EUR"}}),
        );
        let mut claim = json!({"type": "claim.opened", "occurred_at": "2025-05-06T10:00:00Z",
            "contract": "ins/1", "claim": "ins/C1",
            "data": {"channel": channel, "attached": ["care_sheet", "invoice"]}});
        if let Some(by) = by {
            claim["declared_by"] = by.into();
        }
        let claim = lines.add(signer, claim);
        let found = lines.exceptions("ins/1", now()).into_iter();
        let found: Vec<_> = found
            .filter(|found| found.kind == ExceptionKind::TwoProviders)
            .map(|found| (found.record, found.others, found.sentence))
            .collect();
        let sentence = "vet-2 has a claim while vet-1 has a hold on the same contract".to_owned();
        let expected = if expected { vec![(claim, vec![hold], sentence)] } else { Vec::new() };
        assert_eq!(found, expected, "{signer} {by:?} {channel}");
    }
}

#[test]
fn a_claim_was_handled_at_the_earliest_decision_or_offer_whichever_was_told_first() {
    let of_claim = |record_type: &str, at: &str, data: Json| {
        json!({"type": record_type, "occurred_at": at, "contract": "ins/1", "claim": "ins/C1",
            "data": data})
    };
    let (early, late) = ("2025-02-01T11:00:00+01:00", "2025-02-20T10:00:00+01:00");
    let decided = json!({"outcome": "refused", "approved": 0, "refused": 20_000,
        "currency": "EUR"});
    let decided = of_claim("claim.decided", early, decided);
    let offered = json!({"round": 1, "amount": 100, "currency": "EUR"});
    let offered = of_claim("settlement.offered", late, offered);
    for order in [[&decided, &offered], [&offered, &decided]] {
        let mut lines = with_claim();
        lines.0.pop();
        let ids = order.map(|record| lines.add("ins", record.clone()));
        let first = ids[order.iter().position(|record| record["occurred_at"] == early).unwrap()];
        for as_of in [now(), AsOf::Time(time(early)), AsOf::Time(time(late))] {
            let claim = lines.claim("ins/1", "ins/C1", as_of);
            let handling =
                claim.deadlines.iter().find(|it| it.kind == DeadlineKind::Handling).unwrap();
            let found = (handling.state, handling.done_at, handling.done_by);
            assert_eq!(found, (DeadlineState::Met, Some(time(early)), Some(first)), "{as_of:?}");
        }
        let found = lines.exceptions("ins/1", now());
        assert!(found.iter().all(|found| found.kind != ExceptionKind::HandlingOverdue));
    }
}

#[test]
fn what_is_decided_is_paid_within_thirty_days_to_the_end_of_the_day() {
    for (paid, late) in [("2025-03-04T23:59:59+01:00", false), ("2025-03-05T00:00:00+01:00", true)]
    {
        let mut lines = with_claim();
        lines.add("ins", payment(paid, 20_000, "executed"));
        let found = lines.exceptions("ins/1", now());
        assert_eq!(found.iter().any(|it| it.kind == ExceptionKind::PaymentOverdue), late, "{paid}");
    }
}

#[test]
fn what_is_recorded_more_than_an_hour_late_is_marked() {
    let mut lines = with_claim();
    lines.0[1].block_time_ms += 3_600_000 - 1000;
    lines.0[2].block_time_ms += 3_600_000 - 999;
    let events = lines.dossier("ins/1", now()).events;
    assert_eq!([events[1].late, events[2].late], [false, true]);
    assert_eq!(events[2].flags, ["late"]);
    assert_eq!(lines.exceptions("ins/1", now())[0].kind, ExceptionKind::Late);
}
