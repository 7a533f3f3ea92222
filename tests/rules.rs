//! The rules between records on a consortium: whichever node hears of a record
//! first, exactly one of two that exclude each other is recorded, everywhere the
//! same one, and whoever sent the other one learns why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;

use quittance_tests::{Answer, Cluster, Signed, wait_for};
use serde_json::{Value, json};

const CONTRACT: &str = "petexpert/RACE";

/// A record of the contract, signed by `member`.
fn record(cluster: &Cluster, member: &str, at: &str, payload: Value) -> Signed {
    let mut payload = payload;
    payload["contract"] = CONTRACT.into();
    payload["occurred_at"] = format!("2026-03-02T{at}+01:00").into();
    cluster.sign(member, &payload)
}

fn issued(cluster: &Cluster) -> Signed {
    record(
        cluster,
        "petexpert",
        "08:00:00",
        json!({
            "type": "contract.issued",
            "data": {
                "version": 1, "line_of_business": "pet_health", "signature_required": false,
                "period": { "from": "2026-03-01", "to": "2027-02-28" },
                "annual_ceiling": 150_000, "currency": "EUR",
            },
        }),
    )
}

fn claim(cluster: &Cluster, member: &str, at: &str, claim: &str, more: Value) -> Signed {
    let mut data = json!({ "channel": "crm", "attached": [], "currency": "EUR" });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let claim = format!("petexpert/{claim}");
    record(cluster, member, at, json!({ "type": "claim.opened", "claim": claim, "data": data }))
}

