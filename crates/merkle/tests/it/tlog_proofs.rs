//! Proof files in the form of c2sp.org/tlog-proof.

use ed25519_dalek::SigningKey;
use keyroll_merkle::{
    Checkpoint, Hash, MAX_PROOF_HASHES, MAX_TLOG_PROOF_BYTES, NoteError, ProofError, TlogProof,
    TlogProofError, VerifierKey, inclusion_proof,
};
use proptest::prelude::*;

use crate::naive::{self, Leaves};

const NAME: &str = "example.com/log";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn verifier() -> VerifierKey {
    VerifierKey::new(NAME, key().verifying_key()).unwrap()
}

/// A leaf and its proof in a log of `size` leaves.
fn proof(index: u64, size: u64) -> (Hash, TlogProof) {
    let leaves = Leaves(naive::leaves(size));
    let checkpoint = Checkpoint {
        origin: NAME.to_owned(),
        size,
        root: naive::mth(&leaves.0),
        extensions: vec![],
    };
    let proof = TlogProof {
        extra: vec![],
        index,
        proof: inclusion_proof(&leaves, index, size).unwrap(),
        checkpoint: checkpoint.sign(&key(), NAME).unwrap(),
    };
    (leaves.0[usize::try_from(index).unwrap()], proof)
}

#[test]
fn the_text_has_the_form_of_the_specification() {
    let (_, mut proof) = proof(2, 3);
    proof.proof = vec![Hash([0xfe; 32])];
    proof.extra = b"age".to_vec();
    let head = "c2sp.org/tlog-proof@v1\n\
        extra YWdl\n\
        index 2\n\
        /v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=\n\
        \n";
    assert_eq!(proof.format(), format!("{head}{}", proof.checkpoint));

    proof.extra.clear();
    let head = head.replace("extra YWdl\n", "");
    assert_eq!(proof.format(), format!("{head}{}", proof.checkpoint));
}

#[test]
fn every_proof_survives_its_text_form_and_verifies() {
    for size in 1..=20 {
        for index in 0..size {
            let (leaf, mut proof) = proof(index, size);
            for extra in [&b""[..], b"extra"] {
                proof.extra = extra.to_vec();
                let parsed = TlogProof::parse(&proof.format()).unwrap();
                assert_eq!(parsed, proof);
                let checkpoint = parsed.verify(&leaf, &verifier()).unwrap();
                assert_eq!((checkpoint.size, &*checkpoint.origin), (size, NAME));
            }
        }
    }
}

#[test]
fn no_character_of_a_proof_can_be_changed() {
    let (leaf, proof) = proof(5, 11);
    let (text, key) = (proof.format(), verifier());
    let accepted = |text: &str| TlogProof::parse(text).and_then(|proof| proof.verify(&leaf, &key));
    accepted(&text).unwrap();
    for (position, old) in text.char_indices() {
        let after = position + old.len_utf8();
        for new in ["", "x", "0", "=", " ", "\n", "\r"] {
            for end in [after, position] {
                let changed = [&text[..position], new, &text[end..]].concat();
                if changed != text {
                    accepted(&changed).unwrap_err();
                }
            }
        }
        accepted(&text[..position]).unwrap_err();
    }
}

#[test]
fn a_proof_fails_for_the_reason_it_is_wrong() {
    let (leaf, proof) = proof(5, 11);
    let other = naive::leaf(b"other");
    let refused = proof.verify(&other, &verifier()).unwrap_err();
    assert_eq!(refused, TlogProofError::Proof(ProofError::Root));

    let mut outside = proof.clone();
    outside.index = 11;
    let (index, size) = (11, 11);
    let no_such_leaf = TlogProofError::Proof(ProofError::NoSuchLeaf { index, size });
    assert_eq!(outside.verify(&leaf, &verifier()), Err(no_such_leaf));

    let stranger = VerifierKey::new("stranger", key().verifying_key()).unwrap();
    let refused = proof.verify(&leaf, &stranger).unwrap_err();
    assert!(matches!(
        refused,
        TlogProofError::Checkpoint(NoteError::NotSigned { .. })
    ));
}

