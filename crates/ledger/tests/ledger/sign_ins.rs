//! Keys that act for a member through sign-ins.

use ed25519_dalek::SigningKey;
use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::command::{
    COMMAND_V, Command, MemberRemove, Nothing, SecretDestroy, SignInClose, SignInOpen,
};
use keyroll_core::roles::Role;
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::{
    Action, Blob, Code, Commit, Entry, MemberId, Millis, Recorded, Rejection, TreeSize, Verified,
    WorkspaceName, cbor, cose,
};
use keyroll_wire::query::{
    AuditLog, CommandDryRun, QUERY_V, Query, Question, SecretList, SignInList, WorkspaceList,
};
use keyroll_wire::reply::{Answer, CommittedCommand};

use crate::support::{
    World, advance, code, demo, denied, fresh, identity, now, owner, signing_key,
};

const HOUR: u64 = 3_600_000;

fn ana() -> SigningKey {
    signing_key(20)
}

fn laptop() -> SigningKey {
    signing_key(40)
}

fn opening(world: &World, member: &SigningKey, key: &SigningKey) -> Action {
    let terms = SignInTerms {
        key: identity(key),
        from: now(),
        until: Millis(now().0 + HOUR),
        origin: "a laptop".parse().expect("an origin"),
    };
    let binding = terms.binding(&world.id());
    let statement = cose::sign(&SignInStatement { v: 1, binding }, member);
    Action::SignInOpen(SignInOpen {
        key: terms.key,
        from: terms.from,
        proof: SignInProof::Key(statement.into()),
        until: terms.until,
        origin: terms.origin,
    })
}

fn command(world: &World, member: &SigningKey, action: Action) -> Command {
    Command {
        v: COMMAND_V,
        at: now(),
        id: fresh(),
        action,
        ledger: world.id(),
        member: Some(identity(member).into()),
        approval: None,
        workspace: demo(),
        delegation: None,
    }
}

impl World {
    /// Acts for `member` with the key of a sign-in.
    async fn act_signed_in(
        &self,
        member: &SigningKey,
        key: &SigningKey,
        action: Action,
    ) -> Result<CommittedCommand, Rejection> {
        let command = command(self, member, action);
        self.send(cose::sign(&command, key), vec![]).await
    }

    pub(crate) async fn open_sign_in(&self, member: &SigningKey, key: &SigningKey) {
        let open = opening(self, member, key);
        let opened = self.act_signed_in(member, key, open).await;
        assert_eq!(denied(&opened.expect("opened")), None);
    }

    async fn ask_signed_in(
        &self,
        workspace: Option<&WorkspaceName>,
        member: &SigningKey,
        (key, ask): (&SigningKey, Question),
    ) -> Result<Answer, Rejection> {
        self.projected().await;
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask,
            seen: TreeSize(0),
            ledger: self.id(),
            member: Some(identity(member).into()),
            workspace: workspace.cloned(),
            delegation: None,
        };
        self.ask_bytes(workspace, &cose::sign(&query, key)).await
    }
}

async fn team() -> World {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let add = World::member(&ana(), "ana", Role::Editor, &["*"]);
    world.act(&owner(), add).await.expect("added");
    // No sign-in is older than the membership.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    world
}

fn list() -> Question {
    Question::SecretList(SecretList {
        limit: 10,
        ..SecretList::default()
    })
}

fn close(key: &SigningKey) -> Action {
    let (key, member) = (identity(key), None);
    Action::SignInClose(SignInClose { key, member })
}

#[tokio::test]
async fn queries_and_commands_are_for_open_sign_ins_alone() {
    let world = team().await;
    let demo = Some(demo());
    let ask = |key: SigningKey| {
        let (world, demo) = (&world, &demo);
        async move {
            world
                .ask_signed_in(demo.as_ref(), &ana(), (&key, list()))
                .await
        }
    };
    assert_eq!(
        code(ask(laptop()).await),
        Some(Code::Denied),
        "not open yet"
    );
    world.open_sign_in(&ana(), &laptop()).await;
    assert_eq!(code(ask(laptop()).await), None);
    let rename = Action::SecretDelete(keyroll_core::command::SecretRef {
        id: keyroll_core::SecretId([0; 16]),
        name: "Key".parse().expect("a name"),
    });
    let acted = world.act_signed_in(&ana(), &laptop(), rename).await;
    assert_eq!(code(acted), Some(Code::NotFound), "decided as the member's");
    // Another key learns nothing of the member's workspace, nor does the key as another member.
    let stranger = ask(signing_key(66)).await.expect_err("refused");
    assert!(stranger.message.contains("not a member"), "{stranger}");
    let as_owner = world
        .ask_signed_in(demo.as_ref(), &owner(), (&laptop(), list()))
        .await;
    assert_eq!(code(as_owner), Some(Code::Denied));
    let closed = world
        .act_signed_in(&ana(), &laptop(), close(&laptop()))
        .await;
    assert_eq!(denied(&closed.expect("closed")), None);
    let refused = ask(laptop()).await.expect_err("closed");
    assert!(refused.message.contains("keyroll login"), "{refused}");
}

