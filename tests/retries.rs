//! The same record, again and again: one entry, one receipt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, sync::Barrier, thread};

use quittance_tests::{Consortium, load_records};
use serde_json::json;

#[test]
fn twenty_connections_at_once_make_one_entry() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 3);
    node.append(&records[0]);
    let start = Barrier::new(20);
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                // A client of its own, and so a connection of its own.
                let api = quittance_tests::Api::new(node.address());
                let (start, record) = (&start, &records[1]);
                scope.spawn(move || {
                    start.wait();
                    let answer = api.append(record);
                    (answer.status, answer.json(), api.receipt(&record.id))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let statuses: BTreeSet<_> = answers.iter().map(|(status, _, _)| *status).collect();
    assert!(statuses.is_subset(&BTreeSet::from([200, 201])), "{statuses:?}");
    assert!(statuses.contains(&201), "{statuses:?}");
    for (_, answer, receipt) in &answers {
        assert_eq!(answer["id"], records[1].id);
        assert_eq!(answer["index"], 1, "{answer}");
        assert_eq!((answer, receipt), (&answers[0].1, &answers[0].2));
    }
    assert_eq!(node.tree_size(), 2);
    assert_eq!(node.all_records("").len(), 2);

    // Much later it is still answered with its first place.
    node.append(&records[2]);
    let late = node.append(&records[1]);
    assert_eq!((late.status, &late.json()), (200, &answers[0].1));
    assert_eq!(node.tree_size(), 3);
}

#[test]
fn in_one_batch_they_make_one_entry_too() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 2);
    let lines = node.append_all([&records[0], &records[1], &records[0], &records[0]]);
    let places: Vec<_> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [0, 1, 0, 0]);
    assert!(lines.iter().all(|line| line["status"] == 201 || line["status"] == 200), "{lines:?}");
    assert_eq!(node.tree_size(), 2);
}

#[test]
fn an_unsigned_record_with_a_salt_can_be_sent_again() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let record = json!({ "signer": "heca", "record": {
        "type": "contract.quoted", "salt": "AAECAwQFBgcICQoLDA0ODw",
        "occurred_at": "2026-01-02T09:00:00Z", "data": { "quote": "Q-1" },
    }})
    .to_string();
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    let first = node.post("/v1/records", &headers, &record);
    assert_eq!(first.status, 201, "{}", first.text());
    let second = node.post("/v1/records", &headers, &record);
    assert_eq!((second.status, second.json()), (200, first.json()));
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn without_waiting_the_answer_says_that_the_record_is_durable() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    let records = load_records(&consortium, 10);
    for record in &records {
        let headers = [("content-type", "application/jose")];
        let answer = node.post("/v1/records", &headers, &record.jws);
        assert!(matches!(answer.status, 200..=202), "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["id"], record.id);
        assert!(answer["status"] == "pending" || answer["status"] == "final", "{answer}");
    }
    // Durable means that even this loses nothing.
    node.kill();
    node.restart();
    for record in &records {
        assert!(matches!(node.append(record).status, 200 | 201));
    }
    assert_eq!(node.tree_size(), 10);
}
