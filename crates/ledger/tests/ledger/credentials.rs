//! NATS credentials: who gets which, and that guests read nothing of each other.

use keyroll_core::command::{MemberRecord, MemberRemove, Nothing, SignInClose};
use keyroll_core::crypto::AnswerKey;
use keyroll_core::roles::Role;
use keyroll_core::{
    Action, Code, ConnectionKey, Digest, MemberId, Millis, Rejection, TreeSize, cbor, cose,
};
use keyroll_ledger::GuestSubject;
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::query::{
    AuditExtends, CREDENTIAL_WORKSPACES, LedgerCredential, QUERY_V, Query, Question, WorkspaceList,
};
use keyroll_wire::reply::{Answer, IssuedCredential, Reply, ReplyBody, ServiceInfo};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::support::{World, advance, demo, identity, now, owner, signing_key};

const CONNECTION: ConnectionKey = ConnectionKey([5; 32]);

fn query(world: &World, ask: Question) -> Query {
    Query {
        v: QUERY_V,
        at: now(),
        ask,
        seen: TreeSize(0),
        ledger: world.id(),
        member: None,
        workspace: None,
        delegation: None,
    }
}

/// Sends a request in a guest's envelope: what comes back once it is opened, and as it travels.
async fn as_guest(world: &World, subject: GuestSubject, body: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let key = AnswerKey::generate(&mut UnwrapErr(SysRng));
    let request = cbor::encode(&GuestRequest {
        key: key.public(),
        body: body.into(),
    });
    let response = world.ledger.guest(subject, &request).await;
    let answer: SealedAnswer = cbor::decode(&response.bytes).expect("a sealed answer");
    let opened = key.open(&answer.enc, &answer.sealed.0, &Digest::of(&request));
    (opened.expect("opens"), response.bytes)
}

async fn asked(
    world: &World,
    signer: &ed25519_dalek::SigningKey,
    workspaces: &[&str],
) -> Result<IssuedCredential, Rejection> {
    asked_as(world, None, signer, workspaces).await
}

/// As [`asked`], for the member that a sign-in key names.
async fn asked_as(
    world: &World,
    member: Option<MemberId>,
    signer: &ed25519_dalek::SigningKey,
    workspaces: &[&str],
) -> Result<IssuedCredential, Rejection> {
    let parse = |name: &&str| name.parse().expect("a workspace's name");
    let ask = Question::LedgerCredential(LedgerCredential {
        connection: CONNECTION,
        workspaces: workspaces.iter().map(parse).collect(),
    });
    let query = Query {
        member,
        ..query(world, ask)
    };
    let body = cose::sign(&query, signer);
    let (opened, _) = as_guest(world, GuestSubject::Credential, body.clone()).await;
    let reply = cose::open::<Reply>(&opened).expect("a signed reply");
    reply.verify().expect("signed by the ledger");
    assert_eq!(reply.payload.request, Digest::of(&body));
    match reply.payload.body {
        ReplyBody::Answer(answer) => match *answer {
            Answer::LedgerCredential(issued) => Ok(issued),
            other => panic!("{other:?}"),
        },
        ReplyBody::Error(rejection) => Err(rejection),
    }
}

#[tokio::test]
async fn a_member_gets_credentials_for_the_own_workspaces_alone() {
    let (world, viewer) = World::with_viewer().await;
    world.projected().await;
    let issued = asked(&world, &viewer, &["demo", "demo"])
        .await
        .expect("issued");
    assert_eq!(issued.jwt, "demo", "one name once");
    assert_eq!(issued.not_after, Millis(now().0 + 1_000));
    assert!(
        asked(&world, &viewer, &[]).await.is_ok(),
        "for queries to the ledger"
    );
    let refused = asked(&world, &viewer, &["demo", "other"])
        .await
        .expect_err("refused");
    assert_eq!(refused.code, Code::Denied);
    assert!(refused.message.contains("other"), "{}", refused.message);
}

