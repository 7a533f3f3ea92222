//! Verifier keys of C2SP signed-note: who may sign or cosign a checkpoint.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a key of a note signs (C2SP signed-note, signature types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `0x01`: plain Ed25519 over the note's text. The log's own signature.
    Log,
    /// `0x04`: cosignature/v1, Ed25519 with a timestamp. A validator's.
    Cosigner,
}

impl KeyKind {
    /// The signature type byte.
    #[must_use]
    pub const fn type_byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Cosigner => 0x04,
        }
    }
}

/// A text is not a verifier key of a kind this ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierKeyError {
    /// Not `<name>+<8 hex digits>+<base64>`.
    #[error("not a vkey: expected <name>+<8 lower-case hex digits>+<base64>")]
    Format,
    /// Empty, or with a space, a plus or a control character.
    #[error("a key name is not empty and has no space, plus or control character")]
    Name,
    /// Not of type 0x01 or 0x04.
    #[error("a vkey of type 0x{0:02x}; only 0x01 (Ed25519) and 0x04 (cosignature/v1) are known")]
    Kind(u8),
    /// The key id does not belong to this name and key.
    #[error("the vkey's id does not belong to its name and key")]
    Id,
    /// No point of the curve, of small order, or not in its canonical encoding.
    #[error("the vkey's public key is not a usable Ed25519 key")]
    Key,
}

/// A named public key with its kind: `<name>+<key id>+<base64(type ‖ key)>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: VerifyingKey,
    key_id: u32,
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// # Errors
    /// The name is empty or holds a space, plus or control character; or the key
    /// is of small order, for which signatures mean nothing, or is encoded in a
    /// second way, so that equal keys would look different.
    pub fn new(
        name: impl Into<String>,
        kind: KeyKind,
        public: VerifyingKey,
    ) -> Result<Self, VerifierKeyError> {
        let name = name.into();
        if !signed_note::is_key_name_valid(&name) || name.chars().any(char::is_control) {
            return Err(VerifierKeyError::Name);
        }
        if public.is_weak() || public.to_edwards().compress().as_bytes() != public.as_bytes() {
            return Err(VerifierKeyError::Key);
        }
        let key_id = signed_note::key_id(&name, &encode(kind, &public));
        Ok(Self { name, kind, public, key_id })
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key itself.
    #[must_use]
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// SHA-256(name ‖ `\n` ‖ type ‖ key), its first four bytes as a big-endian number.
    #[must_use]
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }
}

/// The type byte, then the 32 bytes of the key.
fn encode(kind: KeyKind, public: &VerifyingKey) -> [u8; 33] {
    let mut encoded = [kind.type_byte(); 33];
    encoded[1..].copy_from_slice(public.as_bytes());
    encoded
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.key_id(),
            STANDARD.encode(encode(self.kind, &self.public))
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        // Base64 may hold a plus too, so the key is all that follows the second one.
        let (name, rest) = text.split_once('+').ok_or(VerifierKeyError::Format)?;
        let (id, key) = rest.split_once('+').ok_or(VerifierKeyError::Format)?;
        if id.len() != 8 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(VerifierKeyError::Format);
        }
        let id = u32::from_str_radix(id, 16).map_err(|_| VerifierKeyError::Format)?;
        let encoded = STANDARD.decode(key).map_err(|_| VerifierKeyError::Format)?;
        let (type_byte, public) = encoded.split_first().ok_or(VerifierKeyError::Format)?;
        let kind = match *type_byte {
            0x01 => KeyKind::Log,
            0x04 => KeyKind::Cosigner,
            other => return Err(VerifierKeyError::Kind(other)),
        };
        let public: &[u8; 32] = public.try_into().map_err(|_| VerifierKeyError::Format)?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| VerifierKeyError::Key)?;
        let key = Self::new(name, kind, public)?;
        if key.key_id() == id { Ok(key) } else { Err(VerifierKeyError::Id) }
    }
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
