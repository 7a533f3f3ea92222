//! The key of the vault: 32 random bytes, in base64 on one line, readable by its
//! owner only.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::vault::VaultKey;
use zeroize::Zeroizing;

use super::{KeyError, PEM_BYTES_MAX, refuse_open_to_others};
use crate::files;

const FILE: &str = "vault.key";

/// The vault's key in the folder `keys`. It is made where there is none and the
/// folder `vault` is not there either: a vault without its key is an error, since
/// another key opens nothing of it.
///
/// # Errors
/// The key is missing, open to others, or none; or the system refuses.
pub fn open_vault_key(keys: &Path, vault: &Path) -> Result<VaultKey, KeyError> {
    let path = keys.join(FILE);
    if path.exists() {
        return load(&path);
    }
    if vault.join("slots").exists() {
        return Err(KeyError::Missing(path));
    }
    let key = VaultKey::generate().map_err(|error| KeyError::Randomness(error.to_string()))?;
    let mut text = Zeroizing::new(STANDARD.encode(key.as_bytes()));
    text.push('\n');
    files::create(&path, text.as_bytes(), true)?;
    // Before anything is sealed with it.
    files::sync_folder(keys)?;
    Ok(key)
}

fn load(path: &Path) -> Result<VaultKey, KeyError> {
    refuse_open_to_others(path)?;
    let text = Zeroizing::new(files::read(path, PEM_BYTES_MAX)?);
    let wrong = || KeyError::NotAVaultKey(path.to_owned());
    let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).map_err(|_| wrong())?);
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong())?;
    Ok(VaultKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_for_a_vault_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let vault = folder.path().join("vault");
        let made = open_vault_key(folder.path(), &vault).unwrap();
        let read = open_vault_key(folder.path(), &vault).unwrap();
        assert_eq!(made.as_bytes(), read.as_bytes());
        let path = folder.path().join(FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let open = open_vault_key(folder.path(), &vault);
            assert!(matches!(open, Err(KeyError::OpenToOthers { .. })));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        for wrong in ["", "AAAA", "not base64"] {
            fs::write(&path, wrong).unwrap();
            let opened = open_vault_key(folder.path(), &vault);
            assert!(matches!(opened, Err(KeyError::NotAVaultKey(_))), "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&vault).unwrap();
        fs::write(vault.join("slots"), "x").unwrap();
        let missing = open_vault_key(folder.path(), &vault);
        assert!(matches!(missing, Err(KeyError::Missing(_))));
    }
}
