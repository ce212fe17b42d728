//! The rest of the matrix: actions that bring values, the ledger's own actions, and every query.
//! Together, the lists here and in `matrix` are complete: see `is_tried`.

use keyroll_client::Client;
use keyroll_client::{ClientError, NewSecretSpec, new_secret_id};
use keyroll_core::command::{
    DenialsSummarize, KeyErase, LogTruncate, LostValue, Nothing, ValueErase, ValuesLose,
    ValuesSweep, WorkflowRemove,
};
use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::{
    Action, Code, CommandId, Digest, Epoch, Index, SecretId, SecretName, TreeSize, Version,
    WorkspaceName,
};
use keyroll_tests::harness::Dev;
use keyroll_wire::Question;
use keyroll_wire::query::{
    AsOf, AuditCommits, AuditLog, AuditProve, AuditStorage, InvitationList, MemberList,
    PointInTime, ReceiptQuery, RecoverBegin, RecoverFinish, RecoverPlan, SecretHistory, SecretList,
    SecretShow, SignInList,
};
use keyroll_wire::time::now;

fn workspace(name: &str) -> WorkspaceName {
    name.parse().expect("a name")
}

fn called(name: &str) -> SecretName {
    name.parse().expect("a name")
}

fn spec(name: &str) -> NewSecretSpec {
    NewSecretSpec {
        name: called(name),
        description: "".parse().expect("text"),
        hosts: Vec::new(),
        restricted: false,
        rotate_every: None,
    }
}

fn code<T>(result: Result<T, ClientError>) -> Option<Code> {
    result.err().map(|error| error.code())
}

/// The outcomes of the four actions that bring values.
async fn brought(client: &Client, at: &WorkspaceName, id: SecretId) -> [Option<Code>; 4] {
    let (value, name) = (b"another value".as_slice(), called("Db_main"));
    let fresh = || new_secret_id().expect("an id");
    let import = [
        (fresh(), spec("Db_new"), value),
        (fresh(), spec("Db_newer"), value),
    ];
    let edit = |version, from| {
        let secret = (id, &name);
        client.edit(at, secret, Version(version), value, (None, from))
    };
    let dry_run_of = |version, from| {
        let secret = (id, &name);
        client.dry_run_edit(at, secret, Version(version), value, (None, from))
    };
    let create = [(spec("Db_made"), value)];
    // Each as a dry run first.
    let foreseen = [
        code(client.dry_run_create(at, &create).await),
        code(client.dry_run_import(at, &import).await),
        code(dry_run_of(2, None).await),
    ];
    let first = [
        code(client.create(at, &create).await),
        code(client.import(at, &import).await),
        code(edit(2, None).await),
    ];
    assert_eq!(foreseen, first);
    let foreseen = code(dry_run_of(3, Some(Version(1))).await);
    let last = code(edit(3, Some(Version(1))).await);
    assert_eq!(foreseen, last);
    let [created, imported, edited] = first;
    [created, imported, edited, last]
}

fn own_acts(id: SecretId) -> Vec<Action> {
    let version = Version::FIRST;
    vec![
        Action::WorkspaceCreate(Nothing {}),
        Action::ValueErase(ValueErase {
            id,
            versions: vec![version],
        }),
        Action::ValuesSweep(ValuesSweep { places: vec![] }),
        Action::ValuesLose(ValuesLose {
            values: vec![LostValue { id, version }],
        }),
        Action::KeyErase(KeyErase { epoch: Epoch(1) }),
        Action::LogTruncate(LogTruncate { size: TreeSize(9) }),
        Action::DenialsSummarize(DenialsSummarize { denials: vec![] }),
    ]
}

