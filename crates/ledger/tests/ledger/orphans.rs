//! Orphans: those of a crash are swept, those that the log may have lost are left alone.

use keyroll_store::log::{MemoryLog, SimulatedAppend};

use crate::erasure::{three, verifies};
use crate::support::{World, advance, demo, owner};

#[tokio::test]
async fn what_never_became_an_entry_is_named_and_swept() {
    let (world, _) = three().await;
    assert_eq!(world.ledger.eraser().sweep().await, Ok(0));
    let orphan = format!("keyroll.vault.demo.{}.1", "ab".repeat(32));
    world
        .vault
        .overwrite(&orphan, &b"stored, never committed"[..]);
    advance(5 * 60 * 1_000);
    assert_eq!(world.ledger.eraser().sweep().await, Ok(0));
    assert_eq!(world.vault.count(), 6);
    advance(1);
    let entries = world.log.bytes().len();
    // The entry comes first: without it no orphan is erased.
    world.log.simulate([SimulatedAppend::Refused]);
    assert!(world.ledger.eraser().sweep().await.is_err());
    assert_eq!(world.vault.count(), 6);
    assert_eq!(world.ledger.eraser().sweep().await, Ok(1));
    assert_eq!(
        (world.vault.count(), world.log.bytes().len()),
        (5, entries + 1)
    );
    assert_eq!(world.ledger.eraser().sweep().await, Ok(0));
    assert_eq!(world.log.bytes().len(), entries + 1);
    assert_eq!(world.reveal(&owner(), "One").await.expect("value"), b"2");
    verifies(&world);
}

/// A log that ends before its last `gone` messages.
fn cut(world: &World, gone: usize) -> MemoryLog {
    let (messages, log) = (world.log.bytes(), MemoryLog::default());
    for bytes in messages.iter().take(messages.len() - gone) {
        log.inject(&demo(), bytes.clone());
    }
    log
}

/// Opens a ledger on a log, and sweeps when every orphan is old enough. Returns the number of
/// erased messages and the reported problems.
async fn swept(world: &World, log: &MemoryLog, dir: &std::path::Path) -> (usize, String) {
    let keys = (&world.id, &world.online);
    let ledger = World::replica(log, &world.vault, &world.keys, dir, keys).await;
    ledger.caught_up().await.expect("caught up");
    advance(10 * 60 * 1_000);
    let swept = ledger.eraser().sweep().await.expect("swept");
    (swept, ledger.health().problems(|_| true).join("; "))
}

#[tokio::test]
async fn values_of_entries_that_a_log_has_lost_are_left_alone_and_said() {
    let (world, _) = three().await;
    advance(1_000);
    let fresh = tempfile::tempdir().expect("directory");
    let log = cut(&world, 3);
    let (swept, said) = swept(&world, &log, fresh.path()).await;
    assert_eq!(swept, 0);
    assert_eq!(world.vault.count(), 5);
    assert!(
        said.contains("2 stored values belong to no entry"),
        "{said}"
    );
    // With the whole log there is no problem.
    let World { log, .. } = &world;
    let again = tempfile::tempdir().expect("directory");
    let (_, said) = self::swept(&world, log, again.path()).await;
    assert_eq!(said, "");
}

#[tokio::test]
async fn so_are_those_that_came_while_nobody_followed_with_this_read_model() {
    let (world, _) = three().await;
    assert_eq!(world.ledger.eraser().sweep().await, Ok(0));
    let keys = (&world.id, &world.online);
    let early = tempfile::tempdir().expect("directory");
    let first = World::replica(&world.log, &world.vault, &world.keys, early.path(), keys).await;
    first.caught_up().await.expect("caught up");
    assert_eq!(first.eraser().sweep().await, Ok(0));
    first.flush().await;
    drop(first);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    // An hour later another service stores a value, and then the log loses its entry.
    advance(60 * 60 * 1_000);
    world
        .create(&owner(), "Late", b"late")
        .await
        .expect("created");
    advance(60 * 60 * 1_000);
    for _ in 0..2 {
        let log = cut(&world, 1);
        let (swept, _) = swept(&world, &log, early.path()).await;
        assert_eq!((swept, world.vault.count()), (0, 6));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_a_crash_left_is_swept_after_the_next_start() {
    let (world, _) = three().await;
    assert_eq!(world.ledger.eraser().sweep().await, Ok(0));
    world
        .ledger
        .eraser()
        .record_following(false)
        .await
        .expect("said");
    advance(30 * 1_000);
    let orphan = format!("keyroll.vault.demo.{}.1", "ab".repeat(32));
    world.vault.overwrite(&orphan, &b"never committed"[..]);
    advance(60 * 60 * 1_000);
    let world = world.again(|_| ()).await;
    world.ledger.caught_up().await.expect("caught up");
    assert_eq!(world.ledger.eraser().sweep().await, Ok(1));
    assert_eq!(world.ledger.health().problems(|_| true), [""; 0]);
}
