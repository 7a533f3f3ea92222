//! The receipts that stand beside an appended file.
//!
//! ```text
//! policy.jws       policy.tlog-proof       (policy.sd-jwt and policy.json, too)
//! policies.jsonl   policies.jsonl.receipts/<line>-<first 8 digits of the id>.tlog-proof
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use quittance_ledger::{
    digest::RecordId,
    limits::RECEIPT_BYTES_MAX,
    membership::Origin,
    transparency::{Policy, Receipt},
};

use super::{
    super::Failure,
    input::{Item, Kind},
};
use crate::files::{self, FileError};

const EXTENSION: &str = "tlog-proof";

/// The places of the receipts of one file.
pub(super) struct Receipts {
    place: Place,
    /// Receipts that stood there before, by line.
    kept: BTreeMap<usize, Vec<PathBuf>>,
}

enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Receipts {
    pub(super) fn of(input: &Path, kind: Kind) -> Result<Self, Failure> {
        let mut kept: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let place = match kind {
            Kind::Jws | Kind::Presentation | Kind::Json => {
                let path = input.with_extension(EXTENSION);
                if path.exists() {
                    kept.insert(1, vec![path.clone()]);
                }
                Place::File(path)
            }
            Kind::Lines => {
                let folder = files::beside(input, ".receipts");
                let entries = match fs::read_dir(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    entries => Some(entries.map_err(FileError::io("read", &folder))?),
                };
                for entry in entries.into_iter().flatten() {
                    let path = entry.map_err(FileError::io("read", &folder))?.path();
                    if let Some(line) = line_of(&path) {
                        kept.entry(line).or_default().push(path);
                    }
                }
                Place::Folder(folder)
            }
        };
        Ok(Self { place, kept })
    }

    /// Whether a valid receipt of this item is there already.
    pub(super) fn has(&self, item: &Item, policy: &Policy, origin: &Origin) -> bool {
        self.kept.get(&item.line).into_iter().flatten().any(|path| {
            files::read(path, RECEIPT_BYTES_MAX)
                .ok()
                .and_then(|bytes| Receipt::parse(&bytes).ok())
                .is_some_and(|receipt| {
                    item.is_of(&receipt, origin) && receipt.verify(policy).is_valid()
                })
        })
    }

    /// Makes sure that receipts can be written, before anything is sent.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        match &self.place {
            Place::Folder(folder) => Ok(files::create_folder(folder, false)?),
            // The one receipt that is there is of something else, and may be
            // the only proof of it that somebody has. An empty file proves nothing.
            Place::File(path) if path.metadata().is_ok_and(|found| found.len() > 0) => {
                Err(Failure::unusable(format_args!(
                    "{} is there already and is no valid receipt of this record on this ledger; \
                 move it away",
                    path.display()
                )))
            }
            Place::File(_) => Ok(()),
        }
    }

    /// Writes a receipt.
    pub(super) fn write(&self, line: usize, id: &RecordId, bytes: &[u8]) -> Result<(), FileError> {
        let path = match &self.place {
            Place::File(path) => path.clone(),
            Place::Folder(folder) => {
                folder.join(format!("{line}-{:.8}.{EXTENSION}", id.to_string()))
            }
        };
        files::replace(&path, bytes)
    }
}

fn line_of(path: &Path) -> Option<usize> {
    if path.extension()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn receipts_are_found_by_their_line() {
        assert_eq!(line_of(Path::new("x/12-0a1b2c3d.tlog-proof")), Some(12));
        for other in ["12-0a1b2c3d.txt", "x-0a1b2c3d.tlog-proof", "12.tlog-proof"] {
            assert_eq!(line_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_receipt_of_something_else_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jws");
        let proof = folder.path().join("a.tlog-proof");
        Receipts::of(&input, Kind::Jws).unwrap().prepare().unwrap();
        fs::write(&proof, "another").unwrap();
        let failure = Receipts::of(&input, Kind::Jws).unwrap().prepare().unwrap_err();
        assert!(failure.message.contains("a.tlog-proof"), "{}", failure.message);
        // Nor does an empty file, which a power cut may leave, stand in the way.
        fs::write(&proof, "").unwrap();
        Receipts::of(&input, Kind::Jws).unwrap().prepare().unwrap();
    }

    #[test]
    fn receipts_of_lines_stand_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let receipts = Receipts::of(&input, Kind::Lines).unwrap();
        receipts.prepare().unwrap();
        receipts.write(7, &RecordId::of(b"abc"), b"proof").unwrap();
        let path = folder.path().join("a.jsonl.receipts/7-ba7816bf.tlog-proof");
        assert_eq!(fs::read(path).unwrap(), b"proof");
        assert!(Receipts::of(&input, Kind::Lines).unwrap().kept.contains_key(&7));
    }
}
