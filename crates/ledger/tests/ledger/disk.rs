//! A follower whose disk or log fails under it, and writers that wait for it.

use crate::damage::{digest_of, messages};
use crate::history::{LEDGER, fold};
use crate::support::{World, demo, fresh, identity, now, owner, signing_key, until};
use keyroll_core::command::{BlockUse, COMMAND_V, Command, Nothing, WorkflowSave};
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::{Action, Blob, Code, Epoch, Sequence, SignedCommand, TreeSize, Verified, cose};
use keyroll_ledger::Context;
use keyroll_ledger::follower::{
    Fold, Follower, FollowerRequest, ProgressPublisher, ProgressReader, catch_up, progress_of,
};
use keyroll_ledger::health::Health;
use keyroll_ledger::projection::{Opener, Projection};
use keyroll_ledger::writer::{CommandOutcome, Submission, Writer};
use keyroll_store::log::{Log as _, MemoryLog, Message};
use keyroll_store::objects::MemoryObjects;
use keyroll_store::vault::Vault;
use redb::{Database, StorageBackend, backends::FileBackend};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{RwLock, mpsc, oneshot, watch};

/// A file on a disk that refuses writes while it is full.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn check_space(&self) -> io::Result<()> {
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
        self.check_space()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_space()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_space()?;
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

/// A follower at work on a file on a disk.
struct Followed {
    log: MemoryLog,
    health: Arc<Health>,
    progress: ProgressReader,
    projection: Projection,
    requests: mpsc::Sender<FollowerRequest>,
}

/// Starts a follower of a log into a read model.
fn run(
    log: &MemoryLog,
    opened: &Projection,
    progress: ProgressPublisher,
    health: &Arc<Health>,
) -> mpsc::Sender<FollowerRequest> {
    let key = identity(&signing_key(2));
    let fold = Fold::resume(opened.clone(), LEDGER, key, Arc::clone(health)).expect("resumes");
    let (requests, wished) = mpsc::channel(1);
    let follower = Follower {
        log: Arc::new(log.clone()),
        fold,
        progress,
        projection: watch::channel(opened.clone()).0,
        notices: mpsc::channel(1).0,
        requests: wished,
        health: Arc::clone(health),
        halted: false,
        catching_up: None,
    };
    tokio::spawn(follower.run());
    requests
}

fn follow(path: &Path, full: &Arc<AtomicBool>) -> Followed {
    let (log, health) = (MemoryLog::default(), Arc::new(Health::default()));
    let opened = Projection::open_with(path, &LEDGER, on_disk(full)).expect("opens");
    let (progress, progressed) = ProgressReader::begin(progress_of(&opened).expect("where it is"));
    let requests = run(&log, &opened, progress, &health);
    Followed {
        log,
        health,
        progress: progressed,
        projection: opened,
        requests,
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
    let reached = |sequence: Sequence| at.progress.read(|progress| progress.sequence) >= sequence;

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

/// How much of a read model a crash right now would leave.
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
        at.progress.read(|progress| progress.sequence) >= last
    })
    .await;
    let mut ahead = fold(dir.path(), "ahead.redb");
    ahead.fold(&messages, true).expect("folds");
    let whole = digest_of(ahead.projection());
    let (done, is_done) = oneshot::channel();
    let request = FollowerRequest::Replace(Box::new(ahead), done);
    at.requests.send(request).await.expect("it is followed");
    assert!(is_done.await.expect("an answer").is_err());
    let last = rest.iter().map(put).last().expect("some");
    until("the rest is folded in", || {
        at.progress.read(|progress| progress.sequence) >= last
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
        member: None,
        approval: None,
        delegation: None,
    };
    let signed = SignedCommand::decode(&cose::sign(&command, &owner()));
    let verified = signed.and_then(SignedCommand::verify);
    Arc::new(verified.expect("signed"))
}

/// A command that the writer forgot, because the read model was reported to hold it, is looked up
/// there. If the read model was set back since, nothing is decided: a command sent twice would take
/// effect twice.
#[tokio::test]
async fn a_command_is_not_decided_on_an_older_read_model_than_was_told() {
    let dir = tempfile::tempdir().expect("directory");
    let open = |file: &str| Projection::open(&dir.path().join(file), &LEDGER).expect("opens");
    let (log, health) = (MemoryLog::default(), Arc::new(Health::default()));
    // The progress is reported of one file, while the writer reads the other.
    let (told_of, looked_at) = (open("one.redb"), open("other.redb"));
    let (progress, progressed) = ProgressReader::begin(progress_of(&told_of).expect("where it is"));
    let (_other, projection) = watch::channel(looked_at);
    let created = WorkspaceCreated {
        key: identity(&signing_key(2)),
        serial: 1,
        statement: Blob(vec![]),
    };
    let context = Context {
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
    let writer = Writer::start(Arc::new(context), demo());
    let submit = |command: &Arc<Verified>| {
        writer.submit(Submission {
            command: Arc::clone(command),
            trusted_size: TreeSize(0),
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
            matches!(outcome, CommandOutcome::Committed(_)),
            "{outcome:?}"
        );
    }
    assert!(matches!(submit(&save).await, CommandOutcome::Duplicate(_)));
    let _wishes = run(&log, &told_of, progress, &health);
    until("both are told of", || {
        progressed.read(|progress| progress.sequence) >= Sequence(2)
    })
    .await;
    let again = submit(&save).await;
    assert!(
        matches!(&again, CommandOutcome::Refused(why, _) if why.code == Code::Busy),
        "{again:?}"
    );
    assert_eq!(log.bytes().len(), 2);
}
