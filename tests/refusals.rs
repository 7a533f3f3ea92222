//! What the ledger does not take: each refusal says what is wrong in a way that
//! programs and people understand, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ed25519_dalek::SigningKey;
use quittance_ledger::membership::Origin;
use quittance_tests::{Consortium, Node, Signed, forge, raw};
use serde_json::{Value, json};

const HEADER: &str = r#"{"alg":"Ed25519","kid":"heca#1","typ":"quittance-record"}"#;

/// A ledger with one record, so that a record that slips in is noticed.
fn ledger() -> (Consortium, Node) {
    let consortium = Consortium::new();
    let node = consortium.start();
    assert_eq!(node.append(&consortium.sign("heca", &quote())).status, 201);
    (consortium, node)
}

fn quote() -> Value {
    json!({
        "type": "contract.quoted",
        "occurred_at": "2026-01-02T09:00:00Z",
        "data": { "quote": "Q-1", "premium": 42000, "currency": "EUR" },
    })
}

/// A payload of the broker heca as text, `from` replaced by `to`.
fn payload(consortium: &Consortium, from: &str, to: &str) -> Vec<u8> {
    let mut payload = quote();
    payload["ledger"] = consortium.origin().into();
    payload["salt"] = "AAECAwQFBgcICQoLDA0ODw".into();
    let text = payload.to_string();
    assert!(text.contains(from), "{text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn each_record_that_is_none_has_its_own_code_and_nothing_is_stored() {
    let (consortium, node) = ledger();
    let heca = consortium.key("heca");
    let signed =
        |header: &str, from: &str, to: &str| forge(header, &payload(&consortium, from, to), heca);
    let good = signed(HEADER, "42000", "42001");
    let header = |from: &str, to: &str| {
        assert!(HEADER.contains(from));
        signed(&HEADER.replace(from, to), "42000", "42002")
    };
    let parts: Vec<&str> = good.jws.split('.').collect();
    let stranger = SigningKey::from_bytes(&[7; 32]);
    let other: Origin = "other.example/ledger".parse().unwrap();
    let issued = json!({
        "type": "contract.issued", "occurred_at": "2026-01-02T09:00:00Z",
        "contract": "comp-it/P-1",
        "data": { "version": 1, "line_of_business": "property", "signature_required": false,
                  "period": { "from": "2026-01-02", "to": "2027-01-01" } },
    });
    let large = "x".repeat(70 * 1024);
    let mut broken_utf8 = payload(&consortium, "Q-1", "Q-@");
    let at = broken_utf8.iter().position(|byte| *byte == b'@').unwrap();
    broken_utf8[at] = 0xff;

    let cases: Vec<(&str, Signed, u16, &str)> = vec![
        (
            "for another ledger",
            signed(HEADER, consortium.origin(), other.as_str()),
            422,
            "wrong_ledger",
        ),
        ("alg none", header("\"Ed25519\"", "\"none\""), 400, "malformed"),
        (
            "alg none without a signature",
            Signed::of(format!("{}.{}.", parts[0], parts[1])),
            400,
            "malformed",
        ),
        ("another algorithm", header("\"Ed25519\"", "\"HS256\""), 400, "malformed"),
        ("a key in the header", header("{", "{\"jwk\":{},"), 400, "malformed"),
        (
            "a critical extension",
            header("{", "{\"crit\":[\"b64\"],\"b64\":false,"),
            400,
            "malformed",
        ),
        ("another typ", header("quittance-record", "JWT"), 400, "malformed"),
        ("an unknown key", header("heca#1", "heca#2"), 401, "unknown_key"),
        ("an unknown member", header("heca#1", "nobody#1"), 401, "unknown_member"),
        (
            "somebody else's signature",
            forge(HEADER, &payload(&consortium, "42000", "42003"), &stranger),
            401,
            "bad_signature",
        ),
        (
            "a payload that was changed afterwards",
            {
                let other = signed(HEADER, "42000", "99999");
                let payload = other.jws.split('.').nth(1).unwrap();
                Signed::of(format!("{}.{payload}.{}", parts[0], parts[2]))
            },
            401,
            "bad_signature",
        ),
        ("a broker that issues", consortium.sign("heca", &issued), 403, "role_not_allowed"),
        ("another insurer's contract", consortium.sign("petexpert", &issued), 403, "not_a_party"),
        (
            "more than 64 KiB",
            forge(HEADER, &payload(&consortium, "Q-1", &large), heca),
            413,
            "too_large",
        ),
        (
            "a name that stands twice",
            signed(HEADER, "\"premium\":42000", "\"premium\":42000,\"premium\":1"),
            400,
            "malformed",
        ),
        (
            "a name that stands twice, escaped",
            signed(HEADER, "\"premium\":42000", "\"premium\":42000,\"pr\\u0065mium\":1"),
            400,
            "malformed",
        ),
        ("broken UTF-8", forge(HEADER, &broken_utf8, heca), 400, "malformed"),
        ("a float amount", signed(HEADER, "42000", "42000.5"), 400, "malformed"),
        ("a float that is whole", signed(HEADER, "42000", "42000.0"), 400, "malformed"),
        (
            "an integer that not all readers keep",
            signed(HEADER, "42000", "9007199254740992"),
            400,
            "malformed",
        ),
        ("a negative amount", signed(HEADER, "42000", "-1"), 422, "amount_negative"),
        ("an unknown field", signed(HEADER, "\"premium\"", "\"premiun\""), 400, "unknown_field"),
        ("an unknown type", signed(HEADER, "contract.quoted", "contract.quotet"), 400, "malformed"),
        (
            "a day that does not exist",
            signed(HEADER, "2026-01-02T", "2026-02-30T"),
            400,
            "malformed",
        ),
        ("no salt", signed(HEADER, "\"AAECAwQFBgcICQoLDA0ODw\"", "\"AAEC\""), 400, "malformed"),
        ("null", signed(HEADER, "\"Q-1\"", "null"), 400, "malformed"),
        (
            "from the future",
            signed(HEADER, "2026-01-02T09", "2199-01-02T09"),
            422,
            "occurred_in_future",
        ),
        (
            "expired",
            signed(HEADER, "{\"", "{\"expires_at\":\"2026-01-02T10:00:00Z\",\""),
            422,
            "expired",
        ),
        ("not a JWS", Signed::of("hello".to_owned()), 400, "malformed"),
        ("four parts", Signed::of(format!("{}.x", good.jws)), 400, "malformed"),
        ("padding", Signed::of(format!("{}=", good.jws)), 400, "malformed"),
        ("nothing", Signed::of(String::new()), 400, "malformed"),
    ];
    let before = node.tree_size();
    for (what, record, status, code) in &cases {
        let answer = node.append(record);
        assert_eq!(
            (answer.status, &*answer.problem()),
            (*status, *code),
            "{what}: {}",
            answer.text()
        );
        assert_eq!(node.get(&format!("/v1/records/{}", record.id)).status, 404, "{what}");
    }
    // In a batch each gets the same answer, and the good one among them is taken.
    let mut batch: Vec<&Signed> = cases
        .iter()
        .map(|(_, record, _, _)| record)
        .filter(|record| !record.jws.is_empty())
        .collect();
    batch.insert(3, &good);
    let answers = node.append_all(batch.iter().copied());
    for (record, answer) in batch.iter().zip(&answers) {
        match cases.iter().find(|case| case.1.id == record.id) {
            Some((what, _, status, code)) => {
                assert_eq!(
                    (&answer["status"], &answer["code"]),
                    (&json!(status), &json!(code)),
                    "{what}: {answer}"
                );
            }
            None => assert_eq!(answer["status"], 201, "{answer}"),
        }
    }
    assert_eq!(node.tree_size(), before + 1);
    assert_eq!(node.json("/v1/status")["pending"]["records"], 0);
}

#[test]
fn a_refusal_names_the_field() {
    let (consortium, node) = ledger();
    let heca = consortium.key("heca");
    for (from, to, field) in [
        ("42000", "1.5", "data.premium"),
        ("42000", "-1", "data.premium"),
        ("\"premium\"", "\"premiun\"", "data.premiun"),
        ("\"EUR\"", "\"eur\"", "data.currency"),
        ("2026-01-02T09:00:00Z", "yesterday", "occurred_at"),
    ] {
        let answer = node.append(&forge(HEADER, &payload(&consortium, from, to), heca)).json();
        assert_eq!(answer["field"], field, "{answer}");
    }
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (consortium, node) = ledger();
    let record = consortium.sign("heca", &quote());
    let id = &record.id;

    // A body of another type than it is said to be, or of none.
    for content_type in ["application/xml", "text/html", "multipart/form-data; boundary=x"] {
        // The answer does not wait for the body, and a connection with bytes that
        // nobody reads cannot be used again.
        let headers = [("content-type", content_type), ("connection", "close")];
        let answer = node.post("/v1/records", &headers, &record.jws);
        assert_eq!((answer.status, &*answer.problem()), (415, "unsupported_media_type"));
        let answer = node.post("/v1/records/batch", &headers, &record.jws);
        assert_eq!((answer.status, &*answer.problem()), (415, "unsupported_media_type"));
    }
    let host = node.address().to_string();
    let bare = raw::request("POST", "/v1/records", &[("Host", &host)], record.jws.as_bytes());
    assert_eq!(raw::exchange(node.address(), &bare).status, 415);
    // JSON that is none, and a JWS said to be JSON.
    for body in ["{", "[]", "{\"signer\":\"heca\"", "{\"a\":1,\"a\":2}", &record.jws] {
        let answer = node.post("/v1/records", &[("content-type", "application/json")], body);
        assert_eq!((answer.status, &*answer.problem()), (400, "malformed"), "{body}");
    }

    for (target, status) in [
        ("/v1/records/xyz", 400),
        ("/v1/records/ABCDEF", 400),
        (&*format!("/v1/records/{id}"), 404),
        (&*format!("/v1/records/{id}/receipt"), 404),
        (&*format!("/v1/records/{}", id.to_uppercase()), 400),
        ("/v1/records?limit=0", 400),
        ("/v1/records?limit=1001", 400),
        ("/v1/records?limit=x", 400),
        ("/v1/records?after=-1", 400),
        ("/v1/records?contract=no-slash", 400),
        ("/v1/records?type=contract.none", 400),
        ("/v1/records?family=none", 400),
        ("/v1/records?from=yesterday", 400),
        ("/v1/records?contrakt=x", 400),
        ("/v1/records?document=xyz", 400),
        ("/v1/blocks/0", 404),
        ("/v1/blocks/99", 404),
        ("/v1/blocks/one", 400),
        ("/v1/consistency?from=2&to=1", 400),
        ("/v1/consistency?from=0&to=9", 400),
        ("/v1/consistency", 400),
        ("/v1/events?after=x", 400),
        ("/v1/nothing", 404),
        ("/tile/0/000", 404),
        ("/tile/0/000.p/2", 404),
        ("/tile/0/1.p/1", 400),
        ("/tile/x", 400),
    ] {
        let answer = node.get(target);
        // A tile's path that is none may as well be nowhere.
        let fits = answer.status == status || (target.starts_with("/tile") && answer.status == 404);
        assert!(fits, "{target}: {} {}", answer.status, answer.text());
        answer.problem();
    }
    // A text that a library would not send: not UTF-8, not a URL.
    for target in ["/v1/records/%ff%fe", "/v1/records?contract=%ff%fe", "/v1/records?signer=%00"] {
        let request = raw::request("GET", target, &[("Host", &host)], b"");
        let answer = raw::exchange(node.address(), &request);
        assert_eq!(answer.status, 400, "{target}: {}", answer.head);
        assert!(answer.head.contains("application/problem+json"), "{target}: {}", answer.head);
    }
    for request in
        [&b"GET /\xff HTTP/1.1\r\n\r\n"[..], b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
    {
        let answer = raw::exchange(node.address(), request);
        assert!(matches!(answer.status, 0 | 400), "{}", answer.head);
    }

    let answer = node.post("/v1/status", &[("content-type", "text/plain")], "x");
    assert_eq!((answer.status, &*answer.problem()), (405, "method_not_allowed"));
    assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    assert_eq!(node.tree_size(), 1);
    assert_eq!(node.get("/readyz").status, 200);
}

#[test]
fn the_page_of_problems_explains_every_code() {
    let (_, node) = ledger();
    let answer = node.get("/v1/nothing").json();
    let page = answer["type"].as_str().unwrap().split('#').next().unwrap().to_owned();
    let text = node.get(&page);
    assert_eq!(text.status, 200);
    for code in quittance_ledger::refusal::Code::ALL {
        assert!(text.text().contains(code.as_str()), "{code} is not explained");
    }
}
