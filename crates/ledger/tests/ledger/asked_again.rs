//! Queries that arrive twice, and the query of a former member.

use ed25519_dalek::SigningKey;
use keyroll_core::command::Nothing;
use keyroll_core::{Code, Digest, TreeSize, WorkspaceName, cose};
use keyroll_wire::query::{AuditExtends, Query, Question};
use keyroll_wire::reply::{Answer, Reply};

use super::support::{World, demo, now, owner, signing_key};

fn signed(
    world: &World,
    key: &SigningKey,
    (workspace, ask, seen): (Option<&WorkspaceName>, Question, u64),
) -> Vec<u8> {
    let query = Query {
        v: 1,
        at: now(),
        ask,
        seen: TreeSize(seen),
        ledger: world.id(),
        workspace: workspace.cloned(),
        member: None,
        delegation: None,
    };
    cose::sign(&query, key)
}

#[tokio::test]
async fn the_same_long_question_of_an_operator_gets_the_same_answer() {
    let world = World::with_demo().await;
    let digest = (None, Question::ProjectionDigest(Nothing {}), 0);
    let question = signed(&world, &owner(), digest.clone());
    let strangers = signed(&world, &signing_key(99), digest);
    let first = world.ledger.query(None, &question).await;
    assert!(first.refusal.is_none(), "{:?}", first.refusal);
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.projected().await;
    let again = world.ledger.query(None, &question).await;
    assert_eq!(again.bytes, first.bytes, "it was worked on twice");
    let refused = world.ledger.query(None, &strangers).await.refusal;
    assert_eq!(refused.map(|refusal| refusal.code), Some(Code::Denied));
}

#[tokio::test]
async fn who_knows_the_root_is_told_and_nobody_else() {
    let world = World::with_demo().await;
    let asked = (Some(&demo()), Question::AuditCheckpoint(Nothing {}), 0);
    let asked = signed(&world, &owner(), asked);
    let reply = world.ledger.query(Some(&demo()), &asked).await.bytes;
    let reply = cose::open::<Reply>(&reply).expect("a reply").payload;
    let (size, root) = (reply.size.0, reply.root);
    world.create(&owner(), "Key", b"v").await.expect("created");
    world.projected().await;
    let (stranger, nowhere) = (signing_key(99), "nowhere".parse().expect("a name"));
    let asked = async |workspace: WorkspaceName, root, size| {
        let size = TreeSize(size);
        let ask = Question::AuditExtends(AuditExtends { root, size });
        // A command sent at the same time raised the size.
        let seen = size.0.min(1) * 2;
        let bytes = signed(&world, &stranger, (Some(&workspace), ask, seen));
        let answer = world.ask_bytes(Some(&workspace), &bytes).await;
        answer.map_err(|refusal| {
            let words = refusal.message.replace(workspace.as_str(), "W");
            (refusal.code, words)
        })
    };
    let told = asked(demo(), root, size).await;
    assert_eq!(told, Ok(Answer::AuditExtends(Nothing {})));
    let denied = (
        Code::Denied,
        "you are not a member of workspace W".to_owned(),
    );
    for (workspace, root, seen) in [
        (demo(), Digest([0; 32]), size),
        (demo(), root, size + 1),
        (demo(), root, 999),
        (demo(), Digest(keyroll_merkle::empty_root().0), 0),
        (nowhere, root, size),
    ] {
        assert_eq!(asked(workspace, root, seen).await, Err(denied.clone()));
    }
}
