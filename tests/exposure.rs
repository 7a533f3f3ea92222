//! What only this machine may do, nobody else gets done: signing with the
//! node's keys, and serving without TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use quittance_tests::{
    Consortium, Node, Settings, binary, load_records, quittance, raw, tools, wait_for,
};
use serde_json::Value;

const UNSIGNED: &str = r#"{"signer":"heca","record":{"type":"contract.quoted","occurred_at":"2026-01-02T09:00:00Z","data":{"quote":"Q-1"}}}"#;

/// Posts unsigned JSON with these headers.
fn post(node: &Node, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let request = raw::request("POST", path, headers, UNSIGNED.as_bytes());
    let answer = raw::exchange(node.address(), &request);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// What names another host is turned away whole, the rest as unsigned.
#[track_caller]
fn assert_refused(what: &str, status: u16, body: &str) {
    let code = if status == 421 { "misdirected" } else { "unsigned_not_allowed" };
    assert!(matches!(status, 200 | 403 | 421) && body.contains(code), "{what}: {status} {body}");
}

#[test]
fn a_name_that_is_not_this_machines_leads_nowhere() {
    let consortium = Consortium::new();
    let node = consortium.start();
    for path in ["/", "/records", "/v1/status", "/v1/records", "/v1/events", "/metrics", "/docs/"] {
        for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "[2001:db8::1]:80"] {
            let request = raw::request("GET", path, &[("Host", host)], b"");
            let answer = raw::exchange(node.address(), &request);
            assert_eq!(answer.status, 421, "{path} {host}: {}", answer.head);
            assert!(String::from_utf8_lossy(&answer.body).contains("misdirected"));
        }
    }
    let port = node.address().port();
    for host in [format!("localhost:{port}"), "127.0.0.2".to_owned(), "n1.localhost".to_owned()] {
        let request = raw::request("GET", "/v1/status", &[("Host", &host)], b"");
        assert_eq!(raw::exchange(node.address(), &request).status, 200, "{host}");
    }
}

#[test]
fn where_it_is_switched_off_nothing_unsigned_is_taken_from_this_machine_either() {
    let switched_off = [
        Settings { config: "unsigned = false\n".to_owned(), ..Settings::default() },
        Settings { arguments: vec!["--no-unsigned".to_owned()], ..Settings::default() },
    ];
    for settings in switched_off {
        let consortium = Consortium::new();
        let node = consortium.start_with(&settings);
        let host = node.address().to_string();
        let headers = [("Content-Type", "application/json"), ("Host", &*host)];
        let (status, answer) = post(&node, "/v1/records", &headers);
        assert_eq!((status, &answer["code"]), (403, &"unsigned_not_allowed".into()), "{answer}");
        // Nor does the greeting suggest it.
        assert!(!node.greeting().contains("curl"), "{}", node.greeting());
        assert_eq!(node.append(&load_records(&consortium, 1)[0]).status, 201);
    }
}

#[test]
fn a_proxy_that_the_node_does_not_know_of_gets_nothing_signed() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let host = node.address().to_string();
    for name in [
        "Forwarded",
        "Via",
        "X-Forwarded-Proto",
        "X-Client-IP",
        "CF-Ray",
        "True-Client-IP",
        "X-Original-Host",
        "X-Envoy-Peer-Metadata",
    ] {
        let headers = [("Content-Type", "application/json"), ("Host", &*host), (name, "x")];
        let (status, answer) = post(&node, "/v1/records", &headers);
        assert_eq!((status, &answer["code"]), (403, &"unsigned_not_allowed".into()), "{name}");
    }
    // Nor does one that adds none: as older versions of nginx do by default.
    let old = format!(
        "POST /v1/records HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{UNSIGNED}",
        UNSIGNED.len()
    );
    let answer = raw::exchange(node.address(), old.as_bytes());
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_refused("HTTP/1.0", answer.status, &body);
    assert_eq!(node.tree_size(), 0);
}

