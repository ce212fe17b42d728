//! Every action as a signed command, and every event in an entry beside its command.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{
    AgentUse, BlockRun, BlockUse, DelegationRevoke, DenialCount, DenialsSummarize, KeyErase,
    LogTruncate, LostValue, MemberRecord, MemberRemove, Nothing, Purpose, RevealItem, SecretCreate,
    SecretDescribe, SecretDestroy, SecretEdit, SecretImport, SecretRef, SecretRename, SecretReveal,
    SecretRollback, SignInClose, StoredAt, ValueErase, ValuesLose, ValuesSweep, WorkflowRemove,
    WorkflowSave,
};
use keyroll_core::event::{
    AccessDenied, DelegationRevoked, DenialReason, KeyRotated, Revealed, SecretDestroyed,
    SecretRevealed, SignInClosed, SignInOpened, Stored,
};
use keyroll_core::roles::Role;
use keyroll_core::{
    Action, Blob, Command, Digest, Entry, Epoch, Event, MemberId, Millis, ObjectId, SecretName,
    TreeSize, Version, cose,
};
use serde_json::{Value, json};

use crate::forms;
use crate::invitations;
use crate::world::{World, fixed, member, public};

pub(crate) const VALUE: &[u8] = b"correct horse battery staple";

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

pub(crate) fn member_add(who: &SigningKey, called: &str, role: Role, globs: &[&str]) -> Action {
    Action::MemberAdd(MemberRecord {
        name: called.parse().expect("a member's name"),
        role,
        member: member(who),
        expires: None,
        secrets: globs
            .iter()
            .map(|glob| glob.parse().expect("a pattern"))
            .collect(),
    })
}

pub(crate) fn create(world: &World) -> Action {
    let secret = world.new_secret("STRIPE_KEY", VALUE, true);
    Action::SecretCreate(SecretCreate {
        secret,
        session: world.session_ref(),
    })
}

pub(crate) fn import(world: &World) -> Action {
    let secrets = vec![
        world.new_secret("SMTP_PASSWORD", b"first of two", false),
        world.new_secret("PEM", &[b'x'; 300], false),
    ];
    Action::SecretImport(SecretImport {
        secrets,
        session: world.session_ref(),
    })
}

fn edit_fields(world: &World, version: u32, value: &[u8]) -> SecretEdit {
    let sealed = world.seal("STRIPE_KEY", version, value);
    SecretEdit {
        id: sealed.id,
        name: name("STRIPE_KEY"),
        size: sealed.size(),
        digest: sealed.digest(),
        reason: Some("rotated after an incident".parse().expect("text")),
        session: world.session_ref(),
        version: sealed.version,
    }
}

pub(crate) fn edit(world: &World) -> Action {
    Action::SecretEdit(edit_fields(world, 2, b"another value"))
}

pub(crate) fn rollback(world: &World) -> Action {
    let edit = SecretEdit {
        reason: None,
        ..edit_fields(world, 3, VALUE)
    };
    Action::SecretRollback(SecretRollback {
        edit,
        from: Version(1),
    })
}

pub(crate) fn describe(world: &World) -> Action {
    Action::SecretDescribe(SecretDescribe {
        id: secret_ref(world).id,
        name: name("STRIPE_KEY"),
        hosts: Some(vec!["api.example.com".parse().expect("a host")]),
        restricted: Some(true),
        description: None,
        rotate_every: Some(0),
    })
}

pub(crate) fn rename(world: &World) -> Action {
    Action::SecretRename(SecretRename {
        id: secret_ref(world).id,
        to: name("STRIPE_LIVE_KEY"),
        name: name("STRIPE_KEY"),
    })
}

pub(crate) fn secret_ref(world: &World) -> SecretRef {
    SecretRef {
        id: world.seal("STRIPE_KEY", 1, VALUE).id,
        name: name("STRIPE_KEY"),
    }
}

pub(crate) fn reveal(world: &World, purpose: Purpose) -> Action {
    Action::SecretReveal(SecretReveal {
        names: vec![RevealItem {
            id: None,
            name: name("STRIPE_KEY"),
            version: None,
        }],
        reason: None,
        purpose,
        session: world.session_ref(),
    })
}

