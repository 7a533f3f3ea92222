//! Days, periods of days, and moments, each in one spelling only.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer};

use super::values::{ValueError, read_as_text};

read_as_text! { Day Moment DayOrMoment }

/// A calendar day (ISO 8601, `2025-03-01`), counted in the contract's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// The day as a date.
    #[must_use]
    pub const fn date(self) -> Date {
        self.0
    }

    /// The day so many days later, or earlier for a negative number; none
    /// outside the calendar.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Option<Self> {
        self.0.checked_add(jiff::Span::new().try_days(days).ok()?).ok().map(Self)
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(date)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Day {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Some(text)
            .filter(|text| has_shape(text.as_bytes(), b"0000-00-00"))
            .and_then(|text| text.parse().ok())
            .map(Self)
            .ok_or(ValueError("must be a day written YYYY-MM-DD, such as 2025-03-01"))
    }
}

/// A point in time (RFC 3339 with seconds and offset, `2025-03-01T09:00:00+01:00`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Timestamp);

impl Moment {
    /// The moment as a timestamp.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Moment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Some(text)
            .filter(|text| is_rfc_3339(text.as_bytes()))
            .and_then(|text| text.parse().ok())
            .map(Self)
            .ok_or(ValueError(
                "must be a time with seconds and offset, such as 2025-03-01T09:00:00+01:00",
            ))
    }
}

/// Whether `text` has digits where `shape` has `0`, and else the same bytes.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, expected)| match expected {
            b'0' => byte.is_ascii_digit(),
            _ => byte == expected,
        })
}

/// RFC 3339 section 5.6, narrowed: upper-case `T` and `Z`, at most nine digits
/// of a second, no leap second. The parser that follows takes more spellings
/// than that, and one moment needs no second spelling.
fn is_rfc_3339(text: &[u8]) -> bool {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    let Some((date_time, rest)) = text.split_at_checked(DATE_TIME.len()) else { return false };
    if !has_shape(date_time, DATE_TIME) || date_time.get(17).is_none_or(|tens| *tens >= b'6') {
        return false;
    }
    let offset = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            match fraction.split_at_checked(digits) {
                Some((_, offset)) if (1..=9).contains(&digits) => offset,
                _ => return false,
            }
        }
    };
    match offset {
        b"Z" => true,
        [b'+' | b'-', hours @ .., _] if has_shape(hours, b"00:0") => {
            hours.get(..2).is_some_and(|hours| hours < b"24".as_slice())
                && hours.get(3).is_some_and(|tens| *tens < b'6')
                && offset.last().is_some_and(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// A day, or a moment of it: how long an offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOrMoment {
    /// To the end of that day.
    Day(Day),
    /// Up to that moment.
    Moment(Moment),
}

impl FromStr for DayOrMoment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self::Day)
            .or_else(|_| text.parse().map(Self::Moment))
            .map_err(|_| ValueError("must be a day such as 2025-03-01, or a time with offset"))
    }
}

/// Days from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "FromTo")]
pub struct Period {
    from: Day,
    to: Day,
}

impl Period {
    /// The first day.
    #[must_use]
    pub const fn from(&self) -> Day {
        self.from
    }

    /// The last day.
    #[must_use]
    pub const fn to(&self) -> Day {
        self.to
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromTo {
    from: Day,
    to: Day,
}

impl TryFrom<FromTo> for Period {
    type Error = ValueError;

    fn try_from(FromTo { from, to }: FromTo) -> Result<Self, ValueError> {
        if from <= to {
            Ok(Self { from, to })
        } else {
            Err(ValueError("must not end before it begins"))
        }
    }
}