#[tokio::test]
async fn a_claim_to_act_for_a_member_leaves_no_trace_and_learns_nothing() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    let size = world.log.bytes().len();
    let thief = signing_key(66);
    let known = command(&world, &ana(), close(&laptop()));
    let rotate = || Action::KeyRotate(Nothing {});
    for claimed in [ana(), owner(), world.online.clone()] {
        let refused = world.act_signed_in(&claimed, &thief, rotate()).await;
        let refused = refused.expect_err("refused");
        assert!(refused.message.contains("not a member"), "{refused}");
        // A proof by the thief itself.
        let open = opening(&world, &thief, &thief);
        let open = command(&world, &claimed, open);
        let refused = world.send(cose::sign(&open, &thief), vec![]).await;
        assert_eq!(code(refused), Some(Code::Denied));
    }
    assert_eq!(
        world.log.bytes().len(),
        size,
        "no entry, no summary of refusals"
    );
    // Nor does it find out which commands of the member were carried out.
    let done = world.send(cose::sign(&known, &laptop()), vec![]).await;
    done.expect("closed");
    let refused = world.send(cose::sign(&known, &thief), vec![]).await;
    let refused = refused.expect_err("refused");
    assert!(refused.message.contains("not a member"), "{refused}");
    // The member itself gets the same receipt again.
    let again = world.send(cose::sign(&known, &laptop()), vec![]).await;
    assert_eq!(code(again), None);
}

#[tokio::test]
async fn a_sign_in_is_no_operator_and_manages_nothing() {
    let world = team().await;
    world.open_sign_in(&owner(), &laptop()).await;
    let acts = [
        World::member(&signing_key(70), "eve", Role::Owner, &["*"]),
        Action::MemberRemove(MemberRemove {
            member: identity(&ana()).into(),
        }),
        Action::KeyRotate(Nothing {}),
        Action::SecretDestroy(SecretDestroy {
            id: keyroll_core::SecretId([0; 16]),
            name: "Key".parse().expect("a name"),
            versions: None,
        }),
    ];
    for act in acts {
        let acted = world.act_signed_in(&owner(), &laptop(), act).await;
        assert!(denied(&acted.expect("recorded")).is_some());
    }
    let digest = Question::ProjectionDigest(Nothing {});
    let asked = world
        .ask_signed_in(None, &owner(), (&laptop(), digest))
        .await;
    assert_eq!(code(asked), Some(Code::Denied));
    // The owner of another workspace is its creator, not somebody who claims to be.
    let mut create = command(&world, &owner(), Action::WorkspaceCreate(Nothing {}));
    create.workspace = "other".parse().expect("a name");
    let refused = world.refused_in(&laptop(), &create).await;
    assert_eq!(refused.code, Code::Denied);
    create.member = Some(MemberId([9; 32]));
    let refused = world.refused_in(&owner(), &create).await;
    assert_eq!(refused.code, Code::Denied);
}

#[tokio::test]
async fn the_workspaces_of_a_member_are_listed_for_its_open_sign_ins() {
    let world = team().await;
    let workspaces = || Question::WorkspaceList(WorkspaceList::default());
    let ask = |key: SigningKey| {
        let world = &world;
        async move {
            world
                .ask_signed_in(None, &ana(), (&key, workspaces()))
                .await
        }
    };
    assert_eq!(code(ask(laptop()).await), Some(Code::Denied));
    world.open_sign_in(&ana(), &laptop()).await;
    let Ok(Answer::WorkspaceList(page)) = ask(laptop()).await else {
        panic!("no list")
    };
    assert_eq!(page.rows.len(), 1);
    let status = Question::Status(Nothing {});
    let asked = world.ask_signed_in(None, &ana(), (&laptop(), status)).await;
    assert_eq!(code(asked), None);
    let thief = ask(signing_key(66)).await;
    assert_eq!(code(thief), Some(Code::Denied));
    world.act(&ana(), close(&laptop())).await.expect("closed");
    assert_eq!(code(ask(laptop()).await), Some(Code::Denied));
}

