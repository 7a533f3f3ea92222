//! Record keys of ES256, as hardware modules and .NET have them: through a whole
//! node, its receipts, an audit and the history of members; signed and verified
//! by programs that nobody here wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use quittance_tests::{Node, quittance, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

const ORIGIN: &str = "tests.quittance.example/es256";

/// A ledger of one insurer, whose only record key is of ES256, and its node.
struct Ledger {
    folder: TempDir,
    node: Node,
}

impl Ledger {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let path = data.to_str().unwrap();
        let init = ["init", "--member", "insurer", "--role", "insurer", "--record-alg", "ES256"];
        let _ = quittance([&init[..], &["--data", path]].concat()).success();
        let member = data.join("member.toml").display().to_string();
        let genesis = quittance(["genesis", "--origin", ORIGIN, &member]).success();
        assert!(genesis.text().contains("alg = \"ES256\""), "{}", genesis.text());
        fs::write(data.join("genesis.toml"), genesis.text()).unwrap();
        Self { node: Node::start(&data), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self) -> PathBuf {
        self.path("data/keys/record-insurer-1.pem")
    }

    /// A payload with everything that signing elsewhere has to fill in.
    fn payload(&self, quote: &str) -> PathBuf {
        let path = self.path(&format!("{quote}.json"));
        let payload = json!({
            "ledger": ORIGIN, "type": "contract.quoted", "salt": "AAECAwQFBgcICQoLDA0ODw",
            "occurred_at": "2026-01-02T08:00:00+01:00", "data": { "quote": quote },
        });
        fs::write(&path, payload.to_string()).unwrap();
        path
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_member_with_a_key_of_es256_signs_appends_proves_and_is_audited() {
    let ledger = Ledger::new();
    let key = ledger.key();
    let record = ledger.path("record.jws");
    let payload = ledger.payload("Q-1");
    let sign = ["sign", "--key", text(&key), "--kid", "insurer#1", "--ledger", ORIGIN];
    let signed = |out: &Path| {
        let _ = quittance([&sign[..], &["--out", text(out), text(&payload)]].concat()).success();
        fs::read(out).unwrap()
    };
    // The same payload makes the same record: there is nothing random in it.
    assert_eq!(signed(&record), signed(&ledger.path("again.jws")));
    let url = ledger.node.url("");
    let _ = quittance(["append", text(&record), "--api", &url]).success();
    // The node signs with it too.
    let unsigned = ledger.path("unsigned.jsonl");
    let line = json!({"type": "contract.quoted", "occurred_at": "2026-01-02T08:00:00+01:00",
        "data": {"quote": "Q-2"}});
    fs::write(&unsigned, line.to_string()).unwrap();
    let _ = quittance(["append", text(&unsigned), "--api", &url, "--signer", "insurer"]).success();
    assert_eq!(ledger.node.tree_size(), 2);

    let members = ledger.node.json("/v1/members");
    let listed = &members["members"][0]["keys"][0];
    let shown = quittance(["key", "show", text(&key), "--json"]).success().json();
    assert_eq!((&listed["alg"], &listed["public"]), (&shown["alg"], &shown["public"]));
    assert_eq!(listed["alg"], "ES256");

    let policy = ledger.path("policy");
    fs::write(&policy, ledger.node.policy()).unwrap();
    let receipt = fs::read_dir(ledger.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tlog-proof"))
        .expect("append keeps a receipt");
    let _ = quittance(["verify", text(&receipt), "--policy", text(&policy)]).success();
    let _ = quittance(["audit", &url, "--policy", text(&policy)]).success();
}

#[test]
fn records_of_other_programs_are_taken_once_s_is_in_the_lower_half() {
    let Some(program) = tools::program("node") else { return };
    let ledger = Ledger::new();
    let payload = ledger.payload("Q-1");
    let signed = |form: &str| {
        let script = tools::script("sign_record.mjs");
        let key = ledger.key();
        let arguments = [text(&script), text(&key), "insurer#1", text(&payload), form];
        run(Command::new(&program).args(arguments))
    };
    let post = |jws: String| {
        let headers = [("content-type", "application/jose"), ("prefer", "wait=20")];
        ledger.node.post("/v1/records", &headers, jws)
    };
    let upper = post(signed("upper"));
    let problem: Value = serde_json::from_slice(&upper.body).unwrap();
    assert_eq!(problem["code"], "bad_signature", "{problem}");
    assert_eq!(problem["field"], "signature");
    assert!(problem["detail"].as_str().unwrap().contains("replace s by n − s"), "{problem}");
    let der = post(signed("der"));
    assert_eq!(der.status, 400, "{}", der.text());
    assert!(der.text().contains("not DER"), "{}", der.text());
    assert_eq!(ledger.node.tree_size(), 0);
    let lower = post(signed("lower"));
    assert_eq!(lower.status, 201, "{}", lower.text());
    assert_eq!(ledger.node.tree_size(), 1);
}

#[test]
fn the_npm_package_verifies_a_record_of_es256() {
    let Some((modules, program)) = tools::node_modules() else { return };
    let ledger = Ledger::new();
    let (key, record) = (ledger.key(), ledger.path("record.jws"));
    let payload = ledger.payload("Q-7");
    let sign = ["sign", "--key", text(&key), "--kid", "insurer#1", "--ledger", ORIGIN];
    let _ = quittance([&sign[..], &["--out", text(&record), text(&payload)]].concat()).success();
    // The public half as node's own crypto writes it.
    let public = ledger.path("public.pem");
    let export = "const c = require('crypto'), f = require('fs');\
        f.writeFileSync(process.argv[2], c.createPublicKey(f.readFileSync(process.argv[1]))\
        .export({type: 'spki', format: 'pem'}))";
    run(Command::new(&program).args(["-e", export, text(&key), text(&public)]));
    let shown = |path: &Path| quittance(["key", "show", text(path)]).success().text().to_owned();
    assert_eq!(shown(&public), shown(&key));
    let said = run(Command::new(&program)
        .arg(tools::script("verify_record.mjs"))
        .args([&modules, &record, &public])
        .arg("insurer#1"));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["data"]["quote"], "Q-7", "{said}");
}
