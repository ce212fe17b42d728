use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use keyroll_core::command::{COMMAND_V, Command, Nothing};
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::{
    Action, Blob, CommandId, Identity, LedgerId, Millis, SignedCommand, Verified, WorkspaceName,
    cose,
};
use tokio::sync::{RwLock, watch};

use super::{Writer, Writers};
use crate::context::Context;
use crate::follower::{Progress, ProgressPublisher, ProgressReader};
use crate::health::Health;
use crate::projection::Projection;
use keyroll_store::log::MemoryLog;
use keyroll_store::objects::MemoryObjects;
use keyroll_store::vault::Vault;

/// With so many rounds it stopped every time, while the writer still read the progress twice at
/// once.
const ROUNDS: u32 = 20_000;

fn demo() -> WorkspaceName {
    "demo".parse().expect("a name")
}

fn identity(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}

fn creation(owner: &SigningKey, ledger: LedgerId) -> Arc<Verified> {
    let command = Command {
        v: COMMAND_V,
        at: Millis(1),
        id: CommandId([3; 16]),
        action: Action::WorkspaceCreate(Nothing {}),
        ledger,
        workspace: demo(),
        member: None,
        approval: None,
        delegation: None,
    };
    let signed = SignedCommand::decode(&cose::sign(&command, owner));
    Arc::new(
        signed
            .and_then(SignedCommand::verify)
            .expect("a signed command"),
    )
}

/// The context of a writer, its operator, who may create workspaces, and the parts that must stay
/// alive.
fn context() -> (Context, SigningKey, ProgressPublisher, impl Sized) {
    let (key, owner) = (
        SigningKey::from_bytes(&[1; 32]),
        SigningKey::from_bytes(&[2; 32]),
    );
    let ledger = LedgerId(key.verifying_key().to_bytes());
    let directory = tempfile::tempdir().expect("a directory");
    let projection = Projection::open(&directory.path().join("ledger.redb"), &ledger);
    let (told_of, projection) = watch::channel(projection.expect("a read model"));
    let (told, progress) = ProgressReader::begin(Progress::default());
    let context = Context {
        ledger,
        created: WorkspaceCreated {
            key: identity(&key),
            serial: 1,
            statement: Blob(Vec::new()),
        },
        key,
        operators: vec![identity(&owner)],
        log: Arc::new(MemoryLog::default()),
        vault: Arc::new(Vault::new(Arc::new(MemoryObjects::default()))),
        health: Arc::new(Health::default()),
        gate: RwLock::new(0),
        progress,
        projection,
        clock: || Millis(1),
    };
    (context, owner, told, (directory, told_of))
}

/// Has a writer read the read model's progress in round after round, while that is changed without
/// a pause. Reports on `done` when it has finished.
fn look_and_change(done: &mpsc::Sender<()>) {
    let (context, owner, told, _kept) = context();
    let ledger = context.ledger;
    let over = AtomicBool::new(false);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                told.modify(|_| {});
            }
        });
        runtime.block_on(async {
            let writer = Writer::start(Arc::new(context), demo());
            let command = creation(&owner, ledger);
            for _ in 0..ROUNDS {
                let decided = writer.precheck(Arc::clone(&command)).await;
                decided.expect("an operator may make a workspace");
            }
        });
        over.store(true, Ordering::Relaxed);
    });
    done.send(()).expect("somebody waits");
}

/// Two reads of one lock at once, with a write waiting in between, block for ever: that stopped a
/// whole service. It runs on threads of its own, since no timer of the runtime would fire.
#[test]
fn writer_and_follower_do_not_wait_for_each_other() {
    let (done, over) = mpsc::channel();
    std::thread::spawn(move || look_and_change(&done));
    over.recv_timeout(Duration::from_secs(60))
        .expect("both go on");
}

/// A value is stored between the precheck of its command and the command itself, and that may take
/// longer than a writer stays idle.
#[tokio::test]
async fn a_writer_that_somebody_holds_does_not_end() {
    let (context, owner, _told, _kept) = context();
    let (idle, context) = (Duration::from_millis(5), Arc::new(context));
    let (writers, command) = (Writers::new(idle), creation(&owner, context.ledger));
    let writer = writers.of(&context, &demo());
    for _ in 0..3 {
        let decided = writer.precheck(Arc::clone(&command)).await;
        decided.expect("an operator may make a workspace");
        tokio::time::sleep(10 * idle).await;
    }
    assert_eq!(writers.count(), 1);
    drop(writer);
    while writers.count() > 0 {
        tokio::time::sleep(idle).await;
    }
    let anew = writers.of(&context, &demo()).precheck(command).await;
    anew.expect("a new one is started");
}
