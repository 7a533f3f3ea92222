//! What a newcomer does first: a node in an empty folder, a first record by
//! curl and by the command line, its receipt verified offline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use quittance_ledger::digest::RecordId;
use quittance_tests::{Node, quittance, quittance_in, tools};
use serde_json::json;

const POLICY: &str = r#"{"type":"contract.issued","occurred_at":"2026-01-02T09:00:00+01:00","contract":"insurer/P-7","data":{"version":1,"line_of_business":"household","period":{"from":"2026-01-01","to":"2026-12-31"},"premium":12000,"currency":"EUR","signature_required":false}}"#;

#[test]
fn an_empty_folder_becomes_a_ledger_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("not/there/yet");
    let mut node = Node::start(&data);

    let status = node.json("/v1/status");
    let origin = status["ledger"]["origin"].as_str().unwrap().to_owned();
    assert!(origin.starts_with("quittance.local/"), "{status}");
    assert_eq!(status["node"]["validator"], true);
    assert_eq!(status["head"]["tree_size"], 0);
    assert_eq!((&status["validators"], &status["quorum"]), (&json!(1), &json!(1)));
    assert_eq!(node.get("/healthz").status, 200);
    let page = node.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    assert!(page.text().contains(&origin));
    // The empty ledger has a checkpoint too.
    assert!(node.get("/checkpoint").text().starts_with(&format!("{origin}\n0\n")));

    // Started again, it is the same ledger.
    node.stop();
    node.restart();
    assert_eq!(node.json("/v1/status")["ledger"], status["ledger"]);
}

#[test]
fn nobody_else_can_read_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::start(&data);
    let keys = fs::read_dir(data.join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for key in keys {
        let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{} {mode:o}", key.display());
        count += 1;
    }
    assert!(count >= 5, "{count} keys");
    node.stop();

    // A key that others can read is a key that others may have.
    let key = data.join("keys/log.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let ended = Node::try_start(&data, &Default::default()).unwrap_err();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("log.pem"), "{}", ended.stderr);
}

#[test]
fn the_curl_command_that_the_node_greets_with_works() {
    let Some(shell) = tools::program("curl").and_then(|_| tools::program("sh")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"));
    let greeting = node.greeting();
    let start = greeting.find("curl '").expect("the greeting suggests a curl command");
    let command = greeting[start..].split("\n\n").next().unwrap();
    let run = Command::new(shell).args(["-c", &format!("{command} --silent")]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {command}\n{run:?}"));
    assert_eq!(answer["status"], "final", "{answer}");
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn a_first_policy_is_appended_and_its_receipt_verifies_offline() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut node = Node::start(&folder.path().join("data"));
    let api = node.url("");

    // With curl, unsigned, signed by the node.
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    let answer = node.post("/v1/records?signer=insurer", &headers, POLICY);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let first = answer.json();
    let receipt = node.get(first["receipt"].as_str().unwrap());
    fs::write(at("first.tlog-proof"), &receipt.body).unwrap();

    // With the command line: signed by the node, then signed offline.
    fs::write(at("second.json"), POLICY.replace("P-7", "P-8")).unwrap();
    let second = at("second.json");
    let append = ["append", &second, "--api", &api, "--signer", "insurer", "--json"];
    let _ = quittance(append).success();
    fs::write(at("third.json"), POLICY.replace("P-7", "P-9")).unwrap();
    let origin = node.json("/v1/status")["ledger"]["origin"].as_str().unwrap().to_owned();
    let key = at("data/keys/record-insurer-1.pem");
    let sign =
        ["sign", "--key", &key, "--kid", "insurer#1", "--ledger", &origin, &at("third.json")];
    let signed = quittance(sign).success().stdout;
    fs::write(at("third.jws"), &signed).unwrap();
    let _ = quittance(["append", &at("third.jws"), "--api", &api]).success();
    assert_eq!(node.tree_size(), 3);

    // What `sha256sum` prints for the file is the record's id.
    let id = RecordId::of(&signed).to_string();
    if let Some(sha256sum) = tools::program("sha256sum") {
        let printed = Command::new(sha256sum).arg(at("third.jws")).output().unwrap();
        assert!(String::from_utf8_lossy(&printed.stdout).starts_with(&id));
    }
    let stored = node.get_with(&format!("/v1/records/{id}"), &[("accept", "application/jose")]);
    assert_eq!(stored.body, signed);

    // Commands that ask the node.
    let status = quittance(["status", "--api", &api, "--json"]).success().json();
    assert_eq!(status["head"]["tree_size"], 3);
    assert!(quittance(["status", "--api", &api]).success().text().contains(&origin));
    let policy = quittance(["policy", &at("data")]).success();
    assert_eq!(policy.text(), node.policy());
    fs::write(at("policy"), &policy.stdout).unwrap();
    let audit = quittance(["audit", &api, "--policy", &at("policy"), "--json"]).success().json();
    assert_eq!((&audit["valid"], &audit["records"]), (&json!(true), &json!(3)));

    // Offline: the node is gone.
    node.stop();
    for receipt in ["first", "second", "third"] {
        let receipt = at(&format!("{receipt}.tlog-proof"));
        let verify = ["verify", &receipt, "--policy", &at("policy"), "--json"];
        let _ = quittance(verify).success();
    }
    let audit = quittance(["audit", &at("data"), "--json"]).success().json();
    assert_eq!((&audit["valid"], &audit["records"]), (&json!(true), &json!(3)));

    // What is derived from the blocks can be made again, and nothing changes.
    let _ = quittance(["reindex", "--data", &at("data")]).success();
    node.restart();
    assert_eq!(node.tree_size(), 3);
    let again = node.get_with(&format!("/v1/records/{id}"), &[("accept", "application/jose")]);
    assert_eq!(again.body, signed);
}

#[test]
fn no_command_is_run_in_a_folder_of_its_own() {
    // `quittance` alone would listen on its default address, which something
    // else on this machine may use; so only where its ledger would be is asked.
    let folder = tempfile::tempdir().unwrap();
    let ended = quittance_in(folder.path(), ["--http", "192.0.2.1:9"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("loopback"), "{}", ended.stderr);
    assert!(!Path::new(&folder.path().join("quittance-data/ledger")).exists());
}

#[test]
fn keys_are_made_shown_and_read_from_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let made = quittance(["key", "new", "--out", &at("key.pem")]).success();
    let shown = quittance(["key", "show", &at("key.pem"), "--json"]).success().json();
    assert_eq!(shown["public"], made.text().trim());
    let again = quittance(["key", "new", "--out", &at("key.pem")]);
    assert_ne!(again.code, Some(0), "a key was overwritten");

    let Some(openssl) = tools::program("openssl") else { return };
    let run = |arguments: &[&str]| {
        let output = Command::new(&openssl).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["genpkey", "-algorithm", "ed25519", "-out", &at("theirs.pem")]);
    fs::set_permissions(at("theirs.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let theirs = quittance(["key", "show", &at("theirs.pem"), "--json"]).success().json();
    run(&["pkey", "-in", &at("theirs.pem"), "-pubout", "-out", &at("public.pem")]);
    let public = quittance(["key", "show", &at("public.pem"), "--json"]).success().json();
    assert_eq!(theirs["public"], public["public"]);
    // And the other way round: OpenSSL reads ours.
    run(&["pkey", "-in", &at("key.pem"), "-noout"]);
}
