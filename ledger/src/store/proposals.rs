//! Blocks that are being voted on.
//!
//! The engine's own log names blocks by their hash only, so a validator keeps
//! the bytes of every block it may vote for before it votes. Once their height
//! is decided, they go.

use std::{fs, path::Path};

use bincode::{Decode, Encode};

use super::{
    StoreError, codec,
    segments::{Frame, Segments, remove_folder, sync_folder},
};
use crate::digest::LedgerId;

/// After so many bytes a new file is started, so that the old one can go.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The log's folder.
const LOG: &str = "proposals";
/// Where a damaged one is put.
const ASIDE: &str = "proposals.damaged";

/// A proposed block as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StoredProposal {
    /// The height it is proposed for.
    pub height: u64,
    /// The round it is proposed in.
    pub round: u32,
    /// The earlier round in which more than two thirds prevoted for it.
    pub valid_round: Option<u32>,
    /// The consensus key of the validator that proposes it.
    pub proposer: [u8; 32],
    /// The block, as [`crate::chain::decode_block`] reads it.
    pub block: Vec<u8>,
}

/// The proposals of the height that is not decided yet.
#[derive(Debug)]
pub struct Proposals {
    frames: Segments,
}

impl Proposals {
    /// Opens the log beside the store in `folder` and gives the proposals for
    /// heights from `height` on.
    ///
    /// A damaged log is put aside: what it held was not decided yet, and the
    /// other validators have it, too.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(
        folder: &Path,
        ledger: LedgerId,
        height: u64,
    ) -> Result<(Self, Vec<StoredProposal>), StoreError> {
        match Self::read(folder, ledger, height) {
            Err(error) if error.is_damage() => {
                tracing::warn!("{error}; the blocks that are being voted on are put aside");
                let aside = folder.join(ASIDE);
                remove_folder(&aside)?;
                let log = folder.join(LOG);
                fs::rename(&log, &aside).map_err(StoreError::io("renaming", &log))?;
                sync_folder(folder)?;
                Self::read(folder, ledger, height)
            }
            read => read,
        }
    }

    fn read(
        folder: &Path,
        ledger: LedgerId,
        height: u64,
    ) -> Result<(Self, Vec<StoredProposal>), StoreError> {
        let frames = Segments::open(
            folder.join(LOG),
            LOG,
            ledger,
            codec::VALUE_BYTES_MAX as u32,
            FILE_BYTES_MAX,
        )?;
        let mut position = frames.start()?;
        let mut kept = Vec::new();
        loop {
            match frames.frame(position)? {
                Frame::Whole(payload, next) => {
                    let stored: StoredProposal = codec::decode(LOG, &payload)?;
                    if stored.height >= height {
                        kept.push(stored);
                    }
                    position = next;
                }
                Frame::End => break,
                Frame::Torn => {
                    // Its writing was cut off, so nobody voted for it.
                    frames.truncate(position)?;
                    break;
                }
            }
        }
        frames.sync()?;
        sync_folder(folder)?;
        Ok((Self { frames }, kept))
    }

    /// Makes a proposal durable. Only then may it be voted for.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, proposal: &StoredProposal) -> Result<(), StoreError> {
        self.frames.append(&codec::encode("proposal", proposal)?)?;
        self.frames.sync()
    }

    /// The height is decided and its block durable: what was kept may go.
    ///
    /// # Errors
    /// The system refuses.
    pub fn forget(&self) -> Result<(), StoreError> {
        if self.frames.disk_bytes()? > FILE_BYTES_MAX / 2 {
            let end = self.frames.rotate()?;
            self.frames.drop_before(end)?;
        }
        Ok(())
    }
}
