//! The public keys that members sign records with: Ed25519, or P-256 for ES256.
//!
//! Hardware modules, smart cards and .NET often have no Ed25519, and all have
//! ECDSA with P-256. Only record keys may be of it; what a node signs with
//! itself (network, consensus, log, cosigner) is Ed25519.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;

use super::{KeyId, names::NameError};

/// The bytes of a P-256 point in compressed form (SEC 1, section 2.3.3).
const COMPRESSED_BYTES: usize = 33;

/// How a key signs records: the `alg` beside it in the genesis and in
/// `member.proposed`, and in the header of what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032; as a JOSE algorithm RFC 9864).
    Ed25519,
    /// ECDSA with P-256 and SHA-256 (RFC 7518, section 3.4).
    Es256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Es256];

    /// The algorithm as it stands in files, records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Es256 => "ES256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| NameError::new(text, "an algorithm of record keys: Ed25519 or ES256"))
    }
}

/// A text is no public key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordPublicKeyError(&'static str);

/// The public half of a record key. Its text is base64 (RFC 4648, section 4) of
/// 32 bytes for Ed25519 (RFC 8032, section 5.1.5) or of 33 bytes for ES256, the
/// compressed point of SEC 1, section 2.3.3. One key has one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPublicKey {
    /// Verifies Ed25519.
    Ed25519(VerifyingKey),
    /// Verifies ES256: a point of P-256 that is not the one at infinity.
    Es256(p256::ecdsa::VerifyingKey),
}

impl RecordPublicKey {
    /// What it verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    /// Whether everybody knows a signature of it for every message. P-256 has
    /// no such points, since its group is of prime order.
    pub(super) fn is_weak(&self) -> bool {
        match self {
            Self::Ed25519(key) => key.is_weak(),
            Self::Es256(_) => false,
        }
    }

    fn es256(bytes: &[u8; COMPRESSED_BYTES]) -> Result<Self, RecordPublicKeyError> {
        // 0x05 would be the compact form, which has as many bytes.
        if !matches!(bytes, [2 | 3, ..]) {
            return Err(RecordPublicKeyError(
                "a P-256 public key begins with the byte 2 or 3 (a compressed point)",
            ));
        }
        p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
            .map(Self::Es256)
            .map_err(|_| RecordPublicKeyError("the public key is no point of P-256"))
    }
}

impl fmt::Display for RecordPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Ed25519(key) => STANDARD.encode(key),
            Self::Es256(key) => STANDARD.encode(key.to_encoded_point(true)),
        })
    }
}

impl FromStr for RecordPublicKey {
    type Err = RecordPublicKeyError;

    fn from_str(text: &str) -> Result<Self, RecordPublicKeyError> {
        // An uncompressed point, the longest that people try, has 88 characters.
        let bytes = if text.len() <= 128 { STANDARD.decode(text).ok() } else { None };
        let bytes = bytes.ok_or(RecordPublicKeyError("the public key is not base64"))?;
        if let Ok(bytes) = <&[u8; 32]>::try_from(&*bytes) {
            return VerifyingKey::from_bytes(bytes)
                .map(Self::Ed25519)
                .map_err(|_| RecordPublicKeyError("the public key is no Ed25519 point"));
        }
        <&[u8; COMPRESSED_BYTES]>::try_from(&*bytes)
            .map_err(|_| {
                RecordPublicKeyError(
                    "a public key has 32 bytes for Ed25519, or 33 for ES256 (a compressed point)",
                )
            })
            .and_then(Self::es256)
    }
}

impl From<VerifyingKey> for RecordPublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self::Ed25519(key)
    }
}

impl From<p256::ecdsa::VerifyingKey> for RecordPublicKey {
    fn from(key: p256::ecdsa::VerifyingKey) -> Self {
        Self::Es256(key)
    }
}

/// A key that a member signs records with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// Its name among the member's keys: the part of `kid` after `#`.
    pub id: KeyId,
    /// The public key.
    pub public: RecordPublicKey,
}

/// What tells public keys of any purpose apart: the kind of key, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyIdentity([u8; COMPRESSED_BYTES]);

