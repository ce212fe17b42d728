//! Every role, every action, in every workspace: through the command line and as signed requests.

mod purposes;

use ed25519_dalek::SigningKey;
use keyroll_core::command::{
    AgentUse, BlockRun, BlockUse, MemberConfirm, MemberInvite, MemberRecord, MemberRemove,
    MemberRevoke, Nothing, Purpose, RevealItem, SecretDescribe, SecretDestroy, SecretRef,
    SecretRename, SecretReveal, SessionRef, SignInClose, WorkflowSave,
};
use keyroll_core::names::Label;
use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::{
    Action, Blob, Code, Command, Entry, Event, Glob, Identity, Index, Rejection, SecretId,
    TreeSize, cbor, cose,
};
use keyroll_tests::harness::raw::{self, identity};
use keyroll_tests::harness::{Dev, Nats, Person};
use keyroll_wire::query::{
    AuditCommits, AuditLog, AuditProve, CommandDryRun, MemberList, SecretHistory, SecretList,
    SecretShow,
};
use keyroll_wire::reply::ReplyBody;
use keyroll_wire::time::now;
use keyroll_wire::{Query, Question, Reply};

const VALUE: &str = "the value of it";

/// Every purpose of a reveal, with the row of the role table that it needs.
fn purposes() -> [(Purpose, Permission); 6] {
    let label = |text: &str| text.parse::<Label>().expect("a label");
    let agent = AgentUse {
        run: Some(label("r")),
        name: label("sidecar"),
        max_age: Some(60),
    };
    let block = BlockRun {
        run: label("r"),
        block: label("b"),
        workflow: label("w"),
    };
    [
        (Purpose::View(Nothing {}), Permission::Reveal),
        (Purpose::Copy(Nothing {}), Permission::Reveal),
        (Purpose::Export(Nothing {}), Permission::Reveal),
        (Purpose::Run(Nothing {}), Permission::Use),
        (Purpose::Agent(agent), Permission::Use),
        (Purpose::Block(block), Permission::Use),
    ]
}

fn reveal(name: &str, purpose: Purpose, session: SessionRef) -> Action {
    Action::SecretReveal(SecretReveal {
        names: vec![RevealItem {
            id: None,
            name: name.parse().expect("a name"),
            version: None,
        }],
        reason: None,
        purpose,
        session,
    })
}

/// Every action that any member may request and that carries no value, on an existing secret.
fn actions(id: SecretId, session: SessionRef) -> Vec<(Action, Permission)> {
    let name = || "Db_main".parse().expect("a name");
    let label = |text: &str| text.parse::<Label>().expect("a label");
    let reference = || SecretRef { id, name: name() };
    let member = || MemberRecord {
        name: "x".parse().expect("a name"),
        role: Role::Owner,
        member: keyroll_core::MemberId([3; 32]),
        expires: None,
        secrets: vec![Glob::any()],
    };
    let mut all: Vec<_> = purposes()
        .into_iter()
        .map(|(purpose, permission)| (reveal("Db_main", purpose, session), permission))
        .collect();
    all.extend(vec![
        (
            Action::SecretDescribe(SecretDescribe {
                id,
                name: name(),
                hosts: None,
                restricted: None,
                description: Some("again".parse().expect("words")),
                rotate_every: None,
            }),
            Permission::Write,
        ),
        (
            Action::SecretRename(SecretRename {
                id,
                to: "Db_other".parse().expect("a name"),
                name: name(),
            }),
            Permission::Write,
        ),
        (Action::SecretDelete(reference()), Permission::Write),
        (Action::SecretRestore(reference()), Permission::Write),
        (
            Action::WorkflowSave(WorkflowSave {
                blocks: vec![BlockUse {
                    name: label("b"),
                    secrets: vec![name()],
                }],
                workflow: label("w"),
            }),
            Permission::Write,
        ),
        (
            Action::SecretDestroy(SecretDestroy {
                id,
                name: name(),
                versions: None,
            }),
            Permission::Manage,
        ),
        (Action::KeyRotate(Nothing {}), Permission::Manage),
        (Action::MemberAdd(member()), Permission::Manage),
        (Action::MemberChange(member()), Permission::Manage),
        (
            Action::MemberInvite(MemberInvite {
                key: Identity([7; 32]),
                name: "y".parse().expect("a name"),
                role: Role::Viewer,
                renews: None,
                expires: None,
                secrets: vec![Glob::any()],
                principal: None,
            }),
            Permission::Manage,
        ),
        (
            Action::MemberConfirm(MemberConfirm {
                key: Identity([8; 32]),
                member: keyroll_core::MemberId([4; 32]),
            }),
            Permission::Manage,
        ),
        (
            Action::MemberRevoke(MemberRevoke {
                key: Identity([8; 32]),
            }),
            Permission::Manage,
        ),
        (
            Action::MemberRemove(MemberRemove {
                member: keyroll_core::MemberId([4; 32]),
            }),
            Permission::Manage,
        ),
        (
            Action::SignInClose(SignInClose {
                key: Identity([5; 32]),
                member: Some(keyroll_core::MemberId([6; 32])),
            }),
            Permission::Manage,
        ),
    ]);
    all
}

