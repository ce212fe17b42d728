//! The ledger through its bytes, on a log and objects in memory.

mod damage;
mod keeper;
mod replay;
mod support;
mod time;
mod workflows;

use keyroll_api::query::{Ask, AuditCommits, AuditLog, Named, SecretList};
use keyroll_api::reply::Answer;
use keyroll_core::authorize::Role;
use keyroll_core::command::{Nothing, SecretRef};
use keyroll_core::{Action, Code, Commit, Index, Millis, SecretId, cose};
use keyroll_ledger::log::{Fate, Log as _};
use keyroll_ledger::verify::{Depth, Verifier};
use keyroll_merkle::{Hash, SignedCheckpoint, leaf_hash, verify_inclusion};
use support::{World, code, demo, denied, fresh, identity, name, now, owner, signing_key};

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
    // The control: the search does find what is there.
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
    let verifier = keyroll_api::client::verifier(&world.id(), &demo(), &identity(&world.online))
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

    // Another command under the same id is a conflict; under another actor's it is no matter.
    let other = world.command_bytes(&owner(), id, now(), Action::DelegationRevoke(revoke()));
    assert_eq!(code(world.send(other, vec![]).await), Some(Code::Conflict));
    let stranger = world.command_bytes(
        &signing_key(99),
        id,
        now(),
        Action::DelegationRevoke(revoke()),
    );
    assert_eq!(code(world.send(stranger, vec![]).await), Some(Code::Denied));
}

fn revoke() -> keyroll_core::command::DelegationRevoke {
    keyroll_core::command::DelegationRevoke {
        key: identity(&signing_key(50)),
        identity: identity(&owner()),
    }
}

#[tokio::test]
async fn an_append_that_is_refused_releases_nothing() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.fates([Fate::Refused]);
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::AuditUnavailable)
    );
    assert_eq!(
        world.reveal(&owner(), "Key").await.expect("afterwards"),
        b"v"
    );
}

#[tokio::test]
async fn a_lost_acknowledgement_is_settled_and_nothing_doubles() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.fates([Fate::AckLost]);
    let (session, id) = (world.session(&owner()).await, fresh());
    let reveal = world.command_bytes(&owner(), id, now(), World::reveal_action(&session, "Key"));
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    let known = world
        .send(reveal, vec![])
        .await
        .expect("the receipt of what did land");
    assert!(known.released.is_empty());
    assert_eq!(known.receipt.index, Index(2));
    assert_eq!(world.log.bytes().len(), 3);
}

#[tokio::test]
async fn a_delayed_append_cannot_land_behind_an_answer() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.fates([Fate::Delayed]);
    let (session, id) = (world.session(&owner()).await, fresh());
    let reveal = world.command_bytes(&owner(), id, now(), World::reveal_action(&session, "Key"));
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    let settled = world.send(reveal, vec![]).await.expect("settled");
    assert_eq!(settled.receipt.index, Index(2));
    assert_eq!(world.log.land(), 0, "the first copy can land no more");
    assert_eq!(world.log.bytes().len(), 3);
}

#[tokio::test]
async fn while_an_append_is_in_doubt_nothing_is_final() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world
        .log
        .fates([Fate::Delayed, Fate::Delayed, Fate::Refused]);
    let (session, id) = (world.session(&owner()).await, fresh());
    let reveal = world.command_bytes(&owner(), id, now(), World::reveal_action(&session, "Key"));
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    // The settling append is in doubt as well, then refused: still nobody is told anything final.
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::AuditUnavailable)
    );
    assert_eq!(
        world
            .send(reveal, vec![])
            .await
            .expect("settled")
            .receipt
            .index,
        Index(2)
    );
    assert_eq!(world.log.land(), 0);
}

