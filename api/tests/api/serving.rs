//! Over real sockets: bounds on connections and time, and the orderly stop.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use quittance_api::{ApiConfig, Limits, ServeError, Tls, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use crate::harness::{Api, Mode, quote};

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

fn start(api: &Api, limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let router = api.router.clone();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        serve(listener, router, None, &limits, shutdown).await
    });
    Served { address, stop, task }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut text))
        .await
        .expect("no end of the answer")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_waiting_append_is_finished_before_the_server_is_gone() {
    let api = Api::new(Mode::Hold);
    let served = start(&api, Limits::default());
    let jws = String::from_utf8(quote(1).jws().to_vec()).unwrap();
    let stream = send(
        served.address,
        &format!(
            "POST /v1/records HTTP/1.1\r\nhost: localhost\r\nprefer: wait=30\r\n\
             content-type: application/jose\r\ncontent-length: {}\r\n\r\n{jws}",
            jws.len()
        ),
    )
    .await;
    while api.node.submissions.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(served.address).await.is_err(), "nothing new is taken");
    api.node.commit();
    assert!(answer(stream).await.unwrap().starts_with("HTTP/1.1 201"));
    served.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_ends_event_streams_and_waits_without_an_end() {
    let api = Api::new(Mode::Hold);
    let served = start(&api, Limits::default());
    let events = send(served.address, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let jws = String::from_utf8(quote(1).jws().to_vec()).unwrap();
    let append = send(
        served.address,
        &format!(
            "POST /v1/records/batch HTTP/1.1\r\nhost: localhost\r\nprefer: wait=60\r\n\
             content-type: text/plain\r\ncontent-length: {}\r\n\r\n{jws}",
            jws.len()
        ),
    )
    .await;
    let idle = TcpStream::connect(served.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    served.stop.send(()).unwrap();
    assert!(answer(events).await.unwrap().contains("text/event-stream"));
    assert!(started.elapsed() < Duration::from_secs(1), "streams end promptly");
    let text = answer(append).await.unwrap();
    assert!(text.contains("\"status\":202"), "{text}");
    served.task.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8));
    drop(idle);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_places_become_free() {
    let api = Api::new(Mode::Commit);
    let served = start(&api, Limits { connections_max: 1, ..Limits::default() });
    let first = send(served.address, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = send(served.address, GET).await;
    assert!(answer(second).await.map_or(true, |text| text.is_empty()));
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let third = send(served.address, GET).await;
    assert!(answer(third).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let api = Api::new(Mode::Commit);
    let served = start(&api, Limits { header_time_s: 1, ..Limits::default() });
    let slow = send(served.address, "GET /healthz HTTP/1.1\r\nhost: loc").await;
    let started = Instant::now();
    drop(answer(slow).await);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut() {
    let api = Api::new(Mode::Commit);
    let body = Arc::new(vec![b'a'; 64 << 20]);
    let router = axum::Router::new()
        .route("/large", axum::routing::get(move || async move { body.to_vec() }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { write_stall_s: 1, connections_max: 1, ..Limits::default() };
    tokio::spawn(
        async move { serve(listener, router, None, &limits, std::future::pending()).await },
    );
    let mut stalled =
        send(address, "GET /large HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Its place is free again.
    let next =
        send(address, "GET /none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer(next).await.unwrap().starts_with("HTTP/1.1 404"));
    let mut taken = Vec::new();
    let _ = stalled.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20);
    drop(api);
}

#[tokio::test]
async fn on_loopback_only_this_machine_is_served() {
    let api = Api::new(Mode::Commit);
    let served = start(&api, Limits::default());
    let port = served.address.port();
    let own = served.address.to_string();
    let status = async |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let text = answer(send(served.address, &request).await).await.unwrap();
        text.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for path in ["/", "/v1/status", "/v1/records", "/healthz", "/metrics", "/docs/", "/nothing"] {
        for host in [
            "host: evil.example\r\n",
            "host: 127.0.0.1.evil.example\r\n",
            "host: \r\n",
            "",
            "host: localhost\r\nhost: evil.example\r\n",
        ] {
            assert_eq!(status(path, host).await, "421", "{path} {host}");
        }
    }
    assert_eq!(status("http://evil.example/healthz", "host: localhost\r\n").await, "421");
    for host in [own, format!("localhost:{port}"), "a.localhost".to_owned(), "[::1]".to_owned()] {
        assert_eq!(status("/healthz", &format!("host: {host}\r\n")).await, "200", "{host}");
    }
}

#[tokio::test]
async fn behind_a_proxy_any_host_is_served() {
    let api = Api::with(Mode::Commit, ApiConfig { behind_proxy: true, ..ApiConfig::default() });
    let served = start(&api, Limits::default());
    let request = GET.replace("localhost", "ledger.example");
    let text = answer(send(served.address, &request).await).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_together() {
    let limits = Limits { response_bytes_max: 1 << 20, ..Limits::default() };
    let config = ApiConfig { limits: limits.clone(), ..ApiConfig::default() };
    let api = Api::with(Mode::Hold, config);
    api.add(0..1000);
    let served = start(&api, limits);
    let request = "GET /v1/records?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Each takes the head of its answer and nothing else. What the system itself
    // holds for a reader is sent, so there are several before it is too much.
    let mut unread = Vec::new();
    let refused = loop {
        assert!(unread.len() < 50, "nothing is ever refused");
        let mut stream = send(served.address, request).await;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        match &head {
            b"HTTP/1.1 200" => unread.push(stream),
            b"HTTP/1.1 503" => break stream,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    };
    drop(refused);
    assert!(!unread.is_empty());
    // Small answers go on, and the room comes back once the readers are gone.
    assert!(answer(send(served.address, GET).await).await.unwrap().contains("200 OK"));
    drop(unread);
    let closing = request.replace("host:", "connection: close\r\nhost:");
    let deadline = Instant::now() + Duration::from_secs(15);
    while !answer(send(served.address, &closing).await).await.unwrap().contains("200 OK") {
        assert!(Instant::now() < deadline, "the room does not come back");
    }
}

#[test]
fn an_unreadable_certificate_is_named() {
    let (cert, key) = (Path::new("/nowhere/cert.pem"), Path::new("/nowhere/key.pem"));
    let error = Tls::load(cert, key).unwrap_err().to_string();
    assert!(error.contains("/nowhere/cert.pem"), "{error}");
}
