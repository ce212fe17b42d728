//! The read model is a pure function of the log: whatever the history, and however it is cut into
//! commits and batches, redb holds the result of a replay.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_core::{Event, Index, Millis, Recorded, Rules, State, TreeSize, Version};
use keyroll_ledger::projection::{
    AuditScan, ProjectionError, SecretRecord, WorkspaceView, digest, run_key,
};
use proptest::prelude::*;

use crate::history::{History, LEDGER, fold};
use crate::support::demo;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_redb_holds_is_what_a_replay_gives(
        steps in proptest::collection::vec(any::<(u8, u8)>(), 1..120),
        lengths in proptest::collection::vec(1_usize..9, 1..5),
        batches in proptest::collection::vec(1_usize..6, 1..4),
    ) {
        let mut history = History::new();
        for (what, which) in steps {
            history.step(what, which);
        }
        let messages = history.commits(&lengths);
        let dir = tempfile::tempdir().expect("directory");

        // Folded in batches, with a restart between any two.
        let mut rest = &messages[..];
        let mut sizes = batches.iter().copied().cycle();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            fold(dir.path(), "in-batches.redb").fold(batch, true).expect("folds");
            rest = after;
        }
        let in_batches = fold(dir.path(), "in-batches.redb");
        let view = in_batches.projection().view().expect("a view");
        let held = view.workspace(&demo()).expect("reads").expect("there").state(LEDGER).expect("loads");
        prop_assert!(held == history.state);

        // All at once gives the same to the last byte.
        let mut at_once = fold(dir.path(), "at-once.redb");
        at_once.fold(&messages, true).expect("folds");
        let other = at_once.projection().view().expect("a view");
        prop_assert_eq!(digest(&view).expect("a digest"), digest(&other).expect("a digest"));
    }
}

#[test]
fn another_history_has_another_digest() {
    let dir = tempfile::tempdir().expect("directory");
    let digests = [1_u8, 2].map(|which| {
        let mut history = History::new();
        history.step(0, which);
        let mut fold = fold(dir.path(), &format!("{which}.redb"));
        fold.fold(&history.commits(&[1]), true).expect("folds");
        digest(&fold.projection().view().expect("a view")).expect("a digest")
    });
    assert_ne!(digests[0], digests[1]);
}

/// Rows that stand for 256 entries, or for 32 nodes of the tree, are filled, completed and begun
/// anew.
#[test]
fn what_is_kept_by_the_window_is_what_going_through_the_log_finds() {
    let mut history = History::new();
    for which in (0..=u8::MAX).cycle() {
        if history.entries.len() > 1_100 {
            break;
        }
        let what = [0, 8, 7, 10, 7, 2, 7][usize::from(which) % 7];
        history.step(what, which);
    }
    let dir = tempfile::tempdir().expect("directory");
    let cuts: [(&[usize], usize); 4] = [
        (&[1], 1),
        (&[1, 3, 31, 32, 33], 2),
        (&[255, 1], 1),
        (&[256], 9),
    ];
    let digests = cuts.map(|(lengths, batch)| {
        let file = format!("{}-{batch}.redb", lengths[0]);
        let mut folded = fold(dir.path(), &file);
        for messages in history.commits(lengths).chunks(batch) {
            folded.fold(messages, false).expect("folds");
        }
        let view = folded.projection().view().expect("a view");
        let found = view.workspace(&demo()).expect("reads").expect("there");
        check_windows(&history, &found);
        digest(&view).expect("a digest")
    });
    // Commits are stored as they were, so only the batches may differ.
    let mut at_once = fold(dir.path(), "at-once.redb");
    at_once
        .fold(&history.commits(cuts[1].0), true)
        .expect("folds");
    let at_once = digest(&at_once.projection().view().expect("a view"));
    assert_eq!(at_once.expect("a digest"), digests[1]);
}

