//! Invitations: strangers accept with a code, once, and learn nothing without one.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{COMMAND_V, Command, MemberAccept, MemberInvite, MemberRevoke};
use keyroll_core::invitation::{AcceptanceProof, AcceptanceStatement, InvitationCode, binding};
use keyroll_core::roles::Role;
use keyroll_core::sign_in::Principal;
use keyroll_core::{
    Action, Code, Digest, LedgerId, Millis, Rejection, TreeSize, WorkspaceName, cbor, cose,
};
use keyroll_wire::query::{InvitationList, Question};
use keyroll_wire::reply::{
    Answer, CommandReply, CommandRequest, CommittedCommand, InvitationRow, Reply, ReplyBody,
};

use crate::support::{World, demo, fresh, identity, now, owner, signing_key};

const WEEK: u64 = 7 * 24 * 60 * 60 * 1_000;

fn code() -> InvitationCode {
    InvitationCode::new([9; 16])
}

fn code_key(world: &World) -> SigningKey {
    code().key(&world.id(), &demo())
}

fn invite(world: &World, called: &str, role: Role) -> Action {
    Action::MemberInvite(MemberInvite {
        key: identity(&code_key(world)),
        name: called.parse().expect("a name"),
        role,
        renews: None,
        expires: None,
        secrets: vec!["*".parse().expect("a pattern")],
        principal: None,
    })
}

/// The command that accepts for `who` with the key of a code.
fn acceptance(
    (ledger, workspace): (LedgerId, &WorkspaceName),
    code: &SigningKey,
    who: &SigningKey,
) -> Command {
    let principal = Principal::Key(identity(who));
    let binding = binding(&ledger, workspace, &identity(code), &principal);
    let statement = AcceptanceStatement { v: 1, binding };
    Command {
        v: COMMAND_V,
        at: now(),
        id: fresh(),
        action: Action::MemberAccept(MemberAccept {
            proof: AcceptanceProof::Key(cose::sign(&statement, who).into()),
            principal,
        }),
        ledger,
        workspace: workspace.clone(),
        member: None,
        approval: None,
        delegation: None,
    }
}

fn request(command: &Command, key: &SigningKey) -> Vec<u8> {
    cbor::encode(&CommandRequest {
        seen: TreeSize(0),
        values: vec![],
        command: cose::sign(command, key).into(),
    })
}

/// Sends a request to the subject for acceptances.
async fn sent(world: &World, request: Vec<u8>) -> Result<CommittedCommand, Rejection> {
    let response = world.ledger.accept(&request).await;
    match cbor::decode::<CommandReply>(&response.bytes).expect("a reply") {
        CommandReply::Committed(done) => Ok(done),
        CommandReply::Refused(signed) => {
            let reply = cose::open::<Reply>(&signed.0)
                .expect("a signed reply")
                .payload;
            assert_eq!((reply.size, reply.root), (TreeSize(0), Digest::of(b"")));
            match reply.body {
                ReplyBody::Error(rejection) => Err(rejection),
                ReplyBody::Answer(_) => panic!("an answer"),
            }
        }
    }
}

async fn accept(world: &World, who: &SigningKey) -> Result<CommittedCommand, Rejection> {
    let (demo, code) = (demo(), code_key(world));
    let command = acceptance((world.id(), &demo), &code, who);
    sent(world, request(&command, &code)).await
}

async fn invitations(world: &World) -> Vec<InvitationRow> {
    let ask = Question::InvitationList(InvitationList {
        after: None,
        limit: 100,
    });
    match world.ask(&owner(), ask).await {
        Ok(Answer::InvitationList(list)) => list.rows,
        other => panic!("{other:?}"),
    }
}

fn entries(world: &World) -> u64 {
    let workspaces = world.ledger.progress().workspaces;
    workspaces.get(&demo()).map_or(0, |known| known.1.0)
}

