//! The file of slots: one of 128 bytes for each record, written in place and
//! never moved. docs/FORMATS.md, "Vault", has the layout.
//!
//! The first byte of a slot says what it is and is written last, by itself: a
//! slot counts whole or not at all.

use std::{
    fs::{File, TryLockError},
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::{
    VaultError, VaultKey, files,
    seal::{CHECK_BYTES, RecordKey, WRAPPED_BYTES},
};
use crate::digest::{Digest, RecordId};

/// Bytes of a slot, and of what stands before the first.
const SLOT_BYTES: usize = 128;

/// Bytes of a digest of the record's own salt, by which a retry finds it.
pub(super) const SALT_TAG_BYTES: usize = 16;

const MAGIC: &[u8; 16] = b"quittance-vault1";

const ID: std::ops::Range<usize> = 4..36;
const SALT_TAG: std::ops::Range<usize> = 36..36 + SALT_TAG_BYTES;
const WRAPPED: std::ops::Range<usize> = SALT_TAG.end..SALT_TAG.end + WRAPPED_BYTES;
/// Of a tombstone: the record that says so. What stands before it is what stood
/// there before, so that a tombstone that is half written has it, too.
const ERASED_BY: std::ops::Range<usize> = SALT_TAG.end..SALT_TAG.end + 32;
/// The same, of a tombstone that has no digest of the salt.
const UNTAGGED_ERASED_BY: std::ops::Range<usize> = 36..68;

const FREE: u8 = 0;
const STAGED: u8 = 1;
const KEPT: u8 = 2;
/// A tombstone without a digest of the salt, as earlier versions wrote them.
const ERASED_UNTAGGED: u8 = 3;
const ERASED: u8 = 4;

type SlotBytes = [u8; SLOT_BYTES];

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotState {
    /// The record is not on the ledger yet, as far as the vault knows.
    Staged,
    /// The record is on the ledger.
    Kept,
    /// Its disclosures were erased; that record says so.
    Erased(RecordId),
}

/// A slot that is in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) state: SlotState,
    pub(super) salt_tag: [u8; SALT_TAG_BYTES],
}

/// What stands in the file when it is opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) used: Vec<(RecordId, Slot)>,
    pub(super) free: Vec<u64>,
    /// Slots that are in use and cannot be read.
    pub(super) damaged: usize,
}

/// The file, locked for this process.
#[derive(Debug)]
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    count: u64,
}