fn check_windows(history: &History, view: &WorkspaceView<'_>) {
    let (mut state, mut kinds) = (State::new(LEDGER, demo()), BTreeMap::new());
    let (mut actors, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for (index, entry) in (0_u64..).zip(&history.entries) {
        let recorded = Recorded::decode(Index(index), &entry.0).expect("an entry");
        for kind in state.apply(Rules::CURRENT, &recorded).kinds {
            kinds.entry(kind).or_insert_with(Vec::new).push(index);
        }
        let by = recorded.command.actor();
        actors.entry(by).or_insert_with(Vec::new).push(index);
        if let Some(of) = recorded.command.command().action.block_run() {
            let run = run_key(of.run.as_str());
            runs.entry(run).or_insert_with(Vec::new).push(index);
        }
        let root = keyroll_merkle::root(view, index + 1).expect("a root");
        assert_eq!(root, state.root(), "after entry {index}");
    }
    assert!(kinds.len() > 4 && actors.len() > 2, "{kinds:?} {actors:?}");
    assert_eq!(runs.len(), 3);
    let kinds = kinds
        .into_iter()
        .map(|(kind, at)| (AuditScan::Kind(kind), at));
    let actors = actors.into_iter().map(|(by, at)| {
        let member = view.member(&by).expect("reads").expect("a member");
        (AuditScan::Actor(member.ordinal), at)
    });
    let runs = runs.into_iter().map(|(run, at)| (AuditScan::Run(run), at));
    let size = history.entries.len() as u64;
    let ends = [
        0,
        1,
        31,
        255,
        256,
        257,
        511,
        512,
        513,
        1_023,
        1_024,
        1_025,
        size,
        size + 300,
    ];
    for (scan, at) in kinds.chain(actors).chain(runs) {
        for (from, until) in ends
            .iter()
            .flat_map(|from| ends.iter().map(move |until| (*from, *until)))
        {
            let found = view.scan_audit(&scan, (from, until)).expect("a scan");
            let found = found.map(|index| index.expect("an index").0);
            let expected = at
                .iter()
                .rev()
                .filter(|index| (from..until).contains(index));
            assert!(
                found.eq(expected.copied()),
                "{scan:?} from {from} until {until}"
            );
        }
    }
}

/// The state after a replay of the first `size` entries.
fn replayed(history: &History, size: usize) -> State {
    let mut state = State::new(LEDGER, demo());
    for entry in &history.entries[..size] {
        let recorded = Recorded::decode(state.size().next_index(), &entry.0).expect("an entry");
        state.apply(Rules::CURRENT, &recorded);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn looking_back_shows_what_a_replay_up_to_there_gives(
        steps in proptest::collection::vec(any::<(u8, u8)>(), 1..60),
        lengths in proptest::collection::vec(1_usize..9, 1..5),
        batch in 1_usize..9,
    ) {
        let mut history = History::new();
        for (what, which) in steps {
            history.step(what, which);
        }
        let dir = tempfile::tempdir().expect("directory");
        let mut folded = fold(dir.path(), "past.redb");
        for messages in history.commits(&lengths).chunks(batch) {
            folded.fold(messages, true).expect("folds");
        }
        let view = folded.projection().view().expect("a view");
        let view = view.workspace(&demo()).expect("reads").expect("there");
        for size in 0..=history.entries.len() {
            let then = replayed(&history, size);
            let size = TreeSize(size as u64);
            prop_assert_eq!(keyroll_merkle::root(&view, size.0).expect("a root"), then.root());
            let time = view.time_of(size).expect("a time");
            prop_assert_eq!(time, then.at());

            // Every secret, found by all names that secrets ever had, once and under its name at
            // that time.
            let mut found = BTreeMap::new();
            view.scan_names_ever(None, |folded, ordinal| {
                if let Some(record) = view.secret_at(ordinal, size)?
                    && record.secret.name.folded() == folded
                {
                    assert!(found.insert(record.id, record).is_none());
                }
                Ok::<_, ProjectionError>(true)
            }).expect("a scan");
            let expected: BTreeMap<_, _> = then
                .secrets()
                .map(|(id, secret)| (*id, SecretRecord::of(*id, secret)))
                .collect();
            let youngest = expected.values().map(|record| record.secret.ordinal).max();
            prop_assert_eq!(view.last_secret_at(size).expect("an ordinal"), youngest.unwrap_or(0));
            prop_assert_eq!(found, expected);

            // Every block that referenced a name.
            for name in (0..6).map(|which| format!("Key_{which}")) {
                let mut expected = BTreeSet::new();
                for (workflow, saved) in then.workflows() {
                    let blocks = saved.blocks.iter().filter(|block| {
                        block.secrets.iter().any(|secret| secret.as_str() == name)
                    });
                    let used = blocks.map(|block| (workflow.to_string(), block.name.to_string()));
                    expected.extend(used);
                }
                let found = view.uses_at(&name, size).expect("uses");
                prop_assert!(found.iter().eq(&expected), "{:?} {:?}", found, expected);
            }

            // Every member, former ones too, in order of joining, in pages of two.
            let (mut members, mut after) = (Vec::new(), 0);
            loop {
                let mut page = Vec::new();
                view.members_at(size, after, |identity, member| {
                    page.push((identity, member));
                    page.len() < 2
                }).expect("members");
                let Some((_, last)) = page.last() else { break };
                after = last.ordinal;
                members.extend(page);
            }
            let mut expected: Vec<_> = then.members().map(|(id, member)| (*id, member.clone())).collect();
            expected.sort_unstable_by_key(|(_, member)| member.ordinal);
            prop_assert_eq!(members, expected);
        }

        // The time T is before the first entry later than T, even where clocks went back.
        for time in (0..8).map(|part| Millis(1_800_000_000_000 + part * 400_000)) {
            let naive = (0..history.entries.len())
                .position(|index| replayed(&history, index + 1).at() > time)
                .unwrap_or(history.entries.len());
            prop_assert_eq!(view.first_after(time).expect("an index").0, naive as u64);
        }

        // The exposures, counted by a pass through the log.
        let mut seen = BTreeMap::new();
        for (index, entry) in (0..).zip(&history.entries) {
            let recorded = Recorded::decode(Index(index), &entry.0).expect("an entry");
            for event in &recorded.events {
                let Event::SecretRevealed(revealed) = event else { continue };
                for one in &revealed.secrets {
                    let row = seen
                        .entry((one.id, one.version, recorded.command.actor()))
                        .or_insert((0, recorded.at, recorded.at, recorded.index));
                    *row = (row.0 + 1, row.1, recorded.at, recorded.index);
                }
            }
        }
        let mut kept = BTreeMap::new();
        for (id, secret) in history.state.secrets() {
            for version in (1..=secret.current().0).map(Version) {
                for (actor, by) in view.exposures(secret.ordinal, version).expect("rows") {
                    kept.insert((*id, version, actor), (by.count, by.first, by.last, by.index));
                }
            }
        }
        prop_assert_eq!(kept, seen);
    }
}
