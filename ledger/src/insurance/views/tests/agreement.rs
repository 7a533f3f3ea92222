//! Views and rules agree about random histories: records that come late, correct
//! one another, or are refused.

use proptest::sample::Index;

use super::{
    corrections::{Ruled, opened, record},
    *,
};
use crate::{
    insurance::{
        Data,
        state::{self, entities, keys},
    },
    record::Record,
};

pub(super) const CONTRACTS: [&str; 2] = ["ins/1", "ins/2"];
const CLAIMS: [&str; 4] = ["ins/K0", "ins/K1", "ins/K2", "ins/K3"];
/// Four days before the first period ends.
const START: &str = "2025-12-28T00:00:00Z";
const MINUTES: i64 = 10 * 24 * 60;

/// Something that somebody tries.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    kind: u8,
    claim: usize,
    amount: u64,
    /// What else there is to choose.
    choice: u8,
    /// How many minutes before its turn it happened.
    late: i64,
    /// Which of the records before it corrects, of the same type.
    pub(super) corrects: Option<Index>,
}

pub(super) fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let kind = prop_oneof![
        8 => 0_u8..3, 6 => Just(3), 7 => Just(4), 1 => Just(5), 3 => Just(6), 4 => Just(7),
        3 => Just(8), 4 => Just(9), 7 => Just(10), 1 => 11_u8..13, 2 => 13_u8..16, 6 => 16_u8..18, 1 => Just(19), 1 => Just(20), 3 => Just(21),
    ];
    let amount = prop_oneof![0_u64..40, 0_u64..400];
    let late = prop_oneof![3 => Just(0_i64), 1 => 0_i64..3 * 24 * 60];
    let claim = prop_oneof![4 => Just(0_usize), 2 => Just(2), 1 => Just(1), 1 => Just(3)];
    let corrects = prop::option::weighted(0.25, any::<Index>());
    let attempt = (kind, claim, amount, 0_u8..12, late, corrects).prop_map(
        |(kind, claim, amount, choice, late, corrects)| Attempt {
            kind,
            claim,
            amount,
            choice,
            late,
            corrects,
        },
    );
    prop::collection::vec(attempt, 40..110)
}

fn contract_of(claim: usize) -> &'static str {
    CONTRACTS[claim % 2]
}

fn claim_of(world: &Ruled, claim: &str) -> Option<entities::Claim> {
    state::read(&world.world.state, &keys::claim(&claim.parse().unwrap())).unwrap()
}

fn held_contract(world: &Ruled, contract: &str) -> entities::Contract {
    let key = keys::contract(&contract.parse().unwrap());
    state::read(&world.world.state, &key).unwrap().unwrap()
}

