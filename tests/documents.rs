//! Documents: the same invoice at two insurers is found, nobody without the key
//! can link the two, a file that changed is noticed, and no file stands in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use quittance_tests::{Consortium, Node, binary, quittance, wait_for};
use serde_json::{Value, json};

const INVOICE: &[u8] = b"Invoice 2026-17, Clinique du Parc, 180.00 EUR";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An insurer's own machine: its folder, and the match key it was handed.
struct Insurer<'a> {
    consortium: &'a Consortium,
    node: &'a Node,
    member: &'static str,
    folder: PathBuf,
}

impl<'a> Insurer<'a> {
    fn new(consortium: &'a Consortium, node: &'a Node, member: &'static str) -> Self {
        let folder = consortium.folder().join(member);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("facture.pdf"), INVOICE).unwrap();
        Self { consortium, node, member, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Appends a contract that commits to a file; gives the record.
    fn issue(&self, number: u32, file: &str, match_key: Option<&Path>) -> Value {
        let contract = format!("{}/D-{number}", self.member);
        let record = json!({
            "type": "contract.issued", "occurred_at": "2026-01-02T08:00:00+01:00",
            "contract": contract, "data": {
                "version": 1, "line_of_business": "pet_health", "signature_required": false,
                "period": {"from": "2026-01-01", "to": "2026-12-31"},
            },
            "documents": [{"kind": "invoice", "file": file}],
        });
        let lines = self.path(&format!("{number}.jsonl"));
        fs::write(&lines, record.to_string()).unwrap();
        let key = self.consortium.data().join(format!("keys/record-{}-1.pem", self.member));
        let (url, kid) = (self.node.url(""), format!("{}#1", self.member));
        let mut arguments = vec!["append", text(&lines), "--api", &url, "--key", text(&key)];
        arguments.extend(["--kid", &kid, "--ledger", self.consortium.origin()]);
        if let Some(match_key) = match_key {
            arguments.extend(["--match-key", text(match_key)]);
        }
        let _ = quittance(&arguments).success();
        // Again, with the file and the salts that are there: nothing new.
        let size = self.node.tree_size();
        let _ = quittance(&arguments).success();
        assert_eq!(self.node.tree_size(), size);
        let listed = self.node.json(&format!("/v1/records?contract={contract}"));
        listed["records"][0].clone()
    }
}

fn match_key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let _ = quittance(["key", "match", "--out", text(&path)]).success();
    path
}

