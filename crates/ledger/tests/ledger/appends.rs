//! Appends that fail, remain unknown, or conflict with others.

use keyroll_core::roles::Role;
use keyroll_core::{Action, Code, Index, SecretId};
use keyroll_store::log::SimulatedAppend;

use crate::support::{World, code, fresh, identity, now, owner, signing_key};

/// A command without conditions, of everybody who is a member.
pub(crate) fn close() -> Action {
    let key = identity(&signing_key(50));
    Action::SignInClose(keyroll_core::command::SignInClose { key, member: None })
}

/// A reveal of `Key`, signed and not sent.
async fn reveal_of(world: &World) -> Vec<u8> {
    let session = world.session(&owner()).await;
    let action = World::reveal_action(&session, "Key");
    world.command_bytes(&owner(), fresh(), now(), action)
}

#[tokio::test]
async fn an_append_that_is_refused_releases_nothing() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.simulate([SimulatedAppend::Refused]);
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
    world.log.simulate([SimulatedAppend::AckLost]);
    let reveal = reveal_of(&world).await;
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
    world.log.simulate([SimulatedAppend::Delayed]);
    let reveal = reveal_of(&world).await;
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    let settled = world.send(reveal, vec![]).await.expect("settled");
    assert_eq!(settled.receipt.index, Index(2));
    assert_eq!(
        world.log.deliver_delayed(),
        0,
        "the first copy can land no more"
    );
    assert_eq!(world.log.bytes().len(), 3);
}

#[tokio::test]
async fn while_an_append_is_in_doubt_nothing_is_final() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.log.simulate([
        SimulatedAppend::Delayed,
        SimulatedAppend::Delayed,
        SimulatedAppend::Refused,
    ]);
    let reveal = reveal_of(&world).await;
    assert_eq!(
        code(world.send(reveal.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    // The append that resolves it is unknown as well, then refused: still no final answer is given.
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
    assert_eq!(world.log.deliver_delayed(), 0);
}

/// Two servers that lead for a moment both receive the message: the answer of the one that is
/// behind does not decide.
#[tokio::test]
async fn what_one_server_contradicts_another_may_still_take() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let reveal = reveal_of(&world).await;
    world.log.simulate([SimulatedAppend::Contradicted; 20]);
    let told = code(world.send(reveal.clone(), vec![]).await);
    assert_eq!(told, Some(Code::AuditUnknown));
    assert_eq!(world.log.deliver_delayed(), 1);
    world.log.simulate([]);
    let known = world.send(reveal, vec![]).await.expect("its receipt");
    assert_eq!(known.receipt.index, Index(2));
    assert!(known.released.is_empty());
    assert_eq!(world.log.bytes().len(), 3);
}

/// The append was committed and resolved, but no server can then be asked for the command's
/// outcome.
#[tokio::test]
async fn what_was_settled_and_not_looked_at_is_not_told_as_refused() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.projected().await;
    let reveal = reveal_of(&world).await;
    // The second copy is appended, and the read model does not receive it.
    world.log.simulate([SimulatedAppend::Contradicted]);
    world.log.hold(true);
    let told = code(world.send(reveal.clone(), vec![]).await);
    assert_eq!(told, Some(Code::AuditUnknown));
    assert_eq!(world.log.bytes().len(), 3);
    world.log.hold(false);
    let known = world.send(reveal, vec![]).await.expect("its receipt");
    assert_eq!(known.receipt.index, Index(2));
}

/// A command is sent again to a service that cannot check whether its state is the newest.
#[tokio::test]
async fn what_is_in_the_log_is_not_told_as_refused_while_nobody_leads() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let reveal = reveal_of(&world).await;
    let first = world.send(reveal.clone(), vec![]).await.expect("revealed");
    world.log.leaderless(true);
    let again = code(world.send(reveal.clone(), vec![]).await);
    assert_eq!(again, Some(Code::AuditUnknown));
    // A command that is refused anyway certainly had no effect.
    let none = code(world.reveal(&owner(), "Nothing").await);
    assert_eq!(none, Some(Code::AuditUnavailable));
    world.log.leaderless(false);
    let known = world.send(reveal, vec![]).await.expect("its receipt");
    assert_eq!(known.receipt.index, first.receipt.index);
}

/// Once a message lies behind the fence, a conflict is final, and nothing is sent again.
#[tokio::test]
async fn after_a_conflict_that_is_one_a_command_is_decided_anew() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    world
        .log
        .simulate([SimulatedAppend::Contradicted, SimulatedAppend::Refused]);
    let first = code(world.reveal(&owner(), "Key").await);
    assert_eq!(first, Some(Code::AuditUnknown));
    // Another message comes first after all.
    world.reveal(&owner(), "Key").await.expect("settled before");
    assert_eq!(world.log.deliver_delayed(), 0);
    assert_eq!(world.log.bytes().len(), 4);
    let appends = world.log.appends();
    world.reveal(&owner(), "Key").await.expect("as ever");
    assert_eq!(world.log.appends(), appends + 1);
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
    // A member who is removed on one replica is refused on the other at once.
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
        member: identity(&viewer).into(),
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
async fn what_is_in_the_log_is_never_told_as_if_it_were_not() {
    let world = World::with_demo().await;
    world.log.hold(true);
    let command = world.command_bytes(&owner(), fresh(), now(), close());
    let first = world.send(command.clone(), vec![]).await.expect("done");
    // Its receipt comes from the read model, which is behind.
    assert_eq!(
        code(world.send(command.clone(), vec![]).await),
        Some(Code::AuditUnknown)
    );
    world.log.hold(false);
    let again = world.send(command, vec![]).await.expect("the receipt");
    assert_eq!(again.receipt.index, first.receipt.index);
}

/// The vault is read while the commit is on its way: the value of an unanswered reveal is in
/// memory, sealed, and still there when the vault has lost it.
#[tokio::test]
async fn a_reveal_reads_the_vault_beside_its_append() {
    let world = World::with_demo().await;
    world
        .create(&owner(), "Key", b"the value")
        .await
        .expect("created");
    world.log.simulate([SimulatedAppend::Delayed]);
    let unknown = world.reveal(&owner(), "Key").await;
    assert_eq!(code(unknown), Some(Code::AuditUnknown));
    let stored = world.vault.all();
    assert_eq!(stored.len(), 1);
    // Lets every task that has begun run as far as it can.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(world.vault.lose(&stored[0].0));
    world.log.deliver_delayed();
    let revealed = world.reveal(&owner(), "Key").await;
    assert_eq!(revealed.expect("revealed"), b"the value");
}
