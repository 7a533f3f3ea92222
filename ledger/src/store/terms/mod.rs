//! Where to find the records of a contract, a signer, an id: sorted postings.
//!
//! A *term* is the first eight bytes of a hash of what is looked for; a
//! *posting* is (term, record index). sled writes thousands of random keys per
//! second slowly and holds them in much memory, so postings are gathered in
//! memory and written as sorted *runs* of pages, sixteen of which are merged
//! into the next larger one: every posting is written a few times in sequence
//! and never at random. A filter over its terms spares most runs a look-up.
//!
//! Terms may collide: whoever asks compares the record it finds.

mod merge;
mod run;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, RwLock},
};

use sha2::{Digest as _, Sha256};

use self::run::{
    PAGE_POSTINGS, Run, decode_head, decode_page, encode_page, filter_of, page_key, parse_run_key,
    run_key, run_prefix, write_head,
};
use super::StoreError;
use crate::digest::RecordId;

/// What a term stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermKind {
    /// `<insurer>/<number>` of a contract.
    Contract,
    /// `<insurer>/<number>` of a claim.
    Claim,
    /// A member id.
    Signer,
    /// A record type.
    Type,
    /// A document's commitment.
    Document,
    /// The id of the record that is corrected.
    Corrects,
    /// A document's `match`.
    Match,
    /// That a document of the record has a `match` which stood on the ledger
    /// before; the value is empty.
    Repeats,
    /// Who is paid, or opened a claim: a member id or `policyholder`.
    Payee,
    /// Who erased private fields, and the id of the record that had them.
    Erases,
}

/// What a record is found by: eight bytes of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(u64);

impl Term {
    /// The term of a value.
    pub fn of(kind: TermKind, value: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([kind as u8]);
        hasher.update(value.as_bytes());
        Self::of_digest(&hasher.finalize().into())
    }

    /// The term of a record's id, which is a hash already.
    pub fn of_id(id: &RecordId) -> Self {
        Self::of_digest(id.as_bytes())
    }

    /// The term of a record's id, of which only the first eight bytes are known.
    pub const fn of_id_prefix(prefix: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(prefix))
    }

    fn of_digest(digest: &[u8; 32]) -> Self {
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(prefix))
    }
}

type Posting = (Term, u64);

/// Records whose postings are gathered in memory before a run is written.
pub const RUN_RECORDS: u64 = 8192;

#[derive(Debug, Default)]
struct View {
    runs: Vec<Arc<Run>>,
    tail_start: u64,
    tail: BTreeSet<Posting>,
}

/// The postings of a ledger.
#[derive(Debug)]
pub struct Terms {
    tree: sled::Tree,
    view: RwLock<View>,
}

/// A run that is about to be written with the block that filled it.
#[derive(Debug)]
pub struct PendingRun(Run);

impl Terms {
    /// Reads the runs' heads. Postings of records from [`Terms::indexed`] on
    /// are to be added again with [`Terms::add`].
    ///
    /// # Errors
    /// sled fails, or a head is damaged.
    pub fn open(tree: sled::Tree) -> Result<Self, StoreError> {
        let terms = Self { tree, view: RwLock::default() };
        terms.finish_removals()?;
        let mut runs = Vec::new();
        let mut key = vec![b'r'];
        while let Some((found, _)) = terms.tree.get_gt(&key)? {
            if found.first() != Some(&b'r') {
                break;
            }
            let (level, start) = parse_run_key(&found)?;
            runs.push(Arc::new(terms.read_run(level, start)?));
            key = run_key(b'r', level, start, u32::MAX);
        }
        runs.sort_by_key(|run: &Arc<Run>| run.start);
        let mut end = 0;
        for run in &runs {
            if run.start != end {
                return Err(damage(format!("no run covers record {end}")));
            }
            end = run.end;
        }
        if let Ok(mut view) = terms.view.write() {
            *view = View { runs, tail_start: end, tail: BTreeSet::new() };
        }
        Ok(terms)
    }

