//! Commits are kept in pieces: every one of them, and every entry, comes back as it went in.

use keyroll_core::{Index, TreeSize};

use crate::history::{History, fold};
use crate::support::demo;

#[test]
fn every_commit_and_entry_comes_back_however_the_log_is_cut() {
    let mut history = History::new();
    for which in (0..=u8::MAX).cycle().take(600) {
        history.step([0, 8, 7, 10, 7, 2, 7][usize::from(which) % 7], which);
    }
    let size = history.entries.len() as u64;
    let dir = tempfile::tempdir().expect("directory");
    // Of one entry, of a few, of as many as make many pieces, and of all.
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
