//! The names of ledgers, members, keys and roles, parsed once.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text does not fit the name it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct NameError {
    text: String,
    what: &'static str,
}

impl NameError {
    /// `text`, of which the beginning is shown, is not `what`.
    pub(super) fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new(text, $what))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// A ledger's name, such as `ledger.example/quittance`: the origin of its
    /// checkpoints and the name of its log keys, so it follows the rules for
    /// key names of C2SP signed-note, narrowed to ASCII.
    Origin,
    "a ledger's origin: 1 to 128 ASCII letters, digits and any of . _ ~ / : @ -",
    |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/:@-".contains(&byte))
    }
}

name! {
    /// A member's id, such as `petexpert`.
    MemberId,
    "a member id: 1 to 64 lower-case ASCII letters, digits and any of . _ -",
    |text| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
            && !text.starts_with('.')
    }
}

name! {
    /// The id of one of a member's record keys, such as `1`.
    KeyId,
    "a key id: 1 to 64 ASCII letters, digits and any of . _ -",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }
}

/// What an organisation is on the ledger, which decides what it may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The carrier of contracts.
    Insurer,
    /// Distributes and administers contracts.
    Broker,
    /// Treats or repairs, and is paid directly: vet, garage, lawyer.
    Provider,
    /// Runs the signing ceremony.
    TrustService,
    /// Supervises; signs nothing about contracts.
    Regulator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Insurer, Self::Broker, Self::Provider, Self::TrustService, Self::Regulator];

    /// The role as it stands in files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insurer => "insurer",
            Self::Broker => "broker",
            Self::Provider => "provider",
            Self::TrustService => "trust_service",
            Self::Regulator => "regulator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            NameError::new(text, "a role: insurer, broker, provider, trust_service or regulator")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_note_a_kid_or_a_path_are_refused() {
        for bad in ["", "two words", "plus+sign", "line\nbreak", "ä.example", &"x".repeat(129)] {
            assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
        }
        for bad in ["", "Upper", "a/b", "a#b", "a b", "..", ".hidden", &"x".repeat(65)] {
            assert!(bad.parse::<MemberId>().is_err(), "{bad:?}");
        }
        for bad in ["", "a#b", "a/b", "ü"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_the_samples_are_taken() {
        for good in ["petexpert", "vet-1", "comp-it", "rs-de", "makler-1", "auto-fr"] {
            assert_eq!(good.parse::<MemberId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        assert!("ledger.example/quittance".parse::<Origin>().is_ok());
    }
}
