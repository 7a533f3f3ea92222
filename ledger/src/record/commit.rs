//! Committing to a file: what a record says of it, computed in one pass over a
//! file that never stands in memory whole.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Commitment;
use crate::digest::Digest;

/// The salt that stands before a file where its commitment is computed, in bytes.
pub const DOCUMENT_SALT_BYTES: usize = 16;

/// A secret match key, in bytes: as long as what HMAC-SHA-256 gives (RFC 2104, section 3).
pub const MATCH_KEY_BYTES: usize = 32;

/// Read at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// The secret that members share out of band, so that they, and nobody else,
/// can tell whether they hold the same file. Wiped from memory when dropped.
#[derive(Clone)]
pub struct MatchKey(Zeroizing<[u8; MATCH_KEY_BYTES]>);

/// A text is no match key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a match key is 32 bytes in base64, as `quittance key match` makes it")]
pub struct NotAMatchKey;

impl MatchKey {
    /// Takes 32 secret random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; MATCH_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key as it stands in a file: base64 (RFC 4648, section 4).
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_ref()))
    }
}

impl FromStr for MatchKey {
    type Err = NotAMatchKey;

    fn from_str(text: &str) -> Result<Self, NotAMatchKey> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| NotAMatchKey)?);
        bytes.as_slice().try_into().map(Self::from_bytes).map_err(|_| NotAMatchKey)
    }
}

/// Never shows the key.
impl fmt::Debug for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MatchKey")
    }
}

/// What a record says of a file besides its kind and media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCommitment {
    /// The file's length in bytes.
    pub size: u64,
    /// SHA-256(salt ‖ file).
    pub commitment: Commitment,
    /// HMAC-SHA-256(match key, file), where a match key was given.
    pub match_tag: Option<Commitment>,
}

impl FileCommitment {
    /// Reads a file to its end, once, through a buffer of 64 KiB.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(
        mut file: impl Read,
        salt: &[u8; DOCUMENT_SALT_BYTES],
        match_key: Option<&MatchKey>,
    ) -> io::Result<Self> {
        let mut salted = Sha256::new().chain_update(salt);
        let mut keyed = match match_key {
            Some(MatchKey(key)) => {
                // HMAC takes keys of any length.
                let keyed = Hmac::<Sha256>::new_from_slice(key.as_ref());
                Some(keyed.map_err(io::Error::other)?)
            }
            None => None,
        };
        let mut size: u64 = 0;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let part = buffer.get(..read).unwrap_or_default();
            size = size.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            salted.update(part);
            if let Some(keyed) = &mut keyed {
                keyed.update(part);
            }
        }
        let of_bytes = |bytes: [u8; 32]| Commitment::from(Digest::from_bytes(bytes));
        Ok(Self {
            size,
            commitment: of_bytes(salted.finalize().into()),
            match_tag: keyed.map(|keyed| of_bytes(keyed.finalize().into_bytes().into())),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    const SALT: [u8; DOCUMENT_SALT_BYTES] = *b"0123456789abcdef";

    /// A file that gives its bytes in pieces, as sockets and slow disks do.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// RFC 4231, test case 1, whose key is 20 bytes, and the same for our 32:
    /// `printf 'Hi There' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…`.
    #[test]
    fn known_answers() {
        let mut keyed = Hmac::<Sha256>::new_from_slice(&[0x0b; 20]).unwrap();
        keyed.update(b"Hi There");
        assert_eq!(
            hex::encode(keyed.finalize().into_bytes()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        let key = MatchKey::from_bytes([0x0b; 32]);
        let file = FileCommitment::of(&b"Hi There"[..], &SALT, Some(&key)).unwrap();
        assert_eq!(
            file.match_tag.unwrap().to_string(),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
        assert_eq!(
            file.commitment.digest(),
            &Digest::of(b"0123456789abcdefHi There"),
            "SHA-256 of the salt and the file"
        );
        assert_eq!(file.size, 8);
    }

    #[test]
    fn the_documented_vectors() {
        use serde_json::Value;
        let vectors = include_str!("../../../docs/vectors/document.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let salt = text(&vectors["salt"]);
        let salt = crate::record::encoding::decode_exactly(salt.as_bytes()).unwrap();
        let key: MatchKey = text(&vectors["match_key"]).parse().unwrap();
        let documents = vectors["documents"].as_array().unwrap();
        assert_eq!(documents.len(), 3);
        for vector in documents {
            let file = match vector["file_hex"].as_str() {
                Some(file) => hex::decode(file).unwrap(),
                None => (0..100_000_u32).map(|byte| (byte % 251) as u8).collect(),
            };
            let made = FileCommitment::of(&file[..], &salt, Some(&key)).unwrap();
            assert_eq!(made.size, vector["size"].as_u64().unwrap());
            assert_eq!(made.commitment.to_string(), text(&vector["commitment"]));
            assert_eq!(made.match_tag.unwrap().to_string(), text(&vector["match"]));
        }
    }

    #[test]
    fn the_same_file_matches_under_one_key_only_and_no_salt_shows_it() {
        let keys = [MatchKey::from_bytes([1; 32]), MatchKey::from_bytes([2; 32])];
        let of = |salt: u8, key: Option<&MatchKey>| {
            FileCommitment::of(&b"an invoice"[..], &[salt; DOCUMENT_SALT_BYTES], key).unwrap()
        };
        let (one, two) = (of(1, Some(&keys[0])), of(2, Some(&keys[0])));
        assert_eq!(one.match_tag, two.match_tag);
        assert_ne!(one.commitment, two.commitment);
        assert_ne!(one.match_tag, of(1, Some(&keys[1])).match_tag);
        assert_eq!(of(1, None).match_tag, None);
    }

    #[test]
    fn a_match_key_has_one_text_and_does_not_show_in_logs() {
        let key = MatchKey::from_bytes([0xfb; 32]);
        let text = key.to_text();
        assert_eq!(*text.parse::<MatchKey>().unwrap().0, [0xfb; 32]);
        for wrong in ["", "AAAA", &text[1..], &format!("{}=", *text), &text.replace('+', "-")] {
            assert!(wrong.parse::<MatchKey>().is_err(), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "MatchKey");
    }

    #[test]
    fn a_file_that_breaks_off_is_no_shorter_file() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("the disk is gone"));
                }
                buffer[0] = b'x';
                Ok(1)
            }
        }
        assert!(FileCommitment::of(Broken(false), &SALT, None).is_err());
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_make_the_same_commitment(
            file in prop::collection::vec(any::<u8>(), 0..200_000),
            piece in 1_usize..100_000,
        ) {
            let key = MatchKey::from_bytes([7; 32]);
            let whole = FileCommitment::of(&file[..], &SALT, Some(&key)).unwrap();
            let pieces = FileCommitment::of(Pieces(&file, piece), &SALT, Some(&key)).unwrap();
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(whole.size, file.len() as u64);
            let once = Digest::of(&[&SALT[..], &file].concat());
            prop_assert_eq!(whole.commitment.digest(), &once);
        }
    }
}
