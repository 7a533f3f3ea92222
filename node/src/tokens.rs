//! Making and revoking tokens of a node's API.
//!
//! They stand in the data folder, in a file that is replaced as a whole and that
//! a running node looks at twice a second: no command talks to the node.

use std::fs::File;

use jiff::Timestamp;
use quittance_api::access::{
    ListError, SECRET_BYTES, Scope, Token, TokenId, TokenList, TokenRecord, TokensError, read_list,
};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::{
    files::{self, FileError},
    keys::KeyError,
    layout::DataFolder,
};

/// The tokens could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The list cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The list cannot be changed so.
    #[error(transparent)]
    List(#[from] ListError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No source of randomness.
    #[error(transparent)]
    Randomness(#[from] KeyError),
    /// There is no such token.
    #[error("there is no token {0}; `quittance token list` shows those there are")]
    Unknown(TokenId),
}

/// Makes a token with these scopes, and gives it together with what is kept of
/// it, which is durable by then. Nobody can tell the token again.
///
/// # Errors
/// There are too many tokens, the label or the scopes are beyond their bounds, it
/// would be expired, or the system refuses. Nothing was changed then.
pub fn create(
    folder: &DataFolder,
    label: String,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
) -> Result<(Token, TokenRecord), TokenError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    OsRng.try_fill_bytes(&mut *secret).map_err(|error| KeyError::Randomness(error.to_string()))?;
    let token = Token::from_secret(&secret);
    let record = TokenRecord::new(&token, label, scopes, Timestamp::now(), expires_at)?;
    change(folder, |list| Ok(list.add(record.clone())?))?;
    Ok((token, record))
}

/// Takes a token back for good. One that was revoked before stays as it is.
///
/// # Errors
/// There is no such token, or the system refuses.
pub fn revoke(folder: &DataFolder, id: &TokenId) -> Result<TokenRecord, TokenError> {
    change(folder, |list| {
        let revoked = list.revoke(id, Timestamp::now());
        revoked.cloned().ok_or_else(|| TokenError::Unknown(id.clone()))
    })
}

/// The tokens there are; none where none was ever made.
///
/// # Errors
/// The list cannot be read.
pub fn list(folder: &DataFolder) -> Result<TokenList, TokenError> {
    Ok(read_list(&folder.tokens_path())?)
}

/// Changes the list, one command at a time. It is on the disk at the end.
fn change<T>(
    folder: &DataFolder,
    change: impl FnOnce(&mut TokenList) -> Result<T, TokenError>,
) -> Result<T, TokenError> {
    let root = folder.root();
    let held = File::open(root).map_err(FileError::io("open", root))?;
    held.lock().map_err(FileError::io("lock", root))?;
    let mut list = list(folder)?;
    let result = change(&mut list)?;
    files::replace_secret(&folder.tokens_path(), &list.to_json()?)?;
    files::sync_folder(root)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, os::unix::fs::PermissionsExt as _, thread};

    use super::*;

    fn read() -> Vec<Scope> {
        vec![Scope::Read]
    }

    #[test]
    fn commands_at_once_do_not_undo_each_other_and_only_the_owner_reads_the_list() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        let makers: Vec<_> = (0..8)
            .map(|number| {
                let folder = folder.clone();
                thread::spawn(move || create(&folder, number.to_string(), read(), None).unwrap().0)
            })
            .collect();
        let tokens: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        let ids: Vec<_> = list(&folder).unwrap().tokens().iter().map(TokenRecord::id).collect();
        assert_eq!(ids.len(), 8);
        assert!(tokens.iter().all(|token| ids.contains(&token.hash().id())));
        let file = fs::metadata(folder.tokens_path()).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
        // Nothing else is left in the folder.
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_fails_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        let (_, record) = create(&folder, String::new(), read(), None).unwrap();
        let before = fs::read(folder.tokens_path()).unwrap();
        let past = Some(Timestamp::UNIX_EPOCH);
        assert!(create(&folder, String::new(), read(), past).is_err());
        assert!(create(&folder, String::new(), Vec::new(), None).is_err());
        let unknown = "000000000000".parse().unwrap();
        assert!(matches!(revoke(&folder, &unknown), Err(TokenError::Unknown(_))));
        assert_eq!(fs::read(folder.tokens_path()).unwrap(), before);
        let revoked = revoke(&folder, &record.id()).unwrap();
        assert_eq!(revoke(&folder, &record.id()).unwrap(), revoked);
    }
}
