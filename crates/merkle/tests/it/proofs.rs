//! Proofs are those of the definition, verify, and stop verifying when anything is changed.

use keyroll_merkle::{
    Hash, ProofError, RecentTree, TreeError, WithFallback, consistency_proof, empty_root,
    inclusion_proof, root, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

use crate::naive::{self, Leaves, SIZES};

fn first(leaves: &[Hash], size: u64) -> &[Hash] {
    &leaves[..at(size)]
}

fn at(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

fn flipped(hash: &Hash) -> Hash {
    let mut bytes = hash.0;
    bytes[31] ^= 1;
    Hash(bytes)
}

/// Every way to change one hash, leave one out, say one twice or swap two neighbours.
fn mutations(proof: &[Hash], others: &[Hash]) -> Vec<Vec<Hash>> {
    let mut mutations = Vec::new();
    for position in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[position] = flipped(&changed[position]);
        mutations.push(changed);
        let mut shorter = proof.to_vec();
        shorter.remove(position);
        mutations.push(shorter);
        if position > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(position - 1, position);
            mutations.push(swapped);
        }
    }
    for position in 0..=proof.len() {
        for other in proof.iter().chain(others) {
            let mut longer = proof.to_vec();
            longer.insert(position, *other);
            mutations.push(longer);
        }
    }
    mutations
}

#[test]
fn roots_are_those_of_the_definition() {
    let leaves = Leaves(naive::leaves(SIZES));
    for size in 0..=SIZES {
        let expected = naive::mth(first(&leaves.0, size));
        assert_eq!(root(&leaves, size), Ok(expected), "size {size}");
    }
}

#[test]
fn inclusion_proofs_are_those_of_the_definition_and_verify() {
    let leaves = Leaves(naive::leaves(SIZES));
    for size in 1..=SIZES {
        let tree = first(&leaves.0, size);
        let root = naive::mth(tree);
        for index in 0..size {
            let proof = inclusion_proof(&leaves, index, size).unwrap();
            assert_eq!(proof, naive::path(at(index), tree), "{index} in {size}");
            verify_inclusion(&tree[at(index)], index, size, &proof, &root).unwrap();
        }
    }
}

#[test]
fn no_mutation_of_an_inclusion_proof_verifies() {
    let leaves = Leaves(naive::leaves(20));
    for size in 1..=20 {
        let root = naive::mth(first(&leaves.0, size));
        for index in 0..size {
            let leaf = leaves.0[at(index)];
            let proof = inclusion_proof(&leaves, index, size).unwrap();
            for mutation in mutations(&proof, &[leaf, root]) {
                verify_inclusion(&leaf, index, size, &mutation, &root).unwrap_err();
            }
            for other in (0..=size).filter(|other| *other != index) {
                verify_inclusion(&leaf, other, size, &proof, &root).unwrap_err();
            }
            let mismatch = Err(ProofError::Root);
            let (bad_leaf, bad_root) = (flipped(&leaf), flipped(&root));
            assert_eq!(
                verify_inclusion(&bad_leaf, index, size, &proof, &root),
                mismatch
            );
            assert_eq!(
                verify_inclusion(&leaf, index, size, &proof, &bad_root),
                mismatch
            );
        }
    }
}

#[test]
fn consistency_proofs_are_those_of_the_definition_and_verify() {
    let leaves = Leaves(naive::leaves(SIZES));
    for to in 0..=SIZES {
        let tree = first(&leaves.0, to);
        let to_root = naive::mth(tree);
        for from in 0..=to {
            let from_root = naive::mth(first(tree, from));
            let proof = consistency_proof(&leaves, from, to).unwrap();
            assert_eq!(proof, naive::consistency(at(from), tree), "{from} to {to}");
            verify_consistency(from, &from_root, to, &to_root, &proof).unwrap();
        }
    }
}

#[test]
fn no_mutation_of_a_consistency_proof_verifies() {
    let leaves = Leaves(naive::leaves(20));
    let roots: Vec<_> = (0..=20).map(|n| naive::mth(first(&leaves.0, n))).collect();
    for to in 0..=20 {
        let to_root = roots[at(to)];
        for from in 0..=to {
            let from_root = roots[at(from)];
            let proof = consistency_proof(&leaves, from, to).unwrap();
            for mutation in mutations(&proof, &[from_root, to_root]) {
                verify_consistency(from, &from_root, to, &to_root, &mutation).unwrap_err();
            }
            for other in (0..=to).filter(|other| *other != from) {
                verify_consistency(other, &from_root, to, &to_root, &proof).unwrap_err();
            }
            let bad_root = flipped(&from_root);
            verify_consistency(from, &bad_root, to, &to_root, &proof).unwrap_err();
            // Nothing is known of a tree that follows the empty one, so its root may be anything.
            if from > 0 || to == 0 {
                let bad_root = flipped(&to_root);
                verify_consistency(from, &from_root, to, &bad_root, &proof).unwrap_err();
            }
        }
    }
}

