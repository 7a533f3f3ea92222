//! C2SP signed-note: its signature lines, and how the two kinds of Ed25519 key
//! are verified.
//!
//! The grammar of lines and names is the `signed_note` crate's. What it accepts
//! as a signature is decided here, because this ledger's rule is stricter:
//! `verify_strict`, one signature a key, and a known key whose signature fails
//! rejects the note.

use super::{
    KeyKind, VerifierKey, cosignature,
    format::{FormatError, FormatReason},
};

/// A signature line of a note: key name, key id and signature bytes. Not verified.
pub use signed_note::Signature as NoteSignature;

/// How many signatures of one note are read. Go's and Rust's note readers stop
/// at the same number.
pub const SIGNATURES_MAX: usize = 100;

impl signed_note::Verifier for VerifierKey {
    fn name(&self) -> &str {
        self.name()
    }

    fn key_id(&self) -> u32 {
        self.key_id()
    }

    /// Strict Ed25519 over the text (0x01), or over the cosignature/v1 message
    /// with the signature's own time (0x04).
    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        verify(self, text, signature).is_some()
    }
}

/// What a verified signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verified {
    /// A log's key signed the text.
    Log,
    /// A cosigner's key cosigned it at this POSIX time.
    Cosigned { time_s: u64 },
}

/// Verifies the bytes after the key id of a signature line.
pub(super) fn verify(key: &VerifierKey, text: &[u8], signature: &[u8]) -> Option<Verified> {
    match key.kind() {
        KeyKind::Log => {
            let signature: &[u8; 64] = signature.try_into().ok()?;
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            key.public().verify_strict(text, &signature).ok().map(|()| Verified::Log)
        }
        KeyKind::Cosigner => {
            let (time_s, signature) = cosignature::split(signature)?;
            if time_s > cosignature::COSIGNATURE_TIME_MAX_S {
                return None;
            }
            let message = cosignature::message_of_text(text, time_s);
            let signature = ed25519_dalek::Signature::from_bytes(&signature);
            key.public()
                .verify_strict(&message, &signature)
                .ok()
                .map(|()| Verified::Cosigned { time_s })
        }
    }
}

/// Whether the line claims to be by that key. Names and ids are short, so this
/// says nothing about who signed.
pub(super) fn claims(signature: &NoteSignature, key: &VerifierKey) -> bool {
    signature.id() == key.key_id() && signature.name() == key.name()
}

/// Splits a note into its text, which ends with a newline, and its signature lines.
///
/// # Errors
/// There is no blank line before the last lines, one of those is no signature
/// line in its one spelling, or there are too many.
pub(super) fn split(note: &str) -> Result<(&str, Vec<NoteSignature>), FormatError> {
    let lines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
    let end = |line| {
        FormatError::new(
            line,
            FormatReason::Missing("a blank line and at least one signature line"),
        )
    };
    let blank = note.rfind("\n\n").ok_or_else(|| end(lines(note).saturating_add(1)))?;
    let (text, rest) = note.split_at_checked(blank.saturating_add(1)).ok_or_else(|| end(1))?;
    let block = rest.strip_prefix('\n').ok_or_else(|| end(1))?;
    let before = lines(text).saturating_add(1);

    let mut signatures = Vec::new();
    for (index, line) in block.split_inclusive('\n').enumerate() {
        let number = before.saturating_add(index).saturating_add(1);
        if index >= SIGNATURES_MAX {
            return Err(FormatError::new(number, FormatReason::TooManySignatures(SIGNATURES_MAX)));
        }
        let Some(content) = line.strip_suffix('\n') else {
            return Err(FormatError::new(number, FormatReason::Missing("a newline")));
        };
        let signature = NoteSignature::from_bytes(content.as_bytes())
            .ok()
            // One spelling only, whatever a decoder may tolerate.
            .filter(|signature| signature.to_bytes() == line.as_bytes())
            .ok_or_else(|| FormatError::new(number, FormatReason::Signature))?;
        signatures.push(signature);
    }
    if signatures.is_empty() {
        return Err(end(before.saturating_add(1)));
    }
    Ok((text, signatures))
}
