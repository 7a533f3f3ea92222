//! Checking proofs: pure arithmetic on untrusted input, as RFC 9162 walks it
//! (sections 2.1.3.2 and 2.1.4.2). Only proofs of exactly the right length pass.

use super::{EMPTY_ROOT, TreeError, node_hash};
use crate::digest::Digest;

/// The root that an inclusion proof leads to from this leaf.
///
/// # Errors
/// The index is not below the size, or the proof has the wrong length for them.
pub fn root_of_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
) -> Result<Digest, TreeError> {
    let Some(last) = size.checked_sub(1).filter(|last| index <= *last) else {
        return Err(TreeError::IndexBeyondSize { index, size });
    };
    let expected = inclusion_length(index, last);
    if proof.len() != expected {
        return Err(TreeError::ProofLength { found: proof.len(), expected });
    }
    let (mut index, mut last, mut node) = (index, last, *leaf);
    for sibling in proof {
        // On the right edge a subtree without a right neighbour moves up alone.
        while index == last && index & 1 == 0 && index != 0 {
            index >>= 1;
            last >>= 1;
        }
        node = if index & 1 == 1 { node_hash(sibling, &node) } else { node_hash(&node, sibling) };
        index >>= 1;
        last >>= 1;
    }
    Ok(node)
}

/// How many hashes the proof for `index` has where `last` is the last index:
/// one a level up to where the path meets the right edge, and from there one for
/// each left neighbour.
fn inclusion_length(index: u64, last: u64) -> usize {
    let inner = u64::BITS - (index ^ last).leading_zeros();
    let border = index.checked_shr(inner).map_or(0, u64::count_ones);
    usize::try_from(inner.saturating_add(border)).unwrap_or(usize::MAX)
}

/// Checks that the leaf is record `index` of the tree with this size and root.
///
/// # Errors
/// The index is not below the size, the proof has the wrong length, or it leads
/// to another root.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), TreeError> {
    same(root_of_inclusion(leaf, index, size, proof)?, *root)
}

/// Checks that the tree of size `to` begins with the tree of size `from`.
///
/// From 0 and between equal sizes the proof is empty; equal sizes need equal
/// roots, and every tree continues the empty one, whose root must be
/// [`EMPTY_ROOT`].
///
/// # Errors
/// `from` is above `to`, the proof has the wrong length, or it leads to another
/// root on either side.
pub fn verify_consistency(
    from: u64,
    from_root: &Digest,
    to: u64,
    to_root: &Digest,
    proof: &[Digest],
) -> Result<(), TreeError> {
    if from > to {
        return Err(TreeError::Shrinks { from, to });
    }
    let expected = consistency_length(from, to);
    if proof.len() != expected {
        return Err(TreeError::ProofLength { found: proof.len(), expected });
    }
    if from == 0 {
        same(*from_root, EMPTY_ROOT)?;
        return if to == 0 { same(*to_root, EMPTY_ROOT) } else { Ok(()) };
    }
    if from == to {
        return same(*to_root, *from_root);
    }

    // The walk starts at the largest complete subtree that ends the old tree. If
    // that is the whole old tree, its root is known and not part of the proof.
    let shift = from.trailing_zeros();
    let (mut old, mut new) = ((from - 1) >> shift, (to - 1) >> shift);
    let (seed, rest) = match proof.split_first() {
        Some((first, rest)) if !from.is_power_of_two() => (*first, rest),
        _ => (*from_root, proof),
    };
    let (mut old_root, mut new_root) = (seed, seed);
    for node in rest {
        while old == new && old & 1 == 0 && old != 0 {
            old >>= 1;
            new >>= 1;
        }
        if old & 1 == 1 || old == new {
            old_root = node_hash(node, &old_root);
            new_root = node_hash(node, &new_root);
        } else {
            new_root = node_hash(&new_root, node);
        }
        old >>= 1;
        new >>= 1;
    }
    same(old_root, *from_root)?;
    same(new_root, *to_root)
}

/// How many hashes the proof from `from` to `to` has.
fn consistency_length(from: u64, to: u64) -> usize {
    if from == 0 || from == to {
        return 0;
    }
    // The path of the last old leaf, from the complete subtree it ends.
    let shift = from.trailing_zeros();
    let path = inclusion_length((from - 1) >> shift, (to - 1) >> shift);
    path.saturating_add(usize::from(!from.is_power_of_two()))
}

fn same(computed: Digest, expected: Digest) -> Result<(), TreeError> {
    if computed == expected { Ok(()) } else { Err(TreeError::OtherRoot { computed, expected }) }
}
