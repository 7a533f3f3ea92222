//! What is wrong with a checkpoint or a receipt, and on which line; and the
//! few spellings they share.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::digest::Digest;

/// Why a text is not a checkpoint or a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatReason {
    /// Larger than its bound.
    #[error("{bytes} bytes, at most {bytes_max} are read")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// Not valid UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// A control character, such as the carriage return of a converted file.
    #[error("control character U+{0:04X}; lines end with a newline only")]
    ControlCharacter(u32),
    /// The text ends before this line does.
    #[error("the text ends here; expected {0}")]
    Missing(&'static str),
    /// Another line than the format has here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A number with leading zeros or signs, or beyond 64 bits.
    #[error("not a decimal number without leading zeros")]
    Decimal,
    /// Not base64 of a hash, in its one spelling.
    #[error("not the base64 of a 32-byte hash")]
    Hash,
    /// Not base64, in its one spelling.
    #[error("not standard base64")]
    Base64,
    /// The origin is no name of a ledger.
    #[error(
        "the origin is not a ledger's name: 1 to 128 ASCII letters, digits and any of . _ ~ / : @ -"
    )]
    Origin,
    /// A line after the root hash.
    #[error("an extension line; checkpoints of a ledger have none")]
    Extension,
    /// Not `— <name> <base64>`.
    #[error("not a signature line: expected — <key name> <base64 of key id and signature>")]
    Signature,
    /// More signatures than are read.
    #[error("more than {0} signatures")]
    TooManySignatures(usize),
    /// More hashes than a proof can have.
    #[error("more than {0} hashes in the proof")]
    TooManyHashes(usize),
}

/// Where a text stops being a checkpoint or a receipt, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct FormatError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: FormatReason,
}

impl FormatError {
    /// An error on that line.
    pub(super) const fn new(line: usize, reason: FormatReason) -> Self {
        Self { line, reason }
    }

    /// The same error in a text that has this many lines before.
    pub(super) fn below(self, lines: usize) -> Self {
        Self { line: self.line.saturating_add(lines), ..self }
    }
}

/// Reads a bounded text of newline-separated lines without control characters.
pub(super) fn text(bytes: &[u8], bytes_max: usize) -> Result<&str, FormatError> {
    if bytes.len() > bytes_max {
        return Err(FormatError::new(1, FormatReason::TooLarge { bytes: bytes.len(), bytes_max }));
    }
    let line_at = |end: usize| 1 + bytes.iter().take(end).filter(|byte| **byte == b'\n').count();
    let text = std::str::from_utf8(bytes)
        .map_err(|error| FormatError::new(line_at(error.valid_up_to()), FormatReason::NotUtf8))?;
    match bytes.iter().position(|byte| *byte < 0x20 && *byte != b'\n') {
        Some(at) => {
            let code = bytes.get(at).copied().map_or(0, u32::from);
            Err(FormatError::new(line_at(at), FormatReason::ControlCharacter(code)))
        }
        None => Ok(text),
    }
}

/// A decimal number in its one spelling.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// The base64 of a hash in its one spelling.
pub(super) fn hash(text: &str) -> Option<Digest> {
    // 43 characters and one `=`; anything longer is not worth decoding.
    if text.len() != 44 {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

/// The one spelling of a hash.
pub(super) fn hash_text(hash: &Digest) -> String {
    STANDARD.encode(hash.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("20852163"), Some(20_852_163));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in
            ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "١"]
        {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let good = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        assert_eq!(hash(good).map(|hash| hash_text(&hash)).as_deref(), Some(good));
        for bad in [
            "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=", // bits behind the last byte
            "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I",
            "CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I=",
            "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==",
            "",
        ] {
            assert_eq!(hash(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_unreadable_byte_is_named_with_its_line() {
        assert_eq!(
            text(b"a\nb\r\n", 10),
            Err(FormatError::new(2, FormatReason::ControlCharacter(13)))
        );
        assert_eq!(text(b"a\n\n\xff", 10), Err(FormatError::new(3, FormatReason::NotUtf8)));
        assert_eq!(
            text(b"abc", 2),
            Err(FormatError::new(1, FormatReason::TooLarge { bytes: 3, bytes_max: 2 }))
        );
    }
}