#[tokio::test]
async fn two_replicas_fence_each_other() {
    let world = World::with_demo().await;
    let dir = tempfile::tempdir().expect("directory");
    let other = World::replica(
        &world.log,
        &world.vault,
        &world.keys,
        dir.path(),
        (&world.id, &world.online),
    )
    .await;
    for at in 0..20_u8 {
        let (command, values) = world
            .create_command(&owner(), SecretId([at; 16]), &format!("Key_{at}"), b"v")
            .await;
        let ledger = if at % 2 == 0 { &world.ledger } else { &other };
        world
            .send_to(ledger, command, values)
            .await
            .expect("created");
    }
    // Removed on one, refused on the other at once.
    let viewer = signing_key(20);
    world
        .act(
            &owner(),
            World::member(&viewer, "ana", Role::Editor, &["*"]),
        )
        .await
        .expect("added");
    let (session, id) = (world.session(&viewer).await, fresh());
    let reveal = world.command_bytes(&viewer, id, now(), World::reveal_action(&session, "Key_1"));
    world
        .send_to(&other, reveal, vec![])
        .await
        .expect("revealed");
    let remove = Action::MemberRemove(keyroll_core::command::MemberRemove {
        member: identity(&viewer),
    });
    world.act(&owner(), remove).await.expect("removed");
    let reveal = world.command_bytes(
        &viewer,
        fresh(),
        now(),
        World::reveal_action(&session, "Key_1"),
    );
    assert_eq!(
        code(world.send_to(&other, reveal, vec![]).await),
        Some(Code::Denied)
    );
    assert_eq!(world.log.bytes().len(), 24);
}

#[tokio::test]
async fn commands_that_wait_share_a_commit() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let session = world.session(&owner()).await;
    let reveals: Vec<_> = (0..200)
        .map(|_| {
            world.command_bytes(
                &owner(),
                fresh(),
                now(),
                World::reveal_action(&session, "Key"),
            )
        })
        .collect();
    let sent =
        futures::future::join_all(reveals.into_iter().map(|reveal| world.send(reveal, vec![])))
            .await;
    assert!(sent.iter().all(Result::is_ok));
    let mut indexes: Vec<u64> = sent
        .into_iter()
        .flatten()
        .map(|done| done.receipt.index.0)
        .collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (2..202).collect::<Vec<_>>());
    assert!(
        world.log.bytes().len() < 100,
        "{} commits",
        world.log.bytes().len()
    );
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
    let rebuilt = ask_ledger(&world, Ask::ProjectionRebuild(Nothing {}))
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
    match ask_ledger(world, Ask::ProjectionDigest(Nothing {})).await {
        Ok(Answer::ProjectionDigest(digest)) => digest.digest,
        other => panic!("{other:?}"),
    }
}

async fn ask_ledger(world: &World, ask: Ask) -> Result<Answer, keyroll_core::Rejection> {
    let query = keyroll_api::Query {
        v: 1,
        at: now(),
        ask,
        seen: keyroll_core::TreeSize(0),
        ledger: world.id(),
        workspace: None,
        delegation: None,
    };
    world.ask_bytes(None, &cose::sign(&query, &owner())).await
}

#[tokio::test]
async fn the_whole_log_verifies_and_every_changed_byte_is_found() {
    let world = World::with_demo().await;
    world
        .create(&owner(), "Key", b"one")
        .await
        .expect("created");
    world.reveal(&owner(), "Key").await.expect("revealed");
    world.ledger.caught_up().await.expect("caught up");
    let Ok(Answer::AuditCommits(page)) = world
        .ask(
            &owner(),
            Ask::AuditCommits(AuditCommits { first: Index(0) }),
        )
        .await
    else {
        panic!("no commits")
    };
    let commits: Vec<Vec<u8>> = page.commits.into_iter().map(|commit| commit.0).collect();
    let verify = |commits: &[Vec<u8>]| {
        let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
        for commit in commits {
            verifier.commit(commit);
        }
        verifier.finish(None)
    };
    let whole = verify(&commits);
    assert!(whole.ok(), "{:?}", whole.problems);
    assert_eq!(whole.entries, 3);
    let last = commits.len() - 1;
    for at in (0..commits[last].len()).step_by(7) {
        let mut broken = commits.clone();
        broken[last][at] ^= 0x10;
        assert!(!verify(&broken).ok(), "byte {at}");
    }
    assert!(!verify(&commits[1..]).ok(), "the first commit dropped");
    assert!(
        !verify(&[&commits[..1], &commits[2..]].concat()).ok(),
        "one in the middle dropped"
    );
    assert!(
        !verify(&[&commits[..2], &commits[1..]].concat()).ok(),
        "one twice"
    );
}