#[test]
fn each_mismatch_has_its_own_error() {
    let leaves = Leaves(naive::leaves(7));
    let (leaf, old, new) = (
        leaves.0[2],
        naive::mth(&leaves.0[..6]),
        naive::mth(&leaves.0),
    );
    let path = inclusion_proof(&leaves, 2, 7).unwrap();
    let proof = consistency_proof(&leaves, 6, 7).unwrap();
    let too_long = |proof: &[Hash]| [proof, &[leaf]].concat();
    let inclusion = |proof: &[Hash]| verify_inclusion(&leaf, 2, 7, proof, &new);
    let consistency = |proof: &[Hash]| verify_consistency(6, &old, 7, &new, proof);

    assert_eq!(
        inclusion(&path[..2]),
        Err(ProofError::TooShort { hashes: 2 })
    );
    assert_eq!(
        inclusion(&too_long(&path)),
        Err(ProofError::TooLong { hashes: 4 })
    );
    assert_eq!(consistency(&[]), Err(ProofError::TooShort { hashes: 0 }));
    assert_eq!(
        consistency(&proof[..1]),
        Err(ProofError::TooShort { hashes: 1 })
    );
    assert_eq!(
        consistency(&too_long(&proof)),
        Err(ProofError::TooLong { hashes: 4 })
    );
    assert_eq!(
        verify_consistency(6, &new, 7, &new, &proof),
        Err(ProofError::OldRoot)
    );
    assert_eq!(
        verify_consistency(6, &old, 7, &old, &proof),
        Err(ProofError::Root)
    );
}

#[test]
fn the_empty_tree_and_equal_trees_have_nothing_to_prove() {
    let [some, other] = [naive::leaf(b"some"), naive::leaf(b"other")];
    let too_long = Err(ProofError::TooLong { hashes: 1 });
    assert_eq!(verify_consistency(0, &empty_root(), 9, &some, &[]), Ok(()));
    assert_eq!(
        verify_consistency(0, &empty_root(), 9, &some, &[some]),
        too_long
    );
    assert_eq!(
        verify_consistency(0, &some, 9, &some, &[]),
        Err(ProofError::OldRoot)
    );
    assert_eq!(
        verify_consistency(0, &some, 0, &some, &[]),
        Err(ProofError::OldRoot)
    );
    assert_eq!(verify_consistency(9, &some, 9, &some, &[]), Ok(()));
    assert_eq!(verify_consistency(9, &some, 9, &some, &[some]), too_long);
    assert_eq!(
        verify_consistency(9, &some, 9, &other, &[]),
        Err(ProofError::Root)
    );
}

#[test]
fn leaves_and_trees_that_do_not_exist_are_refused() {
    let leaves = Leaves(naive::leaves(7));
    let root = naive::mth(&leaves.0);
    for (index, size) in [(0, 0), (7, 7), (u64::MAX, 7), (u64::MAX, u64::MAX)] {
        assert_eq!(
            inclusion_proof(&leaves, index, size),
            Err(TreeError::NoSuchLeaf { index, size })
        );
        assert_eq!(
            verify_inclusion(&root, index, size, &[], &root),
            Err(ProofError::NoSuchLeaf { index, size })
        );
    }
    let (from, to) = (7, 6);
    assert_eq!(
        consistency_proof(&leaves, from, to),
        Err(TreeError::SizesReversed { from, to })
    );
    assert_eq!(
        verify_consistency(from, &root, to, &root, &[]),
        Err(ProofError::SizesReversed { from, to })
    );
}

#[test]
fn a_missing_node_is_the_sources_own_error() {
    let leaves = Leaves(naive::leaves(7));
    let missing = inclusion_proof(&leaves, 0, 8).unwrap_err();
    assert!(matches!(missing, TreeError::Node(_)));
    assert_eq!(missing.to_string(), "no node 1 on level 2");
    assert!(root(&leaves, 8).is_err());
    assert!(matches!(
        consistency_proof(&leaves, 3, 8),
        Err(TreeError::Node(_))
    ));
}

#[test]
fn of_two_sources_the_second_fills_the_gaps_of_the_first() {
    let all = naive::leaves(40);
    let mut window = RecentTree::new(2);
    for leaf in &all {
        window.push(*leaf);
    }
    assert!(inclusion_proof(&window, 0, 40).is_err());

    let leaves = Leaves(all.clone());
    let both = inclusion_proof(&WithFallback(&window, &leaves), 0, 40);
    assert_eq!(both.unwrap(), naive::path(0, &all));
    let first = inclusion_proof(&WithFallback(&window, &Leaves(vec![])), 39, 40);
    assert_eq!(first.unwrap(), naive::path(39, &all));
    let neither = inclusion_proof(&WithFallback(&window, &Leaves(vec![])), 0, 40);
    assert_eq!(neither.unwrap_err().to_string(), "no node 1 on level 0");
}

fn any_hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

/// Mostly numbers that lie close to each other or to the limits.
fn any_size() -> impl Strategy<Value = u64> {
    prop_oneof![0..6u64, (u64::MAX - 5)..=u64::MAX, any::<u64>()]
}

proptest! {
    #[test]
    fn random_proofs_are_refused_without_a_panic(
        [first, second] in [any_size(), any_size()],
        hashes in prop::collection::vec(any_hash(), 2..70),
    ) {
        let [one, other] = [hashes[0], hashes[1]];
        prop_assert!(verify_inclusion(&one, first, second, &hashes[2..], &other).is_err());
        let consistency = verify_consistency(first, &one, second, &other, &hashes[2..]);
        prop_assert!(consistency.is_err());
    }
}
