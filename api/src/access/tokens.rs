//! The tokens that a running node knows: the list in its data folder, read
//! again whenever it has changed.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    thread,
    time::{Duration, SystemTime},
};

use super::{
    list::{LIST_BYTES_MAX, ListError, TokenList, TokenRecord},
    token::{Token, TokenHash},
};

/// How often a node looks whether its tokens have changed. What was revoked is
/// refused within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);

/// The tokens of a node cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The system refuses.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("{} is open to others (mode {mode:04o}); close it with: chmod 600 {}", path.display(), path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no list of tokens.
    #[error("{}: {source}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ListError,
    },
    /// No thread could be started to look for changes.
    #[error("starting to look for changes of {}: {source}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What tells one state of a file from another. A list is replaced by a new
/// file, so even two changes within one tick of the clock differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode }
    }
}

type Known = HashMap<TokenHash, Arc<TokenRecord>>;

/// The tokens that a node knows. Only a thread of its own reads the disk.
#[derive(Debug, Default)]
pub struct Tokens {
    known: RwLock<Known>,
}

impl Tokens {
    /// No tokens at all, for ever.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// The tokens in the file at `path`, which need not exist yet; changes of it
    /// are taken up within a second, as long as this is held. Where the file
    /// cannot be read any more, no token is good until it can.
    ///
    /// # Errors
    /// The file is there but cannot be used, or no thread can be started.
    pub fn watch(path: PathBuf) -> Result<Arc<Self>, TokensError> {
        let (mut mark, known) = match read(&path)? {
            Some((mark, known)) => (Some(mark), known),
            None => (None, Known::new()),
        };
        let tokens = Arc::new(Self { known: RwLock::new(known) });
        let weak: Weak<Self> = Arc::downgrade(&tokens);
        let look = {
            let path = path.clone();
            move || {
                let mut failed = false;
                loop {
                    thread::sleep(LOOK_INTERVAL);
                    let Some(tokens) = weak.upgrade() else { return };
                    tokens.take_up(&path, &mut mark, &mut failed);
                }
            }
        };
        thread::Builder::new()
            .name("tokens".to_owned())
            .spawn(look)
            .map_err(|source| TokensError::Thread { path, source })?;
        Ok(tokens)
    }

    /// Reads the file again where it is another one than `mark` was made of.
    fn take_up(&self, path: &Path, mark: &mut Option<Mark>, failed: &mut bool) {
        if !*failed && is_unchanged(path, mark.as_ref()) {
            return;
        }
        let (next, known) = match read(path) {
            Ok(Some((next, known))) => (Some(next), known),
            Ok(None) => (None, Known::new()),
            Err(error) => {
                // Said once, tried again each time.
                if !*failed {
                    tracing::error!(%error, "no token is good until its list can be read");
                }
                *failed = true;
                self.replace(Known::new());
                return;
            }
        };
        *failed = false;
        *mark = next;
        tracing::info!(tokens = known.len(), "the tokens have changed");
        self.replace(known);
    }

    fn replace(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// What is known of a token, valid or not; none of one that the node never
    /// made.
    pub(super) fn find(&self, token: &Token) -> Option<Arc<TokenRecord>> {
        self.find_hash(&token.hash())
    }

    pub(super) fn find_hash(&self, hash: &TokenHash) -> Option<Arc<TokenRecord>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }
}

fn is_unchanged(path: &Path, mark: Option<&Mark>) -> bool {
    match std::fs::metadata(path) {
        Ok(metadata) => mark.is_some_and(|mark| *mark == Mark::of(&metadata)),
        Err(error) => error.kind() == io::ErrorKind::NotFound && mark.is_none(),
    }
}

/// Reads the list at `path`; none where there is no file.
fn read(path: &Path) -> Result<Option<(Mark, Known)>, TokensError> {
    let Some((mark, list)) = read_marked(path)? else { return Ok(None) };
    let known = list.into_tokens().into_iter().map(|token| (*token.hash(), Arc::new(token)));
    Ok(Some((mark, known.collect())))
}

fn read_marked(path: &Path) -> Result<Option<(Mark, TokenList)>, TokensError> {
    let failed = |source| TokensError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Of the open file: another one may have taken its name since.
    let metadata = file.metadata().map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TokensError::OpenToOthers { path: path.to_owned(), mode });
        }
    }
    let mut text = Vec::new();
    file.take(LIST_BYTES_MAX.saturating_add(1)).read_to_end(&mut text).map_err(failed)?;
    let list = if text.len() as u64 > LIST_BYTES_MAX {
        Err(ListError::Full)
    } else {
        TokenList::from_json(&text)
    };
    let list = list.map_err(|source| TokensError::List { path: path.to_owned(), source })?;
    Ok(Some((Mark::of(&metadata), list)))
}

/// Reads the list of tokens at `path`; an empty one where there is no file.
///
/// # Errors
/// The file cannot be read, or is no such list.
pub fn read_list(path: &Path) -> Result<TokenList, TokensError> {
    Ok(read_marked(path)?.map(|(_, list)| list).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

    use super::{super::scope::Scope, *};

    fn token(number: u8) -> Token {
        Token::from_secret(&[number; 32])
    }

    fn list(numbers: &[u8]) -> TokenList {
        let mut list = TokenList::default();
        for number in numbers {
            let now = jiff::Timestamp::now();
            let scopes = vec![Scope::Read];
            list.add(TokenRecord::new(&token(*number), String::new(), scopes, now, None).unwrap())
                .unwrap();
        }
        list
    }

    fn write(path: &Path, text: &[u8], mode: u32) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(60), "waited for: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn changes_of_the_file_are_taken_up_and_what_cannot_be_read_makes_no_token_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::watch(path.clone()).unwrap();
        assert!(tokens.find(&token(1)).is_none());
        write(&path, &list(&[1]).to_json().unwrap(), 0o600);
        wait_until("a first token", || tokens.find(&token(1)).is_some());
        write(&path, &list(&[1, 2]).to_json().unwrap(), 0o600);
        wait_until("a second token", || tokens.find(&token(2)).is_some());
        write(&path, b"{", 0o600);
        wait_until("a damaged list", || tokens.find(&token(1)).is_none());
        write(&path, &list(&[1]).to_json().unwrap(), 0o600);
        wait_until("a list that was put right", || tokens.find(&token(1)).is_some());
        assert!(tokens.find(&token(2)).is_none());
        fs::remove_file(&path).unwrap();
        wait_until("no list", || tokens.find(&token(1)).is_none());
    }

    #[test]
    fn a_list_that_others_can_read_or_that_is_none_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        write(&path, &list(&[1]).to_json().unwrap(), 0o640);
        let error = Tokens::watch(path.clone()).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
        write(&path, b"[]", 0o600);
        let error = Tokens::watch(path.clone()).unwrap_err().to_string();
        assert!(error.contains("tokens.json"), "{error}");
        write(&path, &vec![b' '; usize::try_from(LIST_BYTES_MAX).unwrap() + 1], 0o600);
        assert!(matches!(Tokens::watch(path), Err(TokensError::List { .. })));
    }
}
