//! The read model's file on a disk that damages it, or that fails for a while.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyroll_core::command::{BlockUse, COMMAND_V, Command, Nothing, WorkflowSave};
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::{
    Action, Blob, Code, Digest, Epoch, Sequence, SignedCommand, TreeSize, Verified, cose,
};
use keyroll_ledger::follower::{Fold, Follower, Projected, Told, Wish, catch_up, progress_of};
use keyroll_ledger::health::Health;
use keyroll_ledger::projection::{Opener, Projection, digest};
use keyroll_ledger::writer::{CommandOutcome, Shared, Submission, Writer};
use keyroll_store::log::{Log as _, MemoryLog, Message};
use keyroll_store::objects::MemoryObjects;
use keyroll_store::vault::Vault;
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::Answer;
use redb::{Database, ReadableTable as _, StorageBackend, TableDefinition, backends::FileBackend};
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use crate::ask_ledger;
use crate::history::{History, LEDGER, fold};

use crate::support::{World, demo, fresh, identity, now, owner, signing_key};

/// Of each kind: flipped bits, and cuts.
const FLIPS: u64 = 1_800;
const CUTS: u64 = 200;

fn messages(steps: u8) -> Vec<Message> {
    let mut history = History::new();
    for step in 0..steps {
        history.step(step, step.wrapping_mul(7));
    }
    history.commits(&[1, 3])
}

/// A directory in memory, where there is such a thing: thousands of files are flushed.
fn in_memory() -> tempfile::TempDir {
    let beside = || tempfile::tempdir().expect("directory");
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| beside())
}

