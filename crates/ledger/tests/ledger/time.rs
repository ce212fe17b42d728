//! What happens as time goes by.

use crate::support::{World, advance, code, fresh, now, owner, signing_key};
use keyroll_api::query::{Ask, AuditLog};
use keyroll_api::reply::Answer;
use keyroll_core::Code;
use keyroll_core::authorize::Role;

#[tokio::test]
async fn refusals_beyond_the_share_of_a_minute_are_counted_in_one_entry() {
    let world = World::with_demo().await;
    let viewer = signing_key(20);
    world
        .act(
            &owner(),
            World::member(&viewer, "vera", Role::Viewer, &["*"]),
        )
        .await
        .expect("added");
    let session = world.session(&viewer).await;
    for _ in 0..13 {
        let reveal = World::reveal_action(&session, "Key");
        let command = world.command_bytes(&viewer, fresh(), now(), reveal);
        // Ten are on record, three are not.
        drop(world.send(command, vec![]).await);
    }
    advance(60_000);
    // Whatever comes next brings the summary with it.
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
    let Ok(Answer::AuditLog(rows)) = world.ask(&owner(), Ask::AuditLog(filter)).await else {
        panic!("no rows")
    };
    assert_eq!(rows.rows.len(), 1);
    assert_eq!(rows.rows[0].actor_name, "ledger");
    assert_eq!(rows.rows[0].reason.as_deref(), Some("vera: 3"));
}
