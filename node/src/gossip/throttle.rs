//! A connection that is read no faster than a rate: what comes faster waits in the
//! sender's buffers. Whatever a member sends, duplicates and rubbish too, costs no
//! more than this to receive, decrypt and check.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{AsyncRead, AsyncWrite, Future as _};
use tokio::time::Sleep;

/// A pause lasts until a thirty-second part of a second's bytes may be read, so
/// that a throttled connection wakes the machine seldom.
const PAUSE: Duration = Duration::from_millis(32);

/// The bytes that may be read, as they grow and are used.
struct Allowance {
    bytes_per_second: u64,
    bytes: u64,
    since: Instant,
}

impl Allowance {
    /// A second's bytes at once.
    fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second, bytes: bytes_per_second, since: now }
    }

    fn at(&mut self, now: Instant) -> usize {
        let micros = now.saturating_duration_since(self.since).as_micros();
        let grown = micros.saturating_mul(u128::from(self.bytes_per_second)) / 1_000_000;
        let grown = u64::try_from(grown).unwrap_or(u64::MAX);
        if grown > 0 {
            self.bytes = self.bytes.saturating_add(grown).min(self.bytes_per_second);
            self.since = now;
        }
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    fn used(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// A stream whose reads are throttled; writes are not.
pub(super) struct Throttled<S> {
    stream: S,
    allowance: Allowance,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Throttled<S> {
    pub(super) fn new(stream: S, bytes_per_second: u64) -> Self {
        let allowance = Allowance::new(bytes_per_second.max(1), Instant::now());
        Self { stream, allowance, pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
            }
            let allowed = this.allowance.at(Instant::now()).min(buffer.len());
            if allowed == 0 && !buffer.is_empty() {
                this.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                continue;
            }
            let (allowed, _) = buffer.split_at_mut(allowed);
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, allowed))?;
            this.allowance.used(read);
            return Poll::Ready(Ok(read));
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{AsyncReadExt as _, io::repeat};

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_the_rate_allows() {
        let start = Instant::now();
        let mut stream = Throttled::new(repeat(7), 100_000_000);
        let mut read = 0_u64;
        let mut buffer = vec![0; 65_536];
        while start.elapsed() < Duration::from_millis(300) {
            read += stream.read(&mut buffer).await.unwrap() as u64;
        }
        let most = 100_000_000 + 100_000_000 * start.elapsed().as_millis() as u64 / 1_000;
        assert!(read <= most, "{read} bytes, at most {most}");
    }

    #[test]
    fn an_allowance_grows_with_time_up_to_a_second_of_it_and_loses_no_part() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(1_000, now);
        assert_eq!(allowance.at(now), 1_000);
        allowance.used(1_000);
        assert_eq!(allowance.at(now), 0);
        for _ in 0..1_000 {
            now += Duration::from_micros(500);
            allowance.at(now);
        }
        assert_eq!(allowance.at(now), 500);
        now += Duration::from_secs(1_000);
        assert_eq!(allowance.at(now), 1_000);
    }
}