#[test]
fn a_checkpoint_of_another_log_proves_nothing() {
    let (leaf, mut proof) = proof(0, 1);
    let other_log = Checkpoint {
        origin: "example.com/other".to_owned(),
        size: 1,
        root: leaf,
        extensions: vec![],
    };
    proof.checkpoint = other_log.sign(&key(), NAME).unwrap();
    let refused = proof.verify(&leaf, &verifier()).unwrap_err();
    assert!(matches!(
        refused,
        TlogProofError::Checkpoint(NoteError::Origin { .. })
    ));
}

#[test]
fn malformed_proofs_are_refused_with_the_line() {
    let checkpoint = proof(0, 1).1.checkpoint;
    let hash = "/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=";
    for (head, at) in [
        ("", 1),
        ("c2sp.org/tlog-proof@v2\nindex 0", 1),
        ("c2sp.org/tlog-proof@v1", 2),
        ("c2sp.org/tlog-proof@v1\nindex", 2),
        ("c2sp.org/tlog-proof@v1\nindex 00", 2),
        ("c2sp.org/tlog-proof@v1\nindex -1", 2),
        ("c2sp.org/tlog-proof@v1\nindex 18446744073709551616", 2),
        ("c2sp.org/tlog-proof@v1\nextra", 2),
        ("c2sp.org/tlog-proof@v1\nextra \nindex 0", 2),
        ("c2sp.org/tlog-proof@v1\nextra YWd\nindex 0", 2),
        ("c2sp.org/tlog-proof@v1\nextra YWdl", 3),
        ("c2sp.org/tlog-proof@v1\nextra YWdl\nextra YWdl\nindex 0", 3),
        ("c2sp.org/tlog-proof@v1\nindex 0\nindex 0", 3),
        ("c2sp.org/tlog-proof@v1\nindex 0\nextra YWdl", 3),
        (&format!("c2sp.org/tlog-proof@v1\nindex 0\n{hash}\nYWdl"), 4),
    ] {
        match TlogProof::parse(&format!("{head}\n\n{checkpoint}")) {
            Err(TlogProofError::Line { line, .. }) => assert_eq!(line, at, "{head:?}"),
            other => panic!("{head:?} gives {other:?}"),
        }
    }
    let alone = TlogProof::parse("c2sp.org/tlog-proof@v1\nindex 0\n");
    assert_eq!(alone, Err(TlogProofError::NoCheckpoint));
    let unsigned = TlogProof::parse("c2sp.org/tlog-proof@v1\nindex 0\n\nlog\n1\n");
    assert_eq!(unsigned, Err(TlogProofError::Checkpoint(NoteError::Form)));
}

#[test]
fn limits_are_met_exactly() {
    let (_, mut proof) = proof(0, 1);
    proof.proof = vec![Hash([1; 32]); MAX_PROOF_HASHES];
    assert_eq!(TlogProof::parse(&proof.format()).as_ref(), Ok(&proof));
    proof.proof.push(Hash([1; 32]));
    let found = MAX_PROOF_HASHES + 1;
    let refused = TlogProof::parse(&proof.format());
    assert_eq!(refused, Err(TlogProofError::TooManyHashes { found }));

    let bytes = MAX_TLOG_PROOF_BYTES + 1;
    let refused = TlogProof::parse(&"x".repeat(bytes));
    assert_eq!(refused, Err(TlogProofError::TooLarge { bytes }));
    let at_limit = TlogProof::parse(&"x".repeat(bytes - 1));
    assert_eq!(at_limit, Err(TlogProofError::NoCheckpoint));
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(
        text: String,
        lines in "(extra |index |[0-9]|[A-Za-z]{0,9}={0,2}|\n){0,20}",
    ) {
        let _ = TlogProof::parse(&text);
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{lines}\n\n{text}"));
    }
}
