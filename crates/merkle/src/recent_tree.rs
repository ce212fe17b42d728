//! A growing tree that keeps only its recent nodes in memory.
//!
//! The newest leaves are proved at once to the callers who added them. Their proofs consist of
//! recent nodes, so a bounded number of nodes per level is enough to make the proofs without
//! reading the disk.

use std::collections::VecDeque;

use crate::hash::{Hash, empty_root, node_hash};
use crate::nodes::Nodes;

/// The smallest capacity: a node and the sibling it is combined with.
pub const MIN_CAPACITY: usize = 2;

/// The largest size that a tree can start from. The rest up to an overflow is far more than can
/// ever be pushed.
pub const MAX_SIZE: u64 = u64::MAX >> 1;

/// An appendable tree which holds, on each level, at most `capacity` of its newest complete nodes.
///
/// It always has the whole compact range, hence its root. It has the inclusion proof of each of
/// the newest `capacity - 1` leaves and the consistency proof from each of the newest
/// `capacity - 1` sizes, as far as they were pushed to it: a tree made by
/// [`RecentTree::from_compact_range`] knows only the range of the earlier leaves.
#[derive(Debug, Clone)]
pub struct RecentTree {
    capacity: usize,
    size: u64,
    /// Level 0 first; `levels[k]` ends with node `(size >> k) - 1`, the newest complete one, unless
    /// the tree was made from a compact range that lacks it.
    levels: Vec<Level>,
}

/// Consecutive nodes of one level.
#[derive(Debug, Clone, Default)]
struct Level {
    /// The index of the first node in memory, or of the first to come.
    first: u64,
    nodes: VecDeque<Hash>,
}

/// The tree no longer has this node in memory, or never had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node {index} of level {level} is not in memory")]
pub struct MissingNode {
    /// Level above the leaves.
    pub level: u8,
    /// Position on that level.
    pub index: u64,
}

/// Why a compact range does not make a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactRangeError {
    /// A compact range has a node for each bit set in the size.
    #[error("the compact range of {size} leaves has {expected} nodes, not {found}")]
    WrongCount {
        /// The size of the tree.
        size: u64,
        /// How many nodes its compact range has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// No real tree is that large.
    #[error("a tree of {size} leaves is too large, the limit is {MAX_SIZE}")]
    TooLarge {
        /// The size given.
        size: u64,
    },
}

impl RecentTree {
    /// An empty tree. A capacity below [`MIN_CAPACITY`] is raised to it.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(MIN_CAPACITY),
            size: 0,
            levels: Vec::new(),
        }
    }

    /// A tree that continues from `size` leaves. The compact range holds the roots of the maximal
    /// complete subtrees, from the largest to the smallest, as [`RecentTree::compact_range`] gives
    /// it. The capacity is treated as by [`RecentTree::new`].
    ///
    /// Only a comparison of [`RecentTree::root`] with a trusted root shows that the hashes are
    /// right.
    ///
    /// # Errors
    /// [`CompactRangeError::WrongCount`] for too many or too few hashes,
    /// [`CompactRangeError::TooLarge`] for a size above [`MAX_SIZE`].
    pub fn from_compact_range(
        size: u64,
        range: &[Hash],
        capacity: usize,
    ) -> Result<Self, CompactRangeError> {
        if size > MAX_SIZE {
            return Err(CompactRangeError::TooLarge { size });
        }
        let expected = size.count_ones() as usize;
        if range.len() != expected {
            return Err(CompactRangeError::WrongCount {
                size,
                expected,
                found: range.len(),
            });
        }
        let mut tree = Self::new(capacity);
        tree.size = size;
        let mut smallest_first = range.iter().rev();
        let mut complete = size;
        while complete > 0 {
            // An odd count leaves its last node without a sibling: that one is in the range.
            let node = (complete & 1 == 1).then(|| smallest_first.next()).flatten();
            tree.levels.push(Level {
                first: complete - (complete & 1),
                nodes: node.copied().into_iter().collect(),
            });
            complete >>= 1;
        }
        Ok(tree)
    }

    /// Adds the hash of the next leaf, in amortised constant time.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let Some(left) = self.levels[level].push(hash, self.capacity) else {
                break;
            };
            hash = node_hash(&left, &hash);
        }
        self.size += 1;
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The current root of the tree (RFC 6962 §2.1).
    pub fn root(&self) -> Hash {
        self.range_smallest_first()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }

    /// The roots of the maximal complete subtrees, from the largest to the smallest: all that is
    /// needed to continue the tree, at most 63 hashes.
    pub fn compact_range(&self) -> Vec<Hash> {
        let mut range: Vec<_> = self.range_smallest_first().collect();
        range.reverse();
        range
    }

    fn range_smallest_first(&self) -> impl Iterator<Item = Hash> {
        self.levels
            .iter()
            .enumerate()
            .filter(|(level, _)| self.size >> level & 1 == 1)
            // The newest node of a level is never evicted, so none is missing here.
            .filter_map(|(_, level)| level.nodes.back().copied())
    }
}

impl Nodes for RecentTree {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        self.levels
            .get(usize::from(level))
            .and_then(|nodes| nodes.get(index))
            .ok_or(MissingNode { level, index })
    }
}

impl Level {
    /// Adds the next node and returns its left sibling if it is a right child. The sibling is
    /// read before anything is evicted and is always there: it was the newest node of its level.
    fn push(&mut self, node: Hash, capacity: usize) -> Option<Hash> {
        let newest = self.nodes.back().copied();
        let index = self.first + self.nodes.len() as u64;
        self.nodes.push_back(node);
        if self.nodes.len() > capacity {
            self.nodes.pop_front();
            self.first += 1;
        }
        newest.filter(|_| index & 1 == 1)
    }

    fn get(&self, index: u64) -> Option<Hash> {
        let position = index.checked_sub(self.first)?;
        self.nodes.get(usize::try_from(position).ok()?).copied()
    }
}
