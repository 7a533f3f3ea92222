//! What a record says about a file that stays off the ledger.

use serde::{Deserialize, Deserializer};

use crate::{
    digest::Digest,
    insurance::{Code, Count, ValueError, read_as_text},
};

/// A file that a record commits to without showing it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is, such as `invoice`.
    pub kind: Code,
    /// Its media type (RFC 6838), such as `application/pdf`.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: Count,
    /// SHA-256(16-byte salt ‖ file). The salt is a disclosure, so that nobody
    /// can try out files once it is erased.
    pub commitment: Commitment,
    /// HMAC-SHA-256(match key, file) under a key that members share: equal for
    /// the same file, whoever recorded it.
    #[serde(rename = "match")]
    pub match_tag: Option<Commitment>,
}

/// Thirty-two bytes that stand for a file, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment(Digest);

impl Commitment {
    /// The bytes as a digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl From<Digest> for Commitment {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl std::fmt::Display for Commitment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Commitment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError("must be 64 hexadecimal digits in lower case"))
    }
}

/// `type/subtype` of RFC 6838 section 4.2, without parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType(Code);

impl MediaType {
    /// The media type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl std::str::FromStr for MediaType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let restricted_name = |name: &str| {
            name.len() <= 127
                && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        text.split_once('/')
            .filter(|(kind, subkind)| restricted_name(kind) && restricted_name(subkind))
            .and_then(|_| text.parse().ok())
            .map(Self)
            .ok_or(ValueError("must be a media type such as application/pdf"))
    }
}

read_as_text! { Commitment MediaType }
