use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::StreamExt as _;
use jiff::Timestamp;
use quittance_api::{
    ApiConfig,
    access::{Access, Token, TokenList, TokenRecord, Tokens},
};
use serde_json::json;
use tower::ServiceExt as _;

use crate::harness::{Answer, Api, Mode, quote};

/// An API whose readers need a token, and its list of tokens.
struct Closed {
    api: Api,
    list: TokenList,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Closed {
    /// With these tokens: the first scopes are those of token 0, and so on.
    fn with(config: ApiConfig, open_reading: bool, scopes: &[&[&str]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let mut list = TokenList::default();
        for (number, scopes) in (0..).zip(scopes) {
            let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
            let now = Timestamp::now();
            let record = TokenRecord::new(&token(number), String::new(), scopes, now, None);
            list.add(record.unwrap()).unwrap();
        }
        write(&path, &list);
        let tokens = Tokens::watch(path.clone()).unwrap();
        let access = Access::new(open_reading, tokens);
        let api = Api::with_access(Mode::Commit, config, access);
        Self { api, list, path, _folder: folder }
    }

    fn new(scopes: &[&[&str]]) -> Self {
        let config = ApiConfig { behind_proxy: true, ..ApiConfig::default() };
        Self::with(config, false, scopes)
    }

    async fn get(&self, path: &str, authorization: Option<&str>) -> Answer {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        self.api.ask_from("192.0.2.7:1234", request.body(Body::empty()).unwrap()).await
    }

    /// Asks for a signature as from another machine.
    async fn unsigned(&self, signer: Option<&str>, authorization: Option<&str>) -> Answer {
        let query = signer.map(|signer| format!("?signer={signer}")).unwrap_or_default();
        let mut request = Request::post(format!("/v1/records{query}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::HOST, "ledger.example");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Body::from(fields().to_string())).unwrap();
        self.api.ask_from("192.0.2.7:1234", request).await
    }
}

fn write(path: &std::path::Path, list: &TokenList) {
    let new = path.with_extension("new");
    fs::write(&new, list.to_json().unwrap()).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

fn fields() -> serde_json::Value {
    json!({
        "type": "contract.quoted", "salt": "AAAAAAAAAAAAAAAAAAAAAA",
        "occurred_at": "2026-01-01T00:00:00Z", "data": {"quote": "Q-1"},
    })
}

fn token(number: u8) -> Token {
    Token::from_secret(&[number; 32])
}

fn bearer(number: u8) -> String {
    format!("Bearer {}", token(number).expose())
}

fn basic(number: u8) -> String {
    format!("Basic {}", STANDARD.encode(format!("me:{}", token(number).expose())))
}

#[tokio::test]
async fn where_reading_is_closed_every_route_asks_for_what_its_document_says() {
    for open_reading in [false, true] {
        let closed = Closed::with(
            ApiConfig { behind_proxy: true, ..ApiConfig::default() },
            open_reading,
            &[&["read"]],
        );
        let document = closed.get("/openapi.json", None).await.json();
        let scheme = &document["components"]["securitySchemes"]["bearer"];
        assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()));
        let (mut open, mut guarded) = (Vec::new(), Vec::new());
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let target = path.replace("{path}", "0/000.p/1").replace("{height}", "1");
                let target = target.replace("{id}", &"0".repeat(64));
                let method: Method = method.to_uppercase().parse().unwrap();
                let send = |authorization: Option<String>| {
                    let mut request = Request::builder().method(&method).uri(&target);
                    if let Some(value) = authorization {
                        request = request.header(header::AUTHORIZATION, value);
                    }
                    let request = request.body(Body::empty()).unwrap();
                    closed.api.ask_from("192.0.2.7:1234", request)
                };
                if target == "/v1/events" {
                    // Its answer has no end.
                    continue;
                }
                let answer = send(None).await;
                if operation["security"] == json!([{"bearer": ["private:<member>"]}]) {
                    answer.assert_problem(401, "token_required");
                    continue;
                }
                // Whoever is not on this machine puts nothing private either.
                if path == "/v1/vault/{id}" {
                    continue;
                }
                if operation["security"] == json!([{"bearer": ["read"]}]) {
                    answer.assert_problem(401, "token_required");
                    let challenge = answer.header("www-authenticate");
                    assert_eq!(challenge, "Bearer realm=\"quittance\"", "{path}");
                    let status = send(Some(bearer(0))).await.status;
                    assert!(!matches!(status.as_u16(), 401 | 403), "{method} {path}: {status}");
                    guarded.push(path.clone());
                } else {
                    // Open, or judged by what is sent.
                    assert!(
                        !matches!(answer.status.as_u16(), 401 | 403),
                        "{method} {path}: {}",
                        answer.status
                    );
                    open.push(path.clone());
                }
            }
        }
        if open_reading {
            assert!(guarded.is_empty(), "{guarded:?}");
            continue;
        }
        let expected = [
            "/checkpoint",
            "/healthz",
            "/readyz",
            "/tile/{path}",
            "/v1/checkpoints",
            "/v1/consistency",
            "/v1/policy",
            "/v1/records",
            "/v1/records/batch",
        ];
        open.sort();
        assert_eq!(open, expected);
        assert!(guarded.contains(&"/v1/records".to_owned()) && guarded.len() >= 11, "{guarded:?}");
        // What is in no document.
        for path in ["/", "/records", "/search", "/blocks/1", "/verify"] {
            closed.get(path, None).await.assert_problem(401, "token_required");
        }
        closed.get("/v1/events", None).await.assert_problem(401, "token_required");
        for path in ["/docs/", "/docs/problems", "/style.css"] {
            assert_eq!(closed.get(path, None).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_scope_is_good_for_itself_and_admin_for_reading() {
    let closed = Closed::new(&[&["read"], &["append:broker"], &["private:broker"], &["admin"]]);
    for (number, good) in [(0, true), (1, false), (2, false), (3, true)] {
        let answer = closed.get("/v1/status", Some(&bearer(number))).await;
        if good {
            assert_eq!(answer.status, 200);
        } else {
            let problem = answer.assert_problem(403, "insufficient_scope");
            assert!(problem["detail"].as_str().unwrap().ends_with("the scope read"), "{problem}");
            assert!(answer.header("www-authenticate").contains(r#"error="insufficient_scope""#));
        }
    }
}

#[tokio::test]
async fn what_is_no_good_token_is_refused_and_never_repeated() {
    let mut closed = Closed::new(&[&["read"], &["read"]]);
    let good = token(0);
    let good = good.expose();
    for bad in [
        bearer(9),
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
        format!("Bearer {good}x"),
        format!("Token {good}"),
        good.to_owned(),
        format!("Basic {}", STANDARD.encode("me:password")),
    ] {
        let answer = closed.get("/v1/status", Some(&bad)).await;
        answer.assert_problem(401, "invalid_token");
        assert!(answer.header("www-authenticate").contains(r#"error="invalid_token""#), "{bad}");
        assert!(!answer.text().contains("qt_"), "{}", answer.text());
    }
    // In the address it is not looked for.
    for name in ["access_token", "token"] {
        let answer = closed.get(&format!("/v1/status?{name}={good}"), None).await;
        answer.assert_problem(401, "token_required");
        assert!(!answer.text().contains(good));
    }
    // Nor are two of them.
    let request = Request::get("/v1/status")
        .header(header::AUTHORIZATION, bearer(0))
        .header(header::AUTHORIZATION, bearer(0));
    let answer = closed.api.ask(request.body(Body::empty()).unwrap()).await;
    answer.assert_problem(401, "invalid_token");

    // One that was revoked says so, and the other goes on.
    closed.list.revoke(&token(0).hash().id(), Timestamp::now()).unwrap();
    write(&closed.path, &closed.list);
    loop {
        let answer = closed.get("/v1/status", Some(&bearer(0))).await;
        if answer.status != 200 {
            let problem = answer.assert_problem(401, "invalid_token");
            assert!(problem["detail"].as_str().unwrap().contains("was revoked"), "{problem}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(closed.get("/v1/status", Some(&bearer(1))).await.status, 200);
}

#[tokio::test]
async fn a_token_is_no_good_once_it_has_expired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let made: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut list = TokenList::default();
    for (number, expires) in [(0, "2026-01-02T00:00:00Z"), (1, "2999-01-01T00:00:00Z")] {
        let expires = Some(expires.parse().unwrap());
        let scopes = vec!["read".parse().unwrap()];
        list.add(TokenRecord::new(&token(number), String::new(), scopes, made, expires).unwrap())
            .unwrap();
    }
    write(&path, &list);
    let access = Access::new(false, Tokens::watch(path).unwrap());
    let api = Api::with_access(Mode::Commit, ApiConfig::default(), access);
    let get = |number| {
        let request = Request::get("/v1/status").header(header::AUTHORIZATION, bearer(number));
        api.ask(request.body(Body::empty()).unwrap())
    };
    let problem = get(0).await.assert_problem(401, "invalid_token");
    assert!(problem["detail"].as_str().unwrap().contains("has expired"), "{problem}");
    assert_eq!(get(1).await.status, 200);
}

#[tokio::test]
async fn a_browser_asks_for_the_token_and_it_is_good_for_reading_only() {
    let closed = Closed::new(&[&["read", "append:broker"]]);
    let request = Request::get("/").header(header::ACCEPT, "text/html,*/*;q=0.8");
    let answer = closed.api.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.text().contains("token_required"), "{}", answer.text());
    let challenges: Vec<_> = answer.headers.get_all(header::WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges.len(), 2);
    assert_eq!(challenges[0], "Bearer realm=\"quittance\"");
    assert_eq!(challenges[1], "Basic realm=\"quittance\", charset=\"UTF-8\"");
    // What it then sends.
    for path in ["/", "/records", "/v1/status"] {
        assert_eq!(closed.get(path, Some(&basic(0))).await.status, 200, "{path}");
    }
    // A page of another site could make it send as much.
    let answer = closed.unsigned(Some("broker"), Some(&basic(0))).await;
    answer.assert_problem(401, "invalid_token");
    assert_eq!(closed.api.node.store.tip().height, 0);
}

#[tokio::test]
async fn what_was_read_with_a_token_stays_out_of_shared_caches() {
    let caching = |answer: Answer| {
        assert_eq!(answer.status, 200);
        answer.header("cache-control").to_owned()
    };
    for (open_reading, expected) in [(false, "private"), (true, "public")] {
        let closed = Closed::with(ApiConfig::default(), open_reading, &[&["read"]]);
        closed.api.append(&quote(0)).await;
        let path = format!("/v1/records/{}/receipt", quote(0).id());
        let found = caching(closed.get(&path, Some(&bearer(0))).await);
        assert_eq!(found, format!("{expected}, max-age=31536000, immutable"));
        let tile = caching(closed.get("/tile/0/000.p/1", None).await);
        assert!(tile.starts_with("public"), "{tile}");
    }
}

#[tokio::test]
async fn with_a_token_json_is_signed_for_whom_it_names_from_anywhere_and_for_nobody_else() {
    let append: &[&str] = &["append:broker"];
    let closed = Closed::new(&[append, &["read", "admin", "private:broker"], &["append:provider"]]);
    closed.unsigned(Some("broker"), None).await.assert_problem(403, "unsigned_not_allowed");
    let problem = closed.unsigned(Some("insurer"), Some(&bearer(0))).await;
    let problem = problem.assert_problem(403, "insufficient_scope");
    assert!(problem["detail"].as_str().unwrap().contains("append:insurer"), "{problem}");
    let answer = closed.unsigned(Some("broker"), Some(&bearer(1))).await;
    answer.assert_problem(403, "insufficient_scope");
    closed.unsigned(Some("broker"), Some(&bearer(7))).await.assert_problem(401, "invalid_token");
    // The node holds no key of the member that the token names.
    closed.unsigned(Some("provider"), Some(&bearer(2))).await.assert_problem(403, "key_not_held");
    assert_eq!(closed.api.node.store.tip().height, 0);

    let answer = closed.unsigned(Some("broker"), Some(&bearer(0))).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    // The one member that a token names need not be named again.
    let again = closed.unsigned(None, Some(&bearer(0))).await;
    assert_eq!(again.json()["id"], answer.json()["id"]);
    assert_eq!(closed.api.node.store.tip().frontier.size(), 1);

    let batch = |authorization: String| {
        let body = format!(
            "{}\n{}\n",
            json!({"signer": "broker", "record": fields()}),
            json!({"signer": "insurer", "record": fields()}),
        );
        let request = Request::post("/v1/records/batch")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header(header::AUTHORIZATION, authorization);
        closed.api.ask_from("192.0.2.7:1234", request.body(Body::from(body)).unwrap())
    };
    let lines = batch(bearer(0)).await.lines();
    assert_eq!((&lines[0]["status"], &lines[1]["status"]), (&200.into(), &403.into()));
    assert_eq!(lines[1]["code"], "insufficient_scope");
    let lines = batch(bearer(7)).await.lines();
    assert!(lines.iter().all(|line| line["code"] == "invalid_token"), "{lines:?}");
}

#[tokio::test]
async fn a_token_decides_on_this_machine_too_and_where_unsigned_records_are_switched_off() {
    let config = ApiConfig { unsigned_allowed: false, ..ApiConfig::default() };
    for config in [ApiConfig::default(), config] {
        let allowed = config.unsigned_allowed;
        let closed = Closed::with(config, true, &[&["append:broker"], &["read"]]);
        let ask = |authorization: Option<String>| {
            let mut request = Request::post("/v1/records?signer=broker")
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            closed.api.ask(request.body(Body::from(fields().to_string())).unwrap())
        };
        ask(Some(bearer(1))).await.assert_problem(403, "insufficient_scope");
        assert!(ask(Some(bearer(0))).await.status.is_success());
        assert_eq!(ask(None).await.status.is_success(), allowed);
    }
}

#[tokio::test]
async fn signed_records_need_no_token() {
    let closed = Closed::new(&[]);
    for (path, content_type) in
        [("/v1/records", "application/jose"), ("/v1/records/batch", "text/plain")]
    {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, content_type)
            .header("prefer", "wait=5")
            .body(Body::from(quote(0).jws().to_vec()));
        let answer = closed.api.ask_from("192.0.2.7:1234", request.unwrap()).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    assert_eq!(closed.api.node.store.tip().frontier.size(), 1);
}

#[tokio::test]
async fn a_stream_ends_once_its_token_is_revoked() {
    let mut closed = Closed::new(&[&["read"], &["read"]]);
    let open = |number| {
        let request = Request::get("/v1/events?after=0")
            .header(header::AUTHORIZATION, bearer(number))
            .body(Body::empty())
            .unwrap();
        closed.api.router.clone().oneshot(request)
    };
    let (first, second) = (open(0).await.unwrap(), open(1).await.unwrap());
    assert!(first.status() == 200 && second.status() == 200);
    let (mut first, mut second) =
        (first.into_body().into_data_stream(), second.into_body().into_data_stream());
    closed.list.revoke(&token(0).hash().id(), Timestamp::now()).unwrap();
    write(&closed.path, &closed.list);
    let end = async { while first.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(30), end).await.expect("the stream goes on");
    // The other one goes on.
    closed.api.add(0..1);
    let event = tokio::time::timeout(Duration::from_secs(30), second.next()).await;
    assert!(event.unwrap().is_some());
}