#[tokio::test]
async fn members_see_their_own_sign_ins_and_owners_all() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    world.open_sign_in(&ana(), &signing_key(41)).await;
    world.open_sign_in(&owner(), &signing_key(42)).await;
    let ask = |who: SigningKey, member: Option<SigningKey>, limit: u32| {
        let world = &world;
        let member = member.map(|key| identity(&key).into());
        let list = SignInList {
            after: None,
            limit,
            member,
        };
        async move { world.ask(&who, Question::SignInList(list)).await }
    };
    let rows = |answer: Result<Answer, Rejection>| match answer {
        Ok(Answer::SignInList(page)) => (page.rows, page.next),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(ask(ana(), None, 10).await).0.len(), 2);
    assert_eq!(rows(ask(owner(), None, 10).await).0.len(), 3);
    assert_eq!(rows(ask(owner(), Some(ana()), 10).await).0.len(), 2);
    assert_eq!(
        code(ask(ana(), Some(owner()), 10).await),
        Some(Code::Denied)
    );
    let (first, next) = rows(ask(owner(), None, 1).await);
    let after = next.expect("another page");
    assert_eq!(first.len(), 1);
    let list = SignInList {
        after: Some(after),
        limit: 10,
        member: None,
    };
    let (rest, _) = rows(world.ask(&owner(), Question::SignInList(list)).await);
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|row| row.key != first[0].key));
    // The audit log says which key signed.
    let log = Question::AuditLog(AuditLog {
        limit: 100,
        ..AuditLog::default()
    });
    let Ok(Answer::AuditLog(page)) = world.ask(&owner(), log).await else {
        panic!("no log")
    };
    let opened = page.rows.iter().filter(|row| row.kind == "signin.opened");
    let keys: Vec<_> = opened.map(|row| row.sign_in_key).collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], Some(identity(&laptop())));
}

#[tokio::test]
async fn a_dry_run_is_for_the_sign_in_that_signed_the_command() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    let signed = cose::sign(&command(&world, &ana(), close(&laptop())), &laptop());
    let ask = || {
        let command = signed.clone().into();
        Question::CommandDryRun(CommandDryRun { command })
    };
    let demo = Some(demo());
    let asked = world
        .ask_signed_in(demo.as_ref(), &ana(), (&laptop(), ask()))
        .await;
    assert_eq!(code(asked), None);
    let as_owner = world
        .ask_signed_in(demo.as_ref(), &owner(), (&laptop(), ask()))
        .await;
    assert_eq!(code(as_owner), Some(Code::Denied));
    assert_eq!(code(world.ask(&ana(), ask()).await), Some(Code::Denied));
}

/// A client that got no answer sends the same bytes again, however late.
#[tokio::test]
async fn the_same_bytes_get_their_receipt_after_the_sign_in_was_forgotten() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    let command = command(&world, &ana(), close(&laptop()));
    let bytes = cose::sign(&command, &laptop());
    let first = world.send(bytes.clone(), vec![]).await.expect("closed");
    advance(2 * HOUR);
    // Another sign-in makes the ledger forget the one that has ended.
    world.open_sign_in(&ana(), &signing_key(41)).await;
    let list = Question::SecretList(SecretList::default());
    let (demo, ana, laptop) = (demo(), ana(), laptop());
    let forgotten = world.ask_signed_in(Some(&demo), &ana, (&laptop, list));
    assert_eq!(code(forgotten.await), Some(Code::Denied));
    let again = world.send(bytes, vec![]).await.expect("the receipt");
    assert_eq!(again.receipt.index, first.receipt.index);
    // Whoever has another command of that id learns nothing of it.
    let other = Command {
        action: close(&signing_key(41)),
        ..command
    };
    let refused = world.send(cose::sign(&other, &laptop), vec![]).await;
    assert_eq!(code(refused), Some(Code::Denied));
}

