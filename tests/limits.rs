//! Every bound of the API holds, and whoever breaks one does not keep others
//! from being served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use quittance_tests::{Api, Consortium, Node, Settings, load_records, raw, wait_for};

fn node(limits: &str) -> (Consortium, Node) {
    let consortium = Consortium::new();
    let node = consortium.start_with(&Settings::limits(limits));
    (consortium, node)
}

/// Whether the other side closes a connection without an answer to read on.
fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let (_consortium, node) = node("header_time_s = 1");
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = raw::connect(node.address());
            stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-A: ").unwrap();
            stream
        })
        .collect();
    // Some go on a little, which does not buy them more time.
    for stream in slow.iter_mut().step_by(2) {
        stream.write_all(b"a").unwrap();
    }
    assert_eq!(node.get("/v1/status").status, 200);
    for stream in slow {
        assert!(is_closed(stream), "a slow head is still waited for");
    }
    // An idle connection does not stay for ever either.
    assert!(is_closed(raw::connect(node.address())));
}

#[test]
fn a_body_that_trickles_in_is_given_up() {
    let (consortium, node) = node("body_time_s = 1");
    for path in ["/v1/records", "/v1/records/batch", "/v1/verify"] {
        let mut stream = raw::connect(node.address());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n\
             Content-Length: 1000\r\nConnection: close\r\n\r\nabc",
            node.address()
        )
        .unwrap();
        let answer = raw::read_to_end(stream);
        assert_eq!(answer.status, 408, "{path}: {}", answer.head);
        assert!(String::from_utf8_lossy(&answer.body).contains("body_timeout"));
    }
    assert_eq!(node.append(&load_records(&consortium, 1)[0]).status, 201);
}

#[test]
fn more_connections_than_allowed_are_closed_and_the_others_go_on() {
    let (_consortium, node) = node("connections_max = 12\nheader_time_s = 60");
    // The harness holds one or two itself.
    let mut idle: Vec<TcpStream> = Vec::new();
    let refused = wait_for("a connection to be turned away", || {
        let mut stream = raw::connect(node.address());
        let request = raw::request("GET", "/healthz", &[("Host", "localhost")], b"");
        // It may be closed before the request is written.
        let _ = stream.write_all(&request);
        let mut first = [0; 1];
        match stream.read(&mut first) {
            Ok(1) => {
                idle.push(raw::connect(node.address()));
                None
            }
            _ => Some(idle.len()),
        }
    });
    assert!(refused <= 12, "{refused} are open");
    idle.clear();
    let api = Api::new(node.address());
    wait_for("a place", || api.try_get("/healthz").ok().filter(|answer| answer.status == 200));
}

#[test]
fn bodies_that_are_too_large_are_refused_however_they_are_announced() {
    let (consortium, node) = node("batch_body_bytes_max = 100000\nbatch_lines_max = 10");
    let host = node.address().to_string();
    // Announced: refused before it is sent.
    for path in ["/v1/records", "/v1/records/batch", "/v1/verify"] {
        let mut stream = raw::connect(node.address());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
             Content-Length: 99999999999\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let answer = raw::read_to_end(stream);
        assert_eq!(answer.status, 413, "{path}: {}", answer.head);
        assert!(String::from_utf8_lossy(&answer.body).contains("too_large"));
    }
    // Not announced, in chunks: refused once it is too large; nobody waits for
    // its end.
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    for path in ["/v1/records", "/v1/records/batch", "/v1/verify"] {
        let mut stream = raw::connect(node.address());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut sent = 0_usize;
        while sent < 64 << 20 && stream.write_all(&chunk).is_ok() {
            sent += chunk.len();
        }
        assert!(sent < 64 << 20, "{path}: all of {sent} bytes were taken");
    }
    // A batch by its bytes and by its lines.
    let records = load_records(&consortium, 11);
    let lines = records.iter().map(|record| &*record.jws).collect::<Vec<_>>().join("\n");
    let headers = [("content-type", "text/plain")];
    let answer = node.post("/v1/records/batch", &headers, lines);
    assert_eq!((answer.status, &*answer.problem()), (413, "too_large"));
    let answer = node.post("/v1/records/batch", &headers, "x".repeat(100_001));
    assert_eq!((answer.status, &*answer.problem()), (413, "too_large"));
    assert_eq!(node.tree_size(), 0);
    assert_eq!(node.append_all(&records[..10]).len(), 10);
    assert_eq!(node.tree_size(), 10);
}

