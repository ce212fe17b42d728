//! Every query and every answer.

use keyroll_core::command::Nothing;
use keyroll_core::{
    Action, Blob, Code, ConnectionKey, Digest, Index, Millis, Rejection, TreeSize, Version, cose,
};
use keyroll_wire::query::{
    AsOf, AuditCommits, AuditExtends, AuditLog, AuditOutcome, AuditProve, AuditStorage,
    CommandDryRun, LedgerCredential, MemberList, PointInTime, QUERY_V, ReceiptQuery, RecoverBegin,
    RecoverFinish, RecoverPlan, SecretHistory, SecretList, SecretShow, SignInList, SignInName,
    TrustedSize, WorkspaceList,
};
use keyroll_wire::reply::{Answer, ReplyBody};
use keyroll_wire::{Query, Question, Reply};
use serde_json::{Value, json};

use crate::answers::{answers, digests};
use crate::invitations;
use crate::log::Log;
use crate::world::{PERIOD, START, World, fixed, member};
use crate::{actions, forms, tree};

/// The size that the asker has already seen.
pub(crate) const SEEN: u64 = 7;
/// A point in history.
pub(crate) const THEN: PointInTime = PointInTime {
    size: TreeSize(5),
    time: Millis(START + 360_000),
};

fn query(world: &World, ask: Question, workspace: bool) -> Query {
    Query {
        v: QUERY_V,
        at: Millis(START + 840_000),
        ask,
        seen: TreeSize(if workspace { SEEN } else { 0 }),
        ledger: world.ledger,
        workspace: workspace.then(|| world.workspace.clone()),
        member: None,
        delegation: None,
    }
}

fn asks(world: &World) -> Vec<(&'static str, Question, bool)> {
    let mut asks = of_rows();
    asks.extend(of_sign_ins(world));
    asks.extend(of_the_log(world));
    asks.extend(of_the_ledger(world));
    asks
}

fn of_rows() -> Vec<(&'static str, Question, bool)> {
    let name = || "STRIPE_LIVE_KEY".parse().expect("a name");
    let shown = |at| Question::SecretShow(SecretShow { at, name: name() });
    let history = |before| {
        Question::SecretHistory(SecretHistory {
            name: name(),
            limit: 1_000,
            before,
        })
    };
    let members = |at, after| {
        Question::MemberList(MemberList {
            at,
            after,
            limit: 1_000,
        })
    };
    let then = Some(THEN);
    vec![
        (
            "secret.list",
            Question::SecretList(SecretList {
                limit: 1_000,
                ..SecretList::default()
            }),
            true,
        ),
        (
            "secret.list, next page",
            Question::SecretList(SecretList {
                at: None,
                after: Some("pem".to_owned()),
                limit: 2,
                deleted: true,
            }),
            true,
        ),
        (
            "secret.list, as it was",
            Question::SecretList(SecretList {
                at: then,
                limit: 1_000,
                ..SecretList::default()
            }),
            true,
        ),
        ("secret.show", shown(None), true),
        ("secret.show, as it was", shown(then), true),
        ("secret.history", history(None), true),
        ("secret.history, next page", history(Some(Version(3))), true),
        ("member.list", members(None, None), true),
        (
            "member.list, next page, as it was",
            members(then, Some(1_000)),
            true,
        ),
        (
            "workspace.at, entries",
            Question::WorkspaceAt(AsOf::Size(THEN.size)),
            true,
        ),
        (
            "workspace.at, time",
            Question::WorkspaceAt(AsOf::Time(THEN.time)),
            true,
        ),
    ]
}

fn sign_ins(after: Option<SignInName>) -> Question {
    Question::SignInList(SignInList {
        after,
        limit: 1_000,
        member: after.map(|name| name.member),
    })
}

