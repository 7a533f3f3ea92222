//! Who is on a ledger changes by records that members sign, with commands as
//! people give them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use quittance_tests::{Consortium, Ended, Node, load_records, quittance};
use serde_json::{Value, json};

/// `quittance member …`, signed as the member's key `1`.
fn member(consortium: &Consortium, node: &Node, signer: &str, what: &[&str]) -> Ended {
    let key = consortium.data().join(format!("keys/record-{signer}-1.pem")).display().to_string();
    let (kid, url) = (format!("{signer}#1"), node.url(""));
    let how = ["--key", &key, "--kid", &kid, "--ledger", consortium.origin(), "--api", &url];
    quittance([&["member"], what, &how].concat())
}

/// Proposes as a broker and approves as the only validator's member.
fn change(consortium: &Consortium, node: &Node, what: &[&str]) -> String {
    let proposed = member(consortium, node, "heca", &[&["propose"], what].concat()).success();
    let proposal = proposed.text().trim().to_owned();
    let approved = member(consortium, node, "petexpert", &["approve", &proposal]).success();
    assert!(approved.stderr.contains("heca proposes"), "{}", approved.stderr);
    proposal
}

fn listed(node: &Node, id: &str) -> Value {
    let members = node.json("/v1/members");
    let members = members["members"].as_array().unwrap();
    members.iter().find(|member| member["id"] == id).unwrap().clone()
}

#[test]
fn a_member_joins_changes_its_key_and_leaves_and_the_audit_follows() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    node.append_all(&load_records(&consortium, 5));
    let joining = consortium.folder().join("vet-3");
    let data = joining.display().to_string();
    let init =
        ["init", "--member", "vet-3", "--role", "provider", "--data", &data, "--no-validator"];
    let _ = quittance(init).success();
    let file = joining.join("member.toml").display().to_string();
    let own = |name: &str| joining.join("keys").join(name).display().to_string();

    // It cannot sign before it is a member.
    let (key, url) = (own("record-vet-3-1.pem"), node.url(""));
    let as_vet_3 = |key: &str, kid: &str, what: &[&str]| {
        let how = ["--key", key, "--kid", kid, "--ledger", consortium.origin(), "--api", &url];
        quittance([&["member"], what, &how].concat())
    };
    let early = as_vet_3(&key, "vet-3#1", &["propose", "remove", "vet-1"]);
    assert!(early.code == Some(1) && early.stderr.contains("unknown_member"), "{}", early.stderr);

    let proposal = change(&consortium, &node, &["add", &file]);
    assert_eq!(listed(&node, "vet-3")["to_height"], Value::Null);
    let again = member(&consortium, &node, "petexpert", &["approve", &proposal]);
    assert!(again.code == Some(1) && again.stderr.contains("proposal_settled"), "{}", again.stderr);
    let other = member(&consortium, &node, "heca", &["approve", &proposal]);
    assert!(other.stderr.contains("not_a_party"), "{}", other.stderr);

    // A new key, and the old one revoked.
    let new_key = own("record-vet-3-2.pem");
    let public = quittance(["key", "new", "--out", &new_key]).success().text().trim().to_owned();
    change(&consortium, &node, &["key-added", "vet-3", "2", &public]);
    change(&consortium, &node, &["key-revoked", "vet-3", "1"]);
    let old = as_vet_3(&key, "vet-3#1", &["propose", "remove", "vet-1"]);
    assert!(old.stderr.contains("key_not_valid_then"), "{}", old.stderr);
    let _ = as_vet_3(&new_key, "vet-3#2", &["propose", "remove", "vet-1"]).success();
    let table = quittance(["member", "list", "--api", &url]).success();
    assert!(table.text().contains("proposed by vet-3: remove vet-1"), "{}", table.text());

    // What the last validator may not do.
    let last = member(&consortium, &node, "heca", &["propose", "validator-out", "petexpert"]);
    assert!(last.stderr.contains("change_impossible"), "{}", last.stderr);

    change(&consortium, &node, &["remove", "vet-3"]);
    let left = listed(&node, "vet-3");
    let keys: Vec<_> =
        left["keys"].as_array().unwrap().iter().map(|key| &key["to_height"]).collect();
    assert!(keys.iter().all(|height| height.is_u64()), "{left}");
    assert_eq!(node.json("/v1/members")["proposals"], json!([]), "what it proposed went with it");
    assert_eq!(node.json("/v1/status")["members"], 11);

    // Known again after a restart, however the node ended.
    node.kill();
    node.restart();
    assert_eq!(listed(&node, "vet-3"), left);
    let _ = quittance(["audit", &node.url("")]).success();
    let _ = node.stop();
    let data = consortium.data().display().to_string();
    let _ = quittance(["reindex", "--data", &data]).success();
    let audited = quittance(["audit", &data, "--json"]).success();
    assert_eq!(audited.json()["valid"], true, "{}", audited.text());
    let policy = quittance(["policy", &data, "--at", "1"]).success();
    assert_eq!(policy.stdout, consortium.membership().policy().to_bytes());
    assert_eq!(quittance(["policy", &data, "--at", "999"]).code, Some(2));
}
