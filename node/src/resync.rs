//! Fetching the ledger again from the other nodes, without losing keys, vote
//! history or records that were acknowledged (`quittance run --resync`).
//!
//! While it fetches, the node only follows: its own votes of the heights it
//! goes through again could contradict those it cast at their time. It votes
//! again from the height on at which its log of votes stands; where that log is
//! lost too, from a height on that nobody had reached when the fetching began.

use std::{fs, io, path::PathBuf};

use arc_malachitebft_app::wal::Log;
use quittance_ledger::{
    membership::Membership,
    store::{Store, StoreError},
};

use crate::{
    files::{self, FileError},
    layout::DataFolder,
};

/// The ledger cannot be fetched again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResyncError {
    /// There is nobody to fetch it from.
    #[error(
        "this ledger has one validator, so there is no other node to fetch it from; \
         `quittance reindex` makes everything but the blocks again"
    )]
    Alone,
    /// The store is in use or cannot be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The mark that an earlier run left cannot be understood.
    #[error("{} holds {found:?}, which no release wrote", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

/// From where on a node that fetches its ledger may vote again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Once the blocks before this height are here: its own log of votes goes on there.
    At(u64),
    /// Once a block is decided that nobody had decided before.
    AfterNew,
}

const AFTER_NEW: &str = "after-new";

/// Removes the store and leaves a mark, so that the node follows until it may
/// vote again, whatever happens in between.
///
/// # Errors
/// There is no other node, the store is in use, or the system refuses.
pub fn begin(folder: &DataFolder, membership: &Membership) -> Result<Resume, ResyncError> {
    if membership.validators().len() < 2 {
        return Err(ResyncError::Alone);
    }
    let resume = match pending(folder)? {
        Some(resume) => resume,
        None => resume_of(folder)?,
    };
    let text = match resume {
        Resume::At(height) => height.to_string(),
        Resume::AfterNew => AFTER_NEW.to_owned(),
    };
    let path = folder.resync_path();
    let parent = files::folder_of(&path);
    fs::create_dir_all(parent).map_err(FileError::io("create", parent))?;
    // The mark first: without it a node with an emptied store would vote again.
    files::replace(&path, text.as_bytes())?;
    files::sync_folder(parent)?;
    Store::clear(&folder.ledger_path())?;
    Ok(resume)
}

/// Where the log of votes stands; an unreadable one is put aside.
fn resume_of(folder: &DataFolder) -> Result<Resume, ResyncError> {
    let path = folder.votes_path();
    if !path.exists() {
        return Ok(Resume::AfterNew);
    }
    // Reading every entry finds damage that the engine would hang on.
    let readable = || -> io::Result<u64> {
        let mut log = Log::open(&path)?;
        let height = log.sequence();
        for entry in log.iter()? {
            entry?;
        }
        Ok(height)
    };
    match readable() {
        Ok(height) => Ok(Resume::At(height)),
        Err(error) => {
            tracing::warn!("the log of votes cannot be read ({error}); it is put aside");
            let aside = path.with_extension("wal.damaged");
            fs::rename(&path, &aside).map_err(FileError::io("rename", &path))?;
            Ok(Resume::AfterNew)
        }
    }
}

/// Whether a fetching is under way, and from where on the node may vote.
///
/// # Errors
/// The mark cannot be read.
pub fn pending(folder: &DataFolder) -> Result<Option<Resume>, ResyncError> {
    let path = folder.resync_path();
    let bytes = match files::read(&path, 64) {
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        read => read?,
    };
    let found = String::from_utf8_lossy(&bytes).into_owned();
    match found.as_str() {
        AFTER_NEW => Ok(Some(Resume::AfterNew)),
        text => match text.parse() {
            Ok(height) => Ok(Some(Resume::At(height))),
            Err(_) => Err(ResyncError::Mark { path, found }),
        },
    }
}

/// The node may vote again: the mark and the log of following go.
///
/// # Errors
/// The system refuses.
pub fn end(folder: &DataFolder) -> Result<(), ResyncError> {
    for path in [folder.following_path(), folder.resync_path()] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::io("remove", &path)(source).into());
            }
            _ => {}
        }
    }
    Ok(files::sync_folder(files::folder_of(&folder.resync_path()))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_fetching_that_was_cut_short_is_known_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        assert_eq!(pending(&folder).unwrap(), None);
        fs::create_dir_all(root.path().join("consensus")).unwrap();
        fs::write(folder.resync_path(), "17").unwrap();
        assert_eq!(pending(&folder).unwrap(), Some(Resume::At(17)));
        fs::write(folder.resync_path(), AFTER_NEW).unwrap();
        assert_eq!(pending(&folder).unwrap(), Some(Resume::AfterNew));
        fs::write(folder.resync_path(), "soon").unwrap();
        assert!(matches!(pending(&folder), Err(ResyncError::Mark { .. })));
        end(&folder).unwrap();
        assert_eq!(pending(&folder).unwrap(), None);
    }

    #[test]
    fn an_unreadable_log_of_votes_makes_the_node_wait_for_a_new_block() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        assert_eq!(resume_of(&folder).unwrap(), Resume::AfterNew);
        fs::create_dir_all(root.path().join("consensus")).unwrap();
        let mut log = Log::open(folder.votes_path()).unwrap();
        log.reset(41).unwrap();
        log.append(b"a vote").unwrap();
        log.flush().unwrap();
        drop(log);
        assert_eq!(resume_of(&folder).unwrap(), Resume::At(41));
        let mut bytes = fs::read(folder.votes_path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(folder.votes_path(), bytes).unwrap();
        assert_eq!(resume_of(&folder).unwrap(), Resume::AfterNew);
        assert!(!folder.votes_path().exists());
    }
}
