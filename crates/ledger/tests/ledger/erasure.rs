//! Erasures and rotations finish: after a crash at any step, with two replicas at once, and for
//! good.

use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::command::{Nothing, SecretDestroy, SecretRef};
use keyroll_core::state::ValueState;
use keyroll_core::{Action, Code, Epoch, Millis, SecretId, Version};
use keyroll_ledger::Ledger;
use keyroll_store::log::SimulatedAppend;
use keyroll_wire::query::{Question, SecretHistory, SecretShow};
use keyroll_wire::reply::{Answer, KeyStatus};

use crate::support::{World, advance, code, demo, name, owner};

fn destroy(id: SecretId, called: &str, versions: Option<&[u32]>) -> Action {
    Action::SecretDestroy(SecretDestroy {
        id,
        name: name(called),
        versions: versions.map(|versions| versions.iter().copied().map(Version).collect()),
    })
}

fn rotate() -> Action {
    Action::KeyRotate(Nothing {})
}

async fn act(world: &World, action: Action) {
    world.act(&owner(), action).await.expect("carried out");
    // The eraser reads the read model.
    world.projected().await;
}

/// Subjects in the vault by their end: `.1` is the first epoch.
fn under(world: &World, epoch: u32) -> usize {
    let end = format!(".{epoch}");
    let all = world.vault.all();
    all.iter().filter(|(at, _)| at.ends_with(&end)).count()
}

fn has_key(world: &World, epoch: u32) -> bool {
    let subject = format!("keyroll.keys.demo.{epoch}");
    world.keys.all().iter().any(|(at, _)| *at == subject)
}

async fn states(world: &World, called: &str) -> Vec<ValueState> {
    let ask = Question::SecretHistory(SecretHistory {
        name: name(called),
        limit: 100,
        before: None,
    });
    let Ok(Answer::SecretHistory(history)) = world.ask(&owner(), ask).await else {
        panic!("no history of {called}")
    };
    history.rows.iter().rev().map(|row| row.state).collect()
}

async fn key_status(world: &World) -> KeyStatus {
    match world.ask(&owner(), Question::KeyStatus(Nothing {})).await {
        Ok(Answer::KeyStatus(status)) => status,
        other => panic!("no status of the keys: {other:?}"),
    }
}

pub(crate) fn verifies(world: &World) {
    let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
    for commit in world.log.bytes() {
        verifier.commit(&commit);
    }
    let report = verifier.finish(None);
    assert!(report.ok(), "{:?}", report.problems);
}

/// Another service on the same streams, with a read model of its own.
async fn replica(world: &World) -> (Ledger, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("directory");
    let keys = (&world.id, &world.online);
    let ledger = World::replica(&world.log, &world.vault, &world.keys, dir.path(), keys).await;
    ledger.caught_up().await.expect("caught up");
    (ledger, dir)
}

/// Three secrets: one with two versions, one deleted, and one with a destroyed version.
pub(crate) async fn three() -> (World, SecretId) {
    let world = World::with_demo().await;
    let one = world.create(&owner(), "One", b"1").await.expect("created");
    let again = world.edit(&owner(), (one, "One"), 2, b"2").await;
    again.expect("edited");
    let gone = world.create(&owner(), "Gone", b"3").await.expect("created");
    let reference = SecretRef {
        id: gone,
        name: name("Gone"),
    };
    act(&world, Action::SecretDelete(reference)).await;
    let part = world.create(&owner(), "Part", b"4").await.expect("created");
    let again = world.edit(&owner(), (part, "Part"), 2, b"5").await;
    again.expect("edited");
    world.projected().await;
    (world, gone)
}

/// Checks the state after a rotation and the destruction of `Part`'s first version, whatever
/// happened on the way.
async fn is_done(world: &World, gone: SecretId) {
    let status = key_status(world).await;
    assert_eq!(
        (status.epoch, status.retiring, status.ending),
        (Epoch(2), None, 0)
    );
    assert_eq!((under(world, 1), under(world, 2)), (0, 4));
    assert!(!has_key(world, 1) && has_key(world, 2));
    assert_eq!(
        states(world, "Part").await,
        [ValueState::Erased, ValueState::Live]
    );
    assert_eq!(world.reveal(&owner(), "One").await.expect("value"), b"2");
    assert_eq!(world.reveal(&owner(), "Part").await.expect("value"), b"5");
    let reference = SecretRef {
        id: gone,
        name: name("Gone"),
    };
    act(world, Action::SecretRestore(reference)).await;
    assert_eq!(world.reveal(&owner(), "Gone").await.expect("value"), b"3");
    verifies(world);
}

