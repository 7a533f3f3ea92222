//! A node that is told to stop finishes what it has accepted, and stops.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use quittance_tests::{
    Api, Consortium, Node, Settings, events::Events, load_records, raw, wait_for,
};

#[test]
fn what_was_acknowledged_while_it_stopped_is_there_afterwards() {
    let consortium = Consortium::new();
    let records = load_records(&consortium, 2400);
    let batches: Vec<_> = records.chunks(20).collect();
    let mut node = consortium.start();
    for round in 0..3 {
        let (next, answered) = (AtomicUsize::new(round * 40), AtomicUsize::new(0));
        let acknowledged: BTreeSet<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let api = Api::new(node.address());
                    let (next, answered, batches) = (&next, &answered, &batches);
                    scope.spawn(move || {
                        let mut acknowledged = Vec::new();
                        loop {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            let Some(batch) = batches.get(number) else { break };
                            // Once it has stopped nobody answers any more.
                            let Ok(answer) = api.try_append_all(batch.iter()) else { break };
                            if answer.status == 503 {
                                assert_eq!(answer.problem(), "stopping");
                                break;
                            }
                            assert_eq!(answer.status, 200, "{}", answer.text());
                            answered.fetch_add(1, Ordering::Relaxed);
                            for (line, record) in answer.lines().iter().zip(*batch) {
                                let status = line["status"].as_u64().unwrap();
                                assert!(matches!(status, 200..=202 | 503), "{line}");
                                if status != 503 {
                                    acknowledged.push(record.id.clone());
                                }
                            }
                        }
                        acknowledged
                    })
                })
                .collect();
            wait_for("some answers", || (answered.load(Ordering::Relaxed) >= 4).then_some(()));
            node.terminate();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let ended = node.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        node.restart();
        // An orderly stop leaves nothing waiting.
        assert_eq!(node.json("/v1/status")["pending"]["records"], 0);
        let there: BTreeSet<String> = node
            .all_records("")
            .iter()
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
    }
}

#[test]
fn open_streams_and_idle_connections_do_not_hold_it_up() {
    let consortium = Consortium::new();
    // Far more than the tests' patience.
    let mut node = consortium.start_with(&Settings::limits("grace_s = 600\nheader_time_s = 600"));
    node.append_all(&load_records(&consortium, 3));
    let mut stream = Events::open(node.address(), "/v1/events?after=0", None);
    assert!(stream.next().is_some());
    let idle = raw::connect(node.address());
    node.stop();
    while stream.next().is_some() {}
    drop(idle);
}

#[test]
fn a_request_in_flight_is_still_answered() {
    use std::io::Write as _;

    let consortium = Consortium::new();
    let mut node = consortium.start();
    let record = load_records(&consortium, 1).remove(0);
    let (first, rest) = record.jws.split_at(100);
    let mut stream = raw::connect(node.address());
    write!(
        stream,
        "POST /v1/records HTTP/1.1\r\nHost: {}\r\nContent-Type: application/jose\r\n\
         Content-Length: {}\r\nPrefer: wait=30\r\nConnection: close\r\n\r\n{first}",
        node.address(),
        record.jws.len()
    )
    .unwrap();
    // The node has begun with it: one request is being worked on.
    wait_for("the request to arrive", || node.get("/v1/status").status.eq(&200).then_some(()));
    node.terminate();
    wait_for("the node to say that it stops", || {
        node.log().contains("finishing what was").then_some(())
    });
    stream.write_all(rest.as_bytes()).unwrap();
    let answer = raw::read_to_end(stream);
    assert!(matches!(answer.status, 201 | 202 | 503), "{} {:?}", answer.head, answer.body);
    let ended = node.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    node.restart();
    let kept = node.get(&format!("/v1/records/{}", record.id)).status;
    assert_eq!(kept == 200, answer.status != 503);
}

#[test]
fn a_second_node_on_the_same_folder_does_not_start() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    let ended = Node::try_start(&consortium.data(), &Settings::default()).unwrap_err();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
    let audit = quittance_tests::quittance(["audit", consortium.data().to_str().unwrap()]);
    assert_eq!(audit.code, Some(2), "{}", audit.stderr);
    assert_eq!(node.get("/readyz").status, 200);
    node.stop();
}
