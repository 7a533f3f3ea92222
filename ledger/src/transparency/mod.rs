//! The Merkle tree over record ids and everything that is signed or proved about it.
//!
//! The formats are those of C2SP, so that tools nobody here wrote read them:
//!
//! * [`tree`]: RFC 6962 hashes, proofs and their verification;
//! * [`layout`]: which tiles there are, and the only place that spells a path;
//! * [`Checkpoint`] and [`SignedCheckpoint`]: the tree head and who signed it;
//! * [`LogSigner`] and [`Cosigner`]: how a node and a validator sign it;
//! * [`Policy`]: whose signatures make it final;
//! * [`Receipt`]: one file that proves one record.
//!
//! `docs/FORMATS.md` gives every hashed and signed byte, with test vectors.

mod checkpoint;
mod cosignature;
mod format;
pub mod layout;
mod note;
mod policy;
mod policy_text;
mod receipt;
#[cfg(test)]
mod tests;
pub mod tree;
mod vkey;

pub use checkpoint::{AssembleError, Checkpoint, SignedCheckpoint};
pub use cosignature::{
    COSIGNATURE_TIME_MAX_S, Cosigner, LogSigner, cosignature_message, verify_cosignature,
    verify_log_signature,
};
pub use format::{FormatError, FormatReason};
pub use note::{NoteSignature, SIGNATURES_MAX};
pub use policy::{Cosigned, Policy, PolicyFault, PolicyVerdict};
pub use policy_text::{PolicyError, PolicyReason};
pub use receipt::{Check, RECEIPT_MEDIA_TYPE, Receipt, Verification, verify_bytes};
pub use vkey::{KeyKind, VerifierKey, VerifierKeyError};
