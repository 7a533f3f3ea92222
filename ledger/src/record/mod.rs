//! A record is one statement, such as "this contract was issued", that a member
//! of the ledger has signed and can never unsay.
//!
//! On the wire it is a JWS in compact serialization (RFC 7515), at most 64 KiB:
//!
//! ```text
//! base64url(header) . base64url(payload) . base64url(signature)
//! ```
//!
//! Those bytes are stored and hashed as they came; nothing is ever written
//! anew, so there is no canonical form to disagree about. Their SHA-256 is the
//! record's id. Because the id is that of the bytes, no two spellings of one
//! record may pass: base64url is read in its canonical form only, the signature
//! is checked strictly, and the JSON is I-JSON (RFC 7493) without a float, a
//! `null` or a name that stands twice.
//!
//! Two types say how far a record has come. An [`Envelope`] is well-formed: it
//! has a header, a payload of one of the [types](crate::insurance::RecordType),
//! and sixty-four bytes in the place of a signature. A [`Record`] is verified
//! too: a member of the ledger signed it with a key of its own, and has a role
//! that may. Whether it can be true after what the ledger already holds is
//! asked later, by the rules.

mod commit;
mod document;
pub(crate) mod encoding;
mod envelope;
mod fields;
mod header;
pub(crate) mod json;
pub(crate) mod path;
mod payload;
mod sign;
mod signature;

#[cfg(test)]
mod tests;

pub use commit::{DOCUMENT_SALT_BYTES, FileCommitment, MATCH_KEY_BYTES, MatchKey, NotAMatchKey};
pub use document::{Commitment, Document, MediaType};
pub use envelope::{Envelope, Record};
pub use payload::{Payload, Salt};
pub use sign::{RecordSecretKey, SignRecord, sign};

pub use crate::insurance::{ClaimRef, ContractRef};
