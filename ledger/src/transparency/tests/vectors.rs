//! The test vectors of docs/vectors/transparency.json, which
//! docs/FORMATS.md describes: computed here from their seeds and compared.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Consortium, TIME_S, checkpoint, ids,
    merkle::{self, Frontier},
    nodes, origin, receipt, record,
};
use crate::transparency::{Policy, layout, verify_bytes};

const SIZE: u64 = 7;

fn hex_of(bytes: &[u8]) -> Value {
    hex::encode(bytes).into()
}

fn text_of(bytes: &[u8]) -> Value {
    String::from_utf8(bytes.to_vec()).unwrap().into()
}

fn compute() -> Value {
    let members = ["anna", "bruno", "chiara", "dario"];
    let consortium = Consortium::new(&members);
    let ids = ids(SIZE);
    let nodes = nodes(&ids);
    let checkpoint = checkpoint(&ids);
    let signed = consortium.sign(&checkpoint, &[0, 1, 3]);
    let (log, cosigner) = (&consortium.logs[0], &consortium.cosigners[0]);
    let hashes = |proof: &[crate::digest::Digest]| {
        proof.iter().map(|hash| Value::from(hash.to_string())).collect::<Vec<_>>()
    };
    let keys: Vec<_> = members
        .iter()
        .zip(0_u8..)
        .map(|(member, number)| {
            let index = usize::from(number);
            json!({
                "member": member,
                "log_seed": hex_of(&[3 * number + 1; 32]),
                "log_vkey": consortium.logs[index].verifier_key().to_string(),
                "cosigner_seed": hex_of(&[3 * number + 2; 32]),
                "cosigner_vkey": consortium.cosigners[index].verifier_key().to_string(),
                "consensus_seed": hex_of(&[3 * number + 3; 32]),
            })
        })
        .collect();
    let mut frontier = Frontier::new();
    let mut roots = vec![json!(frontier.root().to_string())];
    for id in &ids {
        frontier.push(merkle::leaf_hash(id)).unwrap();
        roots.push(json!(frontier.root().to_string()));
    }
    let tile = layout::TilePath::Hashes { level: 0, index: 0, width: 7 };
    let bundle = layout::TilePath::Entries { index: 0, width: 7 };
    json!({
        "origin": origin().as_str(),
        "keys": keys,
        "records": (0..SIZE).map(|number| text_of(&record(number))).collect::<Vec<_>>(),
        "ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "leaf_hashes": ids.iter().map(|id| merkle::leaf_hash(id).to_string()).collect::<Vec<_>>(),
        "roots_by_size": roots,
        "stored_nodes": hashes(nodes.as_slice()),
        "inclusion": (0..SIZE).map(|index| json!({
            "index": index,
            "size": SIZE,
            "proof": hashes(&merkle::inclusion(index, SIZE, &nodes).unwrap()),
        })).collect::<Vec<_>>(),
        "consistency": (0..=SIZE).map(|from| json!({
            "from": from,
            "to": SIZE,
            "proof": hashes(&merkle::consistency(from, SIZE, &nodes).unwrap()),
        })).collect::<Vec<_>>(),
        "checkpoint_body": checkpoint.body(),
        "log_signature": hex_of(&log.sign(&checkpoint)),
        "cosignature_time_s": TIME_S,
        "cosignature_message": text_of(&crate::transparency::cosignature_message(&checkpoint, TIME_S)),
        "cosignature": hex_of(&cosigner.cosign(&checkpoint, TIME_S)),
        "signed_checkpoint": signed.to_text(),
        "policy": consortium.policy().to_string(),
        "tile": { "path": tile.to_string(), "bytes": hex_of(&layout::tile_bytes(&tile, &nodes).unwrap()) },
        "entries": { "path": bundle.to_string(), "bytes": hex_of(&layout::entries_bytes(&ids)) },
        "receipt": receipt(&consortium, SIZE, 4, &[0, 1, 3]).to_text(),
    })
}

/// Set `QUITTANCE_WRITE_VECTORS` to write the file anew, after a change of format.
#[test]
fn the_published_vectors_are_what_this_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/transparency.json");
    let computed = compute();
    if std::env::var_os("QUITTANCE_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let published: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (name, value) in computed.as_object().unwrap() {
        assert_eq!(&published[name], value, "{name}");
    }
    assert_eq!(published, computed);
}

#[test]
fn the_published_receipt_verifies_with_the_published_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/transparency.json");
    let published: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let policy = Policy::parse(published["policy"].as_str().unwrap().as_bytes()).unwrap();
    let verification = verify_bytes(published["receipt"].as_str().unwrap().as_bytes(), &policy);
    assert!(verification.is_valid(), "{verification:?}");
}