#[test]
fn the_same_invoice_at_two_insurers_is_found_and_nobody_without_the_key_can_link_it() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let key = match_key(consortium.folder(), "match.key");
    let other_key = match_key(consortium.folder(), "other.key");
    let one = Insurer::new(&consortium, &node, "petexpert");
    let two = Insurer::new(&consortium, &node, "santevet");
    let none = node.json("/v1/duplicates");
    assert_eq!(none, json!({"duplicates": [], "next": null}));

    let first = one.issue(1, "facture.pdf", Some(&key));
    let document = |record: &Value| record["record"]["documents"][0].clone();
    assert_eq!(document(&first)["media_type"], "application/pdf");
    assert_eq!(document(&first)["size"], INVOICE.len());
    assert_eq!(node.json("/v1/duplicates")["duplicates"], json!([]));

    // Without the key, or with another one, nothing of the two is the same.
    let unkeyed = two.issue(2, "facture.pdf", None);
    let elsewhere = two.issue(3, "facture.pdf", Some(&other_key));
    assert_eq!(document(&unkeyed)["match"], Value::Null);
    assert_ne!(document(&elsewhere)["match"], document(&first)["match"]);
    for other in [&unkeyed, &elsewhere] {
        assert_ne!(document(other)["commitment"], document(&first)["commitment"]);
    }
    assert_eq!(node.json("/v1/duplicates")["duplicates"], json!([]));

    // With it, the second insurer's use of the invoice shows beside the first one's.
    let second = two.issue(4, "facture.pdf", Some(&key));
    assert_eq!(document(&second)["match"], document(&first)["match"]);
    assert_ne!(document(&second)["commitment"], document(&first)["commitment"]);
    let found = node.json("/v1/duplicates");
    let listed = found["duplicates"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{found}");
    assert_eq!(listed[0]["match"], document(&first)["match"]);
    assert_eq!(listed[0]["later"]["id"], second["id"]);
    assert_eq!(listed[0]["later"]["contract"], "santevet/D-4");
    assert_eq!(listed[0]["later"]["kind"], "invoice");
    assert_eq!(listed[0]["earlier"][0]["id"], first["id"]);
    assert_eq!(listed[0]["earlier"][0]["signer"], "petexpert");
    assert_eq!(listed[0]["more"], false);

    // By its match, and after the last one that was seen.
    let tag = document(&first)["match"].as_str().unwrap().to_owned();
    let of = |query: &str| node.json(&format!("/v1/duplicates?{query}"))["duplicates"].clone();
    assert_eq!(of(&format!("match={tag}")), found["duplicates"]);
    assert_eq!(of(&format!("match={}", "0".repeat(64))), json!([]));
    assert_eq!(of(&format!("after={}", listed[0]["later"]["index"])), json!([]));
    let api = node.url("");
    let shown = quittance(["duplicates", "--match", &tag, "--api", &api]).success();
    for part in ["santevet/D-4", "petexpert/D-1", "again", "before", "invoice"] {
        assert!(shown.text().contains(part), "{part}: {}", shown.text());
    }
    let csv = quittance(["duplicates", "--csv", "--api", &api]).success();
    assert_eq!(csv.text().lines().count(), 3, "{}", csv.text());
    let records = node.json(&format!("/v1/records?match={tag}"));
    assert_eq!(records["records"].as_array().unwrap().len(), 2);
    for bad in ["match=x", "after=x", "limit=0", "limit=1001", "matches=x"] {
        assert_eq!(node.get(&format!("/v1/duplicates?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn a_file_that_changed_is_noticed_before_and_after_it_is_recorded() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let insurer = Insurer::new(&consortium, &node, "petexpert");
    let record = insurer.issue(1, "facture.pdf", None);
    let jws = insurer.path("record.jws");
    fs::write(&jws, record["jws"].as_str().unwrap()).unwrap();
    let (salts, file) = (insurer.path("1.jsonl.salts"), insurer.path("facture.pdf"));
    let check = || quittance(["document", text(&jws), text(&file), "--salts", text(&salts)]);
    let ended = check();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // One bit, at the same length.
    let mut changed = INVOICE.to_vec();
    changed[20] ^= 1;
    fs::write(&file, &changed).unwrap();
    assert_eq!(check().code, Some(1));
    fs::write(&file, &INVOICE[1..]).unwrap();
    assert_eq!(check().code, Some(1));
    // Appending the lines again makes no second record of another file.
    let lines = insurer.path("1.jsonl");
    let key = consortium.data().join("keys/record-petexpert-1.pem");
    let url = node.url("");
    let append = ["append", text(&lines), "--api", &url, "--key", text(&key)];
    let whose = ["--kid", "petexpert#1", "--ledger", consortium.origin()];
    let ended = quittance([&append[..], &whose].concat());
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("was changed"), "{}", ended.stderr);
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn a_document_much_larger_than_the_memory_is_signed_in_one_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _ = quittance(["key", "new", "--out", text(&path("key.pem"))]).success();
    let key = match_key(folder.path(), "match.key");
    // Takes no room on the disk.
    let scan = path("scan.tiff");
    File::create(&scan).unwrap().set_len(256 << 20).unwrap();
    let payload = json!({"type": "contract.quoted", "occurred_at": "2026-01-02T08:00:00+01:00",
        "data": {"quote": "Q-1"}});
    fs::write(path("record.json"), payload.to_string()).unwrap();
    // All that the program may write to in memory: a quarter of the file, in KiB.
    let script = "ulimit -d 65536 && exec \"$0\" \"$@\"";
    let document = format!("scan={}", scan.display());
    let output = Command::new("sh")
        .args(["-c", script, text(binary())])
        .args(["sign", "--key", text(&path("key.pem")), "--kid", "petexpert#1"])
        .args(["--ledger", "ledger.example/q", "--document", &document])
        .args(["--match-key", text(&key), "--out", text(&path("record.jws"))])
        .arg(path("record.json"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (jws, salts) = (path("record.jws"), path("record.jws.salts"));
    let check = ["document", text(&jws), text(&scan), "--salts", text(&salts), "--json"];
    let checked = quittance(check).success().json();
    assert_eq!(checked[0]["kind"], "scan");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&salts).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn the_salt_of_a_document_is_in_the_vault_until_it_is_erased() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let insurer = Insurer::new(&consortium, &node, "petexpert");
    let record = insurer.issue(1, "facture.pdf", None);
    let (id, jws) = (record["id"].as_str().unwrap(), record["jws"].as_str().unwrap());
    let data = consortium.data();
    let create = ["token", "create", "--data", text(&data), "--scope", "private:petexpert"];
    let token = quittance(create).success().text().trim().to_owned();
    let authorization = format!("Bearer {token}");
    let path = format!("/v1/vault/{id}");
    let get = |accept: &str| {
        node.get_with(&path, &[("authorization", &authorization), ("accept", accept)])
    };

    let commitment = record["record"]["documents"][0]["commitment"].as_str().unwrap();
    assert_eq!(record["record"]["document_salts"], Value::Null);
    let given = wait_for("the node to take up the token", || {
        Some(get("application/json")).filter(|answer| answer.status == 200)
    });
    let fields = given.json()["fields"].clone();
    assert_eq!(fields[0]["name"], "document_salts", "{fields}");
    let salt = fields[0]["value"][commitment].as_str().unwrap().to_owned();
    let kept = fs::read_to_string(insurer.path("1.jsonl.salts")).unwrap();
    assert!(kept.contains(&salt), "{kept}");

    // What the vault gives is enough to tell the file, found beside or named.
    fs::write(insurer.path("record.jws"), jws).unwrap();
    let (record_path, file) = (insurer.path("record.jws"), insurer.path("facture.pdf"));
    let check = ["document", text(&record_path), text(&file)];
    assert_eq!(quittance(check).code, Some(2));
    let presentation = insurer.path("record.sd-jwt");
    fs::write(&presentation, get("application/sd-jwt").body).unwrap();
    let _ = quittance(check).success();
    let _ = quittance([&check[..], &["--salts", text(&presentation)]].concat()).success();
    let _ = quittance(["document", text(&presentation), text(&file)]).success();

    let body = json!({"basis": "gdpr_17_1_b"}).to_string();
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json"),
        ("prefer", "wait=60"),
    ];
    let erased = node.try_delete(&path, &headers, body).unwrap();
    assert_eq!(erased.status, 200, "{}", erased.text());
    assert_eq!(get("application/json").status, 410);
    assert!(!data.join("vault/sealed").join(id).exists());
}