/// The records of an attempt, each with its signer; most fit what is there.
fn records(world: &Ruled, at: &str, attempt: &Attempt) -> Vec<(&'static str, Json)> {
    let Attempt { kind, claim: place, amount, choice, .. } = *attempt;
    let (contract, claim) = (contract_of(place), CLAIMS[place]);
    let of = |record_type: &str, data: Json| {
        let mut record = record(record_type, at, data);
        record["contract"] = contract.into();
        record
    };
    let of_claim = |record_type: &str, data: Json| {
        let mut record = of(record_type, data);
        record["claim"] = claim.into();
        record
    };
    let known = claim_of(world, claim);
    let number = format!("P-{}", choice % 2);
    let round = known.as_ref().and_then(|claim| claim.offer.as_ref()).map(|it| it.round.get());
    let held = held_contract(world, contract);
    let broker = if choice % 4 == 3 { "rival" } else { "broker" };
    let one = match kind {
        0 => {
            let lines = json!([{"code": "x", "amount": amount}]);
            let data = json!({"preauthorisation": number, "lines": lines, "currency": "EUR"});
            ("vet", of("preauthorisation.requested", data))
        }
        1 => {
            let number_key =
                keys::preauthorisation(&contract.parse().unwrap(), &number.parse().unwrap());
            let asked = state::read(&world.world.state, &number_key).unwrap();
            let total = asked.map_or(amount, |asked| asked.total.minor_units());
            let until: Timestamp = time(at) + jiff::SignedDuration::from_hours(24);
            let guaranteed = amount.min(total);
            let data = json!({"preauthorisation": number, "guaranteed": guaranteed,
                "customer_share": total - guaranteed, "hold_until": until.to_string(),
                "currency": "EUR"});
            ("ins", of("preauthorisation.answered", data))
        }
        2 => {
            let data = json!({"preauthorisation": number, "reason": "cancelled"});
            ("vet", of("preauthorisation.released", data))
        }
        3 => {
            let mut data = json!({"channel": "crm", "attached": [], "claimed": amount,
                "currency": "EUR"});
            if choice % 3 == 0 {
                data["preauthorisation"] = number.into();
            } else if choice % 5 == 1 {
                data = json!({"channel": "crm", "attached": []});
            }
            let mut record = of_claim("claim.opened", data);
            if choice % 2 == 0 {
                record["declared_by"] = "policyholder".into();
            }
            (if choice % 3 == 1 { broker } else { "vet" }, record)
        }
        4 => {
            let claimed = known.as_ref().and_then(|claim| claim.claimed);
            let claimed = claimed.map_or(amount, |claimed| claimed.minor_units());
            let approved = match choice % 4 {
                0 => 0,
                1 => claimed,
                _ => amount.min(claimed),
            };
            ("ins", of_claim("claim.decided", decision(claimed, approved)))
        }
        5 => (broker, of_claim("claim.disputed", json!({"between": ["ins"]}))),
        6 => {
            let data = json!({"round": round.unwrap_or(0) + 1, "amount": amount,
                "currency": "EUR"});
            ("ins", of_claim("settlement.offered", data))
        }
        7 => {
            let data = json!({"round": round.unwrap_or(1), "to": "policyholder"});
            (broker, of_claim("settlement.notified", data))
        }
        8 => {
            let round = round.unwrap_or(1);
            let number = format!("S-{place}-{round}-{}", choice % 2);
            let asked = json!({"signature": number, "target": {"settlement": claim, "round": round},
                "signer": "policyholder", "method": "sms_otp", "expires": "2027-01-01T00:00:00Z"});
            let challenged = json!({"signature": number, "channel": "sms"});
            let completed = json!({"signature": number, "level": "SES"});
            return vec![
                (broker, of("signature.requested", asked)),
                ("otp", of("signature.challenged", challenged)),
                ("otp", of("signature.completed", completed)),
            ];
        }
        // An offer and all that follows on it, so that some are accepted.
        21 => {
            let round = round.unwrap_or(0) + 1;
            let number = format!("S-{place}-{round}-x");
            let offered = json!({"round": round, "amount": amount, "currency": "EUR"});
            let told = json!({"round": round, "to": "policyholder"});
            let asked = json!({"signature": number, "target": {"settlement": claim, "round": round},
                "signer": "policyholder", "method": "sms_otp", "expires": "2027-01-01T00:00:00Z"});
            let challenged = json!({"signature": number, "channel": "sms"});
            let completed = json!({"signature": number, "level": "SES"});
            let accepted = json!({"round": round, "answer": "accepted", "signature": number});
            return vec![
                ("ins", of_claim("settlement.offered", offered)),
                (broker, of_claim("settlement.notified", told)),
                (broker, of("signature.requested", asked)),
                ("otp", of("signature.challenged", challenged)),
                ("otp", of("signature.completed", completed)),
                (broker, of_claim("settlement.answered", accepted)),
            ];
        }
        9 => {
            let round = round.unwrap_or(1);
            let mut data = json!({"round": round, "answer": "objected"});
            if choice % 3 != 0 {
                let signature = format!("S-{place}-{round}-{}", choice % 2);
                data = json!({"round": round, "answer": "accepted", "signature": signature});
            }
            (broker, of_claim("settlement.answered", data))
        }
        10 => {
            let status = ["executed", "executed", "returned", "ordered"][usize::from(choice % 4)];
            let payee = ["policyholder", "vet"][usize::from(choice / 4 % 2)];
            let view = world.views().claim_or_none(contract, claim);
            let there = view.map_or(amount, |view| match status {
                "returned" => u64::try_from(view.paid).unwrap_or(0),
                _ => view.left_to_pay.unwrap_or(amount),
            });
            let amount = if amount % 3 == 0 { there } else { amount.min(there) };
            let data = json!({"amount": amount, "currency": "EUR", "status": status,
                "payee": payee, "on_account": choice > 8});
            ("ins", of_claim("payment.recorded", data))
        }
        11 => {
            let paid = world.views().claim_or_none(contract, claim).map_or(0, |view| view.paid);
            let data = json!({"paid": paid, "currency": "EUR"});
            ("ins", of_claim("claim.closed", data))
        }
        12 => {
            let data = json!({"number": format!("N-{choice}")});
            ("ins", of_claim("claim.registered", data))
        }
        13 => {
            let to = ["broker", "rival"][usize::from(choice % 2)];
            let data = json!({"version": held.version.get() + 1, "change": "broker",
                "to": to, "effective": format!("2026-01-0{}", 1 + choice % 7)});
            ("ins", of("contract.amended", data))
        }
        14 => {
            let version = held.version.get() + 1;
            // Inside a period, for the next, and for one after that.
            let days = ["2025-12-30", "2026-01-01", "2026-01-05", "2027-01-01"];
            let day = days[usize::from(choice) / 3];
            let data = match choice % 4 {
                0 => json!({"version": version, "change": "x", "effective": "2025-12-29"}),
                _ => json!({"version": version, "change": "ceiling", "to": 600 + amount,
                    "effective": day, "currency": "EUR"}),
            };
            ("ins", of("contract.amended", data))
        }
        15 => {
            let year = 2025 + held.period;
            let period = json!({"from": format!("{year}-01-01"), "to": format!("{year}-12-31")});
            let data = json!({"version": held.version.get() + 1, "period": period});
            ("ins", of("contract.renewed", data))
        }
        16 => {
            let items = [json!(["licence"]), json!(["photo"]), json!(["licence", "photo"])];
            let items = items[usize::from(choice % 3)].clone();
            let data = json!({"items": items, "due": "2026-03-01"});
            (broker, of("document.requested", data))
        }
        18 => {
            let effective = format!("2026-01-0{}", 1 + choice % 7);
            ("ins", of("contract.terminated", json!({"reason": "x", "effective": effective})))
        }
        19 => {
            let key = keys::ladder(&contract.parse().unwrap());
            let stand = state::read(&world.world.state, &key).unwrap();
            let (amount, cause) = match stand {
                None => (0, "start".to_owned()),
                Some(stand) => (
                    (stand.last().unwrap().own.minor_units() + 10_000).min(30_000),
                    CLAIMS[place].trim_start_matches("ins/").to_owned(),
                ),
            };
            let data = json!({"model": "variable", "amount": amount, "cause": cause,
                "currency": "EUR"});
            ("ins", of("deductible.set", data))
        }
        20 => {
            let target = json!({"contract": contract, "version": held.version.get()});
            let asked = json!({"signature": "S", "target": target, "signer": "policyholder",
                "method": "sms_otp", "expires": "2027-01-01T00:00:00Z"});
            return vec![
                (broker, of("signature.requested", asked)),
                ("otp", of("signature.challenged", json!({"signature": "S", "channel": "sms"}))),
                ("otp", of("signature.completed", json!({"signature": "S", "level": "SES"}))),
            ];
        }
        _ => {
            let verdict = ["accepted", "accepted", "rejected"][usize::from(choice % 3)];
            let item = ["licence", "photo"][usize::from(choice % 2)];
            (broker, of("document.assessed", json!({"item": item, "verdict": verdict})))
        }
    };
    vec![one]
}