pub(crate) fn block_purpose() -> Purpose {
    let label = |text: &str| text.parse().expect("a label");
    Purpose::Block(BlockRun {
        run: label("run-42"),
        block: label("charge"),
        workflow: label("billing"),
    })
}

pub(crate) fn agent_purpose(full: bool) -> Purpose {
    Purpose::Agent(AgentUse {
        run: full.then(|| "run-7".parse().expect("a label")),
        name: "sidecar".parse().expect("a label"),
        max_age: full.then_some(60),
    })
}

fn reveal_with_everything(world: &World) -> Action {
    let full = RevealItem {
        id: Some(secret_ref(world).id),
        name: name("STRIPE_KEY"),
        version: Some(Version(1)),
    };
    let bare = RevealItem {
        id: None,
        name: name("SMTP_PASSWORD"),
        version: None,
    };
    Action::SecretReveal(SecretReveal {
        names: vec![full, bare],
        reason: Some("looking into ticket 7".parse().expect("text")),
        purpose: Purpose::View(Nothing {}),
        session: world.session_ref(),
    })
}

fn change(world: &World) -> Action {
    Action::MemberChange(MemberRecord {
        name: "Bob".parse().expect("a member's name"),
        role: Role::Reader,
        member: member(&world.bob),
        expires: Some(Millis(crate::world::START + 7_200_000)),
        secrets: vec![
            "STRIPE_*".parse().expect("a pattern"),
            "SMTP_?*".parse().expect("a pattern"),
        ],
    })
}

fn workflow_save() -> Action {
    let block = BlockUse {
        name: "charge".parse().expect("a label"),
        secrets: vec![name("STRIPE_KEY")],
    };
    Action::WorkflowSave(WorkflowSave {
        blocks: vec![block],
        workflow: "billing".parse().expect("a label"),
    })
}

fn stored_value(world: &World, action: &Action, item: u32, digest: &Digest) -> Stored {
    let id = world.command(0, action.clone()).id;
    Stored {
        item,
        epoch: Epoch(1),
        place: ObjectId::of(&member(&world.alice), &id, item, digest),
    }
}

fn stored(world: &World, action: &Action) -> Vec<Stored> {
    let values = action.values();
    (0_u32..)
        .zip(&values)
        .map(|(item, (_, _, digest, _))| stored_value(world, action, item, digest))
        .collect()
}

fn revealed(world: &World) -> Event {
    let one = |called: &str, value: &[u8], hosts: &[&str]| {
        let sealed = world.seal(called, 1, value);
        Revealed {
            id: sealed.id,
            name: name(called),
            hosts: hosts
                .iter()
                .map(|host| host.parse().expect("a host"))
                .collect(),
            digest: sealed.digest(),
            version: sealed.version,
        }
    };
    let secrets = vec![
        one(
            "STRIPE_KEY",
            VALUE,
            &["api.example.com", "*.example.org:8443"],
        ),
        one("SMTP_PASSWORD", b"first of two", &[]),
    ];
    Event::SecretRevealed(SecretRevealed { secrets })
}

type Act = (Action, Vec<Event>);

/// Actions on values and on the properties of secrets.
fn on_secrets(world: &World) -> Vec<Act> {
    let none = Nothing {};
    let made = |action: Action, event: fn(Stored) -> Event| {
        let events = stored(world, &action).into_iter().map(event).collect();
        (action, events)
    };
    let SecretRef { id, name } = secret_ref(world);
    let versions = vec![Version(1), Version(2)];
    let destroyed = Event::SecretDestroyed(SecretDestroyed {
        versions: versions.clone(),
    });
    let destroy = SecretDestroy {
        id,
        name,
        versions: Some(versions),
    };
    vec![
        made(create(world), Event::SecretCreated),
        made(import(world), Event::SecretCreated),
        made(edit(world), Event::SecretEdited),
        made(rollback(world), Event::SecretEdited),
        (describe(world), vec![Event::SecretDescribed(none)]),
        (rename(world), vec![Event::SecretRenamed(none)]),
        (reveal_with_everything(world), vec![revealed(world)]),
        (
            Action::SecretDelete(secret_ref(world)),
            vec![Event::SecretDeleted(none)],
        ),
        (
            Action::SecretRestore(secret_ref(world)),
            vec![Event::SecretRestored(none)],
        ),
        (Action::SecretDestroy(destroy), vec![destroyed]),
    ]
}