#[tokio::test]
async fn an_open_sign_in_gets_credentials_and_a_claim_gets_none() {
    let (world, viewer) = World::with_viewer().await;
    let (laptop, thief) = (signing_key(40), signing_key(41));
    let (vera, boss) = (identity(&viewer).into(), identity(&owner()).into());
    let ask = |member: MemberId, key: &ed25519_dalek::SigningKey, names: &'static [&str]| {
        let (world, key) = (&world, key.clone());
        async move {
            world.projected().await;
            let asked = asked_as(world, Some(member), &key, names).await;
            asked.map(|issued| issued.jwt).map_err(|why| why.code)
        }
    };
    let denied = Err(Code::Denied);
    assert_eq!(ask(vera, &laptop, &["demo"]).await, denied, "not open yet");
    world.open_sign_in(&viewer, &laptop).await;
    assert_eq!(ask(vera, &laptop, &["demo"]).await, Ok("demo".to_owned()));
    assert_eq!(ask(vera, &laptop, &[]).await, Ok(String::new()));
    assert_eq!(ask(vera, &laptop, &["other"]).await, denied);
    assert_eq!(ask(vera, &thief, &["demo"]).await, denied);
    assert_eq!(ask(boss, &laptop, &["demo"]).await, denied);
    // An operator's sign-in is no operator.
    world.open_sign_in(&owner(), &thief).await;
    assert_eq!(ask(boss, &thief, &["demo"]).await, Ok("demo".to_owned()));
    assert_eq!(ask(boss, &thief, &["not-there-yet"]).await, denied);
    let close = SignInClose {
        key: identity(&laptop),
        member: None,
    };
    let closed = world.act(&viewer, Action::SignInClose(close)).await;
    closed.expect("closed");
    assert_eq!(ask(vera, &laptop, &["demo"]).await, denied);
    assert_eq!(ask(vera, &laptop, &[]).await, denied);
}

#[tokio::test]
async fn strangers_get_no_credentials_and_learn_of_no_workspace() {
    let (world, stranger) = (World::with_demo().await, signing_key(77));
    let refusal = |names: &'static [&str]| {
        let (world, stranger) = (&world, stranger.clone());
        async move { asked(world, &stranger, names).await.expect_err("refused") }
    };
    assert_eq!(refusal(&[]).await.code, Code::Denied);
    let [real, invented] = [refusal(&["demo"]).await, refusal(&["none"]).await];
    assert_eq!(real.code, Code::Denied);
    assert_eq!(real.message.replace("demo", "none"), invented.message);
}

#[tokio::test]
async fn whoever_was_removed_or_has_expired_gets_none() {
    let (world, viewer) = World::with_viewer().await;
    let change = MemberRecord {
        name: "vera".parse().expect("a member's name"),
        role: Role::Viewer,
        member: identity(&viewer).into(),
        expires: Some(Millis(now().0 + 5_000)),
        secrets: vec!["*".parse().expect("a pattern")],
    };
    let owner = owner();
    let act = |action| world.act(&owner, action);
    act(Action::MemberChange(change)).await.expect("changed");
    world.projected().await;
    assert!(asked(&world, &viewer, &["demo"]).await.is_ok());
    advance(5_000);
    for names in [&["demo"] as &[&str], &[]] {
        let refused = asked(&world, &viewer, names).await.expect_err("expired");
        assert_eq!(refused.code, Code::Denied);
    }
    let remove = Action::MemberRemove(MemberRemove {
        member: identity(&viewer).into(),
    });
    act(remove).await.expect("removed");
    world.projected().await;
    for names in [&["demo"] as &[&str], &[]] {
        let refused = asked(&world, &viewer, names).await.expect_err("removed");
        assert_eq!(refused.code, Code::Denied);
    }
}

#[tokio::test]
async fn an_operator_names_any_workspace_but_not_too_many() {
    let world = World::with_demo().await;
    assert!(asked(&world, &owner(), &["not-there-yet"]).await.is_ok());
    assert!(asked(&world, &owner(), &[]).await.is_ok());
    let names: Vec<String> = (0..=CREDENTIAL_WORKSPACES)
        .map(|number| format!("{:a<63}", format!("w{number}")))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let issued = asked(&world, &owner(), &names[1..])
        .await
        .expect("as many as allowed");
    assert!(issued.jwt.ends_with(&"a".repeat(59)));
    let refused = asked(&world, &owner(), &names).await.expect_err("one more");
    assert_eq!(refused.code, Code::TooLarge);
}

