//! Checkpoints (C2SP tlog-checkpoint): the size and root of the tree, and the
//! note that carries them with their signatures.

use std::fmt;

use super::{
    KeyKind, VerifierKey,
    cosignature::{self, COSIGNATURE_TIME_MAX_S},
    format::{self, FormatError, FormatReason},
    note::{self, NoteSignature, SIGNATURES_MAX},
};
use crate::{digest::Digest, limits::CHECKPOINT_BYTES_MAX, membership::Origin};

/// The head of a ledger's tree at one size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: Origin,
    /// How many records the tree holds.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The signed text: origin, decimal size and base64 root, each with a newline.
    #[must_use]
    pub fn body(&self) -> String {
        self.to_string()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Anything but three lines in their one spelling; extension lines, which
    /// checkpoints of a ledger never have, are named as such.
    pub fn parse(body: &[u8]) -> Result<Self, FormatError> {
        Self::parse_text(format::text(body, CHECKPOINT_BYTES_MAX)?)
    }

    fn parse_text(body: &str) -> Result<Self, FormatError> {
        let mut rest = body;
        let mut line = |number: usize, what: &'static str| match rest.split_once('\n') {
            Some((line, after)) => {
                rest = after;
                Ok(line)
            }
            None => Err(FormatError::new(number, FormatReason::Missing(what))),
        };
        let origin = line(1, "the origin and a newline")?
            .parse()
            .map_err(|_| FormatError::new(1, FormatReason::Origin))?;
        let size = format::decimal(line(2, "the tree size and a newline")?)
            .ok_or(FormatError::new(2, FormatReason::Decimal))?;
        let root = format::hash(line(3, "the root hash and a newline")?)
            .ok_or(FormatError::new(3, FormatReason::Hash))?;
        if rest.is_empty() {
            Ok(Self { origin, size, root })
        } else {
            Err(FormatError::new(4, FormatReason::Extension))
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, format::hash_text(&self.root))
    }
}

/// A signature cannot become part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A log's key where a cosigner's belongs, or the other way round.
    #[error("{key} is not a key of the kind that makes this signature")]
    Kind {
        /// The key.
        key: String,
    },
    /// A log's key that is named otherwise than the ledger.
    #[error("the log key is named {name}, the ledger {origin}")]
    LogName {
        /// The key's name.
        name: String,
        /// The ledger's name.
        origin: String,
    },
    /// A time beyond 2^63 − 1.
    #[error("the time of a cosignature is at most 2^63 - 1 seconds, not {time_s}")]
    Time {
        /// The time, in POSIX seconds.
        time_s: u64,
    },
    /// A second signature by the same key, which readers would refuse.
    #[error("{name} has signed this checkpoint already")]
    Repeated {
        /// The key's name.
        name: String,
    },
    /// More than [`SIGNATURES_MAX`] signatures or [`CHECKPOINT_BYTES_MAX`] bytes.
    #[error("the checkpoint would be too large to be read")]
    TooLarge,
    /// A signature whose key name no note can carry.
    #[error("the key name cannot stand in a note")]
    Name,
}

/// A checkpoint as a signed note, its signatures not verified: that takes a
/// [`Policy`](super::Policy).
#[derive(Debug, Clone, PartialEq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<NoteSignature>,
    /// The length of the signed note.
    bytes_len: usize,
}

impl SignedCheckpoint {
    /// Reads a signed note. Every byte counts: [`Self::to_bytes`] gives the same again.
    ///
    /// # Errors
    /// Too large, no checkpoint of a ledger, or no well-formed signature lines;
    /// the line is named.
    pub fn parse(note: &[u8]) -> Result<Self, FormatError> {
        Self::parse_text(format::text(note, CHECKPOINT_BYTES_MAX)?)
    }

    pub(super) fn parse_text(note: &str) -> Result<Self, FormatError> {
        if note.len() > CHECKPOINT_BYTES_MAX {
            let reason =
                FormatReason::TooLarge { bytes: note.len(), bytes_max: CHECKPOINT_BYTES_MAX };
            return Err(FormatError::new(1, reason));
        }
        let (body, signatures) = note::split(note)?;
        let checkpoint = Checkpoint::parse_text(body)?;
        Ok(Self { checkpoint, signatures, bytes_len: note.len() })
    }

