//! A run in bytes: pages of postings, a head that describes them, and the keys
//! under which sled keeps both.

use bincode::{Decode, Encode};
use fastbloom::BloomFilter;

use super::{Posting, StoreError, Term, damage};
use crate::store::codec;

pub(super) const PAGE_POSTINGS: usize = 512;
const POSTING_BYTES: usize = 16;
const PART_BYTES: usize = 48 * 1024;
const FALSE_POSITIVES: f64 = 0.004;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageMeta {
    pub(super) first_term: u64,
    pub(super) first_index: u64,
    pub(super) crc: u32,
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
pub(super) struct Run {
    pub(super) level: u8,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) pages: Vec<PageMeta>,
    pub(super) filter: BloomFilter,
}

pub(super) fn empty_filter(postings: usize) -> BloomFilter {
    BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&0).expected_items(postings.max(64))
}

pub(super) fn filter_of(count: usize, terms: impl Iterator<Item = Term>) -> BloomFilter {
    let mut filter = empty_filter(count);
    for term in terms {
        filter.insert_hash(term.0);
    }
    filter
}

pub(super) fn encode_page(postings: &[Posting]) -> (PageMeta, Vec<u8>) {
    let mut bytes = Vec::with_capacity(postings.len() * POSTING_BYTES);
    for (term, index) in postings {
        bytes.extend_from_slice(&term.0.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
    }
    let (first_term, first_index) =
        postings.first().map_or((0, 0), |(term, index)| (term.0, *index));
    (PageMeta { first_term, first_index, crc: crc32fast::hash(&bytes) }, bytes)
}

pub(super) fn decode_page(bytes: &[u8]) -> Vec<Posting> {
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

pub(super) fn run_prefix(kind: u8, level: u8, start: u64) -> Vec<u8> {
    let mut key = vec![kind, level];
    key.extend_from_slice(&start.to_be_bytes());
    key
}

pub(super) fn run_key(kind: u8, level: u8, start: u64, number: u32) -> Vec<u8> {
    let mut key = run_prefix(kind, level, start);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn page_key(level: u8, start: u64, number: usize) -> Result<Vec<u8>, StoreError> {
    let number = u32::try_from(number).map_err(|_| damage("a run has too many pages"))?;
    Ok(run_key(b'p', level, start, number))
}

pub(super) fn parse_run_key(key: &[u8]) -> Result<(u8, u64), StoreError> {
    let rest = key.get(1..10).ok_or_else(|| damage("a key is cut"))?;
    let (level, start) = rest.split_first_chunk::<1>().ok_or_else(|| damage("a key is cut"))?;
    let start: [u8; 8] = start.try_into().map_err(|_| damage("a key is cut"))?;
    Ok((level[0], u64::from_be_bytes(start)))
}

/// Puts a run's head into `batch`, in parts that stay inside sled's pages.
pub(super) fn write_head(run: &Run, batch: &mut sled::Batch) -> Result<(), StoreError> {
    let mut bytes = encode_head(run)?;
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    for (number, part) in bytes.chunks(PART_BYTES).enumerate() {
        let number = u32::try_from(number).map_err(|_| damage("a head has too many parts"))?;
        batch.insert(run_key(b'r', run.level, run.start, number), part);
    }
    Ok(())
}

pub(super) fn encode_head(run: &Run) -> Result<Vec<u8>, StoreError> {
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

pub(super) fn decode_head(level: u8, start: u64, bytes: &[u8]) -> Result<Run, StoreError> {
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
