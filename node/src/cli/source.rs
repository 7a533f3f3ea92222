//! What names a ledger on the command line: a data folder, a genesis file or a node's URL.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use quittance_ledger::{
    limits::{CHECKPOINT_BYTES_MAX, POLICY_BYTES_MAX},
    transparency::{Policy, SignedCheckpoint},
};

use super::Failure;
use crate::files;

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The API of a node.
    Url(String),
    /// A data folder or a file.
    Path(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.starts_with("http://") || text.starts_with("https://") {
            Self::Url(text.to_owned())
        } else {
            Self::Path(PathBuf::from(text))
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Reads a trust policy.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = files::read(path, POLICY_BYTES_MAX)?;
    Policy::parse(&bytes)
        .map_err(|error| Failure::unusable(format_args!("{}: {error}", path.display())))
}

/// Reads a signed checkpoint.
pub(super) fn read_checkpoint(path: &Path) -> Result<SignedCheckpoint, Failure> {
    let bytes = files::read(path, CHECKPOINT_BYTES_MAX)?;
    SignedCheckpoint::parse(&bytes)
        .map_err(|error| Failure::unusable(format_args!("{}: {error}", path.display())))
}
