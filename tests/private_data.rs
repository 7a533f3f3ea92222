//! What is private never lies on a node's disk for others to read, and once it
//! is erased it is gone while every receipt, audit and proof holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path, thread, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use quittance_tests::{Answer, Api, Consortium, Node, quittance, quittance_in, wait_for};
use serde_json::{Value, json};

const NAME: &str = "Anna Maria Rossi-Bianchi";
const ADDRESS: &str = "Via Garibaldi 12, 20121 Milano";
const IBAN: &str = "IT60X0542811101000000123456";

const JSON_WAIT: &[(&str, &str)] = &[("content-type", "application/json"), ("prefer", "wait=60")];

fn party(number: u32) -> Value {
    json!({
        "type": "party.updated", "name": NAME,
        "occurred_at": format!("2026-01-02T08:00:{number:02}+01:00"),
        "data": {"what": "address", "effective": "2026-02-01", "address": ADDRESS, "iban": IBAN},
    })
}

/// Makes a token for what is private of the records that heca signed, before
/// the node starts. Gives what to show.
fn token(consortium: &Consortium) -> String {
    let data = consortium.data().display().to_string();
    let make = ["token", "create", "--scope", "private:heca", "--data", &data];
    format!("Bearer {}", quittance(make).success().text().trim_end())
}

fn private(api: &Api, id: &str, token: &str) -> Answer {
    api.get_with(&format!("/v1/vault/{id}"), &[("authorization", token)])
}

fn fields(api: &Api, id: &str, token: &str) -> Value {
    let answer = private(api, id, token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn erase(api: &Api, id: &str, token: &str) -> Result<Answer, Box<dyn std::error::Error>> {
    let body = json!({"basis": "gdpr_17_1_b"}).to_string();
    let headers = [JSON_WAIT, &[("authorization", token)]].concat();
    Ok(api.try_delete(&format!("/v1/vault/{id}"), &headers, body)?)
}

/// A text as it may stand in a file: as it is, and inside of base64 at each of
/// the three places where it may begin.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![text.as_bytes().to_vec()];
    for shift in 0..3 {
        let shifted = [&vec![b'x'; shift][..], text.as_bytes()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            // Without the characters that also depend on what stands around it.
            let encoded = engine.encode(&shifted).into_bytes();
            spellings.push(encoded[(shift * 4).div_ceil(3)..encoded.len() - 2].to_vec());
        }
    }
    spellings.push(hex::encode(text).into_bytes());
    spellings
}

/// Checks that no file below `folder` holds any of the texts, in any spelling.
#[track_caller]
fn assert_nowhere(folder: &Path, texts: &[&str]) {
    let needles: Vec<_> = texts.iter().flat_map(|text| spellings(text)).collect();
    assert_bytes_nowhere(folder, &needles);
}

#[track_caller]
fn assert_bytes_nowhere(folder: &Path, needles: &[Vec<u8>]) {
    let mut files = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The engine may replace one of its own meanwhile.
            let Ok(bytes) = fs::read(&path) else { continue };
            files += 1;
            for needle in needles {
                let found = bytes.windows(needle.len()).any(|window| window == &needle[..]);
                assert!(!found, "{}: {}", path.display(), String::from_utf8_lossy(needle));
            }
        }
    }
    assert!(files > 5, "{files}");
}

#[test]
fn the_search_finds_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6 {
        fs::write(folder.path().join(number.to_string()), "nothing").unwrap();
    }
    assert_nowhere(folder.path(), &[ADDRESS]);
    let disclosure = json!(["AAECAwQFBgcICQoLDA0ODw", "address", ADDRESS]).to_string();
    for text in [
        disclosure.clone(),
        URL_SAFE_NO_PAD.encode(&disclosure),
        URL_SAFE_NO_PAD.encode(format!("x{disclosure}")),
        STANDARD_NO_PAD.encode(format!("xx{disclosure}")),
    ] {
        fs::write(folder.path().join("0"), format!("before{text}after")).unwrap();
        let found = std::panic::catch_unwind(|| assert_nowhere(folder.path(), &[ADDRESS]));
        assert!(found.is_err(), "{text}");
    }
}

#[track_caller]
fn assert_all_proofs_hold(node: &Node, consortium: &Consortium, receipts: &[&Path]) {
    let policy = consortium.policy_file().display().to_string();
    for receipt in receipts {
        let _ =
            quittance(["verify", &receipt.display().to_string(), "--policy", &policy]).success();
    }
    let _ = quittance(["audit", &node.url(""), "--policy", &policy]).success();
    let size = node.tree_size();
    assert_eq!(node.json(&format!("/v1/consistency?from=1&to={size}"))["to"], size);
}

