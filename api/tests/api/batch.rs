use std::sync::atomic::Ordering;

use axum::{body::Body, http::Request};
use futures::StreamExt as _;
use quittance_api::{ApiConfig, Limits};
use serde_json::json;

use crate::harness::{Api, Mode, quote};

fn text(jws: &[u8]) -> &str {
    std::str::from_utf8(jws).unwrap()
}

async fn send(api: &Api, content_type: &str, body: String) -> crate::harness::Answer {
    let request = Request::post("/v1/records/batch")
        .header("content-type", content_type)
        .header("prefer", "wait=5")
        .body(Body::from(body));
    api.ask(request.unwrap()).await
}

#[tokio::test]
async fn lines_are_answered_in_order_and_one_refusal_stops_no_other() {
    let api = Api::new(Mode::Hold);
    api.add(0..1);
    *api.node.mode.lock().unwrap() = Mode::Commit;
    let body = format!(
        "{}\n\nnonsense\r\n\"{}\"\n{}\n{}\n",
        text(quote(0).jws()),
        text(quote(1).jws()),
        text(quote(2).jws()),
        text(quote(2).jws()),
    );
    let answer = send(&api, "application/x-ndjson", body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("preference-applied"), "wait=5");
    let lines = answer.lines();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [(1, 200), (3, 400), (4, 201), (5, 201), (6, 201)]);
    assert_eq!(lines[1]["code"], "malformed");
    assert_eq!(lines[1]["field"], "record");
    assert_eq!(lines[2]["index"], 1);
    assert_eq!(lines[2]["id"], quote(1).id().to_string());
    assert_eq!(lines[2]["receipt"], format!("/v1/records/{}/receipt", quote(1).id()));
    assert_eq!(lines[3]["index"], lines[4]["index"]);
    assert_eq!(api.node.submissions.load(Ordering::SeqCst), 1, "one call for the whole batch");
}

#[tokio::test]
async fn a_batch_over_many_jobs_keeps_its_order() {
    let api = Api::new(Mode::Commit);
    let body: String = (0..500).map(|number| format!("{}\n", text(quote(number).jws()))).collect();
    let lines = send(&api, "text/plain", body).await.lines();
    assert_eq!(lines.len(), 500);
    for (number, line) in (0..).zip(&lines) {
        assert_eq!(line["id"], quote(number).id().to_string());
        assert_eq!(line["index"], number);
        assert_eq!(line["line"], number + 1);
    }
}

#[tokio::test]
async fn without_waiting_lines_are_pending() {
    let api = Api::new(Mode::Hold);
    let answer = api.post("/v1/records/batch", "text/plain", quote(1).jws().to_vec()).await;
    let expected = json!({"line": 1, "status": 202, "id": quote(1).id().to_string()});
    assert_eq!(answer.lines(), [expected]);
}

#[tokio::test]
async fn too_many_bytes_or_lines_are_refused_whole() {
    let limits = Limits { batch_lines_max: 2, batch_body_bytes_max: 4096, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    send(&api, "text/plain", "a\nb\nc\n".to_owned()).await.assert_problem(413, "too_large");
    send(&api, "text/plain", "a".repeat(4097)).await.assert_problem(413, "too_large");
    assert_eq!(send(&api, "text/plain", "a\nb\n".to_owned()).await.lines().len(), 2);
    assert_eq!(api.node.submissions.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_empty_batch_is_answered_with_nothing() {
    let api = Api::new(Mode::Commit);
    let answer = send(&api, "application/x-ndjson", String::new()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}

#[tokio::test]
async fn a_full_node_refuses_the_batch_whole() {
    let api = Api::new(Mode::Busy);
    let answer = send(&api, "text/plain", text(quote(1).jws()).to_owned()).await;
    answer.assert_problem(429, "busy");
}

#[tokio::test]
async fn unsigned_lines_need_a_content_type_that_no_page_sends_unasked() {
    let api = Api::new(Mode::Commit);
    let line = json!({
        "signer": "broker",
        "record": {
            "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z",
            "data": {"quote": "Q"},
        },
    });
    let body = format!("{line}\n{}\n", text(quote(1).jws()));
    let lines = send(&api, "application/x-ndjson", body.clone()).await.lines();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&json!(201), &json!(201)));
    let lines = send(&api, "text/plain", body.clone()).await.lines();
    assert_eq!(lines[0]["code"], "unsigned_not_allowed");
    assert_eq!(lines[1]["status"], 200);

    let request = Request::post("/v1/records/batch")
        .header("content-type", "application/x-ndjson")
        .body(Body::from(body));
    let lines = api.ask_from("192.0.2.1:40000", request.unwrap()).await.lines();
    assert_eq!(lines[0]["status"], 403);
    assert_eq!(lines[0]["code"], "unsigned_not_allowed");
    assert_eq!(lines[1]["status"], 200);
}

/// A body of which only the first part ever comes.
fn unfinished(part: String) -> Body {
    let first = futures::stream::once(async move { Ok::<_, std::io::Error>(part) });
    Body::from_stream(first.chain(futures::stream::pending()))
}

#[tokio::test]
async fn who_is_slow_to_send_holds_up_no_other_batch() {
    let limits = Limits { batches_max: 1, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let slow = unfinished(text(quote(1).jws()).to_owned());
    let mut idle = Box::pin(api.post("/v1/records/batch", "text/plain", slow));
    assert!(futures::poll!(&mut idle).is_pending());
    let lines = send(&api, "text/plain", text(quote(2).jws()).to_owned()).await.lines();
    assert_eq!(lines[0]["status"], 201);
}

#[tokio::test]
async fn batches_that_are_sent_at_once_share_a_number_of_bytes() {
    let limits =
        Limits { batch_body_bytes_max: 8192, batch_bytes_in_flight_max: 8192, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let mut idle =
        Box::pin(api.post("/v1/records/batch", "text/plain", unfinished("a".repeat(7000))));
    assert!(futures::poll!(&mut idle).is_pending());
    let body: String = (0..8).map(|number| format!("{}\n", text(quote(number).jws()))).collect();
    assert!((2048..8192).contains(&body.len()));
    let answer = send(&api, "text/plain", body.clone()).await;
    answer.assert_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(api.node.submissions.load(Ordering::SeqCst), 0);
    // Who gives up gives back, and so does a batch that was answered.
    drop(idle);
    for _ in 0..3 {
        assert_eq!(send(&api, "text/plain", body.clone()).await.lines().len(), 8);
    }
}