fn every_filter(world: &World) -> AuditLog {
    AuditLog {
        run: Some("run-42".to_owned()),
        actor: Some(member(&world.nightly)),
        after: Some(Index(2)),
        limit: 100,
        since: Some(Millis(START)),
        until: Some(Millis(START + 900_000)),
        action: Some("secret.revealed".to_owned()),
        before: Some(Index(12)),
        secret: Some("STRIPE_KEY".parse().expect("a name")),
        outcome: Some(AuditOutcome::Granted),
    }
}

fn of_sign_ins(world: &World) -> Vec<(&'static str, Question, bool)> {
    let after = SignInName {
        key: world.sign_in().key,
        member: member(&world.alice),
    };
    vec![
        ("signin.list", sign_ins(None), true),
        ("invitation.list", invitations::list(None), true),
        (
            "invitation.list, next page",
            invitations::list(Some(after.key)),
            true,
        ),
        ("signin.list, next page", sign_ins(Some(after)), true),
    ]
}

fn of_the_log(world: &World) -> Vec<(&'static str, Question, bool)> {
    let none = Nothing {};
    let id = world.command(4, actions::create(world)).id;
    vec![
        (
            "audit.log",
            Question::AuditLog(AuditLog {
                limit: 100,
                ..AuditLog::default()
            }),
            true,
        ),
        (
            "audit.log, every filter",
            Question::AuditLog(every_filter(world)),
            true,
        ),
        (
            "audit.commits",
            Question::AuditCommits(AuditCommits { first: Index(0) }),
            true,
        ),
        (
            "audit.prove",
            Question::AuditProve(AuditProve { index: Index(10) }),
            true,
        ),
        ("key.status", Question::KeyStatus(none), true),
        ("audit.checkpoint", Question::AuditCheckpoint(none), true),
        (
            "audit.extends",
            Question::AuditExtends(AuditExtends {
                root: Digest(fixed("root")),
                size: TreeSize(SEEN),
            }),
            true,
        ),
        (
            "receipt",
            Question::Receipt(ReceiptQuery { command: id }),
            true,
        ),
        (
            "command.dry_run",
            Question::CommandDryRun(CommandDryRun {
                command: Blob(cose::sign(
                    &world.command(4, Action::KeyRotate(none)),
                    &world.alice,
                )),
            }),
            true,
        ),
    ]
}

fn credential(world: &World) -> Question {
    Question::LedgerCredential(LedgerCredential {
        connection: ConnectionKey(fixed("connection key")),
        workspaces: vec![world.workspace.clone()],
    })
}

/// The signed query for NATS credentials.
pub(crate) fn credential_query(world: &World) -> Vec<u8> {
    cose::sign(&query(world, credential(world), false), &world.alice)
}

/// Queries of the whole ledger.
fn of_the_ledger(world: &World) -> Vec<(&'static str, Question, bool)> {
    let none = Nothing {};
    vec![
        (
            "workspace.list",
            Question::WorkspaceList(WorkspaceList::default()),
            false,
        ),
        (
            "workspace.list, the next page",
            Question::WorkspaceList(WorkspaceList {
                after: Some(world.workspace.clone()),
            }),
            false,
        ),
        ("ledger.credential", credential(world), false),
        ("status", Question::Status(none), false),
        ("projection.status", Question::ProjectionStatus(none), false),
        ("projection.digest", Question::ProjectionDigest(none), false),
        (
            "projection.rebuild",
            Question::ProjectionRebuild(none),
            false,
        ),
        (
            "audit.storage",
            Question::AuditStorage(AuditStorage {
                workspace: world.workspace.clone(),
            }),
            false,
        ),
        (
            "recover.plan",
            Question::RecoverPlan(RecoverPlan {
                seen: seen_sizes(world),
            }),
            false,
        ),
        (
            "recover.begin",
            Question::RecoverBegin(RecoverBegin {
                plan: Digest([7; 32]),
                seen: Vec::new(),
            }),
            false,
        ),
        (
            "recover.finish",
            Question::RecoverFinish(RecoverFinish {
                plan: Digest([7; 32]),
            }),
            false,
        ),
    ]
}

pub(crate) fn seen_sizes(world: &World) -> Vec<TrustedSize> {
    vec![TrustedSize {
        size: TreeSize(SEEN),
        workspace: world.workspace.clone(),
    }]
}

