//! The ledger through its bytes, on a log and objects in memory.

mod appends;
mod asked_again;
mod commits;
mod credentials;
mod damage;
mod disk;
mod dry_runs;
mod erasure;
mod history;
mod idle;
mod invitations;
mod mended;
mod moving;
mod orphans;
mod pages;
mod refusals;
mod replay;
mod rules;
mod sign_ins;
mod support;
mod time;
mod verification;
mod workflows;

use std::sync::atomic::{AtomicU64, Ordering};

use keyroll_core::command::Nothing;
use keyroll_core::{Action, Code, SecretId, cose};
use keyroll_merkle::{Hash, SignedCheckpoint, leaf_hash, verify_inclusion};
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::Answer;

use appends::close;
use support::{World, code, demo, fresh, identity, name, now, owner, signing_key};

#[tokio::test]
async fn values_come_back_byte_for_byte() {
    let world = World::with_demo().await;
    let long = vec![0xff; 65_535];
    let hostile: [&[u8]; 6] = [
        b"x",
        b"line\r\nline\r\n",
        b"{{secrets.Other}}",
        &[0; 300],
        &long,
        b"-----BEGIN PRIVATE KEY-----\n",
    ];
    for (at, value) in hostile.into_iter().enumerate() {
        let called = format!("Key_{at}");
        world
            .create(&owner(), &called, value)
            .await
            .expect("created");
        assert_eq!(
            world.reveal(&owner(), &called).await.expect("revealed"),
            value
        );
    }
    let all: Vec<u8> = (0..=255).collect();
    world.create(&owner(), "All", &all).await.expect("created");
    assert_eq!(world.reveal(&owner(), "All").await.expect("revealed"), all);
}

#[tokio::test]
async fn the_log_and_the_vault_hold_no_value_and_no_key() {
    let world = World::with_demo().await;
    let canary = b"canary-4f1d9c-canary";
    let secret = world
        .create(&owner(), "Key", canary)
        .await
        .expect("created");
    let data_key = [&secret.0[..], &1_u32.to_be_bytes()].concat();
    let everything: Vec<u8> = world.log.bytes().concat();
    let holds = |haystack: &[u8], needle: &[u8]| {
        haystack
            .windows(needle.len())
            .any(|window| window == needle)
    };
    assert!(!holds(&everything, canary));
    assert!(!holds(&everything, &data_key));
    // The control: the search finds text that is there.
    assert!(holds(&everything, b"secret.create"));
}

#[tokio::test]
async fn every_reply_proves_its_entry() {
    let world = World::with_demo().await;
    let (command, values) = world
        .create_command(&owner(), SecretId([5; 16]), "Key", b"v")
        .await;
    let done = world.send(command, values).await.expect("done");
    let receipt = done.receipt;
    let verifier = keyroll_core::origin::verifier(&world.id(), &demo(), &identity(&world.online))
        .expect("a key");
    let checkpoint = SignedCheckpoint::open(&receipt.checkpoint, &verifier).expect("signed");
    let path: Vec<Hash> = receipt.path.iter().map(|hash| Hash(hash.0)).collect();
    let leaf = leaf_hash(&receipt.entry.0);
    verify_inclusion(
        &leaf,
        receipt.index.0,
        checkpoint.size,
        &path,
        &checkpoint.root,
    )
    .expect("in the tree");
    let other = leaf_hash(b"something else");
    assert!(
        verify_inclusion(
            &other,
            receipt.index.0,
            checkpoint.size,
            &path,
            &checkpoint.root
        )
        .is_err()
    );
}

#[tokio::test]
async fn a_command_takes_effect_once() {
    let world = World::with_demo().await;
    let (command, values) = world
        .create_command(&owner(), SecretId([5; 16]), "Key", b"v")
        .await;
    let first = world
        .send(command.clone(), values.clone())
        .await
        .expect("done");
    let again = world
        .send(command.clone(), values.clone())
        .await
        .expect("the receipt");
    assert_eq!(first.receipt.entry, again.receipt.entry);
    assert_eq!(first.receipt.index, again.receipt.index);
    assert_eq!(world.log.bytes().len(), 2);

    // A repeated reveal gives the receipt and no key.
    let (session, id) = (world.session(&owner()).await, fresh());
    let reveal = world.command_bytes(&owner(), id, now(), World::reveal_action(&session, "Key"));
    let first = world.send(reveal.clone(), vec![]).await.expect("revealed");
    let again = world.send(reveal, vec![]).await.expect("the receipt");
    assert_eq!((first.released.len(), again.released.len()), (1, 0));

    // Another command under the same id is a conflict, unless it is another actor's.
    let other = world.command_bytes(&owner(), id, now(), close());
    assert_eq!(code(world.send(other, vec![]).await), Some(Code::Conflict));
    let stranger = world.command_bytes(&signing_key(99), id, now(), close());
    assert_eq!(code(world.send(stranger, vec![]).await), Some(Code::Denied));
}

