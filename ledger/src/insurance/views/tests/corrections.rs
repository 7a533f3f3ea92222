//! What a view shows of corrections is what the rules go by: each history here is
//! taken by the rules first, and what they then let pass is compared with what is
//! shown.

use std::collections::BTreeSet;

use super::*;
use crate::{
    insurance::{
        rules::tests::{BLOCK_MS, World},
        state::{self, StateReader, entities, keys},
    },
    record::Record,
    refusal::Refusal,
};

/// A ledger of one-record blocks that the rules have let pass, about `ins/1`.
#[derive(Clone)]
pub(super) struct Ruled {
    pub(super) world: World,
    pub(super) lines: Vec<Line>,
}

impl Ruled {
    pub(super) fn new() -> Self {
        Self { world: World::new(), lines: Vec::new() }
    }

    /// Every rule that can be softened only flags.
    pub(super) fn flagging() -> Self {
        Self { world: World::flagging(), ..Self::new() }
    }

    /// With a contract of 2025; it begins in January and is not signed where that
    /// is required.
    fn with_contract(signature_required: bool) -> Self {
        let mut world = Self::new();
        let data = json!({"version": 1, "line_of_business": "pet_health",
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "annual_ceiling": 100_000,
            "currency": "EUR", "signature_required": signature_required});
        world.take("ins", record("contract.issued", "2025-01-01T00:00:00+01:00", data));
        world
    }

    pub(super) fn try_take(&mut self, signer: &str, record: Json) -> Result<Record, Refusal> {
        let record = self.world.sign(signer, record);
        self.append(record)
    }

    /// Takes a record as it was signed.
    pub(super) fn append(&mut self, record: Record) -> Result<Record, Refusal> {
        self.world.append(&record)?;
        let index = self.lines.len() as u64;
        let (height, block_time_ms) = (index + 1, BLOCK_MS);
        let line = Line { index, height, block_time_ms, record, flags: Vec::new() };
        self.lines.push(line.clone());
        Ok(line.record)
    }

