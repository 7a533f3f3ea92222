//! What the vault does to the disk, one effect at a time. In tests the machine
//! can stop before, or in the middle of, any of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::VaultError;

/// Ends the name of a file that is being written and does not count yet.
const UNFINISHED: &str = ".new";

const ZEROS: [u8; 4096] = [0; 4096];

#[cfg(test)]
pub(super) mod fuse {
    //! Stops the machine after a number of effects.

    use std::{cell::Cell, io};

    thread_local! { static LEFT: Cell<Option<usize>> = const { Cell::new(None) }; }

    /// Lets so many more effects happen; with `None`, all.
    pub fn set(left: Option<usize>) {
        LEFT.set(left);
    }

    /// Whether the machine still runs.
    pub fn step() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the machine stopped")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

#[cfg(not(test))]
mod fuse {
    #[expect(clippy::unnecessary_wraps, reason = "fails in tests")]
    pub(super) const fn step() -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes all of `bytes`; a machine that stops here has written a part of them.
fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    fuse::step()?;
    file.write_all(first)?;
    fuse::step()?;
    file.write_all(rest)
}

/// Writes `bytes` over what stands at `offset`, and waits until they are on the disk.
pub(super) fn overwrite(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    write(file, bytes)?;
    // The length may have changed too.
    file.sync_all()
}

/// Opens a file for reading and writing, and makes it where it is not there;
/// nobody but its owner may read it.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    only_owner(&mut options);
    options.open(path)
}

#[cfg(unix)]
fn only_owner(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn only_owner(_: &mut OpenOptions) {}

/// Makes a folder where it is not there; nobody but its owner may look inside.
pub(super) fn create_folder(path: &Path) -> Result<(), VaultError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(VaultError::io("create", path))
}

/// Waits until the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), VaultError> {
    fuse::step().and_then(|()| File::open(path)?.sync_all()).map_err(VaultError::io("sync", path))
}

/// Writes a file whole or not at all, in the place of one that is there, and
/// waits until it is on the disk.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
    let path = folder.join(name);
    let unfinished = folder.join(format!("{name}{UNFINISHED}"));
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        only_owner(&mut options);
        let file = options.open(&unfinished)?;
        write(&file, bytes)?;
        file.sync_all()?;
        fuse::step()?;
        fs::rename(&unfinished, &path)
    })();
    written.map_err(VaultError::io("write", &path))?;
    sync_folder(folder)
}

/// Overwrites a file with zeros, cuts it to nothing and removes it; each is on
/// the disk before the next. A file that is not there is gone already.
pub(super) fn destroy(folder: &Path, name: &str) -> Result<(), VaultError> {
    let path = folder.join(name);
    let destroyed = (|| {
        let file = OpenOptions::new().write(true).open(&path)?;
        let mut left = file.metadata()?.len();
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            write(&file, ZEROS.get(..part).unwrap_or(&ZEROS))?;
            left = left.saturating_sub(u64::try_from(part).unwrap_or(left));
        }
        file.sync_all()?;
        fuse::step()?;
        file.set_len(0)?;
        file.sync_all()?;
        fuse::step()?;
        fs::remove_file(&path)
    })();
    match destroyed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(VaultError::io("erase", &path))?,
    }
    sync_folder(folder)
}

/// Removes a file that holds nothing private.
pub(super) fn remove(folder: &Path, name: &str) -> Result<(), VaultError> {
    let path = folder.join(name);
    match fuse::step().and_then(|()| fs::remove_file(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(VaultError::io("remove", &path))?,
    }
    sync_folder(folder)
}

/// The bytes of a file; none where there is no such file.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, VaultError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(VaultError::io("read", path))?,
    };
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(VaultError::io("read", path))?;
    if bytes.len() > bytes_max {
        let problem = "it is larger than what stands in it ever is";
        return Err(VaultError::Damaged { path: path.to_owned(), problem });
    }
    Ok(Some(bytes))
}

/// The names in a folder; files that were not finished are destroyed on the way.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, VaultError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(VaultError::io("read", folder))? {
        let name = entry.map_err(VaultError::io("read", folder))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(UNFINISHED) {
            destroy(folder, name)?;
        } else {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The folders and files of a vault.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn slots(&self) -> PathBuf {
        self.root.join("slots")
    }

    pub(super) fn sealed(&self) -> PathBuf {
        self.root.join("sealed")
    }

    pub(super) fn erasing(&self) -> PathBuf {
        self.root.join("erasing")
    }
}