/// Makes `record` correct an earlier one of its type: it says what it says, of the
/// same contract, claim and numbers.
fn correcting(world: &Ruled, mut record: Json, which: &Index) -> Option<(&'static str, Json)> {
    let of_type: Vec<&Record> = world
        .lines
        .iter()
        .map(|line| &line.record)
        .filter(|before| before.payload().record_type.as_str() == record["type"])
        .filter(|before| !matches!(before.payload().data, Data::ContractIssued(_)))
        .collect();
    if of_type.is_empty() {
        return None;
    }
    let old = which.get(&of_type);
    let signer = ["ins", "broker", "rival", "vet", "otp"];
    let signer = signer.into_iter().find(|id| *id == old.signer().as_str()).unwrap();
    let said: Json = serde_json::from_slice(old.payload_json()).unwrap();
    for name in ["contract", "claim", "declared_by"] {
        match said.get(name) {
            Some(value) => record[name] = value.clone(),
            None => drop(record.as_object_mut().unwrap().remove(name)),
        }
    }
    for name in
        ["version", "round", "preauthorisation", "signature", "item", "period", "target", "number"]
    {
        if let Some(value) = said["data"].get(name) {
            record["data"][name] = value.clone();
        }
    }
    // Half of them leave the moment as it was.
    if which.index(2) == 0 {
        record["occurred_at"] = said["occurred_at"].clone();
        if let Some(until) = said["data"].get("hold_until") {
            record["data"]["hold_until"] = until.clone();
        }
    }
    record["corrects"] = old.id().to_string().into();
    Some((signer, record))
}

