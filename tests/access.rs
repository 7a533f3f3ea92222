//! Who may read the ledger, and have records signed: tokens, and where reading
//! needs none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use quittance_tests::{
    Answer, Consortium, Ended, Node, Settings, binary, events::Events, load_records, quittance,
    wait_for,
};
use serde_json::Value;

const UNSIGNED: &str = r#"{"signer":"heca","record":{"type":"contract.quoted","occurred_at":"2026-01-02T09:00:00Z","data":{"quote":"Q-1"}}}"#;

/// A node that others can reach, as behind a proxy.
fn exposed(more: &[&str]) -> Settings {
    let arguments = ["--behind-proxy"].iter().chain(more).map(|&word| word.to_owned()).collect();
    Settings { http: "0.0.0.0:0".to_owned(), arguments, ..Settings::default() }
}

/// `quittance token` with these arguments, on the data folder of the ledger.
fn token(consortium: &Consortium, arguments: &[&str]) -> Ended {
    let data = consortium.data().display().to_string();
    quittance([&["token"], arguments, &["--data", &data]].concat())
}

/// Makes a token: itself and its public id.
fn create(consortium: &Consortium, arguments: &[&str]) -> (String, String) {
    let made = token(consortium, &[&["create"], arguments].concat()).success();
    let secret = made.text().trim_end().to_owned();
    assert!(secret.starts_with("qt_") && secret.len() == 51, "one token and nothing else");
    assert!(!made.stderr.contains(&secret), "{}", made.stderr);
    let listed = token(consortium, &["list", "--json"]).success().json();
    let id = listed.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(made.stderr.contains(&id), "{}", made.stderr);
    (secret, id)
}

fn get(node: &Node, path: &str, token: &str) -> Answer {
    node.get_with(path, &[("authorization", &format!("Bearer {token}"))])
}

/// Waits until the node has taken up what a command changed.
fn wait_for_status(node: &Node, token: &str, status: u16) -> Answer {
    wait_for("the node to take up the change", || {
        Some(get(node, "/v1/status", token)).filter(|answer| answer.status == status)
    })
}

