//! What is erased is gone, is said to be, and does not come back.

use super::*;

#[tokio::test]
async fn what_is_private_of_a_record_that_waits_is_not_erased_yet() {
    let api = api_of(Mode::Hold);
    let body = json!({"signer": "broker", "record": fields()}).to_string();
    let answer = api.post("/v1/records", "application/json", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    erase(&api, &id).await.assert_problem(503, "not_ready");
    api.node.commit();
    assert_eq!(erase(&api, &id).await.status, 202);
}

#[tokio::test]
async fn an_erasure_is_recorded_and_everything_else_stays() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    let text = presentation(&record, &disclosures);
    api.append(&record).await;
    let receipt = api.get(&format!("/v1/records/{id}/receipt")).await.body;
    erase(&api, &id).await.assert_problem(404, "not_found");
    put(&api, &id, &text).await;
    for body in ["", "{}", "{\"basis\":\"Anna Rossi\"}", "{\"basis\":\"x\",\"y\":1}"] {
        let answer = api.ask(request(Method::DELETE, &id, "application/json", body)).await;
        answer.assert_problem(400, "malformed");
    }
    let erased = erase(&api, &id).await;
    assert_eq!(erased.status, 200, "{}", erased.text());
    let erased = erased.json();
    assert_eq!((&erased["id"], &erased["status"]), (&json!(id), &json!("final")));
    let by = erased["erased_by"].as_str().unwrap();
    let said = api.get(&format!("/v1/records/{by}")).await.json();
    assert_eq!(said["record"]["type"], "disclosure.erased");
    assert_eq!(said["record"]["data"], json!({"record": id, "basis": "gdpr_17_1_b"}));
    assert_eq!(said["signer"], "insurer", "the node's own member says so");
    assert!(api.node.vault.erasures().is_empty());
    // Again, and from then on.
    assert_eq!(erase(&api, &id).await.json()["erased_by"], by);
    let gone = get(&api, &id).await.assert_problem(410, "erased");
    assert!(gone["detail"].as_str().unwrap().contains(by));
    put(&api, &id, &text).await.assert_problem(410, "erased");
    assert_eq!(api.get(&format!("/v1/records/{id}/receipt")).await.body, receipt);
    let verified = api.post("/v1/verify", "text/plain", receipt).await.json();
    assert_eq!(verified["valid"], true, "{verified}");
}

#[tokio::test]
async fn an_erasure_that_nobody_can_verify_any_more_is_signed_again() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    api.append(&record).await;
    put(&api, &record.id().to_string(), &presentation(&record, &disclosures)).await;
    // Signed with a key that the ledger does not know.
    let stranger = quittance_ledger::record::sign(
        json!({
            "type": "disclosure.erased", "occurred_at": "2026-01-01T00:00:00Z",
            "data": {"record": record.id(), "basis": "retention_ended"},
        })
        .as_object()
        .unwrap()
        .clone(),
        &crate::harness::ORIGIN.parse().unwrap(),
        &"insurer".parse().unwrap(),
        &"2".parse().unwrap(),
        &crate::harness::key(77),
    )
    .unwrap();
    api.node.vault.erase(&record.id(), &stranger).unwrap();
    upkeep(&api).await;
    upkeep(&api).await;
    let Held::Erased(by) = api.node.vault.get(&record.id()).unwrap() else { panic!("erased") };
    assert_ne!(by, stranger.id());
    upkeep(&api).await;
    assert!(api.node.vault.erasures().is_empty());
    let location = api.node.store.find(&by).unwrap().unwrap();
    let entry = api.node.store.entry(location.index).unwrap().unwrap();
    let Data::DisclosureErased(data) = &entry.record.payload().data else { panic!("erased") };
    assert_eq!(data.basis.as_str(), "retention_ended");
}

#[tokio::test]
async fn what_was_erased_does_not_come_back_when_it_is_sent_again() {
    let api = api_of(Mode::Commit);
    let first = append_unsigned(&api, &fields()).await.json();
    let id = first["id"].as_str().unwrap();
    let by = erase(&api, id).await.json()["erased_by"].as_str().unwrap().to_owned();
    let size = api.node.store.tip().frontier.size();
    // What is private is not compared, for it is gone; so no guess of it is told right.
    let mut elsewhere = fields();
    elsewhere["data"]["address"] = json!("elsewhere");
    for record in [fields(), elsewhere] {
        for token in [None, Some(1), Some(2), Some(3)] {
            let body = json!({"signer": "broker", "record": record}).to_string();
            let refused = post_as(&api, "/v1/records", "application/json", body, token).await;
            let problem = refused.assert_problem(410, "erased");
            assert_eq!(problem["record"], id, "its receipt can be fetched");
            assert!(problem["detail"].as_str().unwrap().contains(&by), "{problem}");
        }
        let line = json!({"signer": "broker", "record": record});
        let lines = format!("{line}\n{line}\n");
        let answers = api.post("/v1/records/batch", "application/x-ndjson", lines).await.lines();
        for answer in answers {
            assert_eq!((&answer["status"], &answer["id"]), (&json!(410), &json!(id)), "{answer}");
            assert_eq!(answer["code"], "erased");
        }
    }
    assert_eq!(api.node.store.tip().frontier.size(), size);
    assert!(api.node.vault.ids().is_empty());
    // Nor where it is only spelt in another way.
    for (place, name, value) in
        [("", "occurred_at", json!("2026-01-01T01:00:00+01:00")), ("/data", "_sd", json!([]))]
    {
        let mut respelt = fields();
        respelt.pointer_mut(place).unwrap()[name] = value;
        let body = json!({"signer": "broker", "record": respelt}).to_string();
        let again = api.post("/v1/records", "application/json", body).await;
        again.assert_problem(410, "erased");
    }
    // What has another salt, or is of another signer, is another record.
    let mut salted = fields();
    salted["salt"] = json!("AAAAAAAAAAAAAAAAAAAAAQ");
    for (signer, record) in [("broker", salted), ("insurer", fields())] {
        assert_ne!(append_as(&api, signer, &record, None).await, id);
    }
}

