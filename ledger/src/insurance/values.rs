//! The kinds of value that insurance data is made of: amounts, numbers, names, texts.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::limits::{CODE_CHARS_MAX, INTEGER_MAX, TEXT_CHARS_MAX};

/// What an [`Amount`] asks its deserializer for, so that a negative number is
/// told apart from any other wrong value.
pub(crate) const AMOUNT_MARKER: &str = "amount";

/// What a value would have to be, as the end of a sentence that begins with its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) &'static str);

/// Reads a text through `parse`.
pub(crate) struct Parsed<F>(pub(crate) F);

impl<'de, T, E, F> Visitor<'de> for Parsed<F>
where
    E: fmt::Display,
    F: FnOnce(&str) -> Result<T, E>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<D: de::Error>(self, text: &str) -> Result<T, D> {
        (self.0)(text).map_err(D::custom)
    }
}

/// `Deserialize` by way of `FromStr`, for types that stand as texts.
macro_rules! read_as_text {
    ($($name:ty)*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::insurance::Parsed(str::parse::<$name>))
            }
        })*
    };
}
pub(crate) use read_as_text;

/// An amount of money in minor units (cents) of the `currency` beside it;
/// never negative and at most 2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many minor units, unless they are more than 2^53 − 1.
    #[must_use]
    pub const fn new(minor_units: u64) -> Option<Self> {
        if minor_units <= INTEGER_MAX { Some(Self(minor_units)) } else { None }
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor_units(self) -> u64 {
        self.0
    }

    /// The sum, unless it exceeds 2^53 − 1.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Two amounts are below 2^54, which fits.
        Self::new(self.0 + other.0)
    }

    /// The difference, unless it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The sum of all, unless it exceeds 2^53 − 1.
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

const AMOUNT: &str = "a whole number of cents (minor units), without quotes or a decimal point";

struct AmountVisitor;

impl<'de> Visitor<'de> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AMOUNT)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Amount, E> {
        Amount::new(value).ok_or_else(|| E::custom("must be at most 2^53 − 1 minor units"))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AMOUNT_MARKER, AmountVisitor)
    }
}

/// The currency of the amounts beside it (ISO 4217, three capital letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Every currency, by its number (ISO 4217), which has three digits.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1000).filter_map(iso_currency::Currency::from_numeric).map(Self)
    }

    /// Its three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many digits a minor unit stands behind the point: 2 for EUR, 0 for JPY.
    #[must_use]
    pub fn minor_digits(self) -> Option<u16> {
        self.0.exponent()
    }
}

impl FromStr for Currency {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let capitals = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        iso_currency::Currency::from_code(text)
            .filter(|_| capitals)
            .map(Self)
            .ok_or(ValueError("must be a currency code of ISO 4217 such as EUR or CHF"))
    }
}

/// A whole number from 1: a version, a round, an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(u64);

impl Ordinal {
    /// That number, unless it is 0 or more than 2^53 − 1.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number >= 1 && number <= INTEGER_MAX { Some(Self(number)) } else { None }
    }

    /// The number, from 1 to 2^53 − 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How many there are; none is a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(u64);

impl Count {
    /// The number, from 0 to 2^53 − 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

struct WholeNumber {
    least: u64,
    what: &'static str,
}

impl<'de> Visitor<'de> for WholeNumber {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        if (self.least..=INTEGER_MAX).contains(&value) {
            Ok(value)
        } else {
            Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }
    }
}

impl<'de> Deserialize<'de> for Ordinal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = WholeNumber { least: 1, what: "a whole number, counted from 1" };
        deserializer.deserialize_u64(what).map(Self)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = WholeNumber { least: 0, what: "a whole number that is not below zero" };
        deserializer.deserialize_u64(what).map(Self)
    }
}

/// Declares a text type with its own bounds.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let check: fn(&str) -> Result<(), ValueError> = $check;
                check(text).map(|()| Self(text.into()))
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

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// A code, name or number that programs compare: 1 to 128 characters, no
    /// control characters, no space at either end.
    Code,
    |text| {
        if text.is_empty() || text.chars().count() > CODE_CHARS_MAX {
            Err(ValueError("must have 1 to 128 characters"))
        } else if text.trim().len() != text.len() {
            Err(ValueError("must not begin or end with a space"))
        } else if text.chars().any(char::is_control) {
            Err(ValueError("must not hold control characters"))
        } else {
            Ok(())
        }
    }
}

text! {
    /// Free text for people: 1 to 1,000 characters, no control characters.
    Text,
    |text| {
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            Err(ValueError("must have 1 to 1,000 characters"))
        } else if text.chars().any(char::is_control) {
            Err(ValueError("must not hold control characters"))
        } else {
            Ok(())
        }
    }
}

text! {
    /// The way a one-time code travelled, such as `sms`. Never the code itself:
    /// a text without letters is refused, because a record is for ever.
    Channel,
    |text| {
        if text.parse::<Code>().is_ok() && text.chars().any(char::is_alphabetic) {
            Ok(())
        } else {
            Err(ValueError("must name the way the code was sent, such as sms, never the code"))
        }
    }
}

read_as_text! { Currency Code Text Channel }

/// What a changed property becomes: money, such as a ceiling, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmountOrText {
    /// An amount; a `currency` stands beside it.
    Amount(Amount),
    /// Anything else.
    Text(Text),
}

/// Whom or what the insurer names by a text or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrInteger {
    /// A text.
    Text(Text),
    /// A whole number within ±(2^53 − 1).
    Integer(i64),
}

struct AmountOrTextVisitor;

impl<'de> Visitor<'de> for AmountOrTextVisitor {
    type Value = AmountOrText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text, or {AMOUNT}")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<AmountOrText, E> {
        AmountVisitor.visit_u64(value).map(AmountOrText::Amount)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AmountOrText, E> {
        text.parse().map(AmountOrText::Text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for AmountOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AMOUNT_MARKER, AmountOrTextVisitor)
    }
}

struct TextOrIntegerVisitor;

impl<'de> Visitor<'de> for TextOrIntegerVisitor {
    type Value = TextOrInteger;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<TextOrInteger, E> {
        i64::try_from(value)
            .map(TextOrInteger::Integer)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<TextOrInteger, E> {
        Ok(TextOrInteger::Integer(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrInteger, E> {
        text.parse().map(TextOrInteger::Text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for TextOrInteger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrIntegerVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_currency_that_a_record_may_name_is_missing_among_all() {
        let all: Vec<&str> = Currency::all().map(Currency::code).collect();
        let letters = || 'A'..='Z';
        let codes = letters().flat_map(|first| {
            letters().flat_map(move |second| {
                letters().map(move |third| String::from_iter([first, second, third]))
            })
        });
        let known: Vec<String> = codes.filter(|code| code.parse::<Currency>().is_ok()).collect();
        for code in &known {
            assert!(all.contains(&code.as_str()), "{code}");
        }
        assert_eq!(all.len(), known.len());
    }
}
