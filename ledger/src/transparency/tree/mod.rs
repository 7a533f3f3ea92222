//! The Merkle tree of RFC 6962 over record ids.
//!
//! A leaf is `SHA-256(0x00 ‖ id)`, a node `SHA-256(0x01 ‖ left ‖ right)`, the
//! root of nothing `SHA-256("")`. The store keeps every node of a complete
//! subtree in one flat sequence, each at its [`stored_hash_index`]; whatever
//! reads that sequence is a [`HashReader`], and all functions here work over one.
//!
//! Appending is [`append`]: it reads the right edge of the tree once and returns
//! the nodes that follow in the sequence. A [`Frontier`] is that right edge in
//! memory, enough to compute roots with no storage at all. Proofs come from
//! [`inclusion`] and [`consistency`] and are checked by [`verify_inclusion`] and
//! [`verify_consistency`], which read nothing and accept any input.
//!
//! ```
//! use quittance_ledger::{digest::RecordId, transparency::tree};
//!
//! let ids: Vec<_> = (0..5u8).map(|number| RecordId::of(&[number])).collect();
//! let mut frontier = tree::Frontier::new();
//! for id in &ids {
//!     frontier.push(tree::leaf_hash(id))?;
//! }
//!
//! // The nodes as a store would keep them.
//! let nodes = tree::MemoryNodes::from(tree::append(0, &ids, &tree::MemoryNodes::default())?);
//! let root = tree::root(5, &nodes)?;
//! assert_eq!(root, frontier.root());
//!
//! let proof = tree::inclusion(3, 5, &nodes)?;
//! tree::verify_inclusion(&tree::leaf_hash(&ids[3]), 3, 5, &proof, &root)?;
//! # Ok::<(), tree::TreeError>(())
//! ```

mod frontier;
mod verify;

use sha2::{Digest as _, Sha256};
pub use tlog_tiles::{Hash, HashReader, stored_hash_index};

use crate::digest::{Digest, RecordId};

pub use frontier::Frontier;
pub use verify::{root_of_inclusion, verify_consistency, verify_inclusion};

/// The largest tree this ledger builds. Beyond it, positions of stored nodes
/// would not fit 64 bits.
pub const TREE_SIZE_MAX: u64 = 1 << 62;

/// The most hashes that a proof of this ledger's format holds.
pub const PROOF_HASHES_MAX: usize = 64;

