//! All records about one thing, read in one go: what views are made of.

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
        let mut entries = Vec::with_capacity(found.len());
        let mut near = None;
        for index in found {
            let record = self.record_at(index)?;
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
