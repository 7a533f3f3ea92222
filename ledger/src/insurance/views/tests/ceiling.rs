//! What is spent and held is under the ceiling at every moment of a history, by the
//! dossier of that moment, in whatever order the history is told.

use proptest::sample::Index;

use super::{
    corrections::{Ruled, record},
    *,
};
use crate::insurance::Data;

const CONTRACT: &str = "ins/1";
const START: &str = "2025-05-01T00:00:00Z";
const CEILING: u64 = 100;

/// Something that somebody tries.
#[derive(Debug, Clone)]
struct Attempt {
    kind: u8,
    number: u8,
    claim: u8,
    amount: u64,
    /// How many hours after the start it happened.
    hour: i64,
    /// Which record it corrects, with these amounts, and whether at the same moment.
    corrects: Option<(Index, bool)>,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let kind = prop_oneof![4 => Just(0_u8), 2 => Just(1), 5 => Just(2), 1 => Just(3),
        4 => Just(4), 3 => Just(5), 2 => Just(6), 2 => Just(7)];
    let amount = prop_oneof![1_u64..40, 1_u64..120];
    let corrects = prop::option::weighted(0.2, (any::<Index>(), any::<bool>()));
    let attempt = (kind, 0_u8..8, 0_u8..6, amount, 0_i64..4, 0_i64..96, corrects);
    let attempts = prop::collection::vec(attempt, 60..120);
    attempts.prop_map(|attempts| {
        let count = i64::try_from(attempts.len()).unwrap();
        let told = (0..).zip(attempts);
        told.map(|(place, (kind, number, claim, amount, late, any, corrects))| {
            // Half in their order, half whenever.
            let hour = if late < 2 { 96 * place / count } else { any };
            Attempt { kind, number, claim, amount, hour, corrects }
        })
        .collect()
    })
}

fn moment(hour: i64) -> Timestamp {
    time(START) + jiff::SignedDuration::from_hours(hour)
}

fn of(kind: &str, hour: i64, data: Json) -> Json {
    record(kind, &moment(hour).to_string(), data)
}

/// The records of an attempt, each with its signer.
fn of_attempt(world: &Ruled, attempt: &Attempt) -> Vec<(&'static str, Json)> {
    let Attempt { kind, number, claim, amount, hour, .. } = *attempt;
    let number = format!("P-{number}");
    let claim = format!("ins/K-{claim}");
    let until = moment(hour + 24).to_string();
    let of_claim = |kind: &str, data: Json| {
        let mut record = of(kind, hour, data);
        record["claim"] = claim.clone().into();
        record
    };
    let one = match kind {
        0 => {
            let data = json!({"preauthorisation": number, "guaranteed": amount,
                "customer_share": 200 - amount, "hold_until": until, "currency": "EUR"});
            ("ins", of("preauthorisation.answered", hour, data))
        }
        1 => {
            let data = json!({"preauthorisation": number, "reason": "cancelled"});
            ("vet", of("preauthorisation.released", hour, data))
        }
        2 => {
            let mut data = json!({"channel": "crm", "attached": [], "claimed": amount,
                "currency": "EUR"});
            if amount % 4 > 0 {
                data["preauthorisation"] = number.into();
                data["claimed"] = (amount / 2).into();
            }
            ("vet", of_claim("claim.opened", data))
        }
        3 => ("vet", of_claim("claim.disputed", json!({"between": ["ins"]}))),
        4 => {
            let view = world.views().claim_or_none(CONTRACT, &claim);
            let claimed = view.and_then(|view| view.claimed).unwrap_or(amount);
            let approved = amount.min(claimed);
            ("ins", of_claim("claim.decided", decision(claimed, approved)))
        }
        // An offer and the answer to it, on which something can be paid.
        7 => {
            let view = world.views().claim_or_none(CONTRACT, &claim);
            let round = view.map_or(1, |view| view.offers.len() + 1);
            let signature = format!("S-{claim}-{round}");
            let of_round = |more: Json| {
                let mut data = json!({"round": round});
                data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                data
            };
            let signing = |kind: &str, more: Json| {
                let mut data = json!({"signature": signature});
                data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                of(kind, hour, data)
            };
            let offered = of_round(json!({"amount": amount, "currency": "EUR"}));
            let asked = json!({"target": {"settlement": claim, "round": round},
                "signer": "policyholder", "method": "sms_otp",
                "expires": "2027-01-01T00:00:00Z"});
            let answer = match amount % 2 {
                0 => json!({"answer": "objected"}),
                _ => json!({"answer": "accepted", "signature": signature}),
            };
            return vec![
                ("ins", of_claim("settlement.offered", offered)),
                ("ins", of_claim("settlement.notified", of_round(json!({"to": "policyholder"})))),
                ("ins", signing("signature.requested", asked)),
                ("otp", signing("signature.challenged", json!({"channel": "sms"}))),
                ("otp", signing("signature.completed", json!({"level": "SES"}))),
                ("ins", of_claim("settlement.answered", of_round(answer))),
            ];
        }
        _ => {
            let status = if kind == 5 { "executed" } else { "returned" };
            let data = json!({"amount": amount / 2 + 1, "currency": "EUR", "status": status,
                "payee": "policyholder", "on_account": amount % 3 > 0});
            ("ins", of_claim("payment.recorded", data))
        }
    };
    vec![one]
}

