//! What is signed on a client's machine is signed for the ledger its owner
//! named, and secret keys do not leak into files that others read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use quittance_tests::{Consortium, Ended, binary, quittance};

const QUOTE: &str = r#"{"type":"contract.quoted","occurred_at":"2026-01-02T08:00:00+01:00","data":{"quote":"Q-1","premium":12000,"currency":"EUR"}}"#;

#[test]
fn a_node_cannot_choose_the_ledger_that_a_client_signs_for() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let record = consortium.folder().join("quote.json");
    fs::write(&record, QUOTE).unwrap();
    let record = record.display().to_string();
    let key = consortium.data().join("keys/record-heca-1.pem").display().to_string();
    let url = node.url("");
    let append = |more: &[&str]| -> Ended {
        let signed = ["append", &record, "--api", &url, "--key", &key, "--kid", "heca#1"];
        quittance([&signed, more].concat())
    };
    let ended = append(&[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--ledger"), "{}", ended.stderr);
    let ended = append(&["--ledger", "ledger.example/another"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing was signed"), "{}", ended.stderr);
    assert_eq!(node.tree_size(), 0);
    let report = append(&["--ledger", consortium.origin(), "--json"]).success().json();
    assert_eq!(report["policy"], "of the node");
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn a_secret_key_is_not_printed_into_a_file_that_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let print = |mode| {
        let file = fs::File::create(&path).unwrap();
        file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(binary());
        let status = command.args(["key", "new"]).stdout(file).stderr(Stdio::null()).status();
        (status.unwrap().code(), fs::metadata(&path).unwrap().len())
    };
    assert_eq!(print(0o644), (Some(2), 0));
    let (code, length) = print(0o600);
    assert_eq!(code, Some(0));
    assert!(length > 0);
}
