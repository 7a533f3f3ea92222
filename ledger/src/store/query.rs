//! Looking records up by what they are about.

use jiff::Timestamp;

use super::{Entry, Store, StoreError, Term, TermKind, duplicates::term_of_match};
use crate::{
    digest::{Digest, RecordId},
    insurance::{Data, Family, RecordType, views},
    membership::MemberId,
    record::{ClaimRef, ContractRef, Record},
};

/// What the records must be about. An empty filter lets every record pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The contract they name.
    pub contract: Option<ContractRef>,
    /// The claim they name.
    pub claim: Option<ClaimRef>,
    /// The member that signed them.
    pub signer: Option<MemberId>,
    /// The family of their type.
    pub family: Option<Family>,
    /// Their type.
    pub record_type: Option<RecordType>,
    /// The commitment of one of their documents.
    pub document: Option<Digest>,
    /// The `match` of one of their documents.
    pub match_tag: Option<Digest>,
    /// They happened at or after this time (`occurred_at`).
    pub from: Option<Timestamp>,
    /// They happened before or at this time (`occurred_at`).
    pub to: Option<Timestamp>,
}

/// Records that a query found, in the order of the ledger.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was found.
    pub entries: Vec<Entry>,
    /// The index to ask on after, when there may be more.
    pub next_after: Option<u64>,
}

/// Look-ups of postings and records for one page; a query that finds little
/// gives what it has and where to go on.
const LOOK_UPS_MAX: usize = 20_000;

/// What the search for the next record came to.
enum Candidate {
    /// This record has all terms.
    At(u64),
    /// No further record has.
    Nothing,
    /// None before this one has; the look-ups are used up.
    NotBefore(u64),
}

impl Store {
    /// The records after index `after` that `filter` lets pass, oldest first,
    /// at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub fn query(
        &self,
        filter: &Filter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let size = self.tip().frontier.size();
        let terms = filter.terms();
        let types: Vec<Term> = filter.types();
        let mut entries = Vec::new();
        let mut from = after.map_or(0, |after| after.saturating_add(1));
        let mut left = LOOK_UPS_MAX;
        loop {
            let index = match self.next_candidate(&terms, &types, from, size, &mut left)? {
                Candidate::At(index) => index,
                Candidate::Nothing => return Ok(Page { entries, next_after: None }),
                Candidate::NotBefore(index) => {
                    return Ok(Page { entries, next_after: index.checked_sub(1) });
                }
            };
            if entries.len() == limit {
                return Ok(Page { entries, next_after: index.checked_sub(1) });
            }
            let record = self.record_at(index)?;
            if filter.lets_pass(&record) {
                let height = self.height_of(index)?;
                let block_time_ms = self.header_at(height)?.time_ms;
                entries.push(Entry { index, height, block_time_ms, record });
            }
            from = index + 1;
        }
    }

    /// The first record at or after `from` that has all `terms` and, where
    /// there are any, one of `types`. Takes each look-up from those `left`.
    fn next_candidate(
        &self,
        terms: &[Term],
        types: &[Term],
        mut from: u64,
        size: u64,
        left: &mut usize,
    ) -> Result<Candidate, StoreError> {
        loop {
            // At least one, so that every page gets further.
            let cost = (terms.len() + types.len()).max(1);
            match left.checked_sub(cost) {
                Some(rest) => *left = rest,
                None => return Ok(Candidate::NotBefore(from)),
            }
            let mut furthest = from;
            for term in terms {
                match self.terms.next(*term, furthest)? {
                    Some(index) => furthest = index,
                    None => return Ok(Candidate::Nothing),
                }
            }
            if !types.is_empty() {
                let mut nearest: Option<u64> = None;
                for term in types {
                    if let Some(index) = self.terms.next(*term, furthest)? {
                        nearest = Some(nearest.map_or(index, |nearest| nearest.min(index)));
                    }
                }
                match nearest {
                    Some(index) => furthest = index,
                    None => return Ok(Candidate::Nothing),
                }
            }
            if furthest >= size {
                return Ok(Candidate::Nothing);
            }
            if furthest == from || terms.len() + types.len().min(1) <= 1 {
                return Ok(Candidate::At(furthest));
            }
            from = furthest;
        }
    }
}

