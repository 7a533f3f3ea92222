//! What goes over the wire, in bincode (docs/FORMATS.md, "Gossip").

use bincode::{Decode, Encode};
use bytes::Bytes;
use quittance_ledger::{
    limits::{CHECKPOINT_BYTES_MAX, RECORD_BYTES_MAX},
    wire::{self, WireError},
};

use super::{
    Attestation, PublishError, RecordBatch,
    limits::{
        ANSWER_BYTES_MAX, ANSWER_CHECKPOINTS_BYTES_MAX, ANSWER_CHECKPOINTS_MAX,
        ANSWER_RECORDS_BYTES_MAX, BATCH_BYTES_MAX, BATCH_RECORD_OVERHEAD_BYTES, BATCH_RECORDS_MAX,
        MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX,
    },
};

/// What one node asks another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) enum Request {
    /// Records that the other accepted, from `first` of `epoch` on.
    Records {
        /// The epoch that the asking node knows.
        epoch: u64,
        /// The first record it has not got.
        first: u64,
    },
    /// Published checkpoints of trees larger than `after`.
    Checkpoints {
        /// A tree size.
        after: u64,
    },
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has too much to do, or was asked too often.
    Busy,
    /// To [`Request::Records`].
    Records(RecordBatch),
    /// To [`Request::Checkpoints`].
    Checkpoints(Vec<Vec<u8>>),
}

#[derive(Encode, Decode)]
struct WireBatch {
    epoch: u64,
    first: u64,
    records: Vec<Vec<u8>>,
}

#[derive(Encode)]
struct WireBatchRef<'a> {
    epoch: u64,
    first: u64,
    records: Vec<&'a [u8]>,
}

#[derive(Encode, Decode)]
enum WireAnswer {
    Busy,
    Records(WireBatch),
    Checkpoints(Vec<Vec<u8>>),
}

#[derive(Encode)]
enum WireAnswerRef<'a> {
    Busy,
    Records(WireBatchRef<'a>),
    Checkpoints(&'a [Vec<u8>]),
}

/// Why a batch may not be sent or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds {
    Empty,
    Count,
    Record,
    Bytes,
    Sequence,
}

impl Bounds {
    const fn text(self) -> &'static str {
        match self {
            Self::Empty => "it holds nothing",
            Self::Count => "it holds too many records",
            Self::Record => "a record is empty or too long",
            Self::Bytes => "it is too long as a whole",
            Self::Sequence => "its numbers exceed 64 bits",
        }
    }
}

fn check_items<'a>(
    items: impl Iterator<Item = &'a [u8]>,
    (count_max, item_bytes_max, bytes_max): (usize, usize, usize),
) -> Result<(), Bounds> {
    let mut total = 0_usize;
    for (index, item) in items.enumerate() {
        if index >= count_max {
            return Err(Bounds::Count);
        }
        if item.is_empty() || item.len() > item_bytes_max {
            return Err(Bounds::Record);
        }
        total = total.saturating_add(item.len().saturating_add(BATCH_RECORD_OVERHEAD_BYTES));
    }
    if total > bytes_max { Err(Bounds::Bytes) } else { Ok(()) }
}

fn check_batch(batch: &RecordBatch, bytes_max: usize) -> Result<(), Bounds> {
    check_items(
        batch.records.iter().map(AsRef::as_ref),
        (BATCH_RECORDS_MAX, RECORD_BYTES_MAX, bytes_max),
    )?;
    u64::try_from(batch.records.len())
        .ok()
        .and_then(|count| batch.first.checked_add(count))
        .map_or(Err(Bounds::Sequence), |_| Ok(()))
}

fn borrow(batch: &RecordBatch) -> WireBatchRef<'_> {
    let records = batch.records.iter().map(AsRef::as_ref).collect();
    WireBatchRef { epoch: batch.epoch, first: batch.first, records }
}

fn own(batch: WireBatch) -> RecordBatch {
    let records = batch.records.into_iter().map(Bytes::from).collect();
    RecordBatch { epoch: batch.epoch, first: batch.first, records }
}

fn malformed(bounds: Bounds) -> WireError {
    WireError::Malformed(bounds.text().to_owned())
}

/// A batch as the content of a gossiped message.
pub(super) fn encode_batch(batch: &RecordBatch) -> Result<Vec<u8>, PublishError> {
    if batch.records.is_empty() {
        return Err(PublishError::Bounds(Bounds::Empty.text()));
    }
    check_batch(batch, BATCH_BYTES_MAX).map_err(|bounds| PublishError::Bounds(bounds.text()))?;
    wire::encode::<MESSAGE_BYTES_MAX, _>(&borrow(batch))
        .map_err(|_| PublishError::Bounds(Bounds::Bytes.text()))
}

