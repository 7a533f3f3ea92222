//! The stories of the sample dossiers, and what no view may get wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod agreement;
mod ceiling;
mod corrections;
mod documents;
mod exceptions;
mod ladder;
mod statements;

use std::path::Path;

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    insurance::{ClaimRef, ContractRef},
    membership::MemberId,
    record::sign,
    testing::key,
};

const ORIGIN: &str = "test.example/views";

fn zone() -> TimeZone {
    time_zone(DEFAULT_TIME_ZONE).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Signed lines, each in a block of its own, a second after it happened.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, signer: &str, mut record: Json) -> crate::digest::RecordId {
        let number = self.0.len() as u64;
        record["salt"] = format!("{number:A>21}A").into();
        let Json::Object(payload) = record else { panic!("a record is an object") };
        let signer = signer.parse().unwrap();
        let envelope =
            sign(payload, &ORIGIN.parse().unwrap(), &signer, &"1".parse().unwrap(), &key(1));
        let record = envelope.unwrap().trusted();
        let block_time_ms =
            u64::try_from(record.payload().occurred_at.as_millisecond()).unwrap() + 1000;
        let id = record.id();
        let (index, height) = (number, number + 1);
        self.0.push(Line { index, height, block_time_ms, record, flags: Vec::new() });
        id
    }

    /// The accepted records of a sample dossier, in the order of its file.
    fn of_sample(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples");
        let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let mut lines = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let line: Json = serde_json::from_str(line).unwrap();
            if line["expect"] == "accepted" {
                lines.add(line["signer"].as_str().unwrap(), line["record"].clone());
            }
        }
        lines
    }

    fn of_contract(&self, contract: &str) -> Vec<Line> {
        let names = |line: &&Line| {
            line.record.payload().contract.as_ref().is_some_and(|named| named.as_str() == contract)
        };
        self.0.iter().filter(names).cloned().collect()
    }

    fn dossier(&self, contract: &str, as_of: AsOf) -> Dossier {
        let lines = self.of_contract(contract);
        let contract: ContractRef = contract.parse().unwrap();
        dossier(&contract, &lines, as_of, &zone()).unwrap()
    }

    /// The dossier of what had happened by then.
    fn at(&self, contract: &str, at: &str) -> Dossier {
        self.dossier(contract, AsOf::Time(time(at)))
    }

    fn claim(&self, contract: &str, name: &str, as_of: AsOf) -> ClaimView {
        let lines = self.of_contract(contract);
        let (contract, name): (ContractRef, ClaimRef) =
            (contract.parse().unwrap(), name.parse().unwrap());
        claim(&name, &contract, &lines, as_of, &zone()).unwrap()
    }

    fn claim_or_none(&self, contract: &str, name: &str) -> Option<ClaimView> {
        let lines = self.of_contract(contract);
        let (contract, name): (ContractRef, ClaimRef) =
            (contract.parse().unwrap(), name.parse().unwrap());
        claim(&name, &contract, &lines, now(), &zone())
    }

    fn statement(&self, payee: &str, from: &str, to: &str, as_of: AsOf) -> Statement {
        let query = StatementQuery {
            payee: payee.to_owned(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            insurer: None,
            contract: None,
        };
        statement(&query, &self.0, as_of, |_| zone())
    }

    fn exceptions(&self, contract: &str, as_of: AsOf) -> Vec<Exception> {
        let lines = self.of_contract(contract);
        let contract = contract.parse().unwrap();
        let is_provider = |member: &MemberId| member.as_str().starts_with("vet");
        let consequences = Consequences::new(&contract, &lines, as_of, &zone(), is_provider);
        let all = lines.iter().flat_map(|line| {
            let mut found = of_record(line);
            if follow_up(line) {
                found.extend(consequences.of(line));
            }
            found
        });
        all.collect()
    }
}

const NOW: &str = "2030-01-01T00:00:00Z";

fn now() -> AsOf {
    AsOf::Now(time(NOW))
}

fn held<'a>(dossier: &'a Dossier, number: &str) -> &'a Preauthorisation {
    dossier.preauthorisations.iter().find(|held| held.preauthorisation == number).unwrap()
}

