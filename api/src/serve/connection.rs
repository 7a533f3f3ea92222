//! One connection: counted among those that may be open, and cut when the other
//! side takes nothing for too long.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

use crate::limits::Limits;

/// Takes connections while there are places, and closes the others at once.
#[derive(Debug, Clone)]
pub(super) struct BoundedAcceptor {
    places: Arc<Semaphore>,
    stall: Duration,
}

impl BoundedAcceptor {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections_max)),
            stall: limits.write_stall(),
        }
    }
}

impl<S> Accept<TcpStream, S> for BoundedAcceptor {
    type Stream = Connection<TcpStream>;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let connection = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections"))
            .and_then(|place| {
                // Answers are written whole; waiting to fill a packet only delays them.
                stream.set_nodelay(true)?;
                Ok(Connection::new(stream, self.stall, Some(place)))
            });
        std::future::ready(connection.map(|connection| (connection, service)))
    }
}

/// A stream that fails when a write makes no headway for too long.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    stall: Duration,
    /// Runs while a write waits.
    clock: Option<Pin<Box<Sleep>>>,
    #[expect(dead_code, reason = "held for as long as the connection is open")]
    place: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    fn new(stream: S, stall: Duration, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, stall, clock: None, place }
    }

    /// Passes on what a write came to, and watches the clock while it waits.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.clock = None;
            return poll;
        }
        let stall = self.stall;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(stall)));
        match clock.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                clock.as_mut().reset(Instant::now() + stall);
                let error = "the other side takes nothing";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, poll)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_is_slow_is_not() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut connection = Connection::new(near, Duration::from_millis(60), None);
        let reader = tokio::spawn(async move {
            let mut taken = [0; 8];
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                far.read_exact(&mut taken).await.unwrap();
            }
            far
        });
        connection.write_all(&[0; 112]).await.unwrap();
        let _far = reader.await.unwrap();
        let error = connection.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
