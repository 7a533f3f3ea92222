mod erasures;

use std::{
    fs,
    ops::Deref,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use quittance_api::{
    ApiConfig, Limits, Upkeep,
    access::{Access, Token, TokenList, TokenRecord, Tokens},
};
use quittance_ledger::{
    insurance::Data,
    record::{Envelope, Record},
    vault::{Disclosure, Held, Presentation, conceal, random_salt},
};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Mode, quote, sign_as};

const ADDRESS: &str = "Via Garibaldi 12, 20121 Milano";

/// An API that knows these tokens: 0 for what is private of the broker's records,
/// 1 for all but that, 2 to append as the broker and to read what is private of it,
/// 3 and 4 to append as the broker and for nothing else.
struct Private {
    api: Api,
    _tokens: tempfile::TempDir,
}

impl Deref for Private {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

fn token(number: u8) -> Token {
    Token::from_secret(&[number; 32])
}

fn bearer(number: u8) -> String {
    format!("Bearer {}", token(number).expose())
}

/// A ledger whose node tells the time as the API does, which dates erasures.
fn api_of(mode: Mode) -> Private {
    api_with(mode, true)
}

fn api_with(mode: Mode, open_reading: bool) -> Private {
    let tokens = tempfile::tempdir().unwrap();
    let path = tokens.path().join("tokens.json");
    let mut list = TokenList::default();
    let scopes = [
        vec!["private:broker"],
        vec!["admin", "read", "append:broker", "append:insurer", "private:insurer"],
        vec!["append:broker", "private:broker"],
        vec!["append:broker"],
        vec!["append:broker"],
    ];
    for (number, scopes) in (0..).zip(scopes) {
        let scopes = scopes.into_iter().map(|scope| scope.parse().unwrap()).collect();
        let made = Timestamp::now();
        list.add(TokenRecord::new(&token(number), String::new(), scopes, made, None).unwrap())
            .unwrap();
    }
    fs::write(&path, list.to_json().unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let access = Access::new(open_reading, Tokens::watch(path).unwrap());
    let api = Api::with_access(mode, ApiConfig::default(), access);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    api.node.time_ms.store(now.as_millis().try_into().unwrap(), Ordering::SeqCst);
    Private { api, _tokens: tokens }
}

fn fields() -> Value {
    json!({
        "type": "party.updated", "salt": "AAAAAAAAAAAAAAAAAAAAAA",
        "occurred_at": "2026-01-01T00:00:00Z", "name": "Anna Rossi",
        "data": {"what": "address", "effective": "2026-02-01", "address": ADDRESS},
    })
}

/// A record with two private fields, and these.
fn private() -> (Record, Vec<Disclosure>) {
    let Value::Object(payload) = fields() else { panic!("an object") };
    let concealed = conceal(payload, &[], |_, _, _| random_salt()).unwrap();
    (sign_as("broker", concealed.payload.into()).unwrap(), concealed.disclosures)
}

fn presentation(record: &Record, disclosures: &[Disclosure]) -> String {
    let record = Envelope::parse(record.jws().to_vec()).unwrap();
    Presentation::new(record, disclosures.to_vec()).unwrap().to_string()
}

/// A request of a program on this machine; where it takes a token, with one.
fn request(method: Method, id: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder();
    if method != Method::PUT {
        request = request.header(header::AUTHORIZATION, bearer(0));
    }
    request
        .method(method)
        .uri(format!("/v1/vault/{id}"))
        .header(header::CONTENT_TYPE, content_type)
        .header("prefer", "wait=5")
        .body(body.into())
        .unwrap()
}

async fn get(api: &Api, id: &str) -> Answer {
    api.ask(request(Method::GET, id, "text/plain", Body::empty())).await
}

async fn put(api: &Api, id: &str, text: &str) -> Answer {
    api.ask(request(Method::PUT, id, "application/sd-jwt", text.to_owned())).await
}

async fn erase(api: &Api, id: &str) -> Answer {
    let body = json!({"basis": "gdpr_17_1_b"}).to_string();
    api.ask(request(Method::DELETE, id, "application/json", body)).await
}

async fn append_unsigned(api: &Api, record: &Value) -> Answer {
    let body = json!({"signer": "broker", "record": record}).to_string();
    api.post("/v1/records", "application/json", body).await
}

#[tokio::test]
async fn what_is_put_is_given_as_fields_and_as_a_presentation() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    let text = presentation(&record, &disclosures);
    put(&api, &id, &text).await.assert_problem(404, "not_found");
    assert_eq!(api.append(&record).await.status, 201);
    get(&api, &id).await.assert_problem(404, "not_found");
    assert_eq!(put(&api, &id, &format!("{text}\n")).await.status, 201);
    assert_eq!(put(&api, &id, &text).await.status, 200);
    let list = json!(disclosures.iter().map(Disclosure::as_str).collect::<Vec<_>>());
    let again = api.ask(request(Method::PUT, &id, "application/json", list.to_string())).await;
    assert_eq!((again.status.as_u16(), again.json()["disclosures"].clone()), (200, json!(2)));

    let given = get(&api, &id).await;
    assert_eq!(given.header("cache-control"), "no-store");
    let given = given.json();
    assert_eq!((&given["id"], &given["disclosures"]), (&json!(id), &list));
    assert_eq!(given["presentation"], text);
    let fields = json!([
        {"place": "payload", "name": "name", "value": "Anna Rossi"},
        {"place": "data", "name": "address", "value": ADDRESS},
    ]);
    assert_eq!(given["fields"], fields);
    let mut accept = request(Method::GET, &id, "text/plain", Body::empty());
    accept.headers_mut().insert("accept", "application/sd-jwt".parse().unwrap());
    let given = api.ask(accept).await;
    assert_eq!((given.header("content-type"), given.text()), ("application/sd-jwt", &*text));
    // The ledger itself shows none of it.
    let shown = api.get(&format!("/v1/records/{id}")).await;
    assert!(!shown.text().contains("Rossi") && !shown.text().contains("Garibaldi"));
}

#[tokio::test]
async fn what_does_not_belong_to_the_record_is_refused() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let (other, of_other) = private();
    api.append(&record).await;
    api.append(&other).await;
    let id = record.id().to_string();
    put(&api, &id, &presentation(&other, &of_other)).await.assert_problem(400, "malformed");
    put(&api, &id, "nonsense").await.assert_problem(400, "malformed");
    for body in ["[]", "{}", "[1]", "[\"nonsense\"]"] {
        let answer = api.ask(request(Method::PUT, &id, "application/json", body)).await;
        answer.assert_problem(400, "malformed");
    }
    let foreign = json!([of_other[0].as_str()]).to_string();
    let answer = api.ask(request(Method::PUT, &id, "application/json", foreign)).await;
    answer.assert_problem(400, "malformed");
    let answer = api.ask(request(Method::PUT, &id, "text/plain", "x")).await;
    answer.assert_problem(415, "unsupported_media_type");
    let large = "x".repeat(200_000);
    put(&api, &id, &large).await.assert_problem(413, "too_large");
    put(&api, "x", "x").await.assert_problem(400, "bad_query");
    assert_eq!(api.node.vault.get(&record.id()).unwrap(), Held::Nothing);
    assert_eq!(put(&api, &id, &presentation(&record, &disclosures)).await.status, 201);
}