#[test]
fn the_ceiling_is_exhausted_and_a_hold_replaced_as_of_each_moment() {
    let lines = Lines::of_sample("petexpert");
    let contract = "petexpert/PX-1001";
    for (at, spent, held, left) in [
        ("2025-05-06T09:00:04+02:00", 0, 0, 150_000),
        ("2025-05-06T09:00:05+02:00", 0, 24_000, 126_000),
        ("2025-05-06T17:10:00+02:00", 24_000, 0, 126_000),
        ("2025-09-01T10:30:10+02:00", 24_000, 126_000, 0),
        ("2025-09-01T15:00:00+02:00", 24_000, 0, 126_000),
        ("2025-09-01T15:00:05+02:00", 24_000, 126_000, 0),
        // A hold is live on its last second, and over on the next.
        ("2025-09-02T15:00:05+02:00", 24_000, 126_000, 0),
        ("2025-09-02T15:00:06+02:00", 24_000, 0, 126_000),
        ("2025-09-03T18:00:00+02:00", 150_000, 0, 0),
        // A renewal resets it.
        ("2026-03-01T00:00:00+01:00", 0, 0, 300_000),
        ("2026-04-10T10:00:00+02:00", 0, 0, 300_000),
    ] {
        let ceiling = lines.at(contract, at).ceiling.unwrap();
        let found = (ceiling.spent, ceiling.held, ceiling.left);
        assert_eq!(found, (spent, held, Some(left)), "{at}");
        assert_eq!(ceiling.currency.as_deref(), Some("EUR"));
    }
    let state = |at: &str, number: &str| held(&lines.at(contract, at), number).state;
    use PreauthorisationState::{Claimed, Declined, Expired, Held, Pending, Replaced};
    assert_eq!(state("2025-09-01T10:00:03+02:00", "PA-2"), Pending);
    assert_eq!(state("2025-09-01T10:30:10+02:00", "PA-2"), Held);
    assert_eq!(state("2025-09-01T10:30:10+02:00", "PA-2b"), Declined);
    assert_eq!(state("2025-09-01T15:00:00+02:00", "PA-2"), Replaced);
    assert_eq!(state("2025-09-02T15:00:06+02:00", "PA-3"), Expired);
    assert_eq!(state("2025-09-03T18:00:00+02:00", "PA-4"), Claimed);
    let dossier = lines.at(contract, "2025-09-01T15:01:05+02:00");
    assert_eq!(held(&dossier, "PA-3").seconds_left, Some(24 * 3600 - 60));
    assert_eq!(held(&dossier, "PA-2").replaced_by.as_deref(), Some("PA-3"));
    assert_eq!(held(&dossier, "PA-3").replaces.as_deref(), Some("PA-2"));
}

#[test]
fn versions_name_what_changed_and_every_line_its_record() {
    let lines = Lines::of_sample("petexpert");
    let dossier = lines.dossier("petexpert/PX-1001", now());
    assert_eq!(dossier.status, ContractStatus::InForce);
    let facts = dossier.facts.as_ref().unwrap();
    assert_eq!((facts.version, facts.referral.as_deref()), (2, Some("CN-1")));
    assert_eq!(facts.risk.as_deref(), Some("animal:PA7"));
    let versions: Vec<_> = dossier.versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [1, 2]);
    let amount = |amount| Some(Value::Amount { amount, currency: "EUR".to_owned() });
    let ceiling = dossier.versions[1].changes.last().unwrap();
    assert_eq!(ceiling.property, "ceiling");
    assert_eq!((&ceiling.from, &ceiling.to), (&amount(150_000), &amount(300_000)));
    assert_eq!(dossier.periods.len(), 2);
    assert_eq!(dossier.periods[0].spent, 150_000);
    assert_eq!(dossier.change_requests[0].by, "policyholder");
    assert_eq!(dossier.alerts[0].preauthorisations, ["PA-2b", "PA-4"]);
    // Whatever is shown stands on a record of the contract.
    let ids: Vec<_> = dossier.events.iter().map(|event| event.record.to_string()).collect();
    assert_eq!(ids.len(), lines.of_contract("petexpert/PX-1001").len());
    let text = serde_json::to_string(&dossier).unwrap();
    for part in text.split('"').filter(|part| part.len() == 64) {
        assert!(ids.iter().any(|id| id == part), "{part} is no record of the contract");
    }
    let again: Dossier = serde_json::from_str(&text).unwrap();
    assert_eq!(again, dossier);
}