/// A member's session in a workspace.
async fn session(dev: &Dev, who: &Person, place: &str) -> SessionRef {
    let client = dev.client_as(who).await;
    let session = client.session(&place.parse().expect("a name"));
    session.expect("a session").reference
}

fn questions() -> Vec<(Question, Permission)> {
    let named = || SecretShow {
        at: None,
        name: "Db_main".parse().expect("a name"),
    };
    let list = SecretList {
        limit: 10,
        ..SecretList::default()
    };
    let log = AuditLog {
        limit: 10,
        ..AuditLog::default()
    };
    vec![
        (Question::SecretList(list), Permission::Read),
        (
            Question::SecretHistory(SecretHistory {
                name: named().name,
                limit: 100,
                before: None,
            }),
            Permission::Read,
        ),
        (
            Question::MemberList(MemberList {
                limit: 100,
                ..MemberList::default()
            }),
            Permission::Read,
        ),
        (Question::AuditLog(log), Permission::Audit),
        (
            Question::AuditCommits(AuditCommits { first: Index(0) }),
            Permission::Audit,
        ),
        (
            Question::AuditProve(AuditProve { index: Index(0) }),
            Permission::Audit,
        ),
    ]
}

/// The code of a command's refusal; `None` when it was carried out. A dry run of the same bytes has
/// given the same before.
async fn outcome(
    dev: &Dev,
    nats: &Nats,
    who: &Person,
    place: &str,
    action: Action,
) -> Option<Code> {
    let key = identity(&who.home.join("identity.pem"));
    let mut command = dev.command(action);
    command.workspace = place.parse().expect("a name");
    let signed = Blob(cose::sign(&command, &key));
    let dry_run = Question::CommandDryRun(CommandDryRun { command: signed });
    let foreseen = asked(dev, nats, who, place, dry_run).await;
    assert!(!holds_value(&foreseen), "a value in a dry run");
    let outcome = carried_out(nats, place, &command, &key).await;
    assert_eq!(code_of(&foreseen), outcome, "a dry run of {command:?}");
    outcome
}

async fn carried_out(
    nats: &Nats,
    place: &str,
    command: &Command,
    key: &SigningKey,
) -> Option<Code> {
    let subject = format!("keyroll.v1.{place}.command");
    let reply = nats.request(&subject, raw::signed(command, key)).await;
    assert!(!holds_value(&reply.payload), "a value in a reply");
    let answer: keyroll_wire::CommandReply = cbor::decode(&reply.payload).expect("a reply");
    match answer {
        keyroll_wire::CommandReply::Refused(signed) => Some(rejected(&signed.0).code),
        keyroll_wire::CommandReply::Committed(done) => {
            let entry: Entry = cbor::decode(&done.receipt.entry.0).expect("an entry");
            let denied = |event: &Event| matches!(event, Event::AccessDenied(_));
            let denied = entry.events.iter().any(denied);
            assert!(!denied || done.released.is_empty(), "released and denied");
            denied.then_some(Code::Denied)
        }
    }
}

fn rejected(signed: &[u8]) -> Rejection {
    let reply = cose::open::<Reply>(signed).expect("a signed reply").payload;
    match reply.body {
        ReplyBody::Error(rejection) => rejection,
        ReplyBody::Answer(_) => panic!("an answer in place of a refusal"),
    }
}

