//! The salts of records that were appended from a file.
//!
//! A record's salt is random, so signing the same line twice would make two
//! records. Each line's salt is therefore written beside the file, and is on
//! disk before the line is sent: whatever happens in between, appending the file
//! again makes the same records, which the ledger already holds.
//!
//! The salts of documents stand there too, each with the commitment that it made:
//! whoever has salt and file can show that the file is the record's, and a file
//! that has changed since is noticed before another record is made of it.
//!
//! Lines are known by a digest, which is keyed with random bytes at the head of the
//! file, so that no table of digests finds guesses of what is private in a line, and
//! two files do not show that they have a line in common. Whoever has the whole file
//! can still try guesses: it is to be removed where what is private is erased.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions, TryLockError},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quittance_ledger::{digest::Digest, record::FileCommitment};
use rand_core::{OsRng, RngCore as _};
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    keys::KeyError,
};

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// A line of the file is about 130 bytes.
const LINE_BYTES_MAX: usize = 1024;

/// The salts of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SaltsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("another append of the same file is running ({} is locked); wait for it", .0.display())]
    Locked(PathBuf),
    #[error("{}, line {line}: not a salt; without it records would be made twice, so put the file back from a copy, or remove it if nothing was appended yet", path.display())]
    Damaged { path: PathBuf, line: usize },
    #[error("{} was written by an earlier version, which kept digests of lines that anybody can try guesses on; this one does not go on with it. Move it away: lines that were appended with it would become other records, so leave only the others in the file that is appended", .0.display())]
    Unkeyed(PathBuf),
    #[error("{} was changed since its commitment was made, so it is another document; give it another name, or change the line that names it", .0.display())]
    Changed(PathBuf),
    #[error(transparent)]
    Randomness(#[from] KeyError),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Base64url of 32 random bytes.
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// SHA-256(key ‖ SHA-256 of the line's text).
    line: Digest,
    /// Base64url.
    salt: String,
    /// Of a document: SHA-256(salt ‖ file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment: Option<Digest>,
}

#[derive(Clone, Copy)]
struct Known {
    salt: [u8; SALT_BYTES],
    commitment: Option<Digest>,
}

/// The salts of one file, locked for this process.
pub(in crate::cli) struct Salts {
    path: PathBuf,
    file: File,
    key: [u8; KEY_BYTES],
    known: HashMap<Digest, Known>,
    unwritten: Vec<u8>,
    /// Whether the file's name is known to be on disk.
    named: bool,
}