#[tokio::test]
async fn an_act_that_nobody_asked_for_is_found_by_full_verification() {
    let world = World::with_demo().await;
    // A ledger that lies: it records that a stranger was granted a reveal.
    let secret = world
        .create(&owner(), "Key", b"one")
        .await
        .expect("created");
    let session = world.session(&signing_key(66)).await;
    let command = world.command_bytes(
        &signing_key(66),
        fresh(),
        now(),
        World::reveal_action(&session, "Key"),
    );
    let mut honest = Verifier::new(world.id(), demo(), Depth::Full);
    let commits: Vec<_> = world.log.bytes();
    for commit in &commits {
        honest.commit(commit);
    }
    let report = honest.finish(None);
    let revealed = keyroll_core::event::Revealed {
        id: secret,
        name: name("Key"),
        hosts: vec![],
        digest: keyroll_core::Digest([0; 32]),
        version: keyroll_core::Version(1),
    };
    let event = keyroll_core::Event::SecretRevealed(keyroll_core::event::SecretRevealed {
        secrets: vec![revealed],
    });
    let entry = keyroll_core::Entry {
        at: now(),
        events: vec![event],
        command: command.into(),
    };
    let lie = Commit {
        v: 1,
        at: now(),
        root: keyroll_core::Digest(report.root.0),
        first: keyroll_core::TreeSize(report.entries),
        rules: 1,
        ledger: world.id(),
        entries: vec![keyroll_core::cbor::encode(&entry).into()],
        workspace: demo(),
    };
    let lie = cose::sign(&lie, &world.online);
    for (depth, found) in [(Depth::Quick, false), (Depth::Full, true)] {
        let mut verifier = Verifier::new(world.id(), demo(), depth);
        for commit in &commits {
            verifier.commit(commit);
        }
        verifier.commit(&lie);
        let report = verifier.finish(None);
        assert_eq!(
            report
                .problems
                .iter()
                .any(|problem| problem.kind == "decision"),
            found,
            "{depth:?}"
        );
    }
}

#[tokio::test]
async fn foreign_and_repeated_messages_stop_nothing_and_are_reported() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let old = world.log.bytes()[0].clone();
    world.log.inject(&demo(), b"no commit".to_vec());
    world.log.inject(&demo(), old);
    assert_eq!(world.reveal(&owner(), "Key").await.expect("goes on"), b"v");
    let Ok(Answer::Status(status)) = ask_ledger(&world, Ask::Status(Nothing {})).await else {
        panic!("no status")
    };
    assert!(
        status
            .problems
            .iter()
            .any(|words| words.contains("foreign")),
        "{:?}",
        status.problems
    );
    assert!(
        status.problems.iter().any(|words| words.contains("stale")),
        "{:?}",
        status.problems
    );
}

#[tokio::test]
async fn a_commit_that_does_not_fit_stops_its_workspace() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let forged = Commit {
        v: 1,
        at: now(),
        root: keyroll_core::Digest([9; 32]),
        first: keyroll_core::TreeSize(2),
        rules: 1,
        ledger: world.id(),
        entries: vec![vec![0].into()],
        workspace: demo(),
    };
    let at = world
        .log
        .inject(&demo(), cose::sign(&forged, &signing_key(77)));
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::Corrupt)
    );
    assert!(
        world
            .ask(&owner(), Ask::SecretList(SecretList::default()))
            .await
            .is_ok(),
        "queries go on"
    );
    // Also after a restart, although nothing follows the bad message.
    world.ledger.caught_up().await.expect("caught up");
    let World {
        log,
        vault,
        keys,
        dir,
        ledger,
        ..
    } = world;
    drop(ledger);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let again = World::open(log, vault, keys, dir).await;
    assert_eq!(
        code(again.reveal(&owner(), "Key").await),
        Some(Code::Corrupt),
        "message {at}"
    );
}

#[tokio::test]
async fn a_log_that_was_set_back_is_seen_at_start() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.ledger.caught_up().await.expect("caught up");
    let (vault, keys) = (world.vault.clone(), world.keys.clone());
    let first = world.log.bytes()[0].clone();
    let World { dir, ledger, .. } = world;
    drop(ledger);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let shorter = keyroll_ledger::log::MemoryLog::default();
    shorter.inject(&demo(), first);
    let again = World::open(shorter, vault, keys, dir).await;
    assert_eq!(
        code(again.reveal(&owner(), "Key").await),
        Some(Code::Rollback)
    );
    assert!(
        again
            .ask(
                &owner(),
                Ask::SecretShow(Named {
                    at: None,
                    name: name("Key")
                })
            )
            .await
            .is_ok(),
        "queries go on"
    );
}

