//! A record as a line of a view.

use jiff::{Timestamp, tz::TimeZone};

use super::{select::Recorded, sentence, shown, time::timestamp_of_ms};
use crate::digest::RecordId;

shown! {
    /// One record as a line of a view.
    Event {
        /// The record.
        record: RecordId,
        /// Its place among all records, from 0.
        index: u64,
        /// The block it stands in.
        height: u64,
        /// When that block was made.
        block_time: Timestamp,
        /// What kind of thing happened.
        #[serde(rename = "type")]
        record_type: String,
        /// When it happened, as the signer claims.
        occurred_at: Timestamp,
        /// The member that signed it.
        signer: String,
        /// Whose statement it is, when not the signer's own.
        declared_by: Option<String>,
        /// The claim it names.
        claim: Option<String>,
        /// What happened, for people.
        sentence: String,
        /// Whether it was recorded more than an hour after it happened.
        late: bool,
        /// The rules it breaks and was accepted with, and `late`.
        flags: Vec<String>,
        /// The record that it corrects.
        corrects: Option<RecordId>,
        /// The record that stands in its place; its own figures count no more.
        corrected_by: Option<RecordId>,
    }
}

impl Event {
    /// The line of a record, with moments on the clocks of `zone`.
    pub(super) fn of(recorded: &Recorded<'_>, zone: &TimeZone) -> Self {
        let line = recorded.line;
        let payload = line.record.payload();
        Self {
            record: line.record.id(),
            index: line.index,
            height: line.height,
            block_time: timestamp_of_ms(line.block_time_ms),
            record_type: payload.record_type.as_str().to_owned(),
            occurred_at: payload.occurred_at,
            signer: line.record.signer().to_string(),
            declared_by: payload.declared_by.as_ref().map(ToString::to_string),
            claim: payload.claim.as_ref().map(ToString::to_string),
            sentence: sentence::of(&line.record, zone),
            late: line.is_late(),
            flags: line.marks(),
            corrects: payload.corrects,
            corrected_by: recorded.corrected_by,
        }
    }
}
