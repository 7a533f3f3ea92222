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

/// Encodes a value. bincode's limit holds for decoding only, so the length is
/// checked here too: what is written can be read again.
pub fn encode<T: Encode>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    let bytes = bincode::encode_to_vec(value, CONFIGURATION)
        .map_err(|error| StoreError::damaged(what, error.to_string()))?;
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge { what: what.to_owned(), bytes: bytes.len() });
    }
    Ok(bytes)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nothing_is_written_that_could_not_be_read_again() {
        let fits = vec![7_u8; VALUE_BYTES_MAX - 8];
        let bytes = encode("bytes", &fits).unwrap();
        assert_eq!(decode::<Vec<u8>>("bytes", &bytes).unwrap(), fits);
        let error = encode("bytes", &vec![7_u8; VALUE_BYTES_MAX - 7]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    }
}