#[tokio::test]
async fn refusals_of_members_are_on_record_and_bounded() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let viewer = signing_key(20);
    world
        .act(
            &owner(),
            World::member(&viewer, "vera", Role::Viewer, &["*"]),
        )
        .await
        .expect("added");
    let session = world.session(&viewer).await;
    let mut on_record = 0;
    for called in ["Key", "Nothing"].repeat(8) {
        let command = world.command_bytes(
            &viewer,
            fresh(),
            now(),
            World::reveal_action(&session, called),
        );
        match world.send(command, vec![]).await {
            Ok(done) => {
                assert!(denied(&done).is_some() && done.released.is_empty());
                on_record += 1;
            }
            Err(rejection) => assert_eq!(rejection.code, Code::Denied),
        }
    }
    assert_eq!(on_record, 10);
    let log = AuditLog {
        limit: 100,
        outcome: Some(keyroll_api::query::Outcome::Denied),
        ..AuditLog::default()
    };
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Ask::AuditLog(log)).await else {
        panic!("no rows")
    };
    assert_eq!(rows.rows.len(), 10);
    assert_eq!(rows.rows[0].attempted.as_deref(), Some("secret.reveal"));
    // Whoever asks for a name finds the tries at it, though no secret ever had it.
    for (called, tries) in [("key", 5), ("nothing", 5), ("other", 0)] {
        let log = AuditLog {
            limit: 100,
            secret: Some(name(called)),
            outcome: Some(keyroll_api::query::Outcome::Denied),
            ..AuditLog::default()
        };
        let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Ask::AuditLog(log)).await else {
            panic!("no rows")
        };
        assert_eq!(rows.rows.len(), tries, "{called}");
    }
    // Strangers leave no entry.
    let before = world.log.bytes().len();
    assert_eq!(
        code(world.reveal(&signing_key(99), "Key").await),
        Some(Code::Denied)
    );
    assert_eq!(world.log.bytes().len(), before);
}

#[tokio::test]
async fn what_a_stranger_brings_is_not_stored() {
    let world = World::with_demo().await;
    let before = world.vault.count();
    assert_eq!(
        code(world.create(&signing_key(99), "Key", b"v").await),
        Some(Code::Denied)
    );
    assert_eq!(world.vault.count(), before);
}

#[tokio::test]
async fn stale_and_misdirected_commands_are_refused() {
    let world = World::with_demo().await;
    let delete = || {
        Action::SecretDelete(SecretRef {
            id: SecretId([1; 16]),
            name: name("Key"),
        })
    };
    for (at, expected) in [
        (Millis(now().0 - 60_001), Some(Code::Stale)),
        (Millis(now().0 + 60_001), Some(Code::Stale)),
        (Millis(now().0 - 60_000), Some(Code::NotFound)),
    ] {
        let command = world.command_bytes(&owner(), fresh(), at, delete());
        assert_eq!(code(world.send(command, vec![]).await), expected);
    }
    let elsewhere = World::new().await;
    let mut command = keyroll_core::Command {
        v: 1,
        at: now(),
        id: fresh(),
        action: delete(),
        ledger: keyroll_core::LedgerId([4; 32]),
        workspace: demo(),
        delegation: None,
    };
    assert_eq!(
        code(elsewhere.send(cose::sign(&command, &owner()), vec![]).await),
        Some(Code::WrongLedger)
    );
    command.ledger = world.id();
    command.workspace = "other".parse().expect("name");
    assert_eq!(
        code(world.send(cose::sign(&command, &owner()), vec![]).await),
        Some(Code::WrongWorkspace)
    );
    command.workspace = demo();
    command.v = 2;
    assert_eq!(
        code(world.send(cose::sign(&command, &owner()), vec![]).await),
        Some(Code::UpgradeNeeded)
    );
    command.v = 1;
    let mut signed = cose::sign(&command, &owner());
    let last = signed.len() - 1;
    signed[last] ^= 1;
    assert_eq!(
        code(world.send(signed, vec![]).await),
        Some(Code::BadSignature)
    );
    assert_eq!(
        code(world.send(b"nothing".to_vec(), vec![]).await),
        Some(Code::Malformed)
    );
    assert_eq!(
        world.log.last().await,
        Ok(keyroll_core::Sequence(1)),
        "none of them is an entry"
    );
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
async fn a_session_of_another_day_is_over_and_leaves_no_entry() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let session = world.session(&owner()).await;
    support::advance(2 * keyroll_core::limits::SEALING_PERIOD_MS);
    let before = world.log.bytes().len();
    let reveal = world.command_bytes(
        &owner(),
        fresh(),
        now(),
        World::reveal_action(&session, "Key"),
    );
    assert_eq!(
        code(world.send(reveal, vec![]).await),
        Some(Code::SessionExpired)
    );
    assert_eq!(world.log.bytes().len(), before);
}