/// Actions on the workspace, its members and workflows.
fn on_workspace(world: &World) -> Vec<Act> {
    let none = Nothing {};
    let (alice, bob) = (member(&world.alice), member(&world.bob));
    let add = member_add(&world.bob, "Bob", Role::Viewer, &["*"]);
    let remove = Action::MemberRemove(MemberRemove { member: bob });
    let workflow = "billing".parse().expect("a label");
    let revoke = DelegationRevoke {
        key: public(&world.console),
        identity: Some(alice),
    };
    let revoke_by_key = DelegationRevoke {
        key: public(&world.console),
        identity: None,
    };
    let by_key = DelegationRevoked {
        identities: vec![alice],
    };
    let rotated = Event::KeyRotated(KeyRotated { epoch: Epoch(2) });
    vec![
        (
            Action::WorkspaceCreate(none),
            vec![Event::WorkspaceCreated(world.created())],
        ),
        (add, vec![Event::MemberAdded(none)]),
        (change(world), vec![Event::MemberChanged(none)]),
        (remove, vec![Event::MemberRemoved(none)]),
        (workflow_save(), vec![Event::WorkflowSaved(none)]),
        (
            Action::WorkflowRemove(WorkflowRemove { workflow }),
            vec![Event::WorkflowRemoved(none)],
        ),
        (Action::KeyRotate(none), vec![rotated]),
        (
            Action::DelegationRevoke(revoke),
            vec![Event::DelegationRevoked(DelegationRevoked::default())],
        ),
        (
            Action::DelegationRevoke(revoke_by_key),
            vec![Event::DelegationRevoked(by_key)],
        ),
    ]
}

/// Actions of the ledger's own key.
fn of_ledger(world: &World) -> Vec<Act> {
    let none = Nothing {};
    let (id, version) = (secret_ref(world).id, Version(2));
    let erase = ValueErase {
        id,
        versions: vec![Version(1), version],
    };
    let sweep = ValuesSweep {
        places: vec![StoredAt {
            epoch: Epoch(1),
            place: ObjectId(fixed("orphan")),
        }],
    };
    let lose = ValuesLose {
        values: vec![LostValue { id, version }],
    };
    let denials = vec![DenialCount {
        count: 37,
        member: member(&world.bob),
    }];
    let summary = Action::DenialsSummarize(DenialsSummarize { denials });
    let truncate = Action::LogTruncate(LogTruncate {
        size: TreeSize(1_000),
    });
    vec![
        (Action::ValueErase(erase), vec![Event::ValueErased(none)]),
        (Action::ValuesSweep(sweep), vec![Event::ValuesSwept(none)]),
        (Action::ValuesLose(lose), vec![Event::ValuesLost(none)]),
        (
            Action::KeyErase(KeyErase { epoch: Epoch(1) }),
            vec![Event::KeyErased(none)],
        ),
        (truncate, vec![Event::LogTruncated(none)]),
        (summary, vec![Event::DenialsSummarized(none)]),
    ]
}

/// Sign-ins, which are signed for alice by the console's key.
fn of_sign_ins(world: &World) -> Vec<Act> {
    let open = world.sign_in();
    let (key, until, alice) = (open.key, open.until, member(&world.alice));
    let opened = Event::SignInOpened(SignInOpened {
        until,
        member: alice,
    });
    let oldest = Some(public(&world.nightly));
    let close = |member: Option<MemberId>| Action::SignInClose(SignInClose { key, member });
    let closed = |key| Event::SignInClosed(SignInClosed { key });
    vec![
        (Action::SignInOpen(open.clone()), vec![opened.clone()]),
        (Action::SignInOpen(open), vec![closed(oldest), opened]),
        (close(None), vec![closed(None)]),
        (close(Some(alice)), vec![closed(None)]),
        (
            edit(world),
            vec![Event::SecretEdited(stored(world, &edit(world))[0])],
        ),
    ]
}

