//! Who is on the ledger, over time, and how that changes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::transparency::{Cosigner, LogSigner, Policy, verify_bytes};
use serde_json::{Value, json};

use crate::harness::{Api, Mode, ORIGIN, key, sign_as};

/// Appends a record of `signer`, and gives its id.
async fn append(api: &Api, signer: &str, record_type: &str, data: Value) -> String {
    let payload = json!({"type": record_type, "occurred_at": "2026-01-01T00:00:00Z", "data": data});
    let record = sign_as(signer, payload).unwrap();
    let answer = api.post("/v1/records", "application/jose", record.jws().to_vec()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    record.id().to_string()
}

fn rotation() -> Value {
    let log = LogSigner::new(&ORIGIN.parse().unwrap(), key(112)).unwrap();
    let cosigner = Cosigner::new(format!("{ORIGIN}/insurer"), key(113)).unwrap();
    json!({"change": "validator_in", "member": "insurer", "validator": {
        "consensus": STANDARD.encode(key(111).verifying_key()),
        "log": log.verifier_key().to_string(), "cosigner": cosigner.verifier_key().to_string(),
        "peer": "12D3KooW",
    }})
}

#[tokio::test]
async fn a_change_is_listed_while_it_is_proposed_and_once_it_is_in_force() {
    let api = Api::new(Mode::Commit);
    let public = STANDARD.encode(key(70).verifying_key());
    let proposal = append(
        &api,
        "provider",
        "member.proposed",
        json!({"change": "key_added", "member": "broker",
            "key": {"id": "2", "alg": "Ed25519", "public": public}}),
    )
    .await;
    let members = api.get("/v1/members").await.json();
    let listed = &members["proposals"][0];
    assert_eq!((&listed["id"], &listed["proposer"]), (&json!(proposal), &json!("provider")));
    assert_eq!((&listed["change"], &listed["member"]), (&json!("key_added"), &json!("broker")));
    assert_eq!((&listed["quorum"], &listed["height"]), (&json!(1), &json!(1)));
    assert_eq!(listed["approvals"], json!([]));
    assert_eq!(members["members"][0]["keys"].as_array().unwrap().len(), 1);

    append(&api, "insurer", "member.approved", json!({"proposal": proposal})).await;
    let members = api.get("/v1/members").await.json();
    assert_eq!(members["proposals"], json!([]));
    let key = &members["members"][0]["keys"][1];
    assert_eq!((&key["id"], &key["public"]), (&json!("2"), &json!(public)));
    assert_eq!((&key["from_height"], &key["to_height"]), (&json!(3), &Value::Null));
    let again = json!({"type": "member.approved", "occurred_at": "2026-01-01T00:00:00Z",
        "data": {"proposal": proposal}});
    let again = sign_as("insurer", again).unwrap();
    let answer = api.post("/v1/records", "application/jose", again.jws().to_vec()).await;
    answer.assert_problem(422, "proposal_settled");
    let found = api.get("/v1/records?family=member").await.json();
    assert_eq!(found["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_old_receipt_holds_under_the_policy_of_its_time() {
    let api = Api::filled(1, 3);
    let before = api.get("/v1/policy").await.body;
    let id = api.get("/v1/records").await.json()["records"][0]["id"].as_str().unwrap().to_owned();
    let proposal = append(&api, "broker", "member.proposed", rotation()).await;
    append(&api, "insurer", "member.approved", json!({"proposal": proposal})).await;

    let after = api.get("/v1/policy").await.body;
    assert_ne!(after, before);
    for at in 1..=3 {
        assert_eq!(api.get(&format!("/v1/policy?at={at}")).await.body, before, "{at}");
    }
    assert_eq!(api.get("/v1/policy?at=4").await.body, after);
    assert_eq!(api.get("/v1/policy?size=3").await.body, before);
    for at in ["at=0", "at=5", "at=x", "at=1&size=3"] {
        api.get(&format!("/v1/policy?{at}")).await.assert_problem(400, "bad_query");
    }
    let receipt = api.get(&format!("/v1/records/{id}/receipt")).await.body;
    assert!(!verify_bytes(&receipt, &Policy::parse(&after).unwrap()).is_valid());
    let verdict = api.post("/v1/verify", "text/plain", receipt).await.json();
    assert_eq!(verdict["valid"], true, "{verdict}");
    let members = api.get("/v1/members").await.json();
    let validators = &members["members"][1]["validators"];
    assert_eq!(
        (&validators[0]["from_height"], &validators[0]["to_height"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(validators[1]["from_height"], 4);
    assert_eq!(members["members"][1]["validator"]["consensus"], validators[1]["consensus"]);
}