impl Salts {
    /// The salts beside `input`, which may be none yet.
    pub(in crate::cli) fn open(input: &Path) -> Result<Self, SaltsError> {
        let path = files::beside(input, ".salts");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let file = options.open(&path).map_err(FileError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SaltsError::Locked(path)),
            Err(TryLockError::Error(error)) => {
                return Err(FileError::io("lock", path)(error).into());
            }
        }
        restrict(&file).map_err(FileError::io("protect", &path))?;
        let mut salts = Self {
            path,
            file,
            key: [0; KEY_BYTES],
            known: HashMap::new(),
            unwritten: Vec::new(),
            named: false,
        };
        if !salts.load()? {
            salts.key = random()?;
            salts.write(&Head { key: URL_SAFE_NO_PAD.encode(salts.key) })?;
        }
        Ok(salts)
    }

    /// Whether there is anything: a key at least.
    fn load(&mut self) -> Result<bool, SaltsError> {
        let failed = FileError::io("read", &self.path);
        let mut reader = BufReader::new(&self.file);
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut whole = 0_u64;
        let mut number = 0_usize;
        let read = loop {
            let mut line = Vec::new();
            match (&mut reader).take(limit).read_until(b'\n', &mut line) {
                Err(error) => break Err(error),
                Ok(0) => break Ok(()),
                Ok(length) => {
                    number = number.saturating_add(1);
                    let complete = line.last() == Some(&b'\n');
                    let bytes = u64::try_from(length).unwrap_or(0);
                    match (number, key_of(&line), parse(&line)) {
                        (1, Some(key), _) if complete => {
                            self.key = key;
                            whole = bytes;
                        }
                        (1, _, Some(_)) if complete => {
                            return Err(SaltsError::Unkeyed(self.path.clone()));
                        }
                        (2.., _, Some((digest, known))) if complete => {
                            self.known.insert(digest, known);
                            whole = whole.saturating_add(bytes);
                        }
                        // The end of a file that was being written when the
                        // machine stopped: nothing was sent with it.
                        _ if !complete && length < LINE_BYTES_MAX => break Ok(()),
                        _ => {
                            let path = self.path.clone();
                            return Err(SaltsError::Damaged { path, line: number });
                        }
                    }
                }
            }
        };
        let cut = read
            .and_then(|()| self.file.set_len(whole))
            .and_then(|()| (&self.file).seek(SeekFrom::End(0)));
        cut.map_err(failed)?;
        Ok(whole > 0)
    }

    /// How a line is written down, and found again: whoever has its digest, but not
    /// this file, cannot tell that it is that line's.
    fn keyed(&self, line: Digest) -> Digest {
        Digest::of(&[&self.key[..], line.as_bytes()].concat())
    }

    /// The salt of a line: the one it had before, or a new one.
    pub(in crate::cli) fn of_line(&mut self, line: Digest) -> Result<String, SaltsError> {
        let line = self.keyed(line);
        let salt = match self.known.get(&line) {
            Some(known) => known.salt,
            None => self.note(line, Known { salt: random()?, commitment: None })?,
        };
        Ok(URL_SAFE_NO_PAD.encode(salt))
    }

    /// Commits to the document that `key` stands for, with the salt it had
    /// before or a new one, and gives that salt too, in base64url. `commit` reads
    /// `file`.
    pub(in crate::cli) fn of_document(
        &mut self,
        key: Digest,
        file: &Path,
        commit: impl FnOnce(&[u8; SALT_BYTES]) -> Result<FileCommitment, FileError>,
    ) -> Result<(FileCommitment, String), SaltsError> {
        let key = self.keyed(key);
        let (made, salt) = match self.known.get(&key) {
            Some(Known { salt, commitment }) => {
                let made = commit(salt)?;
                if *commitment != Some(*made.commitment.digest()) {
                    return Err(SaltsError::Changed(file.to_owned()));
                }
                (made, *salt)
            }
            None => {
                let salt = random()?;
                let made = commit(&salt)?;
                let commitment = Some(*made.commitment.digest());
                (made, self.note(key, Known { salt, commitment })?)
            }
        };
        Ok((made, URL_SAFE_NO_PAD.encode(salt)))
    }

    fn note(&mut self, line: Digest, known: Known) -> Result<[u8; SALT_BYTES], SaltsError> {
        let Known { salt, commitment } = known;
        self.write(&Entry { line, salt: URL_SAFE_NO_PAD.encode(salt), commitment })?;
        self.known.insert(line, known);
        Ok(salt)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), SaltsError> {
        // Of texts there is always JSON.
        serde_json::to_writer(&mut self.unwritten, line)
            .map_err(|error| FileError::io("write", &self.path)(error.into()))?;
        self.unwritten.push(b'\n');
        Ok(())
    }

    /// Waits until every salt that was given out is on disk.
    pub(in crate::cli) fn sync(&mut self) -> Result<(), SaltsError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.unwritten).and_then(|()| self.file.sync_all());
        written.map_err(FileError::io("write", &self.path))?;
        if !self.named {
            // A new file is found again only once its folder is on disk, too.
            files::sync_folder(files::folder_of(&self.path))?;
            self.named = true;
        }
        self.unwritten.clear();
        Ok(())
    }
}

/// A salt for a record that is sent again within one run only: a node that is to
/// sign makes the same record of the same salt.
pub(in crate::cli) fn new_salt() -> Result<String, KeyError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<SALT_BYTES>()?))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], KeyError> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(bytes)
}

