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

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::{Arc, RwLock},
};

use bincode::{Decode, Encode};
use fastbloom::BloomFilter;
use sha2::{Digest as _, Sha256};

use super::{StoreError, codec};
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
/// Runs of one level that are merged into one of the next.
const MERGED_RUNS: usize = 16;
/// Runs of this level are not merged further (about two million records each).
const LEVEL_MAX: u8 = 2;
const PAGE_POSTINGS: usize = 512;
const POSTING_BYTES: usize = 16;
const PART_BYTES: usize = 48 * 1024;
const FALSE_POSITIVES: f64 = 0.004;

#[derive(Debug, Clone, PartialEq, Eq)]
struct PageMeta {
    first_term: u64,
    first_index: u64,
    crc: u32,
}

/// The fixed part of a run's head. The pages' metadata and the filter's words
/// follow it: a large run has more of them than one bincode value may hold.
#[derive(Debug, Clone, Encode, Decode)]
struct RunHead {
    end: u64,
    filter_hashes: u32,
    pages: u64,
    filter_words: u64,
}

const RUN_HEAD_BYTES: usize = 8 + 4 + 8 + 8;
const PAGE_META_BYTES: usize = 8 + 8 + 4;

/// A sorted run over the records `start..end`.
#[derive(Debug)]
struct Run {
    level: u8,
    start: u64,
    end: u64,
    pages: Vec<PageMeta>,
    filter: BloomFilter,
}

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

    /// Merges one group of runs, if any is due. Reading and committing go on
    /// meanwhile. Gives whether there may be more to do.
    ///
    /// # Errors
    /// sled fails, or a page is damaged.
    pub fn merge_one(&self) -> Result<bool, StoreError> {
        let Some(group) = self.due_group()? else { return Ok(false) };
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(false) };
        let (level, start, end) = (first.level + 1, first.start, last.end);
        // The first page of each run, in a heap ordered by the next posting.
        let mut sources: Vec<PageReader<'_>> = group
            .iter()
            .map(|run| PageReader { terms: self, run, page: Vec::new(), number: 0, position: 0 })
            .collect();
        let mut heap = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(posting) = source.next()? {
                heap.push(Reverse((posting, number)));
            }
        }
        let postings: usize = group.iter().map(|run| run.pages.len() * PAGE_POSTINGS).sum();
        let mut filter = empty_filter(postings);
        let mut pages = Vec::new();
        let mut chunk = Vec::with_capacity(PAGE_POSTINGS);
        let mut write = |chunk: &mut Vec<Posting>| -> Result<(), StoreError> {
            let (meta, bytes) = encode_page(chunk);
            self.tree.insert(page_key(level, start, pages.len())?, bytes)?;
            pages.push(meta);
            chunk.clear();
            Ok(())
        };
        while let Some(Reverse((posting, number))) = heap.pop() {
            filter.insert_hash(posting.0.0);
            chunk.push(posting);
            if chunk.len() == PAGE_POSTINGS {
                write(&mut chunk)?;
            }
            if let Some(source) = sources.get_mut(number)
                && let Some(next) = source.next()?
            {
                heap.push(Reverse((next, number)));
            }
        }
        if !chunk.is_empty() {
            write(&mut chunk)?;
        }
        let run = Run { level, start, end, pages, filter };
        let mut batch = sled::Batch::default();
        write_head(&run, &mut batch)?;
        for old in &group {
            self.remove_head(old, &mut batch)?;
        }
        self.tree.apply_batch(batch)?;
        let mut view = self.view_mut()?;
        let from = view.runs.partition_point(|run| run.start < start);
        view.runs.splice(from..from + group.len(), [Arc::new(run)]);
        drop(view);
        self.finish_removals()?;
        Ok(true)
    }

    /// Sixteen neighbouring runs of one level, if there are.
    fn due_group(&self) -> Result<Option<Vec<Arc<Run>>>, StoreError> {
        let view = self.view()?;
        for level in 0..LEVEL_MAX {
            let from = view.runs.partition_point(|run| run.level > level);
            let to = view.runs.partition_point(|run| run.level >= level);
            if to - from >= MERGED_RUNS {
                return Ok(view.runs.get(from..from + MERGED_RUNS).map(<[_]>::to_vec));
            }
        }
        Ok(None)
    }

    /// Takes a run's head out and notes that its pages are to go. The pages go
    /// afterwards; if the process dies in between, the next start sees the note.
    fn remove_head(&self, run: &Run, batch: &mut sled::Batch) -> Result<(), StoreError> {
        for key in self.tree.scan_prefix(run_prefix(b'r', run.level, run.start)).keys() {
            batch.remove(key?);
        }
        batch.insert(run_prefix(b'd', run.level, run.start), &[]);
        Ok(())
    }

    fn finish_removals(&self) -> Result<(), StoreError> {
        for note in self.tree.scan_prefix(b"d") {
            let (note, _) = note?;
            let (level, start) = parse_run_key(&note)?;
            let mut batch = sled::Batch::default();
            for key in self.tree.scan_prefix(run_prefix(b'p', level, start)).keys() {
                batch.remove(key?);
            }
            batch.remove(note);
            self.tree.apply_batch(batch)?;
        }
        Ok(())
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

/// Reads a run from its first posting to its last.
struct PageReader<'a> {
    terms: &'a Terms,
    run: &'a Run,
    page: Vec<Posting>,
    number: usize,
    position: usize,
}