#[tokio::test]
async fn another_replica_that_just_added_a_member_is_waited_for() {
    let (world, viewer) = World::with_viewer().await;
    let other = tempfile::tempdir().expect("a directory");
    let keys = (&world.id, &world.online);
    let ledger = World::replica(&world.log, &world.vault, &world.keys, other.path(), keys).await;
    let ask = Question::LedgerCredential(LedgerCredential {
        connection: CONNECTION,
        workspaces: vec!["demo".parse().expect("a name")],
    });
    let body = cose::sign(&query(&world, ask), &viewer);
    let response = ledger.query(None, &body).await;
    assert_eq!(response.refusal, None);
}

#[tokio::test]
async fn guests_ask_nothing_else_there() {
    let (world, viewer) = World::with_viewer().await;
    world.projected().await;
    for ask in [
        Question::WorkspaceList(WorkspaceList::default()),
        Question::Status(Nothing {}),
    ] {
        let body = cose::sign(&query(&world, ask), &viewer);
        let (opened, _) = as_guest(&world, GuestSubject::Credential, body).await;
        let reply = cose::open::<Reply>(&opened).expect("a signed reply");
        let ReplyBody::Error(refused) = reply.payload.body else {
            panic!("answered");
        };
        assert_eq!(refused.code, Code::InvalidField);
    }
}

#[tokio::test]
async fn whoever_knows_a_root_learns_as_a_guest_that_the_log_still_has_it() {
    let world = World::with_demo().await;
    world.projected().await;
    let (stranger, extends) = (signing_key(77), |root, size| {
        let ask = Question::AuditExtends(AuditExtends { root, size });
        Query {
            workspace: Some(demo()),
            ..query(&world, ask)
        }
    });
    let asked = Query {
        workspace: Some(demo()),
        ..query(&world, Question::AuditCheckpoint(Nothing {}))
    };
    let reply = world
        .ledger
        .query(Some(&demo()), &cose::sign(&asked, &owner()))
        .await;
    let reply = cose::open::<Reply>(&reply.bytes).expect("a reply").payload;
    let (size, root) = (reply.size, reply.root);
    for (root, known) in [(root, true), (Digest([1; 32]), false)] {
        let body = cose::sign(&extends(root, size), &stranger);
        let (opened, _) = as_guest(&world, GuestSubject::Credential, body).await;
        let reply = cose::open::<Reply>(&opened)
            .expect("a signed reply")
            .payload;
        assert_eq!(matches!(reply.body, ReplyBody::Answer(_)), known);
    }
}

#[tokio::test]
async fn an_answer_to_a_guest_shows_nothing_to_others() {
    let (world, viewer) = World::with_viewer().await;
    world.projected().await;
    let (plain, sealed) = as_guest(&world, GuestSubject::Info, Vec::new()).await;
    let info: ServiceInfo = cbor::decode(&plain).expect("the ledger's keys");
    let statement = &info.ledger_key.0;
    assert!(
        !sealed
            .windows(statement.len())
            .any(|part| part == statement)
    );
    let ask = Question::LedgerCredential(LedgerCredential {
        connection: CONNECTION,
        workspaces: vec!["demo".parse().expect("a name")],
    });
    let body = cose::sign(&query(&world, ask), &viewer);
    let (plain, sealed) = as_guest(&world, GuestSubject::Credential, body).await;
    assert!(plain.windows(4).any(|part| part == b"demo"));
    assert!(!sealed.windows(4).any(|part| part == b"demo"));
}

#[tokio::test]
async fn a_request_without_a_usable_key_gets_a_plain_refusal() {
    let world = World::with_demo().await;
    let small_order = cbor::encode(&GuestRequest {
        key: keyroll_core::AnswerPublic([0; 32]),
        body: Vec::new().into(),
    });
    let large = vec![0; 64 * 1024];
    for (bytes, code) in [
        (Vec::new(), Code::Malformed),
        (small_order, Code::Malformed),
        (large, Code::TooLarge),
    ] {
        for subject in [GuestSubject::Info, GuestSubject::Credential] {
            let response = world.ledger.guest(subject, &bytes).await;
            let opened = cose::open::<Reply>(&response.bytes).expect("a signed reply");
            opened.verify().expect("signed");
            assert_eq!(response.refusal.map(|refusal| refusal.code), Some(code));
        }
    }
}
