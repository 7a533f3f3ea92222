use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use futures::StreamExt as _;
use quittance_api::{ApiConfig, Limits};
use tower::ServiceExt as _;

use crate::harness::{Api, Mode};

/// Reads events until `count` have come: id, name and data of each.
async fn take(api: &Api, request: Request<Body>, count: usize) -> Vec<(String, String, String)> {
    let response = api.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    let read = async {
        let mut come = 0;
        while come < count {
            let part = body.next().await.expect("the stream ended").unwrap();
            let part = std::str::from_utf8(&part).unwrap();
            // Each part is whole events.
            come += part.matches("\n\n").count();
            text.push_str(part);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("too few events came");
    text.split("\n\n")
        .filter(|event| event.contains("data:"))
        .take(count)
        .map(|event| {
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            (field("id:"), field("event:"), field("data:"))
        })
        .collect()
}

fn after(cursor: &str) -> Request<Body> {
    Request::get(format!("/v1/events?after={cursor}")).body(Body::empty()).unwrap()
}

fn ids(events: &[(String, String, String)]) -> Vec<&str> {
    events.iter().map(|(id, _, _)| id.as_str()).collect()
}

#[tokio::test]
async fn all_events_from_the_beginning_and_then_what_is_new() {
    let api = Api::filled(2, 2);
    let growing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        api.add(4..5);
    };
    let (events, ()) = tokio::join!(take(&api, after("0"), 8), growing);
    assert_eq!(ids(&events), ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "3.0", "3.1"]);
    let names: Vec<_> = events.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["record", "record", "block"]);
    let record: serde_json::Value = serde_json::from_str(&events[4].2).unwrap();
    assert_eq!(record["index"], 3);
    assert_eq!(record["type"], "contract.quoted");
    assert_eq!(record["contract"], "insurer/C-3");
    assert!(record["claim"].is_null());
    let block: serde_json::Value = serde_json::from_str(&events[5].2).unwrap();
    assert_eq!((&block["height"], &block["count"]), (&2.into(), &2.into()));
    assert_eq!(block["tree_size"], 4);
}

#[tokio::test]
async fn from_any_cursor_the_stream_goes_on_without_a_gap() {
    let api = Api::filled(3, 3);
    let all = take(&api, after("0"), 12).await;
    for (position, (id, _, _)) in all.iter().enumerate().take(11) {
        let rest = take(&api, after(id), 11 - position).await;
        assert_eq!(rest, all[position + 1..], "after {id}");
        let request = Request::get("/v1/events?after=0").header("last-event-id", id);
        let rest = take(&api, request.body(Body::empty()).unwrap(), 11 - position).await;
        assert_eq!(rest, all[position + 1..], "Last-Event-ID {id}");
    }
    assert_eq!(ids(&take(&api, after("2"), 1).await), ["3.0"]);
}

#[tokio::test]
async fn a_block_that_is_read_in_parts_comes_whole_and_in_order() {
    let api = Api::filled(1, 2100);
    let events = take(&api, after("0"), 2101).await;
    let expected: Vec<_> = (0..=2100).map(|position| format!("1.{position}")).collect();
    assert_eq!(ids(&events), expected);
    assert_eq!(events[2100].1, "block");
    assert_eq!(ids(&take(&api, after("1.1500"), 600).await), expected[1501..]);
}

#[tokio::test]
async fn damage_that_a_stream_meets_is_told_to_the_node() {
    let api = Api::filled(1, 20);
    crate::harness::damage(&api.folder().join("blocks"));
    let stream = api.router.clone().oneshot(after("0")).await.unwrap();
    // It ends instead of passing something over.
    let parts = stream.into_body().into_data_stream().collect::<Vec<_>>().await;
    assert!(parts.is_empty());
    let damage = api.node.damage.lock().unwrap().join(" ");
    assert!(damage.contains("blocks"), "{damage}");
}

