//! Verification of proofs, by the algorithms of RFC 9162.
//!
//! They share no code with the generation of proofs, so that a mistake there cannot hide here.

use crate::hash::{Hash, empty_root, node_hash};

/// The most hashes a proof can have: one for each level of a tree of 2⁶⁴ leaves, and one more for
/// the node that a consistency proof starts from. Decoders stop here.
pub const MAX_PROOF_HASHES: usize = 65;

/// Why a proof is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// The leaf that was to be proved.
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
    /// The proof ends before the root is reached.
    #[error("the proof is too short: it has {hashes} hashes")]
    TooShort {
        /// How many hashes it has.
        hashes: usize,
    },
    /// The proof goes on after the root is reached.
    #[error("the proof is too long: it has {hashes} hashes")]
    TooLong {
        /// How many hashes it has.
        hashes: usize,
    },
    /// The earlier root of a consistency proof is not the one that the proof leads to.
    #[error("the proof does not lead to the root of the earlier tree")]
    OldRoot,
    /// The root (for consistency: the later one) is not the one that the proof leads to.
    #[error("the proof does not lead to the root of the tree")]
    Root,
}

/// Whether `leaf` is at `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// # Errors
/// Every mismatch of any argument; see [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    let hashes = proof.len();
    let mut climb = Climb::new(index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step() {
            None => return Err(ProofError::TooLong { hashes }),
            Some(Side::Left) => node_hash(sibling, &hash),
            Some(Side::Right) => node_hash(&hash, sibling),
        };
    }
    if !climb.is_at_root() {
        return Err(ProofError::TooShort { hashes });
    }
    same(&hash, root, ProofError::Root)
}

/// Whether the tree of `to_size` leaves with `to_root` starts with the tree of `from_size` leaves
/// with `from_root` (RFC 9162 §2.1.4.2).
///
/// From the empty tree the proof must be empty and `from_root` the root of the empty tree; between
/// equal sizes the proof must be empty and the roots equal. RFC 9162 leaves both cases open.
///
/// # Errors
/// Every mismatch of any argument; see [`ProofError`].
pub fn verify_consistency(
    from_size: u64,
    from_root: &Hash,
    to_size: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (from, to, hashes) = (from_size, to_size, proof.len());
    if from > to {
        return Err(ProofError::SizesReversed { from, to });
    }
    if from == 0 || from == to {
        return verify_trivial(from, from_root, to, to_root, hashes);
    }
    // A proof from a complete tree leaves out that tree's root, which the verifier has.
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort { hashes })?
    };
    let mut climb = Climb::new(from - 1, to - 1);
    climb.skip_right_turns();
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match climb.step() {
            None => return Err(ProofError::TooLong { hashes }),
            // A left sibling belongs to both trees, a right one only to the new tree.
            Some(Side::Left) => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Some(Side::Right) => new = node_hash(&new, sibling),
        }
    }
    if !climb.is_at_root() {
        return Err(ProofError::TooShort { hashes });
    }
    same(&old, from_root, ProofError::OldRoot)?;
    same(&new, to_root, ProofError::Root)
}

/// The cases with nothing to prove and something to check.
fn verify_trivial(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    hashes: usize,
) -> Result<(), ProofError> {
    if hashes > 0 {
        return Err(ProofError::TooLong { hashes });
    }
    if from == 0 {
        same(&empty_root(), from_root, ProofError::OldRoot)?;
    }
    if from == to {
        same(from_root, to_root, ProofError::Root)?;
    }
    Ok(())
}

fn same(found: &Hash, expected: &Hash, error: ProofError) -> Result<(), ProofError> {
    if found == expected {
        Ok(())
    } else {
        Err(error)
    }
}

/// The side of the next sibling.
enum Side {
    Left,
    Right,
}

/// The path from a node to the root: `fn` and `sn` of RFC 9162, here `node` and `last`, the indexes
/// of the node and of the tree's last node on the present level.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    fn new(node: u64, last: u64) -> Self {
        Self { node, last }
    }

    fn is_at_root(&self) -> bool {
        self.last == 0
    }

    /// Takes the next sibling, if there is one, and goes up past it.
    fn step(&mut self) -> Option<Side> {
        if self.is_at_root() {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of a level has no right sibling: it goes up unchanged until it has a
            // left one. There is one, since the root would have been reached otherwise.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Some(side)
    }

    /// Goes up while the node is a right child: from the last leaf of the old tree to the largest
    /// complete subtree that ends with it.
    fn skip_right_turns(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
}
