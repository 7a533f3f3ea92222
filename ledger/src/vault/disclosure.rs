//! One private field: `[salt, name, value]` (RFC 9901, section 4.2.1).

use std::fmt;

use serde_json::Value;

use crate::{
    digest::Digest,
    limits::{CODE_CHARS_MAX, DISCLOSURE_BYTES_MAX},
    record::{
        Salt, encoding,
        json::{self, Json},
        path::Path,
    },
    refusal::{Code, Refusal},
};

/// Names that mean something else in a payload with digests (RFC 9901, sections
/// 4.2.1 and 4.2.4.2) and so are no names of private fields.
const RESERVED: [&str; 3] = ["_sd", "...", "_sd_alg"];

/// A private field of a record, with the salt that hides it. Its text is
/// base64url of the JSON list `[salt, name, value]`; a record holds the digest of
/// that text. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    text: Box<str>,
    salt: Salt,
    name: Box<str>,
    value: Value,
}

impl Disclosure {
    /// Makes one. The same salt, name and value give the same text.
    ///
    /// # Errors
    /// `malformed` or `too_large`: the name or the value is none that a
    /// disclosure may have.
    pub fn new(salt: &Salt, name: &str, value: &Value) -> Result<Self, Refusal> {
        let mut salt_text = String::new();
        encoding::encode_into(salt.as_bytes(), &mut salt_text);
        let json = serde_json::to_vec(&(salt_text, name, value))
            .map_err(|_| malformed("cannot be written as JSON"))?;
        let mut text = String::new();
        encoding::encode_into(&json, &mut text);
        Self::parse(&text)
    }

    /// Reads one, as strictly as a record: canonical base64url, I-JSON without
    /// floats and `null`, at most [`DISCLOSURE_BYTES_MAX`] characters, 16 to 64
    /// random bytes of salt in base64url. Digests inside the value (RFC 9901,
    /// section 4.2.6) are not taken: a private field is hidden whole.
    ///
    /// # Errors
    /// `malformed` or `too_large`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > DISCLOSURE_BYTES_MAX {
            let detail = format!(
                "disclosure has {} characters; a disclosure may have {DISCLOSURE_BYTES_MAX}",
                text.len()
            );
            return Err(Refusal::of_field(Code::TooLarge, "disclosure", detail));
        }
        let bytes = encoding::decode(text.as_bytes())
            .ok_or_else(|| malformed("must be canonical base64url without padding"))?;
        let path = Path::Payload;
        let items = json::parse_list(&bytes, &path.member("disclosure"))?;
        let [Json::Text(salt), Json::Text(name), value] = &*items else {
            return Err(malformed("must be a list of a salt, a name and a value"));
        };
        let salt = salt.parse().map_err(|error| malformed(&format!("has a salt that {error}")))?;
        if RESERVED.contains(&&**name) {
            return Err(malformed(&format!("must not be named {name}")));
        }
        if name.is_empty() || name.chars().count() > CODE_CHARS_MAX {
            return Err(malformed("must have a name of 1 to 128 characters"));
        }
        if holds_digests(value) {
            return Err(malformed("must not hold _sd or ... inside its value"));
        }
        let name = (**name).into();
        // It was read strictly just now, so every reader reads the same.
        let (_, _, value): (String, String, Value) = serde_json::from_slice(&bytes)
            .map_err(|_| malformed("must be a list of a salt, a name and a value"))?;
        Ok(Self { text: text.into(), salt, name, value })
    }

    /// Its text, as it stands in a presentation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The salt that hides it.
    #[must_use]
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The field's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field's value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// What a record holds of it: SHA-256 of the ASCII bytes of its text
    /// (RFC 9901, section 4.2.3).
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disclosure").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a digest stands in `_sd`: base64url, 43 characters.
pub(super) fn digest_text(digest: &Digest) -> String {
    let mut text = String::new();
    encoding::encode_into(digest.as_bytes(), &mut text);
    text
}

fn holds_digests(value: &Json<'_>) -> bool {
    match value {
        Json::Bool(_) | Json::Integer(_) | Json::Text(_) => false,
        Json::List(items) => items.iter().any(holds_digests),
        Json::Object(members) => members
            .iter()
            .any(|member| RESERVED.contains(&&*member.name) || holds_digests(&member.value)),
    }
}

pub(super) fn malformed(predicate: &str) -> Refusal {
    Refusal::of_field(Code::Malformed, "disclosure", format!("disclosure {predicate}"))
}