impl Slots {
    /// Opens the file, and makes it where it is not there and `may_be_new`.
    pub(super) fn open(
        path: &Path,
        key: &VaultKey,
        may_be_new: bool,
    ) -> Result<(Self, Found), VaultError> {
        let failed = |source| VaultError::io("open", path)(source);
        let file = files::open_or_create(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(VaultError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut slots = Self { file, path: path.to_owned(), count: 0 };
        // Nothing was ever put into a vault whose first bytes are not whole.
        if slots.file.metadata().map_err(failed)?.len() < SLOT_BYTES as u64 {
            if !may_be_new {
                let problem = "it is missing or cut off, while sealed files are there";
                return Err(VaultError::Damaged { path: path.to_owned(), problem });
            }
            let mut head: SlotBytes = [0; SLOT_BYTES];
            place(&mut head, 0..MAGIC.len(), MAGIC);
            place(&mut head, MAGIC.len()..MAGIC.len() + CHECK_BYTES, &key.check_mark()?);
            slots.overwrite(0, &head)?;
            return Ok((slots, Found::default()));
        }
        let found = slots.read(key)?;
        Ok((slots, found))
    }

    fn read(&mut self, key: &VaultKey) -> Result<Found, VaultError> {
        let mut reader = BufReader::new(&self.file);
        let failed = |source| VaultError::io("read", &self.path)(source);
        let mut bytes: SlotBytes = [0; SLOT_BYTES];
        reader.read_exact(&mut bytes).map_err(failed)?;
        if part(&bytes, 0..MAGIC.len()) != MAGIC {
            let problem = "it is no file of slots";
            return Err(VaultError::Damaged { path: self.path.clone(), problem });
        }
        if !key.made(part(&bytes, MAGIC.len()..MAGIC.len() + CHECK_BYTES)) {
            return Err(VaultError::WrongKey(self.path.clone()));
        }
        let mut found = Found::default();
        let mut unclean = Vec::new();
        let mut number = 0;
        loop {
            bytes = [0; SLOT_BYTES];
            if fill(&mut reader, &mut bytes).map_err(failed)? == 0 {
                break;
            }
            match parse(number, &bytes, key) {
                Parsed::Free { clean } => {
                    found.free.push(number);
                    if !clean {
                        unclean.push((number, [0; SLOT_BYTES]));
                    }
                }
                Parsed::Used { id, slot, clean } => {
                    if let (false, SlotState::Erased(by)) = (clean, slot.state) {
                        unclean.push((number, tombstone(&id, slot.salt_tag, &by)));
                    }
                    found.used.push((id, slot));
                }
                Parsed::Damaged => found.damaged = found.damaged.saturating_add(1),
            }
            number = number.saturating_add(1);
        }
        self.count = number;
        for (number, bytes) in unclean {
            self.overwrite(offset(number), &bytes)?;
        }
        Ok(found)
    }

    /// A place for one more slot at the end of the file.
    pub(super) const fn next_number(&self) -> u64 {
        self.count
    }

    /// Puts a record's key into slot `number`, which is free.
    pub(super) fn put(
        &mut self,
        number: u64,
        id: &RecordId,
        salt_tag: [u8; SALT_TAG_BYTES],
        wrapped: &[u8; WRAPPED_BYTES],
        state: SlotState,
    ) -> Result<Slot, VaultError> {
        let mut bytes: SlotBytes = [0; SLOT_BYTES];
        place(&mut bytes, ID, id.as_bytes());
        place(&mut bytes, SALT_TAG, &salt_tag);
        place(&mut bytes, WRAPPED, wrapped);
        self.overwrite(offset(number), &bytes)?;
        self.count = self.count.max(number.saturating_add(1));
        let slot = Slot { number, state, salt_tag };
        self.mark(number, state)?;
        Ok(slot)
    }

    /// Says what slot `number` is, without touching the rest of it.
    pub(super) fn mark(&self, number: u64, state: SlotState) -> Result<(), VaultError> {
        let byte = match state {
            SlotState::Staged => STAGED,
            SlotState::Kept => KEPT,
            SlotState::Erased(_) => ERASED,
        };
        self.overwrite(offset(number), &[byte])
    }

    /// The wrapped key in slot `number`, opened.
    pub(super) fn key(
        &self,
        id: &RecordId,
        slot: &Slot,
        key: &VaultKey,
    ) -> Result<RecordKey, VaultError> {
        use std::io::{Seek as _, SeekFrom};

        let mut bytes: SlotBytes = [0; SLOT_BYTES];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset(slot.number)))
            .and_then(|_| fill(&mut file, &mut bytes))
            .map_err(VaultError::io("read", &self.path))?;
        let damaged = || VaultError::Damaged {
            path: self.path.clone(),
            problem: "a slot does not open with the vault's key",
        };
        if part(&bytes, ID) != id.as_bytes() {
            return Err(damaged());
        }
        key.unwrap(part(&bytes, WRAPPED), id, part(&bytes, SALT_TAG)).ok_or_else(damaged)
    }

    /// Overwrites a slot: its key is gone, and a tombstone stands there.
    pub(super) fn bury(&self, slot: &Slot, id: &RecordId, by: &RecordId) -> Result<(), VaultError> {
        self.overwrite(offset(slot.number), &tombstone(id, slot.salt_tag, by))
    }