/// What went wrong with the tree or a proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The record's index is not below the tree's size.
    #[error("record {index} is not in a tree of size {size}")]
    IndexBeyondSize {
        /// The record's index, from 0.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The later of two trees is the smaller one.
    #[error("a tree of size {to} cannot continue one of size {from}")]
    Shrinks {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
    },
    /// The size is above [`TREE_SIZE_MAX`].
    #[error("{size} records are more than a tree holds")]
    TooLarge {
        /// The size that was asked for.
        size: u64,
    },
    /// The proof has more or fewer hashes than these sizes call for.
    #[error("the proof has {found} hashes where {expected} belong")]
    ProofLength {
        /// How many it has.
        found: usize,
        /// How many it must have.
        expected: usize,
    },
    /// The proof leads to another root than the one it should prove.
    #[error("the proof leads to root {computed}, not to {expected}")]
    OtherRoot {
        /// The root that the proof leads to.
        computed: Digest,
        /// The root that it should prove.
        expected: Digest,
    },
    /// The parts of a right edge do not fit its size.
    #[error("the right edge of a tree of size {size} has {expected} nodes, not {found}")]
    Edge {
        /// The tree's size.
        size: u64,
        /// How many nodes were given.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The reader gave another number of nodes than it was asked for.
    #[error("asked for {asked} stored nodes, read {read}")]
    ReadShort {
        /// How many nodes were asked for.
        asked: usize,
        /// How many the reader gave.
        read: usize,
    },
    /// The reader failed.
    #[error("stored nodes of the tree cannot be read")]
    Read(#[source] tlog_tiles::Error),
}

/// The root of the empty tree: SHA-256 of nothing.
pub const EMPTY_ROOT: Digest = Digest::from_bytes(tlog_tiles::EMPTY_HASH.0);

/// The hash of a record's leaf: `SHA-256(0x00 ‖ id)`.
#[must_use]
pub fn leaf_hash(id: &RecordId) -> Digest {
    let mut bytes = [0; 33];
    bytes[1..].copy_from_slice(id.as_bytes());
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// How many nodes the store keeps for a tree of that size.
///
/// # Errors
/// The size is above [`TREE_SIZE_MAX`].
pub fn stored_nodes(size: u64) -> Result<u64, TreeError> {
    in_bounds(size)?;
    Ok(tlog_tiles::stored_hash_count(size))
}

/// The nodes that the store must append, in order, when `ids` join a tree of
/// `size` records: a little under two for each. The first belongs at position
/// [`stored_nodes`]`(size)`.
///
/// Reads the right edge of the old tree once; the rest is arithmetic in memory.
///
/// # Errors
/// The tree would be too large, or the reader failed.
pub fn append<'a, R: HashReader>(
    size: u64,
    ids: impl IntoIterator<Item = &'a RecordId>,
    reader: &R,
) -> Result<Vec<Digest>, TreeError> {
    let mut frontier = Frontier::read(size, reader)?;
    let ids = ids.into_iter();
    let mut nodes = Vec::with_capacity(ids.size_hint().0.saturating_mul(2));
    for id in ids {
        frontier.push_storing(leaf_hash(id), &mut nodes)?;
    }
    Ok(nodes)
}

/// The root of the tree of that size.
///
/// # Errors
/// The size is too large, or the reader failed.
pub fn root<R: HashReader>(size: u64, reader: &R) -> Result<Digest, TreeError> {
    Ok(Frontier::read(size, reader)?.root())
}

/// The inclusion proof of a record (RFC 6962, section 2.1.1): from the leaf's
/// sibling up to the child of the root.
///
/// # Errors
/// The record is not in a tree of that size, the size is too large, or the
/// reader failed.
pub fn inclusion<R: HashReader>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Vec<Digest>, TreeError> {
    in_bounds(size)?;
    if index >= size {
        return Err(TreeError::IndexBeyondSize { index, size });
    }
    proved(reader, |reader| tlog_tiles::prove_record(size, index, reader))
}

/// The proof that the tree of size `to` begins with the tree of size `from`
/// (RFC 6962, section 2.1.2). Empty where `from` is 0 or equals `to`.
///
/// # Errors
/// `from` is above `to`, `to` is too large, or the reader failed.
pub fn consistency<R: HashReader>(
    from: u64,
    to: u64,
    reader: &R,
) -> Result<Vec<Digest>, TreeError> {
    in_bounds(to)?;
    if from > to {
        return Err(TreeError::Shrinks { from, to });
    }
    if from == 0 {
        return Ok(Vec::new());
    }
    proved(reader, |reader| tlog_tiles::prove_tree(to, from, reader))
}

fn in_bounds(size: u64) -> Result<(), TreeError> {
    if size <= TREE_SIZE_MAX { Ok(()) } else { Err(TreeError::TooLarge { size }) }
}

/// Runs a prover over a reader that never answers with the wrong number of
/// nodes, which the prover would take for a bug of its own and panic.
fn proved<R: HashReader>(
    reader: &R,
    prove: impl FnOnce(&Counted<'_, R>) -> Result<Vec<Hash>, tlog_tiles::Error>,
) -> Result<Vec<Digest>, TreeError> {
    let counted = Counted { reader, short: std::cell::Cell::new(None) };
    match prove(&counted) {
        Ok(hashes) => Ok(hashes.into_iter().map(|hash| Digest::from_bytes(hash.0)).collect()),
        Err(error) => Err(match counted.short.get() {
            Some((asked, read)) => TreeError::ReadShort { asked, read },
            None => TreeError::Read(error),
        }),
    }
}

struct Counted<'a, R> {
    reader: &'a R,
    short: std::cell::Cell<Option<(usize, usize)>>,
}

impl<R: HashReader> HashReader for Counted<'_, R> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let hashes = self.reader.read_hashes(indexes)?;
        if hashes.len() == indexes.len() {
            Ok(hashes)
        } else {
            self.short.set(Some((indexes.len(), hashes.len())));
            Err(tlog_tiles::Error::IndexesNotInTree)
        }
    }
}

/// Reads stored nodes, no more and no fewer.
pub(super) fn read<R: HashReader>(reader: &R, positions: &[u64]) -> Result<Vec<Digest>, TreeError> {
    proved(reader, |reader| reader.read_hashes(positions))
}

/// Stored nodes in memory, for tests, tools and small trees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryNodes {
    nodes: Vec<Digest>,
}

impl MemoryNodes {
    /// Appends what [`append`] returned.
    pub fn extend(&mut self, nodes: impl IntoIterator<Item = Digest>) {
        self.nodes.extend(nodes);
    }

    /// The nodes, each at its position.
    #[must_use]
    pub fn as_slice(&self) -> &[Digest] {
        &self.nodes
    }
}

impl From<Vec<Digest>> for MemoryNodes {
    fn from(nodes: Vec<Digest>) -> Self {
        Self { nodes }
    }
}

impl HashReader for MemoryNodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        indexes
            .iter()
            .map(|index| {
                let node = usize::try_from(*index).ok().and_then(|index| self.nodes.get(index));
                node.map(|node| Hash(*node.as_bytes())).ok_or(tlog_tiles::Error::IndexesNotInTree)
            })
            .collect()
    }
}
