//! The time zones in this program (IANA), never those of the machine: every node
//! counts days alike.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static TIME_ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of that name, such as `Europe/Brussels`, if there is one.
#[must_use]
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TIME_ZONES.get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_come_with_the_program() {
        assert!(time_zone("Europe/Brussels").is_some());
        assert!(time_zone("Europe/Atlantis").is_none());
        assert!(!TIME_ZONES.is_definitively_empty());
    }
}
