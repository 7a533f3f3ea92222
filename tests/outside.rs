//! Tools that nobody here wrote verify what a node serves: the crates
//! `tlog_tiles` and `signed_note`, the Python package `aics-tlog`, the npm
//! packages `jose` and `@sd-jwt/core`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quittance_tests::{Api, Consortium, Node, Signed, load_records, quittance, tools};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, tree_hash,
};

/// Records enough for full and partial tiles at level 0 and a partial one at
/// level 1, the partial ones of several checkpoints among them.
const RECORDS: usize = 2_600;

/// Reads tiles over HTTP, as the C2SP layout says.
struct HttpTiles<'a> {
    api: &'a Api,
    read: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl<'a> HttpTiles<'a> {
    fn new(api: &'a Api) -> Self {
        Self { api, read: RefCell::default() }
    }
}

impl TileReader for HttpTiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            // The crate spells the tiles' height, which C2SP leaves out.
            let path = tile.path().replacen("tile/8/", "/tile/", 1);
            let answer = self.api.get(&path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(answer.header("cache-control").contains("immutable"), "{path}");
            assert_eq!(answer.body.len(), tile.width() as usize * 32, "{path}");
            self.read.borrow_mut().insert(path, answer.body.clone());
            answer.body
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// A ledger of many records in blocks of different sizes.
fn ledger(count: usize) -> (Consortium, Node, Vec<Signed>) {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, count);
    let mut rest = &records[..];
    let mut size = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        node.append_all(now);
        rest = later;
        size = (size * 3 / 2 + 1).min(700);
    }
    assert_eq!(node.tree_size() as usize, count);
    (consortium, node, records)
}

/// The vkey of the log in a policy.
fn log_key(policy: &str) -> String {
    word(policy, "log ", 1)
}

fn word(policy: &str, line: &str, word: usize) -> String {
    let line = policy.lines().find(|found| found.starts_with(line)).unwrap();
    line.split_whitespace().nth(word).unwrap().to_owned()
}

#[test]
fn the_crates_verify_checkpoint_tiles_inclusion_consistency_and_entries() {
    let (consortium, node, records) = ledger(RECORDS);
    let policy = node.policy();

    // The checkpoint, under the log's key.
    let served = node.get("/checkpoint");
    assert!(!served.header("cache-control").contains("immutable"), "{:?}", served.headers);
    let note = Note::from_bytes(&served.body).unwrap();
    let key = StandardVerifier::new(&log_key(&policy)).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(key)])).unwrap();
    assert_eq!(verified.len(), 1);
    let head = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((head.origin(), head.size()), (consortium.origin(), RECORDS as u64));

    // Tiles lead to its root; every record that is asked for is in.
    let tiles = HttpTiles::new(&node);
    let hashes = TileHashReader::new(head.size(), *head.hash(), &tiles);
    assert_eq!(tree_hash(head.size(), &hashes).unwrap(), *head.hash());
    for index in (0..RECORDS).step_by(131).chain([255, 256, 2559, 2560, RECORDS - 1]) {
        let proof = prove_record(head.size(), index as u64, &hashes).unwrap();
        let leaf = record_hash(&hex::decode(&records[index].id).unwrap());
        check_record(&proof, head.size(), *head.hash(), index as u64, leaf).unwrap();
    }

    // Every checkpoint ever published is a beginning of the last one, and its
    // own partial tiles are still there.
    let published = node.json("/v1/checkpoints?limit=1000");
    let published = published["checkpoints"].as_array().unwrap();
    assert!(published.len() > 8, "{}", published.len());
    for item in published {
        let note = Note::from_bytes(item["note"].as_str().unwrap().as_bytes()).unwrap();
        let old = Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!(old.size(), item["size"].as_u64().unwrap());
        if old.size() == 0 {
            continue;
        }
        if old.size() < head.size() {
            let proof = prove_tree(head.size(), old.size(), &hashes).unwrap();
            check_tree(&proof, head.size(), *head.hash(), old.size(), *old.hash()).unwrap();
        }
        let hashes = TileHashReader::new(old.size(), *old.hash(), &tiles);
        assert_eq!(tree_hash(old.size(), &hashes).unwrap(), *old.hash());
        // The node's own proof says the same.
        let answer = node.json(&format!("/v1/consistency?from={}&to={}", old.size(), head.size()));
        let served: Vec<Hash> = answer["hashes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hash| Hash::parse_hash(hash.as_str().unwrap()).unwrap())
            .collect();
        check_tree(&served, head.size(), *head.hash(), old.size(), *old.hash()).unwrap();
    }

    // Entry bundles hold the ids whose hashes the tiles are.
    for bundle in 0..RECORDS.div_ceil(256) {
        let width = (RECORDS - bundle * 256).min(256);
        let partial = if width == 256 { String::new() } else { format!(".p/{width}") };
        let entries = node.get(&format!("/tile/entries/{bundle:03}{partial}"));
        let tile = node.get(&format!("/tile/0/{bundle:03}{partial}"));
        assert_eq!((entries.status, tile.status), (200, 200), "{bundle}");
        assert_eq!(entries.body.len(), width * 34);
        for (number, (entry, hash)) in entries.body.chunks(34).zip(tile.body.chunks(32)).enumerate()
        {
            assert_eq!(&entry[..2], [0, 32]);
            assert_eq!(hex::encode(&entry[2..]), records[bundle * 256 + number].id);
            assert_eq!(record_hash(&entry[2..]).0, hash);
        }
    }
    let read = tiles.read.borrow();
    for level in ["/tile/0/000", "/tile/0/010.p/", "/tile/1/000.p/10"] {
        assert!(read.keys().any(|path| path.starts_with(level)), "{level}: {:?}", read.keys());
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn the_python_package_verifies_checkpoint_cosignature_and_inclusion() {
    let Some(python) = tools::python() else { return };
    let (_, node, records) = ledger(700);
    let policy = node.policy();
    let witness = word(&policy, "witness ", 2);
    let wanted: Vec<String> = [0, 255, 256, 511, 512, 699]
        .map(|index: usize| format!("{index}:{}", records[index].id))
        .to_vec();
    let output = run(Command::new(python)
        .arg(tools::script("verify_log.py"))
        .args([&node.url(""), &log_key(&policy), &witness])
        .args(&wanted));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("700 entries verified"), "{said}");
    assert!(said.contains("6 records included"), "{said}");
}

#[test]
fn the_npm_package_verifies_the_signature_of_a_record() {
    let Some((modules, program)) = tools::node_modules() else { return };
    let (consortium, node, records) = ledger(5);
    let record =
        node.get_with(&format!("/v1/records/{}", records[3].id), &[("accept", "application/jose")]);
    let folder: PathBuf = consortium.folder().join("jose");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("record.jws"), &record.body).unwrap();
    let public = URL_SAFE_NO_PAD.encode(consortium.key("heca").verifying_key().as_bytes());
    let output = run(Command::new(program)
        .arg(tools::script("verify_record.mjs"))
        .args([&modules, &folder.join("record.jws")])
        .args([&*public, "heca#1"]));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["data"]["quote"], "Q-3", "{said}");
    assert_eq!(said["ledger"], consortium.origin());
}

