//! The two signatures of a checkpoint: the log's (C2SP signed-note, type 0x01)
//! and a validator's (C2SP tlog-cosignature, type 0x04, cosignature/v1).

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey};

use super::{Checkpoint, KeyKind, VerifierKey, VerifierKeyError};
use crate::membership::Origin;

/// The latest POSIX time a cosignature may carry, in seconds: 2^63 − 1 (C2SP tlog-cosignature).
pub const COSIGNATURE_TIME_MAX_S: u64 = i64::MAX.cast_unsigned();

/// The bytes a cosigner signs: `cosignature/v1`, the time line, the checkpoint's body.
#[must_use]
pub fn cosignature_message(checkpoint: &Checkpoint, time_s: u64) -> Vec<u8> {
    message_of_text(checkpoint.body().as_bytes(), time_s)
}

pub(super) fn message_of_text(text: &[u8], time_s: u64) -> Vec<u8> {
    let mut message = format!("cosignature/v1\ntime {time_s}\n").into_bytes();
    message.extend_from_slice(text);
    message
}

/// Takes the bytes of a cosignature apart: eight of the time, big-endian, then the signature.
pub(super) fn split(bytes: &[u8]) -> Option<(u64, [u8; 64])> {
    let bytes: &[u8; 72] = bytes.try_into().ok()?;
    let (time, signature) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*time), signature.try_into().ok()?))
}

/// The bytes of a cosignature behind its key id.
pub(super) fn join(time_s: u64, signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = time_s.to_be_bytes().to_vec();
    bytes.extend_from_slice(signature);
    bytes
}

/// Whether `key`, a log's, signed this checkpoint and is named as its origin.
#[must_use]
pub fn verify_log_signature(
    key: &VerifierKey,
    checkpoint: &Checkpoint,
    signature: &[u8; 64],
) -> bool {
    key.kind() == KeyKind::Log
        && key.name() == checkpoint.origin.as_str()
        && key
            .public()
            .verify_strict(checkpoint.body().as_bytes(), &Signature::from_bytes(signature))
            .is_ok()
}

/// Whether `key`, a cosigner's, cosigned this checkpoint at this POSIX time.
#[must_use]
pub fn verify_cosignature(
    key: &VerifierKey,
    checkpoint: &Checkpoint,
    time_s: u64,
    signature: &[u8; 64],
) -> bool {
    key.kind() == KeyKind::Cosigner
        && time_s <= COSIGNATURE_TIME_MAX_S
        && key
            .public()
            .verify_strict(
                &cosignature_message(checkpoint, time_s),
                &Signature::from_bytes(signature),
            )
            .is_ok()
}

/// Signs the checkpoints that a node serves, under the ledger's name.
pub struct LogSigner {
    key: SigningKey,
    public: VerifierKey,
}

impl LogSigner {
    /// A signer for the ledger of that name.
    ///
    /// # Errors
    /// The key is of no use for signing; none that was drawn at random is.
    pub fn new(origin: &Origin, key: SigningKey) -> Result<Self, VerifierKeyError> {
        let public = VerifierKey::new(origin.as_str(), KeyKind::Log, key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The public part, for the genesis and for policies.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    /// The log's signature: Ed25519 over the checkpoint's body.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> [u8; 64] {
        self.key.sign(checkpoint.body().as_bytes()).to_bytes()
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogSigner").field(&self.public).finish()
    }
}

/// Cosigns checkpoints for a validator.
///
/// A cosignature says: as of this time, this is the largest tree of this ledger
/// that I saw, and it is consistent with all I saw before. The message does not
/// hold the cosigner's name, so one key belongs to one cosigner.
pub struct Cosigner {
    key: SigningKey,
    public: VerifierKey,
}

impl Cosigner {
    /// A cosigner of that name: `<origin>/<member>` on a ledger.
    ///
    /// # Errors
    /// The name is empty or holds a space, plus or control character.
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Self, VerifierKeyError> {
        let public = VerifierKey::new(name, KeyKind::Cosigner, key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The public part, for the genesis and for policies.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    /// The cosignature at this POSIX time in seconds. One later than
    /// [`COSIGNATURE_TIME_MAX_S`] verifies nowhere.
    #[must_use]
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> [u8; 64] {
        self.key.sign(&cosignature_message(checkpoint, time_s)).to_bytes()
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cosigner").field(&self.public).finish()
    }
}
