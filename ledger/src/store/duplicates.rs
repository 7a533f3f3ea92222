//! The same document at two places: records whose documents have the same
//! `match` and that are about different contracts or claims.
//!
//! To find all of them without reading the whole ledger, a record is posted as a
//! repetition when it comes in and one of its matches stood there before; who
//! asks goes along these postings. Whether the earlier record is about another
//! contract or claim is looked at then.

#[cfg(test)]
mod tests;

use super::{Entry, Store, StoreError, Term, TermKind, query::terms_of};
use crate::{
    digest::{Digest, RecordId},
    insurance::{Code, RecordType},
    limits::DUPLICATE_USES_MAX,
    membership::MemberId,
    record::{ClaimRef, Commitment, ContractRef, Record},
};

/// A use of a document that was used before for another contract or claim.
#[derive(Debug, Clone)]
pub struct Duplicate {
    /// The document's `match`.
    pub match_tag: Digest,
    /// The later record.
    pub later: DocumentUse,
    /// The earlier records with that match that are about another contract or
    /// claim, the oldest first; at most [`DUPLICATE_USES_MAX`].
    pub earlier: Vec<DocumentUse>,
    /// Whether there may be earlier ones that were not looked at; then the list
    /// may even be empty.
    pub more: bool,
}

/// A record that has a document: where it stands, who signed it and what it is
/// about, without the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentUse {
    /// The record's id.
    pub id: RecordId,
    /// Its place among all records, from 0.
    pub index: u64,
    /// The block it stands in.
    pub height: u64,
    /// The time of that block, in milliseconds since the Unix epoch.
    pub block_time_ms: u64,
    /// Who signed it.
    pub signer: MemberId,
    /// What kind of record it is.
    pub record_type: RecordType,
    /// The contract it is about.
    pub contract: Option<ContractRef>,
    /// The claim it is about.
    pub claim: Option<ClaimRef>,
    /// When it happened, as the signer claims.
    pub occurred_at: jiff::Timestamp,
    /// What the record calls the document, such as `invoice`.
    pub kind: Code,
}

impl DocumentUse {
    /// The use of the document of that match; none where the record has no such.
    fn of(entry: &Entry, tag: Commitment) -> Option<Self> {
        let payload = entry.record.payload();
        let document = payload.documents.iter().find(|found| found.match_tag == Some(tag))?;
        Some(Self {
            id: entry.record.id(),
            index: entry.index,
            height: entry.height,
            block_time_ms: entry.block_time_ms,
            signer: entry.record.signer().clone(),
            record_type: payload.record_type,
            contract: payload.contract.clone(),
            claim: payload.claim.clone(),
            occurred_at: payload.occurred_at,
            kind: document.kind.clone(),
        })
    }

    /// Whether two records are about different contracts or different claims. One
    /// that names neither, or a contract without a claim, may be about the same.
    fn is_separate_from(&self, other: &Self) -> bool {
        let contracts = self.contract.as_ref().zip(other.contract.as_ref());
        let claims = self.claim.as_ref().zip(other.claim.as_ref());
        contracts.is_some_and(|(one, other)| one != other)
            || claims.is_some_and(|(one, other)| one != other)
    }
}

/// Duplicates that were found, in the order of the later records.
#[derive(Debug, Clone, Default)]
pub struct Duplicates {
    /// What was found.
    pub duplicates: Vec<Duplicate>,
    /// The index to ask on after, when there may be more.
    pub next_after: Option<u64>,
}

/// Records that are read for one page, about; a search that finds little gives
/// what it has and where to go on.
const READS_MAX: usize = 2_000;

/// Earlier records that are read for one document of a later record, of all that a
/// page may read.
const EARLIER_READS_MAX: usize = 256;

pub(super) fn term_of_match(match_tag: Commitment) -> Term {
    Term::of(TermKind::Match, &match_tag.to_string())
}

