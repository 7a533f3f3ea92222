//! Which bounds can be: none under which a node would answer nothing, and none
//! beyond what memory, clocks and queues can hold.

use super::{HEAD_BYTES_MAX, Limits};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// No time may be set longer than a day, in seconds.
const SECONDS_MAX: u64 = 24 * 60 * 60;

/// Nothing that is counted may go beyond this.
const COUNT_MAX: usize = 1 << 20;

/// As many jobs may wait for the disk at once as the runtime has threads for.
const READS_MAX: usize = 512;

/// A bound that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name} is {value}, but must be from {min} to {max}")]
#[non_exhaustive]
pub struct LimitError {
    /// The setting.
    pub name: &'static str,
    /// What it is set to.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

/// Compares each setting with its range. Takes the structure apart, so that
/// none can be forgotten.
macro_rules! check {
    ($limits:expr; $($name:ident: $min:expr, $max:expr;)*) => {{
        let Limits { $($name),* } = $limits;
        $(
            let (value, min, max) = (*$name as u64, $min as u64, $max as u64);
            if value < min || value > max {
                return Err(LimitError { name: stringify!($name), value, min, max });
            }
        )*
        Ok(())
    }};
}

impl Limits {
    /// Checks that a node can work within these bounds.
    ///
    /// # Errors
    /// One of them is absurd; the error names it.
    pub fn check(&self) -> Result<(), LimitError> {
        check! { self;
            record_body_bytes_max: KIB, MIB;
            batch_body_bytes_max: KIB, GIB;
            batch_lines_max: 1, COUNT_MAX;
            batch_private_lines_max: 1, COUNT_MAX;
            receipt_body_bytes_max: KIB, 16 * MIB;
            target_bytes_max: 64, HEAD_BYTES_MAX;
            page_items_max: 1, COUNT_MAX;
            page_items_default: 1, COUNT_MAX;
            page_bytes_max: 1, 64 * MIB;
            view_records_max: 1, COUNT_MAX;
            page_ids_max: 1, COUNT_MAX;
            wait_s_max: 0, SECONDS_MAX;
            header_time_s: 1, SECONDS_MAX;
            body_time_s: 1, SECONDS_MAX;
            request_time_s: 1, SECONDS_MAX;
            write_stall_s: 1, SECONDS_MAX;
            requests_max: 1, COUNT_MAX;
            reads_max: 1, READS_MAX;
            batches_max: 1, COUNT_MAX;
            batch_bytes_in_flight_max: self.batch_body_bytes_max, 64 * GIB;
            response_bytes_max: MIB, 64 * GIB;
            connections_max: 1, COUNT_MAX;
            event_clients_max: 0, COUNT_MAX;
            event_queue_max: 1, COUNT_MAX;
            event_keep_alive_s: 1, SECONDS_MAX;
            verify_threads: 0, 1024;
            retry_after_s: 0, SECONDS_MAX;
            grace_s: 0, SECONDS_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The default limits with one line of a configuration changed.
    fn with(line: &str) -> Limits {
        let (name, value) = line.split_once('=').unwrap();
        let json = format!("{{\"{name}\": {value}}}");
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn bounds_under_which_a_node_answers_nothing_are_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        for name in [
            "connections_max",
            "requests_max",
            "reads_max",
            "batches_max",
            "batch_lines_max",
            "page_items_max",
            "page_items_default",
            "page_bytes_max",
            "view_records_max",
            "page_ids_max",
            "target_bytes_max",
            "record_body_bytes_max",
            "batch_body_bytes_max",
            "receipt_body_bytes_max",
            "response_bytes_max",
            "header_time_s",
            "body_time_s",
            "request_time_s",
            "write_stall_s",
            "event_queue_max",
            "event_keep_alive_s",
        ] {
            let error = with(&format!("{name}=0")).check().unwrap_err();
            assert_eq!((error.name, error.value), (name, 0));
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn bounds_that_hold_nothing_back_are_named() {
        let huge = u64::MAX;
        for name in [
            "record_body_bytes_max",
            "batch_body_bytes_max",
            "receipt_body_bytes_max",
            "target_bytes_max",
            "page_bytes_max",
            "batch_bytes_in_flight_max",
            "response_bytes_max",
            "connections_max",
            "requests_max",
            "reads_max",
            "wait_s_max",
            "grace_s",
        ] {
            assert_eq!(with(&format!("{name}={huge}")).check().unwrap_err().name, name);
        }
        // No batch of the largest size would ever be taken.
        let narrow = with("batch_bytes_in_flight_max=1048576").check().unwrap_err();
        assert_eq!(narrow.name, "batch_bytes_in_flight_max");
    }
}
