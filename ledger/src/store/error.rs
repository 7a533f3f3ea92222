//! What can go wrong with the store. Every error is fatal: the node stops and says so.

use std::{io, path::PathBuf};

use crate::{chain::BlockError, refusal::Refusal};

/// The store cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused a file operation.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Bytes on disk are not what was written.
    #[error("the store is damaged: {file}: {problem}")]
    Damaged {
        /// Which file or part of the store.
        file: String,
        /// What does not fit.
        problem: String,
    },
    /// The store belongs to another ledger.
    #[error("{} holds ledger {found}, not {expected}", path.display())]
    OtherLedger {
        /// The store's folder.
        path: PathBuf,
        /// The ledger it holds.
        found: String,
        /// The ledger that was asked for.
        expected: String,
    },
    /// sled failed.
    #[error("the index (sled): {0}; `quittance reindex` makes it again from the blocks")]
    Index(#[from] sled::Error),
    /// The index lacks what this version looks things up by.
    #[error(
        "the index (sled) was made by an earlier version; `quittance reindex` makes it again from \
         the blocks"
    )]
    OldIndex,
    /// A block that does not follow the tip.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A stored record that cannot be read.
    #[error("the store is damaged: record {index}: {refusal}")]
    Record {
        /// Its place on the ledger.
        index: u64,
        /// Why it cannot be read.
        refusal: Refusal,
    },
    /// A value is longer than the store can read again.
    #[error("{what} has {bytes} bytes, more than the store can read again")]
    TooLarge {
        /// What it is.
        what: String,
        /// Its length.
        bytes: usize,
    },
    /// The store was opened to be looked at.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// Tree arithmetic was asked for something the tree does not hold.
    #[error("the tree: {0}")]
    Tree(String),
}

impl StoreError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), problem: problem.into() }
    }

    /// Whether bytes on disk are not what was written, as opposed to a failing
    /// disk or a wrong folder.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Record { .. } | Self::Block(_))
            || matches!(self, Self::Index(sled::Error::Corruption { .. }))
    }
}