#[tokio::test]
async fn names_that_anybody_can_think_of_cost_no_writer() {
    let world = World::with_demo().await;
    let command = keyroll_core::Command {
        v: 1,
        at: now(),
        id: fresh(),
        action: Action::WorkspaceCreate(Nothing {}),
        ledger: world.id(),
        workspace: "nowhere".parse().expect("name"),
        delegation: None,
    };
    let request = keyroll_api::CommandRequest {
        seen: keyroll_core::TreeSize(0),
        values: vec![],
        command: cose::sign(&command, &signing_key(99)).into(),
    };
    let bytes = keyroll_core::cbor::encode(&request);
    let response = world.ledger.command(&command.workspace, &bytes).await;
    assert_eq!(
        response.refusal.map(|rejection| rejection.code),
        Some(Code::Denied)
    );
}

#[tokio::test]
async fn what_a_refused_member_brings_is_not_stored() {
    let world = World::with_demo().await;
    let viewer = signing_key(20);
    world
        .act(
            &owner(),
            World::member(&viewer, "vera", Role::Viewer, &["*"]),
        )
        .await
        .expect("added");
    let before = world.vault.count();
    let (command, values) = world
        .create_command(&viewer, SecretId([5; 16]), "Key", b"v")
        .await;
    let done = world.send(command, values).await.expect("on record");
    assert!(denied(&done).is_some());
    assert_eq!(world.vault.count(), before);
}

#[tokio::test]
async fn an_auditor_is_told_what_does_not_fit_in_the_log() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.inject(&demo(), b"no commit".to_vec());
    world.ledger.caught_up().await.expect("caught up");
    let ask = Ask::AuditCommits(AuditCommits { first: Index(0) });
    let Ok(Answer::AuditCommits(page)) = world.ask(&owner(), ask).await else {
        panic!("no commits")
    };
    let kinds: Vec<&str> = page
        .problems
        .iter()
        .map(|problem| problem.kind.as_str())
        .collect();
    assert_eq!((page.commits.len(), kinds), (2, vec!["foreign"]));
}

#[tokio::test]
async fn no_command_is_taken_while_the_clock_is_wrong() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let wrong = keyroll_core::Rejection::new(Code::AuditUnavailable, "the clocks are apart");
    world.ledger.health().set_clock(Some(wrong));
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::AuditUnavailable)
    );
    world.ledger.health().set_clock(None);
    assert_eq!(world.reveal(&owner(), "Key").await.expect("revealed"), b"v");
}

#[tokio::test]
async fn strangers_learn_neither_size_nor_existence() {
    let world = World::with_demo().await;
    let mut answers = Vec::new();
    for (workspace, seen) in [("demo", 0), ("demo", 999), ("nowhere", 0), ("nowhere", 999)] {
        let workspace: keyroll_core::WorkspaceName = workspace.parse().expect("name");
        let query = keyroll_api::Query {
            v: 1,
            at: now(),
            ask: Ask::AuditCheckpoint(Nothing {}),
            seen: keyroll_core::TreeSize(seen),
            ledger: world.id(),
            workspace: Some(workspace.clone()),
            delegation: None,
        };
        let signed = cose::sign(&query, &signing_key(99));
        let refusal = world
            .ask_bytes(Some(&workspace), &signed)
            .await
            .expect_err("refused");
        answers.push((
            refusal.code,
            refusal.message.replace(workspace.as_str(), "W"),
        ));
    }
    answers.dedup();
    assert_eq!(
        answers,
        [(
            Code::Denied,
            "you are not a member of workspace W".to_owned()
        )]
    );
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
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Ask::AuditLog(filter)).await else {
        panic!("no rows")
    };
    let kinds: Vec<&str> = rows.rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["secret.created", "secret.renamed"]);
}
