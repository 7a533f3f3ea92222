//! Record keys: Ed25519, or P-256 for members whose hardware or software has no
//! Ed25519. Both stand in PKCS#8 PEM, as OpenSSL writes them.

use std::path::{Path, PathBuf};

use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _,
        spki::der::pem::LineEnding,
    },
};
use p256::ecdsa;
use quittance_ledger::{
    membership::{Algorithm, RecordPublicKey},
    record::RecordSecretKey,
};
use zeroize::Zeroizing;

use super::{
    KeyError, create_pem, generate, random_bytes, read_pem, refuse_open_to_others, to_pem,
};

/// A new key from the system's randomness.
///
/// # Errors
/// The system has none.
pub fn generate_record(algorithm: Algorithm) -> Result<RecordSecretKey, KeyError> {
    Ok(match algorithm {
        Algorithm::Ed25519 => generate()?.into(),
        // One number in 2^32 is not below the order of the group.
        Algorithm::Es256 => loop {
            let secret = random_bytes()?;
            if let Ok(key) = ecdsa::SigningKey::from_slice(secret.as_ref()) {
                break key.into();
            }
        },
    })
}

/// The key as PKCS#8 PEM.
///
/// # Errors
/// Never for a key of these kinds; kept so that no caller has to panic.
pub fn record_to_pem(key: &RecordSecretKey) -> Result<Zeroizing<String>, KeyError> {
    match key {
        RecordSecretKey::Ed25519(key) => to_pem(key),
        RecordSecretKey::Es256(key) => {
            key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotARecordKey(PathBuf::new()))
        }
    }
}

/// Writes a key to a new file that only its owner may read.
///
/// # Errors
/// The file is there already, or the system refuses.
pub fn save_record(path: &Path, key: &RecordSecretKey) -> Result<(), KeyError> {
    create_pem(path, &record_to_pem(key)?)
}

/// Reads a secret key.
///
/// # Errors
/// The file cannot be read, is open to others, or holds no such key.
pub fn load_record(path: &Path) -> Result<RecordSecretKey, KeyError> {
    refuse_open_to_others(path)?;
    let text = read_pem(path)?;
    let text = text.as_deref().map_or("", String::as_str).trim();
    if let Ok(key) = SigningKey::from_pkcs8_pem(text) {
        return Ok(key.into());
    }
    ecdsa::SigningKey::from_pkcs8_pem(text)
        .map(RecordSecretKey::from)
        .map_err(|_| KeyError::NotARecordKey(path.to_owned()))
}

/// The public key of a PEM file that holds a secret or a public key.
///
/// # Errors
/// As [`load_record`]; a file with only a public key may be open to all.
pub fn load_record_public(path: &Path) -> Result<RecordPublicKey, KeyError> {
    if let Some(text) = read_pem(path)? {
        let text = text.trim();
        if let Ok(key) = VerifyingKey::from_public_key_pem(text) {
            return Ok(key.into());
        }
        if let Ok(key) = ecdsa::VerifyingKey::from_public_key_pem(text) {
            return Ok(key.into());
        }
    }
    load_record(path).map(|key| key.public())
}
