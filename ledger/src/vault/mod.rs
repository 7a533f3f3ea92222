//! Private data: beside the ledger, never on it, and erasable.
//!
//! A record holds only digests (`_sd`) of its private fields, as RFC 9901
//! (SD-JWT) has them. The fields themselves are [`Disclosure`]s, each with a
//! random salt of its own, so that no digest can be guessed back. Whoever took
//! them keeps them in a [`Vault`]; a [`Presentation`] is a record together with
//! those that somebody may see. Once the disclosures are erased, the record, its
//! receipt and every proof hold as before, and nobody can tell what was said.
//!
//! [`conceal()`] makes disclosures of the fields that the table of
//! [`PRIVATE_FIELDS`] names, and of any others.
//!
//! # How a value is gone
//!
//! Nothing private goes through the store: its engine keeps old pages, and
//! nobody can say when they are overwritten. The vault is files of its own:
//!
//! ```text
//! slots           a slot of fixed size for each record: the record's own random
//!                 key, wrapped with the vault's key (XChaCha20-Poly1305)
//! sealed/<id>     the record's disclosures, sealed with the record's key
//! erasing/<id>    the signed record that says the erasure, until it is on the ledger
//! ```
//!
//! An erasure, in this order, each step on the disk before the next begins:
//!
//! 1. `erasing/<id>` is written: from here on the erasure is finished at every
//!    open, whatever happens.
//! 2. The slot is overwritten in place with a tombstone. The record's key is gone
//!    with it; slots are never copied or moved. Its id and a digest of its salt
//!    stay, by which the same record, sent again, is known for what it is.
//! 3. The sealed file is overwritten with zeros, cut to nothing, and removed;
//!    the folder is flushed.
//! 4. The caller records the erasure on the ledger, and then says so
//!    ([`Vault::erasure_recorded`]), which removes `erasing/<id>`.
//!
//! So neither "recorded as erased but still there" nor "erased but never
//! recorded" outlives a crash. The tombstone keeps a later `put` from bringing
//! the values back.
//!
//! Why both: earlier versions of a sealed file may have left blocks behind that
//! no program can reach, but each of them is sealed with the record's key, and
//! that stood in one place only.
//!
//! # What cannot be promised
//!
//! *Overwriting in place* is what this program asks of the file system; these do
//! otherwise, and then the old slot lives on until its block is used again: flash
//! disks that level wear, file systems that copy on write (btrfs, ZFS, overlays),
//! journals of data, snapshots, backups, virtual disks with history. Whoever can
//! read such a left-over *and* has the vault's key can read what was erased. So
//! keep `keys/vault.key` out of the backups of the vault, keep snapshots of the
//! vault's folder no longer than the law lets you keep the data, and encrypt the
//! disk. Memory and swap are not wiped beyond keys and texts in transit, and what
//! was given out before an erasure is not taken back.
//!
//! This module is synchronous, opens no socket and reads no clock.

mod conceal;
mod disclosure;
mod erasure;
mod error;
mod files;
mod presentation;
mod seal;
mod slots;
mod store;

#[cfg(test)]
mod tests;

pub use conceal::{
    Concealed, PRIVATE_FIELDS, PrivateField, conceal, is_private, own_fields_that_may_be_private,
    private_fields_of, random_salt,
};
pub use disclosure::Disclosure;
pub use erasure::Erasure;
pub use error::VaultError;
pub use presentation::{Disclosed, PRESENTATION_MEDIA_TYPE, Place, Presentation, disclosed};
pub use seal::VaultKey;
pub use store::{Held, Put, Staging, Standing, Vault};