#[test]
fn what_is_private_is_signed_kept_read_and_erased_while_every_proof_holds() {
    let consortium = Consortium::new();
    let token = token(&consortium);
    let mut node = consortium.start();
    let folder = consortium.folder().join("client");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("party.json"), party(1).to_string()).unwrap();
    let key = consortium.data().join("keys/record-heca-1.pem").display().to_string();
    let signing = ["sign", "--key", &key, "--kid", "heca#1", "--ledger", consortium.origin()];
    let files = ["--out", "record.jws", "party.json"];
    let _ = quittance_in(&folder, [&signing[..], &files].concat()).success();
    let jws = fs::read_to_string(folder.join("record.jws")).unwrap();
    let presentation = fs::read_to_string(folder.join("record.sd-jwt")).unwrap();
    assert!(presentation.starts_with(&format!("{jws}~")));

    // Through the command line, twice, and from JSON that the node signs.
    let policy = consortium.policy_file().display().to_string();
    let url = node.url("");
    let append = ["append", "record.jws", "--api", &url, "--policy", &policy, "--json"];
    let report = quittance_in(&folder, append).success().json();
    assert_eq!(report["files"][0]["recorded"], 1, "{report}");
    let again = quittance_in(&folder, append).success().json();
    assert_eq!(again["files"][0]["kept"], 1, "{again}");
    let id = quittance_tests::Signed::of(jws).id;
    let body = json!({"signer": "heca", "record": party(2)}).to_string();
    let unsigned = node.post("/v1/records", JSON_WAIT, body);
    assert_eq!(unsigned.status, 201, "{}", unsigned.text());
    let other = unsigned.json()["id"].as_str().unwrap().to_owned();

    for id in [&id, &other] {
        // Nobody gets at it without a token, on this machine either.
        let refused = node.get(&format!("/v1/vault/{id}"));
        assert_eq!((refused.status, &*refused.problem()), (401, "token_required"));
        let given = fields(&node, id, &token);
        let mut fields: Vec<_> = given["fields"].as_array().unwrap().clone();
        fields.sort_by_key(|field| field["name"].as_str().unwrap().to_owned());
        let values: Vec<_> = fields.iter().map(|field| field["value"].as_str().unwrap()).collect();
        assert_eq!(values, [ADDRESS, IBAN, NAME]);
    }
    assert_eq!(fields(&node, &id, &token)["presentation"], presentation.trim());
    assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
    let other_receipt = folder.join("other.tlog-proof");
    fs::write(&other_receipt, node.receipt(&other)).unwrap();
    let receipts = [folder.join("record.tlog-proof"), other_receipt];
    let receipts: Vec<_> = receipts.iter().map(std::path::PathBuf::as_path).collect();
    assert_all_proofs_hold(&node, &consortium, &receipts);

    // Erased: gone here, said on the ledger, and all else as before.
    let vault = consortium.data().join("vault");
    let sealed = fs::read(vault.join("sealed").join(&id)).unwrap();
    let slots = fs::read(vault.join("slots")).unwrap();
    let slot = slots.chunks(128).find(|slot| slot[4..36] == hex::decode(&id).unwrap()).unwrap();
    let erased = erase(&node, &id, &token).unwrap();
    assert_eq!(erased.status, 200, "{}", erased.text());
    let by = erased.json()["erased_by"].as_str().unwrap().to_owned();
    let said = node.json(&format!("/v1/records/{by}"));
    assert_eq!(said["record"]["data"], json!({"record": id, "basis": "gdpr_17_1_b"}));
    assert!(!vault.join("sealed").join(&id).exists());
    for restarted in [false, true] {
        if restarted {
            node.kill();
            node.restart();
        }
        let gone = private(&node, &id, &token);
        assert_eq!((gone.status, &*gone.problem()), (410, "erased"));
        let kept = fields(&node, &other, &token);
        assert_eq!(kept["fields"].as_array().unwrap().len(), 3);
        assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
        assert_bytes_nowhere(&consortium.data(), &[sealed[25..].to_vec(), slot[52..124].to_vec()]);
        assert_all_proofs_hold(&node, &consortium, &receipts);
    }

    // Whoever appends the file again does not bring it back.
    fs::remove_file(folder.join("record.tlog-proof")).unwrap();
    let url = node.url("");
    let ended = quittance_in(&folder, ["append", "record.sd-jwt", "--api", &url]).success();
    assert!(ended.stderr.contains("was erased"), "{}", ended.stderr);
    assert_eq!(private(&node, &id, &token).status, 410);
    node.stop();
    let data = consortium.data().display().to_string();
    let _ = quittance(["audit", &data, "--policy", &policy]).success();
    assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
}

