//! A valid log, and commits that do not fit.

use ed25519_dalek::SigningKey;
use keyroll_audit::bundle::{Header, verify, write_commit, write_header};
use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::command::Nothing;
use keyroll_core::origin::origin;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{Code, Commit, Digest, Index, Millis, Rules, TreeSize, cose};
use keyroll_merkle::Checkpoint;
use keyroll_wire::query::{AuditCommits, Question, SecretList, SecretShow};
use keyroll_wire::reply::Answer;

use crate::ask_ledger;
use crate::support::{World, code, demo, fresh, identity, name, now, owner, signing_key};

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
            Question::AuditCommits(AuditCommits { first: Index(0) }),
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
        rules: Rules::CURRENT.number(),
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

/// A reveal gives the same events again, so no other check finds it.
#[tokio::test]
async fn a_command_that_was_carried_out_twice_is_found() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.reveal(&owner(), "Key").await.expect("revealed");
    let mut commits = world.log.bytes();
    let verify = |commits: &[bytes::Bytes]| {
        let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
        for commit in commits {
            verifier.commit(commit);
        }
        verifier.finish(None)
    };
    let last = cose::open::<Commit>(commits.last().expect("a reveal"));
    for _ in 0..2 {
        let before = verify(&commits);
        let again = Commit {
            root: Digest(before.root.0),
            first: TreeSize(before.entries),
            ..last.clone().expect("a commit").payload
        };
        commits.push(cose::sign(&again, &world.online).into());
    }
    let problems = verify(&commits).problems.into_iter();
    let problems: Vec<_> = problems.map(|one| (one.kind, one.index)).collect();
    let repeated = |index| ("repeated".to_owned(), Some(Index(index)));
    assert_eq!(problems, [repeated(3), repeated(4)]);
}

/// The ledger vouches for two online keys, and one of them signed the log.
#[tokio::test]
async fn a_checkpoint_by_another_key_of_the_ledger_is_not_the_logs() {
    let world = World::with_demo().await;
    let commits = world.log.bytes();
    let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
    for commit in &commits {
        verifier.commit(commit);
    }
    let whole = verifier.finish(None);
    let origin = origin(&world.id(), &demo());
    let checkpoint = Checkpoint {
        origin: origin.clone(),
        size: whole.entries,
        root: whole.root,
        extensions: Vec::new(),
    };
    let bundle = |online: &SigningKey| {
        let statement = LedgerKey {
            v: 1,
            key: identity(online),
            ledger: world.id(),
            serial: 1,
            not_after: Millis(u64::MAX / 2),
            not_before: Millis(0),
        };
        let header = Header {
            ledger: world.id(),
            workspace: demo(),
            checkpoint: checkpoint.sign(online, &origin).expect("signed"),
            ledger_key: cose::sign(&statement, &world.id).into(),
        };
        let mut bundle = Vec::new();
        write_header(&mut bundle, &header).expect("written");
        for commit in &commits {
            write_commit(&mut bundle, commit).expect("written");
        }
        let report = verify(bundle.as_slice(), None).expect("a bundle");
        report.problems.into_iter().map(|one| one.kind).collect()
    };
    let none: Vec<String> = bundle(&world.online);
    assert_eq!(none, [""; 0]);
    assert_eq!(bundle(&signing_key(3)), ["ledger_key"]);
}

#[tokio::test]
async fn foreign_and_repeated_messages_stop_nothing_and_are_reported() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let old = world.log.bytes()[0].clone();
    world.log.inject(&demo(), b"no commit".to_vec());
    world.log.inject(&demo(), old);
    assert_eq!(world.reveal(&owner(), "Key").await.expect("goes on"), b"v");
    let Ok(Answer::Status(status)) = ask_ledger(&world, Question::Status(Nothing {})).await else {
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
        rules: Rules::CURRENT.number(),
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
            .ask(&owner(), Question::SecretList(SecretList::default()))
            .await
            .is_ok(),
        "queries go on"
    );
    // Also after a restart, although nothing follows the bad message.
    world.ledger.caught_up().await.expect("caught up");
    let again = world.again(|_| {}).await;
    assert_eq!(
        code(again.reveal(&owner(), "Key").await),
        Some(Code::Corrupt),
        "message {at}"
    );
}

/// Commits that someone with the ledger's key and write access to its log could write. The last one
/// fits, which shows that nothing else was wrong with the others.
#[tokio::test]
async fn a_commit_under_the_right_key_is_followed_only_where_it_fits() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.reveal(&owner(), "Key").await.expect("revealed");
    let commits = world.log.bytes();
    let [before @ .., last] = commits.as_slice() else {
        panic!("no commits");
    };
    let last = cose::open::<Commit>(last).expect("a commit").payload;
    let wrong_root = Commit {
        root: Digest([9; 32]),
        ..last.clone()
    };
    let too_late = Commit {
        first: TreeSize(3),
        ..last.clone()
    };
    let cases = [
        (wrong_root, Some("the root over the first 2 entries")),
        (too_late, Some("entries 2 to 3 are missing before it")),
        (last, None),
    ];
    for (commit, told) in cases {
        let log = keyroll_store::log::MemoryLog::default();
        for commit in before {
            log.inject(&demo(), commit.clone());
        }
        log.inject(&demo(), cose::sign(&commit, &world.online));
        let dir = tempfile::tempdir().expect("a directory");
        let (vault, keys) = (world.vault.clone(), world.keys.clone());
        let again = World::open(log, vault, keys, dir).await;
        let revealed = again.reveal(&owner(), "Key").await;
        match told {
            Some(words) => {
                let refused = revealed.expect_err(words);
                assert_eq!(refused.code, Code::Corrupt, "{refused}");
                assert!(refused.message.contains(words), "{refused}");
            }
            None => assert_eq!(revealed.expect("revealed"), b"v"),
        }
    }
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
    let shorter = keyroll_store::log::MemoryLog::default();
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
                Question::SecretShow(SecretShow {
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
async fn an_auditor_is_told_what_does_not_fit_in_the_log() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.inject(&demo(), b"no commit".to_vec());
    world.ledger.caught_up().await.expect("caught up");
    let ask = Question::AuditCommits(AuditCommits { first: Index(0) });
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