/// The record of an attempt as a correction of an earlier one of its type.
fn correcting(world: &Ruled, record: Json, which: &Index, same: bool) -> Option<Json> {
    let of_type = world.lines.iter().map(|line| &line.record);
    let of_type: Vec<_> =
        of_type.filter(|old| old.payload().record_type.as_str() == record["type"]).collect();
    if of_type.is_empty() {
        return None;
    }
    let old = which.get(&of_type);
    let mut said: Json = serde_json::from_slice(old.payload_json()).unwrap();
    for name in ["salt", "ledger"] {
        said.as_object_mut().unwrap().remove(name);
    }
    for name in ["guaranteed", "customer_share", "amount"] {
        if let Some(value) = record["data"].get(name) {
            said["data"][name] = value.clone();
        }
    }
    if let Some(claimed) = said["data"].get("claimed").and_then(Json::as_u64) {
        said["data"]["claimed"] = claimed.div_ceil(2).into();
    }
    if let (Some(approved), Some(refused)) =
        (said["data"]["approved"].as_u64(), said["data"]["refused"].as_u64())
    {
        let now = approved.div_ceil(2);
        said["data"]["approved"] = now.into();
        said["data"]["refused"] = (approved + refused - now).into();
        said["data"]["outcome"] =
            if now == approved + refused { "approved" } else { "partly" }.into();
    }
    if !same {
        said["occurred_at"] = record["occurred_at"].clone();
        if let Some(until) = record["data"].get("hold_until") {
            said["data"]["hold_until"] = until.clone();
        }
    }
    said["corrects"] = old.id().to_string().into();
    Some(said)
}

fn asked() -> Ruled {
    let mut world = Ruled::new();
    let data = json!({"version": 1, "line_of_business": "pet_health",
        "period": {"from": "2025-01-01", "to": "2025-12-31"}, "annual_ceiling": CEILING,
        "currency": "EUR", "signature_required": false});
    world.take("ins", record("contract.issued", "2025-01-01T00:00:00+01:00", data));
    for number in 0..8 {
        let data = json!({"preauthorisation": format!("P-{number}"),
            "lines": [{"code": "x", "amount": 200}], "currency": "EUR"});
        world.take("vet", of("preauthorisation.requested", 0, data));
    }
    world
}

fn play(attempts: &[Attempt]) -> Ruled {
    let mut world = asked();
    for attempt in attempts {
        for (signer, record) in of_attempt(&world, attempt) {
            let tried = match &attempt.corrects {
                Some((which, same)) => correcting(&world, record, which, *same),
                None => Some(record),
            };
            if let Some(record) = tried {
                let _ = world.try_take(signer, record);
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn spent_and_held_are_under_the_ceiling_at_every_moment(attempts in attempts()) {
        let world = play(&attempts);
        let views = world.views();
        // Only what a record tells makes more of either.
        for line in &world.lines {
            let at = line.record.payload().occurred_at;
            let dossier = views.dossier(CONTRACT, AsOf::Time(at));
            let period = &dossier.periods[0];
            prop_assert!(
                period.spent + period.held <= CEILING,
                "spent {} + held {} at {}\n{}",
                period.spent,
                period.held,
                at,
                told(&world)
            );
        }
    }
}

/// The most that is spent and held at one moment from one to another, by the dossiers
/// of these moments.
fn most(world: &Ruled, first: Timestamp, last: Timestamp) -> u64 {
    let views = world.views();
    let moments = world.lines.iter().map(|line| line.record.payload().occurred_at);
    let moments = moments.filter(|at| first < *at && *at <= last).chain([first]);
    let used = moments.map(|at| {
        let dossier = views.dossier(CONTRACT, AsOf::Time(at));
        dossier.periods[0].spent + dossier.periods[0].held
    });
    used.max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Where nothing is corrected all is known, and what is refused would not fit.
    #[test]
    fn no_hold_is_refused_that_fits_at_every_moment(attempts in attempts()) {
        let mut world = asked();
        for attempt in &attempts {
            for (signer, record) in of_attempt(&world, attempt) {
                let amount = record["data"]["guaranteed"].as_u64();
                let Err(refusal) = world.try_take(signer, record) else { continue };
                if let Some(amount) = amount
                    && refusal.code == crate::refusal::Code::CeilingExceeded
                {
                    let first = moment(attempt.hour);
                    let most = most(&world, first, moment(attempt.hour + 24));
                    prop_assert!(most + amount > CEILING, "{refusal}\n{}", told(&world));
                }
            }
        }
    }
}

/// The properties above would hold of histories in which everything is refused.
#[test]
fn the_histories_are_about_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..64 {
        let world = play(&attempts().new_tree(&mut runner).unwrap().current());
        let mut newest = Timestamp::MIN;
        for line in &world.lines {
            let payload = line.record.payload();
            let mut kind = payload.record_type.as_str().to_owned();
            if let Data::ClaimOpened(data) = &payload.data
                && data.preauthorisation.is_some()
            {
                kind += " on a hold";
            }
            for (is_so, how) in
                [(payload.corrects.is_some(), "corrected"), (payload.occurred_at < newest, "late")]
            {
                if is_so {
                    *counts.entry(format!("{kind} {how}")).or_default() += 1;
                }
            }
            newest = newest.max(payload.occurred_at);
        }
    }
    for what in [
        "preauthorisation.answered late",
        "preauthorisation.answered corrected",
        "preauthorisation.released late",
        "claim.opened on a hold late",
        "claim.opened on a hold corrected",
        "claim.decided late",
        "claim.decided corrected",
        "payment.recorded late",
        "payment.recorded corrected",
        "settlement.answered late",
        "settlement.answered corrected",
    ] {
        assert!(counts.get(what).copied().unwrap_or(0) >= 5, "{what}: {counts:?}");
    }
}
