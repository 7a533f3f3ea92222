//! The match key that members share out of band: 32 bytes in base64, on one line.

use std::path::Path;

use quittance_ledger::record::MatchKey;
use zeroize::Zeroizing;

use super::{KeyError, PEM_BYTES_MAX, random_bytes, refuse_open_to_others};
use crate::files;

/// Makes a match key and writes it to a new file that only its owner may read.
///
/// # Errors
/// The file is there already, or the system refuses.
pub fn create_match_key(path: &Path) -> Result<(), KeyError> {
    let mut text = MatchKey::from_bytes(*random_bytes()?).to_text();
    text.push('\n');
    super::create_pem(path, &text)
}

/// Reads a match key.
///
/// # Errors
/// The file cannot be read, is open to others, or holds no match key.
pub fn load_match_key(path: &Path) -> Result<MatchKey, KeyError> {
    refuse_open_to_others(path)?;
    let bytes = Zeroizing::new(files::read(path, PEM_BYTES_MAX)?);
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| KeyError::NotAMatchKey(path.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_match_key_that_was_made_loads_again_and_another_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("match.key");
        create_match_key(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(load_match_key(&path).unwrap().to_text().as_str(), text.trim());
        assert!(matches!(create_match_key(&path), Err(KeyError::Exists(_))));
        let other = folder.path().join("other.key");
        files::create(&other, b"c2hvcnQ=", true).unwrap();
        assert!(matches!(load_match_key(&other), Err(KeyError::NotAMatchKey(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_match_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("match.key");
        create_match_key(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_match_key(&path), Err(KeyError::OpenToOthers { .. })));
    }
}
