//! The event stream: every event once and in order, wherever a client left off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::Read as _,
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    thread,
};

use quittance_tests::{
    Api, Consortium, PATIENCE, Settings,
    events::{Event, Events},
    load_records, wait_for,
};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

/// Every event there ever was, of a ledger that does not grow meanwhile.
fn all(api: &Api) -> Vec<Event> {
    let head = api.json("/v1/status")["head"].clone();
    let last = head["height"].as_u64().unwrap();
    let mut stream = Events::open(api.address(), "/v1/events?after=0", None);
    let mut events = Vec::new();
    loop {
        let event = stream.next().expect("the stream goes on");
        let ended = event.kind == "block" && event.data["height"] == last;
        events.push(event);
        if ended {
            return events;
        }
    }
}

#[test]
fn from_the_beginning_everything_comes_in_order() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 30);
    for part in records.chunks(6) {
        node.append_all(part);
    }
    let events = all(&node);
    let recorded: Vec<_> = events.iter().filter(|event| event.kind == "record").collect();
    for (index, (event, record)) in recorded.iter().zip(&records).enumerate() {
        assert_eq!(event.data["id"], record.id);
        assert_eq!(event.data["index"], index);
        assert_eq!(
            (&event.data["signer"], &event.data["type"]),
            (&"heca".into(), &"contract.quoted".into())
        );
        assert!(event.data["contract"].as_str().unwrap().starts_with("comp-it/L-"));
    }
    assert_eq!(recorded.len(), records.len());
    // Each block follows its records, and says how many there were.
    let mut since = 0;
    for event in &events {
        match &*event.kind {
            "record" => since += 1,
            "block" => {
                assert_eq!(event.data["count"], since);
                since = 0;
            }
            other => panic!("an event {other}"),
        }
    }
    let block = events.last().unwrap();
    let head = node.json("/v1/status")["head"].clone();
    assert_eq!(block.data["hash"], head["hash"]);
    assert_eq!(block.data["tree_size"], records.len());
}

#[test]
fn a_stream_goes_on_behind_any_event_after_a_restart_too() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    for part in load_records(&consortium, 12).chunks(3) {
        node.append_all(part);
    }
    let events = all(&node);
    for place in 0..events.len() - 1 {
        let id = &events[place].id;
        let mut by_query = Events::open(node.address(), &format!("/v1/events?after={id}"), None);
        assert_eq!(by_query.next().unwrap(), events[place + 1]);
        // The header goes before the query, as a browser sends it.
        let mut by_header = Events::open(node.address(), "/v1/events?after=0", Some(id));
        for expected in &events[place + 1..] {
            assert_eq!(by_header.next().unwrap(), *expected);
        }
    }
    node.kill();
    node.restart();
    assert_eq!(all(&node), events);
    let place = events.len() / 2;
    let mut stream = Events::open(node.address(), "/v1/events", Some(&events[place].id));
    assert_eq!(stream.next().unwrap(), events[place + 1]);
}

#[test]
fn a_client_that_comes_and_goes_while_records_are_appended_misses_nothing() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 400);
    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            for part in records.chunks(8) {
                node.append_all(part);
            }
        });
        let mut seen: Vec<Event> = Vec::new();
        let mut turn = 0;
        while seen.last().is_none_or(|event| event.data["tree_size"] != records.len()) {
            turn += 1;
            let last = seen.last().map_or("0", |event| &event.id).to_owned();
            let mut stream = if turn % 2 == 0 {
                Events::open(node.address(), &format!("/v1/events?after={last}"), None)
            } else {
                Events::open(node.address(), "/v1/events", Some(&last))
            };
            // Now and then it leaves, in the middle of a block as a rule.
            for _ in 0..turn * 3 {
                let event = stream.next().expect("the stream goes on");
                let ended = event.kind == "block" && event.data["tree_size"] == records.len();
                seen.push(event);
                if ended {
                    break;
                }
            }
        }
        seen
    });
    assert_eq!(seen, all(&node));
}

#[test]
fn without_a_cursor_only_what_is_new_comes() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 3);
    node.append_all(&records[..2]);
    let mut stream = Events::open(node.address(), "/v1/events", None);
    node.append(&records[2]);
    let event = stream.next().unwrap();
    assert_eq!((event.kind.as_str(), &event.data["id"]), ("record", &records[2].id.clone().into()));
}

/// A connection that can take in only little at once.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_goes_on_where_it_was() {
    use std::io::Write as _;

    let consortium = Consortium::new();
    let node = consortium.start_with(&Settings::limits("write_stall_s = 1\nevent_queue_max = 4"));
    // More events than the buffers of the system take in on both sides.
    let records = load_records(&consortium, 8000);
    for part in records.chunks(2000) {
        node.append_all(part);
    }
    let clients = |expected: &str| {
        wait_for(&format!("{expected} event clients"), || {
            let metrics = node.get("/metrics");
            let line =
                metrics.text().lines().find(|line| line.starts_with("quittance_event_clients "))?;
            line.ends_with(&format!(" {expected}")).then_some(())
        });
    };
    let mut stalled = narrow(node.address());
    write!(stalled, "GET /v1/events?after=0 HTTP/1.1\r\nHost: {}\r\n\r\n", node.address()).unwrap();
    clients("1");
    // It never reads. The node gives it up.
    clients("0");

    // What it had taken until then is the beginning, and ends in the middle.
    let mut taken = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stalled.read(&mut part) {
        taken.extend_from_slice(&part[..read]);
    }
    let taken = String::from_utf8_lossy(&taken).into_owned();
    let ids: Vec<_> = taken
        .lines()
        .filter_map(|line| line.strip_prefix("id: ").or_else(|| line.strip_prefix("id:")))
        .collect();
    assert!(!ids.is_empty() && ids.len() < records.len(), "{} events", ids.len());

    // With the last whole one as its cursor it gets the rest.
    let events = all(&node);
    let known = &ids[..ids.len() - 1];
    assert_eq!(known, events[..known.len()].iter().map(|event| &*event.id).collect::<Vec<_>>());
    let mut stream = Events::open(node.address(), "/v1/events", known.last().copied());
    for expected in &events[known.len()..] {
        assert_eq!(stream.next().unwrap(), *expected);
    }
}

#[test]
fn damage_that_a_stream_meets_ends_the_node_with_the_name_of_the_file() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    node.append_all(&load_records(&consortium, 20));
    let blocks = consortium.data().join("ledger/blocks");
    for file in fs::read_dir(&blocks).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(&path, bytes).unwrap();
    }
    // Whoever asked gets the end of the stream, not a stream with a gap.
    let mut stream = Events::open(node.address(), "/v1/events?after=0", None);
    assert_eq!(stream.next(), None);
    let ended = node.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("damaged: blocks"), "{}", ended.stderr);
}

#[test]
fn more_streams_than_allowed_are_turned_away() {
    let consortium = Consortium::new();
    let node = consortium.start_with(&Settings::limits("event_clients_max = 2"));
    let open = |_| Events::open(node.address(), "/v1/events", None);
    let mut streams: Vec<_> = (0..2).map(open).collect();
    let answer = node.get("/v1/events");
    assert_eq!((answer.status, &*answer.problem()), (503, "overloaded"));
    assert!(answer.headers.contains_key("retry-after"));
    streams.pop();
    wait_for("a place for another stream", || {
        let metrics = node.get("/metrics");
        metrics.text().contains("quittance_event_clients 1\n").then_some(())
    });
    streams.push(open(0));
}
