//! What of blocks can be verified before the ones in front of them are followed:
//! signatures, on all cores.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Defect, History};
use crate::{
    chain::{BlockError, Certificate, Header, RawBlock},
    digest::RecordId,
    limits::BLOCK_BYTES_MAX,
    membership::Membership,
    record::{Envelope, Record},
    refusal::Code,
};

/// Records whose signatures are verified together, at least, unless they have
/// more bytes than [`BATCH_BYTES_MAX`].
const BATCH_RECORDS: usize = 4096;

/// Bytes of records that are held at once; one block more may be added.
const BATCH_BYTES_MAX: usize = 8 * BLOCK_BYTES_MAX;

/// A block as far as it could be verified before the blocks in front of it
/// were followed.
pub(super) struct VerifiedBlock {
    pub(super) header: Header,
    /// Where its validators are other ones than were known.
    pub(super) certificate: Option<Certificate>,
    pub(super) records: Vec<VerifiedRecord>,
}

pub(super) enum VerifiedRecord {
    Verified(Record),
    /// Its signer or key was not known yet.
    Unknown(Envelope),
}

pub(super) type VerifiedBlocks = Vec<VerifiedBlock>;

/// Reads the blocks from height `next` on that make a batch.
pub(super) fn read_batch<H: History>(
    history: &mut H,
    next: &mut u64,
) -> Result<Vec<RawBlock>, Defect<H::Error>> {
    let mut blocks = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    while records < BATCH_RECORDS && bytes < BATCH_BYTES_MAX {
        let Some(block) = history.block(*next).map_err(Defect::Source)? else { break };
        // A source that sends such blocks without end is stopped here.
        if block.records.is_empty() {
            return Err(BlockError::Empty(*next).into());
        }
        records += block.records.len();
        bytes += block.records.iter().map(Vec::len).sum::<usize>();
        *next += 1;
        blocks.push(block);
    }
    Ok(blocks)
}

/// Verifies the records of some blocks on all cores, the first of which stands
/// at `index`, with the keys of a `membership` that some of them may be ahead of.
/// Whether a key is in force, and whether the validators are those of a block's
/// height, is checked when it is followed.
pub(super) fn verify<E: std::fmt::Display + Send>(
    membership: &Membership,
    blocks: Vec<RawBlock>,
    mut index: u64,
    since_size: u64,
) -> Result<VerifiedBlocks, Defect<E>> {
    let mut flat = Vec::new();
    let mut shape = Vec::new();
    let validators = membership.validators().hash();
    // Few among the records, so they come first and by themselves.
    blocks.par_iter().filter(|block| block.header.validators == validators).try_for_each(
        |RawBlock { header, certificate, .. }| check_certificate(certificate, header, membership),
    )?;
    for RawBlock { header, records, certificate } in blocks {
        let certificate = (header.validators != validators).then_some(certificate);
        shape.push((header, certificate, records.len()));
        for jws in records {
            flat.push((header.height, index, jws));
            index += 1;
        }
    }
    let open = |jws: Arc<[u8]>, index: u64| {
        let envelope = Envelope::parse(jws)?;
        if index < since_size {
            return Ok(VerifiedRecord::Verified(envelope.trusted()));
        }
        match envelope.clone().verify_at_any_time(membership) {
            Ok(record) => Ok(VerifiedRecord::Verified(record)),
            Err(refusal) if matches!(refusal.code, Code::UnknownMember | Code::UnknownKey) => {
                Ok(VerifiedRecord::Unknown(envelope))
            }
            Err(refusal) => Err(refusal),
        }
    };
    let verified = flat
        .into_par_iter()
        .map(|(height, index, jws)| {
            let jws: Arc<[u8]> = jws.into();
            open(Arc::clone(&jws), index).map_err(|refusal| {
                let id = RecordId::of(&jws);
                Defect::Record { height, index, id, refusal }
            })
        })
        .collect::<Vec<_>>();
    let mut verified = verified.into_iter();
    shape
        .into_iter()
        .map(|(header, certificate, count)| {
            let records = verified.by_ref().take(count).collect::<Result<_, _>>()?;
            Ok(VerifiedBlock { header, certificate, records })
        })
        .collect()
}

pub(super) fn check_certificate<E: std::fmt::Display + Send>(
    certificate: &Certificate,
    header: &Header,
    membership: &Membership,
) -> Result<(), Defect<E>> {
    certificate
        .verify(header, membership.validators())
        .map_err(|error| Defect::Block(BlockError::Certificate { height: header.height, error }))
}