impl From<&VerifyingKey> for KeyIdentity {
    fn from(key: &VerifyingKey) -> Self {
        // A compressed point of P-256 begins with 2 or 3.
        let mut identity = [0; COMPRESSED_BYTES];
        if let Some((_, bytes)) = identity.split_first_mut() {
            bytes.copy_from_slice(key.as_bytes());
        }
        Self(identity)
    }
}

impl From<&RecordPublicKey> for KeyIdentity {
    fn from(key: &RecordPublicKey) -> Self {
        match key {
            RecordPublicKey::Ed25519(key) => key.into(),
            RecordPublicKey::Es256(key) => {
                let mut identity = [0; COMPRESSED_BYTES];
                let point = key.to_encoded_point(true);
                for (to, from) in identity.iter_mut().zip(point.as_bytes()) {
                    *to = *from;
                }
                Self(identity)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    /// RFC 7515, appendix A.3.1: the public key of the example of ES256.
    const X: &str = "7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445";
    const Y: &str = "c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad";

    fn base64_of(hex: &str) -> String {
        STANDARD.encode(hex::decode(hex).unwrap())
    }

    #[test]
    fn one_key_has_one_text() {
        // Y is odd.
        let text = base64_of(&format!("03{X}"));
        let key: RecordPublicKey = text.parse().unwrap();
        assert_eq!((key.algorithm(), key.to_string()), (Algorithm::Es256, text));
        let RecordPublicKey::Es256(point) = key else { panic!("33 bytes are ES256") };
        assert_eq!(hex::encode(point.to_encoded_point(false)), format!("04{X}{Y}"));
        for (other, says) in [
            (format!("04{X}{Y}"), "33 for ES256"),
            (format!("06{X}{Y}"), "33 for ES256"),
            (format!("05{X}"), "byte 2 or 3"),
            (format!("04{X}"), "byte 2 or 3"),
            (format!("00{X}"), "byte 2 or 3"),
            (format!("03{X}00"), "33 for ES256"),
            (String::new(), "33 for ES256"),
        ] {
            let error = base64_of(&other).parse::<RecordPublicKey>().unwrap_err().to_string();
            assert!(error.contains(says), "{other}: {error}");
        }
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_no_key() {
        // The field's prime p, and p + 5, are second spellings of x = 0 and
        // x = 5, which are points; x = 1 has no y.
        const PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
        const AFTER: &str = "ffffffff00000001000000000000000000000001000000000000000000000004";
        for x in [0, 5] {
            assert!(base64_of(&format!("02{x:064x}")).parse::<RecordPublicKey>().is_ok(), "{x}");
        }
        for (what, hex) in [
            ("p", format!("02{PRIME}")),
            ("p + 5", format!("02{AFTER}")),
            ("above all", format!("03{}", "ff".repeat(32))),
            ("infinity", "00".to_owned()),
            ("infinity, filled up", "00".repeat(33)),
            ("an x without a y", format!("02{:064x}", 1)),
        ] {
            assert!(base64_of(&hex).parse::<RecordPublicKey>().is_err(), "{what}");
        }
    }

    #[test]
    fn respelled_base64_is_no_key() {
        let text = base64_of(&format!("03{X}"));
        for wrong in [
            format!("{text}\n"),
            format!("{text}="),
            text.replace('/', "_").replace('+', "-"),
            text[..43].to_owned(),
            "A".repeat(1 << 20),
        ] {
            assert!(wrong.parse::<RecordPublicKey>().is_err(), "{wrong:.50}");
        }
        assert!(text.contains(['/', '+']), "else a spelling above is the key's own");
    }

    #[test]
    fn keys_of_two_kinds_are_never_the_same() {
        let key = VerifyingKey::default();
        let of: RecordPublicKey = key.into();
        assert_eq!(KeyIdentity::from(&key), KeyIdentity::from(&of));
        let point: RecordPublicKey = base64_of(&format!("03{X}")).parse().unwrap();
        let mirrored: RecordPublicKey = base64_of(&format!("02{X}")).parse().unwrap();
        assert_ne!(KeyIdentity::from(&point), KeyIdentity::from(&mirrored));
        assert_ne!(KeyIdentity::from(&point), KeyIdentity::from(&key));
    }
}