fn holds_value(bytes: &[u8]) -> bool {
    bytes
        .windows(VALUE.len())
        .any(|part| part == VALUE.as_bytes())
}

async fn asked(dev: &Dev, nats: &Nats, who: &Person, place: &str, ask: Question) -> Vec<u8> {
    let query = Query {
        v: 1,
        at: now(),
        ask,
        seen: TreeSize(0),
        ledger: dev.ledger(),
        workspace: Some(place.parse().expect("a name")),
        member: None,
        delegation: None,
    };
    let key = identity(&who.home.join("identity.pem"));
    let subject = format!("keyroll.v1.{place}.query");
    let reply = nats.request(&subject, cose::sign(&query, &key)).await;
    reply.payload.to_vec()
}

fn code_of(reply: &[u8]) -> Option<Code> {
    let reply = cose::open::<Reply>(reply).expect("a signed reply").payload;
    match reply.body {
        ReplyBody::Error(rejection) => Some(rejection.code),
        ReplyBody::Answer(_) => None,
    }
}

fn secret_id(dev: &Dev, name: &str) -> SecretId {
    let shown = dev.keyroll(["secret", "show", name, "--json"]);
    let shown = shown.run().code(0).json();
    shown["id"].as_str().expect("an id").parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_holds_for_signed_requests_in_every_workspace() {
    let dev = Dev::start();
    dev.create("Db_main", VALUE);
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let other = ["-w", "other", "secret", "create", "Db_main", "--stdin"];
    dev.keyroll(other).stdin(VALUE).run().code(0);
    let nats = dev.nats().await;
    for role in Role::ALL {
        // One member for all names, and one for a pattern that no secret fits.
        let inside = dev.member(&format!("{}1", role.as_str()), role.as_str(), "*");
        let narrow = dev.member(&format!("{}2", role.as_str()), role.as_str(), "Mail_*");
        let begun = session(&dev, &inside, "demo").await;
        for (action, permission) in actions(secret_id(&dev, "Db_main"), begun) {
            let case = format!("{role:?} {}", action.name());
            // In another workspace no one has rights, whatever the role here.
            let elsewhere = outcome(&dev, &nats, &inside, "other", action.clone()).await;
            assert_eq!(elsewhere, Some(Code::Denied), "{case} in other");
            let about_name = !action.names().is_empty() || permission == Permission::Manage;
            if about_name {
                let scoped = outcome(&dev, &nats, &narrow, "demo", action.clone()).await;
                assert_eq!(scoped, Some(Code::Denied), "{case} out of scope");
            }
            if !allows(role, permission) {
                let refused = outcome(&dev, &nats, &inside, "demo", action).await;
                assert_eq!(refused, Some(Code::Denied), "{case}");
            }
        }
        for (ask, permission) in questions() {
            let case = format!("{role:?} {ask:?}");
            let elsewhere = asked(&dev, &nats, &inside, "other", ask.clone()).await;
            assert_eq!(code_of(&elsewhere), Some(Code::Denied), "{case} in other");
            let here = asked(&dev, &nats, &inside, "demo", ask.clone()).await;
            let expected = (!allows(role, permission)).then_some(Code::Denied);
            assert_eq!(code_of(&here), expected, "{case}");
            if let Question::SecretHistory(_) = ask {
                let scoped = asked(&dev, &nats, &narrow, "demo", ask).await;
                assert_eq!(code_of(&scoped), Some(Code::Denied), "{case} out of scope");
            }
        }
    }
    // None of these was carried out, and the other workspace recorded no attempt.
    let shown = dev.keyroll(["secret", "reveal", "Db_main"]).run().code(0);
    shown.stdout(VALUE);
    let elsewhere = dev.keyroll(["-w", "other", "audit", "log", "--json"]);
    assert_eq!(elsewhere.run().code(0).rows().len(), 2);
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_whom_the_table_allows_get_through() {
    let dev = Dev::start();
    dev.create("Db_main", VALUE);
    let nats = dev.nats().await;
    for role in Role::ALL {
        let who = dev.member(&format!("{}1", role.as_str()), role.as_str(), "db_*");
        let begun = session(&dev, &who, "demo").await;
        for (action, permission) in actions(secret_id(&dev, "Db_main"), begun) {
            // Of the actions that change the secret for later ones, only repeatable ones are tried.
            let reveals = matches!(permission, Permission::Reveal | Permission::Use);
            if !(reveals || matches!(action, Action::SecretDescribe(_))) {
                continue;
            }
            let case = format!("{role:?} {}", action.name());
            let got = outcome(&dev, &nats, &who, "demo", action).await;
            let expected = (!allows(role, permission)).then_some(Code::Denied);
            assert_eq!(got, expected, "{case}");
        }
        let print = ["printenv", "Db_main"];
        let run = [
            &["run", "--only", "Db_main", "--no-masking", "--"],
            &print[..],
        ]
        .concat();
        for (words, permission) in [
            (
                &["secret", "reveal", "Db_main"] as &[&str],
                Permission::Reveal,
            ),
            (&["export", "--format", "dotenv"], Permission::Reveal),
            (&run, Permission::Use),
            (&["secret", "show", "Db_main"], Permission::Read),
            (&["secret", "history", "Db_main"], Permission::Read),
            (&["audit", "prove", "0"], Permission::Audit),
        ] {
            let run = dev.keyroll_as(&who, words).run();
            let run = run.code(if allows(role, permission) { 0 } else { 4 });
            let reveals = matches!(permission, Permission::Reveal | Permission::Use);
            if reveals && allows(role, permission) {
                run.stdout_has(VALUE);
            } else {
                run.lacks(VALUE);
            }
        }
    }
    dev.verifies();
}

/// A reply without the requested name and the parts that belong to one request.
fn bare(reply: &[u8], name: &str) -> (Code, String, TreeSize, usize) {
    let reply = cose::open::<Reply>(reply).expect("a signed reply").payload;
    let ReplyBody::Error(rejection) = reply.body else {
        panic!("an answer")
    };
    let message = rejection.message.replace(name, "NAME");
    (rejection.code, message, reply.size, reply.consistency.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn not_found_and_denied_look_alike() {
    let dev = Dev::start();
    dev.create("Secret_one", VALUE);
    dev.create("Secret_del", VALUE);
    dev.keyroll(["secret", "delete", "Secret_del", "--yes"])
        .run()
        .code(0);
    let nats = dev.nats().await;
    let who = dev.member("nora", "editor", "Mine_*");
    let stranger = dev.person("stranger");
    for person in [&who, &stranger] {
        let mut seen = Vec::new();
        for name in ["Secret_one", "Secret_del", "Secret_not"] {
            let named = || SecretShow {
                at: None,
                name: name.parse().expect("a name"),
            };
            let show = asked(&dev, &nats, person, "demo", Question::SecretShow(named())).await;
            let history = asked(
                &dev,
                &nats,
                person,
                "demo",
                Question::SecretHistory(SecretHistory {
                    name: named().name,
                    limit: 100,
                    before: None,
                }),
            )
            .await;
            seen.push((bare(&show, name), bare(&history, name)));
            assert_eq!(show.len(), history.len(), "nor by length");
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        assert_eq!(seen[0].0.0, Code::Denied);
    }
    // A refused caller gets the same answer for a workspace that does not exist.
    let ask = || {
        Question::MemberList(MemberList {
            limit: 100,
            ..MemberList::default()
        })
    };
    let one = asked(&dev, &nats, &stranger, "demo", ask()).await;
    let none = asked(&dev, &nats, &stranger, "nono", ask()).await;
    assert_eq!(bare(&one, "demo"), bare(&none, "nono"));
    assert_eq!(one.len(), none.len());
    // Commands: the message, and the entry that it becomes, differ only in the name.
    for name in ["Secret_one", "Secret_not"] {
        let run = dev
            .keyroll_as(&who, ["--json", "secret", "reveal", name])
            .run();
        let said = run.code(4).error_code("denied").message();
        let words = "secret.reveal: a name is outside the patterns you were given";
        assert!(said.starts_with(words), "{said}");
    }
    let tries = ["audit", "log", "--secret", "secret_not", "--json"];
    let rows = dev.keyroll(tries).run().code(0).rows();
    assert_eq!(rows.len(), 1, "a try at a name that no secret has");
    assert_eq!(rows[0]["type"], "access.denied");
}
