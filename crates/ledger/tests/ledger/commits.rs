//! Commits are stored in pieces: every commit and every entry is read back unchanged.

use ed25519_dalek::Signer as _;
use keyroll_core::{Commit, Index, TreeSize};

use crate::history::{History, fold};
use crate::support::{demo, signing_key};

#[test]
fn every_commit_and_entry_comes_back_however_the_log_is_cut() {
    let mut history = History::new();
    for which in (0..=u8::MAX).cycle().take(600) {
        history.step([0, 8, 7, 10, 7, 2, 7][usize::from(which) % 7], which);
    }
    let size = history.entries.len() as u64;
    let dir = tempfile::tempdir().expect("directory");
    // Of one entry, of a few, of enough for many pieces, and of all entries.
    let cuts = [&[1][..], &[1, 3, 31, 32, 33], &[255, 1], &[1_000]];
    for (number, lengths) in cuts.into_iter().enumerate() {
        let messages = history.commits(lengths);
        let mut folded = fold(dir.path(), &format!("{number}.redb"));
        folded.fold(&messages, true).expect("folds");
        let view = folded.projection().view().expect("a view");
        let found = view.workspace(&demo()).expect("reads").expect("there");
        let mut at = 0;
        for message in &messages {
            let first = Index(at);
            let commit = found.commit_of(first).expect("reads").expect("there");
            assert_eq!((commit.first, &commit.bytes), (first, &message.bytes));
            assert!(commit.next > first);
            for index in at..commit.next.0 {
                let same = found
                    .commit_of(Index(index))
                    .expect("reads")
                    .expect("there");
                assert_eq!((same.first, same.next), (commit.first, commit.next));
                assert_eq!(same.bytes, message.bytes);
                let entry = found.entry(Index(index)).expect("reads").expect("there");
                let place = usize::try_from(index).expect("small");
                assert_eq!(entry.bytes, history.entries[place]);
                assert_eq!(entry.recorded.index, Index(index));
            }
            at = commit.next.0;
        }
        assert_eq!(TreeSize(at), found.size());
        assert_eq!(at, size);
        for beyond in [size, size + 1, u64::MAX] {
            assert!(found.commit_of(Index(beyond)).expect("reads").is_none());
            assert!(found.entry(Index(beyond)).expect("reads").is_none());
        }
    }
}

/// The ledger's own signature over other bytes for the same commit: an entry's length in four bytes
/// where two would do.
fn in_another_encoding(bytes: &[u8], first: &[u8]) -> Vec<u8> {
    let head = |length: usize| u16::try_from(length).expect("short").to_be_bytes();
    let at = bytes.windows(first.len()).position(|part| part == first);
    let at = at.expect("the entry");
    assert_eq!(bytes[at - 3], 0x59, "a length in two bytes");
    let protected = &bytes[2..4 + usize::from(bytes[3])];
    let begin = 2 + protected.len() + 1 + 3;
    let mut payload = bytes[begin..at - 3].to_vec();
    payload.extend([&[0x5a, 0, 0][..], &head(first.len())].concat());
    payload.extend(&bytes[at..bytes.len() - 66]);
    let framed = [&[0x59][..], &head(payload.len()), &payload].concat();
    let external = b"keyroll/commit/v1";
    let to_sign = [
        &[0x84, 0x6a][..],
        b"Signature1",
        protected,
        &[0x51],
        external,
        &framed,
    ];
    let signature = signing_key(2).sign(&to_sign.concat()).to_bytes();
    let parts = [&bytes[..2], protected, &[0xa0], &framed, &[0x58, 0x40]];
    [&parts.concat()[..], &signature].concat()
}

#[test]
fn a_commit_that_the_ledger_signed_in_another_encoding_is_corrupt() {
    let history = History::new();
    let mut message = history.commits(&[1]).remove(0);
    message.bytes = in_another_encoding(&message.bytes, &history.entries[0].0).into();
    let signed = Commit::decode(&message.bytes).expect("a commit, taken loosely");
    signed.verify().expect("the ledger's signature");
    let dir = tempfile::tempdir().expect("directory");
    let mut folded = fold(dir.path(), "other.redb");
    folded.fold(&[message], true).expect("folds");
    let view = folded.projection().view().expect("a view");
    let problems = view.problems(None).expect("reads");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kind, "corrupt");
    assert_eq!(view.entries().expect("reads"), 0);
}