/// The wire name of a reply's answer.
fn answer_name(reply: &Reply) -> String {
    let value = json!(reply.body);
    let inner = value
        .get("answer")
        .and_then(Value::as_object)
        .and_then(|answer| answer.keys().next());
    inner.map_or_else(|| "error".to_owned(), Clone::clone)
}

pub(crate) fn reply_to(
    log: &Log,
    request: &[u8],
    body: ReplyBody,
    size: usize,
    seen: u64,
) -> Reply {
    Reply {
        v: 1,
        body,
        root: Digest(tree::root(log, size).0),
        size: TreeSize(size as u64),
        request: Digest::of(request),
        consistency: digests(&tree::consistency_hashes(log, seen, size)),
    }
}

pub(crate) fn document(world: &World, log: &Log) -> Value {
    let mut list = Vec::new();
    for (name, ask, workspace) in asks(world) {
        let signed = cose::sign(&query(world, ask, workspace), &world.alice);
        list.push(forms::signed::<Query>(name, "signed-query", &signed));
    }
    let delegated = Query {
        delegation: Some(world.delegation().into()),
        ..query(
            world,
            Question::MemberList(MemberList {
                limit: 1_000,
                ..MemberList::default()
            }),
            true,
        )
    };
    let delegated = cose::sign(&delegated, &world.console);
    list.push(forms::signed::<Query>(
        "member.list under a delegation",
        "signed-query",
        &delegated,
    ));
    let signed_in = Query {
        member: Some(member(&world.alice)),
        ..query(world, sign_ins(None), true)
    };
    list.push(forms::signed::<Query>(
        "signin.list through a sign-in",
        "signed-query",
        &cose::sign(&signed_in, &world.console),
    ));
    let size = log.entries.len();
    for answer in answers(world, log) {
        let of_ledger = matches!(
            answer,
            Answer::WorkspaceList(_)
                | Answer::Status(_)
                | Answer::ProjectionStatus(_)
                | Answer::ProjectionDigest(_)
                | Answer::ProjectionRebuild(_)
                | Answer::AuditStorage(_)
                | Answer::RecoverPlan(_)
                | Answer::RecoverBegin(_)
                | Answer::RecoverFinish(_)
        );
        let (size, seen) = if of_ledger { (0, 0) } else { (size, SEEN) };
        let reply = reply_to(
            log,
            &delegated,
            ReplyBody::Answer(Box::new(answer)),
            size,
            seen,
        );
        let name = answer_name(&reply);
        list.push(forms::signed::<Reply>(
            &name,
            "signed-reply",
            &cose::sign(&reply, &world.online),
        ));
    }
    for code in Code::ALL {
        let rejection = Rejection::new(*code, "words for people");
        let reply = reply_to(log, &delegated, ReplyBody::Error(rejection), 0, 0);
        let name = format!("error {code}");
        list.push(forms::signed::<Reply>(
            &name,
            "signed-reply",
            &cose::sign(&reply, &world.online),
        ));
    }
    json!({
        "about": "Every question, and every answer. The answers show shapes: what they say is made up, but for \
                  commits, receipts and checkpoints, which are those of log.json and tree.json. All of them \
                  answer the last query.",
        "seen": SEEN,
        "period": PERIOD,
        "forms": list,
    })
}

/// The refusal of a command, signed.
pub(crate) fn refusal(world: &World, log: &Log, command: &[u8]) -> Vec<u8> {
    let message = "the name STRIPE_KEY is taken (by STRIPE_KEY)";
    let rejection = Rejection::new(Code::Conflict, message);
    cose::sign(
        &reply_to(log, command, ReplyBody::Error(rejection), 14, SEEN),
        &world.online,
    )
}

/// A second command that creates the same secret.
pub(crate) fn second_create(world: &World) -> Vec<u8> {
    let action: Action = actions::create(world);
    cose::sign(&world.command(15, action), &world.alice)
}