#[tokio::test]
async fn only_a_token_for_the_signers_private_data_gets_at_it() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    api.append(&record).await;
    let text = presentation(&record, &disclosures);
    assert_eq!(put(&api, &id, &text).await.status, 201);
    let basis = r#"{"basis":"gdpr_17_1_b"}"#;
    let reading = || {
        [
            request(Method::GET, &id, "text/plain", Body::empty()),
            request(Method::DELETE, &id, "application/json", basis),
        ]
    };
    let putting = || request(Method::PUT, &id, "application/sd-jwt", text.clone());
    for mut request in reading() {
        request.headers_mut().remove(header::AUTHORIZATION);
        // On this machine and elsewhere; and whether the record is there or not.
        api.ask(request).await.assert_problem(401, "token_required");
    }
    for mut request in reading().into_iter().chain([putting()]) {
        request.headers_mut().insert(header::AUTHORIZATION, bearer(1).parse().unwrap());
        api.ask(request).await.assert_problem(403, "insufficient_scope");
    }
    for mut request in reading().into_iter().chain([putting()]) {
        request.headers_mut().insert(header::AUTHORIZATION, bearer(7).parse().unwrap());
        api.ask(request).await.assert_problem(401, "invalid_token");
    }
    // Putting takes a token from elsewhere, as having records signed does.
    api.ask_from("192.0.2.7:1234", putting()).await.assert_problem(403, "unsigned_not_allowed");
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.7"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let mut request = putting();
        request.headers_mut().insert(name, value.parse().unwrap());
        api.ask(request).await.assert_problem(403, "unsigned_not_allowed");
    }
    let mut request = putting();
    request.headers_mut().insert(header::AUTHORIZATION, bearer(0).parse().unwrap());
    assert_eq!(api.ask_from("192.0.2.7:1234", request).await.status, 200);
    assert!(matches!(api.node.vault.get(&record.id()).unwrap(), Held::Disclosures(_)));
}

