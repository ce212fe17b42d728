//! An unused workspace leaves memory, and its next user notices nothing.

use std::time::Duration;

use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::command::{Nothing, SecretDescribe};
use keyroll_core::{Action, Code, Index, SecretId};
use keyroll_ledger::Ledger;
use keyroll_wire::reply::CommittedCommand;

use crate::support::{World, code, demo, fresh, name, now, owner};

async fn idles(idle: Duration) -> World {
    let mut world = World::new().await;
    let dir = tempfile::tempdir().expect("directory");
    world.ledger = another(&world, dir.path(), idle).await;
    world.dir = dir;
    let made = world
        .act(&owner(), Action::WorkspaceCreate(Nothing {}))
        .await;
    made.expect("made");
    world
}

async fn another(world: &World, dir: &std::path::Path, idle: Duration) -> Ledger {
    let keys = (&world.id, &world.online);
    let stored = (&world.vault, &world.keys);
    World::replica_that_idles(&world.log, stored, dir, keys, idle).await
}

/// Waits until no workspace is in memory.
async fn gone(ledger: &Ledger) {
    for _ in 0..2_000 {
        if ledger.in_memory() == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is still in memory: {:?}", ledger.in_memory());
}

fn describe(id: SecretId, words: &str) -> Action {
    Action::SecretDescribe(SecretDescribe {
        id,
        name: name("One"),
        hosts: None,
        restricted: None,
        description: Some(words.parse().expect("words")),
        rotate_every: None,
    })
}

fn index(done: Result<CommittedCommand, keyroll_core::Rejection>) -> Index {
    done.expect("carried out").receipt.index
}

fn verifies(world: &World) {
    let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
    for commit in world.log.bytes() {
        verifier.commit(&commit);
    }
    let report = verifier.finish(None);
    assert!(report.ok(), "{:?}", report.problems);
}

#[tokio::test]
async fn what_is_used_again_has_its_fence_its_receipts_and_its_checkpoint() {
    let world = idles(Duration::from_millis(40)).await;
    let id = world.create(&owner(), "One", b"1").await.expect("created");
    let command = fresh();
    let bytes = world.command_bytes(&owner(), command, now(), describe(id, "first"));
    let first = world.send(bytes.clone(), vec![]).await;
    let checkpoint = first.as_ref().expect("done").receipt.checkpoint.clone();
    let first = index(first);
    gone(&world.ledger).await;

    // The receipt of a command that was carried out before, and no other under its id.
    let again = world.send(bytes, vec![]).await;
    assert_eq!(
        again.as_ref().expect("known").receipt.checkpoint,
        checkpoint
    );
    assert_eq!(index(again), first);
    let other = world.command_bytes(&owner(), command, now(), describe(id, "other"));
    gone(&world.ledger).await;
    assert_eq!(code(world.send(other, vec![]).await), Some(Code::Conflict));
    gone(&world.ledger).await;
    assert_eq!(world.reveal(&owner(), "One").await.expect("value"), b"1");

    // Another replica writes while it is not in memory here: the next entry comes after that.
    gone(&world.ledger).await;
    let dir = tempfile::tempdir().expect("directory");
    let beside = another(&world, dir.path(), Duration::from_secs(300)).await;
    beside.caught_up().await.expect("caught up");
    let bytes = world.command_bytes(&owner(), fresh(), now(), describe(id, "beside"));
    let there = index(world.send_to(&beside, bytes, vec![]).await);
    let here = index(world.act(&owner(), describe(id, "here")).await);
    assert_eq!(here, Index(there.0 + 1));
    verifies(&world);
}

/// Commands arrive just when a writer ends: each is carried out, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_come_while_it_leaves_are_carried_out_once() {
    let world = idles(Duration::from_millis(2)).await;
    let id = world.create(&owner(), "One", b"1").await.expect("created");
    let mut last = index(world.act(&owner(), describe(id, "begin")).await);
    for round in 0..300_u64 {
        if round.is_multiple_of(60) {
            gone(&world.ledger).await;
        }
        tokio::time::sleep(Duration::from_micros(1_500 + 20 * (round % 60))).await;
        let (me, action) = (owner(), || describe(id, &round.to_string()));
        let (one, two) = tokio::join!(world.act(&me, action()), world.act(&me, action()));
        let (one, two) = (index(one), index(two));
        assert_eq!(one.0.min(two.0), last.0 + 1, "{round}");
        assert_eq!(one.0.max(two.0), last.0 + 2, "{round}");
        last = Index(last.0 + 2);
    }
    verifies(&world);
}