fn digest_of(projection: &Projection) -> Option<Digest> {
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

/// What came of a damaged file.
#[derive(Debug, Default)]
struct Tally {
    unharmed: u64,
    anew: u64,
    refused: u64,
}

impl Tally {
    /// Opens a file as the ledger does when it starts.
    fn open(&mut self, path: &Path, whole: Digest, what: &str) {
        let Ok(projection) = Projection::open_or_anew(path, &LEDGER) else {
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
        // Most of the file is empty: every second flip is where something lies.
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
    // What was begun anew becomes the same from the log.
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let anew = Projection::open_or_anew(&path, &LEDGER).expect("opens");
    let key = identity(&signing_key(2));
    let mut anew = Fold::resume(anew, LEDGER, key, Arc::default()).expect("resumes");
    assert_eq!(anew.sequence(), Sequence(0));
    anew.fold(&messages, true).expect("folds");
    assert_eq!(digest_of(anew.projection()), Some(whole));
}

/// A file on a disk that takes nothing while it is full.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn on_disk(full: &Arc<AtomicBool>) -> Opener {
    let full = Arc::clone(full);
    Arc::new(move |path| {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (file, full) = (FileBackend::new(file)?, Arc::clone(&full));
        Database::builder().create_with_backend(Disk { file, full })
    })
}

async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

/// A follower at work on a file on a disk.
struct Followed {
    log: MemoryLog,
    health: Arc<Health>,
    progress: Projected,
    projection: Projection,
    wishes: mpsc::Sender<Wish>,
}

/// Starts a follower of a log into a read model.
fn run(
    log: &MemoryLog,
    opened: &Projection,
    progress: Told,
    health: &Arc<Health>,
) -> mpsc::Sender<Wish> {
    let key = identity(&signing_key(2));
    let fold = Fold::resume(opened.clone(), LEDGER, key, Arc::clone(health)).expect("resumes");
    let (wishes, wished) = mpsc::channel(1);
    let follower = Follower {
        log: Arc::new(log.clone()),
        fold,
        progress,
        projection: watch::channel(opened.clone()).0,
        notices: mpsc::channel(1).0,
        wishes: wished,
        health: Arc::clone(health),
        halted: false,
        catching_up: None,
    };
    tokio::spawn(follower.run());
    wishes
}

fn follow(path: &Path, full: &Arc<AtomicBool>) -> Followed {
    let (log, health) = (MemoryLog::default(), Arc::new(Health::default()));
    let opened = Projection::open_with(path, &LEDGER, on_disk(full)).expect("opens");
    let (progress, progressed) = Projected::begin(progress_of(&opened).expect("where it is"));
    let wishes = run(&log, &opened, progress, &health);
    Followed {
        log,
        health,
        progress: progressed,
        projection: opened,
        wishes,
    }
}

#[tokio::test]
async fn after_a_full_disk_it_goes_on_by_itself_and_misses_nothing() {
    let messages = messages(120);
    let dir = tempfile::tempdir().expect("directory");
    let mut beside = fold(dir.path(), "beside.redb");
    beside.fold(&messages, true).expect("folds");
    let full = Arc::new(AtomicBool::new(false));
    let at = follow(&dir.path().join("ledger.redb"), &full);
    let put = |message: &Message| at.log.inject(&demo(), message.bytes.clone());
    let (first, rest) = messages.split_at(messages.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let reached = |sequence: Sequence| at.progress.now(|progress| progress.sequence) >= sequence;

    for (times, part) in [(1, first), (2, second)] {
        let last = part.iter().map(put).last().expect("some");
        until("they are folded in", || reached(last)).await;
        assert!(at.health.ledger().is_ok(), "time {times}");
        full.store(true, Ordering::SeqCst);
        until("it says so", || at.health.ledger().is_err()).await;
        let said = at.health.ledger().expect_err("refused");
        assert_eq!(said.code, Code::AuditUnavailable, "time {times}");
        assert!(at.health.workspace(&demo()).is_err(), "time {times}");
        full.store(false, Ordering::SeqCst);
        until("commands are taken again", || at.health.ledger().is_ok()).await;
        assert!(reached(last), "time {times}: commands are taken too early");
    }
    let last = third.iter().map(put).last().expect("some");
    until("the rest is folded in", || reached(last)).await;
    assert_eq!(digest_of(&at.projection), digest_of(beside.projection()));
}

/// What a crash right now would leave of a read model.
fn after_a_crash(world: &World, beside: &Path) -> Sequence {
    std::fs::copy(world.dir.path().join("ledger.redb"), beside).expect("copied");
    let left = Projection::open(beside, &world.id()).expect("opens");
    let head = left.view().expect("a view").head().expect("reads");
    head.map_or(Sequence(0), |(sequence, _)| sequence)
}

#[tokio::test]
async fn an_orderly_end_leaves_a_read_model_that_knows_it_all() {
    let world = World::with_demo().await;
    let dir = tempfile::tempdir().expect("directory");
    for number in 0..20 {
        let name = format!("Key_{number}");
        let made = world.create(&owner(), &name, b"value").await;
        made.expect("created");
    }
    let last = world.log.head(&demo()).await.expect("the end");
    assert!(after_a_crash(&world, &dir.path().join("before.redb")) < last);
    world.ledger.flush().await;
    assert_eq!(after_a_crash(&world, &dir.path().join("after.redb")), last);
}

/// A disk that failed may have set the read model back while another was built from the log.
#[tokio::test]
async fn one_built_anew_that_is_ahead_is_not_put_in_place() {
    let messages = messages(60);
    let dir = tempfile::tempdir().expect("directory");
    let at = follow(&dir.path().join("ledger.redb"), &Arc::default());
    let put = |message: &Message| at.log.inject(&demo(), message.bytes.clone());
    let (first, rest) = messages.split_at(messages.len() / 2);
    let last = first.iter().map(put).last().expect("some");
    until("half is folded in", || {
        at.progress.now(|progress| progress.sequence) >= last
    })
    .await;
    let mut ahead = fold(dir.path(), "ahead.redb");
    ahead.fold(&messages, true).expect("folds");
    let whole = digest_of(ahead.projection());
    let (done, is_done) = oneshot::channel();
    let wish = Wish::Replace(Box::new(ahead), done);
    at.wishes.send(wish).await.expect("it is followed");
    assert!(is_done.await.expect("an answer").is_err());
    let last = rest.iter().map(put).last().expect("some");
    until("the rest is folded in", || {
        at.progress.now(|progress| progress.sequence) >= last
    })
    .await;
    assert_eq!(digest_of(&at.projection), whole);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_too_early_is_not_waited_for_without_end() {
    let messages = messages(60);
    let (log, dir) = (
        MemoryLog::default(),
        tempfile::tempdir().expect("directory"),
    );
    let put = |message: &Message| log.inject(&demo(), message.bytes.clone());
    let last = messages.iter().map(put).last().expect("some");
    let mut anew = fold(dir.path(), "anew.redb");
    let beyond = Sequence(last.0 + 1);
    let hour = Duration::from_secs(3_600);
    let waited = tokio::time::timeout(hour, catch_up(&log, &mut anew, beyond)).await;
    assert!(waited.expect("it ends").is_err());
    catch_up(&log, &mut anew, last).await.expect("all is there");
    assert_eq!(anew.sequence(), last);
}

fn command(action: Action) -> Arc<Verified> {
    let command = Command {
        v: COMMAND_V,
        at: now(),
        id: fresh(),
        action,
        ledger: LEDGER,
        workspace: demo(),
        delegation: None,
    };
    let signed = SignedCommand::decode(&cose::sign(&command, &owner()));
    let verified = signed.and_then(SignedCommand::verify);
    Arc::new(verified.expect("signed"))
}

/// What the writer forgot, because the read model was said to have it, is looked for there: if it
/// was set back since, nothing is decided, or a command sent twice would take effect twice.
#[tokio::test]
async fn a_command_is_not_decided_on_an_older_read_model_than_was_told() {
    let dir = tempfile::tempdir().expect("directory");
    let open = |file: &str| Projection::open(&dir.path().join(file), &LEDGER).expect("opens");
    let (log, health) = (MemoryLog::default(), Arc::new(Health::default()));
    // What is told of one, while the writer looks at another.
    let (told_of, looked_at) = (open("one.redb"), open("other.redb"));
    let (progress, progressed) = Projected::begin(progress_of(&told_of).expect("where it is"));
    let (_other, projection) = watch::channel(looked_at);
    let created = WorkspaceCreated {
        key: identity(&signing_key(2)),
        serial: 1,
        statement: Blob(vec![]),
    };
    let shared = Shared {
        ledger: LEDGER,
        key: signing_key(2),
        created,
        operators: vec![identity(&owner())],
        log: Arc::new(log.clone()),
        vault: Arc::new(Vault::new(Arc::new(MemoryObjects::default()))),
        health: Arc::clone(&health),
        gate: RwLock::new(0),
        progress: progressed.clone(),
        projection,
        clock: now,
    };
    let writer = Writer::start(Arc::new(shared), demo());
    let submit = |command: &Arc<Verified>| {
        writer.submit(Submission {
            command: Arc::clone(command),
            seen: TreeSize(0),
            stored: Some(Epoch(1)),
            inadmissible: None,
            while_retiring: None,
            dry_run: false,
        })
    };
    let create = command(Action::WorkspaceCreate(Nothing {}));
    let save = command(Action::WorkflowSave(WorkflowSave {
        blocks: vec![BlockUse {
            name: "post".parse().expect("label"),
            secrets: vec![],
        }],
        workflow: "bills".parse().expect("label"),
    }));
    for first in [&create, &save] {
        let outcome = submit(first).await;
        assert!(
            matches!(outcome, CommandOutcome::Recorded(_)),
            "{outcome:?}"
        );
    }
    assert!(matches!(submit(&save).await, CommandOutcome::Known(_)));
    let _wishes = run(&log, &told_of, progress, &health);
    until("both are told of", || {
        progressed.now(|progress| progress.sequence) >= Sequence(2)
    })
    .await;
    let again = submit(&save).await;
    assert!(
        matches!(&again, CommandOutcome::Refused(why, _) if why.code == Code::Busy),
        "{again:?}"
    );
    assert_eq!(log.bytes().len(), 2);
}

const SECRETS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("secrets");
const COMMITS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("commits");

/// Changes a bit of a table's first row behind redb's back: its own checksums are right, as those of
/// a file are that is too large to be read through when it is opened.
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

/// The follower meets it with the next commit, here of another replica.
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