#[test]
fn a_refused_claim_that_is_disputed_is_not_open() {
    let lines = Lines::of_sample("petexpert");
    let claim = lines.claim("petexpert/PX-1001", "petexpert/PX-C4", now());
    assert_eq!((claim.status, claim.open), (ClaimStatus::Disputed, false));
    assert_eq!((claim.approved, claim.refused, claim.spent), (Some(0), Some(9500), 0));
    assert_eq!(claim.decisions[0].reason.as_deref(), Some("excluded_prevention"));
    assert_eq!(claim.disputes[0].by, "policyholder");
    let handling = &claim.deadlines[0];
    assert_eq!((handling.kind, handling.state), (DeadlineKind::Handling, DeadlineState::Met));
}

#[test]
fn a_red_dossier_turns_green_and_another_is_terminated_after_its_last_day() {
    let lines = Lines::of_sample("netvox");
    let red = lines.at("auto-fr/NV-771", "2017-01-20T09:00:00+01:00");
    assert_eq!(red.documents.colour, Colour::Red);
    assert_eq!((red.documents.missing, red.documents.days_left), (3, Some(26)));
    let green = lines.at("auto-fr/NV-771", "2017-01-28T09:00:00+01:00");
    assert_eq!((green.documents.colour, green.documents.days_left), (Colour::Green, None));
    assert!(green.documents.items.iter().all(|item| item.state == ItemState::Accepted));
    assert!(green.documents.issued.is_empty());
    let issued = lines.at("auto-fr/NV-771", "2017-01-28T09:10:00+01:00").documents.issued;
    assert_eq!(issued[0].kind, "green_card");

    let days = |at: &str| lines.at("auto-fr/NV-772", at).documents.days_left;
    assert_eq!(days("2017-02-15T23:59:59+01:00"), Some(0), "the last day is a day");
    assert_eq!(days("2017-02-16T00:00:00+01:00"), Some(-1));
    let status = |at: &str| lines.at("auto-fr/NV-772", at).status;
    assert_eq!(status("2017-02-16T08:59:59+01:00"), ContractStatus::InForce);
    assert_eq!(status("2017-02-16T09:00:00+01:00"), ContractStatus::Terminated);
}

#[test]
fn a_contract_is_in_force_once_signed_and_begun() {
    let lines = Lines::of_sample("heca");
    let status = |at: &str| lines.at("comp-it/HC-5501", at).status;
    assert_eq!(status("2025-06-04T10:05:59+02:00"), ContractStatus::AwaitingSignature);
    assert_eq!(status("2025-06-04T10:06:00+02:00"), ContractStatus::NotYetBegun);
    assert_eq!(status("2025-06-04T23:59:59+02:00"), ContractStatus::NotYetBegun);
    assert_eq!(status("2025-06-05T00:00:00+02:00"), ContractStatus::InForce);
    // The end of the period does not end it.
    assert_eq!(status("2026-12-31T00:00:00+01:00"), ContractStatus::InForce);
    let state = |at: &str, number: &str| {
        let dossier = lines.at("comp-it/HC-5501", at);
        dossier.signatures.into_iter().find(|it| it.signature == number).unwrap()
    };
    assert_eq!(state("2025-06-04T10:05:00+02:00", "SG-1").state, SignatureStatus::Failed);
    assert_eq!(state("2025-06-11T10:02:01+02:00", "SG-1").state, SignatureStatus::Completed);
    let second = state("2025-10-28T10:02:00+01:00", "SG-2");
    assert_eq!(second.state, SignatureStatus::Challenged);
    assert_eq!(second.target.as_deref(), Some("comp-it/HC-C1 round 2"));
    let second = state(NOW, "SG-2");
    assert_eq!(second.level_claimed.as_deref(), Some("AdES_claimed"));
}

