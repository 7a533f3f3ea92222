//! What the dossier says a claim bears is what the rules ask of it.

use super::{
    corrections::{Ruled, record},
    *,
};
use crate::{insurance::Data, record::Record};

const START: &str = "2020-01-15T12:00:00Z";
const AMOUNTS: [u64; 6] = [0, 10_000, 20_000, 30_000, 40_000, 50_000];

/// Something that somebody tries; what is wrong with it is for the rules to say.
#[derive(Debug, Clone)]
struct Attempt {
    kind: u8,
    claim: u8,
    /// With which of the amounts to begin.
    choice: usize,
    /// Days since the attempt before it.
    days: i64,
    /// How many days before its turn it happened.
    late: i64,
    corrects: bool,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let kind = prop_oneof![2 => Just(0_u8), 2 => Just(1), 4 => Just(2), 5 => Just(3), 1 => Just(4)];
    let late = prop_oneof![3 => Just(0_i64), 1 => 0_i64..400];
    let attempt = (kind, 0..6_u8, 0..6_usize, 0_i64..90, late, prop::bool::weighted(0.2)).prop_map(
        |(kind, claim, choice, days, late, corrects)| Attempt {
            kind,
            claim,
            choice,
            days,
            late,
            corrects,
        },
    );
    prop::collection::vec(attempt, 10..60)
}

fn days_after(at: Timestamp, days: i64) -> Timestamp {
    at + jiff::SignedDuration::from_hours(24 * days)
}

fn of_claim(record_type: &str, at: &str, claim: &str, data: Json) -> Json {
    let mut record = record(record_type, at, data);
    record["claim"] = format!("ins/{claim}").into();
    record
}

fn open(at: &str, claim: &str) -> Json {
    of_claim("claim.opened", at, claim, json!({"channel": "insurer", "attached": []}))
}

fn decision(at: &str, claim: &str, model: &str, approved: u64, deductible: u64) -> Json {
    let outcome = if approved == 0 { "refused" } else { "approved" };
    let ladder = if model == "variable" && approved > 0 { "step_up" } else { "none" };
    let data = json!({"outcome": outcome, "approved": approved, "refused": 0,
        "deductible": deductible, "ladder": ladder, "currency": "EUR"});
    of_claim("claim.decided", at, claim, data)
}

/// What may become of an attempt: with one amount after the other.
fn records(model: &str, at: &str, attempt: &Attempt) -> Vec<Json> {
    let claim = format!("K{}", attempt.claim);
    let amounts = AMOUNTS.iter().cycle().skip(attempt.choice).take(AMOUNTS.len());
    let year: i64 = at[..4].parse().unwrap();
    let cause = match (attempt.claim, model) {
        (0, _) => "start".to_owned(),
        (_, "variable") if attempt.kind == 1 => claim.clone(),
        _ if attempt.kind == 1 => "cost_commitment".to_owned(),
        _ => format!("claim_free:{}", year - 1 - i64::from(attempt.claim % 2)),
    };
    let approved = if attempt.days % 7 == 0 { 0 } else { [90_000, 25_000][attempt.choice % 3 / 2] };
    match attempt.kind {
        0 | 1 => amounts
            .map(|amount| {
                let data = json!({"model": model, "amount": amount, "cause": cause,
                    "currency": "EUR"});
                record("deductible.set", at, data)
            })
            .collect(),
        2 => vec![open(at, &claim)],
        3 => amounts.map(|amount| decision(at, &claim, model, approved, *amount)).collect(),
        _ => vec![of_claim("claim.disputed", at, &claim, json!({"between": ["ins"]}))],
    }
}

/// The newest record of the kind and claim of `said`, which that may correct.
fn corrected(world: &Ruled, said: &Json) -> Option<Record> {
    let mut lines = world.lines.iter().rev().map(|line| &line.record);
    let same = lines.find(|old| {
        let payload = old.payload();
        let claim = payload.claim.as_ref().map(ToString::to_string);
        payload.record_type.as_str() == said["type"] && claim.as_deref() == said["claim"].as_str()
    });
    same.cloned()
}

fn play(model: &str, attempts: &[Attempt], corrections: bool) -> Ruled {
    let mut world = Ruled::new();
    let data = json!({"version": 1, "line_of_business": "legal_expenses",
        "period": {"from": "2018-01-01", "to": "2018-12-31"}, "deductible_model": model,
        "modules": ["private", "employment", "traffic"], "signature_required": false});
    world.take("ins", record("contract.issued", "2018-01-01T00:00:00+01:00", data));
    let mut turn = time(START);
    for attempt in attempts {
        turn = days_after(turn, attempt.days);
        let at = days_after(turn, -attempt.late).to_string();
        for mut said in records(model, &at, attempt) {
            if let Some(old) = corrected(&world, &said).filter(|_| attempt.corrects && corrections)
            {
                said["corrects"] = old.id().to_string().into();
            }
            if world.try_take("ins", said).is_ok() {
                break;
            }
        }
    }
    world
}

/// What the rules ask of a claim that is opened and decided at a moment.
fn asked(world: &Ruled, model: &str, at: Timestamp) -> Vec<u64> {
    let mut world = world.clone();
    let at = at.to_string();
    world.take("ins", open(&at, "NEW"));
    let accepted =
        |deductible: &u64| world.lets_pass("ins", decision(&at, "NEW", model, 90_000, *deductible));
    AMOUNTS.into_iter().filter(accepted).collect()
}

fn told(world: &Ruled) -> String {
    let lines = world.lines.iter().map(|line| {
        format!("{} {}\n", line.record.id(), String::from_utf8_lossy(line.record.payload_json()))
    });
    lines.collect()
}