/// The read model holds what a replay of the log gives.
#[tokio::test]
async fn sign_ins_are_rebuilt_from_the_log() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    world.open_sign_in(&ana(), &signing_key(41)).await;
    world.act(&ana(), close(&laptop())).await.expect("closed");
    world
        .act(&ana(), close(&signing_key(43)))
        .await
        .expect("closed");
    let remove = Action::MemberRemove(MemberRemove {
        member: identity(&ana()).into(),
    });
    world.act(&owner(), remove).await.expect("removed");
    world.ledger.caught_up().await.expect("caught up");
    let ask = |question| crate::ask_ledger(&world, question);
    let Ok(Answer::ProjectionRebuild(rebuilt)) = ask(Question::ProjectionRebuild(Nothing {})).await
    else {
        panic!("not rebuilt")
    };
    assert!(rebuilt.identical);
}

/// Each bit of a proof counts, also where the ledger itself signs the changed log.
#[tokio::test]
async fn a_flipped_bit_in_a_proof_is_found_by_full_verification() {
    let world = team().await;
    world.open_sign_in(&ana(), &laptop()).await;
    let commits = world.log.bytes();
    let verify = |last: &[u8]| {
        let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
        for commit in &commits[..commits.len() - 1] {
            verifier.commit(commit);
        }
        verifier.commit(last);
        verifier.finish(None)
    };
    let last = commits.last().expect("the sign-in");
    assert!(verify(last).ok());
    let commit = cose::open::<Commit>(last).expect("a commit").payload;
    let entry: Entry = cbor::decode(&commit.entries[0].0).expect("an entry");
    let opened = cose::open::<Command>(&entry.command.0).expect("a command");
    let forge = |command: &Command| {
        let entry = Entry {
            command: cose::sign(command, &laptop()).into(),
            ..entry.clone()
        };
        let commit = Commit {
            entries: vec![cbor::encode(&entry).into()],
            ..commit.clone()
        };
        verify(&cose::sign(&commit, &world.online))
    };
    assert!(forge(&opened.payload).ok(), "nothing else is wrong with it");
    let Action::SignInOpen(open) = &opened.payload.action else {
        panic!("not a sign-in")
    };
    let SignInProof::Key(Blob(proof)) = &open.proof;
    for bit in (0..proof.len() * 8).step_by(5) {
        let mut proof = proof.clone();
        proof[bit / 8] ^= 1 << (bit % 8);
        let mut command = opened.payload.clone();
        command.action = Action::SignInOpen(SignInOpen {
            proof: SignInProof::Key(Blob(proof)),
            ..open.clone()
        });
        assert!(!forge(&command).ok(), "bit {bit}");
    }
    // Nor does a proof by anybody else do.
    let mut command = opened.payload.clone();
    command.action = opening(&world, &signing_key(66), &laptop());
    let problems = forge(&command).problems;
    assert!(
        problems.iter().any(|one| one.kind == "decision"),
        "{problems:?}"
    );
    let recorded = Recorded::decode_strict(keyroll_core::Index(0), &commit.entries[0].0);
    let verified: Result<Verified, Rejection> = recorded.expect("an entry").command.verify();
    assert!(verified.is_ok());
}

/// Programs from before sign-ins send delegations.
#[tokio::test]
async fn a_delegation_is_refused_and_the_answer_says_what_to_do() {
    let world = team().await;
    let delegation = keyroll_core::statement::Delegation {
        v: 1,
        key: identity(&laptop()),
        place: "a page".parse().expect("a label"),
        ledger: world.id(),
        identity: identity(&ana()),
        not_after: Millis(now().0 + HOUR),
        workspace: demo(),
        not_before: now(),
    };
    let delegation: Blob = cose::sign(&delegation, &ana()).into();
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask: list(),
        seen: TreeSize(0),
        ledger: world.id(),
        member: None,
        workspace: Some(demo()),
        delegation: Some(delegation.clone()),
    };
    let asked = world
        .ask_bytes(Some(&demo()), &cose::sign(&query, &laptop()))
        .await;
    let size = world.log.bytes().len();
    let acted = Command {
        member: None,
        delegation: Some(delegation),
        ..command(&world, &ana(), Action::KeyRotate(Nothing {}))
    };
    let acted = world.send(cose::sign(&acted, &laptop()), vec![]).await;
    for refused in [asked.expect_err("refused"), acted.expect_err("refused")] {
        assert_eq!(refused.code, Code::Denied);
        assert!(refused.message.contains("keyroll login"), "{refused}");
    }
    assert_eq!(world.log.bytes().len(), size);
}
