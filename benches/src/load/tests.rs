//! The generator against a node that answers by script.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use super::*;
use crate::fixture::Ledger;

/// Answers a request, given by path and body, with a status and a body; `None`
/// closes the connection.
type Script = dyn Fn(&str, &str) -> Option<(u16, String)> + Send + Sync;

/// A node at a port of its own. It goes when the test's process goes.
fn node(script: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script: Arc<Script> = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let script = script.clone();
            thread::spawn(move || serve(stream.unwrap(), &*script));
        }
    });
    format!("http://{address}")
}

fn serve(mut stream: TcpStream, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header == "\r\n" {
                break;
            }
            let lower = header.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let Some((status, answer)) = script(&path, &String::from_utf8(body).unwrap()) else {
            return;
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", answer.len());
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(answer.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

fn status(origin: &str) -> Option<(u16, String)> {
    Some((200, format!(r#"{{"ledger":{{"origin":"{origin}","id":"x"}}}}"#)))
}

fn id(jws: &str) -> String {
    quittance_ledger::digest::RecordId::of(jws.as_bytes()).to_string()
}

/// An answer line for each record of a batch.
fn answer(body: &str, status: impl Fn(usize) -> u16) -> String {
    let line = |(number, jws): (usize, &str)| {
        format!("{{\"line\":{number},\"status\":{},\"id\":\"{}\"}}\n", status(number), id(jws))
    };
    body.lines().enumerate().map(line).collect()
}

fn options(api: String) -> Options {
    let ledger = Ledger::new().unwrap();
    let mut options = Options::new(api, ledger.membership.origin().clone(), ledger.signers);
    options.records = 95;
    options.batch = 10;
    options.connections = 3;
    options.folder = std::env::temp_dir();
    options
}

const ORIGIN: &str = "bench.example";

#[test]
fn every_record_is_sent_once_and_its_id_written_down() {
    let api = node(|path, body| match path {
        "/v1/status" => status(ORIGIN),
        "/v1/records/batch" => Some((200, answer(body, |_| 201))),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(api);
    options.acknowledged = Some(folder.path().join("ids"));
    let report = run(&options, |_| ()).unwrap();
    assert!(report.is_complete());
    assert_eq!((report.counts.created, report.counts.requests), (95, 10));
    let ids = std::fs::read_to_string(folder.path().join("ids")).unwrap();
    let distinct: std::collections::BTreeSet<_> = ids.lines().collect();
    assert_eq!(distinct.len(), 95);
    assert!(report.to_string().contains("95 records final"));
    assert!(report.ratio > 0.0);
}

#[test]
fn single_records_wait_for_their_receipt() {
    let api = node(|path, body| match path {
        "/v1/status" => status(ORIGIN),
        "/v1/records" if !body.contains('\n') => {
            Some((201, format!(r#"{{"id":"{}","status":"final"}}"#, id(body))))
        }
        _ => None,
    });
    let mut options = options(api);
    options.single = true;
    let report = run(&options, |_| ()).unwrap();
    assert_eq!((report.counts.created, report.counts.requests, report.batch), (95, 95, 1));
    assert!(report.latencies.max_ms >= report.latencies.p50_ms);
}

#[test]
fn a_busy_node_is_asked_again_for_what_it_did_not_take() {
    let calls = AtomicUsize::new(0);
    let api = node(move |path, body| match path {
        "/v1/status" => status(ORIGIN),
        _ => match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Some((503, "{}".to_owned())),
            1 => Some((200, answer(body, |line| if line % 2 == 0 { 201 } else { 429 }))),
            _ => Some((200, answer(body, |_| 201))),
        },
    });
    let mut options = options(api);
    options.connections = 1;
    let report = run(&options, |_| ()).unwrap();
    assert!(report.is_complete());
    assert_eq!((report.counts.created, report.counts.busy), (95, 2));
}

#[test]
fn refusals_are_counted_and_the_first_is_shown() {
    let api = node(|path, body| match path {
        "/v1/status" => status(ORIGIN),
        _ => Some((200, answer(body, |line| if line == 3 { 422 } else { 200 }))),
    });
    let report = run(&options(api), |_| ()).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.counts.refused, report.counts.known), (10, 85));
    assert!(report.first_refusal.unwrap().contains("422"));
}

#[test]
fn a_node_that_dies_in_the_middle_ends_the_run_and_loses_no_acknowledged_id() {
    let calls = AtomicUsize::new(0);
    let api = node(move |path, body| match path {
        "/v1/status" => status(ORIGIN),
        _ if calls.fetch_add(1, Ordering::SeqCst) < 4 => Some((200, answer(body, |_| 201))),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(api);
    options.connections = 1;
    options.acknowledged = Some(folder.path().join("ids"));
    let report = run(&options, |_| ()).unwrap();
    assert!(report.stopped.is_some() && !report.is_complete());
    assert_eq!((report.counts.created, report.counts.unanswered), (40, 10));
    assert_eq!(std::fs::read_to_string(folder.path().join("ids")).unwrap().lines().count(), 40);
}

#[test]
fn an_answer_that_breaks_off_leaves_its_records_unanswered() {
    let api = node(|path, body| match path {
        "/v1/status" => status(ORIGIN),
        _ => Some((200, answer(body, |_| 201).lines().next().unwrap().to_owned())),
    });
    let report = run(&options(api), |_| ()).unwrap();
    assert_eq!((report.counts.created, report.counts.unanswered), (10, 85));
}

#[test]
fn nothing_is_sent_to_another_ledger_or_to_nobody() {
    let api = node(|_, _| status("other.example"));
    assert!(matches!(run(&options(api), |_| ()), Err(LoadError::OtherLedger { .. })));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = options(format!("http://{free}"));
    assert!(matches!(run(&nobody, |_| ()), Err(LoadError::Unreachable { .. })));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for change in [
        (|options: &mut Options| options.records = 0) as fn(&mut Options),
        |options| options.batch = 0,
        |options| options.connections = 0,
    ] {
        let mut options = options("http://127.0.0.1:1".to_owned());
        change(&mut options);
        assert!(matches!(run(&options, |_| ()), Err(LoadError::Zero(_))));
    }
}

#[test]
fn percentiles_are_those_of_nearest_rank() {
    let times = (1..=100).map(Duration::from_millis).collect();
    let latencies = Latencies::of(times);
    assert_eq!((latencies.p50_ms, latencies.p90_ms, latencies.p99_ms), (50.0, 90.0, 99.0));
    assert_eq!(latencies.max_ms, 100.0);
    assert_eq!(Latencies::of(Vec::new()).max_ms, 0.0);
}