/// Reads the content of a gossiped message as a batch.
pub(super) fn decode_batch(bytes: &[u8]) -> Result<RecordBatch, WireError> {
    let batch = own(wire::decode::<MESSAGE_BYTES_MAX, WireBatch>(bytes)?);
    if batch.records.is_empty() {
        return Err(malformed(Bounds::Empty));
    }
    check_batch(&batch, BATCH_BYTES_MAX).map_err(malformed)?;
    Ok(batch)
}

/// A validator's signatures as the content of a gossiped message.
pub(super) fn encode_attestation(attestation: &Attestation) -> Result<Vec<u8>, PublishError> {
    wire::encode::<MESSAGE_BYTES_MAX, _>(attestation)
        .map_err(|_| PublishError::Bounds(Bounds::Bytes.text()))
}

/// Reads the content of a gossiped message as a validator's signatures.
pub(super) fn decode_attestation(bytes: &[u8]) -> Result<Attestation, WireError> {
    wire::decode::<MESSAGE_BYTES_MAX, _>(bytes)
}

pub(super) fn encode_request(request: &Request) -> Result<Vec<u8>, WireError> {
    wire::encode::<REQUEST_BYTES_MAX, _>(request)
}

pub(super) fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    wire::decode::<REQUEST_BYTES_MAX, _>(bytes)
}

const CHECKPOINT_BOUNDS: (usize, usize, usize) =
    (ANSWER_CHECKPOINTS_MAX, CHECKPOINT_BYTES_MAX, ANSWER_CHECKPOINTS_BYTES_MAX);

fn check_answer(answer: &Answer) -> Result<(), WireError> {
    match answer {
        Answer::Busy => Ok(()),
        Answer::Records(batch) => check_batch(batch, ANSWER_RECORDS_BYTES_MAX),
        Answer::Checkpoints(notes) => {
            check_items(notes.iter().map(AsRef::as_ref), CHECKPOINT_BOUNDS)
        }
    }
    .map_err(malformed)
}

pub(super) fn encode_answer(answer: &Answer) -> Result<Vec<u8>, WireError> {
    check_answer(answer)?;
    let answer = match answer {
        Answer::Busy => WireAnswerRef::Busy,
        Answer::Records(batch) => WireAnswerRef::Records(borrow(batch)),
        Answer::Checkpoints(notes) => WireAnswerRef::Checkpoints(notes),
    };
    wire::encode::<ANSWER_BYTES_MAX, _>(&answer)
}

pub(super) fn decode_answer(bytes: &[u8]) -> Result<Answer, WireError> {
    let answer = match wire::decode::<ANSWER_BYTES_MAX, WireAnswer>(bytes)? {
        WireAnswer::Busy => Answer::Busy,
        WireAnswer::Records(batch) => Answer::Records(own(batch)),
        WireAnswer::Checkpoints(notes) => Answer::Checkpoints(notes),
    };
    check_answer(&answer)?;
    Ok(answer)
}

/// Shortens an answer to what may be sent, from its end: the asking node asks
/// again for the rest.
pub(super) fn shorten(answer: Answer) -> Answer {
    fn fitting<'a>(
        items: impl Iterator<Item = &'a [u8]>,
        count_max: usize,
        bytes_max: usize,
    ) -> usize {
        let mut total = 0_usize;
        items
            .take(count_max)
            .take_while(|item| {
                total =
                    total.saturating_add(item.len().saturating_add(BATCH_RECORD_OVERHEAD_BYTES));
                total <= bytes_max
            })
            .count()
    }
    match answer {
        Answer::Busy => Answer::Busy,
        Answer::Records(mut batch) => {
            batch.records.truncate(fitting(
                batch.records.iter().map(AsRef::as_ref),
                BATCH_RECORDS_MAX,
                ANSWER_RECORDS_BYTES_MAX,
            ));
            Answer::Records(batch)
        }
        Answer::Checkpoints(mut notes) => {
            notes.truncate(fitting(
                notes.iter().map(AsRef::as_ref),
                ANSWER_CHECKPOINTS_MAX,
                ANSWER_CHECKPOINTS_BYTES_MAX,
            ));
            Answer::Checkpoints(notes)
        }
    }
}
