//! Why the vault does not do what it was asked.

use std::{io, path::PathBuf};

use crate::{digest::RecordId, refusal::Refusal};

/// The vault cannot do it. What it held before, it still holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the vault {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It was made with another key.
    #[error(
        "the key does not open the vault {}; put the key back that it was made with (keys/vault.key)",
        .0.display()
    )]
    WrongKey(PathBuf),
    /// A file is not what was written.
    #[error("{} is damaged: {problem}; put it back from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It holds as many records as it may.
    #[error("the vault holds {records_max} records, as many as it may; raise [vault] records_max")]
    Full {
        /// Its bound.
        records_max: usize,
    },
    /// The disclosures are none of this record, or too many.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// They were erased, and stay so.
    #[error("the private fields of record {record} were erased; record {by} says so")]
    Erased {
        /// The record whose disclosures they were.
        record: RecordId,
        /// The record that says so.
        by: RecordId,
    },
    /// There are no disclosures of this record.
    #[error("the vault holds no private fields of record {0}")]
    NotHeld(RecordId),
    /// No source of randomness.
    #[error("this machine has no randomness to make a key from: {0}")]
    Randomness(String),
    /// The cipher did not take what was to be sealed.
    #[error("what is private could not be sealed")]
    Sealing,
}

impl VaultError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
