//! Days on the clocks of a contract.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{insurance::rules, membership::Membership};

pub use crate::time_zones::time_zone;

/// Where neither contract nor insurer names a time zone (DOMAIN).
pub const DEFAULT_TIME_ZONE: &str = rules::TIME_ZONE;

/// The time zone of an insurer, by whose clocks the rules count its days.
#[must_use]
pub fn zone_of_insurer(membership: &Membership, insurer: &str) -> TimeZone {
    time_zone(rules::time_zone_of_insurer(membership, insurer)).unwrap_or(TimeZone::UTC)
}

/// The day of a moment on the clocks of a time zone.
#[must_use]
pub fn day_of(moment: Timestamp, zone: &TimeZone) -> Date {
    zone.to_datetime(moment).date()
}

/// The first moment of a day on those clocks; where they skip midnight, the
/// first moment there is.
#[must_use]
pub fn start_of_day(day: Date, zone: &TimeZone) -> Timestamp {
    day.to_zoned(zone.clone())
        .and_then(|midnight| midnight.start_of_day())
        .map_or(Timestamp::MAX, |start| start.timestamp())
}

/// The last moment of a day on those clocks, to the nanosecond.
#[must_use]
pub fn end_of_day(day: Date, zone: &TimeZone) -> Timestamp {
    day.tomorrow()
        .ok()
        .map(|next| start_of_day(next, zone))
        .and_then(|next| next.checked_sub(jiff::SignedDuration::from_nanos(1)).ok())
        .unwrap_or(Timestamp::MAX)
}

/// How many days later `to` is than `from`; negative where it is earlier.
#[must_use]
pub fn days_between(from: Date, to: Date) -> i64 {
    // Days of the calendar differ by far less than an i64 holds.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// The day so many days after a moment's, to its last moment.
pub(super) fn end_of_day_after(from: Timestamp, days: i32, zone: &TimeZone) -> Timestamp {
    jiff::Span::new()
        .try_days(days)
        .and_then(|span| day_of(from, zone).checked_add(span))
        .map_or(Timestamp::MAX, |day| end_of_day(day, zone))
}

/// So many hours after a moment.
pub(super) fn hours_after(from: Timestamp, hours: i64) -> Timestamp {
    from.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX)
}

/// A moment in milliseconds since the Unix epoch.
pub(super) fn timestamp_of_ms(time_ms: u64) -> Timestamp {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_day_has_23_or_25_hours_when_the_clocks_change() {
        let zone = time_zone("Europe/Brussels").unwrap();
        let hours = |day: &str| {
            let day: Date = day.parse().unwrap();
            let length = end_of_day(day, &zone).duration_since(start_of_day(day, &zone));
            (length + jiff::SignedDuration::from_nanos(1)).as_hours()
        };
        assert_eq!([hours("2025-03-30"), hours("2025-10-26"), hours("2025-06-01")], [23, 25, 24]);
    }

    #[test]
    fn a_moment_before_midnight_in_utc_is_the_next_day_in_brussels() {
        let zone = time_zone(DEFAULT_TIME_ZONE).unwrap();
        let day = day_of("2025-06-30T22:00:00Z".parse().unwrap(), &zone);
        assert_eq!(day.to_string(), "2025-07-01");
        assert_eq!(days_between(day, "2025-06-28".parse().unwrap()), -3);
        assert_eq!(days_between("2024-02-28".parse().unwrap(), "2025-03-01".parse().unwrap()), 367);
    }
}
