//! Append-only files of checksummed frames.
//!
//! A log is a folder of segment files, each named after the log position of its
//! first byte, so that a position alone finds file and offset. A file starts
//! with a header that names the ledger; then come frames:
//!
//! ```text
//! length u32 | CRC-32 of the length's bytes u32 | CRC-32 of the payload u32 | payload
//! ```
//!
//! The length has a checksum of its own so that a damaged length is not taken
//! for a write that was cut off: a process that is killed leaves a prefix of a
//! frame, a power cut may leave zeros, and anything else is damage.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::RwLock,
};

use super::StoreError;
use crate::digest::LedgerId;

const MAGIC: &[u8; 16] = b"quittance-frames";
const FILE_HEADER_BYTES: u64 = 16 + 32 + 8 + 4;
const FRAME_HEADER_BYTES: u64 = 12;

/// A log of frames.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    name: &'static str,
    ledger: LedgerId,
    frame_bytes_max: u32,
    segment_bytes_max: u64,
    /// Open files by the log position of their first byte.
    files: RwLock<BTreeMap<u64, File>>,
}

/// What stands at a position.
#[derive(Debug)]
pub enum Frame {
    /// A whole frame, and the position after it.
    Whole(Vec<u8>, u64),
    /// The end of the log.
    End,
    /// A frame whose writing was cut off.
    Torn,
}

impl Segments {
    /// Opens the log in `folder`, which is created where it is missing.
    ///
    /// # Errors
    /// The folder or a file cannot be opened, or a file's header is damaged.
    pub fn open(
        folder: PathBuf,
        name: &'static str,
        ledger: LedgerId,
        frame_bytes_max: u32,
        segment_bytes_max: u64,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(&folder).map_err(StoreError::io("creating", &folder))?;
        let log = Self {
            folder,
            name,
            ledger,
            frame_bytes_max,
            segment_bytes_max,
            files: RwLock::new(BTreeMap::new()),
        };
        let mut starts = Vec::new();
        for entry in fs::read_dir(&log.folder).map_err(StoreError::io("reading", &log.folder))? {
            let entry = entry.map_err(StoreError::io("reading", &log.folder))?;
            let file_name = entry.file_name();
            let start = file_name
                .to_str()
                .and_then(|text| text.strip_suffix(".frames"))
                .filter(|digits| digits.len() == 20)
                .and_then(|digits| digits.parse::<u64>().ok())
                .ok_or_else(|| {
                    log.damage(format!("{} does not belong here", file_name.display()))
                })?;
            starts.push(start);
        }
        starts.sort_unstable();
        let last = starts.last().copied();
        let mut files = BTreeMap::new();
        for (position, start) in starts.iter().copied().enumerate() {
            let path = log.path(start);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(StoreError::io("opening", &path))?;
            let length = length_of(&file, &path)?;
            if Some(start) == last && was_never_filled(&file, length, &path)? {
                // Left where it is until a file of this name is needed.
                tracing::warn!("{} was cut off while it was being made", path.display());
                continue;
            }
            log.check_file_header(&file, start)?;
            let end = start + length.saturating_sub(FILE_HEADER_BYTES);
            match starts.get(position + 1) {
                Some(next) if *next != end => {
                    return Err(log.damage(format!(
                        "{} ends at {end}, the next file starts at {next}",
                        path.display()
                    )));
                }
                _ => {}
            }
            files.insert(start, file);
        }
        if let Ok(mut open) = log.files.write() {
            *open = files;
        }
        // What a process that was killed had made may not have reached the disk.
        sync_folder(&log.folder)?;
        Ok(log)
    }

    fn path(&self, start: u64) -> PathBuf {
        self.folder.join(format!("{start:020}.frames"))
    }

    fn damage(&self, problem: impl Into<String>) -> StoreError {
        StoreError::damaged(self.name, problem)
    }

