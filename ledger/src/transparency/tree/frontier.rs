//! The right edge of a tree, from which it can grow and whose root is known.

use tlog_tiles::{HashReader, sub_tree_index};

use super::{EMPTY_ROOT, TREE_SIZE_MAX, TreeError, in_bounds, node_hash, read};
use crate::digest::Digest;

/// The roots of the complete subtrees that make up a tree, largest first: one
/// for each bit set in its size. At most 63 hashes, whatever the tree's size.
///
/// With it a block's root is computed, and checked in an audit, without storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Digest>,
}

impl Frontier {
    /// The edge of the empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// The edge of a stored tree, in one read.
    ///
    /// # Errors
    /// The size is too large, or the reader failed.
    pub fn read<R: HashReader>(size: u64, reader: &R) -> Result<Self, TreeError> {
        in_bounds(size)?;
        if size == 0 {
            return Ok(Self::new());
        }
        let nodes = read(reader, &sub_tree_index(0, size, Vec::new()))?;
        Ok(Self { size, nodes })
    }

    /// The edge of a tree whose size and complete subtrees were kept.
    ///
    /// # Errors
    /// The size is too large, or has not as many bits set as there are nodes.
    pub fn from_parts(size: u64, nodes: Vec<Digest>) -> Result<Self, TreeError> {
        in_bounds(size)?;
        // At most 64, so it fits any usize.
        let expected = usize::try_from(size.count_ones()).unwrap_or(usize::MAX);
        if nodes.len() == expected {
            Ok(Self { size, nodes })
        } else {
            Err(TreeError::Edge { size, found: nodes.len(), expected })
        }
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees, largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Digest] {
        &self.nodes
    }

    /// Appends a leaf, given by its hash.
    ///
    /// # Errors
    /// The tree is as large as it may be.
    pub fn push(&mut self, leaf: Digest) -> Result<(), TreeError> {
        self.grow(leaf, |_| ())
    }

    /// Appends a leaf, given by its hash, and adds the nodes that the store must
    /// append for it to `stored`: the leaf, then each subtree that it completes.
    ///
    /// # Errors
    /// The tree is as large as it may be.
    pub fn push_storing(
        &mut self,
        leaf: Digest,
        stored: &mut Vec<Digest>,
    ) -> Result<(), TreeError> {
        self.grow(leaf, |node| stored.push(node))
    }

    fn grow(&mut self, leaf: Digest, mut completed: impl FnMut(Digest)) -> Result<(), TreeError> {
        let size = self.size.saturating_add(1);
        if size > TREE_SIZE_MAX {
            return Err(TreeError::TooLarge { size });
        }
        completed(leaf);
        let mut node = leaf;
        // Each one at the end of the old size is a subtree as large as the one
        // just completed, so the two make one of twice the size.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            node = node_hash(&left, &node);
            completed(node);
        }
        self.nodes.push(node);
        self.size = size;
        Ok(())
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.nodes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT)
    }
}
