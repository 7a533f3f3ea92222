//! Merging runs: sixteen neighbouring ones of a level become one of the next.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{
    Posting, StoreError, Terms,
    run::{
        PAGE_POSTINGS, Run, empty_filter, encode_page, page_key, parse_run_key, run_prefix,
        write_head,
    },
};

/// Runs of one level that are merged into one of the next.
const MERGED_RUNS: usize = 16;
/// Runs of this level are not merged further (about two million records each).
pub(super) const LEVEL_MAX: u8 = 2;

impl Terms {
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

    pub(super) fn finish_removals(&self) -> Result<(), StoreError> {
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