    /// The records whose postings are written.
    pub fn indexed(&self) -> Result<u64, StoreError> {
        Ok(self.view()?.tail_start)
    }

    fn view(&self) -> Result<std::sync::RwLockReadGuard<'_, View>, StoreError> {
        self.view.read().map_err(|_| damage("a thread died while it changed the postings"))
    }

    fn view_mut(&self) -> Result<std::sync::RwLockWriteGuard<'_, View>, StoreError> {
        self.view.write().map_err(|_| damage("a thread died while it changed the postings"))
    }

    /// Adds postings to those in memory.
    pub fn add(&self, postings: impl IntoIterator<Item = Posting>) -> Result<(), StoreError> {
        self.view_mut()?.tail.extend(postings);
        Ok(())
    }

    /// When `size` records fill a run, puts it into `batch`. Once the batch is
    /// written, [`Terms::run_written`] makes it serve.
    pub fn prepare_run(
        &self,
        size: u64,
        batch: &mut sled::Batch,
    ) -> Result<Option<PendingRun>, StoreError> {
        let view = self.view()?;
        if size - view.tail_start < RUN_RECORDS {
            return Ok(None);
        }
        let mut pages = Vec::new();
        let postings: Vec<Posting> = view.tail.iter().copied().collect();
        for (number, chunk) in postings.chunks(PAGE_POSTINGS).enumerate() {
            let (meta, bytes) = encode_page(chunk);
            batch.insert(page_key(0, view.tail_start, number)?, bytes);
            pages.push(meta);
        }
        let filter = filter_of(postings.len(), postings.iter().map(|(term, _)| *term));
        let run = Run { level: 0, start: view.tail_start, end: size, pages, filter };
        write_head(&run, batch)?;
        Ok(Some(PendingRun(run)))
    }

    /// Serves a run that has been written instead of its postings in memory.
    pub fn run_written(&self, run: PendingRun) -> Result<(), StoreError> {
        let mut view = self.view_mut()?;
        view.tail_start = run.0.end;
        view.tail.clear();
        view.runs.push(Arc::new(run.0));
        Ok(())
    }

    /// The first record at or after `index` with that term.
    pub fn next(&self, term: Term, index: u64) -> Result<Option<u64>, StoreError> {
        let view = self.view()?;
        let first = view.runs.partition_point(|run| run.end <= index);
        for run in view.runs.get(first..).unwrap_or_default() {
            if !run.filter.contains_hash(term.0) {
                continue;
            }
            if let Some((found, at)) = self.lower_bound(run, (term, index))?
                && found == term
            {
                return Ok(Some(at));
            }
        }
        Ok(view
            .tail
            .range((term, index)..)
            .next()
            .filter(|(found, _)| *found == term)
            .map(|(_, at)| *at))
    }

    /// The records with that term from `from` on and before `before`, at most
    /// `limit`, in order. Each page of postings is read once.
    pub fn all(
        &self,
        term: Term,
        from: u64,
        before: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let view = self.view()?;
        let mut found = Vec::new();
        let first = view.runs.partition_point(|run| run.end <= from);
        for run in view.runs.get(first..).unwrap_or_default() {
            if run.start >= before || found.len() >= limit {
                break;
            }
            if run.filter.contains_hash(term.0) {
                self.all_of_run(run, (term, from), limit, &mut found)?;
            }
        }
        let tail = view.tail.range((term, from)..).take_while(|(found, _)| *found == term);
        found.extend(tail.map(|(_, at)| *at));
        found.truncate(limit);
        found.truncate(found.partition_point(|index| *index < before));
        Ok(found)
    }

    fn all_of_run(
        &self,
        run: &Run,
        posting: Posting,
        limit: usize,
        found: &mut Vec<u64>,
    ) -> Result<(), StoreError> {
        let after =
            run.pages.partition_point(|page| (Term(page.first_term), page.first_index) <= posting);
        for number in after.saturating_sub(1)..run.pages.len() {
            let page = self.page(run, number)?;
            let position = page.partition_point(|candidate| *candidate < posting);
            let rest = page.get(position..).unwrap_or_default();
            let of_term = rest.iter().take_while(|(term, _)| *term == posting.0);
            let before = found.len();
            found.extend(of_term.map(|(_, at)| *at));
            // Only a page that ends with the term can go on in the next one.
            let ends_here = found.len() - before < rest.len();
            if found.len() >= limit || ends_here {
                break;
            }
        }
        Ok(())
    }

    /// The last record before `index` with that term.
    pub fn previous(&self, term: Term, index: u64) -> Result<Option<u64>, StoreError> {
        let view = self.view()?;
        if let Some((found, at)) = view.tail.range(..(term, index)).next_back()
            && *found == term
        {
            return Ok(Some(*at));
        }
        for run in view.runs.iter().rev() {
            if run.start >= index || !run.filter.contains_hash(term.0) {
                continue;
            }
            let after = run
                .pages
                .partition_point(|page| (Term(page.first_term), page.first_index) < (term, index));
            let Some(number) = after.checked_sub(1) else { continue };
            let page = self.page(run, number)?;
            let position = page.partition_point(|candidate| *candidate < (term, index));
            if let Some((found, at)) = position.checked_sub(1).and_then(|last| page.get(last))
                && *found == term
            {
                return Ok(Some(*at));
            }
        }
        Ok(None)
    }

    /// The first posting of `run` that is not less than `posting`.
    fn lower_bound(&self, run: &Run, posting: Posting) -> Result<Option<Posting>, StoreError> {
        let after =
            run.pages.partition_point(|page| (Term(page.first_term), page.first_index) <= posting);
        if let Some(number) = after.checked_sub(1) {
            let page = self.page(run, number)?;
            let position = page.partition_point(|candidate| *candidate < posting);
            if let Some(found) = page.get(position) {
                return Ok(Some(*found));
            }
        }
        Ok(run.pages.get(after).map(|page| (Term(page.first_term), page.first_index)))
    }

    fn page(&self, run: &Run, number: usize) -> Result<Vec<Posting>, StoreError> {
        let meta = run.pages.get(number).ok_or_else(|| damage("a page is missing"))?;
        let bytes = self
            .tree
            .get(page_key(run.level, run.start, number)?)?
            .ok_or_else(|| damage(format!("page {number} of run {} is missing", run.start)))?;
        if crc32fast::hash(&bytes) != meta.crc {
            return Err(damage(format!("page {number} of run {} fails its checksum", run.start)));
        }
        Ok(decode_page(&bytes))
    }

    fn read_run(&self, level: u8, start: u64) -> Result<Run, StoreError> {
        let mut bytes = Vec::new();
        for entry in self.tree.scan_prefix(run_prefix(b'r', level, start)) {
            bytes.extend_from_slice(&entry?.1);
        }
        let (head, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damage("a head is cut"))?;
        if crc32fast::hash(head) != u32::from_be_bytes(*crc) {
            return Err(damage(format!("the head of run {start} fails its checksum")));
        }
        decode_head(level, start, head)
    }

    /// Reads every page of every run and checks order and checksums.
    ///
    /// # Errors
    /// The first page that is not what was written.
    pub fn scrub(&self) -> Result<(), StoreError> {
        let runs = self.view()?.runs.clone();
        for run in runs {
            let mut before = None;
            for number in 0..run.pages.len() {
                for posting in self.page(&run, number)? {
                    if before.is_some_and(|before| before >= posting) {
                        return Err(damage(format!("run {} is out of order", run.start)));
                    }
                    if !(run.start..run.end).contains(&posting.1)
                        || !run.filter.contains_hash(posting.0.0)
                    {
                        return Err(damage(format!("run {} holds a stray posting", run.start)));
                    }
                    before = Some(posting);
                }
            }
        }
        Ok(())
    }
}

fn damage(problem: impl Into<String>) -> StoreError {
    StoreError::damaged("postings (sled)", problem)
}