pub(super) fn play(attempts: &[Attempt]) -> Ruled {
    let mut world = Ruled::flagging();
    for contract in CONTRACTS {
        let mut data = json!({"version": 1, "line_of_business": "pet_health", "broker": "broker",
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "annual_ceiling": 700,
            "currency": "EUR", "signature_required": contract == CONTRACTS[1],
            "modules": ["private", "employment", "traffic"]});
        if contract == CONTRACTS[1] {
            data["deductible_model"] = "variable".into();
        }
        let mut issued = record("contract.issued", "2025-01-01T00:00:00+01:00", data);
        issued["contract"] = contract.into();
        world.take("ins", issued);
    }
    for (place, attempt) in (0..).zip(attempts) {
        let turn = place * MINUTES / i64::try_from(attempts.len()).unwrap();
        let at = time(START) + jiff::SignedDuration::from_mins(turn - attempt.late);
        for (signer, record) in records(&world, &at.to_string(), attempt) {
            let tried = match &attempt.corrects {
                Some(which) => correcting(&world, record, which),
                None => Some((signer, record)),
            };
            if let Some((signer, record)) = tried {
                let _ = world.try_take(signer, record);
            }
        }
    }
    world
}

/// What a side says of a claim.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    claimed: Option<u64>,
    approved: Option<u64>,
    paid: i64,
    spent: u64,
    period: Option<u32>,
    open: bool,
    opener: Option<String>,
    number: Option<String>,
    closed: bool,
    offer: Option<(u64, u64, Option<String>)>,
}

fn claims_agree(world: &Ruled) -> Result<(), TestCaseError> {
    for (place, claim) in CLAIMS.iter().enumerate() {
        let Some(rules) = claim_of(world, claim) else { continue };
        let view = world.views().claim(contract_of(place), claim, now());
        let executed = i64::try_from(rules.stands().executed.minor_units()).unwrap();
        let held = Said {
            claimed: rules.claimed.map(|claimed| claimed.minor_units()),
            approved: rules.decision.as_ref().map(|decision| decision.approved.minor_units()),
            paid: executed - i64::try_from(rules.stands().returned.minor_units()).unwrap(),
            spent: rules.counted.minor_units(),
            period: Some(rules.period),
            open: rules.is_open(),
            opener: Some(rules.opener.clone()),
            number: rules.number.as_ref().map(ToString::to_string),
            closed: rules.closed.is_some(),
            offer: rules.offer.as_ref().map(|offer| {
                let answer = offer.answer.as_ref().map(|it| it.answer.as_str().to_owned());
                (offer.round.get(), offer.amount.minor_units(), answer)
            }),
        };
        let shown = Said {
            claimed: view.claimed,
            approved: view.approved,
            paid: view.paid,
            spent: view.spent,
            period: view.period,
            open: view.open,
            opener: view.opened_by,
            number: view.number,
            closed: view.closed.is_some(),
            offer: view.offers.last().map(|it| (it.round, it.amount, it.answer.clone())),
        };
        prop_assert_eq!(shown, held, "view, then rules, of {}\n{}", claim, told(world));
    }
    Ok(())
}