    fn file_header(&self, start: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(60);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(self.ledger.as_bytes());
        header.extend_from_slice(&start.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        header
    }

    fn check_file_header(&self, file: &File, start: u64) -> Result<(), StoreError> {
        let path = self.path(start);
        let mut found = [0; 60];
        file.read_exact_at(&mut found, 0).map_err(StoreError::io("reading", &path))?;
        if found == *self.file_header(start) {
            return Ok(());
        }
        let sound = crc32fast::hash(&found[..56]).to_be_bytes() == found[56..];
        if sound && found[..16] == *MAGIC && found[16..48] != *self.ledger.as_bytes() {
            return Err(StoreError::OtherLedger {
                path,
                found: hex::encode(&found[16..48]),
                expected: self.ledger.to_string(),
            });
        }
        Err(self.damage(format!("the header of {} is not what was written", path.display())))
    }

    /// The position after the last byte of the log, whole or torn.
    ///
    /// # Errors
    /// The file's length cannot be read.
    pub fn end(&self) -> Result<u64, StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        match files.last_key_value() {
            Some((start, file)) => {
                Ok(start + length_of(file, &self.path(*start))?.saturating_sub(FILE_HEADER_BYTES))
            }
            None => Ok(0),
        }
    }

    /// The position of the first byte that is kept.
    ///
    /// # Errors
    /// Never, unless a thread died while it changed the list of files.
    pub fn start(&self) -> Result<u64, StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        Ok(files.first_key_value().map_or(0, |(start, _)| *start))
    }

    fn poisoned(&self) -> StoreError {
        self.damage("a thread died while it changed the list of files")
    }

    /// Reads `buffer.len()` bytes at a log position within one file.
    ///
    /// # Errors
    /// The bytes are not all there, or cannot be read.
    pub fn read_exact(&self, position: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        let (start, file) = files
            .range(..=position)
            .next_back()
            .ok_or_else(|| self.damage(format!("position {position} is not kept")))?;
        file.read_exact_at(buffer, position - start + FILE_HEADER_BYTES).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                self.damage(format!("it ends before position {position}"))
            } else {
                StoreError::io("reading", self.path(*start))(error)
            }
        })
    }

    /// Reads the frame at `position`.
    ///
    /// # Errors
    /// Its bytes are damaged, or cannot be read.
    pub fn frame(&self, position: u64) -> Result<Frame, StoreError> {
        let end = self.segment_end(position)?;
        let left = end.saturating_sub(position);
        if left == 0 {
            return Ok(Frame::End);
        }
        if left < FRAME_HEADER_BYTES {
            return Ok(Frame::Torn);
        }
        let mut header = [0; FRAME_HEADER_BYTES as usize];
        self.read_exact(position, &mut header)?;
        let [l0, l1, l2, l3, a0, a1, a2, a3, b0, b1, b2, b3] = header;
        let length_bytes = [l0, l1, l2, l3];
        if header == [0; FRAME_HEADER_BYTES as usize] && self.is_zero(position, end)? {
            return Ok(Frame::Torn);
        }
        let length = u32::from_be_bytes(length_bytes);
        if crc32fast::hash(&length_bytes) != u32::from_be_bytes([a0, a1, a2, a3])
            || length > self.frame_bytes_max
        {
            return Err(self.damage(format!("the frame at {position} has a damaged length")));
        }
        let payload_position = position + FRAME_HEADER_BYTES;
        let next = payload_position + u64::from(length);
        if next > end {
            return Ok(Frame::Torn);
        }
        let mut payload = vec![0; length as usize];
        self.read_exact(payload_position, &mut payload)?;
        if crc32fast::hash(&payload) != u32::from_be_bytes([b0, b1, b2, b3]) {
            let zeros = payload.iter().rev().take_while(|byte| **byte == 0).count() as u64;
            if next == end && zeros >= 512 {
                // The file had grown but its last pages never reached the disk.
                return Ok(Frame::Torn);
            }
            return Err(self.damage(format!("the frame at {position} fails its checksum")));
        }
        Ok(Frame::Whole(payload, next))
    }

    fn is_zero(&self, from: u64, to: u64) -> Result<bool, StoreError> {
        let mut buffer = vec![0; 64 * 1024];
        let mut position = from;
        while position < to {
            let take = (to - position).min(buffer.len() as u64) as usize;
            let chunk = buffer.get_mut(..take).unwrap_or_default();
            self.read_exact(position, chunk)?;
            if chunk.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += take as u64;
        }
        Ok(true)
    }

    fn segment_end(&self, position: u64) -> Result<u64, StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        match files.range(..=position).next_back() {
            Some((start, file)) => {
                Ok(start + length_of(file, &self.path(*start))?.saturating_sub(FILE_HEADER_BYTES))
            }
            None => Ok(position),
        }
    }

    /// The position of a frame's payload.
    #[must_use]
    pub const fn payload_position(frame_position: u64) -> u64 {
        frame_position + FRAME_HEADER_BYTES
    }

    /// Appends a frame and gives the position of its header. It is durable only
    /// after [`Segments::sync`].
    ///
    /// # Errors
    /// The payload is longer than a frame may be, or the disk refuses it.
    pub fn append(&self, payload: &[u8]) -> Result<u64, StoreError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= self.frame_bytes_max)
            .ok_or_else(|| self.damage("a frame would be longer than this log allows"))?;
        let position = self.end()?;
        self.roll_over(position)?;
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEADER_BYTES as usize);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&crc32fast::hash(&length.to_be_bytes()).to_be_bytes());
        frame.extend_from_slice(&crc32fast::hash(payload).to_be_bytes());
        frame.extend_from_slice(payload);
        let files = self.files.read().map_err(|_| self.poisoned())?;
        let (start, file) =
            files.last_key_value().ok_or_else(|| self.damage("no file to append to"))?;
        file.write_all_at(&frame, position - start + FILE_HEADER_BYTES)
            .map_err(StoreError::io("writing", self.path(*start)))?;
        Ok(position)
    }

    /// Makes the file whose first byte stands at `position`.
    fn create(&self, position: u64) -> Result<File, StoreError> {
        let path = self.path(position);
        // One that was cut off while it was being made may stand there.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(StoreError::io("creating", &path))?;
        file.write_all(&self.file_header(position)).map_err(StoreError::io("writing", &path))?;
        file.sync_all().map_err(StoreError::io("syncing", &path))?;
        sync_folder(&self.folder)?;
        Ok(file)
    }

    /// Starts a new file at `position` where there is none yet or the last one is full.
    fn roll_over(&self, position: u64) -> Result<(), StoreError> {
        let mut files = self.files.write().map_err(|_| self.poisoned())?;
        if let Some((start, file)) = files.last_key_value() {
            if position - start < self.segment_bytes_max {
                return Ok(());
            }
            file.sync_all().map_err(StoreError::io("syncing", self.path(*start)))?;
        }
        files.insert(position, self.create(position)?);
        Ok(())
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// The disk refuses; what was appended since the last success may be lost.
    pub fn sync(&self) -> Result<(), StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        if let Some((start, file)) = files.last_key_value() {
            file.sync_data().map_err(StoreError::io("syncing", self.path(*start)))?;
        }
        Ok(())
    }

    /// Cuts the log off at `position`: what follows was never acknowledged.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn truncate(&self, position: u64) -> Result<(), StoreError> {
        let mut files = self.files.write().map_err(|_| self.poisoned())?;
        while let Some((&start, file)) = files.last_key_value() {
            let path = self.path(start);
            if start >= position && files.len() > 1 {
                fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
                files.remove(&start);
                continue;
            }
            file.set_len(position.saturating_sub(start) + FILE_HEADER_BYTES)
                .map_err(StoreError::io("shortening", &path))?;
            file.sync_all().map_err(StoreError::io("syncing", &path))?;
            break;
        }
        drop(files);
        sync_folder(&self.folder)
    }

    /// Starts a new file at the end, so that older ones can be dropped.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn rotate(&self) -> Result<u64, StoreError> {
        let position = self.end()?;
        let mut files = self.files.write().map_err(|_| self.poisoned())?;
        if files.contains_key(&position) {
            return Ok(position);
        }
        files.insert(position, self.create(position)?);
        Ok(position)
    }

    /// Drops whole files that end at or before `position`, never the last one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn drop_before(&self, position: u64) -> Result<(), StoreError> {
        let mut files = self.files.write().map_err(|_| self.poisoned())?;
        let starts: Vec<u64> = files.keys().copied().collect();
        for pair in starts.windows(2) {
            if let [start, next] = *pair
                && next <= position
            {
                let path = self.path(start);
                fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
                files.remove(&start);
            }
        }
        Ok(())
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// A file's length cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        let files = self.files.read().map_err(|_| self.poisoned())?;
        files.iter().map(|(start, file)| length_of(file, &self.path(*start))).sum()
    }
}

