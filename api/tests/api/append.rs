use axum::{body::Body, http::Request};
use serde_json::json;

use crate::harness::{Api, Mode, key, membership, quote, sign_as};

#[tokio::test]
async fn a_new_record_is_201_and_the_same_again_200_with_the_same_body() {
    let api = Api::new(Mode::Commit);
    let record = quote(1);
    let first = api.append(&record).await;
    assert_eq!(first.status, 201);
    let id = record.id().to_string();
    let expected = json!({
        "id": id, "index": 0, "height": 1, "status": "final",
        "receipt": format!("/v1/records/{id}/receipt"),
    });
    assert_eq!(first.json(), expected);
    assert_eq!(first.header("location"), format!("/v1/records/{id}"));
    let again = api.append(&record).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json(), expected);
    assert_eq!(api.node.store.tip().frontier.size(), 1);
}

#[tokio::test]
async fn without_a_wish_to_wait_a_pending_record_is_answered_at_once() {
    let api = Api::new(Mode::Hold);
    let record = quote(1);
    let answer = api.post("/v1/records", "application/jose", record.jws().to_vec()).await;
    assert_eq!(answer.status, 202);
    let id = record.id().to_string();
    assert_eq!(answer.json(), json!({"id": id, "status": "pending"}));
    assert_eq!(answer.header("preference-applied"), "");

    let read = api.get(&format!("/v1/records/{id}")).await.json();
    assert_eq!(read["status"], "pending");
    assert!(read["index"].is_null() && read["height"].is_null());
    let problem = api.get(&format!("/v1/records/{id}/receipt")).await;
    problem.assert_problem(404, "not_final_yet");
    assert_eq!(problem.header("retry-after"), "1");
}

#[tokio::test]
async fn a_wait_that_ends_too_early_is_202_and_says_what_was_applied() {
    let api = Api::new(Mode::Hold);
    let request = Request::post("/v1/records")
        .header("content-type", "application/jose")
        .header("prefer", "wait=1")
        .body(Body::from(quote(1).jws().to_vec()));
    let answer = api.ask(request.unwrap()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("preference-applied"), "wait=1");
}

#[tokio::test]
async fn copies_that_wait_together_share_one_entry() {
    let api = Api::new(Mode::Hold);
    let record = quote(1);
    let copies = futures::future::join_all((0..20).map(|_| api.append(&record)));
    let commit = async {
        while api.node.submissions.load(std::sync::atomic::Ordering::SeqCst) < 20 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        api.node.commit();
    };
    let (answers, ()) = tokio::join!(copies, commit);
    for answer in answers {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.json()["index"], 0);
    }
    assert_eq!(api.node.store.tip().frontier.size(), 1);
}

#[tokio::test]
async fn what_pipes_and_files_add_behind_a_record_is_no_part_of_it() {
    let api = Api::new(Mode::Commit);
    for (number, end) in [(1, "\n"), (2, "\r\n")] {
        let record = quote(number);
        let body = [record.jws(), end.as_bytes()].concat();
        for content_type in ["application/jose", "text/plain; charset=utf-8"] {
            let answer = api.post("/v1/records", content_type, body.clone()).await;
            assert!(answer.status.is_success());
            assert_eq!(answer.json()["id"], record.id().to_string());
        }
    }
}