#[test]
fn what_hinders_a_node_from_serving_leaves_its_ledger_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |more: &[&str]| {
        let start = ["run", "--data", data.to_str().unwrap(), "--http"];
        quittance(start.iter().chain(more))
    };
    let ended = run(&[&address]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    let ended =
        run(&["127.0.0.1:0", "--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("/nowhere/c.pem"), "{}", ended.stderr);
    assert!(ended.text().is_empty(), "it greeted before it could serve");
    assert!(!data.exists(), "a ledger was made that is not served");
}

#[test]
fn pages_of_other_sites_cannot_have_anything_signed() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let host = node.address().to_string();
    let own = format!("http://{host}");
    let json = ("Content-Type", "application/json");
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("another host name (DNS rebinding)", &[json, ("Host", "evil.example")]),
        ("a name that begins alike", &[json, ("Host", "127.0.0.1.evil.example")]),
        ("another origin (CSRF)", &[json, ("Host", &host), ("Origin", "http://evil.example")]),
        ("an opaque origin", &[json, ("Host", &host), ("Origin", "null")]),
        ("another port", &[json, ("Host", &host), ("Origin", "http://127.0.0.1:1")]),
        ("a cross-site fetch", &[json, ("Host", &host), ("Sec-Fetch-Site", "cross-site")]),
        ("a same-site fetch", &[json, ("Host", &host), ("Sec-Fetch-Site", "same-site")]),
        (
            "one good origin and one bad",
            &[json, ("Host", &host), ("Origin", &own), ("Origin", "http://evil.example")],
        ),
    ];
    for (what, headers) in cases {
        let (status, answer) = post(&node, "/v1/records", headers);
        assert_refused(what, status, &answer.to_string());
        let mut headers = headers.to_vec();
        headers[0].1 = "application/x-ndjson";
        let request = raw::request("POST", "/v1/records/batch", &headers, UNSIGNED.as_bytes());
        let answer = raw::exchange(node.address(), &request);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_refused(what, answer.status, &body);
    }
    // What a page may send without asking first is never taken for unsigned JSON.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        for path in ["/v1/records", "/v1/records/batch"] {
            let headers = [("Content-Type", content_type), ("Host", &*host)];
            let (status, answer) = post(&node, path, &headers);
            // A batch is answered line by line.
            let refused =
                status >= 400 || answer["status"].as_u64().is_some_and(|status| status >= 400);
            assert!(refused, "{path} {content_type}: {status} {answer}");
        }
    }
    // Nor does the browser let it: nobody is told that other origins may.
    let preflight = raw::request(
        "OPTIONS",
        "/v1/records",
        &[
            ("Host", &host),
            ("Origin", "http://evil.example"),
            ("Access-Control-Request-Method", "POST"),
        ],
        b"",
    );
    let answer = raw::exchange(node.address(), &preflight);
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-allow"), "{}", answer.head);
    assert_eq!(node.tree_size(), 0);

    // The node's own pages and programs on this machine may.
    let (status, answer) = post(&node, "/v1/records", &[json, ("Host", &host), ("Origin", &own)]);
    assert!(matches!(status, 201 | 202), "{answer}");
    let (status, answer) = post(&node, "/v1/records", &[json, ("Host", "localhost")]);
    assert!(matches!(status, 201 | 202), "{answer}");
}

#[test]
fn behind_a_proxy_nothing_unsigned_is_taken() {
    let consortium = Consortium::new();
    let arguments = ["--behind-proxy", "--open-reading", "true"].map(str::to_owned).to_vec();
    let settings = Settings { arguments, ..Settings::default() };
    let node = consortium.start_with(&settings);
    let host = node.address().to_string();
    let headers = [("Content-Type", "application/json"), ("Host", &*host)];
    let (status, answer) = post(&node, "/v1/records", &headers);
    assert_eq!((status, &answer["code"]), (403, &"unsigned_not_allowed".into()), "{answer}");
    assert_eq!(node.append(&load_records(&consortium, 1)[0]).status, 201);
    assert_eq!(node.tree_size(), 1);
}

#[test]
fn nobody_is_signed_for_whose_key_the_node_does_not_hold() {
    let consortium = Consortium::new();
    fs::remove_file(consortium.data().join("keys/record-heca-1.pem")).unwrap();
    let node = consortium.start();
    let host = node.address().to_string();
    let headers = [("Content-Type", "application/json"), ("Host", &*host)];
    let (status, answer) = post(&node, "/v1/records", &headers);
    assert_eq!((status, &answer["code"]), (403, &"key_not_held".into()), "{answer}");
    // Signed elsewhere, the same is fine.
    assert_eq!(node.append(&load_records(&consortium, 1)[0]).status, 201);
}

#[test]
fn a_node_does_not_serve_others_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let ended = quittance(["run", "--http", address, "--data", data.to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{address}: {}", ended.stderr);
        assert!(ended.stderr.contains("--behind-proxy"), "{address}: {}", ended.stderr);
        assert!(ended.stderr.contains("loopback"), "{address}: {}", ended.stderr);
    }
    assert!(!data.exists(), "a ledger was made before it was said that it is not served");
}

#[test]
fn with_tls_it_serves_those_who_trust_its_certificate() {
    let Some(openssl) = tools::program("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &at("key.pem"), "-out", &at("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut node = Command::new(binary())
        .args(["run", "--http", "127.0.0.1:0", "--data", &at("data")])
        .args(["--tls-cert", &at("cert.pem"), "--tls-key", &at("key.pem")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines
        .find_map(|line| Some(format!("https://{}", line.split_once("https://")?.1)))
        .expect("the greeting names its address");
    let url = url.trim_end_matches('/').to_owned();
    let checked = std::panic::catch_unwind(|| {
        wait_for("an answer over TLS", || {
            (quittance(["status", "--api", &url, "--ca", &at("cert.pem")]).code == Some(0))
                .then_some(())
        });
        // Without it the certificate is nobody's.
        let stranger = quittance(["status", "--api", &url]);
        assert_eq!(stranger.code, Some(2), "{}", stranger.stderr);
        fs::write(at("record.json"), UNSIGNED.replace("heca", "broker")).unwrap();
        let append = ["append", &at("record.json"), "--api", &url, "--ca", &at("cert.pem")];
        let _ = quittance(append).success();
        let _ = quittance(["audit", &url, "--ca", &at("cert.pem")]).success();
    });
    node.kill().unwrap();
    node.wait().unwrap();
    checked.unwrap();
}

#[test]
fn every_answer_forbids_what_it_does_not_need() {
    let consortium = Consortium::new();
    let node = consortium.start();
    for path in ["/", "/records", "/verify", "/v1/status", "/docs/", "/v1/nothing", "/style.css"] {
        let answer = node.get(path);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(
            !policy.contains("script-src 'unsafe") && !policy.contains("'unsafe-eval'"),
            "{policy}"
        );
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
    }
}
