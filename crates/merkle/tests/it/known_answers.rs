//! Values published with other implementations of RFC 6962.

use std::convert::Infallible;

use keyroll_merkle::{
    Hash, Nodes, RecentTree, consistency_proof, empty_root, inclusion_proof, leaf_hash, root,
    verify_consistency, verify_inclusion,
};

/// The leaves of Certificate Transparency's reference tests.
const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of the first 0, 1, … 8 of them.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(text: &str) -> Hash {
    Hash(hex::decode(text).unwrap().try_into().unwrap())
}

fn leaf(index: usize) -> Hash {
    leaf_hash(&hex::decode(INPUTS[index]).unwrap())
}

fn tree() -> RecentTree {
    let mut tree = RecentTree::new(16);
    (0..8).for_each(|index| tree.push(leaf(index)));
    tree
}

#[test]
fn roots_are_the_published_ones() {
    assert_eq!(empty_root(), hash(ROOTS[0]));
    for (size, expected) in (0..).zip(ROOTS) {
        assert_eq!(root(&tree(), size), Ok(hash(expected)), "size {size}");
    }
}

#[test]
fn inclusion_proofs_are_the_published_ones() {
    let published = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    let proof: Vec<_> = published.into_iter().map(hash).collect();
    assert_eq!(inclusion_proof(&tree(), 0, 8).unwrap(), proof);
    verify_inclusion(&leaf(0), 0, 8, &proof, &hash(ROOTS[8])).unwrap();
}

#[test]
fn consistency_proofs_are_the_published_ones() {
    let published: [(u64, u64, &[&str]); 3] = [
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (from, to, proof) in published {
        let proof: Vec<_> = proof.iter().map(|text| hash(text)).collect();
        assert_eq!(consistency_proof(&tree(), from, to).unwrap(), proof);
        let root = |size: u64| hash(ROOTS[usize::try_from(size).unwrap()]);
        verify_consistency(from, &root(from), to, &root(to), &proof).unwrap();
    }
}

/// A tree whose leaves are all the same has one hash per level, so its size may be anything.
struct Uniform;

impl Nodes for Uniform {
    type Error = Infallible;

    fn node(&self, level: u8, _: u64) -> Result<Hash, Infallible> {
        let hash = (0..level).fold(leaf_hash(b""), |hash, _| {
            keyroll_merkle::node_hash(&hash, &hash)
        });
        Ok(hash)
    }
}

#[test]
fn the_largest_trees_are_proved_like_small_ones() {
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        let root = root(&Uniform, size).unwrap();
        for index in [0, 1, size / 2, size - 1] {
            let proof = inclusion_proof(&Uniform, index, size).unwrap();
            verify_inclusion(&leaf_hash(b""), index, size, &proof, &root).unwrap();
        }
        for from in [1, 3, 1 << 62, size / 2, size - 1] {
            let from_root = keyroll_merkle::root(&Uniform, from).unwrap();
            let proof = consistency_proof(&Uniform, from, size).unwrap();
            verify_consistency(from, &from_root, size, &root, &proof).unwrap();
        }
    }
}

#[test]
fn hashes_print_as_hex() {
    let hash = hash(ROOTS[8]);
    assert_eq!(hash.to_string(), ROOTS[8]);
    assert_eq!(format!("{hash:?}"), ROOTS[8]);
}