#[tokio::test]
async fn every_kind_of_bad_record_has_its_own_answer_and_changes_nothing() {
    let api = Api::new(Mode::Commit);
    let good = quote(1);
    let text = String::from_utf8(good.jws().to_vec()).unwrap();
    let (head, signature) = text.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let encode = |bytes: &str| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let with_payload = |payload: &str| format!("{header}.{}.{signature}", encode(payload));
    let start = format!(
        r#"{{"ledger":"{}","type":"contract.quoted","salt":"AAAAAAAAAAAAAAAAAAAAAA","occurred_at":"2026-01-01T00:00:00Z""#,
        membership().origin()
    );
    let none = encode(r#"{"alg":"none","kid":"broker#1","typ":"quittance-record"}"#);
    let stranger = encode(r#"{"alg":"Ed25519","kid":"stranger#1","typ":"quittance-record"}"#);
    let no_key = encode(r#"{"alg":"Ed25519","kid":"broker#9","typ":"quittance-record"}"#);
    let (_, payload) = head.split_once('.').unwrap();
    let mut forged = good.jws().to_vec();
    let position = forged.len() - 20;
    forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
    let other_ledger = {
        let serde_json::Value::Object(payload) = json!({
            "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z", "data": {"quote": "Q"},
        }) else {
            unreachable!()
        };
        let origin = "other.example/ledger".parse().unwrap();
        let member = "broker".parse().unwrap();
        let key_id = "1".parse().unwrap();
        let record =
            quittance_ledger::record::sign(payload, &origin, &member, &key_id, &key(2)).unwrap();
        record.jws().to_vec()
    };
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", Vec::new(), 400, "malformed"),
        ("no record", b"hello".to_vec(), 400, "malformed"),
        ("alg none", format!("{none}.{payload}.{signature}").into(), 400, "malformed"),
        ("stranger", format!("{stranger}.{payload}.{signature}").into(), 401, "unknown_member"),
        ("no such key", format!("{no_key}.{payload}.{signature}").into(), 401, "unknown_key"),
        ("forged", forged, 401, "bad_signature"),
        ("other ledger", other_ledger, 422, "wrong_ledger"),
        ("too large", vec![b'a'; 65 * 1024], 413, "too_large"),
        (
            "name twice",
            with_payload(&format!(r#"{start},"data":{{"quote":"a","quote":"b"}}}}"#)).into(),
            400,
            "malformed",
        ),
        (
            "unknown field",
            with_payload(&format!(r#"{start},"data":{{"quote":"a"}},"dtaa":1}}"#)).into(),
            400,
            "unknown_field",
        ),
        (
            "float",
            with_payload(&format!(
                r#"{start},"data":{{"quote":"a","premium":1.5,"currency":"EUR"}}}}"#
            ))
            .into(),
            400,
            "malformed",
        ),
        (
            "negative",
            with_payload(&format!(
                r#"{start},"data":{{"quote":"a","premium":-1,"currency":"EUR"}}}}"#
            ))
            .into(),
            422,
            "amount_negative",
        ),
        ("no UTF-8", vec![0xff; 40], 400, "malformed"),
    ];
    for (name, body, status, code) in cases {
        println!("{name}");
        let answer = api.post("/v1/records", "application/jose", body).await;
        answer.assert_problem(status, code);
    }
    assert_eq!(api.node.submissions.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_role_that_may_not_and_a_rule_that_refuses_have_their_status() {
    let api = Api::new(Mode::Commit);
    let issued = json!({
        "type": "contract.issued", "occurred_at": "2026-01-01T00:00:00Z",
        "contract": "insurer/C-1",
        "data": {
            "version": 1, "line_of_business": "pet_health",
            "period": {"from": "2026-01-01", "to": "2026-12-31"}, "signature_required": false,
        },
    });
    let serde_json::Value::Object(payload) = issued else { unreachable!() };
    let membership = membership();
    let by_broker = quittance_ledger::record::sign(
        payload,
        membership.origin(),
        &"broker".parse().unwrap(),
        &"1".parse().unwrap(),
        &key(2),
    )
    .unwrap();
    let answer = api.post("/v1/records", "application/jose", by_broker.jws().to_vec()).await;
    answer.assert_problem(403, "role_not_allowed");

    let future = json!({
        "type": "contract.quoted", "occurred_at": "2036-01-01T00:00:00Z", "data": {"quote": "Q"},
    });
    let answer = api.append(&sign_as("broker", future).unwrap()).await;
    let problem = answer.assert_problem(422, "occurred_in_future");
    assert_eq!(problem["field"], "occurred_at");
    assert_eq!(api.node.store.tip().frontier.size(), 0);
}

#[tokio::test]
async fn a_content_type_that_curl_sets_by_itself_is_told_what_to_send() {
    let api = Api::new(Mode::Commit);
    for content_type in ["application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let answer = api.post("/v1/records", content_type, quote(1).jws().to_vec()).await;
        let problem = answer.assert_problem(415, "unsupported_media_type");
        assert!(problem["detail"].as_str().unwrap().contains("application/jose"));
    }
}

#[tokio::test]
async fn a_full_or_stopping_node_says_when_to_come_back() {
    let api = Api::new(Mode::Busy);
    let answer = api.append(&quote(1)).await;
    answer.assert_problem(429, "busy");
    assert_eq!(answer.header("retry-after"), "7");
    let api = Api::new(Mode::Stopping);
    api.append(&quote(1)).await.assert_problem(503, "stopping");
}