#[test]
fn a_settlement_is_objected_to_and_accepted_in_round_two() {
    let lines = Lines::of_sample("heca");
    let claim = |at: &str| lines.claim("comp-it/HC-5501", "comp-it/HC-C1", AsOf::Time(time(at)));
    let first = claim("2025-10-14T00:00:00+02:00");
    assert_eq!(first.status, ClaimStatus::Offered);
    assert_eq!((first.offers.len(), first.spent, first.payable), (1, 0, None));
    let handling = &first.deadlines[0];
    assert_eq!((handling.kind, handling.state), (DeadlineKind::Handling, DeadlineState::Late));
    assert_eq!(claim("2025-10-15T10:00:00+02:00").status, ClaimStatus::Objected);
    let second = claim("2025-10-27T09:30:00+01:00");
    assert_eq!(second.offers[1].notified_at, None);
    let agreed = claim("2025-10-28T10:04:00+01:00");
    assert_eq!(agreed.status, ClaimStatus::Agreed);
    assert_eq!(
        (agreed.payable, agreed.paid, agreed.left_to_pay),
        (Some(500_000), 0, Some(500_000))
    );
    assert_eq!((agreed.spent, agreed.open), (500_000, true));
    let payment = agreed.deadlines.last().unwrap();
    assert_eq!((payment.kind, payment.state), (DeadlineKind::Payment, DeadlineState::Open));
    // Thirty days later, across a change of the clock or not, to the end of the day.
    assert_eq!(payment.due, time("2025-11-27T23:59:59.999999999+01:00"));
    let closed = claim(NOW);
    assert_eq!((closed.status, closed.open), (ClaimStatus::Closed, false));
    assert_eq!((closed.paid, closed.left_to_pay), (500_000, Some(0)));
    assert_eq!(closed.number.as_deref(), Some("IT-2025-000417"));
    assert_eq!(closed.offers[1].signature.as_deref(), Some("SG-2"));
    assert!(closed.deadlines.iter().all(|it| it.state != DeadlineState::Overdue));
}

#[test]
fn of_180_00_claimed_138_00_are_paid() {
    let lines = Lines::of_sample("santevet");
    let claim = lines.claim("santevet/SV-0001", "santevet/R-20170125", now());
    assert_eq!(
        (claim.claimed, claim.approved, claim.refused),
        (Some(18_000), Some(13_800), Some(4200))
    );
    assert_eq!((claim.paid, claim.left_to_pay, claim.open), (13_800, Some(0), false));
    assert_eq!(claim.status, ClaimStatus::Paid);
    assert_eq!(claim.opened_by.as_deref(), Some("policyholder"));
    let unreadable = lines.claim("santevet/SV-0001", "santevet/SUB-4", now());
    assert_eq!(unreadable.items[0].state, ItemState::Unreadable);
    assert_eq!(unreadable.items[0].label.as_deref(), Some("Illisible"));
    let dossier = lines.dossier("santevet/SV-0001", now());
    assert_eq!(dossier.documents.colour, Colour::Green, "it came with a claim");
    assert_eq!(dossier.claims.len(), 7);
    assert_eq!(dossier.ceiling.unwrap().spent, 13_800);
    let awaiting = lines.claim("santevet/SV-0001", "santevet/SUB-3", now());
    assert_eq!(awaiting.status, ClaimStatus::AwaitingDocuments);
}