#[test]
fn what_is_private_is_shown_and_erased_by_the_command_while_every_proof_holds() {
    let consortium = Consortium::new();
    let folder = consortium.folder().join("client");
    fs::create_dir(&folder).unwrap();
    let token_file = folder.join("private.token").display().to_string();
    let data = consortium.data().display().to_string();
    let make = ["token", "create", "--scope", "private:heca", "--data", &data];
    let _ = quittance([&make[..], &["--out", &token_file]].concat()).success();
    let mut node = consortium.start();
    let body = json!({"signer": "heca", "record": party(1)}).to_string();
    let id = node.post("/v1/records", JSON_WAIT, body).json()["id"].as_str().unwrap().to_owned();
    let receipt = folder.join("record.tlog-proof");
    fs::write(&receipt, node.receipt(&id)).unwrap();
    let url = node.url("");
    let asking = ["private", &id, "--api", &url];
    let private =
        |more: &[&str]| quittance([&asking[..], &["--token-file", &token_file], more].concat());

    let refused = quittance(asking);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("token_required"), "{}", refused.stderr);
    let shown = private(&[]).success();
    let shown = shown.text();
    for value in ["name", NAME, "data.address", ADDRESS, "data.iban", IBAN] {
        assert!(shown.contains(value), "{shown}");
    }
    let shown = private(&["--json"]).success().json();
    assert_eq!((&shown["id"], shown["fields"].as_array().unwrap().len()), (&json!(id), 3));

    let malformed = private(&["--erase", NAME]);
    assert_eq!(malformed.code, Some(2), "{}", malformed.stderr);
    let by = private(&["--erase", "gdpr_17_1_b"]).success().text().trim_end().to_owned();
    let said = node.json(&format!("/v1/records/{by}"));
    assert_eq!(said["record"]["type"], "disclosure.erased");
    assert_eq!(said["record"]["data"], json!({"record": id, "basis": "gdpr_17_1_b"}));
    let again = private(&["--erase", "gdpr_17_1_b", "--json"]).success().json();
    assert_eq!(again, json!({"id": id, "erased_by": by, "status": "final"}));
    let gone = private(&[]);
    assert_eq!((gone.code, gone.text()), (Some(1), ""), "{}", gone.stderr);
    assert!(gone.stderr.contains("erased") && gone.stderr.contains(&by), "{}", gone.stderr);
    let of_erasure = folder.join("erasure.tlog-proof");
    fs::write(&of_erasure, node.receipt(&by)).unwrap();
    assert_all_proofs_hold(&node, &consortium, &[&receipt, &of_erasure]);
    node.stop();
    let policy = consortium.policy_file().display().to_string();
    let _ = quittance(["audit", &data, "--policy", &policy]).success();
    assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
}

#[test]
fn lines_that_are_signed_here_or_by_the_node_keep_their_private_fields_out_and_are_made_once() {
    let consortium = Consortium::new();
    let token = token(&consortium);
    let node = consortium.start();
    let folder = consortium.folder().join("client");
    fs::create_dir(&folder).unwrap();
    let key = consortium.data().join("keys/record-heca-1.pem").display().to_string();
    let url = node.url("");
    for (file, first) in [("here.jsonl", 10), ("node.jsonl", 20)] {
        let lines: String = (first..first + 3)
            .map(|number| format!("{}\n", json!({"signer": "heca", "record": party(number)})))
            .collect();
        fs::write(folder.join(file), lines).unwrap();
        let signing = ["--key", &key, "--kid", "heca#1", "--ledger", consortium.origin()];
        let mut append = vec!["append", file, "--api", &url, "--json"];
        if first == 10 {
            append.extend(signing);
        }
        let size = node.tree_size();
        let report = quittance_in(&folder, &append).success().json();
        assert_eq!(report["files"][0]["recorded"], 3, "{report}");
        // With their receipts nothing is sent; without them they are found again.
        let report = quittance_in(&folder, &append).success().json();
        assert_eq!(report["files"][0]["kept"], 3, "{report}");
        fs::remove_dir_all(folder.join(format!("{file}.receipts"))).unwrap();
        let report = quittance_in(&folder, &append).success().json();
        assert_eq!(report["files"][0]["present"], 3, "{report}");
        assert_eq!(node.tree_size(), size + 3);
    }
    let records = node.all_records("&type=party.updated");
    assert_eq!(records.len(), 6);
    for record in records {
        let given = fields(&node, record["id"].as_str().unwrap(), &token);
        assert_eq!(given["fields"].as_array().unwrap().len(), 3, "{given}");
    }
    assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
}

