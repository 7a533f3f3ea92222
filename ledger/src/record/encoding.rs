//! base64url without padding (RFC 7515 section 2), in its one canonical spelling.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Said in full, because one byte string must have one spelling: no padding,
/// and no bits behind the last byte. Otherwise a record could be respelled
/// under its signature and would have two ids.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// The bytes that `text` spells, if it is canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
}

/// Exactly `N` bytes, if `text` spells so many.
pub(crate) fn decode_exactly<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // The length is checked first, so that a long text costs nothing.
    (text.len() == (N * 4).div_ceil(3)).then(|| decode(text)?.try_into().ok()).flatten()
}

/// Appends the spelling of `bytes`.
pub(crate) fn encode_into(bytes: &[u8], text: &mut String) {
    BASE64URL.encode_string(bytes, text);
}
