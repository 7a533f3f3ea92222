//! Connections that are closed within a time, whether the other side hears of it
//! or not.
//!
//! Closing a connection in order waits until its last bytes are taken. On a link
//! that is cut without a word that is when the kernel gives up, a quarter of an
//! hour later, and until then libp2p counts the peer as connected.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Sleep, sleep};

/// A connection whose closing takes no longer than a time.
pub(super) struct Closing<M> {
    inner: M,
    timeout: Duration,
    /// Since closing began.
    over: Option<Pin<Box<Sleep>>>,
}

impl<M> Closing<M> {
    /// Gives up closing `inner` in order after `timeout`.
    pub(super) fn within(timeout: Duration, inner: M) -> Self {
        Self { inner, timeout, over: None }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Closing<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let closed @ Poll::Ready(_) = Pin::new(&mut self.inner).poll_close(cx) {
            return closed;
        }
        let timeout = self.timeout;
        // The connection is dropped afterwards, which closes it for this side.
        self.over.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx).map(Ok)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use super::*;

    /// A connection over a link that is cut.
    struct Cut;

    impl StreamMuxer for Cut {
        type Substream = futures::io::Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_cut_link_does_not_hold_up_the_end_of_its_connection() {
        use libp2p::core::muxing::StreamMuxerExt as _;
        let closing = Closing::within(Duration::from_millis(50), Cut).close();
        tokio::time::timeout(Duration::from_secs(60), closing).await.unwrap().unwrap();
    }
}
