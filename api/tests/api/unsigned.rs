use axum::{
    body::Body,
    http::{Request, Version, header},
};
use quittance_api::ApiConfig;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Mode, quote};

fn fields() -> Value {
    json!({
        "type": "contract.quoted", "salt": "AAAAAAAAAAAAAAAAAAAAAA",
        "occurred_at": "2026-01-01T00:00:00Z", "data": {"quote": "Q-1"},
    })
}

fn request(headers: &[(header::HeaderName, &str)]) -> Request<Body> {
    let mut request =
        Request::post("/v1/records?signer=broker").header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(Body::from(fields().to_string())).unwrap()
}

async fn json_body(api: &Api, path: &str, body: &str) -> Answer {
    api.post(path, "application/json", body.to_owned()).await
}

#[tokio::test]
async fn programs_on_this_machine_have_records_signed_and_a_retry_is_the_same_record() {
    let api = Api::new(Mode::Commit);
    let first = api.ask(request(&[])).await.json();
    let wrapped = json!({"signer": "broker", "record": fields()}).to_string();
    let second = json_body(&api, "/v1/records", &wrapped).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.json()["id"], first["id"]);
    let read = api.get(&format!("/v1/records/{}", first["id"].as_str().unwrap())).await.json();
    assert_eq!(read["signer"], "broker");
}

#[tokio::test]
async fn others_than_this_machine_are_refused() {
    let api = Api::new(Mode::Commit);
    for peer in ["192.0.2.7:1234", "[2001:db8::1]:1234", "[::ffff:192.0.2.7]:1234"] {
        api.ask_from(peer, request(&[])).await.assert_problem(403, "unsigned_not_allowed");
    }
    for peer in ["[::1]:1234", "[::ffff:127.0.0.1]:1234", "127.9.9.9:1"] {
        assert!(api.ask_from(peer, request(&[])).await.status.is_success(), "{peer}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing_signed() {
    let api = Api::new(Mode::Commit);
    let site = header::HeaderName::from_static("sec-fetch-site");
    for bad in [
        vec![(header::HOST, "ledger.example:8080")],
        vec![(header::ORIGIN, "http://evil.example")],
        vec![(header::ORIGIN, "null")],
        vec![(header::ORIGIN, "http://127.0.0.1:9999")],
        vec![(header::ORIGIN, "http://127.0.0.1:8080"), (header::ORIGIN, "http://evil.example")],
        vec![(site.clone(), "cross-site")],
        vec![(site.clone(), "same-site")],
    ] {
        api.ask(request(&bad)).await.assert_problem(403, "unsigned_not_allowed");
    }
    for good in [
        vec![(header::ORIGIN, "http://127.0.0.1:8080"), (site.clone(), "same-origin")],
        vec![(header::HOST, "localhost:8080"), (site, "none")],
    ] {
        assert!(api.ask(request(&good)).await.status.is_success(), "{good:?}");
    }
}

#[tokio::test]
async fn behind_a_proxy_or_when_switched_off_nothing_unsigned_is_taken() {
    for config in [
        ApiConfig { behind_proxy: true, ..ApiConfig::default() },
        ApiConfig { unsigned_allowed: false, ..ApiConfig::default() },
    ] {
        let api = Api::with(Mode::Commit, config);
        api.ask(request(&[])).await.assert_problem(403, "unsigned_not_allowed");
        assert_eq!(api.node.store.tip().height, 0);
    }
}

#[tokio::test]
async fn a_proxy_that_the_node_was_not_told_of_is_noticed() {
    let api = Api::new(Mode::Commit);
    for name in [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-client-ip",
        "cf-connecting-ip",
        "cf-ray",
        "true-client-ip",
        "x-forwarded",
        "x-original-host",
        "x-original-forwarded-for",
        "x-cluster-client-ip",
        "fly-client-ip",
        "fastly-client-ip",
        "x-envoy-external-address",
        "x-azure-clientip",
    ] {
        let name = header::HeaderName::from_static(name);
        let answer = api.ask(request(&[(name, "192.0.2.1")])).await;
        answer.assert_problem(403, "unsigned_not_allowed");
    }
}

#[tokio::test]
async fn a_proxy_that_adds_no_header_is_noticed_by_its_old_http() {
    let api = Api::new(Mode::Commit);
    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    let answer = api.ask(old).await;
    answer.assert_problem(403, "unsigned_not_allowed");
    let batch = format!("{}\n", json!({"signer": "broker", "record": fields()}));
    let old = Request::post("/v1/records/batch")
        .version(Version::HTTP_10)
        .header(header::CONTENT_TYPE, "application/x-ndjson");
    let answer = api.ask(old.body(Body::from(batch)).unwrap()).await;
    assert!(answer.text().contains("unsigned_not_allowed"), "{}", answer.text());
    assert_eq!(api.node.store.tip().height, 0);
    let mut signed = Request::post("/v1/records").version(Version::HTTP_10);
    signed = signed.header(header::CONTENT_TYPE, "application/jose");
    let jws = Body::from(quote(1).jws().to_vec());
    assert!(api.ask(signed.body(jws).unwrap()).await.status.is_success());
}

#[tokio::test]
async fn what_json_readers_disagree_about_is_refused() {
    let api = Api::new(Mode::Commit);
    let path = "/v1/records?signer=broker";
    let with = |data: &str| {
        format!(
            r#"{{"type":"contract.quoted","occurred_at":"2026-01-01T00:00:00Z","data":{data}}}"#
        )
    };
    for (body, code) in [
        (with(r#"{"quote":"a","quote":"b"}"#), "malformed"),
        (with(r#"{"quote":"a","premium":1.0,"currency":"EUR"}"#), "malformed"),
        (with(r#"{"quote":"a","premium":1e2,"currency":"EUR"}"#), "malformed"),
        (with(r#"{"quote":"a","quota":1}"#), "unknown_field"),
        (with(r#"{"quote":null}"#), "malformed"),
        ("[]".to_owned(), "malformed"),
        ("{".to_owned(), "malformed"),
        (String::new(), "malformed"),
        (r#"{"signer":"insurer","record":{}}"#.to_owned(), "malformed"),
        (r#"{"signer":"broker","expect":"accepted","record":{}}"#.to_owned(), "unknown_field"),
    ] {
        json_body(&api, path, &body).await.assert_problem(400, code);
    }
    let answer = api.post(path, "application/json", b"{\"type\":\"\xff\"}".to_vec()).await;
    let problem = answer.assert_problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("UTF-8"));
    let negative = with(r#"{"quote":"a","premium":-5,"currency":"EUR"}"#);
    json_body(&api, path, &negative).await.assert_problem(422, "amount_negative");
}

#[tokio::test]
async fn the_signer_must_be_named_where_there_are_several_and_held_where_it_is_named() {
    let api = Api::new(Mode::Commit);
    let body = fields().to_string();
    let problem = json_body(&api, "/v1/records", &body).await.assert_problem(400, "malformed");
    assert_eq!(problem["field"], "signer");
    json_body(&api, "/v1/records?signer=provider", &body).await.assert_problem(403, "key_not_held");
    json_body(&api, "/v1/records?signer=NOBODY", &body).await.assert_problem(400, "bad_query");
}
