//! Reading and writing small files: bounded, and whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
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
    /// It is larger than what it should hold ever is.
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: usize,
    },
    /// Somebody wrote to it meanwhile, so that what was read never stood in it.
    #[error(
        "{} changed while it was read; run the command again once nobody writes to it", .0.display()
    )]
    Changing(PathBuf),
    /// It is not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

impl FileError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// The bytes of a file; `-` is standard input.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let source: Box<dyn io::Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(FileError::io("read", path))?)
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that fits from one that does not.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if bytes.len() > bytes_max {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

/// What tells whether a file was written to, as far as its file system says.
#[derive(Debug, PartialEq, Eq)]
struct Stand {
    length: u64,
    modified: SystemTime,
    /// Device, inode, and when the inode changed, which nobody sets back.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stand {
    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;

        Ok(Self {
            length: metadata.len(),
            modified: metadata.modified()?,
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Has a regular file read to its end by `take`, which is given no more than what
/// stood in it at first: a file that is written to meanwhile is an error and not a
/// mixture of what it was and what it became.
///
/// # Errors
/// It is no regular file, cannot be read, or changed meanwhile.
pub(crate) fn read_unchanged<T>(
    path: &Path,
    take: impl FnOnce(io::Take<&File>) -> io::Result<T>,
) -> Result<T, FileError> {
    let failed = || FileError::io("read", path);
    let regular = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::other("it is no regular file")),
    };
    // Opening a pipe would wait for whoever writes into it.
    fs::metadata(path).and_then(regular).map_err(failed())?;
    let file = File::open(path).map_err(failed())?;
    let stand = || file.metadata().and_then(regular).and_then(|metadata| Stand::of(&metadata));
    let before = stand().map_err(failed())?;
    let taken = take((&file).take(before.length)).map_err(failed())?;
    if stand().map_err(failed())? == before {
        Ok(taken)
    } else {
        Err(FileError::Changing(path.to_owned()))
    }
}

/// The text of a file; `-` is standard input.
pub(crate) fn read_text(path: &Path, bytes_max: usize) -> Result<String, FileError> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| FileError::NotText(path.to_owned()))
}

/// Writes a file that must not exist yet, readable by its owner only where
/// `secret`, and waits until it is on disk.
pub(crate) fn create(path: &Path, bytes: &[u8], secret: bool) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(FileError::io("create", path))
}

/// Replaces a file by renaming one over it whose bytes are on the disk, so that
/// nobody ever sees half of it. The new name may be lost in a power cut unless
/// [`sync_folder`] follows.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_prepared(path, bytes, |file, _| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    })
}

/// As [`replace`], with a file that only its owner can read: whoever owns the
/// folder, so that a node can read what an administrator wrote for it.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    // Made with mode 0600.
    replace_prepared(path, bytes, |file, folder| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let (own, of_folder) = (file.metadata()?, fs::metadata(folder)?);
            if own.uid() != of_folder.uid() {
                fchown(file, Some(of_folder.uid()), Some(of_folder.gid()))?;
            }
        }
        Ok(())
    })
}

/// Replaces a file by one that `prepare` has made ready, which is given the
/// folder too.
fn replace_prepared(
    path: &Path,
    bytes: &[u8],
    prepare: impl FnOnce(&File, &Path) -> io::Result<()>,
) -> Result<(), FileError> {
    let folder = folder_of(path);
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(FileError::io("write into", folder))?;
    prepare(file.as_file(), folder).map_err(FileError::io("write", path))?;
    file.write_all(bytes).map_err(FileError::io("write", path))?;
    file.as_file().sync_all().map_err(FileError::io("write", path))?;
    file.persist(path).map_err(|error| FileError::io("write", path)(error.error))?;
    Ok(())
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Waits until the names in a folder are on disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::io("sync", path))
}

/// Creates a folder and those above it; only its owner may look inside where `secret`.
pub(crate) fn create_folder(path: &Path, secret: bool) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(FileError::io("create", path))
}

/// `path` with `suffix` after its last extension: `a.jsonl` → `a.jsonl.salts`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
