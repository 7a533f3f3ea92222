//! Over real sockets: bounds on connections and time, and the orderly stop.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use quittance_api::{Limits, ServeError, serve};
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
async fn an_unreadable_certificate_is_named() {
    let api = Api::new(Mode::Commit);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls =
        quittance_api::Tls { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
    let limits = Limits::default();
    let served = serve(listener, api.router.clone(), Some(tls), &limits, std::future::pending());
    let error = served.await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/cert.pem"), "{error}");
}
