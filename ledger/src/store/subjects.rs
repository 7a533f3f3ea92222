//! All records about one thing, read in one go: what views are made of.

use rayon::prelude::*;

use super::{Entry, Page, Store, StoreError, Term, TermKind};
use crate::{
    insurance::views,
    record::{ClaimRef, ContractRef, Record},
};

/// What records are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A contract that they name.
    Contract(ContractRef),
    /// A claim that they name.
    Claim(ClaimRef),
    /// A payee: they pay it, or are claims that it opened.
    Payee(String),
}

impl Subject {
    fn term(&self) -> Term {
        match self {
            Self::Contract(contract) => Term::of(TermKind::Contract, contract.as_str()),
            Self::Claim(claim) => Term::of(TermKind::Claim, claim.as_str()),
            Self::Payee(payee) => Term::of(TermKind::Payee, payee),
        }
    }

    /// Terms may look alike, so every record is compared.
    fn is_of(&self, record: &Record) -> bool {
        match self {
            Self::Contract(contract) => record.payload().contract.as_ref() == Some(contract),
            Self::Claim(claim) => record.payload().claim.as_ref() == Some(claim),
            Self::Payee(payee) => views::payee_of(record).as_deref() == Some(payee),
        }
    }
}

/// Records that one thread reads at least, where several read.
const READ_AT_ONCE: usize = 64;

/// The block of the record read last: the next one is likely in it, or near.
#[derive(Debug, Clone, Copy)]
struct Near {
    height: u64,
    time_ms: u64,
    /// The index after its last record.
    end: u64,
}

