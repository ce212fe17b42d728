//! Proofs and texts that are refused.

use keyroll_merkle::{SignedCheckpoint, TlogProof, verify_consistency, verify_inclusion};
use serde_json::{Value, json};

use crate::log::Log;
use crate::tree;
use crate::world::World;

pub(crate) fn proofs(world: &World, log: &Log) -> Vec<Value> {
    let (size, key) = (log.entries.len(), tree::key(world));
    let mut list = Vec::new();
    let (path, root, leaf) = (
        tree::path(log, 6, size),
        tree::root(log, size),
        log.leaves[6],
    );
    let mut inclusion = |name: &str, index: u64, proof: Vec<keyroll_merkle::Hash>| {
        verify_inclusion(&leaf, index, size as u64, &proof, &root).expect_err(name);
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        list.push(json!({
            "kind": "inclusion", "name": name, "leaf": leaf.to_string(), "index": index, "size": size,
            "root": root.to_string(), "proof": proof,
        }));
    };
    inclusion("another index", 7, path.clone());
    inclusion("an index beyond the size", size as u64, path.clone());
    inclusion("a hash short", 6, path[1..].to_vec());
    inclusion("a hash too many", 6, [&path[..], &[leaf]].concat());
    inclusion("another sibling", 6, [&[leaf], &path[1..]].concat());
    let mut consistency = |name: &str,
                           from: usize,
                           to: usize,
                           proof: Vec<keyroll_merkle::Hash>,
                           old: keyroll_merkle::Hash| {
        let new = tree::root(log, to);
        verify_consistency(from as u64, &old, to as u64, &new, &proof).expect_err(name);
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        list.push(json!({
            "kind": "consistency", "name": name, "from": from, "old": old.to_string(), "to": to,
            "new": new.to_string(), "proof": proof,
        }));
    };
    let good = tree::consistency_hashes(log, 7, size);
    consistency(
        "another old root",
        7,
        size,
        good.clone(),
        tree::root(log, 6),
    );
    consistency(
        "a hash too many",
        7,
        size,
        [&good[..], &[leaf]].concat(),
        tree::root(log, 7),
    );
    consistency(
        "a hash short",
        7,
        size,
        good[1..].to_vec(),
        tree::root(log, 7),
    );
    consistency(
        "a hash between equal sizes",
        7,
        7,
        vec![leaf],
        tree::root(log, 7),
    );
    consistency(
        "from nothing, and still a hash",
        0,
        7,
        vec![leaf],
        tree::root(log, 0),
    );
    consistency("a smaller tree", 7, 3, Vec::new(), tree::root(log, 7));
    let note = tree::note(world, log, size);
    let mut checkpoint = |name: &str, text: String| {
        SignedCheckpoint::open(&text, &key).expect_err(name);
        list.push(json!({ "kind": "checkpoint", "name": name, "text": text }));
    };
    checkpoint("another size", note.replacen("\n14\n", "\n15\n", 1));
    checkpoint(
        "a size with a leading zero",
        note.replacen("\n14\n", "\n014\n", 1),
    );
    checkpoint(
        "no signature",
        note.split_inclusive("\n\n").take(1).collect(),
    );
    checkpoint("another origin", note.replace("/demo", "/other"));
    checkpoint("no newline at the end", note.trim_end().to_owned());
    let text = TlogProof {
        extra: Vec::new(),
        index: 7,
        proof: path,
        checkpoint: note,
    }
    .format();
    TlogProof::parse(&text)
        .expect("well formed")
        .verify(&leaf, &key)
        .expect_err("another index");
    list.push(json!({ "kind": "tlog-proof", "name": "another index", "leaf": leaf.to_string(), "text": text }));
    list
}
