//! What a block has changed so far, over the state before it, and what the
//! record at hand changes, over that.

use std::{collections::BTreeMap, fmt, ops::Bound};

use bincode::{Decode, Encode};

use super::{ApplyError, Pair, StateChanges, StateError, StateReader, keys::Key};
use crate::refusal::{Code, Refusal};

/// A value that a block has read or changed. What there neither was nor is has
/// none, so that a range costs what it holds.
#[derive(Clone)]
struct Cell {
    /// Before the block.
    before: Option<Vec<u8>>,
    /// After the records so far.
    now: Option<Vec<u8>>,
}

/// Two layers of changes over a state. A record that is refused is discarded
/// with all it would have changed.
#[derive(Clone)]
pub(in crate::insurance) struct Overlay<'a> {
    reader: &'a dyn StateReader,
    block: BTreeMap<Vec<u8>, Cell>,
    record: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("block", &self.block.len()).finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    pub(in crate::insurance) const fn new(reader: &'a dyn StateReader) -> Self {
        Self { reader, block: BTreeMap::new(), record: BTreeMap::new() }
    }

    /// The state before the block.
    pub(in crate::insurance) const fn reader(&self) -> &'a dyn StateReader {
        self.reader
    }

    /// The value as the record at hand sees it.
    pub(in crate::insurance) fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StateError> {
        if self.record.contains_key(key) {
            return Ok(self.record.get(key).and_then(Option::as_deref));
        }
        if !self.block.contains_key(key)
            && let Some(before) = self.reader.get(key)?
        {
            let cell = Cell { now: Some(before.clone()), before: Some(before) };
            self.block.insert(key.to_vec(), cell);
        }
        Ok(self.block.get(key).and_then(|cell| cell.now.as_deref()))
    }

    /// The value under a key, read as what it is.
    pub(in crate::insurance) fn read<E: Decode<()>>(
        &mut self,
        key: &Key<E>,
    ) -> Result<Option<E>, StateError> {
        self.get(key.as_bytes())?.map(super::decode).transpose()
    }

    /// Whether there is a value.
    pub(in crate::insurance) fn holds<E>(&mut self, key: &Key<E>) -> Result<bool, StateError> {
        Ok(self.get(key.as_bytes())?.is_some())
    }

    /// Sets a value. Every list inside a value is bounded by a rule; this bound
    /// is that of them all.
    pub(in crate::insurance) fn write<E: Encode>(
        &mut self,
        key: Key<E>,
        value: &E,
    ) -> Result<(), ApplyError> {
        let bytes = super::encode(value).map_err(|error| {
            let detail = format!("what the ledger would have to remember is too long: {error}");
            Refusal::new(Code::TooLarge, detail)
        })?;
        self.record.insert(key.into_bytes(), Some(bytes));
        Ok(())
    }

    /// Removes a value.
    pub(in crate::insurance) fn remove<E>(&mut self, key: Key<E>) {
        self.record.insert(key.into_bytes(), None);
    }

    /// Keys from `from` on and before `to`, at most `limit`, as the record at
    /// hand sees them.
    pub(in crate::insurance) fn range(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let changed = self
            .block
            .range::<[u8], _>(bounds)
            .map(|(key, cell)| (key, &cell.now))
            .chain(self.record.range::<[u8], _>(bounds));
        let changed: BTreeMap<&Vec<u8>, &Option<Vec<u8>>> = changed.collect();
        // Each change hides at most one key of the state before.
        let before = self.reader.range(from, to, limit.saturating_add(changed.len()))?;
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = before.into_iter().collect();
        for (key, value) in changed {
            match value {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// Takes what the record at hand changed into the block, and tells each
    /// change in the order of the keys. A value that is what it was is none.
    pub(in crate::insurance) fn commit(
        &mut self,
        mut note: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), StateError> {
        // All is read before anything is told.
        let mut changes = Vec::with_capacity(self.record.len());
        for (key, value) in std::mem::take(&mut self.record) {
            let cell = match self.block.remove(&key) {
                Some(cell) => cell,
                None => {
                    let before = self.reader.get(&key)?;
                    Cell { now: before.clone(), before }
                }
            };
            changes.push((key, cell, value));
        }
        for (key, mut cell, value) in changes {
            if cell.now != value {
                note(&key, value.as_deref());
                cell.now = value;
            }
            if cell.now.is_some() || cell.before.is_some() {
                self.block.insert(key, cell);
            }
        }
        Ok(())
    }

    /// Forgets what the record at hand changed.
    pub(in crate::insurance) fn discard(&mut self) {
        self.record.clear();
    }

    /// What the block changes.
    pub(in crate::insurance) fn into_changes(self) -> StateChanges {
        let changed = self.block.into_iter().filter(|(_, cell)| cell.now != cell.before);
        changed.map(|(key, cell)| (key, cell.now)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{MemoryState, keys};
    use super::*;

    /// What is made and taken away again in one block, and what is looked for in
    /// vain, must not slow down whoever reads the range after it.
    #[test]
    fn what_neither_was_nor_is_leaves_nothing_in_a_block() {
        let reader = MemoryState::default();
        let mut overlay = Overlay::new(&reader);
        let named = |number: u32| keys::quote(&format!("Q-{number}").parse().unwrap());
        let value = super::super::entities::Named { record: crate::digest::RecordId::of(b"x") };
        for number in 0..100 {
            overlay.write(named(number), &value).unwrap();
        }
        overlay.commit(|_, _| {}).unwrap();
        let mut told = 0;
        for number in 0..100 {
            overlay.remove(named(number));
            assert!(!overlay.holds(&named(1_000 + number)).unwrap());
        }
        overlay.commit(|_, value| told += usize::from(value.is_none())).unwrap();
        assert_eq!(told, 100);
        assert!(overlay.block.is_empty());
        assert!(overlay.into_changes().is_empty());
    }
}
