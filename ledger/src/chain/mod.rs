//! Blocks of records, each bound to the one before it by a hash.
//!
//! A [`Header`] commits to the block's records through the tree root, to what
//! they changed through the effects digest, and to all history through the
//! previous header's hash. [`build`] makes the next block from what waits;
//! [`check`] decides whether a block somebody proposes may follow a [`Tip`]. A
//! [`Certificate`] shows that the validators decided on it.

mod block;
mod certificate;
mod evidence;
mod fixed;
mod header;
mod proposal;
#[cfg(test)]
mod vectors;
mod wire;

pub use block::{
    Applied, Block, BlockError, Built, Checked, RawBlock, Tip, build, build_without_rules, check,
    commits_to, next_time_ms,
};
pub use certificate::{Certificate, CertificateError, CommitSignature, VOTE_BYTES, Vote, VoteKind};
pub use evidence::{Evidence, Statement, Step};
pub use header::{HEADER_BYTES, Header, HeaderError};
pub use proposal::{PROPOSAL_BYTES, ProposalSigned};
pub use wire::{BLOCK_WIRE_BYTES_MAX, decode_block, encode_block};
