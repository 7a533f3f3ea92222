//! One connection: counted among those that may be open, and cut when the other
//! side takes too little for too long.

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

use crate::limits::{Limits, READER_BYTES_PER_S_MIN};

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

/// A stream that fails when the other side takes too little while something is
/// to be written. A byte now and then does not keep it open.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    stall: Duration,
    /// Since a write had to wait.
    slow: Option<Slow>,
    #[expect(dead_code, reason = "held for as long as the connection is open")]
    place: Option<OwnedSemaphorePermit>,
}

/// A time in which the other side must take something.
#[derive(Debug)]
struct Slow {
    clock: Pin<Box<Sleep>>,
    taken_bytes: u64,
}

impl<S> Connection<S> {
    fn new(stream: S, stall: Duration, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, stall, slow: None, place }
    }

    /// What must have been taken by the time the clock runs out.
    fn demanded_bytes(&self) -> u64 {
        let stall_ms = u64::try_from(self.stall.as_millis()).unwrap_or(u64::MAX);
        stall_ms.saturating_mul(READER_BYTES_PER_S_MIN).div_ceil(1000)
    }

    /// Passes on how many bytes a write took. The clock runs from the first
    /// write that waits until enough was taken since, or nothing is left.
    fn after_write(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(Ok(bytes)) = poll else { return self.watch(context, poll) };
        let demanded_bytes = self.demanded_bytes();
        if let Some(slow) = &mut self.slow {
            slow.taken_bytes = slow.taken_bytes.saturating_add(bytes as u64);
            if slow.taken_bytes >= demanded_bytes {
                self.slow = None;
            }
        }
        poll
    }

    /// Passes on how a flush went: after it, nothing is left to write.
    fn after_flush(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if poll.is_ready() {
            self.slow = None;
            return poll;
        }
        self.watch(context, poll)
    }

    /// Watches the clock while something waits.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            return poll;
        }
        let stall = self.stall;
        let start = || Slow { clock: Box::pin(sleep(stall)), taken_bytes: 0 };
        let clock = &mut self.slow.get_or_insert_with(start).clock;
        match clock.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                clock.as_mut().reset(Instant::now() + stall);
                let error = "the other side takes too little";
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
        self.after_write(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.after_write(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.after_flush(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.after_flush(context, poll)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// How long a write of many bytes goes on that is read like that.
    async fn write_while(step: usize, pause: Duration) -> io::Result<()> {
        let (near, mut far) = tokio::io::duplex(16);
        let mut connection = Connection::new(near, Duration::from_millis(200), None);
        let reader = tokio::spawn(async move {
            let mut taken = vec![0; step];
            while far.read_exact(&mut taken).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        let written = connection.write_all(&[0; 2048]).await;
        reader.abort();
        written
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut() {
        let error = write_while(16, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut() {
        let error = write_while(1, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_is_slow_but_steady_is_not_cut() {
        write_while(64, Duration::from_millis(10)).await.unwrap();
    }

    #[tokio::test]
    async fn silence_between_answers_does_not_count() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut connection = Connection::new(near, Duration::from_millis(100), None);
        let reader = tokio::spawn(async move {
            let mut taken = [0; 24];
            for _ in 0..3 {
                far.read_exact(&mut taken).await.unwrap();
            }
            far
        });
        for _ in 0..3 {
            connection.write_all(&[0; 24]).await.unwrap();
            connection.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        let _far = reader.await.unwrap();
    }
}
