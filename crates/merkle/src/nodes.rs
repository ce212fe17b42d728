//! Roots and proofs, made from any source of tree nodes (RFC 6962 §2.1).
//!
//! A source answers for complete, aligned subtrees only: their hashes never change once the tree
//! has them, so they can be stored, cached and shared. The incomplete subtrees at the right edge
//! depend on the size of the tree and are put together here.

use crate::hash::{Hash, empty_root, node_hash};

/// A source of tree nodes.
pub trait Nodes {
    /// Why a node is not available.
    type Error;

    /// The hash of the complete subtree over the leaves `[index << level, (index + 1) << level)`;
    /// at level 0 that is the leaf hash itself.
    ///
    /// # Errors
    /// When the source does not have that node.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Why a proof could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E> {
    /// There is no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// The requested leaf.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A tree never shrinks.
    #[error("a tree of {to} leaves does not contain one of {from}")]
    SizesReversed {
        /// The earlier size, which is the larger one here.
        from: u64,
        /// The later size.
        to: u64,
    },
    /// The source lacks a node.
    #[error(transparent)]
    Node(E),
}

/// `MTH(D[size])`, the root of the first `size` leaves (RFC 6962 §2.1).
///
/// # Errors
/// When `nodes` lacks a node of the compact range of `size`.
pub fn root<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    subtree(nodes, 0, size)
}

/// `PATH(index, D[size])`, the siblings of a leaf from the lowest to the highest (RFC 6962 §2.1.1).
///
/// # Errors
/// [`TreeError::NoSuchLeaf`] for an index at or beyond the size, [`TreeError::Node`] when `nodes`
/// lacks a node of the proof.
pub fn inclusion_proof<N: Nodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    if index >= size {
        return Err(TreeError::NoSuchLeaf { index, size });
    }
    let mut proof = Vec::new();
    siblings(nodes, 0, index, size, &mut proof).map_err(TreeError::Node)?;
    Ok(proof)
}

/// `PROOF(from, D[to])`, which shows that the tree of `to` leaves starts with the tree of `from`
/// (RFC 6962 §2.1.2). It is empty from the empty tree and between equal sizes, where there is
/// nothing to show.
///
/// # Errors
/// [`TreeError::SizesReversed`] when `from` is greater than `to`, [`TreeError::Node`] when `nodes`
/// lacks a node of the proof.
pub fn consistency_proof<N: Nodes + ?Sized>(
    nodes: &N,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    if from > to {
        return Err(TreeError::SizesReversed { from, to });
    }
    let mut proof = Vec::new();
    if from == 0 || from == to {
        return Ok(proof);
    }
    // The last complete subtree of the old tree is the largest one that ends where the old tree
    // ends. Both roots can be computed from it and the siblings of its path in the new tree.
    let level = trailing_level(from);
    let index = (from >> level) - 1;
    // A verifier who has the old root has this node already when it is the whole old tree.
    if !from.is_power_of_two() {
        proof.push(nodes.node(level, index).map_err(TreeError::Node)?);
    }
    siblings(nodes, level, index, to, &mut proof).map_err(TreeError::Node)?;
    Ok(proof)
}

/// Tries the first source, and on any error the second: for a small source in memory in front of a
/// large one on disk.
#[derive(Debug, Clone, Copy)]
pub struct WithFallback<'a, A: ?Sized, B: ?Sized>(pub &'a A, pub &'a B);

impl<A: Nodes + ?Sized, B: Nodes + ?Sized> Nodes for WithFallback<'_, A, B> {
    type Error = B::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, B::Error> {
        self.0
            .node(level, index)
            .or_else(|_| self.1.node(level, index))
    }
}

/// Appends the siblings met on the way from a complete node up to the root of a tree of `size`.
/// The node must lie inside the tree.
fn siblings<N: Nodes + ?Sized>(
    nodes: &N,
    from_level: u8,
    from_index: u64,
    size: u64,
    proof: &mut Vec<Hash>,
) -> Result<(), N::Error> {
    let (mut level, mut index) = (from_level, from_index);
    // The node of each level that holds the tree's last leaf; only this one may be incomplete.
    let mut last = (size - 1) >> level;
    while last > 0 {
        let sibling = index ^ 1;
        if sibling < last {
            proof.push(nodes.node(level, sibling)?);
        } else if sibling == last {
            proof.push(subtree(nodes, last << level, size)?);
        }
        // A sibling beyond the last node has no leaves: the node moves up unchanged.
        index >>= 1;
        last >>= 1;
        level += 1;
    }
    Ok(())
}

/// `MTH(D[start:size])`, where `start` is a multiple of some power of two that is at least
/// `size - start`: the right edge of a tree, put together from complete nodes, smallest first.
fn subtree<N: Nodes + ?Sized>(nodes: &N, start: u64, size: u64) -> Result<Hash, N::Error> {
    let mut leaves = size - start;
    let mut hash = None;
    while leaves > 0 {
        let level = trailing_level(leaves);
        // Below `level` both sizes have no bits left to count, so this is the last complete node.
        let left = nodes.node(level, (size >> level) - 1)?;
        hash = Some(hash.map_or(left, |right| node_hash(&left, &right)));
        leaves &= leaves - 1;
    }
    Ok(hash.unwrap_or_else(empty_root))
}

/// The level of the smallest complete subtree in a run of leaves. `size` is not zero.
fn trailing_level(size: u64) -> u8 {
    // A u64 has 64 bits, so the conversion never falls back.
    u8::try_from(size.trailing_zeros()).unwrap_or(u8::MAX)
}
