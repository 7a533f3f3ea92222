//! Which token had which record with private fields signed lately, so that it may
//! send the same again and get the same record, even where it reads nothing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use quittance_ledger::digest::RecordId;

use crate::access::TokenId;

/// Records of which that is known; the last ones. Whoever tries again does so
/// soon, and what is forgotten is recorded once more, under salts of its own.
const RECORDS_MAX: usize = 10_000;

/// Who sent what.
#[derive(Debug, Default)]
pub(crate) struct Senders(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    order: VecDeque<RecordId>,
    by_id: HashMap<RecordId, TokenId>,
}

impl Senders {
    // No thread leaves it half changed, so a poisoned lock is still whole.
    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a token had this record signed. The first one stays.
    pub(super) fn note(&self, id: RecordId, token: TokenId) {
        let mut lately = self.lately();
        if lately.by_id.contains_key(&id) {
            return;
        }
        lately.by_id.insert(id, token);
        lately.order.push_back(id);
        if lately.order.len() > RECORDS_MAX
            && let Some(oldest) = lately.order.pop_front()
        {
            lately.by_id.remove(&oldest);
        }
    }

    /// Whether that token had this record signed, as far as it is known.
    pub(super) fn was_sent_by(&self, id: &RecordId, token: &TokenId) -> bool {
        self.lately().by_id.get(id) == Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Token;

    #[test]
    fn who_sent_a_record_is_forgotten_in_time_and_is_one_token() {
        let senders = Senders::default();
        let [one, other] = [1, 2].map(|byte| Token::from_secret(&[byte; 32]).hash().id());
        let id = |number: usize| RecordId::of(&number.to_be_bytes());
        senders.note(id(0), one.clone());
        senders.note(id(0), other.clone());
        assert!(senders.was_sent_by(&id(0), &one));
        assert!(!senders.was_sent_by(&id(0), &other) && !senders.was_sent_by(&id(1), &one));
        for number in 1..=RECORDS_MAX {
            senders.note(id(number), other.clone());
        }
        assert!(!senders.was_sent_by(&id(0), &one), "it is the oldest");
        assert!(senders.was_sent_by(&id(1), &other));
        assert_eq!(senders.lately().by_id.len(), RECORDS_MAX);
    }
}
