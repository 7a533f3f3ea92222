//! What the rules know of contracts, claims, holds and payments: small values
//! under canonical keys, the same bytes on every node (docs/FORMATS.md, "State").
//!
//! The state follows from the records alone. Rules read it through a
//! [`StateReader`]: the store on a node, a [`MemoryState`] in an audit. What a
//! block changes is collected in [`StateChanges`], which are written at once
//! with the block.

mod encoding;
pub mod entities;
pub mod keys;
mod memory;
mod overlay;

use std::collections::BTreeMap;

pub use memory::MemoryState;
pub(super) use overlay::Overlay;

use bincode::{Decode, Encode};

use crate::{
    digest::RecordId,
    limits::STATE_VALUE_BYTES_MAX,
    record::Record,
    refusal::{Code, Refusal},
    wire::{self, WireError},
};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What the rules read of the ledger before the block: implemented by the
/// store, the auditor and tests.
pub trait StateReader {
    /// The value under `key`.
    ///
    /// # Errors
    /// It cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Keys from `from` on and before `to` with their values, in the order of
    /// the keys, at most `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError>;

    /// The record of that id, if a decided block holds it.
    ///
    /// # Errors
    /// It cannot be read.
    fn record(&self, id: &RecordId) -> Result<Option<Record>, StateError>;

    /// Whether a decided block holds the record of that id: for less than reading it,
    /// where that can be told so.
    ///
    /// # Errors
    /// It cannot be told.
    fn holds_record(&self, id: &RecordId) -> Result<bool, StateError> {
        Ok(self.record(id)?.is_some())
    }
}

/// The state cannot be read, or what was read is not what was written. Nothing
/// can be decided then.
#[derive(Debug, thiserror::Error)]
#[error("the state of the ledger cannot be read: {0}")]
pub struct StateError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StateError {
    /// What kept the state from being read.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }

    /// What kept the state from being read, for readers that know their own errors.
    #[must_use]
    pub fn into_cause(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

/// Why a record was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A rule refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be decided on.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The ⚑ rules that the record at `index` breaks, as the genesis lets it.
///
/// # Errors
/// The state cannot be read.
pub fn flags(reader: &dyn StateReader, index: u64) -> Result<Vec<Code>, StateError> {
    let Some(bytes) = reader.get(keys::flags(index).as_bytes())? else { return Ok(Vec::new()) };
    let entities::Flags { codes } = decode(&bytes)?;
    Ok(Code::ALL
        .iter()
        .filter(|code| codes.iter().any(|of| of == code.as_str()))
        .copied()
        .collect())
}

/// What one block changes in the state, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateChanges(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl StateChanges {
    /// Each key that changes, in order, with its new value; none where it goes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// How many keys change.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Vec<u8>, Option<Vec<u8>>)> for StateChanges {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>>(changes: I) -> Self {
        Self(changes.into_iter().collect())
    }
}

/// Reads the value under a key as what it is.
///
/// # Errors
/// It cannot be read, or is not such a value.
pub fn read<E: Decode<()>>(
    reader: &dyn StateReader,
    key: &keys::Key<E>,
) -> Result<Option<E>, StateError> {
    reader.get(key.as_bytes())?.map(|bytes| decode(&bytes)).transpose()
}

/// The layout of values; a new one gets a new number.
const VERSION: u8 = 3;

/// A value as it is stored: the number of its layout, then its fields.
fn encode<E: Encode>(value: &E) -> Result<Vec<u8>, WireError> {
    wire::encode::<STATE_VALUE_BYTES_MAX, _>(&(VERSION, value))
}

/// Reads a value as the rules wrote it.
///
/// # Errors
/// The bytes are no such value.
pub fn decode<E: Decode<()>>(bytes: &[u8]) -> Result<E, StateError> {
    if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
        let problem = format!(
            "a value has layout {version}, and this version reads {VERSION}: the ledger was begun \
             by another version of the program, and only such a one goes on with it"
        );
        return Err(StateError::new(problem));
    }
    let (_, value) = wire::decode_own::<STATE_VALUE_BYTES_MAX, (u8, E)>(bytes)
        .map_err(|error| StateError::new(format!("a value is damaged: {error}")))?;
    Ok(value)
}

/// The state of a ledger without a record.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyState;

impl StateReader for EmptyState {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn range(&self, _: &[u8], _: &[u8], _: usize) -> Result<Vec<Pair>, StateError> {
        Ok(Vec::new())
    }

    fn record(&self, _: &RecordId) -> Result<Option<Record>, StateError> {
        Ok(None)
    }
}