#[test]
fn more_requests_at_once_than_allowed_are_turned_away_with_a_time_to_come_back() {
    let (_consortium, node) = node("requests_max = 2\nbody_time_s = 60");
    // Three requests whose bodies are yet to come: two have a place.
    let mut held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = raw::connect(node.address());
            let host = node.address();
            write!(
                stream,
                "POST /v1/records HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
                 Content-Length: 5\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            stream
        })
        .collect();
    let turned_away = wait_for("a request to be turned away", || {
        held.iter().position(|stream| {
            stream.set_nonblocking(true).unwrap();
            let answered = stream.peek(&mut [0]).is_ok_and(|read| read > 0);
            stream.set_nonblocking(false).unwrap();
            answered
        })
    });
    assert_eq!(raw::read_to_end(held.remove(turned_away)).status, 503);
    let answer = node.get("/v1/status");
    assert_eq!((answer.status, &*answer.problem()), (503, "overloaded"));
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
    // Whether the node works is still told.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(node.get(path).status, 200, "{path}");
    }
    for stream in &mut held {
        stream.write_all(b"a.b.c").unwrap();
    }
    for stream in held {
        assert_eq!(raw::read_to_end(stream).status, 400);
    }
    assert_eq!(node.get("/v1/status").status, 200);
}

#[test]
fn addresses_and_heads_that_are_too_long_are_refused() {
    let (_consortium, node) = node("");
    let answer = node.get(&format!("/v1/records?contract=comp-it%2F{}", "x".repeat(5000)));
    assert_eq!((answer.status, &*answer.problem()), (414, "uri_too_long"));
    let host = node.address().to_string();
    let long = "x".repeat(400 * 1024);
    let request = raw::request("GET", "/v1/status", &[("Host", &host), ("X-Long", &long)], b"");
    let answer = raw::exchange(node.address(), &request);
    assert!(matches!(answer.status, 0 | 431), "{}", answer.head);
    let many: String = (0..2000).map(|number| format!("X-{number}: y\r\n")).collect();
    let request = format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\n{many}\r\n");
    let answer = raw::exchange(node.address(), request.as_bytes());
    assert!(matches!(answer.status, 0 | 431), "{}", answer.head);
    assert_eq!(node.get("/v1/status").status, 200);
}

#[test]
fn bounds_that_cannot_be_are_named_at_the_start() {
    let consortium = Consortium::new();
    for (line, says) in [
        ("no_such_bound = 1", "no_such_bound"),
        ("requests_max = -1", "requests_max"),
        ("requests_max = 0", "requests_max"),
        ("connections_max = 0", "connections_max"),
        ("page_items_max = 0", "page_items_max"),
        ("reads_max = 0", "reads_max"),
        ("batch_body_bytes_max = 9000000000000", "batch_body_bytes_max"),
        ("target_bytes_max = 9000000000000", "target_bytes_max"),
        ("page_bytes_max = 9000000000000", "page_bytes_max"),
    ] {
        let ended = Node::try_start(&consortium.data(), &Settings::limits(line)).unwrap_err();
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{line}: {}", ended.stderr);
    }
    assert!(!consortium.data().join("ledger").exists(), "the store was touched");
}

#[test]
fn answers_that_nobody_reads_are_turned_away_before_they_fill_the_memory() {
    let (consortium, node) = node("response_bytes_max = 1048576");
    node.append_all(&load_records(&consortium, 1000));
    let host = node.address().to_string();
    let request = format!("GET /v1/records?limit=1000 HTTP/1.1\r\nHost: {host}\r\n\r\n");
    // Each reads the first line of its answer and no more.
    let mut unread = Vec::new();
    let refused = wait_for("an answer to be turned away", || {
        let mut stream = raw::connect(node.address());
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        if &line == b"HTTP/1.1 503" {
            return Some(unread.len());
        }
        assert_eq!(&line, b"HTTP/1.1 200");
        unread.push(stream);
        None
    });
    assert!((1..50).contains(&refused), "{refused} answers are kept");
    // What is small is still answered; what is large once the readers are gone.
    assert_eq!(node.get("/v1/status").status, 200);
    drop(unread);
    wait_for("room for a large answer", || {
        let answer = node.get("/v1/records?limit=1000");
        (answer.status == 200).then_some(())
    });
}

#[test]
fn batches_that_do_not_come_hold_up_no_other() {
    let (consortium, node) = node("batches_max = 2\nbody_time_s = 60");
    let host = node.address().to_string();
    let idle: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = raw::connect(node.address());
            write!(
                stream,
                "POST /v1/records/batch HTTP/1.1\r\nHost: {host}\r\n\
                 Content-Type: text/plain\r\nContent-Length: 100000\r\n\r\nabc"
            )
            .unwrap();
            stream
        })
        .collect();
    assert_eq!(node.append_all(&load_records(&consortium, 10)).len(), 10);
    drop(idle);
}