#[test]
fn the_npm_package_for_sd_jwt_opens_a_presentation() {
    let Some((modules, program)) = tools::node_modules() else { return };
    let consortium = Consortium::new();
    let data = consortium.data().display().to_string();
    let make = ["token", "create", "--scope", "private:heca", "--data", &data];
    let token = format!("Bearer {}", quittance(make).success().text().trim_end());
    let node = consortium.start();
    let body = serde_json::json!({"signer": "heca", "private": ["data.reachable"], "record": {
        "type": "party.updated", "occurred_at": "2026-01-02T08:00:00+01:00", "name": "Anna Müller",
        "data": {"what": "address", "effective": "2026-02-01", "reachable": true,
            "address": {"street": "Via Garibaldi 12", "city": "Milano"}},
    }});
    let json = [("content-type", "application/json"), ("prefer", "wait=60")];
    let appended = node.post("/v1/records", &json, body.to_string());
    assert_eq!(appended.status, 201, "{}", appended.text());
    let path = format!("/v1/vault/{}", appended.json()["id"].as_str().unwrap());
    let presentation =
        node.get_with(&path, &[("accept", "application/sd-jwt"), ("authorization", &token)]);
    assert_eq!(presentation.status, 200, "{}", presentation.text());
    let file = consortium.folder().join("record.sd-jwt");
    fs::write(&file, &presentation.body).unwrap();
    let public = URL_SAFE_NO_PAD.encode(consortium.key("heca").verifying_key().as_bytes());
    let opened = |fields: &[&str]| -> serde_json::Value {
        let output = run(Command::new(&program)
            .arg(tools::script("open_presentation.mjs"))
            .args([&modules, &file])
            .arg(&public)
            .args(fields));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = opened(&[]);
    assert_eq!(all["name"], "Anna Müller", "{all}");
    assert_eq!(all["data"]["address"], body["record"]["data"]["address"]);
    assert_eq!(
        (&all["data"]["reachable"], &all["data"]["what"]),
        (&true.into(), &"address".into())
    );
    // Somebody who may see the address only is given no more.
    let one = opened(&["data.address"]);
    assert_eq!(one["data"]["address"]["city"], "Milano", "{one}");
    assert!(one.get("name").is_none() && one["data"].get("reachable").is_none(), "{one}");
    // What was changed does not open.
    let text = String::from_utf8(presentation.body).unwrap();
    let swapped = text.replacen('~', "~WyJBQUVDQXdRRkJnY0lDUW9MREEwT0R3IiwibmFtZSIsIkIiXQ~", 1);
    fs::write(&file, swapped).unwrap();
    let output = Command::new(&program)
        .arg(tools::script("open_presentation.mjs"))
        .args([&modules, &file])
        .arg(&public)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() || !said.contains("\"B\""), "{said}");
}