#[tokio::test]
async fn an_erasure_that_the_node_cannot_record_now_is_recorded_later() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    api.append(&record).await;
    put(&api, &id, &presentation(&record, &disclosures)).await;
    *api.node.mode.lock().unwrap() = Mode::Busy;
    let erased = erase(&api, &id).await;
    assert_eq!(erased.status, 202, "{}", erased.text());
    let by = erased.json()["erased_by"].as_str().unwrap().to_owned();
    get(&api, &id).await.assert_problem(410, "erased");
    api.get(&format!("/v1/records/{by}")).await.assert_problem(404, "not_found");
    upkeep(&api).await;
    assert_eq!(api.node.vault.erasures().len(), 1, "it is still busy");
    *api.node.mode.lock().unwrap() = Mode::Commit;
    upkeep(&api).await;
    assert_eq!(api.get(&format!("/v1/records/{by}")).await.status, 200);
    upkeep(&api).await;
    assert!(api.node.vault.erasures().is_empty());
    assert_eq!(erase(&api, &id).await.json()["status"], "final");
}

/// One round of it, of a node that doubts nothing.
async fn upkeep(api: &Api) {
    upkeep_of(api).with_doubt(Duration::ZERO).round().await;
}

fn upkeep_of(api: &Api) -> Upkeep {
    Upkeep::new(api.node.store.clone(), api.node.clone()).unwrap()
}

#[tokio::test]
async fn the_node_keeps_what_is_private_of_what_it_signs() {
    let api = api_of(Mode::Commit);
    let first = append_unsigned(&api, &fields()).await;
    assert!(first.status.is_success(), "{}", first.text());
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let shown = api.get(&format!("/v1/records/{id}")).await;
    assert!(!shown.text().contains("Rossi") && !shown.text().contains("Garibaldi"));
    let given = get(&api, &id).await.json();
    let names: Vec<_> =
        given["fields"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
    assert_eq!(names, ["name", "address"]);
    // The same again is the same record; another address makes another.
    let again = append_unsigned(&api, &fields()).await;
    assert_eq!((again.status.as_u16(), again.json()["id"].clone()), (200, json!(id)));
    let mut other = fields();
    other["data"]["address"] = json!("elsewhere");
    assert_ne!(append_unsigned(&api, &other).await.json()["id"], id);
    upkeep(&api).await;
    assert!(api.node.vault.staged().is_empty());
    assert_eq!(api.node.vault.ids().len(), 2);
}

#[tokio::test]
async fn damage_that_signing_again_or_the_upkeep_meets_is_told_to_the_node() {
    let told = |api: &Api, of: &str| api.node.damage.lock().unwrap().join(" ").contains(of);
    let api = api_of(Mode::Commit);
    let id = append_as(&api, "broker", &fields(), None).await;
    assert_eq!(erase(&api, &id).await.status, 200);
    crate::harness::damage(&api.folder().join("blocks"));
    assert_eq!(append_unsigned(&api, &fields()).await.status, 500);
    assert!(told(&api, "blocks"));

    let api = api_of(Mode::Commit);
    append_as(&api, "broker", &fields(), None).await;
    std::fs::write(api.folder().join("nodes.flat"), "").unwrap();
    upkeep(&api).await;
    assert!(told(&api, "nodes.flat"));
}

#[tokio::test]
async fn who_may_not_read_the_ledger_is_not_told_what_was_erased_unless_it_sent_it() {
    let api = api_with(Mode::Commit, false);
    let id = append_as(&api, "broker", &fields(), Some(3)).await;
    assert_eq!(erase(&api, &id).await.status, 200);
    let body = json!({"signer": "broker", "record": fields()}).to_string();
    // Its sender, who reads the ledger, and who reads what is private.
    let sent_again = |token| {
        let body = body.clone();
        post_as(&api, "/v1/records", "application/json", body, Some(token))
    };
    for token in [1, 2, 3] {
        sent_again(token).await.assert_problem(410, "erased");
    }
    let stranger = sent_again(4).await;
    assert_eq!(stranger.status, 201, "{}", stranger.text());
    assert_ne!(stranger.json()["id"], json!(id), "as before the erasure");
}

async fn post_as(
    api: &Api,
    path: &str,
    content_type: &str,
    body: String,
    token: Option<u8>,
) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, content_type);
    if let Some(number) = token {
        request = request.header(header::AUTHORIZATION, bearer(number));
    }
    api.ask(request.header("prefer", "wait=5").body(Body::from(body)).unwrap()).await
}

