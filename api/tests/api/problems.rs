use axum::{body::Body, http::Request};
use quittance_api::{ApiConfig, Limits};

use crate::harness::{Api, Mode};

#[tokio::test]
async fn whatever_the_framework_refuses_is_a_problem_too() {
    let api = Api::new(Mode::Commit);
    api.get("/v1/nothing").await.assert_problem(404, "not_found");
    for later in ["/v1/contracts/a/1", "/v1/claims/a/1"] {
        api.get(later).await.assert_problem(404, "not_found");
    }
    let answer = api.post("/v1/status", "text/plain", "").await;
    answer.assert_problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("GET"));
    let delete = Request::delete("/v1/records").body(Body::empty()).unwrap();
    api.ask(delete).await.assert_problem(405, "method_not_allowed");
    for bad in [
        "/v1/records/xyz",
        "/v1/records/%ff",
        "/v1/blocks/one",
        "/v1/blocks/-1",
        "/v1/blocks?limit=0",
        "/v1/blocks?limit=1001",
        "/v1/blocks?after=x",
        "/v1/records?limit=many",
        "/v1/records?contrat=a/1",
        "/v1/records?contract=a",
        "/v1/records?type=contract.isued",
        "/v1/records?family=all",
        "/v1/records?from=yesterday",
        "/v1/records?document=abc",
        "/v1/records?match=abc",
        "/v1/duplicates?match=abc",
        "/v1/duplicates?after=-1",
        "/v1/duplicates?limit=0",
        "/v1/consistency",
        "/v1/consistency?from=1&to=99",
        "/v1/consistency?from=-1",
        "/v1/checkpoints?after=-1",
        "/v1/events?after=now",
    ] {
        println!("{bad}");
        api.get(bad).await.assert_problem(400, "bad_query");
    }
    let id = "0".repeat(64);
    api.get(&format!("/v1/records/{id}")).await.assert_problem(404, "not_found");
    api.get(&format!("/v1/records/{id}/receipt")).await.assert_problem(404, "not_found");
    api.get("/v1/blocks/1").await.assert_problem(404, "not_found");
    api.get("/v1/blocks/0").await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn the_field_of_a_bad_parameter_is_named() {
    let api = Api::new(Mode::Commit);
    let problem = api.get("/v1/records?claim=x").await.assert_problem(400, "bad_query");
    assert_eq!(problem["field"], "claim");
}

#[tokio::test]
async fn an_address_that_is_too_long_is_refused() {
    let api = Api::new(Mode::Commit);
    let long = format!("/v1/records?contract={}", "a".repeat(5000));
    api.get(&long).await.assert_problem(414, "uri_too_long");
}

#[tokio::test]
async fn headers_that_are_too_long_together_are_refused() {
    let api = Api::new(Mode::Commit);
    let mut request = Request::get("/v1/status");
    for number in 0..50 {
        request = request.header(format!("x-{number}"), "a".repeat(6000));
    }
    let answer = api.ask(request.body(Body::empty()).unwrap()).await;
    answer.assert_problem(431, "head_too_long");
}

#[tokio::test]
async fn a_configuration_that_answers_nothing_is_refused() {
    let node = crate::harness::FakeNode::new(tempfile::tempdir().unwrap().path(), Mode::Commit);
    let limits = Limits { requests_max: 0, ..Limits::default() };
    let config = ApiConfig { limits, ..ApiConfig::default() };
    let store = std::sync::Arc::clone(&node.store);
    let error = quittance_api::router(store, node, config).unwrap_err();
    assert_eq!(error.name, "requests_max");
}

#[tokio::test]
async fn beyond_the_bound_of_requests_the_node_says_so_but_still_tells_its_health() {
    let limits = Limits { requests_max: 1, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let never = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let mut held = Box::pin(api.post("/v1/records", "application/jose", never));
    assert!(futures::poll!(&mut held).is_pending());
    let answer = api.get("/v1/status").await;
    answer.assert_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
    assert_eq!(api.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408_and_a_wait_beyond_all_time_503() {
    let limits = Limits { body_time_s: 1, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let never = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    api.post("/v1/records", "application/jose", never).await.assert_problem(408, "body_timeout");
    let limits = Limits { request_time_s: 1, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let never = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    api.post("/v1/records", "application/jose", never).await.assert_problem(503, "timeout");
}

#[tokio::test]
async fn readiness_and_its_reason() {
    let api = Api::new(Mode::Commit);
    assert_eq!(api.get("/readyz").await.status, 200);
    *api.node.not_ready.lock().unwrap() = Some("the disk is full".to_owned());
    let problem = api.get("/readyz").await.assert_problem(503, "not_ready");
    assert_eq!(problem["detail"], "the disk is full");
    assert_eq!(api.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn a_browser_gets_a_page_that_says_what_is_wrong() {
    let api = Api::new(Mode::Commit);
    let request = Request::get("/nothing<script>")
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .body(Body::empty());
    // `<` cannot stand in an address; browsers encode it.
    assert!(request.is_err());
    let request = Request::get("/nothing")
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .body(Body::empty());
    let answer = api.ask(request.unwrap()).await;
    assert_eq!(answer.status, 404);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.header("content-security-policy").contains("default-src 'none'"));
}