#[tokio::test]
async fn a_rebuild_is_identical_and_so_is_a_restart() {
    let world = World::with_demo().await;
    let secret = world
        .create(&owner(), "Key", b"one")
        .await
        .expect("created");
    world
        .edit(&owner(), (secret, "Key"), 2, b"two")
        .await
        .expect("edited");
    world.reveal(&owner(), "Key").await.expect("revealed");
    world.ledger.caught_up().await.expect("caught up");
    let digest = digest(&world).await;
    let rebuilt = ask_ledger(&world, Question::ProjectionRebuild(Nothing {}))
        .await
        .expect("rebuilt");
    let Answer::ProjectionRebuild(rebuilt) = rebuilt else {
        panic!("another answer")
    };
    assert!(rebuilt.identical);
    assert_eq!((rebuilt.entries, rebuilt.digest), (4, digest));
    assert_eq!(
        world.reveal(&owner(), "Key").await.expect("goes on"),
        b"two"
    );

    let elsewhere = tempfile::tempdir().expect("directory");
    let again = World::open(
        world.log.clone(),
        world.vault.clone(),
        world.keys.clone(),
        elsewhere,
    )
    .await;
    again.ledger.caught_up().await.expect("caught up");
    world.ledger.caught_up().await.expect("caught up");
    assert_eq!(self::digest(&again).await, self::digest(&world).await);
}

async fn digest(world: &World) -> keyroll_core::Digest {
    match ask_ledger(world, Question::ProjectionDigest(Nothing {})).await {
        Ok(Answer::ProjectionDigest(digest)) => digest.digest,
        other => panic!("{other:?}"),
    }
}

async fn ask_ledger(world: &World, ask: Question) -> Result<Answer, keyroll_core::Rejection> {
    // The same bytes would be the same query, sent again.
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let query = keyroll_wire::Query {
        v: 1,
        at: keyroll_core::Millis(now().0 + ASKED.fetch_add(1, Ordering::Relaxed)),
        ask,
        seen: keyroll_core::TreeSize(0),
        ledger: world.id(),
        workspace: None,
        member: None,
        delegation: None,
    };
    world.ask_bytes(None, &cose::sign(&query, &owner())).await
}

#[tokio::test]
async fn a_lost_value_is_named_and_the_rest_goes_on() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.vault.lose_all();
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::ValueLost)
    );
    world
        .create(&owner(), "Other", b"w")
        .await
        .expect("created");
    assert_eq!(
        world.reveal(&owner(), "Other").await.expect("revealed"),
        b"w"
    );
}

#[tokio::test]
async fn what_was_carried_out_keeps_its_receipt_after_its_session_is_over() {
    let world = World::with_demo().await;
    let (command, values) = world
        .create_command(&owner(), SecretId([5; 16]), "Key", b"v")
        .await;
    let first = world
        .send(command.clone(), values.clone())
        .await
        .expect("done");
    support::advance(2 * keyroll_core::limits::SEALING_PERIOD_MS);
    let again = world.send(command, values).await.expect("the receipt");
    assert_eq!(first.receipt.index, again.receipt.index);
}

#[tokio::test]
async fn a_secret_is_found_in_the_audit_log_under_a_former_name() {
    let world = World::with_demo().await;
    let id = world.create(&owner(), "Old", b"v").await.expect("created");
    let rename = keyroll_core::command::SecretRename {
        id,
        to: name("New"),
        name: name("Old"),
    };
    world
        .act(&owner(), Action::SecretRename(rename))
        .await
        .expect("renamed");
    world.ledger.caught_up().await.expect("caught up");
    let filter = AuditLog {
        limit: 10,
        secret: Some(name("Old")),
        ..AuditLog::default()
    };
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Question::AuditLog(filter)).await else {
        panic!("no rows")
    };
    let kinds: Vec<&str> = rows.rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["secret.created", "secret.renamed"]);
}
