//! Commands that are refused: whether they are recorded, and their cost.

use keyroll_core::command::{Nothing, SecretRef};
use keyroll_core::{Action, Code, Millis, SecretId, TreeSize, cose};
use keyroll_store::log::Log as _;
use keyroll_wire::query::{AuditLog, QUERY_V, Query, Question};
use keyroll_wire::reply::Answer;

use crate::support::{World, code, demo, denied, fresh, name, now, owner, signing_key};

/// Bob is refused, and his answer names the entry. Another member who then looks for it finds it,
/// although she has not seen Bob's answer and the read model is behind.
#[tokio::test]
async fn what_one_was_answered_the_next_one_sees() {
    let (world, viewer) = World::with_viewer().await;
    world.projected().await;
    world.log.hold(true);
    let refused = world.reveal(&viewer, "Key").await;
    assert_eq!(code(refused), Some(Code::Denied));
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask: Question::AuditLog(AuditLog::default()),
        seen: TreeSize(0),
        ledger: world.id(),
        workspace: Some(demo()),
        member: None,
        delegation: None,
    };
    let query = cose::sign(&query, &owner());
    let workspace = demo();
    let (answer, ()) = tokio::join!(world.ask_bytes(Some(&workspace), &query), async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.log.hold(false);
    });
    let Ok(Answer::AuditLog(rows)) = answer else {
        panic!("{answer:?}")
    };
    let last = rows.rows.last().map(|row| row.kind.as_str());
    assert_eq!(last, Some("access.denied"), "{rows:?}");
}

#[tokio::test]
async fn refusals_of_members_are_on_record_and_bounded() {
    let (world, viewer) = World::with_viewer().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
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
        outcome: Some(keyroll_wire::query::AuditOutcome::Denied),
        ..AuditLog::default()
    };
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Question::AuditLog(log)).await else {
        panic!("no rows")
    };
    assert_eq!(rows.rows.len(), 10);
    assert_eq!(rows.rows[0].attempted.as_deref(), Some("secret.reveal"));
    // A filter by name finds the refused attempts, even if no secret ever had the name.
    for (called, tries) in [("key", 5), ("nothing", 5), ("other", 0)] {
        let log = AuditLog {
            limit: 100,
            secret: Some(name(called)),
            outcome: Some(keyroll_wire::query::AuditOutcome::Denied),
            ..AuditLog::default()
        };
        let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Question::AuditLog(log)).await else {
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
        member: None,
        approval: None,
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
async fn a_session_of_another_day_is_over_and_leaves_no_entry() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let session = world.session(&owner()).await;
    crate::support::advance(2 * keyroll_core::limits::SEALING_PERIOD_MS);
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
        member: None,
        approval: None,
        delegation: None,
    };
    let request = keyroll_wire::CommandRequest {
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
    let (world, viewer) = World::with_viewer().await;
    let before = world.vault.count();
    let (command, values) = world
        .create_command(&viewer, SecretId([5; 16]), "Key", b"v")
        .await;
    let done = world.send(command, values).await.expect("on record");
    assert!(denied(&done).is_some());
    assert_eq!(world.vault.count(), before);
}

#[tokio::test]
async fn no_command_is_taken_while_the_clock_is_wrong_or_entries_are_not_synced() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let health = world.ledger.health();
    let wrong = || {
        Some(keyroll_core::Rejection::new(
            Code::AuditUnavailable,
            "wrong",
        ))
    };
    for set in [
        keyroll_ledger::health::Health::set_clock,
        keyroll_ledger::health::Health::set_durability,
    ] {
        set(health, wrong());
        assert_eq!(
            code(world.reveal(&owner(), "Key").await),
            Some(Code::AuditUnavailable)
        );
        set(health, None);
    }
    assert_eq!(world.reveal(&owner(), "Key").await.expect("revealed"), b"v");
}

#[tokio::test]
async fn strangers_learn_neither_size_nor_existence() {
    let world = World::with_demo().await;
    let mut answers = Vec::new();
    for (workspace, seen) in [("demo", 0), ("demo", 999), ("nowhere", 0), ("nowhere", 999)] {
        let workspace: keyroll_core::WorkspaceName = workspace.parse().expect("name");
        let query = keyroll_wire::Query {
            v: 1,
            at: now(),
            ask: Question::AuditCheckpoint(Nothing {}),
            seen: keyroll_core::TreeSize(seen),
            ledger: world.id(),
            workspace: Some(workspace.clone()),
            member: None,
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

/// The same holds for commands, whatever else is wrong with them, and for their dry runs.
#[tokio::test]
async fn strangers_learn_nothing_by_what_is_wrong_with_their_commands() {
    let world = World::with_demo().await;
    let mut answers = Vec::new();
    for workspace in ["demo", "nowhere"] {
        for old in [0, 10 * 60_000] {
            let stranger = signing_key(99);
            let session = world.session(&stranger).await;
            let command = keyroll_core::command::Command {
                v: keyroll_core::command::COMMAND_V,
                at: keyroll_core::Millis(now().0 - old),
                id: fresh(),
                action: World::reveal_action(&session, "Key"),
                ledger: world.id(),
                workspace: workspace.parse().expect("name"),
                member: None,
                approval: None,
                delegation: None,
            };
            let refusal = world.refused_in(&stranger, &command).await;
            answers.push((refusal.code, refusal.message.replace(workspace, "W")));
        }
    }
    answers.dedup();
    let words = "you are not a member of workspace W".to_owned();
    assert_eq!(answers, [(Code::Denied, words)]);
}
