//! A node's data folder.
//!
//! ```text
//! genesis.toml   what the members agreed on; the same on every node
//! keys/          this node's secret keys
//! ledger/        the store
//! vault/         what is private, sealed and erasable; never on the ledger
//! cosigned       the checkpoint this node cosigned last
//! tokens.json    what is kept of the API's tokens (made by `quittance token`)
//! member.toml    this node's public part, for a genesis (made by `quittance init`)
//! ```

use std::path::{Path, PathBuf};

use quittance_ledger::{
    limits::GENESIS_BYTES_MAX,
    membership::{Genesis, GenesisError, Membership},
};

use crate::{
    files::{self, FileError},
    keys::{KeyError, Keys},
};

/// A file of a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The genesis is none.
    #[error("{}: {source}", path.display())]
    Genesis {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: GenesisError,
    },
}

/// Where a node keeps what it has. Nothing of it is read before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The data folder at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The genesis file.
    #[must_use]
    pub fn genesis_path(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The folder of secret keys.
    #[must_use]
    pub fn keys_path(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The store's folder.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The vault's folder.
    #[must_use]
    pub fn vault_path(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// Stands while the ledger is fetched again from other nodes.
    #[must_use]
    pub fn resync_path(&self) -> PathBuf {
        self.root.join("consensus").join("resync")
    }

    /// The engine's log while this node only follows.
    #[must_use]
    pub fn following_path(&self) -> PathBuf {
        self.root.join("consensus").join("following.wal")
    }

    /// The engine's log of votes, which keeps a validator from contradicting
    /// itself after a restart.
    #[must_use]
    pub fn votes_path(&self) -> PathBuf {
        self.root.join("consensus").join("votes.wal")
    }

    /// What this node cosigned last.
    #[must_use]
    pub fn cosigned_path(&self) -> PathBuf {
        self.root.join("cosigned")
    }

    /// What is kept of the API's tokens.
    #[must_use]
    pub fn tokens_path(&self) -> PathBuf {
        self.root.join("tokens.json")
    }

    /// This node's public part.
    #[must_use]
    pub fn member_path(&self) -> PathBuf {
        self.root.join("member.toml")
    }

    /// Reads the genesis.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn genesis(&self) -> Result<Genesis, FolderError> {
        read_genesis(&self.genesis_path())
    }

    /// The membership that the genesis starts with.
    ///
    /// # Errors
    /// As [`DataFolder::genesis`].
    pub fn membership(&self) -> Result<Membership, FolderError> {
        Ok(Membership::from_genesis(&self.genesis()?))
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub fn keys(&self) -> Result<Keys, KeyError> {
        Keys::load(&self.keys_path())
    }
}

/// Reads a `genesis.toml`.
///
/// # Errors
/// It cannot be read, or is none; the error names the file.
pub fn read_genesis(path: &Path) -> Result<Genesis, FolderError> {
    let text = files::read_text(path, GENESIS_BYTES_MAX)?;
    Genesis::from_toml(&text)
        .map_err(|source| FolderError::Genesis { path: path.to_owned(), source })
}
