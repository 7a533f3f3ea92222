//! [`crate::wire`] with the store's limit and errors.

use bincode::{Decode, Encode};

use super::StoreError;
use crate::wire::{self, WireError};

/// The longest value, in bytes: a full block with its header.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Encodes a value.
pub fn encode<T: Encode>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    wire::encode::<VALUE_BYTES_MAX, T>(value).map_err(|error| match error {
        WireError::TooLong { bytes, .. } => StoreError::TooLarge { what: what.to_owned(), bytes },
        other => StoreError::damaged(what, other.to_string()),
    })
}

/// Decodes a value that must fill `bytes` exactly.
pub fn decode<T: Encode + Decode<()>>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    wire::decode::<VALUE_BYTES_MAX, T>(bytes)
        .map_err(|error| StoreError::damaged(what, error.to_string()))
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
