//! The state of a ledger in memory.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{Pair, StateChanges, StateError, StateReader};
use crate::{digest::RecordId, record::Record};

/// A state that is kept in memory, for audits and tests.
///
/// It keeps the records too, because a correction is judged by what it corrects.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    records: HashMap<RecordId, Record>,
}

impl MemoryState {
    /// Takes in what a block changed, and its records.
    pub fn apply(&mut self, changes: StateChanges, records: &[Record]) {
        for (key, value) in changes.0 {
            match value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        self.records.extend(records.iter().map(|record| (record.id(), record.clone())));
    }

    /// All keys in order, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl StateReader for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.values.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let pairs = self.values.range::<[u8], _>(bounds).take(limit);
        Ok(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn record(&self, id: &RecordId) -> Result<Option<Record>, StateError> {
        Ok(self.records.get(id).cloned())
    }

    fn holds_record(&self, id: &RecordId) -> Result<bool, StateError> {
        Ok(self.records.contains_key(id))
    }
}
