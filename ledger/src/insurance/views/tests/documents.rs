//! Whether a dossier was red at a moment is the same for the rules, which judge what is
//! told late, as in the dossier of that moment, in whatever order the history is told.

use proptest::sample::Index;

use super::{
    corrections::{Ruled, record},
    *,
};
use crate::insurance::{
    Moment,
    state::{self, entities, keys},
};

const CONTRACT: &str = "ins/1";
const START: &str = "2025-05-01T00:00:00Z";

#[derive(Debug, Clone)]
struct Attempt {
    kind: u8,
    items: u8,
    accepted: bool,
    /// How many hours after the start it happened.
    hour: i64,
    /// Which record it corrects, and whether at the same moment.
    corrects: Option<(Index, bool)>,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let corrects = prop::option::weighted(0.25, (any::<Index>(), any::<bool>()));
    let attempt = (0_u8..4, 0_u8..3, any::<bool>(), any::<bool>(), 0_i64..96, corrects);
    prop::collection::vec(attempt, 4..24).prop_map(|attempts| {
        let count = i64::try_from(attempts.len()).unwrap();
        let attempts = (0..).zip(attempts);
        attempts
            .map(|(place, (kind, items, accepted, late, any, corrects))| {
                let hour = if late { any } else { 96 * place / count };
                Attempt { kind, items, accepted, hour, corrects }
            })
            .collect()
    })
}

fn moment(hour: i64) -> Timestamp {
    time(START) + jiff::SignedDuration::from_hours(hour)
}

fn of_attempt(world: &Ruled, attempt: &Attempt) -> Option<(&'static str, Json)> {
    let Attempt { kind, items, accepted, hour, .. } = *attempt;
    let at = moment(hour).to_string();
    let mut said = if kind == 0 {
        let items = [json!(["a"]), json!(["b"]), json!(["a", "b"])][usize::from(items)].clone();
        record("document.requested", &at, json!({"items": items, "due": &at[..10]}))
    } else {
        let item = ["a", "b", "a"][usize::from(items)];
        let verdict = if accepted { "accepted" } else { "rejected" };
        record("document.assessed", &at, json!({"item": item, "verdict": verdict}))
    };
    let Some((which, same)) = &attempt.corrects else { return Some(("broker", said)) };
    let of_type = world.lines.iter().map(|line| &line.record);
    let of_type: Vec<_> =
        of_type.filter(|old| old.payload().record_type.as_str() == said["type"]).collect();
    if of_type.is_empty() {
        return None;
    }
    let old = which.get(&of_type);
    let before: Json = serde_json::from_slice(old.payload_json()).unwrap();
    if let Some(item) = before["data"].get("item") {
        said["data"]["item"] = item.clone();
    }
    if *same {
        said["occurred_at"] = before["occurred_at"].clone();
        if let Some(due) = before["data"].get("due") {
            said["data"]["due"] = due.clone();
        }
    }
    said["corrects"] = old.id().to_string().into();
    Some(("broker", said))
}

fn play(attempts: &[Attempt]) -> Ruled {
    let mut world = Ruled::new();
    let data = json!({"version": 1, "line_of_business": "pet_health",
        "period": {"from": "2025-01-01", "to": "2025-12-31"}, "time_zone": "Etc/UTC",
        "signature_required": false});
    world.take("ins", record("contract.issued", "2025-01-01T00:00:00+01:00", data));
    for attempt in attempts {
        if let Some((signer, record)) = of_attempt(&world, attempt) {
            let _ = world.try_take(signer, record);
        }
    }
    world
}

/// Whether the rules remember all that was asked for and found at that moment.
fn is_remembered(world: &Ruled, at: Moment) -> bool {
    let contract = CONTRACT.parse().unwrap();
    let dossier = state::read(&world.world.state, &keys::dossier(&contract)).unwrap();
    let items = ["a", "b"].into_iter().filter_map(|item| {
        state::read(&world.world.state, &keys::item(&contract, &item.parse().unwrap())).unwrap()
    });
    let knows = |item: entities::Item| item.before.is_none_or(|before| before.since <= at);
    dossier.is_none_or(|dossier| dossier.unsure_before.is_none_or(|since| since <= at))
        && items.into_iter().all(knows)
}

/// How often a moment was looked at, and how often it was not remembered.
fn agrees(world: &Ruled) -> Result<(usize, usize), TestCaseError> {
    let (mut count, mut forgotten) = (0, 0);
    let mut moments: Vec<Timestamp> =
        world.lines.iter().skip(1).map(|line| line.record.payload().occurred_at).collect();
    moments.extend([moment(-1), moment(96)]);
    for at in moments {
        let dossier = world.views().dossier(CONTRACT, AsOf::Time(at));
        let is_red = dossier.documents.colour == Colour::Red;
        let card = record("document.issued", &at.to_string(), json!({"kind": "green_card"}));
        let passes = world.lets_pass("broker", card);
        let reason = json!({"reason": "missing_documents"});
        let ends = world.lets_pass("ins", record("contract.terminated", &at.to_string(), reason));
        let due = dossier.documents.items.iter().filter(|item| item.colour == Colour::Red);
        let due = due.filter_map(|item| item.due).min();
        let over = due.is_some_and(|due| at.to_zoned(TimeZone::UTC).date() > due);
        let shown = || format!("at {at}, {:?}\n{}", dossier.documents, told(world));
        // Never is a paper handed out while red, nor a contract ended while green.
        prop_assert!(!(is_red && passes), "handed out {}", shown());
        prop_assert!(is_red || !ends, "ended {}", shown());
        count += 1;
        if is_remembered(world, at.into()) {
            prop_assert_eq!(passes, !is_red, "{}", shown());
            prop_assert_eq!(ends, is_red && over, "due {:?} {}", due, shown());
        } else {
            forgotten += 1;
        }
    }
    Ok((count, forgotten))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_told_late_is_judged_by_the_dossier_of_its_moment(attempts in attempts()) {
        agrees(&play(&attempts))?;
    }

    /// Without corrections everything is remembered, up to the last few changes.
    #[test]
    fn without_corrections_every_moment_is_remembered(mut attempts in attempts()) {
        attempts.iter_mut().for_each(|attempt| attempt.corrects = None);
        attempts.truncate(crate::limits::ITEM_CHANGES_MAX);
        prop_assert_eq!(agrees(&play(&attempts))?.1, 0);
    }
}

/// The properties above would hold of rules that remember nothing; many of these histories
/// are corrected to other moments.
#[test]
fn much_of_the_histories_is_remembered() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let (mut count, mut forgotten, mut corrections) = (0, 0, 0);
    for _ in 0..48 {
        let world = play(&attempts().new_tree(&mut runner).unwrap().current());
        let (of_history, of_them) = agrees(&world).unwrap();
        (count, forgotten) = (count + of_history, forgotten + of_them);
        let corrects = |line: &&Line| line.record.payload().corrects.is_some();
        corrections += world.lines.iter().filter(corrects).count();
    }
    assert!(corrections > 20 && forgotten > 0, "{corrections} {forgotten}");
    assert!(forgotten * 3 < count * 2, "{forgotten} of {count}");
}