    /// Puts a checkpoint together from what a store keeps: the log's key and
    /// signature, and key, POSIX time and signature of each cosigner, in the order
    /// in which they shall stand. Does not verify them.
    ///
    /// # Errors
    /// A key of the wrong kind or name, a key that stands twice, a time beyond
    /// 2^63 − 1, or more than can be read back.
    pub fn assemble(
        checkpoint: Checkpoint,
        log: (&VerifierKey, [u8; 64]),
        cosignatures: &[(&VerifierKey, u64, [u8; 64])],
    ) -> Result<Self, AssembleError> {
        let bytes_len = checkpoint.body().len().saturating_add(1);
        let mut signed = Self { checkpoint, signatures: Vec::new(), bytes_len };
        signed.add_log_signature(log.0, &log.1)?;
        for (key, time_s, signature) in cosignatures {
            signed.add_cosignature(key, *time_s, signature)?;
        }
        Ok(signed)
    }

    /// Adds a log's signature, unverified.
    ///
    /// # Errors
    /// See [`Self::assemble`].
    pub fn add_log_signature(
        &mut self,
        key: &VerifierKey,
        signature: &[u8; 64],
    ) -> Result<(), AssembleError> {
        if key.kind() != KeyKind::Log {
            return Err(AssembleError::Kind { key: key.to_string() });
        }
        if key.name() != self.checkpoint.origin.as_str() {
            return Err(AssembleError::LogName {
                name: key.name().to_owned(),
                origin: self.checkpoint.origin.to_string(),
            });
        }
        self.add(key, signature.to_vec())
    }

    /// Adds a cosignature with its POSIX time in seconds, unverified.
    ///
    /// # Errors
    /// See [`Self::assemble`].
    pub fn add_cosignature(
        &mut self,
        key: &VerifierKey,
        time_s: u64,
        signature: &[u8; 64],
    ) -> Result<(), AssembleError> {
        if key.kind() != KeyKind::Cosigner {
            return Err(AssembleError::Kind { key: key.to_string() });
        }
        if time_s > COSIGNATURE_TIME_MAX_S {
            return Err(AssembleError::Time { time_s });
        }
        self.add(key, cosignature::join(time_s, signature))
    }

    fn add(&mut self, key: &VerifierKey, signature: Vec<u8>) -> Result<(), AssembleError> {
        let signature = NoteSignature::new(key.name().to_owned(), key.key_id(), signature)
            .map_err(|_| AssembleError::Name)?;
        self.add_signature(signature)
    }

    /// Adds a signature line behind the others.
    ///
    /// # Errors
    /// A line of the same key name and id is there, or the note would be too large.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), AssembleError> {
        let same = |other: &NoteSignature| {
            other.id() == signature.id() && other.name() == signature.name()
        };
        if self.signatures.iter().any(same) {
            return Err(AssembleError::Repeated { name: signature.name().to_owned() });
        }
        let bytes_len = self.bytes_len.saturating_add(signature.to_bytes().len());
        if self.signatures.len() >= SIGNATURES_MAX || bytes_len > CHECKPOINT_BYTES_MAX {
            return Err(AssembleError::TooLarge);
        }
        self.bytes_len = bytes_len;
        self.signatures.push(signature);
        Ok(())
    }

    /// What is signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signature lines, none of them verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The signature of the line that claims to be by this log's key. Not verified.
    #[must_use]
    pub fn log_signature(&self, key: &VerifierKey) -> Option<[u8; 64]> {
        self.line(key, KeyKind::Log)?.signature().try_into().ok()
    }

    /// POSIX time in seconds and signature of the line that claims to be by this
    /// cosigner. Not verified.
    #[must_use]
    pub fn cosignature(&self, key: &VerifierKey) -> Option<(u64, [u8; 64])> {
        cosignature::split(self.line(key, KeyKind::Cosigner)?.signature())
    }

    fn line(&self, key: &VerifierKey, kind: KeyKind) -> Option<&NoteSignature> {
        let mut signatures = self.signatures.iter();
        signatures.find(|signature| key.kind() == kind && note::claims(signature, key))
    }

    /// The signed note as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_text().into_bytes()
    }

    /// The signed note: the body, a blank line and the signature lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.checkpoint.body();
        text.push('\n');
        for signature in &self.signatures {
            // A line is UTF-8 throughout: a name and base64.
            text.push_str(&String::from_utf8_lossy(&signature.to_bytes()));
        }
        text
    }
}