/// Whether a file's making was cut off before its header was on the disk, so
/// that nothing can stand in it: the header is synced before anything follows.
fn was_never_filled(file: &File, length: u64, path: &Path) -> Result<bool, StoreError> {
    if length != FILE_HEADER_BYTES {
        return Ok(length < FILE_HEADER_BYTES);
    }
    let mut header = [0; FILE_HEADER_BYTES as usize];
    file.read_exact_at(&mut header, 0).map_err(StoreError::io("reading", path))?;
    Ok(header.iter().all(|byte| *byte == 0))
}

fn length_of(file: &File, path: &Path) -> Result<u64, StoreError> {
    Ok(file.metadata().map_err(StoreError::io("measuring", path))?.len())
}

/// Makes created, renamed and removed files of a folder survive a power cut.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let file = File::open(folder).map_err(StoreError::io("opening", folder))?;
    file.sync_all().map_err(StoreError::io("syncing", folder))
}

/// Removes a folder with all that is in it, where there is one.
pub fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(StoreError::io("removing", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::digest::Digest;

    fn ledger() -> LedgerId {
        LedgerId::from_digest(Digest::of(b"ledger"))
    }

    fn open(folder: &Path) -> Result<Segments, StoreError> {
        Segments::open(folder.to_owned(), "frames", ledger(), 1 << 20, 1000)
    }

    fn read_all(log: &Segments) -> Result<(Vec<Vec<u8>>, bool), StoreError> {
        let mut position = log.start()?;
        let mut payloads = Vec::new();
        loop {
            match log.frame(position)? {
                Frame::Whole(payload, next) => {
                    payloads.push(payload);
                    position = next;
                }
                Frame::End => return Ok((payloads, false)),
                Frame::Torn => return Ok((payloads, true)),
            }
        }
    }

    #[test]
    fn frames_come_back_across_files_and_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        let payloads: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; usize::from(n) * 7]).collect();
        for payload in &payloads {
            log.append(payload).unwrap();
        }
        log.sync().unwrap();
        assert!(fs::read_dir(folder.path()).unwrap().count() > 3);
        drop(log);
        let log = open(folder.path()).unwrap();
        assert_eq!(read_all(&log).unwrap(), (payloads, false));
    }

    #[test]
    fn a_write_cut_off_anywhere_is_torn_and_never_damage() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        log.append(b"first").unwrap();
        let second = log.append(&[7; 40]).unwrap();
        let whole = log.end().unwrap();
        for end in second..whole {
            log.truncate(end).unwrap();
            let (payloads, torn) = read_all(&log).unwrap();
            assert_eq!(payloads, [b"first".to_vec()]);
            assert_eq!(torn, end != second);
            log.truncate(second).unwrap();
            assert_eq!(log.append(&[7; 40]).unwrap(), second);
        }
    }

    #[test]
    fn every_flipped_bit_is_named_as_damage() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        log.append(b"first").unwrap();
        log.append(b"second").unwrap();
        drop(log);
        let path = folder.path().join(format!("{:020}.frames", 0));
        let sound = fs::read(&path).unwrap();
        for position in 0..sound.len() {
            for bit in 0..8 {
                let mut bytes = sound.clone();
                bytes[position] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let result = open(folder.path()).and_then(|log| read_all(&log));
                assert!(result.is_err(), "byte {position} bit {bit} passed");
            }
        }
    }

    #[test]
    fn the_log_of_another_ledger_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap().append(b"x").unwrap();
        let other = LedgerId::from_digest(Digest::of(b"other"));
        let error =
            Segments::open(folder.path().to_owned(), "frames", other, 100, 1000).unwrap_err();
        assert!(matches!(error, StoreError::OtherLedger { .. }), "{error}");
    }

    #[test]
    fn zeros_after_a_power_cut_are_torn() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        log.append(b"first").unwrap();
        let end = log.end().unwrap();
        log.truncate(end + 600).unwrap();
        assert_eq!(read_all(&log).unwrap(), (vec![b"first".to_vec()], true));
    }
}
