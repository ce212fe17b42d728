//! Commands that are only decided: nothing is written, and refusals are those of the command
//! itself.

use keyroll_core::command::{MemberRemove, Nothing, SecretRef, SignInClose};
use keyroll_core::roles::Role;
use keyroll_core::{
    Action, Blob, Code, Event, Millis, Rejection, SecretId, TreeSize, cbor, cose, limits,
};
use keyroll_ledger::Ledger;
use keyroll_wire::query::{CommandDryRun, Query, Question};
use keyroll_wire::reply::{Answer, Reply, ReplyBody};

use crate::support::{World, advance, code, demo, fresh, identity, name, now, owner, signing_key};

type Key = ed25519_dalek::SigningKey;

/// The ledger's answer to a dry run of signed bytes, asked for by `actor`.
async fn ask(
    world: &World,
    ledger: &Ledger,
    (actor, at): (&Key, Millis),
    command: Vec<u8>,
) -> Result<Vec<Event>, Rejection> {
    let query = Query {
        v: 1,
        at,
        ask: Question::CommandDryRun(CommandDryRun {
            command: Blob(command),
        }),
        seen: TreeSize(0),
        ledger: world.id(),
        workspace: Some(demo()),
        member: None,
        delegation: None,
    };
    let bytes = cose::sign(&query, actor);
    let response = ledger.query(Some(&demo()), &bytes).await;
    let opened = cose::open::<Reply>(&response.bytes).expect("a signed reply");
    opened.verify().expect("signed");
    match opened.payload.body {
        ReplyBody::Error(rejection) => Err(rejection),
        ReplyBody::Answer(answer) => match *answer {
            Answer::CommandDryRun(found) => Ok(found.events),
            other => panic!("another answer: {other:?}"),
        },
    }
}

async fn bytes(world: &World, actor: &Key, command: Vec<u8>) -> Result<Vec<Event>, Rejection> {
    ask(world, &world.ledger, (actor, now()), command).await
}

async fn action(world: &World, actor: &Key, action: Action) -> Result<Vec<Event>, Rejection> {
    let command = world.command_bytes(actor, fresh(), now(), action);
    bytes(world, actor, command).await
}

fn kinds(events: Result<Vec<Event>, Rejection>) -> Vec<&'static str> {
    let events = events.expect("accepted");
    events.iter().map(|event| event.kind().name).collect()
}

fn delete(id: SecretId) -> Action {
    let name = name("Key");
    Action::SecretDelete(SecretRef { id, name })
}

#[tokio::test]
async fn whatever_would_be_refused_is_refused_and_nothing_is_written() {
    let (world, viewer) = World::with_viewer().await;
    let secret = world.create(&owner(), "Key", b"v").await.expect("created");
    let before = world.log.bytes();
    assert_eq!(
        kinds(action(&world, &owner(), delete(secret)).await),
        ["secret.deleted"]
    );
    assert_eq!(world.log.bytes(), before);
    let remove = |of: &Key| {
        Action::MemberRemove(MemberRemove {
            member: identity(of).into(),
        })
    };
    let ended = match World::member(&signing_key(30), "late", Role::Viewer, &["*"]) {
        Action::MemberAdd(record) => Action::MemberAdd(keyroll_core::command::MemberRecord {
            expires: Some(Millis(now().0 - 1)),
            ..record
        }),
        other => other,
    };
    let (stranger, unseen) = (signing_key(99), signing_key(50));
    let close = Action::SignInClose(SignInClose {
        key: identity(&unseen),
        member: Some(identity(&stranger).into()),
    });
    for (actor, asked, refused) in [
        (&viewer, delete(secret), Code::Denied),
        (&viewer, Action::KeyRotate(Nothing {}), Code::Denied),
        (&stranger, delete(secret), Code::Denied),
        (&owner(), delete(SecretId([9; 16])), Code::NotFound),
        (&owner(), remove(&owner()), Code::Conflict),
        (&owner(), remove(&stranger), Code::NotFound),
        (&owner(), ended, Code::InvalidField),
        (
            &owner(),
            Action::WorkspaceCreate(Nothing {}),
            Code::Conflict,
        ),
        (&owner(), close, Code::NotFound),
    ] {
        let words = format!("{} by {:?}", asked.name(), identity(actor));
        let before = world.log.bytes();
        let tried = action(&world, actor, asked.clone()).await;
        assert_eq!(code(tried), Some(refused), "{words}");
        assert_eq!(world.log.bytes(), before, "{words}");
        // The command itself gets the same refusal.
        let done = world.act(actor, asked).await;
        let real = match &done {
            Ok(done) => crate::support::denied(done),
            Err(rejection) => Some(rejection.clone()),
        };
        assert_eq!(real.map(|real| real.code), Some(refused), "{words}");
    }
}

