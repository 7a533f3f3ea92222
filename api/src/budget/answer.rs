//! Answers that count for as long as they are in memory. A client that does not
//! read leaves its answer in the server's queue, so the share goes with the
//! bytes themselves and not with the body, which the server drops early.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody as _},
    response::Response,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Budget, Share, hold};
use crate::limits::UNCOUNTED_BYTES_MAX;

/// The share of an answer that was taken before the work was done. Stands among
/// the extensions of the response.
#[derive(Debug, Clone)]
pub(crate) struct Reserved(pub(super) Arc<Share>);

impl From<Share> for Reserved {
    fn from(share: Share) -> Self {
        Self(Arc::new(share))
    }
}

/// Counts an answer; none when the budget does not hold it. Small ones and
/// streams, which hold little at a time, pass as they are.
pub(crate) fn count_answer(mut response: Response, budget: &Budget) -> Option<Response> {
    let share = match response.extensions_mut().remove::<Reserved>() {
        Some(Reserved(share)) => share,
        None => match response.body().size_hint().exact() {
            Some(bytes) if bytes >= UNCOUNTED_BYTES_MAX => {
                Arc::new(budget.share_of(usize::try_from(bytes).ok()?)?)
            }
            _ => return Some(response),
        },
    };
    Some(response.map(|body| Body::new(Counted { body, share })))
}

struct Counted {
    body: Body,
    share: Arc<Share>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let held = |frame: Frame<Bytes>| frame.map_data(|data| hold(self.share.clone(), data));
        Poll::Ready(frame.map(|frame| frame.map(held)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
