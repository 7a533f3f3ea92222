//! Files of items of one width, addressed by number: tree nodes and positions.
//!
//! They are derived from the blocks. What lies beyond the last index checkpoint
//! is written again when the store opens, so they need no flush of their own.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use super::StoreError;

/// So many zeros in a row are taken for a page that never reached the disk.
const ABSENT_BYTES_MIN: usize = 16;

/// A file of `WIDTH`-byte items.
#[derive(Debug)]
pub struct Flat<const WIDTH: usize> {
    file: File,
    path: PathBuf,
}

impl<const WIDTH: usize> Flat<WIDTH> {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("opening", &path))?;
        Ok(Self { file, path })
    }

    /// Whole items in the file.
    ///
    /// # Errors
    /// The file's length cannot be read.
    pub fn len(&self) -> Result<u64, StoreError> {
        let metadata = self.file.metadata().map_err(StoreError::io("measuring", &self.path))?;
        Ok(metadata.len() / WIDTH as u64)
    }

    /// Reads item `number`.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn get(&self, number: u64) -> Result<[u8; WIDTH], StoreError> {
        let mut item = [0; WIDTH];
        self.read(number, &mut item)?;
        Ok(item)
    }

    /// Reads the items from `number` on that fill `buffer`.
    ///
    /// # Errors
    /// They are not all there, or cannot be read.
    pub fn read(&self, number: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact_at(buffer, number * WIDTH as u64).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                StoreError::damaged(
                    self.path.display().to_string(),
                    format!("it ends before item {number}"),
                )
            } else {
                StoreError::io("reading", &self.path)(error)
            }
        })
    }

    /// What stands from item `number` on, at most `length` bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_up_to(&self, number: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let from = number * WIDTH as u64;
        let metadata = self.file.metadata().map_err(StoreError::io("measuring", &self.path))?;
        let there = usize::try_from(metadata.len().saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(there)];
        self.file.read_exact_at(&mut bytes, from).map_err(StoreError::io("reading", &self.path))?;
        Ok(bytes)
    }

    /// Writes `items` from `number` on where they are missing: after a power cut
    /// pages that never reached the disk are absent or zero. Anything else that
    /// differs is damage.
    ///
    /// # Errors
    /// What stands there was changed, or the disk refuses.
    pub fn restore(&self, number: u64, items: &[u8]) -> Result<(), StoreError> {
        // What follows tells a page that is absent from a byte that was changed to zero.
        let found = self.read_up_to(number, items.len() + ABSENT_BYTES_MIN)?;
        let Some(first) = found.iter().zip(items).position(|(found, item)| found != item) else {
            if found.len() < items.len() {
                self.write(number, items)?;
            }
            return Ok(());
        };
        let page = found.get(first..).unwrap_or_default();
        let page = page.get(..ABSENT_BYTES_MIN).unwrap_or(page);
        let to_the_end = found.len() < items.len() + ABSENT_BYTES_MIN;
        if page.iter().all(|byte| *byte == 0) && (page.len() == ABSENT_BYTES_MIN || to_the_end) {
            return self.write(number, items);
        }
        Err(StoreError::damaged(
            self.path.display().to_string(),
            format!(
                "the bytes from item {number} on are not what was written; \
                 `quittance reindex` makes them again from the blocks"
            ),
        ))
    }

    /// Writes items from `number` on, over whatever stands there.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, number: u64, items: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all_at(items, number * WIDTH as u64)
            .map_err(StoreError::io("writing", &self.path))
    }

    /// Cuts the file off after `count` items.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn truncate(&self, count: u64) -> Result<(), StoreError> {
        self.file.set_len(count * WIDTH as u64).map_err(StoreError::io("shortening", &self.path))
    }

    /// Makes everything written survive a power cut.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io("syncing", &self.path))
    }
}