fn latest(world: &Ruled) -> Timestamp {
    world.lines.iter().map(|line| line.record.payload().occurred_at).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_dossier_shows_what_a_claim_of_that_moment_bears(
        attempts in attempts(), bonus in prop::bool::weighted(0.75),
    ) {
        let model = if bonus { "bonus" } else { "variable" };
        let world = play(model, &attempts, true);
        for days in [0, 1, 200, 366, 367] {
            let at = days_after(latest(&world), days);
            let Some(shown) = world.views().dossier("ins/1", AsOf::Now(at)).deductible else {
                continue;
            };
            prop_assert_eq!(vec![shown.current], asked(&world, model, at), "{}", told(&world));
            prop_assert!(shown.ladder <= 30_000);
        }
    }

    #[test]
    fn a_variable_deductible_of_the_past_is_what_a_decision_told_late_applies(
        attempts in attempts(), days in prop::collection::vec(0_i64..2_000, 4),
    ) {
        let world = play("variable", &attempts, false);
        for days in days {
            let at = days_after(time(START), days).min(latest(&world));
            let shown = world.views().dossier("ins/1", AsOf::Time(at)).deductible;
            let shown = shown.map_or(0, |shown| shown.current);
            prop_assert_eq!(vec![shown], asked(&world, "variable", at), "{}", told(&world));
        }
    }

    /// No two claims bear what one cost commitment adds, while nothing is corrected.
    #[test]
    fn a_cost_commitment_is_borne_by_one_claim(attempts in attempts()) {
        let world = play("bonus", &attempts, false);
        let (mut committed, mut raised) = (0, std::collections::BTreeSet::new());
        for line in &world.lines {
            match &line.record.payload().data {
                Data::DeductibleSet(data) if data.cause.as_str() == "cost_commitment" => {
                    committed += 1;
                }
                Data::ClaimDecided(data)
                    if data.deductible.is_some_and(|it| it.minor_units() > 30_000) =>
                {
                    raised.insert(line.record.payload().claim.clone());
                }
                _ => {}
            }
        }
        // One that is decided anew and then bears less leaves it to the next.
        let disputes = world.lines.iter().filter(|line| {
            matches!(line.record.payload().data, Data::ClaimDisputed(_))
        });
        prop_assert!(raised.len() <= committed + disputes.count(), "{}", told(&world));
    }
}

/// The properties above would hold of histories in which everything is refused.
#[test]
fn the_histories_of_ladders_are_about_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..96 {
        let world = play("bonus", &attempts().new_tree(&mut runner).unwrap().current(), true);
        for line in &world.lines {
            let payload = line.record.payload();
            let what = match &payload.data {
                Data::DeductibleSet(data) => {
                    data.cause.as_str().split(':').next().unwrap().to_owned()
                }
                Data::ClaimDecided(data) => {
                    format!("bears {}", data.deductible.unwrap_or_default().minor_units())
                }
                _ => payload.record_type.as_str().to_owned(),
            };
            let corrected = if payload.corrects.is_some() { " corrected" } else { "" };
            *counts.entry(what + corrected).or_default() += 1;
        }
    }
    for what in [
        "start",
        "cost_commitment",
        "claim_free",
        "bears 20000",
        "bears 30000",
        "bears 50000",
        "cost_commitment corrected",
        "bears 50000 corrected",
    ] {
        assert!(counts.get(what).copied().unwrap_or(0) >= 2, "{what}: {counts:?}");
    }
}

#[test]
fn the_deductible_is_followed_over_five_years() {
    let lines = Lines::of_sample("legal-de");
    let at = |at: &str| lines.at("rs-de/RS-778899", at).deductible.unwrap();
    for (moment, amount) in [
        ("2021-01-02T00:00:00+01:00", 0),
        ("2021-12-31T00:00:00+01:00", 10_000),
        ("2022-04-01T00:00:00+02:00", 20_000),
        ("2024-12-31T23:59:59+01:00", 30_000),
        ("2025-01-01T00:00:00+01:00", 20_000),
        ("2026-01-01T00:00:00+01:00", 10_000),
    ] {
        assert_eq!(at(moment).current, amount, "{moment}");
    }
    let ladder = at(NOW);
    assert_eq!(
        (ladder.model.as_str(), ladder.claim_free_years),
        ("variable", vec!["2024".to_owned(), "2025".to_owned()])
    );
    let causes: Vec<_> = ladder.steps.iter().map(|step| step.cause.as_str()).collect();
    assert_eq!(
        causes,
        ["start", "RS-1", "RS-3", "RS-4", "RS-5", "claim_free:2024", "claim_free:2025"]
    );
    let bonus = lines.at("rs-de/RS-880011", NOW).deductible.unwrap();
    // What the year of a cost commitment has made of it is over, and what was earned is kept.
    assert_eq!((bonus.current, bonus.ladder), (10_000, 10_000));
    assert_eq!((bonus.steps[3].amount, bonus.steps[3].before), (40_000, Some(50_000)));
    assert_eq!(bonus.in_words(), "100.00 EUR (bonus; the newest step says 400.00 EUR)");
    assert_eq!(at(NOW).in_words(), "100.00 EUR (variable)");
    for (moment, amount) in [
        ("2023-05-31T00:00:00+02:00", 20_000),
        ("2023-06-01T00:00:00+02:00", 50_000),
        ("2024-06-01T23:59:59+02:00", 50_000),
        ("2024-06-02T00:00:00+02:00", 20_000),
        ("2025-01-01T00:00:00+01:00", 10_000),
    ] {
        let bonus = lines.at("rs-de/RS-880011", moment).deductible.unwrap();
        assert_eq!(bonus.current, amount, "{moment}");
    }
}