    /// Overwrites slot `number`: its key is gone, and it is free.
    pub(super) fn clear(&self, number: u64) -> Result<(), VaultError> {
        self.overwrite(offset(number), &[0; SLOT_BYTES])
    }

    fn overwrite(&self, offset: u64, bytes: &[u8]) -> Result<(), VaultError> {
        files::overwrite(&self.file, offset, bytes).map_err(VaultError::io("write", &self.path))
    }
}

/// The digest of a record's own salt by which its slot is found.
pub(super) fn salt_tag(salt: &[u8]) -> [u8; SALT_TAG_BYTES] {
    let digest = Digest::of(salt);
    let mut tag = [0; SALT_TAG_BYTES];
    tag.copy_from_slice(digest.as_bytes().split_at(SALT_TAG_BYTES).0);
    tag
}

enum Parsed {
    Free { clean: bool },
    Used { id: RecordId, slot: Slot, clean: bool },
    Damaged,
}

fn parse(number: u64, bytes: &SlotBytes, key: &VaultKey) -> Parsed {
    let id = |range| {
        let digest: Result<[u8; 32], _> = part(bytes, range).try_into();
        digest.ok().map(|digest| RecordId::from_digest(Digest::from_bytes(digest)))
    };
    let [state_byte, ..] = *bytes;
    let Some(record) = id(ID) else { return Parsed::Damaged };
    let mut tag = [0; SALT_TAG_BYTES];
    let state = match state_byte {
        FREE => return Parsed::Free { clean: bytes.iter().all(|byte| *byte == 0) },
        STAGED | KEPT => {
            if key.unwrap(part(bytes, WRAPPED), &record, part(bytes, SALT_TAG)).is_none() {
                return Parsed::Damaged;
            }
            tag.copy_from_slice(part(bytes, SALT_TAG));
            if state_byte == KEPT { SlotState::Kept } else { SlotState::Staged }
        }
        ERASED => {
            tag.copy_from_slice(part(bytes, SALT_TAG));
            match id(ERASED_BY) {
                Some(by) => SlotState::Erased(by),
                None => return Parsed::Damaged,
            }
        }
        ERASED_UNTAGGED => match id(UNTAGGED_ERASED_BY) {
            Some(by) => SlotState::Erased(by),
            None => return Parsed::Damaged,
        },
        _ => return Parsed::Damaged,
    };
    let clean = match state {
        // One that is whole stays as it is, for nothing is gained by writing it anew.
        SlotState::Erased(_) if state_byte == ERASED_UNTAGGED => {
            part(bytes, UNTAGGED_ERASED_BY.end..SLOT_BYTES).iter().all(|byte| *byte == 0)
        }
        SlotState::Erased(by) => *bytes == tombstone(&record, tag, &by),
        SlotState::Staged | SlotState::Kept => true,
    };
    Parsed::Used { id: record, slot: Slot { number, state, salt_tag: tag }, clean }
}

fn tombstone(id: &RecordId, salt_tag: [u8; SALT_TAG_BYTES], by: &RecordId) -> SlotBytes {
    let mut bytes: SlotBytes = [0; SLOT_BYTES];
    place(&mut bytes, 0..1, &[ERASED]);
    place(&mut bytes, ID, id.as_bytes());
    place(&mut bytes, SALT_TAG, &salt_tag);
    place(&mut bytes, ERASED_BY, by.as_bytes());
    bytes
}

fn offset(number: u64) -> u64 {
    number.saturating_add(1).saturating_mul(SLOT_BYTES as u64)
}

fn part(bytes: &SlotBytes, range: std::ops::Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

fn place(bytes: &mut SlotBytes, range: std::ops::Range<usize>, what: &[u8]) {
    if let Some(place) = bytes.get_mut(range)
        && place.len() == what.len()
    {
        place.copy_from_slice(what);
    }
}

/// As much as there is, up to the whole of `bytes`.
fn fill(reader: &mut impl std::io::Read, bytes: &mut SlotBytes) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        match reader.read(rest)? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Ok(filled)
}