#[test]
fn a_file_that_is_appended_again_after_its_erasure_gets_its_receipt_and_brings_nothing_back() {
    let consortium = Consortium::new();
    let token = token(&consortium);
    let mut node = consortium.start();
    let folder = consortium.folder().join("client");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("party.json"), party(30).to_string()).unwrap();
    let append = |url: &str| {
        let append = ["append", "party.json", "--signer", "heca", "--api", url, "--json"];
        quittance_in(&folder, append).success()
    };
    let report = append(&node.url("")).json();
    assert_eq!(report["files"][0]["recorded"], 1, "{report}");
    let id = node.all_records("&type=party.updated")[0]["id"].as_str().unwrap().to_owned();
    let receipt = folder.join("party.tlog-proof");
    assert_eq!(erase(&node, &id, &token).unwrap().status, 200);
    let size = node.tree_size();
    for restarted in [false, true] {
        if restarted {
            node.kill();
            node.restart();
        }
        fs::remove_file(&receipt).unwrap();
        let again = append(&node.url(""));
        assert!(again.stderr.contains("was erased there, and stays so"), "{}", again.stderr);
        assert_eq!(again.json()["files"][0]["present"], 1, "{}", again.text());
        assert_all_proofs_hold(&node, &consortium, &[&receipt]);
        assert_eq!(node.tree_size(), size, "it is not recorded once more");
        assert_eq!(private(&node, &id, &token).status, 410);
    }
    assert!(fs::read_dir(consortium.data().join("vault/sealed")).unwrap().next().is_none());
}

#[test]
fn a_node_that_is_killed_while_it_erases_has_erased_and_says_so_or_has_not() {
    let consortium = Consortium::new();
    let token = token(&consortium);
    let mut node = consortium.start();
    let mut ids: Vec<String> = Vec::new();
    for number in 0..6 {
        let body = json!({"signer": "heca", "record": party(number)}).to_string();
        let answer = node.post("/v1/records", JSON_WAIT, body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    for (number, id) in ids.iter().enumerate() {
        let api = node.api().clone();
        let acknowledged = thread::scope(|scope| {
            let erasing =
                scope.spawn(|| erase(&api, id, &token).is_ok_and(|answer| answer.status == 200));
            thread::sleep(Duration::from_millis(number as u64 * 3));
            node.kill_now();
            erasing.join().unwrap()
        });
        node.kill();
        node.restart();
        let answer = private(&node, id, &token);
        let erasures = || {
            let all = node.all_records("&type=disclosure.erased");
            all.iter().filter(|record| record["record"]["data"]["record"] == **id).count()
        };
        match answer.status {
            200 => {
                assert!(!acknowledged, "what was acknowledged is done");
                assert_eq!(erasures(), 0, "nothing is said of what is still there");
                assert_eq!(erase(&node, id, &token).unwrap().status, 200);
            }
            410 => wait_for("the record of the erasure", || (erasures() == 1).then_some(())),
            other => panic!("{other}: {}", answer.text()),
        }
        assert_eq!(erasures(), 1);
        assert!(!consortium.data().join("vault/sealed").join(id).exists());
    }
    wait_for("nothing to be left to say", || {
        fs::read_dir(consortium.data().join("vault/erasing"))
            .unwrap()
            .next()
            .is_none()
            .then_some(())
    });
    assert_nowhere(&consortium.data(), &[NAME, ADDRESS, IBAN]);
}

#[test]
fn a_vault_whose_key_is_lost_or_another_is_not_opened() {
    let consortium = Consortium::new();
    let token = token(&consortium);
    let mut node = consortium.start();
    let body = json!({"signer": "heca", "record": party(1)}).to_string();
    let id = node.post("/v1/records", JSON_WAIT, body).json()["id"].as_str().unwrap().to_owned();
    node.stop();
    let key = consortium.data().join("keys/vault.key");
    let text = fs::read_to_string(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let refused = Node::try_start(&consortium.data(), &Default::default()).unwrap_err();
    assert!(refused.stderr.contains("vault.key is missing"), "{}", refused.stderr);
    fs::write(&key, format!("{}\n", base64::engine::general_purpose::STANDARD.encode([1; 32])))
        .unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = Node::try_start(&consortium.data(), &Default::default()).unwrap_err();
    assert!(refused.stderr.contains("does not open the vault"), "{}", refused.stderr);
    fs::write(&key, text).unwrap();
    node.restart();
    assert_eq!(private(&node, &id, &token).status, 200);
}
