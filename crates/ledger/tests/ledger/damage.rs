//! The read model's file on a disk that damages it, or that fails for a while.

use crate::ask_ledger;
use crate::history::{History, LEDGER, fold};
use crate::support::{World, demo, identity, owner, signing_key, until};
use keyroll_core::command::Nothing;
use keyroll_core::{Code, Digest, Sequence};
use keyroll_ledger::follower::Fold;
use keyroll_ledger::projection::{Projection, digest};
use keyroll_store::log::{Log as _, Message};
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::Answer;
use redb::{Database, ReadableTable as _, TableDefinition};
use std::path::Path;
use std::sync::Arc;

/// Rounds of each kind of damage: flipped bits, and cuts.
const FLIPS: u64 = 1_800;
const CUTS: u64 = 200;

pub(crate) fn messages(steps: u8) -> Vec<Message> {
    let mut history = History::new();
    for step in 0..steps {
        history.step(step, step.wrapping_mul(7));
    }
    history.commits(&[1, 3])
}

/// A directory in memory where the machine has one: thousands of files are flushed.
fn in_memory() -> tempfile::TempDir {
    let beside = || tempfile::tempdir().expect("directory");
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| beside())
}

pub(crate) fn digest_of(projection: &Projection) -> Option<Digest> {
    digest(&projection.view().ok()?).ok()
}

/// Numbers drawn from a seed: every run damages the same places.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("it is below the bound")
    }
}

/// The results for the damaged files.
#[derive(Debug, Default)]
struct Tally {
    unharmed: u64,
    anew: u64,
    refused: u64,
}

impl Tally {
    /// Opens a file as the ledger does when it starts.
    fn open(&mut self, path: &Path, whole: Digest, what: &str) {
        let Ok(projection) = Projection::open_or_recreate(path, &LEDGER) else {
            self.refused += 1;
            return;
        };
        let view = projection.view().expect("a view of what was opened");
        if view.head().expect("where it is").is_none() {
            self.anew += 1;
            return;
        }
        assert_eq!(digest(&view).ok(), Some(whole), "{what}");
        self.unharmed += 1;
    }
}

#[test]
fn a_damaged_file_is_never_taken_for_what_it_was() {
    let messages = messages(60);
    let dir = in_memory();
    let mut made = fold(dir.path(), "whole.redb");
    made.fold(&messages, true).expect("folds");
    let whole = digest_of(made.projection()).expect("a digest");
    drop(made);
    let bytes = std::fs::read(dir.path().join("whole.redb")).expect("the file");
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let (mut drawn, mut tally) = (Drawn(0x9e37_79b9_7f4a_7c15), Tally::default());
    let path = dir.path().join("hurt.redb");
    let mut open = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).expect("written");
        tally.open(&path, whole, what);
    };
    for round in 0..FLIPS {
        let mut hurt = bytes.clone();
        // Most of the file is empty: every second flip is where there are data.
        let at = if round % 2 == 0 {
            used[drawn.below(used.len())]
        } else {
            drawn.below(bytes.len())
        };
        let bit = drawn.below(8);
        hurt[at] ^= 1 << bit;
        open(&hurt, &format!("bit {bit} of byte {at} flipped"));
    }
    for _ in 0..CUTS {
        let at = drawn.below(bytes.len());
        open(&bytes[..at], &format!("cut after {at} bytes"));
    }
    println!("{} bytes, {tally:?}", bytes.len());
    assert!(tally.anew > 0 && tally.unharmed > 0, "{tally:?}");
    assert_eq!(tally.refused, 0, "what is wrong is begun anew");
    // A file that was created again becomes the same from the log.
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let anew = Projection::open_or_recreate(&path, &LEDGER).expect("opens");
    let key = identity(&signing_key(2));
    let mut anew = Fold::resume(anew, LEDGER, key, Arc::default()).expect("resumes");
    assert_eq!(anew.sequence(), Sequence(0));
    anew.fold(&messages, true).expect("folds");
    assert_eq!(digest_of(anew.projection()), Some(whole));
}

const SECRETS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("secrets");
const COMMITS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("commits");

/// Changes a bit of a table's first row behind redb's back: its own checksums are right, like those
/// of a file that is too large to be checked when it is opened.
fn change_first_row<K>(path: &Path, table: TableDefinition<'_, K, &'static [u8]>)
where
    K: redb::Key + for<'a> redb::Value<SelfType<'a> = K> + 'static,
{
    let db = Database::create(path).expect("opens");
    let tx = db.begin_write().expect("begun");
    {
        let mut rows = tx.open_table(table).expect("a table");
        let (key, mut row) = {
            let (key, row) = rows.first().expect("reads").expect("a row");
            (key.value(), row.value().to_vec())
        };
        let middle = row.len() / 2;
        row[middle] ^= 1;
        rows.insert(key, row.as_slice()).expect("changed");
    }
    tx.commit().expect("written");
}

/// A ledger whose read model has a changed row.
async fn with_a_changed_row<K>(table: TableDefinition<'_, K, &'static [u8]>) -> World
where
    K: redb::Key + for<'a> redb::Value<SelfType<'a> = K> + 'static,
{
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.ledger.flush().await;
    world.again(|file| change_first_row(file, table)).await
}

#[tokio::test]
async fn a_row_that_changed_on_the_disk_is_not_decided_on() {
    let world = with_a_changed_row(SECRETS).await;
    let before = world.log.appends();
    let refused = world.reveal(&owner(), "Key").await.expect_err("refused");
    assert_eq!(refused.code, Code::Internal, "{refused}");
    assert!(refused.message.contains("projection rebuild"), "{refused}");
    assert_eq!(world.log.appends(), before);
    let rebuild = ask_ledger(&world, Question::ProjectionRebuild(Nothing {})).await;
    let Ok(Answer::ProjectionRebuild(rebuilt)) = rebuild else {
        panic!("it is not built anew");
    };
    assert!(!rebuilt.identical, "{rebuilt:?}");
    let revealed = world.reveal(&owner(), "Key").await;
    assert_eq!(revealed.expect("revealed"), b"v");
}

/// The follower finds it with the next commit, here of another replica.
#[tokio::test]
async fn a_read_model_with_a_row_that_changed_is_built_anew_by_its_follower() {
    let world = with_a_changed_row(SECRETS).await;
    let dir = tempfile::tempdir().expect("a directory");
    let other = World::open(
        world.log.clone(),
        world.vault.clone(),
        world.keys.clone(),
        dir,
    )
    .await;
    other.create(&owner(), "More", b"m").await.expect("created");
    let last = world.log.head(&demo()).await.expect("the end");
    until("it is built anew", || {
        world.ledger.progress().sequence >= last && world.ledger.health().ledger().is_ok()
    })
    .await;
    let revealed = world.reveal(&owner(), "Key").await;
    assert_eq!(revealed.expect("revealed"), b"v");
    let aside = world.dir.path().join("ledger.redb.damaged");
    assert!(aside.exists(), "the damaged one is kept");
}

#[tokio::test]
async fn an_entry_that_changed_on_the_disk_is_not_shown() {
    let world = with_a_changed_row(COMMITS).await;
    let all = AuditLog {
        limit: 10,
        ..AuditLog::default()
    };
    let rows = world.ask(&owner(), Question::AuditLog(all)).await;
    let refused = rows.expect_err("refused");
    assert_eq!(refused.code, Code::Internal, "{refused}");
    assert!(refused.message.contains("projection rebuild"), "{refused}");
}
