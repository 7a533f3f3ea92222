//! What a block has changed so far, over the state before it, and what the
//! record at hand changes, over that.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    fmt,
    ops::Bound,
};

use bincode::{Decode, Encode};

use super::{ApplyError, Pair, StateChanges, StateError, StateReader, keys::Key};
use crate::refusal::{Code, Refusal};

/// A value that a block has read or changed. What there neither was nor is has
/// none, so that a range costs what it holds.
#[derive(Clone)]
struct Cell {
    /// Before the block.
    before: Option<Vec<u8>>,
    /// After the records so far, where that is another.
    changed: Option<Option<Vec<u8>>>,
}

impl Cell {
    fn now(&self) -> Option<&[u8]> {
        self.changed.as_ref().unwrap_or(&self.before).as_deref()
    }
}

/// Two layers of changes over a state. A record that is refused is discarded
/// with all it would have changed.
#[derive(Clone)]
pub(in crate::insurance) struct Overlay<'a> {
    reader: &'a dyn StateReader,
    block: BTreeMap<Vec<u8>, Cell>,
    /// What there was not before the block, as far as somebody has looked.
    absent: HashSet<Vec<u8>>,
    record: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("block", &self.block.len()).finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    pub(in crate::insurance) fn new(reader: &'a dyn StateReader) -> Self {
        let (block, absent, record) = (BTreeMap::new(), HashSet::new(), BTreeMap::new());
        Self { reader, block, absent, record }
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
        self.load(key)?;
        Ok(self.block.get(key).and_then(Cell::now))
    }

    /// Looks up what there was before the block, once.
    fn load(&mut self, key: &[u8]) -> Result<(), StateError> {
        if self.block.contains_key(key) || self.absent.contains(key) {
            return Ok(());
        }
        match self.reader.get(key)? {
            None => drop(self.absent.insert(key.to_vec())),
            before => drop(self.block.insert(key.to_vec(), Cell { before, changed: None })),
        }
        Ok(())
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
        let changed =
            self.block.range::<[u8], _>(bounds).map(|(key, cell)| (key, cell.now())).chain(
                self.record.range::<[u8], _>(bounds).map(|(key, now)| (key, now.as_deref())),
            );
        let changed: BTreeMap<&Vec<u8>, Option<&[u8]>> = changed.collect();
        // Each change hides at most one key of the state before.
        let before = self.reader.range(from, to, limit.saturating_add(changed.len()))?;
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = before.into_iter().collect();
        for (key, value) in changed {
            match value {
                Some(value) => merged.insert(key.clone(), value.to_vec()),
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
        for (key, value) in std::mem::take(&mut self.record) {
            match self.block.entry(key) {
                Entry::Occupied(mut cell) if cell.get().now() != value.as_deref() => {
                    note(cell.key(), value.as_deref());
                    if value.is_none() && cell.get().before.is_none() {
                        cell.remove();
                    } else {
                        cell.get_mut().changed = Some(value);
                    }
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(cell) => {
                    let before = if self.absent.contains(cell.key()) {
                        None
                    } else {
                        self.reader.get(cell.key())?
                    };
                    if before == value {
                        continue;
                    }
                    note(cell.key(), value.as_deref());
                    cell.insert(Cell { before, changed: Some(value) });
                }
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
        let changed = self.block.into_iter().filter_map(|(key, cell)| {
            let now = cell.changed.filter(|now| *now != cell.before)?;
            Some((key, now))
        });
        changed.collect()
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