/// No action is forgotten: a new one does not compile until it is added here.
const fn is_tried(action: &Action) -> &'static str {
    match action {
        Action::SecretReveal(_)
        | Action::SecretDescribe(_)
        | Action::SecretRename(_)
        | Action::SecretDelete(_)
        | Action::SecretRestore(_)
        | Action::SecretDestroy(_)
        | Action::WorkflowSave(_)
        | Action::KeyRotate(_)
        | Action::MemberAdd(_)
        | Action::MemberChange(_)
        | Action::MemberRemove(_)
        | Action::MemberInvite(_)
        | Action::MemberConfirm(_)
        | Action::MemberRevoke(_)
        | Action::SignInClose(_) => "matrix",
        Action::SecretCreate(_)
        | Action::SecretImport(_)
        | Action::SecretEdit(_)
        | Action::SecretRollback(_) => "brought",
        Action::WorkflowRemove(_) => "below",
        Action::SignInOpen(_) => "sign_ins",
        // It needs a code, not a role.
        Action::MemberAccept(_) => "invitations",
        Action::DelegationRevoke(_) => "refused by rules 4",
        Action::WorkspaceCreate(_)
        | Action::ValueErase(_)
        | Action::ValuesSweep(_)
        | Action::ValuesLose(_)
        | Action::KeyErase(_)
        | Action::LogTruncate(_)
        | Action::DenialsSummarize(_) => "own acts",
    }
}

/// Every query about a workspace, with the permission it needs and whether it names a secret.
fn questions(then: PointInTime) -> Vec<(Question, Permission, bool)> {
    use Permission::{Audit, Read};
    let named = |at| SecretShow {
        at,
        name: called("Db_main"),
    };
    let list = |at, deleted| SecretList {
        at,
        deleted,
        limit: 10,
        ..SecretList::default()
    };
    let members = |at| MemberList {
        at,
        limit: 10,
        ..MemberList::default()
    };
    let sign_ins = SignInList {
        limit: 10,
        ..SignInList::default()
    };
    let invitations = InvitationList {
        limit: 10,
        ..InvitationList::default()
    };
    let log = AuditLog {
        limit: 10,
        ..AuditLog::default()
    };
    let log_of = AuditLog {
        secret: Some(called("Db_main")),
        ..log.clone()
    };
    let history = SecretHistory {
        name: called("Db_main"),
        limit: 10,
        before: None,
    };
    vec![
        (Question::SecretList(list(None, false)), Read, false),
        (Question::SecretList(list(None, true)), Read, false),
        (Question::SecretList(list(Some(then), false)), Read, false),
        (Question::SecretShow(named(None)), Read, true),
        (Question::SecretShow(named(Some(then))), Read, true),
        (Question::SecretHistory(history), Read, true),
        (Question::MemberList(members(None)), Read, false),
        (Question::MemberList(members(Some(then))), Read, false),
        (Question::KeyStatus(Nothing {}), Read, false),
        (Question::SignInList(sign_ins), Read, false),
        (Question::InvitationList(invitations), Read, false),
        (Question::WorkspaceAt(AsOf::Size(TreeSize(1))), Read, false),
        (Question::WorkspaceAt(AsOf::Time(now())), Read, false),
        (Question::AuditCheckpoint(Nothing {}), Read, false),
        (Question::AuditLog(log), Audit, false),
        (Question::AuditLog(log_of), Audit, false),
        (
            Question::AuditCommits(AuditCommits { first: Index(0) }),
            Audit,
            false,
        ),
        (
            Question::AuditProve(AuditProve { index: Index(1) }),
            Audit,
            false,
        ),
    ]
}

