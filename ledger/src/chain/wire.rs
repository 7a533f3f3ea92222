//! A block on its way between nodes: header and record bytes, without the
//! certificate, which is not there yet when the block is proposed.

use bincode::{Decode, Encode};

use super::{Block, HEADER_BYTES, Header};
use crate::{
    limits::BLOCK_BYTES_MAX,
    wire::{self, WireError},
};

/// The longest block: records, header, and the lengths between them.
pub const BLOCK_WIRE_BYTES_MAX: usize = BLOCK_BYTES_MAX + 64 * 1024;

#[derive(Debug, Encode, Decode)]
struct WireBlock {
    header: [u8; HEADER_BYTES],
    records: Vec<Vec<u8>>,
}

/// Writes a block.
///
/// # Errors
/// It is larger than a block may be.
pub fn encode_block(header: &Header, records: Vec<Vec<u8>>) -> Result<Vec<u8>, WireError> {
    wire::encode::<BLOCK_WIRE_BYTES_MAX, _>(&WireBlock { header: header.encode(), records })
}

/// Reads a block whose records nobody has verified yet.
///
/// # Errors
/// The bytes are no block.
pub fn decode_block(bytes: &[u8]) -> Result<(Header, Vec<Vec<u8>>), WireError> {
    let block: WireBlock = wire::decode::<BLOCK_WIRE_BYTES_MAX, _>(bytes)?;
    let header =
        Header::decode(&block.header).map_err(|error| WireError::Malformed(error.to_string()))?;
    Ok((header, block.records))
}

impl Block {
    /// The block as other nodes read it with [`decode_block`].
    ///
    /// # Errors
    /// It is larger than a block may be.
    pub fn to_wire(&self) -> Result<Vec<u8>, WireError> {
        let records = self.records.iter().map(|record| record.jws().to_vec()).collect();
        encode_block(&self.header, records)
    }
}
