use axum::{body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_api::{ApiConfig, Limits};
use quittance_ledger::{
    digest::{Digest, RecordId},
    transparency::{Policy, SignedCheckpoint, layout, tree, verify_bytes},
};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Mode, ORIGIN, membership, quote, sign_as};

fn accepting(path: &str, media_type: &str) -> Request<Body> {
    Request::get(path).header("accept", media_type).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_record_is_given_with_its_place_and_as_its_bytes() {
    let api = Api::filled(2, 3);
    let record = quote(4);
    let path = format!("/v1/records/{}", record.id());
    let answer = api.get(&path).await.json();
    assert_eq!(answer["id"], record.id().to_string());
    assert_eq!((&answer["index"], &answer["height"]), (&json!(4), &json!(2)));
    assert_eq!(answer["block_time"], "2026-01-01T00:00:00.001Z");
    assert_eq!(answer["status"], "final");
    assert_eq!(answer["signer"], "broker");
    assert_eq!(answer["record"]["data"]["quote"], "Q-4");
    assert_eq!(answer["record"]["contract"], "insurer/C-4");
    assert_eq!(answer["flags"], json!([]));
    assert!(answer["corrected_by"].is_null());

    let bytes = api.ask(accepting(&path, "application/jose")).await;
    assert_eq!(bytes.header("content-type"), "application/jose");
    assert_eq!(RecordId::of(&bytes.body), record.id());
    assert_eq!(answer["jws"], bytes.text());
}

#[tokio::test]
async fn the_beginning_of_an_id_as_lists_show_it_finds_the_record() {
    let api = Api::filled(2, 3);
    let id = quote(4).id().to_string();
    let beginning = &id[..RecordId::BEGINNING_DIGITS];
    let path = format!("/v1/records/{beginning}");
    assert_eq!(api.get(&path).await.json()["id"], *id);
    let whole = api.get(&format!("/v1/records/{id}/receipt")).await;
    assert_eq!(api.get(&format!("{path}/receipt")).await.text(), whole.text());
    let other = if beginning.ends_with('0') { '1' } else { '0' };
    let absent = format!("{}{other}", &beginning[..RecordId::BEGINNING_DIGITS - 1]);
    assert_eq!(api.get(&format!("/v1/records/{absent}")).await.status, 404);
    for bad in [&beginning[1..], &id[..32], &beginning.replace(|_: char| true, "A")] {
        assert_eq!(api.get(&format!("/v1/records/{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn late_and_corrected_records_are_shown_as_such() {
    let api = Api::filled(1, 1);
    let correction = sign_as(
        "broker",
        json!({
            "type": "contract.quoted", "occurred_at": "2025-01-01T00:00:00Z",
            "contract": "insurer/C-0", "corrects": quote(0).id().to_string(),
            "data": {"quote": "Q-0", "premium": 100, "currency": "EUR"},
        }),
    )
    .unwrap();
    assert_eq!(api.append(&correction).await.status, 201);
    let newer = api.get(&format!("/v1/records/{}", correction.id())).await.json();
    assert_eq!(newer["flags"], json!(["late"]));
    let older = api.get(&format!("/v1/records/{}", quote(0).id())).await.json();
    assert_eq!(older["corrected_by"], correction.id().to_string());
}

#[tokio::test]
async fn cursors_visit_every_record_once_in_order_and_filters_narrow() {
    let api = Api::filled(5, 7);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/records?limit=4{after}")).await.json();
        let records = page["records"].as_array().unwrap();
        assert!(records.len() <= 4);
        seen.extend(records.iter().map(|record| record["index"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..35).collect::<Vec<_>>());

    let of_contract = api.get("/v1/records?contract=insurer/C-3").await.json();
    let indices: Vec<_> = of_contract["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, [3, 13, 23, 33]);
    for (query, count) in [
        ("signer=broker", 35),
        ("signer=insurer", 0),
        ("family=contract", 35),
        ("family=settlement", 0),
        ("type=contract.quoted&contract=insurer/C-1", 4),
        ("claim=insurer/C-1", 0),
        ("from=2026-01-01&to=2026-01-01", 35),
        ("from=2026-01-02", 0),
        ("to=2025-12-31T23:59:59Z", 0),
        ("contract=&signer=broker", 35),
    ] {
        let page = api.get(&format!("/v1/records?{query}")).await.json();
        assert_eq!(page["records"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn large_records_end_a_page_before_they_fill_the_memory() {
    let limits = Limits { page_bytes_max: 2_000, ..Limits::default() };
    let api = Api::with(Mode::Hold, ApiConfig { limits, ..ApiConfig::default() });
    api.add(0..200);
    let page = api.get("/v1/records?limit=1000").await.json();
    assert_eq!(page["records"].as_array().unwrap().len(), 16);
    assert_eq!(page["next"], "15");
    let page = api.get("/v1/records?limit=1000&after=190").await.json();
    assert_eq!(page["records"].as_array().unwrap().len(), 9);
    assert!(page["next"].is_null());
}

#[tokio::test]
async fn pages_of_checkpoints_end_before_they_fill_the_memory_and_leave_none_out() {
    let limits = Limits { page_bytes_max: 1, ..Limits::default() };
    let api = Api::with(Mode::Hold, ApiConfig { limits, ..ApiConfig::default() });
    for block in 0..40 {
        api.add(block..block + 1);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/checkpoints?limit=1000{after}")).await.json();
        let checkpoints = page["checkpoints"].as_array().unwrap();
        assert!(!checkpoints.is_empty() && checkpoints.len() <= 16);
        seen.extend(checkpoints.iter().map(|checkpoint| checkpoint["size"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..=40).collect::<Vec<_>>());
    let page = api.get("/v1/checkpoints?limit=5&after=35").await.json();
    assert_eq!(page["checkpoints"].as_array().unwrap().len(), 5);
    assert!(page["next"].is_null());
}

#[tokio::test]
async fn a_receipt_verifies_offline_and_over_http_and_one_flipped_byte_fails_both() {
    let api = Api::filled(3, 5);
    let id = quote(7).id();
    let receipt = api.get(&format!("/v1/records/{id}/receipt")).await;
    assert_eq!(receipt.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        receipt.header("content-disposition"),
        format!("attachment; filename=\"{id}.tlog-proof\"")
    );
    assert!(receipt.header("cache-control").contains("immutable"));
    let policy = api.get("/v1/policy").await;
    let policy = Policy::parse(&policy.body).unwrap();
    assert!(verify_bytes(&receipt.body, &policy).is_valid());

    let verdict = api.post("/v1/verify", "text/plain", receipt.body.clone()).await.json();
    assert_eq!(verdict["valid"], true);
    let names: Vec<_> =
        verdict["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert_eq!(
        names,
        [
            "format",
            "record",
            "inclusion",
            "log_signature",
            "cosignatures",
            "record_signature",
            "history"
        ]
    );
    for position in (0..receipt.body.len()).step_by(37) {
        let mut changed = receipt.body.clone();
        changed[position] ^= 1;
        let verdict = api.post("/v1/verify", "text/plain", changed).await.json();
        assert_eq!(verdict["valid"], false, "byte {position}");
    }
    let nonsense = api.post("/v1/verify", "text/plain", "hello").await.json();
    assert_eq!(nonsense["valid"], false);
    assert_eq!(
        nonsense["checks"][5],
        json!({
            "name": "record_signature", "ok": false, "detail": "not checked",
        })
    );
    api.post("/v1/verify", "text/plain", "a".repeat(200_000))
        .await
        .assert_problem(413, "too_large");

    let parts =
        api.ask(accepting(&format!("/v1/records/{id}/receipt"), "application/json")).await.json();
    assert_eq!(parts["index"], 7);
    assert_eq!(parts["receipt"], receipt.text());
}

#[tokio::test]
async fn blocks_hold_their_headers_and_ids() {
    let api = Api::filled(3, 2);
    let block = api.get("/v1/blocks/2").await.json();
    assert_eq!(block["height"], 2);
    assert_eq!(block["first_index"], 2);
    assert_eq!(block["ids"], json!([quote(2).id().to_string(), quote(3).id().to_string()]));
    let signatures = block["certificate"]["signatures"].as_array().unwrap();
    assert_eq!((&block["certificate"]["round"], signatures.len()), (&json!(0), 1));
    assert_eq!(signatures[0]["validator"], block["header"]["proposer"]);
    let bytes = STANDARD.decode(block["header"]["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes.len(), 236);
    assert_eq!(Digest::of(&bytes).to_string(), block["hash"]);
    let first = api.get("/v1/blocks/1").await.json();
    assert_eq!(block["header"]["previous"], first["hash"]);

    let page = api.get("/v1/blocks?limit=2").await.json();
    assert_eq!(page["blocks"][0], first);
    assert_eq!(page["next"], "2");
    let page = api.get("/v1/blocks?after=2&limit=2").await.json();
    assert_eq!(page["blocks"].as_array().unwrap().len(), 1);
    assert!(page["next"].is_null());
}

#[tokio::test]
async fn tiles_are_cached_for_ever_and_the_checkpoint_not_at_all() {
    let api = Api::filled(1, 300);
    let checkpoint = api.get("/checkpoint").await;
    assert_eq!(checkpoint.header("content-type"), layout::CHECKPOINT_CONTENT_TYPE);
    assert_eq!(checkpoint.header("cache-control"), "no-store");
    let signed = SignedCheckpoint::parse(&checkpoint.body).unwrap();
    assert_eq!(signed.checkpoint().size, 300);
    assert!(membership().policy().check(&signed).holds());

    for tile in layout::tiles(300).chain(layout::bundles(300)) {
        let answer = api.get(&format!("/{tile}")).await;
        assert_eq!(answer.status, 200, "{tile}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.body.len(), tile.bytes_len());
    }
    let bundle = api.get("/tile/entries/000").await;
    let ids = layout::parse_entries(&bundle.body).unwrap();
    assert_eq!(ids[255], quote(255).id());
    let leaves = api.get("/tile/0/001.p/44").await.body;
    assert_eq!(leaves[43 * 32..], *tree::leaf_hash(&quote(299).id()).as_bytes());

    for missing in
        ["/tile/0/001", "/tile/0/001.p/45", "/tile/0/1", "/tile/64/000", "/tile/9/000", "/tile/x"]
    {
        let answer = api.get(missing).await;
        answer.assert_problem(404, "not_found");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn checkpoints_are_kept_and_consistent_with_each_other() {
    let api = Api::filled(4, 3);
    let page = api.get("/v1/checkpoints?limit=3").await.json();
    let sizes: Vec<_> =
        page["checkpoints"].as_array().unwrap().iter().map(|one| one["size"].clone()).collect();
    assert_eq!(sizes, [0, 3, 6]);
    assert_eq!(page["next"], "6");
    let rest = api.get("/v1/checkpoints?after=6").await.json();
    assert_eq!(rest["checkpoints"].as_array().unwrap().len(), 2);
    assert!(rest["next"].is_null());

    let root = |checkpoint: &Value| checkpoint["root"].as_str().unwrap().parse::<Digest>().unwrap();
    let proof = api.get("/v1/consistency?from=3&to=12").await.json();
    let hashes: Vec<Digest> = proof["hashes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| STANDARD.decode(hash.as_str().unwrap()).unwrap())
        .map(|bytes| Digest::from_bytes(bytes.try_into().unwrap()))
        .collect();
    let (old, new) = (root(&page["checkpoints"][1]), root(&rest["checkpoints"][1]));
    tree::verify_consistency(3, &old, 12, &new, &hashes).unwrap();
    let latest = api.get("/v1/consistency?from=3").await.json();
    assert_eq!(latest, proof);
    let same = api.get("/v1/consistency?from=12&to=12").await.json();
    assert_eq!(same["hashes"], json!([]));
    api.get("/v1/consistency?from=5&to=4").await.assert_problem(400, "bad_query");
}

#[tokio::test]
async fn members_genesis_policy_and_status_name_the_ledger() {
    let api = Api::filled(2, 2);
    let members = api.get("/v1/members").await.json();
    assert_eq!(members["members"][2]["id"], "provider");
    assert_eq!(members["members"][1]["validator"]["consensus"].as_str().unwrap().len(), 44);
    assert_eq!(members["members"][0]["keys"][0]["alg"], "Ed25519");
    let genesis = api.get("/v1/genesis").await;
    assert!(genesis.header("content-type").starts_with("text/plain"));
    let genesis = quittance_ledger::membership::Genesis::from_toml(genesis.text()).unwrap();
    assert_eq!(genesis.ledger_id(), membership().ledger_id());
    let status = api.get("/v1/status").await.json();
    assert_eq!(status["ledger"]["origin"], ORIGIN);
    assert_eq!(status["ledger"]["id"], membership().ledger_id().to_string());
    assert_eq!(status["head"]["height"], 2);
    assert_eq!(status["head"]["tree_size"], 4);
    assert_eq!(status["head"]["checkpoint_size"], 4);
    assert_eq!(status["pending"], json!({"records": 0, "bytes": 0}));
    assert_eq!(
        (&status["members"], &status["validators"], &status["quorum"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(status["node"]["member"], "insurer");
    assert_eq!(status["node"]["uptime_s"], 5);
}

fn figure(metrics: &Answer, name: &str) -> f64 {
    let line = metrics
        .text()
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_else(|| panic!("{name} is missing in:\n{}", metrics.text()));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn figures_count_by_route_and_never_by_path() {
    let api = Api::new(Mode::Commit);
    api.append(&quote(1)).await;
    api.append(&quote(1)).await;
    api.post("/v1/records", "application/jose", "x").await;
    api.get(&format!("/v1/records/{}", "0".repeat(64))).await;
    api.get("/nowhere/at/all").await;
    let metrics = api.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    assert_eq!(figure(&metrics, "quittance_records_final_total"), 1.0);
    assert_eq!(figure(&metrics, "quittance_records_known_total"), 1.0);
    assert_eq!(figure(&metrics, "quittance_records_refused_total{code=\"malformed\"}"), 1.0);
    assert_eq!(figure(&metrics, "quittance_height"), 1.0);
    assert_eq!(figure(&metrics, "quittance_tree_size"), 1.0);
    let route =
        "quittance_http_requests_total{method=\"GET\",route=\"/v1/records/{id}\",status=\"404\"}";
    assert_eq!(figure(&metrics, route), 1.0);
    assert!(metrics.text().contains("route=\"unmatched\""));
    assert!(!metrics.text().contains("nowhere"));
}

#[tokio::test]
async fn damage_that_a_request_meets_is_told_to_the_node() {
    let id = quote(3).id();
    for path in [
        "/v1/records".to_owned(),
        format!("/v1/records/{id}"),
        format!("/v1/records/{id}/receipt"),
        format!("/records/{id}"),
        "/records".to_owned(),
        "/".to_owned(),
        "/blocks/1".to_owned(),
    ] {
        let api = Api::filled(1, 20);
        assert_eq!(api.get(&path).await.status, 200, "{path}");
        crate::harness::damage(&api.folder().join("blocks"));
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 500, "{path}: {}", answer.text());
        // What is in the files is for the log, not for strangers.
        assert!(!answer.text().contains("damaged"), "{path}: {}", answer.text());
        let damage = api.node.damage.lock().unwrap().join(" ");
        assert!(damage.contains("blocks"), "{path}: {damage}");
    }
    for path in ["/tile/0/000.p/20", "/v1/consistency?from=20&to=40"] {
        let api = Api::filled(2, 20);
        assert_eq!(api.get(path).await.status, 200, "{path}");
        let nodes = api.folder().join("nodes.flat");
        std::fs::OpenOptions::new().write(true).open(&nodes).unwrap().set_len(100).unwrap();
        assert_eq!(api.get(path).await.status, 500, "{path}");
        let damage = api.node.damage.lock().unwrap().join(" ");
        assert!(damage.contains("nodes.flat"), "{path}: {damage}");
    }
    let api = Api::filled(1, 20);
    assert_eq!(api.get("/v1/records/0").await.status, 400);
    assert_eq!(api.get("/v1/consistency?from=3&to=2").await.status, 400);
    assert!(api.node.damage.lock().unwrap().is_empty());
}
