//! bincode as everything here uses it, on disk and between nodes: fixed-width
//! big-endian integers, a limit on every decode, no byte left over, and
//! re-encoding equal to the input (docs/FORMATS.md, "Encoding").
//!
//! Without the limit, ten bytes that claim to be a long list would make the
//! decoder reserve memory for it.

use bincode::{
    Decode, Encode,
    config::{BigEndian, Configuration, Fixint, Limit},
};

/// Bytes that are no such value, or a value that would be too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Longer than allowed.
    #[error("{bytes} bytes; at most {bytes_max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// It cannot be encoded or decoded.
    #[error("{0}")]
    Malformed(String),
    /// Bytes stand after the value.
    #[error("bytes are left over")]
    LeftOver,
    /// Another encoding of a value that has only one.
    #[error("the encoding is not canonical")]
    NotCanonical,
}

const fn configuration<const BYTES_MAX: usize>()
-> Configuration<BigEndian, Fixint, Limit<BYTES_MAX>> {
    bincode::config::standard()
        .with_big_endian()
        .with_fixed_int_encoding()
        .with_limit::<BYTES_MAX>()
}

/// Encodes a value of at most `BYTES_MAX` bytes. bincode's limit holds for
/// decoding only, so the length is checked here too: what is written can be
/// read again.
///
/// # Errors
/// It is longer.
pub fn encode<const BYTES_MAX: usize, T: Encode>(value: &T) -> Result<Vec<u8>, WireError> {
    let bytes = bincode::encode_to_vec(value, configuration::<BYTES_MAX>())
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    check_length::<BYTES_MAX>(&bytes)?;
    Ok(bytes)
}

/// Decodes a value that must fill `bytes` exactly.
///
/// # Errors
/// The bytes are too long, no such value, or not its one encoding.
pub fn decode<const BYTES_MAX: usize, T: Encode + Decode<()>>(
    bytes: &[u8],
) -> Result<T, WireError> {
    let value = decode_own::<BYTES_MAX, T>(bytes)?;
    if encode::<BYTES_MAX, T>(&value)? != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(value)
}

/// As [`decode`], for bytes that this program encoded itself and keeps: that
/// they are a value's one encoding is not asked.
///
/// # Errors
/// The bytes are too long or no such value.
pub fn decode_own<const BYTES_MAX: usize, T: Decode<()>>(bytes: &[u8]) -> Result<T, WireError> {
    check_length::<BYTES_MAX>(bytes)?;
    let (value, read) = bincode::decode_from_slice::<T, _>(bytes, configuration::<BYTES_MAX>())
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if read == bytes.len() { Ok(value) } else { Err(WireError::LeftOver) }
}

const fn check_length<const BYTES_MAX: usize>(bytes: &[u8]) -> Result<(), WireError> {
    if bytes.len() > BYTES_MAX {
        return Err(WireError::TooLong { bytes: bytes.len(), bytes_max: BYTES_MAX });
    }
    Ok(())
}
