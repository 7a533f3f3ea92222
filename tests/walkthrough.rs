//! The walk-through of a consortium works as it stands: every command of
//! docs/CONSORTIUM.md is run in order, with the files of config/consortium.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use quittance_tests::{binary, copy_folder, tools};

/// How long the whole play may take, in seconds.
const PLAY_S: &str = "300";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The commands of the walk-through, without those that build the program.
fn commands() -> String {
    let text = fs::read_to_string(repository().join("docs/CONSORTIUM.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.filter(|block| !block.contains("cargo build")).collect()
}

/// Ports of which nobody uses one, as the digits before the last: three rows of them.
fn free_rows() -> [String; 3] {
    // Below those that systems give to clients. Where to begin differs from
    // one process to the next, so that two of them seldom meet.
    let first = 2000 + std::process::id() % 600;
    let free = |row: &u32| {
        (1..=7).all(|last| TcpListener::bind(("127.0.0.1", (row * 10 + last) as u16)).is_ok())
    };
    let mut rows = (first..first + 500).filter(free).map(|row| row.to_string());
    [(); 3].map(|()| rows.next().expect("no ports are free"))
}

/// The ports that the documents name, and those that the test takes instead.
fn with_ports(text: &str, rows: &[String; 3]) -> String {
    let [api, engine, gossip] = rows;
    let mut text = text.to_owned();
    for digit in '1'..='7' {
        text = text.replace(&format!("808{digit}"), &format!("{api}{digit}"));
        for (documented, row) in [("2710", engine), ("2720", gossip)] {
            text = text.replace(&format!("{documented}{digit}"), &format!("{row}{digit}"));
        }
    }
    // As the script writes them.
    text.replace("2710$", &format!("{engine}$")).replace("2720$", &format!("{gossip}$"))
}

#[test]
fn the_walk_through_of_a_consortium_works_as_it_stands() {
    let Some(bash) = tools::program("bash") else { return };
    for program in ["curl", "sha256sum", "base64", "timeout"] {
        if tools::program(program).is_none() {
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    copy_folder(&repository().join("config"), &config);
    let rows = free_rows();
    for file in fs::read_dir(config.join("consortium")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, with_ports(&text, &rows)).unwrap();
    }
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(binary(), programs.join("quittance")).unwrap();
    // Whatever ends the play ends its nodes.
    let play = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{}",
        with_ports(&commands(), &rows)
    );
    fs::write(folder.path().join("play.sh"), play).unwrap();

    let path = std::env::var("PATH").unwrap();
    let ended = Command::new("timeout")
        .args(["--kill-after=60", PLAY_S])
        .arg(bash)
        .args(["-x", "play.sh"])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", programs.display()))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let steps = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}\n{steps}\n{said}", ended.status);
    for answer in [
        "5, 4 validating, quorum 3",
        "below quorum: 2 of 4 validators can be reached",
        "HTTP/1.1 202 Accepted",
        "\"status\":\"pending\"",
        "garage is no member of the ledger",
        "\"tree_size\":0",
        "is in order",
    ] {
        assert!(said.contains(answer), "nobody said {answer:?}\n{steps}\n{said}");
    }
    assert!(said.contains("ended with 1") && steps.contains("rolled back"), "{steps}\n{said}");
    assert!(!said.contains("INVALID") && said.matches("valid  ").count() == 4, "{said}");
}
