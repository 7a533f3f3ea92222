//! Records that were acknowledged but stand in no block yet.
//!
//! Batches are appended to frames and flushed before they are acknowledged.
//! Once every record of a file is on the ledger (or refused for good), the file
//! goes. A record that is found here and on the ledger counts as on the ledger.

use std::path::Path;

use bincode::{Decode, Encode};
use rayon::prelude::*;

use super::{
    StoreError, codec,
    segments::{Frame, Segments, sync_folder},
};
use crate::{membership::Membership, record::Record};

/// After so many bytes a new file is started, so that the old one can go.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Encode, Decode)]
struct StoredBatch {
    records: Vec<Vec<u8>>,
}

/// The durable part of the queue of records that wait for a block.
#[derive(Debug)]
pub struct Pending {
    frames: Segments,
}

/// Records that were made durable together, and where.
#[derive(Debug)]
pub struct PendingBatch {
    /// Marks the batch in [`Pending::forget_before`].
    pub position: u64,
    /// The records, in the order in which they were accepted.
    pub records: Vec<Record>,
}

impl Pending {
    /// Opens the queue beside the store in `folder` and gives what it holds,
    /// verified again: a file on a disk vouches for nothing. A key that is in
    /// force no more is for the next block to refuse. `membership` is that of
    /// the store's end, which knows every key a waiting record can bear.
    /// A batch whose writing was cut off was never acknowledged and is dropped,
    /// unless the queue is only to be `inspect`ed.
    ///
    /// # Errors
    /// The queue is damaged, holds what no member signed, belongs to another
    /// ledger, or the system refuses.
    pub fn open(
        folder: &Path,
        membership: &Membership,
        inspect: bool,
    ) -> Result<(Self, Vec<PendingBatch>), StoreError> {
        let frames = Segments::open(
            folder.join("pending"),
            "pending",
            membership.ledger_id(),
            codec::VALUE_BYTES_MAX as u32,
            FILE_BYTES_MAX,
        )?;
        let mut position = frames.start()?;
        let mut batches = Vec::new();
        loop {
            match frames.frame(position)? {
                Frame::Whole(payload, next) => {
                    let stored: StoredBatch = codec::decode("pending", &payload)?;
                    let records = stored
                        .records
                        .into_par_iter()
                        .map(|jws| {
                            Record::open_at_any_time(jws, membership).map_err(|refusal| {
                                StoreError::damaged(
                                    "pending",
                                    format!("the batch at {position}: {refusal}"),
                                )
                            })
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    batches.push(PendingBatch { position, records });
                    position = next;
                }
                Frame::End => break,
                Frame::Torn => {
                    if !inspect {
                        tracing::warn!("cutting off a batch that was never acknowledged");
                        frames.truncate(position)?;
                    }
                    break;
                }
            }
        }
        if !inspect {
            // What a process that was killed had written may not have reached
            // the disk, and these records are about to be called durable.
            frames.sync()?;
            sync_folder(folder)?;
        }
        Ok((Self { frames }, batches))
    }

    /// Makes records durable, in order, with one flush. Gives the batch's position.
    ///
    /// # Errors
    /// The disk refuses; nothing may be acknowledged.
    pub fn append(&self, records: &[Record]) -> Result<u64, StoreError> {
        let mut first = None;
        // A frame has a limit; a group of batches may be larger.
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest
                .iter()
                .take_while(|record| {
                    bytes += record.jws().len() + 8;
                    bytes <= codec::VALUE_BYTES_MAX / 2
                })
                .count()
                .max(1);
            let (now, later) = rest.split_at(fitting);
            let stored =
                StoredBatch { records: now.iter().map(|record| record.jws().to_vec()).collect() };
            let position = self.frames.append(&codec::encode("pending", &stored)?)?;
            first.get_or_insert(position);
            rest = later;
        }
        self.frames.sync()?;
        Ok(first.unwrap_or_default())
    }

    /// Drops files all of whose batches stand before `position`; with `None`,
    /// nothing waits any more.
    ///
    /// # Errors
    /// The system refuses.
    pub fn forget_before(&self, position: Option<u64>) -> Result<(), StoreError> {
        match position {
            Some(position) => self.frames.drop_before(position),
            None if self.frames.disk_bytes()? > FILE_BYTES_MAX / 16 => {
                let end = self.frames.rotate()?;
                self.frames.drop_before(end)
            }
            None => Ok(()),
        }
    }
}