    #[track_caller]
    pub(super) fn take(&mut self, signer: &str, record: Json) -> Record {
        self.try_take(signer, record).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// Whether the rules would let it pass now.
    pub(super) fn lets_pass(&self, signer: &str, record: Json) -> bool {
        self.clone().try_take(signer, record).is_ok()
    }

    pub(super) fn views(&self) -> Lines {
        Lines(self.lines.clone())
    }

    fn now(&self) -> Dossier {
        self.views().dossier("ins/1", now())
    }
}

pub(super) fn record(record_type: &str, at: &str, data: Json) -> Json {
    json!({"type": record_type, "occurred_at": at, "contract": "ins/1", "data": data})
}

fn of_claim(record_type: &str, at: &str, data: Json) -> Json {
    let mut record = record(record_type, at, data);
    record["claim"] = "ins/C1".into();
    record
}

fn correcting(mut record: Json, corrected: &Record) -> Json {
    record["corrects"] = corrected.id().to_string().into();
    record
}

pub(super) fn opened(at: &str, claim: &str) -> Json {
    let data = json!({"channel": "insurer", "attached": [], "claimed": 100, "currency": "EUR"});
    let mut record = record("claim.opened", at, data);
    record["claim"] = claim.into();
    record
}

#[test]
fn days_are_those_of_the_issue_that_stands_and_not_of_the_one_it_corrects() {
    let mut lines = Lines::default();
    let issued = |zone: Option<&str>, at: &str| {
        let mut data = json!({"version": 1, "line_of_business": "pet_health",
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "signature_required": false});
        if let Some(zone) = zone {
            data["time_zone"] = zone.into();
        }
        record("contract.issued", at, data)
    };
    let id = lines.add("ins", issued(Some("Asia/Tokyo"), "2025-01-01T00:00:00Z"));
    let mut newer = issued(None, "2025-01-05T00:00:00Z");
    newer["corrects"] = id.to_string().into();
    let id = lines.add("ins", newer);
    let mut newest = issued(Some("Europe/London"), "2025-01-05T20:00:00Z");
    newest["corrects"] = id.to_string().into();
    lines.add("ins", newest);
    let name = |count: usize, at: &str| {
        let at: At = at.parse().unwrap();
        let found = zone_of(&lines.0[..count], &zone(), |zone| {
            at.resolve(time(NOW), zone, Some(time("2025-02-01T00:00:00Z")))
        });
        found.iana_name().unwrap().to_owned()
    };
    assert_eq!(name(1, "2030-01-01T00:00:00Z"), "Asia/Tokyo");
    assert_eq!(name(2, "2030-01-01T00:00:00Z"), DEFAULT_TIME_ZONE, "it names none");
    assert_eq!(name(3, "2030-01-01T00:00:00Z"), "Europe/London");
    // As of then: by when it happened, and by what the ledger held.
    assert_eq!(name(3, "2025-01-04T23:59:59Z"), "Asia/Tokyo");
    assert_eq!(name(3, "2025-01-05T00:00:00Z"), DEFAULT_TIME_ZONE);
    assert_eq!(name(3, "2025-01-05"), "Europe/London", "that day ends after it");
    assert_eq!(name(3, "2025-01-04"), "Asia/Tokyo");
    assert_eq!([name(3, "1"), name(3, "2")], ["Asia/Tokyo", DEFAULT_TIME_ZONE]);
    assert_eq!(name(3, "2024-12-31"), "Asia/Tokyo", "before any issue the first to come");
    assert_eq!(name(0, "2030-01-01T00:00:00Z"), DEFAULT_TIME_ZONE);
}

#[test]
fn an_offer_that_was_told_twice_was_told_at_the_earlier_moment_whichever_came_first() {
    let told = |at: &str| {
        let data = json!({"round": 1, "to": "policyholder"});
        of_claim("settlement.notified", at, data)
    };
    let (early, late) = ("2025-03-02T10:00:00+01:00", "2025-03-20T10:00:00+01:00");
    for order in [[early, late], [late, early]] {
        let mut world = Ruled::with_contract(false);
        world.take("ins", opened("2025-03-01T09:00:00+01:00", "ins/C1"));
        let data = json!({"round": 1, "amount": 50, "currency": "EUR"});
        world.take("ins", of_claim("settlement.offered", "2025-03-01T10:00:00+01:00", data));
        let records = order.map(|at| world.take("broker", told(at)).id());
        let first = records[order.iter().position(|at| *at == early).unwrap()];
        let claim = world.views().claim("ins/1", "ins/C1", now());
        assert_eq!(claim.offers[0].notified_at, Some(time(early)));
        assert_eq!(claim.offers[0].notified_by, Some(first));
        let answers = claim.deadlines.iter().filter(|it| it.kind == DeadlineKind::Answer);
        let answers: Vec<_> = answers.map(|it| (it.from, it.due)).collect();
        assert_eq!(answers, [(first, time("2025-04-01T23:59:59.999999999+02:00"))]);
        // So the rules have it: it could be answered from the earlier moment on.
        let answered = |at: &str| {
            let data = json!({"round": 1, "answer": "objected"});
            of_claim("settlement.answered", at, data)
        };
        assert!(world.lets_pass("broker", answered(early)));
        assert!(!world.lets_pass("broker", answered("2025-03-02T09:59:59+01:00")));
    }
}

#[test]
fn an_offer_that_was_corrected_has_not_been_told_until_it_is_told_again() {
    let mut world = Ruled::with_contract(false);
    let at = "2025-03-01T10:00:00+01:00";
    let offered = |amount: u64| {
        let data = json!({"round": 1, "amount": amount, "currency": "EUR"});
        of_claim("settlement.offered", at, data)
    };
    let told = of_claim("settlement.notified", at, json!({"round": 1, "to": "policyholder"}));
    let objected = of_claim("settlement.answered", at, json!({"round": 1, "answer": "objected"}));
    world.take("ins", opened(at, "ins/C1"));
    let first = world.take("ins", offered(50));
    world.take("broker", told.clone());
    let is_told = |world: &Ruled| {
        world.views().claim("ins/1", "ins/C1", now()).offers[0].notified_at.is_some()
    };
    assert!(is_told(&world) && world.lets_pass("broker", objected.clone()));
    world.take("ins", correcting(offered(60), &first));
    assert!(!is_told(&world) && !world.lets_pass("broker", objected.clone()));
    world.take("broker", told);
    assert!(is_told(&world) && world.lets_pass("broker", objected));
}

/// The items of the contract as the rules have them: name, whether it is missing,
/// and the record that asked for it.
fn items_of_rules(world: &Ruled) -> BTreeSet<(String, bool, String)> {
    let (from, to) = keys::items(&"ins/1".parse().unwrap());
    let items =
        world.world.state.range(&from, &to, 1000).unwrap().into_iter().map(|(key, value)| {
            let item: entities::Item = state::decode(&value).unwrap();
            let name = String::from_utf8(key[from.len()..key.len() - 1].to_vec()).unwrap();
            let missing = item.verdict != Some(crate::insurance::contract::Verdict::Accepted);
            (name, missing, item.requested_by.to_string())
        });
    items.collect()
}

fn items_of_view(world: &Ruled) -> BTreeSet<(String, bool, String)> {
    let documents = world.now().documents;
    let asked = documents.items.into_iter().filter_map(|item| {
        let requested_by = item.requested_by?.to_string();
        Some((item.item, item.colour == Colour::Red, requested_by))
    });
    asked.collect()
}

const AT: &str = "2025-03-01T10:00:00+01:00";

fn asked(items: &[&str]) -> Json {
    record("document.requested", AT, json!({"items": items, "due": "2025-04-01"}))
}

fn assessed(item: &str, verdict: &str) -> Json {
    record("document.assessed", AT, json!({"item": item, "verdict": verdict}))
}

#[test]
fn an_item_that_a_corrected_request_drops_stays_only_if_it_came_in_and_is_good() {
    for (found, stays) in [(None, false), (Some("rejected"), false), (Some("accepted"), true)] {
        let mut world = Ruled::with_contract(false);
        let first = world.take("broker", asked(&["licence", "photo"]));
        world.take("broker", assessed("licence", "accepted"));
        if let Some(found) = found {
            world.take("broker", assessed("photo", found));
        }
        world.take("broker", correcting(asked(&["licence"]), &first));
        assert_eq!(items_of_view(&world), items_of_rules(&world), "{found:?}");
        let documents = world.now().documents;
        assert_eq!(documents.items.iter().any(|item| item.item == "photo"), stays, "{found:?}");
        assert_eq!(documents.colour, Colour::Green);
        // One that stays turns the dossier red again when it turns out to be bad.
        if stays {
            world.take("broker", assessed("photo", "rejected"));
            assert_eq!(world.now().documents.colour, Colour::Red);
            assert_eq!(items_of_view(&world), items_of_rules(&world));
        }
    }
}

#[test]
fn an_item_that_somebody_asked_for_again_is_not_dropped_with_the_first_request() {
    let mut world = Ruled::with_contract(false);
    let first = world.take("broker", asked(&["licence", "photo"]));
    world.take("ins", asked(&["photo"]));
    world.take("broker", correcting(asked(&["licence"]), &first));
    assert_eq!(items_of_view(&world), items_of_rules(&world));
    assert_eq!(world.now().documents.missing, 2);
}

#[test]
fn a_corrected_request_leaves_what_another_record_has_asked_for_since_to_that() {
    let mut world = Ruled::with_contract(false);
    let first = world.take("broker", asked(&["licence", "photo"]));
    let second = world.take("ins", asked(&["photo"]));
    world.take("broker", assessed("photo", "accepted"));
    let mut lines = world.views();
    lines.add("broker", correcting(asked(&["photo", "licence"]), &first));
    let items = lines.dossier("ins/1", now()).documents.items;
    let photo = items.iter().find(|item| item.item == "photo").unwrap();
    assert_eq!((photo.requested_by, photo.state), (Some(second.id()), ItemState::Accepted));
}

#[test]
fn a_verdict_that_is_corrected_when_another_has_followed_changes_nothing() {
    let mut world = Ruled::with_contract(false);
    world.take("broker", asked(&["licence"]));
    let first = world.take("broker", assessed("licence", "unreadable"));
    world.take("broker", assessed("licence", "accepted"));
    world.take("broker", correcting(assessed("licence", "rejected"), &first));
    assert_eq!(world.now().documents.items[0].state, ItemState::Accepted);
    assert_eq!(items_of_view(&world), items_of_rules(&world));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked for, comes in, is judged and corrected: red is what the
    /// rules take for red, for the same items.
    #[test]
    fn a_dossier_is_red_where_the_rules_have_it_red(
        steps in prop::collection::vec((0_u8..3, 1_u8..8, 0_u8..4, any::<prop::sample::Index>()), 1..30),
    ) {
        let mut world = Ruled::with_contract(false);
        const NAMES: [&str; 3] = ["licence", "photo", "proof"];
        for (kind, set, verdict, corrects) in steps {
            let name = NAMES[usize::from(set) % 3];
            let mut record = match kind {
                0 => {
                    let chosen = (0..3).filter(|bit| set & (1 << bit) != 0);
                    asked(&chosen.map(|bit| NAMES[bit]).collect::<Vec<_>>())
                }
                1 => record("document.received", AT, json!({"item": name})),
                _ => assessed(name, ["accepted", "rejected", "unreadable"][usize::from(verdict) % 3]),
            };
            if kind == 1 && verdict == 0 {
                record["data"]["verdict"] = "accepted".into();
            }
            let of_kind = record["type"].as_str().unwrap().to_owned();
            let before: Vec<_> = world
                .lines
                .iter()
                .map(|line| line.record.clone())
                .filter(|before| before.payload().record_type.as_str() == of_kind)
                .collect();
            if verdict % 2 == 1 && !before.is_empty() {
                record = correcting(record, &before[corrects.index(before.len())]);
            }
            let _ = world.try_take("broker", record);
            prop_assert_eq!(items_of_view(&world), items_of_rules(&world));
            let card = super::corrections::record("document.issued", AT, json!({"kind": "green_card"}));
            let green = world.now().documents.colour == Colour::Green;
            prop_assert_eq!(green, world.lets_pass("broker", card));
        }
    }
}

/// A contract that is signed at `SIGNED`, and the records by which it was.
fn signed() -> (Ruled, [Record; 3]) {
    let mut world = Ruled::with_contract(true);
    let requested = world.take("broker", signature_requested("2025-02-10T00:00:00Z", "otp"));
    let data = json!({"signature": "S", "channel": "sms"});
    let challenged = record("signature.challenged", "2025-02-01T09:00:00Z", data);
    let challenged = world.take("otp", challenged);
    let completed = world.take("otp", signature_completed(SIGNED, "AdES_claimed"));
    (world, [requested, challenged, completed])
}

const SIGNED: &str = "2025-02-01T10:00:00Z";

fn signature_requested(expires: &str, method: &str) -> Json {
    let data = json!({"signature": "S", "target": {"contract": "ins/1", "version": 1},
        "signer": "policyholder", "method": method, "expires": expires});
    record("signature.requested", "2025-02-01T08:00:00Z", data)
}

fn signature_completed(at: &str, level: &str) -> Json {
    record("signature.completed", at, json!({"signature": "S", "level": level}))
}

/// Whether view and rules have the contract in force at that moment, which is to
/// be the same.
#[track_caller]
fn in_force(world: &Ruled, at: &str) -> bool {
    let shown = world.views().at("ins/1", at).status == ContractStatus::InForce;
    assert_eq!(shown, world.lets_pass("ins", opened(at, "ins/C9")), "{at}");
    shown
}

#[test]
fn a_corrected_signature_shows_what_the_newer_record_says_in_words_and_keeps_its_moments() {
    let moments =
        ["2025-01-20T10:00:00Z", "2025-02-01T09:59:59Z", SIGNED, "2025-02-05T10:00:00Z", NOW];
    let (mut world, [requested, _, completed]) = signed();
    let expected = [false, false, true, true, true];
    assert_eq!(moments.map(|at| in_force(&world, at)), expected);
    for moved in ["2025-01-10T10:00:00Z", "2025-02-08T10:00:00Z"] {
        let newer = correcting(signature_completed(moved, "QES_claimed"), &completed);
        assert!(world.try_take("otp", newer).is_err());
    }
    let crate::insurance::Data::SignatureRequested(asked) = &requested.payload().data else {
        panic!()
    };
    let expires = asked.expires.to_string();
    let later = correcting(signature_requested("2039-12-31T00:00:00Z", "pen"), &requested);
    assert!(world.try_take("broker", later).is_err());
    let method = world.take("broker", correcting(signature_requested(&expires, "pen"), &requested));
    let level = correcting(signature_completed(SIGNED, "QES_claimed"), &completed);
    let level = world.take("otp", level);
    assert_eq!(moments.map(|at| in_force(&world, at)), expected);
    let dossier = world.now();
    let shown = &dossier.signatures[0];
    assert_eq!((shown.state, shown.completed_at), (SignatureStatus::Completed, Some(time(SIGNED))));
    assert_eq!((shown.method.as_deref(), shown.requested_by), (Some("pen"), Some(method.id())));
    assert_eq!((shown.record, shown.level_claimed.as_deref()), (level.id(), Some("QES_claimed")));
    assert_eq!(dossier.events[3].corrected_by, Some(level.id()));
    assert_eq!(dossier.facts.unwrap().signed_at, Some(time(SIGNED)));
}

#[test]
fn a_hold_that_was_given_back_is_over_at_its_moment_whatever_is_said_of_it_since() {
    let mut world = Ruled::with_contract(false);
    let requested = json!({"preauthorisation": "PA", "lines": [{"code": "x", "amount": 900}],
        "currency": "EUR"});
    world.take("vet", record("preauthorisation.requested", "2025-03-01T09:00:00Z", requested));
    let answered = json!({"preauthorisation": "PA", "guaranteed": 900, "customer_share": 0,
        "hold_until": "2025-03-02T09:00:00Z", "currency": "EUR"});
    world.take("ins", record("preauthorisation.answered", "2025-03-01T09:00:00Z", answered));
    let released = |at: &str, reason: &str| {
        record("preauthorisation.released", at, json!({"preauthorisation": "PA", "reason": reason}))
    };
    let at = "2025-03-01T12:00:00Z";
    let first = world.take("vet", released(at, "cancelled"));
    let moved = correcting(released("2025-03-01T18:00:00Z", "replaced"), &first);
    assert!(world.try_take("vet", moved).is_err());
    let newer = world.take("vet", correcting(released(at, "replaced"), &first));
    let dossier = world.now();
    let shown = &dossier.preauthorisations[0];
    assert_eq!(shown.ended_at, Some(time(at)));
    assert_eq!((shown.ended_by, shown.state.as_str()), (Some(newer.id()), "replaced"));
    let held = |at: &str| world.views().at("ins/1", at).ceiling.unwrap().held;
    let moments = ["2025-03-01T11:59:59Z", at, "2025-03-01T18:00:00Z"];
    assert_eq!(moments.map(held), [900, 0, 0]);
    // The rules have nothing held either.
    let mut claimed = opened(at, "ins/C1");
    claimed["data"]["preauthorisation"] = "PA".into();
    assert!(!world.lets_pass("vet", claimed));
}

#[test]
fn a_corrected_dispute_number_or_state_shows_the_newer_and_leaves_the_claim_as_it_was() {
    let mut world = Ruled::with_contract(false);
    world.take("ins", opened(AT, "ins/C1"));
    let number = |adjuster: &str| {
        of_claim("claim.registered", AT, json!({"number": "N-1", "adjuster": adjuster}))
    };
    let state =
        |label: &str| of_claim("claim.state", AT, json!({"state": "in_review", "label": label}));
    let decided = json!({"outcome": "refused", "approved": 0, "refused": 100, "currency": "EUR"});
    let at = "2025-03-02T10:00:00Z";
    let disputed = |with: &str| of_claim("claim.disputed", at, json!({"between": ["ins", with]}));
    let first = world.take("ins", number("A-1"));
    world.take("ins", correcting(number("A-2"), &first));
    let first = world.take("ins", state("wird geprüft"));
    world.take("ins", correcting(state("in Prüfung"), &first));
    world.take("ins", of_claim("claim.decided", AT, decided.clone()));
    let first = world.take("broker", disputed("vet"));
    let newer = world.take("broker", correcting(disputed("broker"), &first));
    let lines = world.views();
    let claim = lines.claim("ins/1", "ins/C1", now());
    assert_eq!((claim.adjuster.as_deref(), claim.number.as_deref()), (Some("A-2"), Some("N-1")));
    assert_eq!(claim.progress[0].label.as_deref(), Some("in Prüfung"));
    let dispute = &claim.disputes[0];
    assert_eq!((dispute.record, dispute.occurred_at), (newer.id(), time(at)));
    assert_eq!(dispute.between, ["ins", "broker"]);
    assert_eq!((claim.status, claim.open), (ClaimStatus::Disputed, false));
    let then = AsOf::Time(time("2025-03-03T00:00:00Z"));
    assert_eq!(lines.claim("ins/1", "ins/C1", then).status, ClaimStatus::Disputed);
    assert!(world.lets_pass("ins", of_claim("claim.decided", "2025-03-10T10:00:00Z", decided)));
}

#[test]
fn a_dispute_told_late_of_a_decision_that_another_has_followed_is_shown_and_changes_nothing() {
    let mut world = Ruled::with_contract(false);
    let on = |day: u8| format!("2025-03-{day:02}T12:00:00Z");
    let decided = |day: u8, approved: u64| {
        let outcome = if approved == 0 { "refused" } else { "approved" };
        let data = json!({"outcome": outcome, "approved": approved, "refused": 100 - approved,
            "currency": "EUR"});
        of_claim("claim.decided", &on(day), data)
    };
    let disputed = |day: u8| of_claim("claim.disputed", &on(day), json!({"between": ["ins"]}));
    let status = |world: &Ruled| world.views().claim("ins/1", "ins/C1", now()).status;
    world.take("ins", opened(AT, "ins/C1"));
    world.take("broker", disputed(2));
    assert_eq!(status(&world), ClaimStatus::Opened, "nothing is decided yet");
    world.take("ins", decided(3, 0));
    world.take("broker", disputed(4));
    assert_eq!(status(&world), ClaimStatus::Disputed);
    world.take("ins", decided(10, 100));
    let data = json!({"amount": 100, "currency": "EUR", "status": "executed", "payee": "vet"});
    world.take("ins", of_claim("payment.recorded", &on(11), data));
    world.take("broker", disputed(5));
    assert_eq!(status(&world), ClaimStatus::Paid);
    assert_eq!(world.views().claim("ins/1", "ins/C1", now()).disputes.len(), 3);
    assert!(!world.lets_pass("ins", decided(12, 100)));
    world.take("broker", disputed(12));
    assert_eq!(status(&world), ClaimStatus::Disputed);
    assert!(world.lets_pass("ins", decided(12, 100)));
}

#[test]
fn a_signature_told_late_to_have_failed_or_begun_is_shown_as_the_rules_hold_it() {
    let mut world = Ruled::with_contract(true);
    let of = |kind: &str, at: &str, more: (&str, Json)| {
        let mut record = record(kind, at, json!({"signature": "S"}));
        record["data"][more.0] = more.1;
        record
    };
    let declined = |at: &str| {
        let mut failed = of("signature.failed", at, ("reason", "declined".into()));
        failed["data"]["attempt"] = 1.into();
        failed
    };
    let sms = |at: &str| of("signature.challenged", at, ("channel", "sms".into()));
    let state =
        |world: &Ruled| world.views().at("ins/1", "2025-02-02T00:00:00Z").signatures[0].state;
    let completes = |world: &Ruled| world.lets_pass("otp", signature_completed(SIGNED, "SES"));
    world.take("broker", signature_requested("2025-02-10T00:00:00Z", "otp"));
    world.take("otp", sms("2025-02-01T09:00:00Z"));
    world.take("otp", declined("2025-02-01T08:30:00Z"));
    assert_eq!((state(&world), completes(&world)), (SignatureStatus::Challenged, true));
    world.take("otp", declined("2025-02-01T09:30:00Z"));
    assert_eq!((state(&world), completes(&world)), (SignatureStatus::Declined, false));
    world.take("otp", sms("2025-02-01T09:10:00Z"));
    assert_eq!((state(&world), completes(&world)), (SignatureStatus::Declined, false));
    world.take("otp", sms("2025-02-01T09:40:00Z"));
    assert_eq!((state(&world), completes(&world)), (SignatureStatus::Challenged, true));
}

#[test]
fn a_period_without_a_ceiling_counts_in_the_currency_of_the_first_amount_that_counts() {
    let mut world = Ruled::new();
    let data = json!({"version": 1, "line_of_business": "pet_health",
        "period": {"from": "2025-01-01", "to": "2025-12-31"}, "signature_required": false});
    world.take("ins", record("contract.issued", "2025-01-01T00:00:00+01:00", data));
    let agree = |world: &Ruled, currency: Option<&str>, held: u64, spent: u64| {
        let key = keys::period(&"ins/1".parse().unwrap(), 1);
        let rules: entities::Period = state::read(&world.world.state, &key).unwrap().unwrap();
        assert_eq!(rules.currency.map(|it| it.code().to_owned()).as_deref(), currency);
        let shown = &world.views().at("ins/1", "2025-03-02T09:00:00Z").periods[0];
        assert_eq!(shown.currency.as_deref(), currency);
        assert_eq!((shown.held, shown.spent), (held, spent));
        assert_eq!(rules.spent.minor_units(), spent);
    };
    let in_dollars = |mut record: Json| {
        record["data"]["currency"] = "USD".into();
        record
    };
    world.take("ins", in_dollars(opened(AT, "ins/C1")));
    let asked = |number: &str| {
        let lines = json!([{"code": "x", "amount": 900}]);
        let data = json!({"preauthorisation": number, "lines": lines, "currency": "EUR"});
        record("preauthorisation.requested", "2025-03-01T12:00:00Z", data)
    };
    let answered = |number: &str, amount: u64| {
        let data = json!({"preauthorisation": number, "guaranteed": amount,
            "customer_share": 900 - amount, "hold_until": "2025-03-02T12:00:00Z",
            "currency": "EUR"});
        record("preauthorisation.answered", "2025-03-01T12:00:00Z", data)
    };
    for (number, amount) in [("PA", 0), ("PB", 900)] {
        agree(&world, None, 0, 0);
        world.take("vet", asked(number));
        world.take("ins", answered(number, amount));
    }
    agree(&world, Some("EUR"), 900, 0);
    let data = json!({"outcome": "approved", "approved": 100, "refused": 0, "currency": "USD"});
    world.take("ins", of_claim("claim.decided", "2025-03-01T13:00:00Z", data));
    agree(&world, Some("EUR"), 900, 0);
}

#[test]
fn a_ceiling_agreed_is_the_limit_of_the_next_period_and_stands_with_the_version_that_says_so() {
    let mut world = Ruled::with_contract(false);
    let amended = |to: u64| {
        let data = json!({"version": 2, "change": "ceiling", "to": to, "effective": "2026-01-01",
            "currency": "EUR"});
        record("contract.amended", "2025-06-01T10:00:00+02:00", data)
    };
    let first = world.take("ins", amended(120_000));
    world.take("ins", correcting(amended(150_000), &first));
    let data = json!({"version": 3, "period": {"from": "2026-01-01", "to": "2026-12-31"}});
    let renewed = record("contract.renewed", "2025-12-01T10:00:00+01:00", data);
    let old = world.take("ins", renewed.clone());
    for _ in 0..2 {
        let dossier = world.now();
        let limits: Vec<_> = dossier.periods.iter().map(|period| period.limit).collect();
        assert_eq!(limits, [Some(100_000), Some(150_000)]);
        let changes = |version: usize| -> Vec<_> {
            dossier.versions[version].changes.iter().map(ToString::to_string).collect()
        };
        assert_eq!(changes(1), ["ceiling: 1000.00 EUR → 1500.00 EUR"]);
        assert_eq!(changes(2), ["period: 2025-01-01 to 2025-12-31 → 2026-01-01 to 2026-12-31"]);
        // The rules let so much be approved, and no more.
        let mut spent = world.clone();
        let at = "2026-02-01T09:00:00+01:00";
        let mut claim = opened(at, "ins/C1");
        claim["data"]["claimed"] = 200_000.into();
        spent.take("ins", claim);
        let decided = |approved: u64| {
            let data = json!({"outcome": "partly", "approved": approved,
                "refused": 200_000 - approved, "currency": "EUR"});
            of_claim("claim.decided", at, data)
        };
        assert!(!spent.lets_pass("ins", decided(150_001)));
        assert!(spent.lets_pass("ins", decided(150_000)));
        if world.lines.len() == 4 {
            world.take("ins", correcting(renewed.clone(), &old));
        }
    }
}