impl Store {
    /// Posts what the records from index `first` on are found by.
    pub(super) fn add_postings(&self, first: u64, records: &[Record]) -> Result<(), StoreError> {
        let numbered = || (first..).zip(records);
        self.terms.add(
            numbered().flat_map(|(index, record)| terms_of(record).map(move |term| (term, index))),
        )?;
        let mut repeats = Vec::new();
        for (index, record) in numbered() {
            for match_tag in matches_of(record) {
                if self.terms.previous(term_of_match(match_tag), index)?.is_some() {
                    repeats.push((Term::of(TermKind::Repeats, ""), index));
                    break;
                }
            }
        }
        if repeats.is_empty() { Ok(()) } else { self.terms.add(repeats) }
    }

    /// Documents that were used before for another contract or claim: the later
    /// records after index `after`, at most `limit` of them, each with the
    /// earlier ones. With `match_tag`, only those of this document.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn duplicates(
        &self,
        match_tag: Option<Digest>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Duplicates, StoreError> {
        let size = self.tip().frontier.size();
        let term = match match_tag {
            Some(match_tag) => term_of_match(match_tag.into()),
            None => Term::of(TermKind::Repeats, ""),
        };
        let mut found = Duplicates::default();
        let mut records = 0;
        let mut reads: usize = 0;
        let mut from = after.map_or(0, |after| after.saturating_add(1));
        while let Some(index) = self.terms.next(term, from)?.filter(|index| *index < size) {
            if records == limit || reads >= READS_MAX {
                found.next_after = index.checked_sub(1);
                break;
            }
            let is_first = reads == 0;
            from = index + 1;
            reads += 1;
            let Some(entry) = self.entry(index)? else { break };
            let wanted = |tag: &Commitment| match_tag.is_none_or(|wanted| wanted == *tag.digest());
            let before = found.duplicates.len();
            for tag in matches_of(&entry.record).into_iter().filter(wanted) {
                let Some(later) = DocumentUse::of(&entry, tag) else { continue };
                let (earlier, more) = self.earlier_uses(&later, tag, &mut reads)?;
                if more && reads >= READS_MAX && !is_first {
                    // The page has no reads left for all its documents; the next
                    // one begins with it.
                    found.duplicates.truncate(before);
                    found.next_after = index.checked_sub(1);
                    return Ok(found);
                }
                if more || !earlier.is_empty() {
                    let match_tag = *tag.digest();
                    found.duplicates.push(Duplicate { match_tag, later, earlier, more });
                }
            }
            records += usize::from(found.duplicates.len() > before);
        }
        Ok(found)
    }

    /// The records before `later` with that match and about another contract or
    /// claim, and whether there may be more of them.
    fn earlier_uses(
        &self,
        later: &DocumentUse,
        tag: Commitment,
        reads: &mut usize,
    ) -> Result<(Vec<DocumentUse>, bool), StoreError> {
        let term = term_of_match(tag);
        let mut earlier = Vec::new();
        let mut left = EARLIER_READS_MAX.min(READS_MAX.saturating_sub(*reads));
        let mut from = 0;
        while let Some(index) = self.terms.next(term, from)?.filter(|index| *index < later.index) {
            if earlier.len() == DUPLICATE_USES_MAX || left == 0 {
                return Ok((earlier, true));
            }
            from = index + 1;
            left -= 1;
            *reads += 1;
            let Some(entry) = self.entry(index)? else { break };
            // None where the term of another match looks alike.
            let other = DocumentUse::of(&entry, tag);
            earlier.extend(other.filter(|other| later.is_separate_from(other)));
        }
        Ok((earlier, false))
    }
}

/// The matches of a record's documents, each once.
fn matches_of(record: &Record) -> Vec<Commitment> {
    let mut matches: Vec<_> =
        record.payload().documents.iter().filter_map(|document| document.match_tag).collect();
    matches.sort_unstable();
    matches.dedup();
    matches
}