#[tokio::test]
async fn an_older_copy_of_the_vault_brings_nothing_back() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let (id, text) = (record.id().to_string(), presentation(&record, &disclosures));
    api.append(&record).await;
    put(&api, &id, &text).await;
    // The ledger knows of an erasure, and the vault does not.
    let said = |signer| {
        let data = json!({"record": id, "basis": "gdpr_17_1_b"});
        let payload = json!({
            "type": "disclosure.erased", "occurred_at": "2026-01-01T00:00:00Z", "data": data,
        });
        sign_as(signer, payload).unwrap()
    };
    api.append(&said("broker")).await;
    upkeep(&api).await;
    assert_eq!(get(&api, &id).await.status, 200, "what another member's node erased is its own");
    api.append(&said("insurer")).await;
    let by = said("insurer").id();
    let problem = get(&api, &id).await.assert_problem(410, "erased");
    put(&api, &id, &text).await.assert_problem(410, "erased");
    upkeep(&api).await;
    assert!(api.node.vault.ids().is_empty() && api.node.vault.erasures().is_empty());
    assert!(matches!(api.node.vault.get(&record.id()).unwrap(), Held::Erased(_)), "{problem} {by}");
}

#[tokio::test]
async fn an_erasure_signed_elsewhere_is_taken_and_no_other_record() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    api.append(&record).await;
    put(&api, &id, &presentation(&record, &disclosures)).await;
    let signed = |signer, of: &str| {
        let payload = json!({
            "type": "disclosure.erased", "occurred_at": "2026-01-01T00:00:00Z",
            "data": {"record": of, "basis": "gdpr_17_1_b"},
        });
        String::from_utf8(sign_as(signer, payload).unwrap().jws().to_vec()).unwrap()
    };
    let erase = |body: String| api.ask(request(Method::DELETE, &id, "application/jose", body));
    let other = quote(0).id().to_string();
    erase(signed("broker", &id)).await.assert_problem(400, "malformed");
    erase(signed("insurer", &other)).await.assert_problem(400, "malformed");
    erase(String::from_utf8(quote(0).jws().to_vec()).unwrap())
        .await
        .assert_problem(400, "malformed");
    erase("x".to_owned()).await.assert_problem(400, "malformed");
    assert_eq!(get(&api, &id).await.status, 200);
    let mine = signed("insurer", &id);
    let erased = erase(format!("{mine}\n")).await;
    assert_eq!(erased.status, 200, "{}", erased.text());
    let by = erased.json()["erased_by"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&format!("/v1/records/{by}")).await.json()["jws"], mine);
    get(&api, &id).await.assert_problem(410, "erased");
}

#[tokio::test]
async fn an_erasure_that_the_ledger_can_take_no_more_is_said_with_another_signature() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    api.append(&record).await;
    put(&api, &id, &presentation(&record, &disclosures)).await;
    let said = |key_id: &str, seed: u8| {
        let payload = json!({
            "type": "disclosure.erased", "occurred_at": "2026-01-01T00:00:00Z",
            "data": {"record": id, "basis": "gdpr_17_1_b"},
        });
        let Value::Object(payload) = payload else { panic!("an object") };
        let (origin, member) =
            (crate::harness::ORIGIN.parse().unwrap(), "insurer".parse().unwrap());
        let key = crate::harness::key(seed);
        quittance_ledger::record::sign(payload, &origin, &member, &key_id.parse().unwrap(), &key)
            .unwrap()
    };
    // With a key that has been revoked since, and which the node does not hold.
    api.node.vault.erase(&record.id(), &said("2", 77)).unwrap();
    let good = json!({
        "type": "disclosure.erased", "occurred_at": "2026-01-01T00:00:01Z",
        "data": {"record": id, "basis": "gdpr_17_1_b"},
    });
    let good = sign_as("insurer", good).unwrap();
    let jws = good.jws().to_vec();
    let answer = api.ask(request(Method::DELETE, &id, "application/jose", jws)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["erased_by"], good.id().to_string());
    assert!(api.node.vault.erasures().is_empty());
}

#[tokio::test]
async fn what_is_damaged_in_the_vault_is_erased_all_the_same() {
    let api = api_of(Mode::Commit);
    let (record, disclosures) = private();
    let id = record.id().to_string();
    api.append(&record).await;
    put(&api, &id, &presentation(&record, &disclosures)).await;
    let sealed = api.folder().join("vault/sealed").join(&id);
    let mut bytes = fs::read(&sealed).unwrap();
    bytes[50] ^= 1;
    fs::write(&sealed, bytes).unwrap();
    assert_eq!(get(&api, &id).await.status, 500);
    assert_eq!(erase(&api, &id).await.status, 200);
    assert!(!sealed.exists());
}