async fn part(world: &World) -> SecretId {
    let ask = Question::SecretShow(SecretShow {
        at: None,
        name: name("Part"),
    });
    match world.ask(&owner(), ask).await {
        Ok(Answer::SecretShow(row)) => row.id,
        other => panic!("no secret: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_destroyed_is_erased_and_then_said_to_be() {
    let (world, _) = three().await;
    let part = part(&world).await;
    act(&world, destroy(part, "Part", Some(&[1]))).await;
    assert_eq!(world.vault.count(), 5);
    assert_eq!(states(&world, "Part").await[0], ValueState::Destroyed);
    assert_eq!(key_status(&world).await.ending, 1);
    world.ledger.eraser().run_once().await.expect("tended");
    assert_eq!(world.vault.count(), 4);
    assert_eq!(states(&world, "Part").await[0], ValueState::Erased);
    assert_eq!(key_status(&world).await.ending, 0);
    act(&world, destroy(part, "Part", None)).await;
    world.ledger.eraser().run_once().await.expect("tended");
    assert_eq!(world.vault.count(), 3);
    assert_eq!(
        code(world.reveal(&owner(), "Part").await),
        Some(Code::Destroyed)
    );
    let entries = world.log.bytes().len();
    world
        .ledger
        .eraser()
        .run_once()
        .await
        .expect("nothing to do");
    assert_eq!(world.log.bytes().len(), entries);
    verifies(&world);
}

#[tokio::test]
async fn values_are_read_at_either_generation_while_one_is_retired() {
    let (world, gone) = three().await;
    act(&world, rotate()).await;
    assert_eq!(
        code(world.act(&owner(), rotate()).await),
        Some(Code::Conflict)
    );
    let part = part(&world).await;
    act(&world, destroy(part, "Part", Some(&[1]))).await;
    assert_eq!(world.reveal(&owner(), "One").await.expect("value"), b"2");
    world.create(&owner(), "New", b"6").await.expect("created");
    assert_eq!((under(&world, 1), under(&world, 2)), (5, 1));
    // Enough to copy some, and not to erase: every value can still be revealed.
    world.vault.fail_after(14);
    assert!(world.ledger.eraser().run_once().await.is_err());
    world.vault.fail_after(u64::MAX);
    assert!(under(&world, 1) >= 4 && under(&world, 2) > 1);
    assert!(key_status(&world).await.problem.is_some());
    for (called, value) in [("One", b"2"), ("Part", b"5"), ("New", b"6")] {
        assert_eq!(world.reveal(&owner(), called).await.expect("value"), value);
    }
    let id = match world
        .ask(
            &owner(),
            Question::SecretShow(SecretShow {
                at: None,
                name: name("New"),
            }),
        )
        .await
    {
        Ok(Answer::SecretShow(row)) => row.id,
        other => panic!("no secret: {other:?}"),
    };
    world.ledger.eraser().run_once().await.expect("tended");
    act(&world, destroy(id, "New", None)).await;
    world.ledger.eraser().run_once().await.expect("tended");
    is_done(&world, gone).await;
    act(&world, rotate()).await;
}

#[tokio::test]
async fn a_crash_at_any_step_is_taken_up_by_another() {
    let mut whole = false;
    for step in 0.. {
        let (world, gone) = three().await;
        act(&world, rotate()).await;
        act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
        world.vault.fail_after(step);
        whole = world.ledger.eraser().run_once().await.is_ok();
        world.vault.fail_after(u64::MAX);
        let (other, _dir) = replica(&world).await;
        other.eraser().run_once().await.expect("taken up");
        is_done(&world, gone).await;
        if whole {
            break;
        }
        assert!(step < 500, "it never ends");
    }
    assert!(whole);
}

#[tokio::test]
async fn an_append_that_fails_or_is_not_heard_of_is_taken_up() {
    for fate in [SimulatedAppend::Refused, SimulatedAppend::AckLost] {
        for before in 0..3 {
            let (world, gone) = three().await;
            act(&world, rotate()).await;
            act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
            let well = std::iter::repeat_n(SimulatedAppend::Acknowledged, before);
            world.log.simulate(well.chain([fate]));
            // Whether it fails or not, another pass finds the rest.
            let _ = world.ledger.eraser().run_once().await;
            world.log.simulate([]);
            let (other, _dir) = replica(&world).await;
            for _ in 0..20 {
                if other.eraser().run_once().await.is_ok() && other.progress().unfinished.is_empty()
                {
                    break;
                }
            }
            world.ledger.caught_up().await.expect("caught up");
            assert!(key_status(&world).await.retiring.is_none(), "{fate:?}");
            assert_eq!((under(&world, 1), under(&world, 2)), (0, 4));
            let _ = gone;
            verifies(&world);
        }
    }
}

#[tokio::test]
async fn two_erasers_at_once_do_no_harm() {
    let (world, gone) = three().await;
    let (other, _dir) = replica(&world).await;
    act(&world, rotate()).await;
    act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
    for _ in 0..20 {
        other.caught_up().await.expect("caught up");
        // Each may find the other's work half done: the next pass finds the rest.
        let (_, _) = tokio::join!(world.ledger.eraser().run_once(), other.eraser().run_once());
        world.ledger.caught_up().await.expect("caught up");
        if world.ledger.progress().unfinished.is_empty() {
            break;
        }
    }
    is_done(&world, gone).await;
}

#[tokio::test]
async fn what_is_at_neither_generation_is_lost_and_skipped() {
    let (world, _) = three().await;
    let lost = world.vault.all()[0].0.clone();
    assert!(world.vault.lose(&lost));
    // A damaged value exists, but is not the one that the log names.
    let damaged = world.vault.all()[0].0.clone();
    world.vault.overwrite(&damaged, &b"something else"[..]);
    act(&world, rotate()).await;
    world.ledger.eraser().run_once().await.expect("tended");
    assert_eq!(key_status(&world).await.retiring, None);
    assert_eq!((under(&world, 1), under(&world, 2)), (0, 3));
    let mut all = states(&world, "One").await;
    all.extend(states(&world, "Gone").await);
    all.extend(states(&world, "Part").await);
    let lost = all.iter().filter(|state| **state == ValueState::Lost);
    assert_eq!(lost.count(), 2);
    verifies(&world);
}

#[tokio::test]
async fn a_missing_key_stops_a_rotation_and_loses_nothing() {
    let (world, gone) = three().await;
    act(&world, rotate()).await;
    act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
    let subject = "keyroll.keys.demo.1";
    let key = world.keys.all().into_iter().find(|(at, _)| at == subject);
    world.keys.lose(subject);
    let (other, _dir) = replica(&world).await;
    assert_eq!(code(other.eraser().run_once().await), Some(Code::ValueLost));
    assert_eq!((under(&world, 1), under(&world, 2)), (4, 0));
    // The stream is repaired, and the rotation continues.
    world.keys.overwrite(subject, key.expect("there").1);
    other.eraser().run_once().await.expect("tended");
    world.ledger.caught_up().await.expect("caught up");
    is_done(&world, gone).await;
}

#[tokio::test]
async fn a_missing_vault_stops_a_rotation_and_loses_nothing() {
    let (world, gone) = three().await;
    act(&world, rotate()).await;
    act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
    world.vault.set_missing(true);
    let stopped = world.ledger.eraser().run_once().await;
    assert_eq!(code(stopped), Some(Code::AuditUnavailable));
    // The stream is back, with all its messages.
    world.vault.set_missing(false);
    world.ledger.eraser().run_once().await.expect("finished");
    world.ledger.eraser().sweep().await.expect("swept");
    is_done(&world, gone).await;
}

#[tokio::test]
async fn what_a_sleeping_replica_puts_back_is_swept() {
    let (world, gone) = three().await;
    let old: Vec<_> = world.vault.all();
    let old_key = world.keys.all();
    act(&world, rotate()).await;
    act(&world, destroy(part(&world).await, "Part", Some(&[1]))).await;
    world.ledger.eraser().run_once().await.expect("tended");
    for (subject, bytes) in old {
        // Under the retired epoch, and as a late copy under the new one.
        world.vault.overwrite(&subject, bytes.clone());
        let late = subject.trim_end_matches(".1").to_owned() + ".2";
        if !world.vault.all().iter().any(|(at, _)| *at == late) {
            world.vault.overwrite(&late, bytes);
        }
    }
    for (subject, bytes) in old_key {
        world.keys.overwrite(&subject, bytes);
    }
    assert!(has_key(&world, 1));
    assert_eq!(world.ledger.eraser().sweep().await, Ok(5 + 1 + 1));
    is_done(&world, gone).await;
}

#[tokio::test]
async fn a_value_stored_long_ago_serves_no_command() {
    let world = World::with_demo().await;
    let secret = SecretId([5; 16]);
    let (command, values) = world.create_command(&owner(), secret, "Key", b"v").await;
    world.log.simulate([SimulatedAppend::Refused]);
    let refused = world.send(command.clone(), values.clone()).await;
    assert_eq!(code(refused), Some(Code::AuditUnavailable));
    assert_eq!(world.vault.count(), 1);
    // The same command, signed again under the same id when the sweep may be near.
    advance(keyroll_core::limits::STORED_AGAIN_MS + 1);
    let signed = keyroll_core::SignedCommand::decode(&command).expect("signed");
    let said = signed.command();
    let at = Millis(said.at.0 + keyroll_core::limits::STORED_AGAIN_MS);
    let anew = world.command_bytes(&owner(), said.id, at, said.action.clone());
    assert_eq!(code(world.send(anew, values).await), Some(Code::Conflict));
}

#[tokio::test]
async fn an_eraser_that_slept_through_a_rotation_loses_nothing() {
    let (world, _) = three().await;
    let (other, _dir) = replica(&world).await;
    let (subject, bytes) = world.vault.all()[0].clone();
    act(&world, rotate()).await;
    other.caught_up().await.expect("caught up");
    world.vault.lose(&subject);
    // The other looks for the value again and again. Meanwhile it comes back, and is copied two
    // epochs on, where the other does not look.
    let sleeper = other.eraser().run_once();
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        world.vault.overwrite(&subject, bytes);
        world.ledger.eraser().run_once().await.expect("tended");
        act(&world, rotate()).await;
        world.ledger.eraser().run_once().await.expect("tended");
    };
    let (slept, ()) = tokio::join!(sleeper, meanwhile);
    assert!(slept.is_err());
    world.ledger.caught_up().await.expect("caught up");
    assert_eq!((under(&world, 2), under(&world, 3)), (0, 5));
    for called in ["One", "Gone", "Part"] {
        let states = states(&world, called).await;
        assert!(states.iter().all(|state| *state == ValueState::Live));
    }
}

/// The keys stream is lost while values are copied: only the old copies can still be read.
#[tokio::test]
async fn nothing_old_is_erased_on_the_word_of_a_key_that_is_not_stored() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let rotated = world.act(&owner(), Action::KeyRotate(Nothing {})).await;
    rotated.expect("rotated");
    world.projected().await;
    let before: Vec<_> = world.keys.all();
    let under_old = |world: &World| {
        let all = world.vault.all().into_iter();
        all.filter(|(subject, _)| subject.ends_with(".1")).count()
    };
    assert_eq!(under_old(&world), 1);
    world.keys.lose_all();
    assert!(world.ledger.eraser().run_once().await.is_err());
    assert_eq!(under_old(&world), 1, "the old value is still there");
    // With the stream from its backup the rotation continues.
    for (subject, bytes) in before {
        world.keys.overwrite(&subject, bytes.to_vec());
    }
    world.ledger.eraser().run_once().await.expect("tended");
    assert_eq!(under_old(&world), 0);
    assert_eq!(world.reveal(&owner(), "Key").await.expect("value"), b"v");
}