/// Every query about the ledger that is for its operators.
fn operators_questions() -> Vec<Question> {
    let (plan, seen) = (Digest([0; 32]), vec![]);
    vec![
        Question::ProjectionStatus(Nothing {}),
        Question::ProjectionDigest(Nothing {}),
        Question::ProjectionRebuild(Nothing {}),
        Question::AuditStorage(AuditStorage {
            workspace: workspace("demo"),
        }),
        Question::RecoverPlan(RecoverPlan { seen: vec![] }),
        Question::RecoverBegin(RecoverBegin { plan, seen }),
        Question::RecoverFinish(RecoverFinish { plan }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_brings_values_and_what_is_the_ledgers_own_follows_the_table_too() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let shown = dev.keyroll(["secret", "show", "Db_main", "--json"]);
    let id = shown.run().code(0).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let id: SecretId = id.parse().expect("an id");
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let remove = || {
        let workflow = "w".parse().expect("a label");
        Action::WorkflowRemove(WorkflowRemove { workflow })
    };
    let denied = Some(Code::Denied);
    for role in Role::ALL {
        let who = dev.member(&format!("{}1", role.as_str()), role.as_str(), "*");
        let narrow = dev.member(&format!("{}2", role.as_str()), role.as_str(), "Mail_*");
        let (inside, scoped) = (dev.client_as(&who).await, dev.client_as(&narrow).await);
        assert_eq!(brought(&inside, &workspace("other"), id).await, [denied; 4]);
        assert_eq!(brought(&scoped, &workspace("demo"), id).await, [denied; 4]);
        if !allows(role, Permission::Write) {
            assert_eq!(brought(&inside, &workspace("demo"), id).await, [denied; 4]);
            let removed = inside.execute(&workspace("demo"), remove()).await;
            assert_eq!(code(removed), denied, "{role:?}");
        }
        for action in own_acts(id) {
            assert_eq!(is_tried(&action), "own acts");
            for at in ["demo", "other"] {
                let case = format!("{role:?} {} in {at}", action.name());
                let acted = inside.execute(&workspace(at), action.clone()).await;
                assert_eq!(code(acted), denied, "{case}");
                let dry_run = inside.dry_run(&workspace(at), action.clone()).await;
                assert_eq!(code(dry_run), denied, "{case}");
            }
        }
    }
    // None of these was carried out.
    let list = dev
        .keyroll(["secret", "list", "--json"])
        .run()
        .code(0)
        .rows();
    assert_eq!(
        (list.len(), &list[0]["version"]),
        (1, &1.into()),
        "{list:?}"
    );
    // The allowed members succeed, among them an editor limited to a pattern.
    let editor = dev.member("eve", "editor", "db_*");
    let editor = dev.client_as(&editor).await;
    assert_eq!(brought(&editor, &workspace("demo"), id).await, [None; 4]);
    let removed = editor.execute(&workspace("demo"), remove()).await;
    // A member limited to some names may not learn which workflows exist.
    assert_eq!(code(removed), Some(Code::Denied));
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_follows_the_table() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let (size, time) = (TreeSize(2), now());
    let then = PointInTime { size, time };
    let stranger = dev.client_as(&dev.person("stranger")).await;
    for role in Role::ALL {
        let who = dev.member(&format!("{}1", role.as_str()), role.as_str(), "*");
        let narrow = dev.member(&format!("{}2", role.as_str()), role.as_str(), "Mail_*");
        let (inside, scoped) = (dev.client_as(&who).await, dev.client_as(&narrow).await);
        let (demo, other) = (workspace("demo"), workspace("other"));
        for (ask, permission, names) in questions(then) {
            let case = format!("{role:?} {ask:?}");
            let may = |may: bool| (!may).then_some(Code::Denied);
            let here = inside.query(Some(&demo), ask.clone()).await;
            assert_eq!(code(here), may(allows(role, permission)), "{case}");
            let elsewhere = inside.query(Some(&other), ask.clone()).await;
            assert_eq!(code(elsewhere), may(false), "{case} in other");
            let without = scoped.query(Some(&demo), ask.clone()).await;
            let lets = allows(role, permission) && !names;
            assert_eq!(code(without), may(lets), "{case} out of scope");
            let outside = stranger.query(Some(&demo), ask).await;
            assert_eq!(code(outside), may(false), "{case} of a stranger");
        }
        for ask in operators_questions() {
            let asked = inside.query(None, ask.clone()).await;
            assert_eq!(code(asked), Some(Code::Denied), "{role:?} {ask:?}");
        }
        // A receipt is for the sender of the command, and for members only.
        let command = CommandId([7; 16]);
        let receipt = || Question::Receipt(ReceiptQuery { command });
        let asked = inside.query(Some(&demo), receipt()).await;
        assert_eq!(code(asked), Some(Code::NotFound), "{role:?}");
        let asked = inside.query(Some(&other), receipt()).await;
        assert_eq!(code(asked), Some(Code::Denied), "{role:?}");
    }
}