/// Appends records one after the other, each at another node.
fn append(cluster: &Cluster, records: &[Signed]) {
    for (number, record) in records.iter().enumerate() {
        let answer = cluster.node(number % cluster.running().len()).append(record);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// Sends two records to two nodes at the same moment. Gives the answers.
fn race(cluster: &Cluster, records: [&Signed; 2]) -> [Answer; 2] {
    thread::scope(|scope| {
        let sent = [0, 1].map(|place| {
            let node = cluster.node(place);
            scope.spawn(move || node.append(records[place]))
        });
        sent.map(|answer| answer.join().unwrap())
    })
}

/// Exactly one of two is recorded, on every node the same; the other one is
/// refused with one of these codes.
fn one_wins(cluster: &Cluster, records: [&Signed; 2], codes: &[&str]) {
    let answers = race(cluster, records);
    let statuses = answers.each_ref().map(|answer| answer.status);
    let (winner, loser) = match statuses {
        [201, 422] => (0, 1),
        [422, 201] => (1, 0),
        _ => panic!("{}\n{}", answers[0].text(), answers[1].text()),
    };
    let problem = answers[loser].json();
    assert!(codes.contains(&problem["code"].as_str().unwrap()), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{problem}");
    for index in cluster.running() {
        let node = cluster.node(index);
        wait_for("the winner at every node", || {
            (node.get(&format!("/v1/records/{}", records[winner].id)).status == 200).then_some(())
        });
        // Another node than the one that refused it may keep it for a moment.
        wait_for("the loser at no node", || {
            let lost = node.get(&format!("/v1/records/{}", records[loser].id));
            assert!(lost.status != 200 || lost.json()["status"] == "pending", "{}", lost.text());
            (lost.status != 200).then_some(())
        });
    }
}

#[test]
fn of_two_records_that_exclude_each_other_exactly_one_is_recorded() {
    let mut cluster = Cluster::with_guests(4);
    cluster.start_all();
    append(&cluster, &[issued(&cluster)]);

    // The same payment, twice as money and once as an obligation.
    append(
        &cluster,
        &[
            claim(&cluster, "heca", "09:00:00", "C-1", json!({ "claimed": 10_000 })),
            record(
                &cluster,
                "petexpert",
                "10:00:00",
                json!({
                    "type": "claim.decided", "claim": "petexpert/C-1",
                    "data": { "outcome": "approved", "approved": 10_000, "refused": 0, "currency": "EUR" },
                }),
            ),
        ],
    );
    let payment = |at| {
        record(
            &cluster,
            "petexpert",
            at,
            json!({
                "type": "payment.recorded", "claim": "petexpert/C-1",
                "data": {
                    "amount": 10_000, "status": "executed", "payee": "policyholder", "currency": "EUR",
                },
            }),
        )
    };
    one_wins(&cluster, [&payment("11:00:00"), &payment("11:00:01")], &["paid_exceeds_approved"]);

    // The same number for two claims.
    append(
        &cluster,
        &[
            claim(&cluster, "heca", "12:00:00", "C-2", json!({})),
            claim(&cluster, "heca", "12:00:01", "C-3", json!({})),
        ],
    );
    let number = |claim: &str| {
        record(
            &cluster,
            "petexpert",
            "12:30:00",
            json!({
                "type": "claim.registered", "claim": format!("petexpert/{claim}"),
                "data": { "number": "2026-17" },
            }),
        )
    };
    one_wins(&cluster, [&number("C-2"), &number("C-3")], &["claim_number_taken"]);

    // The same claim.
    let opened = |member| claim(&cluster, member, "13:00:00", "C-4", json!({ "claimed": 100 }));
    one_wins(&cluster, [&opened("heca"), &opened("netvox")], &["claim_exists"]);

    // The same next version.
    let amended = |change| {
        record(
            &cluster,
            "petexpert",
            "14:00:00",
            json!({
                "type": "contract.amended",
                "data": { "version": 2, "change": change, "effective": "2026-03-02" },
            }),
        )
    };
    one_wins(&cluster, [&amended("address"), &amended("risk")], &["version_gap"]);

    // A claim on the last second of a hold, and its release.
    append(
        &cluster,
        &[
            record(
                &cluster,
                "vet-1",
                "15:00:00",
                json!({
                    "type": "preauthorisation.requested",
                    "data": {
                        "preauthorisation": "PA-1", "currency": "EUR",
                        "lines": [{ "code": "surgery", "amount": 40_000 }],
                    },
                }),
            ),
            record(
                &cluster,
                "petexpert",
                "15:00:05",
                json!({
                    "type": "preauthorisation.answered",
                    "data": {
                        "preauthorisation": "PA-1", "guaranteed": 40_000, "customer_share": 0,
                        "hold_until": "2026-03-03T15:00:05+01:00", "currency": "EUR",
                    },
                }),
            ),
        ],
    );
    let mut late = json!({
        "type": "claim.opened", "claim": "petexpert/C-5", "contract": CONTRACT,
        "occurred_at": "2026-03-03T15:00:05+01:00",
        "data": {
            "channel": "vet_system", "preauthorisation": "PA-1", "attached": [],
            "claimed": 40_000, "currency": "EUR",
        },
    });
    let claimed = cluster.sign("vet-1", &late);
    let released = cluster.sign(
        "vet-1",
        &json!({
            "type": "preauthorisation.released", "contract": CONTRACT,
            "occurred_at": "2026-03-03T15:00:05+01:00",
            "data": { "preauthorisation": "PA-1", "reason": "cancelled" },
        }),
    );
    one_wins(&cluster, [&claimed, &released], &["hold_expired", "not_held"]);
    // A second later it would have been over for both.
    late["claim"] = "petexpert/C-6".into();
    late["occurred_at"] = "2026-03-03T15:00:06+01:00".into();
    let answer = cluster.node(2).append(&cluster.sign("vet-1", &late));
    assert_eq!((answer.status, &*answer.problem()), (422, "hold_expired"), "{}", answer.text());
    cluster.same_history(&cluster.all());
}

#[test]
fn a_record_that_is_sent_before_the_one_it_needs_is_final_at_that_ones_node_waits_for_it() {
    let mut cluster = Cluster::with_guests(4);
    cluster.start_all();
    // Each at another node, none of which waits for the one before to be final there.
    let records = [
        issued(&cluster),
        claim(&cluster, "heca", "09:00:00", "C-1", json!({ "claimed": 5_000 })),
        record(
            &cluster,
            "petexpert",
            "10:00:00",
            json!({
                "type": "claim.decided", "claim": "petexpert/C-1",
                "data": { "outcome": "approved", "approved": 5_000, "refused": 0, "currency": "EUR" },
            }),
        ),
        record(
            &cluster,
            "petexpert",
            "11:00:00",
            json!({
                "type": "payment.recorded", "claim": "petexpert/C-1",
                "data": {
                    "amount": 5_000, "status": "executed", "payee": "policyholder", "currency": "EUR",
                },
            }),
        ),
    ];
    append(&cluster, &records);
    let headers = [("content-type", "application/jose"), ("prefer", "wait=0")];
    // What nobody ever sends is not waited for for long.
    let stray = claim(
        &cluster,
        "heca",
        "12:00:00",
        "C-9",
        json!({
            "claimed": 1, "preauthorisation": "PA-none",
        }),
    );
    let answer = cluster.node(1).post("/v1/records", &headers, &stray.jws);
    assert_eq!(
        (answer.status, &*answer.problem()),
        (422, "unknown_reference"),
        "{}",
        answer.text()
    );
    cluster.same_history(&cluster.all());
}

#[test]
fn what_a_refused_record_asked_for_is_possible_after_the_record_expired() {
    let mut cluster = Cluster::with_guests(4);
    cluster.start_all();
    append(&cluster, &[issued(&cluster)]);
    let mut payload = json!({
        "type": "claim.opened", "claim": "petexpert/C-1", "contract": CONTRACT,
        "occurred_at": "2026-03-02T09:00:00+01:00", "expires_at": "2026-03-02T09:10:00+01:00",
        "data": { "channel": "crm", "attached": [], "claimed": 100, "currency": "EUR" },
    });
    let expired = cluster.sign("heca", &payload);
    for node in cluster.all() {
        let answer = cluster.node(node).append(&expired);
        assert_eq!((answer.status, &*answer.problem()), (422, "expired"), "{}", answer.text());
    }
    payload.as_object_mut().unwrap().remove("expires_at");
    append(&cluster, &[cluster.sign("heca", &payload)]);
    cluster.same_history(&cluster.all());
}