#[test]
fn beyond_loopback_nobody_reads_without_a_token_and_it_needs_no_restart() {
    let consortium = Consortium::new();
    let (first, first_id) = create(&consortium, &["--scope", "read", "--label", "the dashboard"]);
    // Whatever it logs.
    let config = "[log]\nlevel = \"info,quittance_api=trace,quittance_node=trace,hyper=trace\"\n";
    let node = consortium.start_with(&Settings { config: config.to_owned(), ..exposed(&[]) });
    assert!(node.greeting().contains("quittance token create"), "{}", node.greeting());
    let record = load_records(&consortium, 1).remove(0);
    // Its signature is all that it needs.
    assert_eq!(node.append(&record).status, 201);

    let path = format!("/v1/records/{}", record.id);
    for path in ["/", "/v1/status", "/v1/records", "/v1/members", "/v1/genesis", "/metrics", &path]
    {
        let answer = node.get(path);
        assert_eq!((answer.status, &*answer.problem()), (401, "token_required"), "{path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
        assert_eq!(get(&node, path, &first).status, 200, "{path}");
        assert_eq!(get(&node, path, &first.replace("qt_", "qt_A")).status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz", "/checkpoint", "/tile/0/000.p/1", "/v1/policy", "/docs/"] {
        assert_eq!(node.get(path).status, 200, "{path}");
    }

    // A second one comes while the node runs, and the first one goes.
    let (second, _) = create(&consortium, &["--scope", "admin"]);
    wait_for_status(&node, &second, 200);
    let header = format!("Authorization: Bearer {first}\r\n");
    let mut stream = Events::open_with(node.address(), "/v1/events?after=0", &header);
    assert_eq!(stream.next().unwrap().kind, "record");
    let revoked = token(&consortium, &["revoke", &first_id]).success();
    assert!(revoked.stderr.contains(&first_id), "{}", revoked.stderr);
    let answer = wait_for_status(&node, &first, 401);
    assert_eq!(answer.problem(), "invalid_token");
    assert!(answer.text().contains("revoked") && !answer.text().contains(&first));
    // What was open with it ends as well.
    while stream.next().is_some() {}
    assert_eq!(get(&node, "/v1/status", &second).status, 200);

    // Neither its log nor its list holds a token.
    let log = node.log();
    assert!(log.contains("answered"), "{log}");
    let list = fs::read_to_string(consortium.data().join("tokens.json")).unwrap();
    for secret in [&first, &second] {
        assert!(!log.contains(&**secret) && !list.contains(&secret[3..]), "{log}\n{list}");
    }
    let mode = fs::metadata(consortium.data().join("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn reading_is_open_or_closed_as_the_setting_says() {
    let consortium = Consortium::new();
    let closed = |settings: &Settings| {
        let mut node = consortium.start_with(settings);
        let status = node.get("/v1/status").status;
        node.stop();
        status == 401
    };
    assert!(!closed(&Settings::default()));
    assert!(closed(&Settings {
        config: "open_reading = false\n".to_owned(),
        ..Settings::default()
    }));
    assert!(!closed(&exposed(&["--open-reading", "true"])));
    // By the address it listens on, not by who asks: the tests ask from here.
    assert!(closed(&exposed(&[])));
}

#[test]
fn with_a_token_records_are_signed_for_its_member_from_elsewhere() {
    let consortium = Consortium::new();
    let node = consortium.start_with(&exposed(&[]));
    let (heca, _) = create(&consortium, &["--scope", "append:heca"]);
    let (reader, _) = create(&consortium, &["--scope", "read"]);
    wait_for_status(&node, &reader, 200);
    let post = |token: &str, body: &str| -> (u16, Value) {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("prefer", "wait=60"),
            ("authorization", &*authorization),
        ];
        let answer = node.post("/v1/records", &headers, body);
        (answer.status, answer.json())
    };
    let (status, answer) = post(&reader, UNSIGNED);
    assert_eq!((status, &answer["code"]), (403, &"insufficient_scope".into()), "{answer}");
    let (status, answer) = post(&heca, &UNSIGNED.replace("heca", "petexpert"));
    assert_eq!((status, &answer["code"]), (403, &"insufficient_scope".into()), "{answer}");
    let headers = [("content-type", "application/json")];
    assert_eq!(node.post("/v1/records", &headers, UNSIGNED).problem(), "unsigned_not_allowed");
    let (status, answer) = post(&heca, UNSIGNED);
    assert_eq!(status, 201, "{answer}");
    let path = format!("/v1/records/{}", answer["id"].as_str().unwrap());
    assert_eq!(get(&node, &path, &reader).json()["signer"], "heca");
    // To append is not to read.
    assert_eq!(get(&node, &path, &heca).problem(), "insufficient_scope");
}

#[test]
fn commands_show_a_token_from_a_file_or_the_environment() {
    let consortium = Consortium::new();
    let node = consortium.start_with(&exposed(&[]));
    let file = consortium.folder().join("reader.token").display().to_string();
    let made = ["create", "--scope", "read", "--scope", "append:heca", "--out", &file];
    let made = token(&consortium, &made).success();
    assert!(made.stdout.is_empty());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let secret = fs::read_to_string(&file).unwrap();
    wait_for_status(&node, secret.trim(), 200);

    // 0.0.0.0 is no address to send a token to unencrypted.
    let url = format!("http://127.0.0.1:{}", node.address().port());
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(binary());
        command.args(arguments).env_remove("QUITTANCE_TOKEN").stdin(Stdio::null());
        if let Some(value) = variable {
            command.env("QUITTANCE_TOKEN", value);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    let (code, stderr) = run(&["status", "--api", &url], None);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("token_required") && stderr.contains("--token-file"), "{stderr}");
    let (code, stderr) = run(&["status", "--api", &url, "--token-file", &file], None);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stderr) = run(&["status", "--api", &url], Some(&secret));
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stderr) = run(&["status", "--api", &url], Some(&secret[..20]));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("QUITTANCE_TOKEN") && !stderr.contains(&secret[..20]), "{stderr}");
    let (code, stderr) = run(&["status", "--api", "http://192.0.2.1:1"], Some(&secret));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("https"), "{stderr}");

    let record = consortium.folder().join("record.json");
    fs::write(&record, UNSIGNED).unwrap();
    let record = record.display().to_string();
    for arguments in [
        &["append", &record, "--api", &url][..],
        &["member", "list", "--api", &url],
        &["policy", &url],
        &["audit", &url],
    ] {
        let (code, stderr) = run(arguments, Some(&secret));
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    }
    // Who may append and no more appends, and is told what receipts take.
    let append_only = create(&consortium, &["--scope", "append:heca"]).0;
    wait_for_status(&node, &append_only, 403);
    let another = consortium.folder().join("another.json");
    fs::write(&another, UNSIGNED.replace("Q-1", "Q-2")).unwrap();
    let another = another.display().to_string();
    let append = ["append", &another, "--api", &url];
    let (code, stderr) = run(&append, Some(&append_only));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("/receipt answers 403 insufficient_scope"), "{stderr}");
    let (code, stderr) = run(&[&append[..], &["--no-receipts"]].concat(), Some(&append_only));
    assert_eq!(code, Some(0), "{stderr}");

    let data = consortium.data().display().to_string();
    let load = ["load", "--api", &url, "--data", &data, "--records", "20", "--batch", "10"];
    let (code, stderr) = run(&[&load[..], &["--member", "heca"]].concat(), Some(&secret));
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn tokens_are_listed_without_what_is_secret_and_mistakes_are_named() {
    let consortium = Consortium::new();
    assert_eq!(token(&consortium, &["list", "--json"]).success().json(), Value::Array(vec![]));
    let (secret, id) = create(
        &consortium,
        &["--scope", "read", "--scope", "private:heca", "--label", "a", "--expires", "2999-01-01"],
    );
    let _ = token(&consortium, &["revoke", &id]).success();
    let _ = token(&consortium, &["revoke", &id]).success();
    let listed = token(&consortium, &["list", "--json"]).success().json();
    assert_eq!(listed[0]["scopes"], serde_json::json!(["read", "private:heca"]));
    assert_eq!((&listed[0]["label"], &listed[0]["state"]), (&"a".into(), &"revoked".into()));
    assert_eq!(listed[0]["expires_at"], "2999-01-01T00:00:00Z");
    let table = token(&consortium, &["list"]).success();
    assert!(table.text().contains(&id) && table.text().contains("revoked"), "{}", table.text());
    assert!(!table.text().contains(&secret[3..]) && !listed.to_string().contains(&secret[3..]));

    // The answer is no.
    let unknown = token(&consortium, &["revoke", "000000000000"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    for (arguments, says) in [
        (&["create"][..], "--scope"),
        (&["create", "--scope", "write"], "append:MEMBER"),
        (&["create", "--scope", "read", "--expires", "2020-01-01"], "past"),
        (&["create", "--scope", "read", "--expires", "soon"], "2027-01-01"),
        (&["create", "--scope", "read", "--label", "a\nb"], "label"),
        (&["revoke", "nothing"], "hexadecimal"),
    ] {
        let ended = token(&consortium, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    }
    let elsewhere = consortium.folder().join("nothing").display().to_string();
    let ended = quittance(["token", "create", "--scope", "read", "--data", &elsewhere]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("no data folder"), "{}", ended.stderr);
    // It would be good for nothing: the node cannot sign for that member.
    let made = token(&consortium, &["create", "--scope", "read", "--scope", "append:nobody"]);
    assert_eq!((made.code, made.text()), (Some(2), ""), "{}", made.stderr);
    assert!(made.stderr.contains("no record key of member nobody"), "{}", made.stderr);
    assert!(!token(&consortium, &["list"]).success().text().contains("nobody"));
}

#[test]
fn a_list_that_cannot_be_trusted_hinders_the_start() {
    let consortium = Consortium::new();
    create(&consortium, &["--scope", "read"]);
    let path = consortium.data().join("tokens.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = Node::try_start(&consortium.data(), &Settings::default()).unwrap_err();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("chmod 600"), "{}", ended.stderr);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "{").unwrap();
    let ended = Node::try_start(&consortium.data(), &Settings::default()).unwrap_err();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("tokens.json"), "{}", ended.stderr);
}
