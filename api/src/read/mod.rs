//! Reading the ledger: records, receipts, blocks, members, tree and status.

pub(crate) mod blocks;
pub(crate) mod claims;
pub(crate) mod contracts;
pub(crate) mod duplicates;
pub(crate) mod evidence;
pub(crate) mod exceptions;
pub(crate) mod members;
pub(crate) mod receipts;
pub(crate) mod records;
pub(crate) mod statements;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod views;

use jiff::Timestamp;

/// A time in milliseconds since the Unix epoch as RFC 3339, in UTC.
pub(crate) fn utc(time_ms: u64) -> String {
    i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok())
        .map_or_else(|| format!("{time_ms} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_have_milliseconds_and_a_z() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
        assert_eq!(utc(u64::MAX), "18446744073709551615 ms");
    }
}