#[test]
fn statements_agree_with_those_that_were_issued() {
    let lines = Lines::of_sample("petexpert");
    let issued = lines.statement("vet-1", "2025-09-01", "2025-09-30", now());
    assert_eq!((issued.paid_count, issued.open_count), (1, 0));
    assert_eq!((issued.totals[0].paid_sum, issued.totals[0].currency.as_str()), (126_000, "EUR"));
    // On the day of the claim of May it was paid; on none before it was open.
    let may = lines.statement("vet-1", "2025-05-01", "2025-05-31", now());
    assert_eq!((may.paid_count, may.totals[0].paid_sum, may.open_count), (1, 24_000, 0));
    let lines = Lines::of_sample("heca");
    let open = lines.statement("heca", "2025-10-01", "2025-10-31", now());
    assert_eq!((open.paid_count, open.open_count), (0, 2));
    assert_eq!(open.open[0].open, Some(500_000), "what was agreed");
    assert_eq!(open.open[1].open, Some(90_000), "what was claimed");
    let later = lines.statement("heca", "2025-11-01", "2025-11-30", now());
    assert_eq!(later.open_count, 1, "it was paid and closed in November");
    let paid = lines.statement("policyholder", "2025-11-05", "2025-11-05", now());
    assert_eq!((paid.paid_count, paid.totals[0].paid_sum), (1, 500_000));
    let lines = Lines::of_sample("santevet");
    let open = lines.statement("policyholder", "2017-01-01", "2017-02-28", now());
    assert_eq!((open.paid_count, open.open_count), (1, 6));
    let then = lines.statement("policyholder", "2016-12-01", "2016-12-31", now());
    assert_eq!((then.paid_count, then.open_count), (0, 1));
}

/// A contract with one claim that was approved.
fn with_claim() -> Lines {
    let mut lines = Lines::default();
    lines.add(
        "ins",
        json!({"type": "contract.issued", "occurred_at": "2025-01-01T00:00:00+01:00",
            "contract": "ins/1", "data": {"version": 1, "line_of_business": "pet_health",
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "annual_ceiling": 100_000,
            "currency": "EUR", "signature_required": false}}),
    );
    lines.add(
        "ins",
        json!({"type": "claim.opened", "occurred_at": "2025-02-01T10:00:00+01:00",
            "contract": "ins/1", "claim": "ins/C1", "declared_by": "policyholder",
            "data": {"channel": "insurer", "attached": [], "claimed": 20_000, "currency": "EUR"}}),
    );
    lines.add(
        "ins",
        json!({"type": "claim.decided", "occurred_at": "2025-02-02T10:00:00+01:00",
            "contract": "ins/1", "claim": "ins/C1",
            "data": {"outcome": "approved", "approved": 20_000, "refused": 0, "currency": "EUR"}}),
    );
    lines
}

/// The history, for whoever has to see what went wrong.
fn told(world: &corrections::Ruled) -> String {
    let lines = world.lines.iter().map(|line| {
        let mut said: Json = serde_json::from_slice(line.record.payload_json()).unwrap();
        for name in ["salt", "ledger"] {
            said.as_object_mut().unwrap().remove(name);
        }
        let id = line.record.id().to_string();
        format!("{} {} {said}\n", &id[..8], line.record.signer())
    });
    lines.collect()
}

/// What decides on a claim: so much of what was claimed is approved.
fn decision(claimed: u64, approved: u64) -> Json {
    let refused = claimed - approved;
    let outcome = match (approved, refused) {
        (0, _) => "refused",
        (_, 0) => "approved",
        _ => "partly",
    };
    json!({"outcome": outcome, "approved": approved, "refused": refused, "currency": "EUR"})
}

fn payment(at: &str, amount: u64, status: &str) -> Json {
    json!({"type": "payment.recorded", "occurred_at": at, "contract": "ins/1", "claim": "ins/C1",
        "data": {"amount": amount, "status": status, "payee": "policyholder", "currency": "EUR"}})
}

