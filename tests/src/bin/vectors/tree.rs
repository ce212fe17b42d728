//! The Merkle tree over the log, its proofs, and the texts that carry them.

use keyroll_core::origin::{origin, verifier};
use keyroll_merkle::{
    Checkpoint, Hash, RecentTree, TlogProof, VerifierKey, consistency_proof, inclusion_proof,
    verify_consistency, verify_inclusion,
};
use serde_json::{Value, json};

use crate::log::Log;
use crate::world::{World, public};

fn text(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

fn at_size(log: &Log, size: usize) -> RecentTree {
    let mut tree = RecentTree::new(64);
    log.leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
    tree
}

pub(crate) fn key(world: &World) -> VerifierKey {
    verifier(&world.ledger, &world.workspace, &public(&world.online)).expect("a key")
}

pub(crate) fn note(world: &World, log: &Log, size: usize) -> String {
    let origin = origin(&world.ledger, &world.workspace);
    let tree = at_size(log, size);
    let checkpoint = Checkpoint {
        origin: origin.clone(),
        size: tree.size(),
        root: tree.root(),
        extensions: Vec::new(),
    };
    checkpoint
        .sign(&world.online, &origin)
        .expect("a checkpoint")
}

fn inclusion(log: &Log, index: u64, size: usize) -> Value {
    let (tree, leaf) = (
        at_size(log, size),
        log.leaves[usize::try_from(index).expect("small")],
    );
    let proof = inclusion_proof(&tree, index, tree.size()).expect("a proof");
    verify_inclusion(&leaf, index, tree.size(), &proof, &tree.root()).expect("our own proof");
    json!({ "index": index, "size": size, "proof": text(&proof) })
}

fn consistency(log: &Log, from: usize, to: usize) -> Value {
    let (old, new) = (at_size(log, from), at_size(log, to));
    let proof = consistency_proof(&new, old.size(), new.size()).expect("a proof");
    verify_consistency(old.size(), &old.root(), new.size(), &new.root(), &proof)
        .expect("our own proof");
    json!({ "from": from, "to": to, "proof": text(&proof) })
}

/// The path of an entry in the tree of `size`.
pub(crate) fn path(log: &Log, index: u64, size: usize) -> Vec<Hash> {
    inclusion_proof(&at_size(log, size), index, size as u64).expect("a proof")
}

pub(crate) fn consistency_hashes(log: &Log, from: u64, to: usize) -> Vec<Hash> {
    consistency_proof(&at_size(log, to), from, to as u64).expect("a proof")
}

pub(crate) fn root(log: &Log, size: usize) -> Hash {
    at_size(log, size).root()
}

fn tlog_proof(world: &World, log: &Log, index: u64, extra: &[u8]) -> Value {
    let size = log.entries.len();
    let proof = TlogProof {
        extra: extra.to_vec(),
        index,
        proof: path(log, index, size),
        checkpoint: note(world, log, size),
    };
    let leaf = log.leaves[usize::try_from(index).expect("small")];
    proof.verify(&leaf, &key(world)).expect("our own proof");
    json!({ "index": index, "leaf": leaf.to_string(), "extra": hex::encode(extra), "text": proof.format() })
}

pub(crate) fn document(world: &World, log: &Log) -> Value {
    let size = log.entries.len();
    let roots: Vec<String> = (0..=size).map(|size| root(log, size).to_string()).collect();
    let inclusions: Vec<Value> = (1..=size)
        .flat_map(|size| (0..size as u64).map(move |index| (index, size)))
        .map(|(i, n)| inclusion(log, i, n))
        .collect();
    let consistencies: Vec<Value> = (0..=size)
        .flat_map(|to| (0..=to).map(move |from| (from, to)))
        .map(|(m, n)| consistency(log, m, n))
        .collect();
    json!({
        "about": "The tree over the entries of log.json (RFC 6962), and its signed texts (C2SP).",
        "leaves": text(&log.leaves),
        "roots": roots,
        "inclusion": inclusions,
        "consistency": consistencies,
        "origin": origin(&world.ledger, &world.workspace),
        "vkey": key(world).to_string(),
        "checkpoints": [note(world, log, 1), note(world, log, size)],
        "tlog_proofs": [tlog_proof(world, log, 6, &[]), tlog_proof(world, log, 12, b"whatever the caller adds")],
    })
}