impl Filter {
    fn terms(&self) -> Vec<Term> {
        let mut terms = Vec::new();
        if let Some(contract) = &self.contract {
            terms.push(Term::of(TermKind::Contract, &contract.to_string()));
        }
        if let Some(claim) = &self.claim {
            terms.push(Term::of(TermKind::Claim, &claim.to_string()));
        }
        if let Some(document) = &self.document {
            terms.push(Term::of(TermKind::Document, &document.to_string()));
        }
        if let Some(match_tag) = self.match_tag {
            terms.push(super::duplicates::term_of_match(match_tag.into()));
        }
        if let Some(signer) = &self.signer {
            terms.push(Term::of(TermKind::Signer, signer.as_str()));
        }
        terms
    }

    /// The terms of the types that may pass; empty where every type may.
    fn types(&self) -> Vec<Term> {
        if self.record_type.is_none() && self.family.is_none() {
            return Vec::new();
        }
        RecordType::ALL
            .iter()
            .filter(|candidate| self.record_type.is_none_or(|wanted| wanted == **candidate))
            .filter(|candidate| self.family.is_none_or(|wanted| wanted == candidate.family()))
            .map(|candidate| Term::of(TermKind::Type, candidate.as_str()))
            .collect()
    }

    /// Whether a record is what is looked for.
    #[must_use]
    pub fn lets_pass(&self, record: &Record) -> bool {
        let payload = record.payload();
        let is = |wanted: Option<bool>| wanted.unwrap_or(true);
        is(self.contract.as_ref().map(|wanted| payload.contract.as_ref() == Some(wanted)))
            && is(self.claim.as_ref().map(|wanted| payload.claim.as_ref() == Some(wanted)))
            && is(self.signer.as_ref().map(|wanted| record.signer() == wanted))
            && is(self.family.map(|wanted| payload.record_type.family() == wanted))
            && is(self.record_type.map(|wanted| payload.record_type == wanted))
            && is(self.document.map(|wanted| {
                payload.documents.iter().any(|document| *document.commitment.digest() == wanted)
            }))
            && is(self.match_tag.map(|wanted| {
                payload.documents.iter().any(|document| document.match_tag == Some(wanted.into()))
            }))
            && is(self.from.map(|from| payload.occurred_at >= from))
            && is(self.to.map(|to| payload.occurred_at <= to))
    }
}

/// By which an erasure is found: whose it is, and of which record.
pub(super) fn term_of_erasure(erased: &RecordId, member: &MemberId) -> Term {
    Term::of(TermKind::Erases, &format!("{member} {erased}"))
}

/// What a record is found by.
pub(super) fn terms_of(record: &Record) -> impl Iterator<Item = Term> + use<> {
    let payload = record.payload();
    let mut terms = vec![
        Term::of_id(&record.id()),
        Term::of(TermKind::Signer, record.signer().as_str()),
        Term::of(TermKind::Type, payload.record_type.as_str()),
    ];
    if let Some(contract) = &payload.contract {
        terms.push(Term::of(TermKind::Contract, contract.as_str()));
    }
    if let Some(claim) = &payload.claim {
        terms.push(Term::of(TermKind::Claim, claim.as_str()));
    }
    if let Some(corrected) = &payload.corrects {
        terms.push(Term::of(TermKind::Corrects, &corrected.to_string()));
    }
    if let Data::DisclosureErased(data) = &payload.data {
        terms.push(term_of_erasure(&data.record.id(), record.signer()));
    }
    if let Some(payee) = views::payee_of(record) {
        terms.push(Term::of(TermKind::Payee, &payee));
    }
    for document in &payload.documents {
        terms.push(Term::of(TermKind::Document, &document.commitment.to_string()));
        terms.extend(document.match_tag.map(term_of_match));
    }
    terms.into_iter()
}