impl PageReader<'_> {
    fn next(&mut self) -> Result<Option<Posting>, StoreError> {
        while self.position >= self.page.len() {
            if self.number >= self.run.pages.len() {
                return Ok(None);
            }
            self.page = self.terms.page(self.run, self.number)?;
            self.number += 1;
            self.position = 0;
        }
        let posting = self.page.get(self.position).copied();
        self.position += 1;
        Ok(posting)
    }
}

fn damage(problem: impl Into<String>) -> StoreError {
    StoreError::damaged("postings (sled)", problem)
}

fn empty_filter(postings: usize) -> BloomFilter {
    BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&0).expected_items(postings.max(64))
}

fn filter_of(count: usize, terms: impl Iterator<Item = Term>) -> BloomFilter {
    let mut filter = empty_filter(count);
    for term in terms {
        filter.insert_hash(term.0);
    }
    filter
}

fn encode_page(postings: &[Posting]) -> (PageMeta, Vec<u8>) {
    let mut bytes = Vec::with_capacity(postings.len() * POSTING_BYTES);
    for (term, index) in postings {
        bytes.extend_from_slice(&term.0.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
    }
    let (first_term, first_index) =
        postings.first().map_or((0, 0), |(term, index)| (term.0, *index));
    (PageMeta { first_term, first_index, crc: crc32fast::hash(&bytes) }, bytes)
}

fn decode_page(bytes: &[u8]) -> Vec<Posting> {
    bytes
        .as_chunks::<POSTING_BYTES>()
        .0
        .iter()
        .map(|chunk| {
            let number = u128::from_be_bytes(*chunk);
            (Term((number >> 64) as u64), number as u64)
        })
        .collect()
}

fn run_prefix(kind: u8, level: u8, start: u64) -> Vec<u8> {
    let mut key = vec![kind, level];
    key.extend_from_slice(&start.to_be_bytes());
    key
}

fn run_key(kind: u8, level: u8, start: u64, number: u32) -> Vec<u8> {
    let mut key = run_prefix(kind, level, start);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn page_key(level: u8, start: u64, number: usize) -> Result<Vec<u8>, StoreError> {
    let number = u32::try_from(number).map_err(|_| damage("a run has too many pages"))?;
    Ok(run_key(b'p', level, start, number))
}

fn parse_run_key(key: &[u8]) -> Result<(u8, u64), StoreError> {
    let rest = key.get(1..10).ok_or_else(|| damage("a key is cut"))?;
    let (level, start) = rest.split_first_chunk::<1>().ok_or_else(|| damage("a key is cut"))?;
    let start: [u8; 8] = start.try_into().map_err(|_| damage("a key is cut"))?;
    Ok((level[0], u64::from_be_bytes(start)))
}

/// Puts a run's head into `batch`, in parts that stay inside sled's pages.
fn write_head(run: &Run, batch: &mut sled::Batch) -> Result<(), StoreError> {
    let mut bytes = encode_head(run)?;
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    for (number, part) in bytes.chunks(PART_BYTES).enumerate() {
        let number = u32::try_from(number).map_err(|_| damage("a head has too many parts"))?;
        batch.insert(run_key(b'r', run.level, run.start, number), part);
    }
    Ok(())
}

fn encode_head(run: &Run) -> Result<Vec<u8>, StoreError> {
    let words = run.filter.as_slice();
    let head = RunHead {
        end: run.end,
        filter_hashes: run.filter.num_hashes(),
        pages: run.pages.len() as u64,
        filter_words: words.len() as u64,
    };
    let mut bytes = codec::encode("postings", &head)?;
    bytes.reserve(run.pages.len() * PAGE_META_BYTES + words.len() * 8);
    for page in &run.pages {
        bytes.extend_from_slice(&page.first_term.to_be_bytes());
        bytes.extend_from_slice(&page.first_index.to_be_bytes());
        bytes.extend_from_slice(&page.crc.to_be_bytes());
    }
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    Ok(bytes)
}

fn decode_head(level: u8, start: u64, bytes: &[u8]) -> Result<Run, StoreError> {
    let cut = || damage(format!("the head of run {start} is cut"));
    let (head, rest) = bytes.split_at_checked(RUN_HEAD_BYTES).ok_or_else(cut)?;
    let head: RunHead = codec::decode("postings", head)?;
    let pages_bytes = usize::try_from(head.pages)
        .ok()
        .and_then(|pages| pages.checked_mul(PAGE_META_BYTES))
        .ok_or_else(cut)?;
    let (pages, words) = rest.split_at_checked(pages_bytes).ok_or_else(cut)?;
    let (words, left) = words.as_chunks::<8>();
    if !left.is_empty() || words.len() as u64 != head.filter_words || words.is_empty() {
        return Err(cut());
    }
    let pages = pages.as_chunks::<PAGE_META_BYTES>().0.iter().map(decode_page_meta).collect();
    let words = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
    let filter = BloomFilter::from_vec(words).seed(&0).hashes(head.filter_hashes);
    Ok(Run { level, start, end: head.end, pages, filter })
}

fn decode_page_meta(bytes: &[u8; PAGE_META_BYTES]) -> PageMeta {
    let [t0, t1, t2, t3, t4, t5, t6, t7, i0, i1, i2, i3, i4, i5, i6, i7, c0, c1, c2, c3] = *bytes;
    PageMeta {
        first_term: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        first_index: u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
        crc: u32::from_be_bytes([c0, c1, c2, c3]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn tree() -> sled::Tree {
        let database = sled::Config::new().temporary(true).open().unwrap();
        database.open_tree("terms").unwrap()
    }

    /// Record `index` has its own term, one of ten, and one of a thousand.
    fn postings(index: u64) -> [Posting; 3] {
        [
            (Term((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)), index),
            (Term(index % 10), index),
            (Term(1_000_000 + index % 1000), index),
        ]
    }

    fn fill(terms: &Terms, from: u64, to: u64) {
        for index in from..to {
            terms.add(postings(index)).unwrap();
            let mut batch = sled::Batch::default();
            let run = terms.prepare_run(index + 1, &mut batch).unwrap();
            if let Some(run) = run {
                terms.tree.apply_batch(batch).unwrap();
                terms.run_written(run).unwrap();
            }
        }
    }

    fn check(terms: &Terms, size: u64) {
        for index in (0..size).step_by(997) {
            let own = postings(index)[0].0;
            assert_eq!(terms.next(own, 0).unwrap(), Some(index));
            assert_eq!(terms.next(own, index + 1).unwrap(), None);
            assert_eq!(terms.next(Term(index % 10), index).unwrap(), Some(index));
            let next = index + 10;
            let expected = (next < size).then_some(next);
            assert_eq!(terms.next(Term(index % 10), index + 1).unwrap(), expected);
        }
        let mut count = 0;
        let mut from = 0;
        while let Some(at) = terms.next(Term(1_000_007), from).unwrap() {
            assert_eq!(at % 1000, 7);
            count += 1;
            from = at + 1;
        }
        assert_eq!(count, (size + 992) / 1000);
        let mut before = size;
        while let Some(at) = terms.previous(Term(1_000_007), before).unwrap() {
            assert_eq!(at % 1000, 7);
            count -= 1;
            before = at;
        }
        assert_eq!(count, 0);
        assert_eq!(terms.next(Term(999_999), 0).unwrap(), None);
    }

    #[test]
    fn postings_are_found_in_memory_in_runs_and_in_merged_runs() {
        let terms = Terms::open(tree()).unwrap();
        let size = RUN_RECORDS * 18 + 100;
        fill(&terms, 0, size);
        check(&terms, size);
        assert_eq!(terms.view().unwrap().runs.len(), 18);
        assert!(terms.merge_one().unwrap());
        assert!(!terms.merge_one().unwrap());
        assert_eq!(terms.view().unwrap().runs.len(), 3);
        check(&terms, size);
        terms.scrub().unwrap();
        let reopened = Terms::open(terms.tree.clone()).unwrap();
        let indexed = reopened.indexed().unwrap();
        assert_eq!(indexed, RUN_RECORDS * 18);
        for index in indexed..size {
            reopened.add(postings(index)).unwrap();
        }
        check(&reopened, size);
    }

    #[test]
    fn a_merge_that_died_after_its_head_was_written_is_finished_at_the_next_start() {
        let terms = Terms::open(tree()).unwrap();
        fill(&terms, 0, RUN_RECORDS * 16);
        let before = terms.tree.len();
        assert!(terms.merge_one().unwrap());
        let after = terms.tree.len();
        assert!(after < before);
        // Put one old page back with its note, as a process killed midway leaves it.
        terms.tree.insert(page_key(0, 0, 3).unwrap(), vec![0; 16]).unwrap();
        terms.tree.insert(run_prefix(b'd', 0, 0), &[]).unwrap();
        let reopened = Terms::open(terms.tree.clone()).unwrap();
        assert_eq!(reopened.tree.len(), after);
        check(&reopened, RUN_RECORDS * 16);
    }

    #[test]
    fn a_head_larger_than_one_value_is_read_again() {
        let terms = Terms::open(tree()).unwrap();
        let count = 4_000_000_u64;
        let filter = filter_of(count as usize, (0..count).step_by(1000).map(Term));
        let page = PageMeta { first_term: 3, first_index: 4, crc: 5 };
        let pages = vec![page; 7000];
        let run = Run { level: LEVEL_MAX, start: 0, end: 9, pages, filter };
        assert!(encode_head(&run).unwrap().len() > codec::VALUE_BYTES_MAX);
        let mut batch = sled::Batch::default();
        write_head(&run, &mut batch).unwrap();
        terms.tree.apply_batch(batch).unwrap();
        let read = terms.read_run(LEVEL_MAX, 0).unwrap();
        assert_eq!((read.end, &read.pages), (run.end, &run.pages));
        assert_eq!(read.filter, run.filter);
        assert!(Terms::open(terms.tree.clone()).is_ok());
    }

    #[test]
    fn a_changed_page_or_head_is_named_as_damage() {
        let terms = Terms::open(tree()).unwrap();
        fill(&terms, 0, RUN_RECORDS);
        for key in [page_key(0, 0, 5).unwrap(), run_key(b'r', 0, 0, 0)] {
            let sound = terms.tree.get(&key).unwrap().unwrap();
            let mut bytes = sound.to_vec();
            bytes[9] ^= 1;
            terms.tree.insert(&key, bytes).unwrap();
            let result = Terms::open(terms.tree.clone()).and_then(|terms| terms.scrub());
            assert!(matches!(result, Err(StoreError::Damaged { .. })));
            terms.tree.insert(&key, sound).unwrap();
        }
    }
}