#[tokio::test]
async fn without_a_cursor_only_what_is_new_comes() {
    let api = Api::filled(2, 2);
    let growing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        api.add(4..5);
    };
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let (events, ()) = tokio::join!(take(&api, request, 2), growing);
    assert_eq!(ids(&events), ["3.0", "3.1"]);
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let limits = Limits { event_keep_alive_s: 1, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let part = tokio::time::timeout(Duration::from_secs(5), body.next()).await.unwrap();
    assert!(part.unwrap().unwrap().starts_with(b":"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_its_place_is_free_again() {
    let limits =
        Limits { write_stall_s: 1, event_queue_max: 2, event_clients_max: 1, ..Limits::default() };
    let api = Api::with(Mode::Hold, ApiConfig { limits, ..ApiConfig::default() });
    api.add(0..20);
    let stalled = api.router.clone().oneshot(after("0")).await.unwrap();
    assert_eq!(stalled.status(), 200);
    api.get("/v1/events").await.assert_problem(503, "overloaded");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let second = api.router.clone().oneshot(after("0")).await.unwrap();
    assert_eq!(second.status(), 200);
    // What the first had in its queue still comes; then its stream ends.
    let parts = stalled.into_body().into_data_stream().collect::<Vec<_>>().await;
    assert!(parts.len() < 20);
}

#[tokio::test]
async fn a_cursor_of_another_ledger_is_refused_instead_of_waited_for() {
    let api = Api::filled(2, 3);
    for after in ["3", "3.0", "999"] {
        let answer = api.get(&format!("/v1/events?after={after}")).await;
        assert_eq!(answer.status, 400, "{after}");
    }
    let request = Request::get("/v1/events?after=2").header("host", "localhost");
    let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_alert_is_told_once_to_who_is_there_and_to_who_comes() {
    let api = Api::filled(1, 1);
    let alert = "validator m3 contradicted itself";
    let raising = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        api.node.alerts.send_replace(vec![alert.to_owned()]);
        api.node.alerts.send_replace(vec![alert.to_owned(), "below quorum".to_owned()]);
    };
    let (events, ()) = tokio::join!(take(&api, after("1"), 2), raising);
    for (id, name, _) in &events {
        assert_eq!((id.as_str(), name.as_str()), ("", "alert"), "an alert moves no cursor");
    }
    assert!(events[0].2.contains(alert), "{events:?}");
    assert!(events[1].2.contains("below quorum"), "{events:?}");
    let later = take(&api, after("1"), 2).await;
    assert_eq!(later, events);
}

#[tokio::test]
async fn evidence_is_served_with_the_bytes_that_were_signed() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use ed25519_dalek::{Signature, VerifyingKey};
    use quittance_ledger::chain::{Evidence, Statement, Step, Vote, VoteKind};

    let api = Api::filled(1, 1);
    let membership = api.node.store.membership();
    let validator = membership.validators().iter().next().unwrap().consensus.to_bytes();
    let statement = |byte: u8| {
        let block = quittance_ledger::digest::Digest::from_bytes([byte; 32]);
        let vote = Vote {
            ledger: membership.ledger_id(),
            kind: VoteKind::Precommit,
            height: 7,
            round: 2,
            block: Some(block),
            validator,
        };
        let signature = vote.sign(&crate::harness::key(101));
        Statement { block: Some([byte; 32]), valid_round: None, signature }
    };
    let evidence = Evidence::new(validator, Step::Precommit, (7, 2), [statement(1), statement(2)]);
    assert!(evidence.holds(membership.ledger_id(), membership.validators()));
    assert!(api.node.store.put_evidence(&evidence).unwrap());
    assert!(!api.node.store.put_evidence(&evidence).unwrap(), "once is enough");
    let served = api.get("/v1/evidence").await.json();
    let one = &served["evidence"][0];
    assert_eq!((&one["step"], &one["height"]), (&"precommit".into(), &7.into()), "{served}");
    let key = VerifyingKey::from_bytes(&validator).unwrap();
    let text = |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    for statement in one["statements"].as_array().unwrap() {
        let signature = Signature::from_slice(&text(&statement["signature"])).unwrap();
        key.verify_strict(&text(&statement["bytes"]), &signature).unwrap();
    }
}
