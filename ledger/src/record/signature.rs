//! The only rules by which a record's signature is judged.
//!
//! A record's id is that of its bytes, the signature included, so a signature
//! that somebody else could respell would give one record two ids. Both
//! algorithms are therefore checked more strictly than their standards ask.

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;

use crate::{
    membership::{Algorithm, RecordPublicKey},
    refusal::{Code, Refusal},
};

/// Checks a signature of 64 bytes against the key that the header names, which
/// must be one of the header's `algorithm`.
pub(super) fn verify_signature(
    key: &RecordPublicKey,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8; 64],
) -> Result<(), Refusal> {
    let of_key = key.algorithm();
    if of_key != algorithm {
        let detail = format!(
            "the header says {algorithm}, but the key that it names signs with {of_key}; \
             sign with that key and write {of_key} as alg"
        );
        return Err(Refusal::of_field(Code::BadSignature, "header.alg", detail));
    }
    match key {
        RecordPublicKey::Ed25519(key) => verify_ed25519(key, signed, signature),
        RecordPublicKey::Es256(key) => verify_es256(key, signed, signature),
    }
}

/// Ed25519 (RFC 8032) without the cofactor, S and R in their canonical spelling,
/// neither R nor the key of small order, one signature at a time. Checking many
/// in a batch may judge crafted signatures otherwise.
fn verify_ed25519(key: &VerifyingKey, signed: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
    key.verify_strict(signed, &ed25519_dalek::Signature::from_bytes(signature))
        .map_err(|_| not_of_record_and_key())
}

/// ES256 (RFC 7518, section 3.4): r ‖ s, big-endian, both from 1 to n − 1, and
/// s at most (n − 1) / 2: with (r, s), (r, n − s) satisfies the equation too.
fn verify_es256(
    key: &p256::ecdsa::VerifyingKey,
    signed: &[u8],
    signature: &[u8; 64],
) -> Result<(), Refusal> {
    let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| {
        bad_signature(
            "r and s of an ES256 signature must be from 1 to n − 1, each in 32 bytes, big-endian",
        )
    })?;
    if signature.normalize_s().is_some() {
        return Err(bad_signature(
            "s of the ES256 signature is above (n − 1) / 2; replace s by n − s, which signs the \
             same, so that a record has one signature and one id",
        ));
    }
    key.verify(signed, &signature).map_err(|_| not_of_record_and_key())
}

fn not_of_record_and_key() -> Refusal {
    bad_signature(
        "the signature does not belong to this record and key; \
         the record was changed, or signed with another key",
    )
}

fn bad_signature(detail: &str) -> Refusal {
    Refusal::of_field(Code::BadSignature, "signature", detail)
}
