//! The moment that a view is asked for.

use std::str::FromStr;

use jiff::{Timestamp, tz::TimeZone};

use super::{shown, time::end_of_day};
use crate::insurance::{Day, Moment, ValueError};

/// What a view is to show, as it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// What the ledger holds now.
    #[default]
    Now,
    /// What had happened by that moment, as the ledger knows it today.
    Time(Timestamp),
    /// What had happened by the end of that day, in the contract's time zone.
    Day(Day),
    /// What the ledger held after that block.
    Height(u64),
}

impl FromStr for At {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        const SHAPES: ValueError = ValueError(
            "must be a time with offset such as 2025-09-01T15:00:00+02:00, a day such as \
             2025-09-01, or a block's height, from 1",
        );
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(height) if height > 0 => Ok(Self::Height(height)),
                _ => Err(SHAPES),
            };
        }
        text.parse::<Day>()
            .map(Self::Day)
            .or_else(|_| text.parse::<Moment>().map(|moment| Self::Time(moment.timestamp())))
            .map_err(|_| SHAPES)
    }
}

impl At {
    /// The moment that is meant, where `now` is the present and days are those
    /// of `zone`. `block_time` is the time of the block that is named; none
    /// where a height is asked for and the ledger has no such block.
    #[must_use]
    pub fn resolve(
        self,
        now: Timestamp,
        zone: &TimeZone,
        block_time: Option<Timestamp>,
    ) -> Option<AsOf> {
        Some(match self {
            Self::Now => AsOf::Now(now),
            Self::Time(time) => AsOf::Time(time),
            Self::Day(day) => AsOf::Time(end_of_day(day.date(), zone)),
            Self::Height(height) => AsOf::Height { height, time: block_time? },
        })
    }
}

/// The moment of a view.
///
/// There are two times in an audit ledger. *Valid time* is when something
/// happened (`occurred_at`); *ledger time* is when the ledger learned of it (the
/// block). A past time asks about valid time with today's knowledge: a payment of
/// May that was recorded in July had happened in May. A height asks what anybody
/// could have known then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Everything on the ledger; deadlines are judged at this time.
    Now(Timestamp),
    /// What the ledger knows today about what had happened by then.
    Time(Timestamp),
    /// What the ledger held after that block.
    Height {
        /// The last block that counts.
        height: u64,
        /// The time of that block, at which deadlines are judged.
        time: Timestamp,
    },
}

impl AsOf {
    /// The time at which holds, days left and deadlines are judged.
    #[must_use]
    pub const fn time(self) -> Timestamp {
        match self {
            Self::Now(time) | Self::Time(time) | Self::Height { time, .. } => time,
        }
    }

    /// Whether a record in block `height` about what happened `at` that moment counts.
    #[must_use]
    pub fn lets_pass(self, height: u64, at: Timestamp) -> bool {
        match self {
            Self::Now(_) => true,
            Self::Time(time) => at <= time,
            Self::Height { height: last, .. } => height <= last,
        }
    }
}

shown! {
    /// The moment of a view, as it is shown with it.
    AsOfShown {
        /// The time at which holds, days left and deadlines are judged.
        time: Timestamp,
        /// The last block that counts; null where every block does.
        height: Option<u64>,
        /// Whether only what had happened by `time` counts.
        past: bool,
    }
}

impl From<AsOf> for AsOfShown {
    fn from(as_of: AsOf) -> Self {
        let (height, past) = match as_of {
            AsOf::Now(_) => (None, false),
            AsOf::Time(_) => (None, true),
            AsOf::Height { height, .. } => (Some(height), false),
        };
        Self { time: as_of.time(), height, past }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{super::time_zone, *};

    #[test]
    fn a_moment_is_a_time_a_day_or_a_height() {
        assert_eq!("7".parse(), Ok(At::Height(7)));
        assert!(matches!("2025-09-01".parse(), Ok(At::Day(_))));
        assert!(matches!("2025-09-01T15:00:00+02:00".parse(), Ok(At::Time(_))));
        for bad in ["", "0", "-1", "2025-09-01T15:00:00", "yesterday", "99999999999999999999"] {
            assert!(bad.parse::<At>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_ends_on_the_clocks_of_the_contract() {
        let zone = time_zone("Europe/Brussels").unwrap();
        let at: At = "2025-09-01".parse().unwrap();
        let as_of = at.resolve(Timestamp::UNIX_EPOCH, &zone, None).unwrap();
        assert_eq!(as_of.time().to_string(), "2025-09-01T21:59:59.999999999Z");
        assert_eq!(At::Height(3).resolve(Timestamp::UNIX_EPOCH, &zone, None), None);
    }
}
