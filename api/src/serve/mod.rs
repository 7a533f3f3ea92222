//! Serving the API: HTTP/1.1, plain or over TLS, with bounds on connections and
//! time, and an orderly stop.

mod connection;
mod tls;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::{Extension, Router};
use axum_server::{Handle, tls_rustls::RustlsAcceptor};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};
use socket2::SockRef;
use tokio::sync::watch;

pub use tls::{Tls, TlsError};

use self::connection::BoundedAcceptor;
use crate::{
    host::OnLoopback,
    limits::{HEAD_BYTES_MAX, LimitError, Limits, SEND_BUFFER_BYTES},
    stop::Stop,
};

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A bound is absurd.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The system refuses.
    #[error("the API cannot be served: {0}")]
    Io(#[from] io::Error),
}

/// Serves `router` on `listener` until `shutdown` resolves. Then no connection
/// is taken any more, event streams end, and requests in flight, those that
/// wait for finality included, have `limits.grace_s` seconds to finish.
///
/// # Errors
/// A bound is absurd, or the system refuses.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    limits: &Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    limits.check()?;
    listener.set_nonblocking(true)?;
    // Every connection takes it over from the socket that listens.
    SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let router = match listener.local_addr()?.ip().is_loopback() {
        true => router.layer(Extension(OnLoopback)),
        false => router,
    };
    let handle = Handle::<SocketAddr>::new();
    let (stopping, stop) = watch::channel(false);
    let stopper = tokio::spawn({
        let handle = handle.clone();
        let grace = Duration::from_secs(limits.grace_s);
        async move {
            shutdown.await;
            tracing::info!("the API stops: finishing what was begun");
            // The receivers may all be gone, which is as well.
            let _ = stopping.send(true);
            handle.graceful_shutdown(Some(grace));
        }
    });
    let service = router
        .layer(Extension(Stop::new(stop)))
        .into_make_service_with_connect_info::<SocketAddr>();
    let acceptor = BoundedAcceptor::new(limits);
    let server = axum_server::from_tcp(listener)?.handle(handle);
    let served = match tls {
        None => {
            let mut server = server.acceptor(acceptor).http1_only();
            bound(server.http_builder(), limits);
            server.serve(service).await
        }
        Some(Tls(config)) => {
            let acceptor = RustlsAcceptor::new(config)
                .handshake_timeout(Duration::from_secs(limits.header_time_s))
                .acceptor(acceptor);
            let mut server = server.acceptor(acceptor).http1_only();
            bound(server.http_builder(), limits);
            server.serve(service).await
        }
    };
    stopper.abort();
    Ok(served?)
}

/// Bounds the head of a request, and so also how long a connection may idle.
fn bound(builder: &mut Builder<TokioExecutor>, limits: &Limits) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_time_s))
        .max_buf_size(HEAD_BYTES_MAX);
}