impl Store {
    /// The records about `subject` after index `after` among the first `size`
    /// of the ledger, at most `limit`, oldest first. Costs what these records
    /// cost to read, however large the ledger is.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn records_of(
        &self,
        subject: &Subject,
        after: Option<u64>,
        size: u64,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let size = size.min(self.tip().frontier.size());
        let from = after.map_or(0, |after| after.saturating_add(1));
        let mut found = self.terms.all(subject.term(), from, size, limit.saturating_add(1))?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_after = found.last().copied().filter(|_| more);
        // Most of the time goes into taking records apart, which has no order.
        let read = found.par_iter().with_min_len(READ_AT_ONCE);
        let records: Vec<Record> =
            read.map(|index| self.record_at(*index)).collect::<Result<_, _>>()?;
        let mut entries = Vec::with_capacity(found.len());
        let mut near = None;
        for (index, record) in found.into_iter().zip(records) {
            if subject.is_of(&record) {
                let block = self.block_of(index, &mut near)?;
                let (height, block_time_ms) = (block.height, block.time_ms);
                entries.push(Entry { index, height, block_time_ms, record });
            }
        }
        Ok(Page { entries, next_after })
    }

    /// Whether more than `limit` records among the first `size` of the ledger may
    /// be about `subject`. Looks at no record, so that of other things that look
    /// alike some may be counted.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn has_more_than(
        &self,
        subject: &Subject,
        size: u64,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let size = size.min(self.tip().frontier.size());
        Ok(self.terms.all(subject.term(), 0, size, limit.saturating_add(1))?.len() > limit)
    }

    /// The records `from..to` of the ledger.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn entries(&self, from: u64, to: u64) -> Result<Vec<Entry>, StoreError> {
        let mut near = None;
        let to = to.min(self.tip().frontier.size());
        let entry = |index| {
            let block = self.block_of(index, &mut near)?;
            let (height, block_time_ms) = (block.height, block.time_ms);
            Ok(Entry { index, height, block_time_ms, record: self.record_at(index)? })
        };
        (from..to).map(entry).collect()
    }

    /// The block of a record that is not before the one in `near`.
    fn block_of(&self, index: u64, near: &mut Option<Near>) -> Result<Near, StoreError> {
        if let Some(near) = near.filter(|near| index < near.end) {
            return Ok(near);
        }
        let height = self.height_of(index)?;
        let header = self.header_at(height)?;
        let block = Near { height, time_ms: header.time_ms, end: header.tree_size };
        *near = Some(block);
        Ok(block)
    }

    /// How many records the ledger held after the last block whose time is not
    /// later than `time_ms`.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn size_at_time(&self, time_ms: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.tip().height);
        // Times of blocks only grow.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.header_at(middle)?.time_ms <= time_ms {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        match low {
            0 => Ok(0),
            height => Ok(self.header_at(height)?.tree_size),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::{
        store::{Filter, LAYOUT},
        testing::Ledger,
    };

    fn indices(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn records_of_a_contract_are_those_that_a_query_finds_across_runs_and_pages() {
        let ledger = Ledger::new("test.example/subjects");
        let folder = tempfile::tempdir().unwrap();
        let store = ledger.open(folder.path()).unwrap();
        // More than a run holds, and some that are in memory only.
        ledger.fill(&store, 0, 3, 3000);
        let contract: ContractRef = "insurer/C-3".parse().unwrap();
        let filter = Filter { contract: Some(contract.clone()), ..Filter::default() };
        let (subject, size) = (Subject::Contract(contract), 9000);
        let expected = indices(&store.query(&filter, None, 1000).unwrap());
        assert_eq!(expected.len(), 900);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.records_of(&subject, after, size, 7).unwrap();
            assert!(page.entries.len() <= 7);
            for entry in &page.entries {
                let same = store.entry(entry.index).unwrap().unwrap();
                assert_eq!((entry.height, entry.block_time_ms), (same.height, same.block_time_ms));
                assert_eq!(entry.record, same.record);
            }
            found.extend(indices(&page));
            match page.next_after {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, expected);
        // As the ledger was after its second block.
        let then = store.records_of(&subject, None, 6000, 10_000).unwrap();
        assert_eq!(indices(&then), expected[..600]);
        assert_eq!(then.next_after, None);
        assert!(store.has_more_than(&subject, size, 899).unwrap());
        assert!(!store.has_more_than(&subject, size, 900).unwrap());
        let nothing = Subject::Contract("insurer/C-99".parse().unwrap());
        assert!(store.records_of(&nothing, None, size, 10).unwrap().entries.is_empty());
        let all = store.entries(2999, 3002).unwrap();
        assert_eq!(all.iter().map(|entry| entry.height).collect::<Vec<_>>(), [1, 2, 2]);
        let time = |height| store.header(height).unwrap().unwrap().0.time_ms;
        let sizes = [time(1) - 1, time(1), time(2), time(3), u64::MAX];
        assert_eq!(
            sizes.map(|time_ms| store.size_at_time(time_ms).unwrap()),
            [0, 3000, 6000, 9000, 9000]
        );
    }

    #[test]
    fn a_payee_is_found_by_payments_and_by_claims_it_opened() {
        let ledger = Ledger::new("test.example/payees");
        let folder = tempfile::tempdir().unwrap();
        let store = ledger.open(folder.path()).unwrap();
        let issued = json!({"type": "contract.issued", "occurred_at": "2025-01-01T00:00:00Z",
            "contract": "insurer/1", "data": {"version": 1, "line_of_business": "pet_health",
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "signature_required": false}});
        let opened = |claim: &str, declared_by: Option<&str>| {
            let mut record = json!({"type": "claim.opened", "occurred_at": "2025-01-02T00:00:00Z",
                "contract": "insurer/1", "claim": claim,
                "data": {"channel": "crm", "attached": [], "claimed": 5, "currency": "EUR"}});
            if let Some(by) = declared_by {
                record["declared_by"] = by.into();
            }
            record
        };
        let decided = json!({"type": "claim.decided", "occurred_at": "2025-01-03T00:00:00Z",
            "contract": "insurer/1", "claim": "insurer/C1",
            "data": {"outcome": "approved", "approved": 5, "refused": 0, "currency": "EUR"}});
        let paid = json!({"type": "payment.recorded", "occurred_at": "2025-01-04T00:00:00Z",
            "contract": "insurer/1", "claim": "insurer/C1",
            "data": {"amount": 5, "currency": "EUR", "status": "executed", "payee": "provider"}});
        let records = vec![
            ledger.sign("insurer", issued),
            ledger.sign("broker", opened("insurer/C1", None)),
            ledger.sign("broker", opened("insurer/C2", Some("policyholder"))),
            ledger.sign("insurer", decided),
            ledger.sign("insurer", paid),
        ];
        ledger.commit(&store, records);
        let found = |payee: &str| {
            indices(&store.records_of(&Subject::Payee(payee.to_owned()), None, 10, 10).unwrap())
        };
        assert_eq!(found("broker"), [1]);
        assert_eq!(found("policyholder"), [2]);
        assert_eq!(found("provider"), [4]);
        assert!(found("insurer").is_empty());
    }

    #[test]
    fn an_index_of_an_earlier_version_is_not_used() {
        let ledger = Ledger::new("test.example/layout");
        let folder = tempfile::tempdir().unwrap();
        let store = ledger.open(folder.path()).unwrap();
        ledger.fill(&store, 0, 1, 3);
        store.database.remove(LAYOUT).unwrap();
        store.close().unwrap();
        drop(store);
        assert!(matches!(ledger.open(folder.path()), Err(StoreError::OldIndex)));
        let sign = |checkpoint: &_| Some(ledger.signed(checkpoint));
        let (members, options) = (ledger.membership.clone(), crate::testing::OPTIONS);
        drop(Store::reindex(folder.path(), members, options, None, sign, |_, _| ()).unwrap());
        assert_eq!(ledger.open(folder.path()).unwrap().tip().frontier.size(), 3);
    }
}
