//! bincode as the store uses it: fixed-width big-endian integers, a limit on
//! every decode, no byte left over, and re-encoding equal to the input.

use bincode::{
    Decode, Encode,
    config::{BigEndian, Configuration, Fixint, Limit},
};

use super::StoreError;

/// The longest value, in bytes: a full block with its header.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

const CONFIGURATION: Configuration<BigEndian, Fixint, Limit<VALUE_BYTES_MAX>> =
    bincode::config::standard()
        .with_big_endian()
        .with_fixed_int_encoding()
        .with_limit::<VALUE_BYTES_MAX>();

/// Encodes a value.
pub fn encode<T: Encode>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    bincode::encode_to_vec(value, CONFIGURATION)
        .map_err(|error| StoreError::damaged(what, error.to_string()))
}

/// Decodes a value that must fill `bytes` exactly.
pub fn decode<T: Encode + Decode<()>>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let (value, read) = bincode::decode_from_slice::<T, _>(bytes, CONFIGURATION)
        .map_err(|error| StoreError::damaged(what, error.to_string()))?;
    if read != bytes.len() {
        return Err(StoreError::damaged(what, "bytes are left over"));
    }
    if encode(what, &value)? != bytes {
        return Err(StoreError::damaged(what, "the encoding is not canonical"));
    }
    Ok(value)
}
