//! Bytes that all requests together may hold in memory.

mod answer;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use answer::{Reserved, count_answer};

use crate::{limits::UNCOUNTED_BYTES_MAX, problem::Problem, state::App};

/// What one permit stands for, in bytes: a semaphore counts no further than a
/// `u32` at once.
const UNIT_BYTES: usize = 1024;

/// A number of bytes of which requests take their shares.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    units: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units = bytes_max.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units }
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), units: 0, permit: None }
    }

    /// A share of that many bytes; none when they are not left.
    pub(crate) fn share_of(&self, bytes: usize) -> Option<Share> {
        let mut share = self.share();
        share.cover(bytes).then_some(share)
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    units: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Grows to `bytes` in all; false when they are not left. What is larger
    /// than the whole budget counts as the whole, so that it is possible alone.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let wanted = bytes.div_ceil(UNIT_BYTES).min(self.budget.units);
        let Some(more) = wanted.checked_sub(self.units).filter(|more| *more > 0) else {
            return true;
        };
        let Ok(count) = u32::try_from(more) else { return false };
        let Ok(new) = Arc::clone(&self.budget.free).try_acquire_many_owned(count) else {
            return false;
        };
        match &mut self.permit {
            Some(permit) => permit.merge(new),
            slot => *slot = Some(new),
        }
        self.units = wanted;
        true
    }
}

/// The same bytes, which keep the share until the last of them is dropped,
/// wherever they are queued until then.
pub(crate) fn hold(share: Arc<Share>, bytes: Bytes) -> Bytes {
    Bytes::from_owner(Held { bytes, _share: share })
}

struct Held {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl App {
    /// Room for an answer of about that size, before the work for it is done;
    /// none where it is too small to be counted.
    pub(crate) fn reserve_answer(&self, bytes: usize) -> Result<Option<Reserved>, Problem> {
        if (bytes as u64) < UNCOUNTED_BYTES_MAX {
            return Ok(None);
        }
        let share = self.response_bytes.share_of(bytes).ok_or_else(|| self.answers_are_many())?;
        Ok(Some(Reserved(Arc::new(share))))
    }

    /// There is no room for another answer.
    pub(crate) fn answers_are_many(&self) -> Problem {
        self.overloaded("too many large answers wait for their readers")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_more_is_given_than_there_is_and_all_of_it_comes_back() {
        let budget = Budget::new(10 * UNIT_BYTES);
        let mut first = budget.share_of(1).unwrap();
        assert!(first.cover(6 * UNIT_BYTES) && first.cover(2 * UNIT_BYTES));
        let second = budget.share_of(4 * UNIT_BYTES).unwrap();
        assert!(budget.share_of(1).is_none());
        assert!(!first.cover(7 * UNIT_BYTES));
        // Bytes that somebody still holds keep it.
        let kept = hold(Arc::new(second), Bytes::from_static(b"abc"));
        let part = kept.slice(1..);
        drop((first, kept));
        assert!(budget.share_of(7 * UNIT_BYTES).is_none());
        assert_eq!(&*part, b"bc");
        drop(part);
        assert!(budget.share_of(usize::MAX).is_some(), "alone, whatever its size");
    }
}
