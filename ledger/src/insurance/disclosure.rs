//! What `disclosure.erased` says: whose private fields are gone, and on which
//! ground. Never what they were.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer};

use super::{
    ValueError,
    types::{Checked, data},
    values::read_as_text,
};
use crate::digest::RecordId;

/// The id of the record whose disclosures were erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedRef(RecordId);

impl ErasedRef {
    /// The record's id.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.0
    }
}

impl FromStr for ErasedRef {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError("must be a record id, 64 hexadecimal digits in lower case"))
    }
}

/// The ground on which disclosures are erased: 1 to 64 lower-case letters,
/// digits, `_`, `-` and `.`. It is for a reference to a law or the number of a
/// case, and is shown for ever. A name fits in as well (`anna.rossi`), which no
/// program can tell: that none stands there is for whoever erases to see to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Basis(Box<str>);

impl Basis {
    /// Characters of a ground, at most.
    pub const CHARS_MAX: usize = 64;

    /// The ground as it stands in a record.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Basis {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        if (1..=Self::CHARS_MAX).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(ValueError(
                "must be a code of 1 to 64 lower-case letters, digits, _, - and ., such as \
                 gdpr_17_1_b; never a name or a reason in words",
            ))
        }
    }
}

read_as_text! { ErasedRef Basis }

data! {
    /// `disclosure.erased`: the signer's node kept disclosures (RFC 9901) of a
    /// record and has erased them. Other nodes may keep theirs; each says so itself.
    DisclosureErased {
        /// The record whose disclosures they were.
        record: ErasedRef,
        /// The ground, such as `gdpr_17_1_b` (consent withdrawn) or
        /// `retention_ended`.
        basis: Basis,
    }
}

impl Checked for DisclosureErased {}
