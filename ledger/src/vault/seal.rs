//! Keys, and what is sealed with them: XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03) with random nonces of 24 bytes, so that no two
//! are ever the same.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use super::VaultError;
use crate::digest::RecordId;

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 24;

/// Bytes of the tag behind what is sealed.
pub(super) const TAG_BYTES: usize = 16;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// A record's key under the vault's: nonce, sealed key, tag.
pub(super) const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// Nothing sealed, to recognise the vault's key by: nonce and tag.
pub(super) const CHECK_BYTES: usize = NONCE_BYTES + TAG_BYTES;

const KEY_CHECK: &[u8] = b"quittance-vault-key/v1";
const SLOT: &[u8] = b"quittance-vault-slot/v1";
const SEALED: &[u8] = b"quittance-vault-sealed/v1";

/// The first byte of a sealed file.
const SEALED_VERSION: u8 = 1;

/// The key that wraps the key of each record. Wiped from memory when dropped.
#[derive(Clone)]
pub struct VaultKey(Zeroizing<[u8; KEY_BYTES]>);

/// The key of one record.
pub(super) struct RecordKey(Zeroizing<[u8; KEY_BYTES]>);

fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| VaultError::Randomness(error.to_string()))?;
    Ok(bytes)
}

/// Nonce and sealed message.
fn seal(key: &[u8; KEY_BYTES], message: &[u8], associated: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let cipher = XChaCha20Poly1305::new(key.into());
    let payload = Payload { msg: message, aad: associated };
    let sealed =
        cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| VaultError::Sealing)?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &[u8; KEY_BYTES], sealed: &[u8], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
    let payload = Payload { msg: sealed, aad: associated };
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt(XNonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
}

/// What a slot's key is bound to: it opens in a slot of that record only.
fn of_slot(id: &RecordId, salt_tag: &[u8]) -> Vec<u8> {
    [SLOT, id.as_bytes(), salt_tag].concat()
}

impl VaultKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Self, VaultError> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// A key from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, to be kept where nobody else reads.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn check_mark(&self) -> Result<[u8; CHECK_BYTES], VaultError> {
        seal(&self.0, b"", KEY_CHECK)?.try_into().map_err(|_| VaultError::Sealing)
    }

    pub(super) fn made(&self, check_mark: &[u8]) -> bool {
        open(&self.0, check_mark, KEY_CHECK).is_some_and(|message| message.is_empty())
    }

    pub(super) fn wrap(
        &self,
        key: &RecordKey,
        id: &RecordId,
        salt_tag: &[u8],
    ) -> Result<[u8; WRAPPED_BYTES], VaultError> {
        seal(&self.0, &key.0[..], &of_slot(id, salt_tag))?
            .try_into()
            .map_err(|_| VaultError::Sealing)
    }

    pub(super) fn unwrap(
        &self,
        wrapped: &[u8],
        id: &RecordId,
        salt_tag: &[u8],
    ) -> Option<RecordKey> {
        let bytes = open(&self.0, wrapped, &of_slot(id, salt_tag))?;
        let bytes: [u8; KEY_BYTES] = bytes.as_slice().try_into().ok()?;
        Some(RecordKey(Zeroizing::new(bytes)))
    }
}

impl std::fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultKey")
    }
}

impl RecordKey {
    pub(super) fn generate() -> Result<Self, VaultError> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes of the sealed file of record `id`.
    pub(super) fn seal(&self, message: &[u8], id: &RecordId) -> Result<Vec<u8>, VaultError> {
        let sealed = seal(&self.0, message, &[SEALED, id.as_bytes()].concat())?;
        Ok([&[SEALED_VERSION][..], &sealed].concat())
    }

    pub(super) fn open(&self, file: &[u8], id: &RecordId) -> Option<Zeroizing<Vec<u8>>> {
        match file.split_first()? {
            (&SEALED_VERSION, sealed) => open(&self.0, sealed, &[SEALED, id.as_bytes()].concat()),
            _ => None,
        }
    }
}