#[test]
fn a_correction_stands_in_the_place_of_what_it_corrects_and_both_are_shown() {
    let mut lines = with_claim();
    let wrong = lines.add("ins", payment("2025-02-03T10:00:00+01:00", 20_000, "executed"));
    lines.add(
        "ins",
        json!({"type": "party.updated", "occurred_at": "2025-02-04T10:00:00+01:00",
        "contract": "ins/1", "data": {"what": "address", "effective": "2025-02-04"}}),
    );
    let mut right = payment("2025-02-03T10:00:00+01:00", 15_000, "executed");
    right["corrects"] = wrong.to_string().into();
    let right = lines.add("ins", right);
    let claim = lines.claim("ins/1", "ins/C1", now());
    assert_eq!((claim.paid, claim.left_to_pay), (15_000, Some(5_000)));
    assert_eq!(claim.payments.iter().map(|it| it.record).collect::<Vec<_>>(), [right]);
    let events = lines.dossier("ins/1", now()).events;
    assert_eq!(events[3].corrected_by, Some(right));
    assert_eq!((events[5].corrects, events[5].corrected_by), (Some(wrong), None));
    // Before it was recorded nobody could know, and today it is known of then.
    let height = |height| AsOf::Height { height, time: time("2025-03-01T00:00:00Z") };
    assert_eq!(lines.claim("ins/1", "ins/C1", height(5)).paid, 20_000);
    assert_eq!(lines.claim("ins/1", "ins/C1", height(6)).paid, 15_000);
    let then = AsOf::Time(time("2025-02-03T12:00:00+01:00"));
    assert_eq!(lines.claim("ins/1", "ins/C1", then).paid, 15_000);
    // A correction of the correction.
    let mut newest = payment("2025-02-03T10:00:00+01:00", 16_000, "executed");
    newest["corrects"] = right.to_string().into();
    let newest = lines.add("ins", newest);
    assert_eq!(lines.claim("ins/1", "ins/C1", now()).paid, 16_000);
    let events = lines.dossier("ins/1", now()).events;
    assert_eq!((events[3].corrected_by, events[5].corrected_by), (Some(newest), Some(newest)));
    let statement = lines.statement("policyholder", "2025-02-01", "2025-02-28", now());
    assert_eq!((statement.paid_count, statement.totals[0].paid_sum), (1, 16_000));
    let found = lines.exceptions("ins/1", now());
    assert_eq!(found.iter().filter(|it| it.kind == ExceptionKind::Corrected).count(), 2);
}

#[test]
fn a_ceiling_changed_inside_its_period_shows_from_its_day_on() {
    let mut lines = with_claim();
    let amended = |version: u64, to: u64, effective: &str| {
        json!({"type": "contract.amended", "occurred_at": "2025-06-01T10:00:00+02:00",
            "contract": "ins/1", "data": {"version": version, "change": "ceiling", "to": to,
            "effective": effective, "currency": "EUR"}})
    };
    let first = lines.add("ins", amended(2, 150_000, "2025-07-01"));
    lines.add("ins", amended(3, 170_000, "2026-01-01"));
    let issued = lines.0[0].record.id();
    for (at, limit, record) in [
        ("2025-06-30T23:59:59+02:00", 100_000, issued),
        ("2025-07-01T00:00:00+02:00", 150_000, first),
        ("2026-05-01T00:00:00+02:00", 150_000, first),
    ] {
        let ceiling = lines.at("ins/1", at).ceiling.unwrap();
        assert_eq!((ceiling.limit, ceiling.record), (Some(limit), record), "{at}");
        assert_eq!(ceiling.left, Some(limit - 20_000), "{at}");
    }
    let renewed = json!({"type": "contract.renewed", "occurred_at": "2025-12-01T10:00:00+01:00",
        "contract": "ins/1", "data": {"version": 4,
        "period": {"from": "2026-01-01", "to": "2026-12-31"}}});
    lines.add("ins", renewed);
    let then = lines.at("ins/1", "2025-12-31T23:59:59+01:00");
    let limits: Vec<_> = then.periods.iter().map(|period| period.limit).collect();
    assert_eq!(limits, [Some(150_000), Some(170_000)]);
}

#[test]
fn a_payment_that_came_back_leaves_the_claim_open_again() {
    let mut lines = with_claim();
    lines.add("ins", payment("2025-02-10T10:00:00+01:00", 20_000, "executed"));
    lines.add("ins", payment("2025-03-10T10:00:00+01:00", 20_000, "returned"));
    let open = |to: &str| lines.statement("policyholder", "2025-02-01", to, now()).open_count;
    assert_eq!([open("2025-02-09"), open("2025-02-10"), open("2025-03-10")], [1, 0, 1]);
    let march = lines.statement("policyholder", "2025-03-01", "2025-03-31", now());
    assert_eq!((march.paid_count, march.totals[0].paid_sum), (-1, -20_000));
    assert_eq!(lines.claim("ins/1", "ins/C1", now()).left_to_pay, Some(20_000));
}

