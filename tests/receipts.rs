//! A receipt in which anything was changed is never taken for a valid one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use quittance_ledger::transparency::verify_bytes;
use quittance_tests::{Consortium, load_records, quittance};

/// The checks of a receipt, as docs/FORMATS.md lists them.
const CHECKS: [&str; 5] = ["format", "record", "inclusion", "log_signature", "cosignatures"];

/// A ledger of a few records, and the receipt of one in its middle.
fn receipt() -> (Consortium, Vec<u8>) {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 21);
    node.append_all(&records);
    let receipt = node.receipt(&records[10].id);
    (consortium, receipt)
}

#[test]
fn every_byte_counts() {
    let (consortium, receipt) = receipt();
    let policy = consortium.membership().policy();
    assert!(verify_bytes(&receipt, &policy).is_valid());
    let mut failed_checks = std::collections::BTreeSet::new();
    for position in 0..receipt.len() {
        // One bit; another letter case; a byte that is no text.
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = receipt.clone();
            changed[position] ^= flip;
            let verification = verify_bytes(&changed, &policy);
            let failed: Vec<_> = verification
                .checks
                .iter()
                .filter(|check| !check.ok)
                .map(|check| check.name.clone().into_owned())
                .collect();
            assert!(!verification.is_valid(), "byte {position} xor {flip:#x} goes unnoticed");
            assert!(!failed.is_empty(), "byte {position}: no check failed");
            assert!(failed.iter().all(|name| CHECKS.contains(&&**name)), "{failed:?}");
            failed_checks.extend(failed);
        }
    }
    // Each check is the one that notices something.
    assert_eq!(failed_checks.len(), CHECKS.len(), "{failed_checks:?}");
    // Bytes that are missing or too many.
    for length in 0..receipt.len() {
        assert!(!verify_bytes(&receipt[..length], &policy).is_valid(), "cut after {length}");
    }
    assert!(!verify_bytes(&[&receipt[..], b"\n"].concat(), &policy).is_valid());
}

#[test]
fn the_command_line_and_the_node_say_which_check_failed() {
    let (consortium, receipt) = receipt();
    let policy = consortium.policy_file().display().to_string();
    let path = consortium.folder().join("changed.tlog-proof");
    let path_text = path.display().to_string();
    fs::write(&path, &receipt).unwrap();
    let good = quittance(["verify", &path_text, "--policy", &policy]).success();
    assert!(good.text().contains("valid"), "{}", good.text());
    let node = consortium.start();

    let text = String::from_utf8(receipt.clone()).unwrap();
    let note = text.find("\n\n").unwrap() + 2;
    let signatures: Vec<_> =
        text[note..].match_indices("— ").map(|(place, _)| note + place).collect();
    // Behind a signature line's name stand the key id and the signature.
    let signature = |start: usize| {
        text[start..].rfind(' ').map(|_| {
            let line = text[start..].lines().next().unwrap();
            start + line.rfind(' ').unwrap() + 20
        })
    };
    let root = note + text[note..].match_indices('\n').nth(1).unwrap().0 + 5;
    let cases = [
        (2, "format"),
        (text.find("extra ").unwrap() + 400, "inclusion"),
        (text.find("index ").unwrap() + "index 1".len(), "inclusion"),
        (text.find("index ").unwrap() + "index 10\n".len() + 3, "inclusion"),
        (root, "inclusion"),
        (signature(signatures[0]).unwrap(), "log_signature"),
        (signature(signatures[1]).unwrap(), "cosignatures"),
    ];
    for (position, check) in cases {
        let mut changed = receipt.clone();
        // The neighbour in the alphabet: still base64, still a digit.
        changed[position] ^= 1;
        if !changed[position].is_ascii_alphanumeric() {
            changed[position] = if receipt[position] == b'A' { b'B' } else { b'A' };
        }
        fs::write(&path, &changed).unwrap();
        let ended = quittance(["verify", &path_text, "--policy", &policy]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let said = format!("{}{}", ended.text(), ended.stderr);
        assert!(said.contains(check), "{position}: {said}");
        let ended = quittance(["verify", &path_text, "--policy", &policy, "--json"]);
        assert_eq!(ended.code, Some(1));

        let answer = node.post("/v1/verify", &[("content-type", "text/plain")], &changed);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["valid"], false, "{answer}");
        let failed = |name: &str| {
            let checks = answer["checks"].as_array().unwrap();
            checks.iter().any(|found| found["name"] == name && found["ok"] == false)
        };
        assert!(failed(check), "{position}, {check}: {answer}");
    }
    let answer = node.post("/v1/verify", &[("content-type", "text/plain")], &receipt).json();
    assert_eq!(answer["valid"], true, "{answer}");
}

#[test]
fn a_receipt_of_another_ledger_is_not_valid_here() {
    let (_, receipt) = receipt();
    let other = Consortium::new();
    assert!(!verify_bytes(&receipt, &other.membership().policy()).is_valid());
}

#[test]
fn what_cannot_be_used_is_told_from_what_is_not_valid() {
    let consortium = Consortium::new();
    let policy = consortium.policy_file().display().to_string();
    assert_eq!(quittance(["verify", "/not/there", "--policy", &policy]).code, Some(2));
    let receipt = consortium.folder().join("x.tlog-proof");
    fs::write(&receipt, "no receipt").unwrap();
    let receipt = receipt.display().to_string();
    assert_eq!(quittance(["verify", &receipt, "--policy", &policy]).code, Some(1));
    assert_eq!(quittance(["verify", &receipt, "--policy", &receipt]).code, Some(2));
}

#[test]
fn a_key_that_the_genesis_does_not_know_is_neither_valid_nor_invalid() {
    let (consortium, receipt) = receipt();
    let path = consortium.folder().join("record.tlog-proof");
    let path_text = path.display().to_string();
    fs::write(&path, &receipt).unwrap();
    let genesis = fs::read_to_string(consortium.data().join("genesis.toml")).unwrap();
    let file = consortium.folder().join("other.toml");
    let verify = |genesis: &str, more: &[&str]| {
        fs::write(&file, genesis).unwrap();
        let file = file.display().to_string();
        quittance([&["verify", &path_text, "--genesis", &file][..], more].concat())
    };
    assert!(verify(&genesis, &[]).success().text().starts_with("valid"));

    // As if the key had been added later: the genesis has another one.
    let earlier = genesis.replace("id = \"1\"", "id = \"9\"");
    assert_ne!(earlier, genesis);
    let policy = consortium.policy_file().display().to_string();
    for more in [&[][..], &["--policy", &policy]] {
        let ended = verify(&earlier, more);
        assert_eq!(ended.code, Some(2), "{}", ended.text());
        assert!(ended.text().starts_with("undecided"), "{}", ended.text());
        assert!(ended.stderr.contains("has no key 1 there; use --policy"), "{}", ended.stderr);
    }
    let ended = verify(&earlier, &["--json"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let found = ended.json()[0].clone();
    assert_eq!((&found["valid"], &found["undecided"]), (&false.into(), &true.into()));

    // A defect beside it is one.
    let text = String::from_utf8(receipt).unwrap();
    fs::write(&path, text.replacen("index 10\n", "index 11\n", 1)).unwrap();
    let ended = verify(&earlier, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.text().starts_with("INVALID"), "{}", ended.text());
    // So is one in another receipt of the same command.
    let good = consortium.folder().join("good.tlog-proof");
    fs::write(&good, &text).unwrap();
    let ended = verify(&earlier, &[&good.display().to_string()]);
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert!(ended.text().contains("undecided"), "{}", ended.text());
}