/// Keeps others than the owner from reading a file that may have been there before,
/// with another mode.
fn restrict(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o7777 != 0o600 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// The salts that made these commitments, from a file of salts. Lines that are
/// none are passed over: nothing is made of what is read here.
pub(in crate::cli) fn of_commitments(
    path: &Path,
    commitments: &HashSet<Digest>,
) -> Result<HashMap<Digest, [u8; SALT_BYTES]>, FileError> {
    let failed = || FileError::io("read", path);
    let mut reader = BufReader::new(File::open(path).map_err(failed())?);
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut found = HashMap::new();
    loop {
        let mut line = Vec::new();
        if (&mut reader).take(limit).read_until(b'\n', &mut line).map_err(failed())? == 0 {
            return Ok(found);
        }
        if let Some((_, Known { salt, commitment: Some(commitment) })) = parse(&line)
            && commitments.contains(&commitment)
        {
            found.insert(commitment, salt);
        }
    }
}

fn key_of(line: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let Head { key } = serde_json::from_slice(line).ok()?;
    URL_SAFE_NO_PAD.decode(key).ok()?.try_into().ok()
}

fn parse(line: &[u8]) -> Option<(Digest, Known)> {
    let Entry { line, salt, commitment } = serde_json::from_slice(line).ok()?;
    let salt = URL_SAFE_NO_PAD.decode(salt).ok()?.try_into().ok()?;
    Some((line, Known { salt, commitment }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::fs;

    use super::*;

    fn lines() -> [Digest; 3] {
        [b"one", b"two", b"six"].map(|line| Digest::of(line))
    }

    #[test]
    fn a_line_keeps_its_salt() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let mut salts = Salts::open(&input).unwrap();
        let [one, two, six] = lines();
        let first = salts.of_line(one).unwrap();
        assert_eq!(salts.of_line(one).unwrap(), first);
        assert_ne!(salts.of_line(two).unwrap(), first);
        salts.sync().unwrap();
        drop(salts);
        let mut salts = Salts::open(&input).unwrap();
        assert_eq!(salts.of_line(one).unwrap(), first);
        salts.of_line(six).unwrap();
        salts.sync().unwrap();
        drop(salts);
        assert_eq!(
            fs::read_to_string(folder.path().join("a.jsonl.salts")).unwrap().lines().count(),
            1 + 3
        );
    }

    #[test]
    fn a_file_that_was_cut_off_while_it_was_written_goes_on_after_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let [one, two, _] = lines();
        let mut salts = Salts::open(&input).unwrap();
        let (first, _) = (salts.of_line(one).unwrap(), salts.of_line(two).unwrap());
        salts.sync().unwrap();
        drop(salts);
        let path = folder.path().join("a.jsonl.salts");
        let whole = fs::read(&path).unwrap();
        let of_second = whole.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().len();
        for cut in 1..=of_second {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let mut salts = Salts::open(&input).unwrap();
            assert_eq!(salts.of_line(one).unwrap(), first);
            let again = salts.of_line(two).unwrap();
            salts.sync().unwrap();
            drop(salts);
            let mut salts = Salts::open(&input).unwrap();
            assert_eq!(salts.of_line(two).unwrap(), again);
        }
    }

    #[test]
    fn a_file_that_was_cut_off_in_its_head_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let path = folder.path().join("a.jsonl.salts");
        Salts::open(&input).unwrap().sync().unwrap();
        let head = fs::read(&path).unwrap();
        for cut in 1..=head.len() {
            fs::write(&path, &head[..head.len() - cut]).unwrap();
            let mut salts = Salts::open(&input).unwrap();
            let salt = salts.of_line(lines()[0]).unwrap();
            salts.sync().unwrap();
            drop(salts);
            assert_eq!(Salts::open(&input).unwrap().of_line(lines()[0]).unwrap(), salt);
        }
    }

    #[test]
    fn no_digest_of_a_line_stands_in_the_file_by_which_a_guess_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let line = Digest::of(b"Anna Rossi");
        let written = ["a.jsonl", "b.jsonl"].map(|name| {
            let mut salts = Salts::open(&folder.path().join(name)).unwrap();
            salts.of_line(line).unwrap();
            salts.sync().unwrap();
            let text = fs::read_to_string(folder.path().join(format!("{name}.salts"))).unwrap();
            let entry = text.lines().nth(1).unwrap().to_owned();
            serde_json::from_str::<Entry>(&entry).unwrap().line
        });
        assert!(written.iter().all(|written| *written != line));
        // Nor do two files show that they have a line in common.
        assert_ne!(written[0], written[1]);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let path = folder.path().join("a.jsonl.salts");
        let [line, commitment, _] = lines();
        let entry =
            Entry { line, salt: URL_SAFE_NO_PAD.encode([7; 16]), commitment: Some(commitment) };
        let old = format!("{}\n", serde_json::to_string(&entry).unwrap());
        fs::write(&path, &old).unwrap();
        assert!(matches!(Salts::open(&input), Err(SaltsError::Unkeyed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), old);
        // What it has of documents still shows what they are.
        let kept = of_commitments(&path, &HashSet::from([commitment])).unwrap();
        assert_eq!(kept[&commitment], [7; 16]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_could_read_is_theirs_no_more() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let path = folder.path().join("a.jsonl.salts");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Salts::open(&input).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let path = folder.path().join("a.jsonl.salts");
        for text in ["nonsense\n".to_owned(), "x".repeat(5000), "{}\n".to_owned()] {
            fs::write(&path, &text).unwrap();
            assert!(matches!(Salts::open(&input), Err(SaltsError::Damaged { line: 1, .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_appends_of_one_file_do_not_run_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.jsonl");
        let first = Salts::open(&input).unwrap();
        assert!(matches!(Salts::open(&input), Err(SaltsError::Locked(_))));
        drop(first);
        Salts::open(&input).unwrap();
    }
}
