//! The recursive definitions of RFC 6962 §2.1, word for word and without care for speed.

use keyroll_merkle::{Hash, Nodes};
use sha2::{Digest, Sha256};

/// Sizes up to here are tried one by one: more than 64 leaves, so that seven levels are met.
pub(crate) const SIZES: u64 = 70;

pub(crate) fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf(&n.to_le_bytes())).collect()
}

pub(crate) fn leaf(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest([&[0], bytes].concat()).into())
}

fn node(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::digest([&[1], &left.0[..], &right.0[..]].concat()).into())
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

pub(crate) fn mth(d: &[Hash]) -> Hash {
    match d {
        [] => Hash(Sha256::digest([]).into()),
        [one] => *one,
        _ => {
            let (left, right) = d.split_at(split(d.len()));
            node(mth(left), mth(right))
        }
    }
}

pub(crate) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() == 1 {
        return vec![];
    }
    let k = split(d.len());
    let (mut proof, sibling) = if m < k {
        (path(m, &d[..k]), mth(&d[k..]))
    } else {
        (path(m - k, &d[k..]), mth(&d[..k]))
    };
    proof.push(sibling);
    proof
}

pub(crate) fn consistency(m: usize, d: &[Hash]) -> Vec<Hash> {
    if m == 0 {
        return vec![];
    }
    subproof(m, d, true)
}

fn subproof(m: usize, d: &[Hash], is_old_root: bool) -> Vec<Hash> {
    if m == d.len() {
        return if is_old_root { vec![] } else { vec![mth(d)] };
    }
    let k = split(d.len());
    let (mut proof, sibling) = if m <= k {
        (subproof(m, &d[..k], is_old_root), mth(&d[k..]))
    } else {
        (subproof(m - k, &d[k..], false), mth(&d[..k]))
    };
    proof.push(sibling);
    proof
}

/// A source of nodes that computes each from the leaves; it has no others.
pub(crate) struct Leaves(pub(crate) Vec<Hash>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no node {1} on level {0}")]
pub(crate) struct Missing(u8, u64);

impl Nodes for Leaves {
    type Error = Missing;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Missing> {
        let at = |index: u64| usize::try_from(index << level).unwrap();
        self.0
            .get(at(index)..at(index + 1))
            .map(mth)
            .ok_or(Missing(level, index))
    }
}
