//! Changes with the passage of time.

use crate::support::{World, advance, code, fresh, now, owner, set_back, signing_key};
use keyroll_core::command::Nothing;
use keyroll_core::roles::Role;
use keyroll_core::{Action, Code, Millis};
use keyroll_wire::query::{AuditLog, MemberList, Question, ReceiptQuery};
use keyroll_wire::reply::Answer;

#[tokio::test]
async fn refusals_beyond_the_share_of_a_minute_are_counted_in_one_entry() {
    let (world, viewer) = World::with_viewer().await;
    let session = world.session(&viewer).await;
    for _ in 0..13 {
        let reveal = World::reveal_action(&session, "Key");
        let command = world.command_bytes(&viewer, fresh(), now(), reveal);
        // Ten are recorded, three are not.
        drop(world.send(command, vec![]).await);
    }
    advance(60_000);
    // The next command, of any kind, brings the summary with it.
    assert_eq!(
        code(world.reveal(&owner(), "Key").await),
        Some(Code::NotFound)
    );
    let filter = AuditLog {
        limit: 10,
        action: Some("denials.summarized".to_owned()),
        ..AuditLog::default()
    };
    world.ledger.caught_up().await.expect("caught up");
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Question::AuditLog(filter)).await else {
        panic!("no rows")
    };
    assert_eq!(rows.rows.len(), 1);
    assert_eq!(rows.rows[0].actor_name, "ledger");
    assert_eq!(rows.rows[0].reason.as_deref(), Some("vera: 3"));
}

/// A membership that has ended by the log's time has ended for queries as for commands, even if
/// this service's clock is a little behind. A former member can no longer watch anything either.
#[tokio::test]
async fn a_membership_ends_for_questions_by_the_logs_time() {
    let world = World::with_demo().await;
    let bob = signing_key(21);
    let mut add = World::member(&bob, "bob", Role::Auditor, &["*"]);
    let Action::MemberAdd(record) = &mut add else {
        panic!("another action")
    };
    record.expires = Some(Millis(now().0 + 4_000));
    world.act(&owner(), add).await.expect("added");
    let questions = || {
        let receipt = ReceiptQuery { command: fresh() };
        [
            Question::MemberList(MemberList {
                limit: 10,
                ..MemberList::default()
            }),
            Question::KeyStatus(Nothing {}),
            Question::AuditCheckpoint(Nothing {}),
            Question::Receipt(receipt),
        ]
    };
    for ask in questions() {
        let asked = code(world.ask(&bob, ask).await);
        assert!(matches!(asked, None | Some(Code::NotFound)), "{asked:?}");
    }
    // The log continues past the end; then the clock is set back by less than `HOLD_MS`.
    advance(5_000);
    assert_eq!(code(world.create(&owner(), "Later", b"value").await), None);
    world.ledger.caught_up().await.expect("caught up");
    set_back(5_000);
    for ask in questions() {
        let asked = world.ask(&bob, ask.clone()).await;
        assert_eq!(code(asked), Some(Code::Denied), "{ask:?}");
    }
}