/// Sends a record to be signed; with a token, where one is named.
async fn append_as(api: &Api, signer: &str, record: &Value, token: Option<u8>) -> String {
    let body = json!({"signer": signer, "record": record}).to_string();
    let answer = post_as(api, "/v1/records", "application/json", body, token).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The digests of the private fields of a record, as everybody reads them.
async fn digests(api: &Api, id: &str) -> Vec<String> {
    let record = api.get(&format!("/v1/records/{id}")).await.json()["record"].clone();
    let digests: Vec<_> = [&record["_sd"], &record["data"]["_sd"]]
        .into_iter()
        .flat_map(|list| list.as_array().unwrap())
        .map(|digest| digest.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(digests.len(), 2);
    digests
}

#[tokio::test]
async fn who_may_only_append_cannot_test_guesses_of_what_is_private_of_others_records() {
    let api = api_of(Mode::Commit);
    let secret = append_as(&api, "broker", &fields(), None).await;
    // The guess is right, and nothing tells so.
    let guess = append_as(&api, "broker", &fields(), Some(1)).await;
    assert_ne!(guess, secret);
    let of_secret = digests(&api, &secret).await;
    assert!(digests(&api, &guess).await.iter().all(|digest| !of_secret.contains(digest)));
    // What it sent itself it may send again.
    assert_eq!(append_as(&api, "broker", &fields(), Some(1)).await, guess);
    assert_eq!(append_as(&api, "broker", &fields(), Some(1)).await, guess);
    // Whoever reads the broker's private data learns nothing by it.
    let known = append_as(&api, "broker", &fields(), Some(2)).await;
    assert!([secret, guess].contains(&known), "{known}");
}

#[tokio::test]
async fn a_salt_stands_in_no_second_record() {
    let api = api_of(Mode::Commit);
    let first = append_as(&api, "broker", &fields(), None).await;
    let of_first = digests(&api, &first).await;
    // Another signer, who may read what is private of its own only; another value;
    // and another time.
    let mut elsewhere = fields();
    elsewhere["data"]["address"] = json!("elsewhere");
    let mut later = fields();
    later["occurred_at"] = json!("2026-01-01T00:00:01Z");
    for (signer, record, token) in [
        ("insurer", fields(), None),
        ("insurer", fields(), Some(1)),
        ("broker", elsewhere, Some(2)),
        ("broker", later, None),
    ] {
        let other = append_as(&api, signer, &record, token).await;
        assert_ne!(other, first);
        let digests = digests(&api, &other).await;
        assert!(digests.iter().all(|digest| !of_first.contains(digest)), "{signer} {record}");
    }
    // None of them keeps the first from being found again.
    for token in [None, Some(2)] {
        assert_eq!(append_as(&api, "broker", &fields(), token).await, first);
    }
}

#[tokio::test]
async fn more_fields_are_private_where_the_sender_says_so() {
    let api = api_of(Mode::Commit);
    let record = json!({
        "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z",
        "data": {"quote": "Q-1", "premium": 4200, "currency": "EUR"},
    });
    let line = json!({"signer": "broker", "record": record, "private": ["data.premium"]});
    let lines = format!("{line}\n{}\n", json!({"signer": "broker", "record": fields()}));
    let answers = api.post("/v1/records/batch", "application/x-ndjson", lines).await.lines();
    for (answer, count) in answers.iter().zip([1, 2]) {
        let id = answer["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let given = get(&api, id).await.json();
        assert_eq!(given["fields"].as_array().unwrap().len(), count);
    }
    for (private, field) in [
        (json!("data.premium"), "private"),
        (json!(["data.x"]), "private"),
        (json!(["type"]), "private"),
    ] {
        let body = json!({"signer": "broker", "record": record, "private": private}).to_string();
        let problem = api.post("/v1/records", "application/json", body).await;
        assert_eq!(problem.assert_problem(400, "malformed")["field"], field);
    }
}

#[tokio::test]
async fn a_record_signed_by_hand_opens_to_no_field_that_the_ledger_goes_by() {
    let api = api_of(Mode::Commit);
    let salt = random_salt().unwrap();
    let hidden = Disclosure::new(&salt, "expires_at", &json!("2026-01-02T00:00:00Z")).unwrap();
    let payload = json!({
        "type": "party.updated", "occurred_at": "2026-01-01T00:00:00Z",
        "data": {"what": "address", "effective": "2026-02-01"},
        "_sd": [URL_SAFE_NO_PAD.encode(hidden.digest().as_bytes())],
    });
    let record = sign_as("broker", payload).unwrap();
    assert_eq!(api.append(&record).await.status, 201);
    let id = record.id().to_string();
    let text = format!("{}~{}~", String::from_utf8_lossy(record.jws()), hidden.as_str());
    let problem = put(&api, &id, &text).await.assert_problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("expires_at"), "{problem}");
    let list = json!([hidden.as_str()]).to_string();
    let listed = request(Method::PUT, &id, "application/json", list);
    api.ask(listed).await.assert_problem(400, "malformed");
    get(&api, &id).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn nobody_has_the_node_hide_what_a_rule_would_refuse() {
    let api = api_of(Mode::Commit);
    let record = json!({
        "type": "contract.issued", "occurred_at": "2026-01-01T00:00:00Z",
        "contract": "insurer/C-1",
        "data": {
            "version": 1, "line_of_business": "legal", "signature_required": false,
            "period": {"from": "2026-01-01", "to": "2026-12-31"},
            "deductible_model": "bonus", "annual_ceiling": 100, "currency": "EUR",
        },
    });
    let private = ["data.deductible_model", "data.annual_ceiling"];
    let body = json!({"signer": "insurer", "record": record, "private": private}).to_string();
    let problem = api.post("/v1/records", "application/json", body).await;
    let problem = problem.assert_problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("data.deductible_model"), "{problem}");
    assert!(api.node.vault.ids().is_empty());
}

#[tokio::test]
async fn what_is_private_of_a_record_that_is_not_taken_is_destroyed() {
    let api = api_of(Mode::Busy);
    append_unsigned(&api, &fields()).await.assert_problem(429, "busy");
    assert_eq!(api.node.vault.ids().len(), 1);
    upkeep(&api).await;
    assert!(api.node.vault.ids().is_empty());
    // What waits for its block is left alone.
    *api.node.mode.lock().unwrap() = Mode::Hold;
    let (record, disclosures) = private();
    assert_eq!(append_unsigned(&api, &fields()).await.status, 202);
    let body = Body::from(record.jws().to_vec());
    let pending = Request::post("/v1/records").header(header::CONTENT_TYPE, "application/jose");
    assert_eq!(api.ask(pending.body(body).unwrap()).await.status, 202);
    let text = presentation(&record, &disclosures);
    assert_eq!(put(&api, &record.id().to_string(), &text).await.status, 201);
    upkeep(&api).await;
    assert_eq!((api.node.vault.ids().len(), api.node.vault.staged().len()), (2, 2));
    api.node.commit();
    upkeep(&api).await;
    assert_eq!((api.node.vault.ids().len(), api.node.vault.staged().len()), (2, 0));
}

#[tokio::test]
async fn what_is_private_of_a_record_that_another_node_may_still_bring_is_not_destroyed() {
    let api = api_of(Mode::Hold);
    let mut upkeep = upkeep_of(&api);
    assert_eq!(append_unsigned(&api, &fields()).await.status, 202);
    let id = api.node.vault.staged()[0];
    api.node.refuse();
    upkeep.round().await;
    assert_eq!(api.node.vault.staged(), [id], "it was accepted, and others may have it");
    // After a restart it is not known any more why it is here.
    api.node.refused.lock().unwrap().clear();
    let mut restarted = upkeep_of(&api);
    restarted.round().await;
    assert_eq!(api.node.vault.staged(), [id]);
    restarted.with_doubt(Duration::ZERO).round().await;
    assert!(api.node.vault.ids().is_empty());
}

#[tokio::test]
async fn what_is_private_of_a_record_that_only_another_node_keeps_is_not_taken_yet() {
    let api = api_of(Mode::Hold);
    let (record, disclosures) = private();
    api.append(&record).await;
    let (id, text) = (record.id().to_string(), presentation(&record, &disclosures));
    api.node.foreign.store(true, Ordering::SeqCst);
    let problem = put(&api, &id, &text).await.assert_problem(503, "not_ready");
    assert!(problem["detail"].as_str().unwrap().contains("another node"), "{problem}");
    assert!(api.node.vault.ids().is_empty());
    api.node.commit();
    assert_eq!(put(&api, &id, &text).await.status, 201);
}

#[tokio::test]
async fn who_may_not_read_the_ledger_is_not_told_which_records_there_are() {
    let api = api_with(Mode::Commit, false);
    let (record, _) = private();
    api.append(&record).await;
    let absent = quote(7).id().to_string();
    let mut told = Vec::new();
    for id in [record.id().to_string(), absent] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let mut asking = request(method, &id, "application/json", "{}");
            asking.headers_mut().insert(header::AUTHORIZATION, bearer(3).parse().unwrap());
            let problem = api.ask(asking).await.assert_problem(403, "insufficient_scope");
            told.push(problem["detail"].clone());
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!told[0].to_string().contains("broker"), "{told:?}");
}

#[tokio::test]
async fn a_batch_with_more_private_lines_than_it_may_have_stores_nothing() {
    let limits = Limits { batch_private_lines_max: 2, ..Limits::default() };
    let api = Api::with(Mode::Commit, ApiConfig { limits, ..ApiConfig::default() });
    let line = |number: u8| {
        let mut record = fields();
        record["salt"] = json!(format!("{}AA", (b'A' + number) as char).repeat(7) + "A");
        json!({"signer": "broker", "record": record}).to_string()
    };
    let batch = |lines: Vec<String>| {
        api.post("/v1/records/batch", "application/x-ndjson", lines.join("\n"))
    };
    let plain = json!({"signer": "broker", "record": {
        "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z", "data": {"quote": "Q"},
    }});
    let too_many = batch(vec![plain.to_string(), line(0), line(1), line(2)]).await;
    let problem = too_many.assert_problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("private"), "{problem}");
    assert_eq!(api.node.store.tip().frontier.size(), 0);
    let answers = batch(vec![line(0), plain.to_string(), line(1)]).await.lines();
    assert!(answers.iter().all(|answer| answer["status"] == 201), "{answers:?}");
}

#[tokio::test]
async fn a_record_without_private_fields_has_nothing_to_put() {
    let api = api_of(Mode::Commit);
    let record = quote(0);
    assert_eq!(api.append(&record).await.status, 201);
    let id = record.id().to_string();
    let text = format!("{}~", String::from_utf8_lossy(record.jws()));
    put(&api, &id, &text).await.assert_problem(400, "malformed");
    get(&api, &id).await.assert_problem(404, "not_found");
}