#[tokio::test]
async fn a_taken_name_is_refused_on_every_replica() {
    let world = World::with_demo().await;
    let elsewhere = tempfile::tempdir().expect("directory");
    let keys = (&world.id, &world.online);
    let other = World::replica(
        &world.log,
        &world.vault,
        &world.keys,
        elsewhere.path(),
        keys,
    )
    .await;
    let (command, _) = world
        .create_command(&owner(), SecretId([5; 16]), "Key", b"v")
        .await;
    // The other replica has already decided on the earlier state.
    let free = ask(&world, &other, (&owner(), now()), command.clone()).await;
    assert_eq!(kinds(free), ["secret.created"]);
    world.create(&owner(), "Key", b"v").await.expect("created");
    let taken = ask(&world, &other, (&owner(), now()), command).await;
    assert_eq!(code(taken), Some(Code::Conflict));
}

#[tokio::test]
async fn refusals_of_dry_runs_are_not_summed_up_either() {
    let (world, viewer) = World::with_viewer().await;
    let secret = world.create(&owner(), "Key", b"v").await.expect("created");
    // More refusals than get an entry each.
    for _ in 0..2 * limits::DENIALS_PER_MINUTE {
        let tried = action(&world, &viewer, delete(secret)).await;
        assert_eq!(code(tried), Some(Code::Denied));
    }
    let real = world.act(&viewer, delete(secret)).await.expect("on record");
    assert!(crate::support::denied(&real).is_some());
    let before = world.log.bytes().len();
    advance(2 * 60_000);
    world.create(&owner(), "Two", b"v").await.expect("created");
    assert_eq!(world.log.bytes().len(), before + 1);
    let summed = world.log.bytes().iter().any(|commit| {
        let summary = b"denials.summarized";
        commit.windows(summary.len()).any(|part| part == summary)
    });
    assert!(!summed);
}

#[tokio::test]
async fn a_dry_run_is_as_fresh_and_as_signed_as_a_command() {
    let world = World::with_demo().await;
    let secret = world.create(&owner(), "Key", b"v").await.expect("created");
    let (at, old) = (now(), Millis(now().0 - limits::FRESH_MS - 1_000));
    let signed = |at| world.command_bytes(&owner(), fresh(), at, delete(secret));
    let stale = bytes(&world, &owner(), signed(old)).await;
    assert_eq!(code(stale), Some(Code::Stale));
    let stale = ask(&world, &world.ledger, (&owner(), old), signed(at)).await;
    assert_eq!(code(stale), Some(Code::Stale));
    // Another member's command, and one whose signature does not fit.
    let others = bytes(&world, &signing_key(99), signed(at)).await;
    assert_eq!(code(others), Some(Code::Denied));
    let mut broken = signed(at);
    if let Some(last) = broken.last_mut() {
        *last ^= 1;
    }
    let broken = bytes(&world, &owner(), broken).await;
    assert_eq!(code(broken), Some(Code::BadSignature));
    // A command that was carried out has no further effect.
    let command = signed(now());
    world.send(command.clone(), vec![]).await.expect("deleted");
    assert_eq!(bytes(&world, &owner(), command).await, Ok(vec![]));
}

#[tokio::test]
async fn no_value_leaves_by_a_dry_run() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let before = world.log.bytes();
    let session = world.session(&owner()).await;
    let reveal = World::reveal_action(&session, "Key");
    let command = world.command_bytes(&owner(), fresh(), now(), reveal);
    let events = bytes(&world, &owner(), command.clone()).await;
    let events = events.expect("what would be on record");
    // Name, version, hosts and digest, as the entry would have them.
    let [Event::SecretRevealed(revealed)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(revealed.secrets[0].name, name("Key"));
    assert!(cbor::encode(&events).len() < 200, "no room for a value");
    assert_eq!(world.log.bytes(), before);
    // The same command is still valid: it was not carried out.
    let done = world.send(command, vec![]).await.expect("revealed");
    assert_eq!(done.released.len(), 1);
}

#[tokio::test]
async fn the_largest_command_can_be_tried() {
    let world = World::with_demo().await;
    // Only blocks make a command large without values.
    let block = |number: usize| keyroll_core::command::BlockUse {
        name: format!("{number:04}{}", "b".repeat(100))
            .parse()
            .expect("label"),
        secrets: vec![name("Key")],
    };
    let save = Action::WorkflowSave(keyroll_core::command::WorkflowSave {
        blocks: (0..limits::WORKFLOW_BLOCKS).map(block).collect(),
        workflow: "large".parse().expect("label"),
    });
    let command = world.command_bytes(&owner(), fresh(), now(), save);
    assert!(
        command.len() > 16 * 1024,
        "larger than other queries may be"
    );
    assert_eq!(
        kinds(bytes(&world, &owner(), command).await),
        ["workflow.saved"]
    );
}

#[tokio::test]
async fn a_workspace_that_is_not_there_can_be_tried_by_operators_alone() {
    let world = World::new().await;
    let made = action(&world, &owner(), Action::WorkspaceCreate(Nothing {})).await;
    assert_eq!(kinds(made), ["workspace.created"]);
    let stranger = action(
        &world,
        &signing_key(99),
        Action::WorkspaceCreate(Nothing {}),
    )
    .await;
    assert_eq!(code(stranger), Some(Code::Denied));
    assert!(world.log.bytes().is_empty());
}
