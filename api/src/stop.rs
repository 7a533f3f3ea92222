//! How requests that wait learn that the server is shutting down.

use std::{convert::Infallible, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::{sync::watch, time::Instant};

/// So long a waiting append may go on waiting once the server stops: its record
/// may well become final in that time.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Tells when the server stops. One that is not told of any server never does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    receiver: Option<watch::Receiver<bool>>,
    last_wait_ends: Option<Instant>,
}

impl Stop {
    pub(crate) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self { receiver: Some(receiver), last_wait_ends: None }
    }

    /// Resolves as soon as the server begins to stop.
    pub(crate) async fn stopped(&mut self) {
        match &mut self.receiver {
            // An error is a server that is gone.
            Some(receiver) => drop(receiver.wait_for(|stopping| *stopping).await),
            None => std::future::pending().await,
        }
    }

    /// Resolves a little after the server began to stop.
    pub(crate) async fn stopped_for_long(&mut self) {
        self.stopped().await;
        // One time for all that a request waits for.
        let ends = *self.last_wait_ends.get_or_insert_with(|| Instant::now() + LAST_WAIT);
        tokio::time::sleep_until(ends).await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stop {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
