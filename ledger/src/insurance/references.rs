//! How records name a contract and a claim.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer};

use super::values::{ValueError, read_as_text};
use crate::{limits::CODE_CHARS_MAX, membership::MemberId};

const REFERENCE: ValueError =
    ValueError("must be <insurer>/<number>, such as petexpert/PX-1001, of printable characters");

/// `<insurer>/<number>`; the number is the insurer's own and may hold slashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Reference {
    text: Arc<str>,
    insurer_bytes: usize,
}

impl Reference {
    fn insurer(&self) -> &str {
        self.text.get(..self.insurer_bytes).unwrap_or_default()
    }

    fn number(&self) -> &str {
        self.text.get(self.insurer_bytes + 1..).unwrap_or_default()
    }
}

impl FromStr for Reference {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (insurer, number) = text.split_once('/').ok_or(REFERENCE)?;
        if insurer.parse::<MemberId>().is_ok() && is_number(number) {
            Ok(Self { text: text.into(), insurer_bytes: insurer.len() })
        } else {
            Err(REFERENCE)
        }
    }
}

/// 1 to 128 printable characters: what an eye cannot see or tell apart from
/// nothing has no place in a number that people compare.
fn is_number(text: &str) -> bool {
    let mut previous = ' ';
    let mut length = 0;
    for character in text.chars() {
        length += 1;
        let doubled_or_leading_space = character == ' ' && previous == ' ';
        let other_space = character != ' ' && character.is_whitespace();
        if doubled_or_leading_space || other_space || is_invisible(character) {
            return false;
        }
        previous = character;
    }
    previous != ' ' && (1..=CODE_CHARS_MAX).contains(&length)
}

/// Control characters, what Unicode draws as nothing (Default_Ignorable_Code_Point
/// in DerivedCoreProperties.txt), interlinear marks, and the blank Braille pattern.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Reference);

        impl $name {
            /// The whole reference, `<insurer>/<number>`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0.text
            }

            /// The member id of the insurer.
            #[must_use]
            pub fn insurer(&self) -> &str {
                self.0.insurer()
            }

            /// The insurer's own number.
            #[must_use]
            pub fn number(&self) -> &str {
                self.0.number()
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

reference! {
    /// A contract: `petexpert/PX-1001`.
    ContractRef
}

reference! {
    /// A claim: `petexpert/PX-C1`.
    ClaimRef
}

read_as_text! { ContractRef ClaimRef }

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_reference_is_an_insurer_and_its_number() {
        let contract: ContractRef = "rs-de/RS 77/88.99 ä".parse().unwrap();
        assert_eq!((contract.insurer(), contract.number()), ("rs-de", "RS 77/88.99 ä"));
        assert!(format!("a/{}", "9".repeat(128)).parse::<ContractRef>().is_ok());
    }

    #[test]
    fn numbers_that_an_eye_confuses_are_refused() {
        for bad in [
            "",
            "a",
            "a/",
            "/1",
            "A/1",
            "a/ 1",
            "a/1 ",
            "a/1  2",
            "a/1\u{a0}2",
            "a/1\t2",
            "a/1\n",
            "a/\u{200b}1",
            "a/1\u{202e}2",
            "a/1\u{fe0f}",
            "a/1\u{3164}",
            "a/1\u{34f}",
            "a/1\u{2800}",
            "a/\u{115f}1",
            "a/1\u{e0100}",
            "a/\u{feff}1",
            "a/\u{7f}",
            "a b/1",
        ] {
            assert!(bad.parse::<ContractRef>().is_err(), "{bad:?}");
        }
        assert!(format!("a/{}", "9".repeat(129)).parse::<ClaimRef>().is_err());
    }
}
