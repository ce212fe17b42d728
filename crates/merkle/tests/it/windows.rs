//! A window knows its root and recent proofs whatever its capacity and wherever it starts.

use keyroll_merkle::{
    CompactRangeError, Hash, MAX_SIZE, MIN_CAPACITY, MissingNode, Nodes, RecentTree,
    consistency_proof, empty_root, inclusion_proof,
};
use proptest::prelude::*;

use crate::naive::{self, SIZES};

fn filled(capacity: usize, leaves: &[Hash]) -> RecentTree {
    let mut window = RecentTree::new(capacity);
    for leaf in leaves {
        window.push(*leaf);
    }
    window
}

/// The maximal complete subtrees, from the largest: cut off the largest power of two each time.
fn naive_range(mut leaves: &[Hash]) -> Vec<Hash> {
    let mut range = Vec::new();
    while !leaves.is_empty() {
        let (complete, rest) = leaves.split_at(1 << leaves.len().ilog2());
        range.push(naive::mth(complete));
        leaves = rest;
    }
    range
}

/// What the window promises when the leaves from `start` on were pushed to it.
fn check(window: &RecentTree, leaves: &[Hash], start: usize, capacity: usize) {
    let size = leaves.len();
    let recent = start.max((size + 1).saturating_sub(capacity));
    assert_eq!(window.size(), size as u64);
    assert_eq!(window.root(), naive::mth(leaves), "root of {size}");
    assert_eq!(
        window.compact_range(),
        naive_range(leaves),
        "range of {size}"
    );
    for index in recent..size {
        let proof = inclusion_proof(window, index as u64, size as u64);
        assert_eq!(proof, Ok(naive::path(index, leaves)), "{index} in {size}");
    }
    for from in recent..=size {
        let proof = consistency_proof(window, from as u64, size as u64);
        assert_eq!(
            proof,
            Ok(naive::consistency(from, leaves)),
            "{from} to {size}"
        );
    }
}

#[test]
fn every_window_keeps_its_promise_at_every_size() {
    let leaves = naive::leaves(SIZES);
    for capacity in MIN_CAPACITY..=9 {
        let mut window = RecentTree::new(capacity);
        check(&window, &[], 0, capacity);
        for size in 1..=leaves.len() {
            window.push(leaves[size - 1]);
            check(&window, &leaves[..size], 0, capacity);
        }
    }
}

#[test]
fn every_window_goes_on_from_every_compact_range() {
    let leaves = naive::leaves(SIZES);
    for start in 0..=leaves.len() {
        let range = filled(2, &leaves[..start]).compact_range();
        for capacity in [2, 3, 5] {
            let mut window =
                RecentTree::from_compact_range(start as u64, &range, capacity).unwrap();
            check(&window, &leaves[..start], start, capacity);
            for size in start + 1..=leaves.len() {
                window.push(leaves[size - 1]);
                check(&window, &leaves[..size], start, capacity);
            }
        }
    }
}

#[test]
fn a_window_holds_its_capacity_per_level_and_no_more() {
    let leaves = naive::leaves(SIZES);
    for capacity in MIN_CAPACITY..=9 {
        let window = filled(capacity, &leaves);
        for level in 0..7 {
            let complete = SIZES >> level;
            let held = |index: &u64| window.node(level, *index).is_ok();
            let expected: Vec<_> = (complete.saturating_sub(capacity as u64)..complete).collect();
            assert_eq!((0..SIZES).filter(held).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn a_node_that_is_evicted_or_still_to_come_is_not_held() {
    let window = filled(4, &naive::leaves(10));
    for (level, index) in [(0, 5), (0, 10), (3, 1), (4, 0), (255, 0), (0, u64::MAX)] {
        assert_eq!(window.node(level, index), Err(MissingNode { level, index }));
    }
}

#[test]
fn a_capacity_that_is_too_small_is_raised() {
    let leaves = naive::leaves(SIZES);
    for capacity in [0, 1] {
        check(&filled(capacity, &leaves), &leaves, 0, MIN_CAPACITY);
    }
}

#[test]
fn an_empty_window_has_the_empty_root() {
    assert_eq!(RecentTree::new(2).root(), empty_root());
    assert_eq!(RecentTree::new(2).compact_range(), []);
}

#[test]
fn a_compact_range_must_have_a_hash_per_set_bit() {
    let hashes = naive::leaves(3);
    for (size, expected, given) in [(0, 0, 1), (5, 2, 1), (5, 2, 3), (8, 1, 0), (7, 3, 2)] {
        let refused = RecentTree::from_compact_range(size, &hashes[..given], 2).unwrap_err();
        let found = given;
        assert_eq!(
            refused,
            CompactRangeError::WrongCount {
                size,
                expected,
                found
            }
        );
    }
}

#[test]
fn the_largest_window_can_still_grow() {
    let hashes = naive::leaves(64);
    let mut window = RecentTree::from_compact_range(MAX_SIZE, &hashes[..63], 2).unwrap();
    window.push(hashes[0]);
    assert_eq!(
        (window.size(), window.compact_range().len()),
        (MAX_SIZE + 1, 1)
    );
    window.push(hashes[0]);
    assert_eq!(
        (window.size(), window.compact_range().len()),
        (MAX_SIZE + 2, 2)
    );

    let refused = RecentTree::from_compact_range(u64::MAX, &hashes, 2).unwrap_err();
    assert_eq!(refused, CompactRangeError::TooLarge { size: u64::MAX });
}

#[test]
fn a_clone_goes_its_own_way() {
    let leaves = naive::leaves(20);
    let window = filled(4, &leaves[..19]);
    let mut clone = window.clone();
    clone.push(leaves[19]);
    check(&window, &leaves[..19], 0, 4);
    check(&clone, &leaves, 0, 4);
}

proptest! {
    #[test]
    fn a_window_agrees_with_the_definition(
        capacity in 0usize..12,
        bytes in prop::collection::vec(any::<[u8; 4]>(), 0..150),
        start in any::<prop::sample::Index>(),
    ) {
        let leaves: Vec<_> = bytes.iter().map(|bytes| naive::leaf(bytes)).collect();
        let start = start.index(leaves.len() + 1);
        let range = filled(capacity, &leaves[..start]).compact_range();
        let mut window = RecentTree::from_compact_range(start as u64, &range, capacity).unwrap();
        leaves[start..].iter().for_each(|leaf| window.push(*leaf));
        check(&window, &leaves, start, capacity.max(MIN_CAPACITY));
    }
}