/// Every action with the events that it causes, and the key that may sign it.
fn all(world: &World) -> Vec<(Act, &SigningKey)> {
    let by = |acts: Vec<Act>, key| acts.into_iter().map(move |act| (act, key));
    by(on_workspace(world), &world.alice)
        .chain(by(on_secrets(world), &world.alice))
        .chain(by(invitations::of_owner(world), &world.alice))
        .chain(by(of_ledger(world), &world.online))
        .collect()
}

/// A command signed by the console's key, for alice.
pub(crate) fn delegated(world: &World, minute: u64, action: Action) -> Vec<u8> {
    let delegation = Some(Blob(world.delegation()));
    cose::sign(
        &Command {
            delegation,
            ..world.command(minute, action)
        },
        &world.console,
    )
}

pub(crate) fn commands(world: &World) -> Value {
    let form =
        |called: &str, bytes: &[u8]| forms::signed::<Command>(called, "signed-command", bytes);
    let mut list: Vec<Value> = all(world)
        .into_iter()
        .map(|((action, _), key)| {
            form(
                action.name(),
                &cose::sign(&world.command(0, action.clone()), key),
            )
        })
        .collect();
    let purposes = [
        Purpose::View(Nothing {}),
        Purpose::Copy(Nothing {}),
        Purpose::Run(Nothing {}),
        Purpose::Export(Nothing {}),
        block_purpose(),
        agent_purpose(true),
        agent_purpose(false),
    ];
    for purpose in purposes {
        let signed = cose::sign(&world.command(1, reveal(world, purpose)), &world.alice);
        list.push(form("secret.reveal for another purpose", &signed));
    }
    list.push(form(
        "secret.edit under a delegation",
        &delegated(world, 2, edit(world)),
    ));
    for (action, _) in invitations::of_code(world) {
        let command = world.command(0, action);
        let signed = cose::sign(&command, &invitations::code_key(world));
        list.push(form("member.accept", &signed));
    }
    for (action, _) in of_sign_ins(world) {
        let called = format!("{} through a sign-in", action.name());
        list.push(form(&called, &world.signed_in(0, action)));
    }
    json!({ "about": "Every action as a signed command.", "forms": list })
}

pub(crate) fn entries(world: &World) -> Value {
    let form = |called: &str, command: Vec<u8>, events: Vec<Event>| {
        let entry = Entry {
            at: Millis(crate::world::START + 5),
            events,
            command: command.into(),
        };
        forms::plain(called, "entry", &entry)
    };
    let mut list: Vec<Value> = all(world)
        .into_iter()
        .map(|((action, events), key)| {
            form(
                events[0].kind().name,
                cose::sign(&world.command(0, action), key),
                events,
            )
        })
        .collect();
    for (action, events) in invitations::of_code(world) {
        let command = cose::sign(&world.command(0, action), &invitations::code_key(world));
        list.push(form("member.accepted", command, events));
    }
    for (action, events) in of_sign_ins(world) {
        let called = format!("{} through a sign-in", events[0].kind().name);
        list.push(form(&called, world.signed_in(0, action), events));
    }
    let reasons = [
        DenialReason::Expired,
        DenialReason::Role,
        DenialReason::Scope,
        DenialReason::Restricted,
        DenialReason::Delegation,
        DenialReason::SignIn,
        DenialReason::OwnKey,
    ];
    for reason in reasons {
        let command = cose::sign(&world.command(0, Action::KeyRotate(Nothing {})), &world.bob);
        list.push(form(
            "access.denied",
            command,
            vec![Event::AccessDenied(AccessDenied { reason })],
        ));
    }
    json!({
        "about": "Every event in an entry, beside the command it came of. The entries do not follow each other: \
                  log.json is a log.",
        "forms": list,
    })
}