/// What is spent and held of the period of that moment, green or red, version, broker,
/// deductible, and whether it is in force, at the end of the history.
fn contracts_agree(world: &Ruled) -> Result<(), TestCaseError> {
    let latest = world.lines.iter().map(|line| line.record.payload().occurred_at).max();
    for named in CONTRACTS {
        let contract = named.parse().unwrap();
        // Nothing of it is later, so that it is now as the rules have it.
        let dossier = world.views().dossier(named, AsOf::Now(latest.unwrap()));
        let rules = held_contract(world, named);
        let facts = dossier.facts.as_ref().unwrap();
        prop_assert_eq!(facts.version, rules.version.get(), "{}", told(world));
        let broker = rules.broker_on(latest.unwrap().into()).map(ToString::to_string);
        prop_assert_eq!(&facts.broker, &broker, "broker of {}\n{}", named, told(world));
        prop_assert_eq!(facts.signed_at, rules.signed_at.map(|at| at.timestamp()));
        for number in 1..=rules.period {
            let key = keys::period(&contract, number);
            let held: entities::Period = state::read(&world.world.state, &key).unwrap().unwrap();
            let shown = &dossier.periods[usize::try_from(number).unwrap() - 1];
            let lives = |hold: &&entities::Hold| {
                hold.ended.is_none() && hold.until.timestamp() >= latest.unwrap()
            };
            let live = held.holds.iter().filter(lives);
            let live: u64 = live.map(|hold| hold.amount.minor_units()).sum();
            let day = day_of(latest.unwrap(), &zone()).max(held.from.date());
            let limit = held.limit_on(day.into()).map(|(limit, _)| limit.minor_units());
            prop_assert_eq!(
                (shown.limit, shown.spent, shown.held),
                (limit, held.spent.minor_units(), live),
                "limit, spent, held of {} in period {}\n{}",
                named,
                number,
                told(world)
            );
        }
        let counts = state::read(&world.world.state, &keys::dossier(&contract)).unwrap();
        let missing = counts.map_or(0, |counts| counts.missing);
        let is_red = dossier.documents.colour == Colour::Red;
        prop_assert_eq!(
            (dossier.documents.missing, is_red),
            (missing.into(), missing > 0),
            "documents of {}\n{}",
            named,
            told(world)
        );

        let ladder = state::read(&world.world.state, &keys::ladder(&contract)).unwrap();
        let stand = ladder.map(|ladder| ladder.last().unwrap().own.minor_units());
        prop_assert_eq!(dossier.deductible.map(|shown| shown.current), stand);
        let at = latest.unwrap().to_string();
        let mut claim = opened(&at, "ins/NEW");
        claim["contract"] = named.into();
        let taken = world.lets_pass("ins", claim);
        let in_force = dossier.status == ContractStatus::InForce;
        prop_assert_eq!(in_force, taken, "{} in force at {}\n{}", named, at, told(world));
    }
    Ok(())
}

/// From the records alone another node comes to the same bytes.
fn replays(world: &Ruled) {
    let mut again = Ruled::flagging();
    for line in &world.lines {
        again.append(line.record.clone()).unwrap();
    }
    let bytes = |world: &Ruled| -> Vec<(Vec<u8>, Vec<u8>)> {
        world.world.state.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    };
    assert_eq!(bytes(&again), bytes(world), "{}", told(world));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn claims_are_shown_as_the_rules_hold_them(attempts in attempts()) {
        claims_agree(&play(&attempts))?;
    }
    #[test]
    fn contracts_are_shown_as_the_rules_hold_them(attempts in attempts()) {
        let world = play(&attempts);
        contracts_agree(&world)?;
        replays(&world);
    }
}

/// The properties above would hold of histories in which everything is refused.
#[test]
fn the_histories_are_about_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..96 {
        let world = play(&attempts().new_tree(&mut runner).unwrap().current());
        for line in &world.lines {
            let payload = line.record.payload();
            let kind = payload.record_type.as_str();
            *counts.entry(kind.to_owned()).or_default() += 1;
            if payload.corrects.is_some() {
                *counts.entry(format!("{kind} corrected")).or_default() += 1;
            }
        }
    }
    for what in [
        "preauthorisation.answered",
        "preauthorisation.answered corrected",
        "claim.opened corrected",
        "claim.decided corrected",
        "claim.disputed",
        "payment.recorded corrected",
        "settlement.offered corrected",
        "settlement.answered",
        "document.assessed corrected",
        "contract.amended",
        "contract.renewed",
    ] {
        assert!(counts.get(what).copied().unwrap_or(0) >= 2, "{what}: {counts:?}");
    }
}