/// Every sample, to the end of every block, once by height and once as if the
/// ledger ended there.
#[test]
fn the_ledger_at_a_height_is_what_it_was_then() {
    for (sample, contract) in [
        ("petexpert", "petexpert/PX-1001"),
        ("heca", "comp-it/HC-5501"),
        ("netvox", "auto-fr/NV-771"),
        ("netvox", "auto-fr/NV-772"),
        ("santevet", "santevet/SV-0001"),
        ("legal-de", "rs-de/RS-778899"),
    ] {
        let lines = Lines::of_sample(sample).of_contract(contract);
        let contract: ContractRef = contract.parse().unwrap();
        for (count, line) in lines.iter().enumerate() {
            let time = super::time::timestamp_of_ms(line.block_time_ms);
            let as_of = AsOf::Height { height: line.height, time };
            let past = dossier(&contract, &lines, as_of, &zone()).unwrap();
            let then = dossier(&contract, &lines[..=count], AsOf::Now(time), &zone()).unwrap();
            assert_eq!(past, Dossier { as_of: past.as_of.clone(), ..then }, "{contract} {count}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A statement is the sum of the records, whatever was paid, came back or
    /// was corrected, and by whomever.
    #[test]
    fn a_statement_is_the_sum_of_its_records(
        payments in prop::collection::vec(
            (0_u8..28, 1_u64..90_000, any::<bool>(), any::<bool>(), any::<bool>()), 0..24),
        from in 1_u8..20,
        length in 0_u8..9,
    ) {
        let mut lines = with_claim();
        let mut expected: Vec<(u8, i64, bool)> = Vec::new();
        let mut last: Option<crate::digest::RecordId> = None;
        for (day, amount, executed, to_vet, corrects) in payments {
            let day = day + 1;
            let status = if executed { "executed" } else { "returned" };
            let mut record = payment(&format!("2025-03-{day:02}T12:00:00+01:00"), amount, status);
            if to_vet {
                record["data"]["payee"] = "vet-1".into();
            }
            let signed = if executed { 1 } else { -1 } * i64::try_from(amount).unwrap();
            match last.filter(|_| corrects) {
                Some(corrected) => {
                    record["corrects"] = corrected.to_string().into();
                    *expected.last_mut().unwrap() = (day, signed, to_vet);
                }
                None => expected.push((day, signed, to_vet)),
            }
            last = Some(lines.add("ins", record));
        }
        let to = from + length;
        let (first, end) = (format!("2025-03-{from:02}"), format!("2025-03-{to:02}"));
        for (payee, vet) in [("vet-1", true), ("policyholder", false)] {
            let statement = lines.statement(payee, &first, &end, now());
            let within = expected.iter().filter(|(day, _, of_vet)| {
                (from..=to).contains(day) && *of_vet == vet
            });
            let sum: i64 = within.clone().map(|(_, amount, _)| amount).sum();
            let count: i64 = within.map(|(_, amount, _)| amount.signum()).sum();
            let total = statement.totals.first();
            prop_assert_eq!(statement.paid_count, count);
            prop_assert_eq!(total.map_or(0, |total| total.paid_sum), sum);
            let of_lines: i64 = statement.payments.iter().map(|line| {
                let amount = i64::try_from(line.amount).unwrap();
                if line.status == "returned" { -amount } else { amount }
            }).sum();
            prop_assert_eq!(of_lines, sum);
        }
    }

    /// No order of records, possible or not, makes a view panic or lose a record.
    #[test]
    fn any_order_of_records_can_be_viewed(order in Just((0..200_usize).collect::<Vec<_>>()).prop_shuffle()) {
        for sample in ["petexpert", "heca", "santevet", "legal-de", "netvox"] {
            let lines = Lines::of_sample(sample).0;
            let order: Vec<_> = order.iter().filter(|place| **place < lines.len()).collect();
            let shuffled: Vec<_> = order.iter().map(|place| lines[**place].clone()).collect();
            let contract: ContractRef = "a/1".parse().unwrap();
            let found = dossier(&contract, &shuffled, now(), &zone()).unwrap();
            prop_assert_eq!(found.events.len(), lines.len());
        }
    }
}