#[tokio::test]
async fn a_stranger_with_the_code_becomes_a_member_once() {
    let world = World::with_demo().await;
    let (ana, eve) = (signing_key(30), signing_key(31));
    world
        .act(&owner(), invite(&world, "ana", Role::Reader))
        .await
        .expect("invited");
    let rows = invitations(&world).await;
    assert_eq!((rows.len(), rows[0].name.as_str()), (1, "ana"));
    assert_eq!(rows[0].until, Millis(now().0 + WEEK));
    let (demo, code) = (demo(), code_key(&world));
    let command = acceptance((world.id(), &demo), &code, &ana);
    let bytes = request(&command, &code);
    let done = sent(&world, bytes.clone()).await.expect("accepted");
    // The same bytes again get the same receipt: the reply may have been lost.
    let again = sent(&world, bytes).await.expect("accepted before");
    assert_eq!(again.receipt.index, done.receipt.index);
    let list = Question::InvitationList(InvitationList {
        limit: 1,
        ..InvitationList::default()
    });
    assert!(world.ask(&ana, list).await.is_ok(), "a member may ask");
    assert!(invitations(&world).await.is_empty());
    let refused = accept(&world, &eve).await.map(drop).map_err(|why| why.code);
    assert_eq!(refused, Err(Code::Denied));
}

#[tokio::test]
async fn of_two_who_accept_at_once_one_is_refused() {
    let world = World::with_demo().await;
    world
        .act(&owner(), invite(&world, "ana", Role::Viewer))
        .await
        .expect("invited");
    let (one, two) = (signing_key(30), signing_key(31));
    let (one, two) = tokio::join!(accept(&world, &one), accept(&world, &two));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
}

/// Wrong, used, ended and late codes, workspaces that do not exist, and commands with other faults.
#[tokio::test]
async fn strangers_learn_nothing_without_a_code() {
    let world = World::with_demo().await;
    let eve = signing_key(31);
    let mut refusals = Vec::new();
    let wrong = InvitationCode::new([1; 16]);
    for place in ["demo", "nowhere"] {
        let place: WorkspaceName = place.parse().expect("a name");
        let key = wrong.key(&world.id(), &place);
        for late in [0, 600_000] {
            let mut command = acceptance((world.id(), &place), &key, &eve);
            command.at = Millis(now().0 - late);
            refusals.push(
                sent(&world, request(&command, &key))
                    .await
                    .expect_err("refused"),
            );
        }
    }
    world
        .act(&owner(), invite(&world, "ana", Role::Viewer))
        .await
        .expect("invited");
    accept(&world, &signing_key(30)).await.expect("accepted");
    refusals.push(accept(&world, &eve).await.expect_err("used"));
    world.projected().await;
    let before = entries(&world);
    world
        .act(&owner(), invite(&world, "bob", Role::Viewer))
        .await
        .expect("invited");
    let key = identity(&code_key(&world));
    let revoke = Action::MemberRevoke(MemberRevoke { key });
    world.act(&owner(), revoke).await.expect("ended");
    refusals.push(accept(&world, &eve).await.expect_err("ended"));
    world
        .act(&owner(), invite(&world, "bob", Role::Viewer))
        .await
        .expect("invited");
    crate::support::advance(WEEK);
    refusals.push(accept(&world, &eve).await.expect_err("late"));
    assert_eq!(refusals[0].code, Code::Denied);
    assert!(
        refusals.iter().all(|one| *one == refusals[0]),
        "{refusals:?}"
    );
    world.projected().await;
    assert_eq!(entries(&world), before + 3, "no refusal made an entry");
}

#[tokio::test]
async fn nothing_but_an_acceptance_is_taken_from_strangers() {
    let world = World::with_demo().await;
    let command = Command {
        action: invite(&world, "eve", Role::Owner),
        ..acceptance((world.id(), &demo()), &owner(), &signing_key(31))
    };
    let refused = sent(&world, request(&command, &owner())).await;
    assert_eq!(
        refused.map(drop).map_err(|why| why.code),
        Err(Code::InvalidField)
    );
    let large = vec![0; 4_096];
    let refused = sent(&world, large).await;
    assert_eq!(
        refused.map(drop).map_err(|why| why.code),
        Err(Code::TooLarge)
    );
}

#[tokio::test]
async fn invitations_outlive_a_restart_and_a_rebuild() {
    let world = World::with_demo().await;
    world
        .act(&owner(), invite(&world, "ana", Role::Editor))
        .await
        .expect("invited");
    accept(&world, &signing_key(30)).await.expect("accepted");
    let before = invitations(&world).await;
    assert_eq!(
        before[0].accepted.map(|of| of.member),
        Some(identity(&signing_key(30)).into())
    );
    let world = world.again(|_| {}).await;
    assert_eq!(invitations(&world).await, before);
    let world = world
        .again(|read_model| std::fs::remove_file(read_model).expect("removed"))
        .await;
    assert_eq!(invitations(&world).await, before);
}
