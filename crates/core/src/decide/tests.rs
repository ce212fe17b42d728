//! Given a history, when a command comes, then these events or this refusal.

mod erasure;
mod recovery;
mod workflows;

use ed25519_dalek::SigningKey;
use keyroll_merkle::leaf_hash;

use super::{Authority, decide};
use crate::authorize::Role;
use crate::command::*;
use crate::cose;
use crate::entry::{Entry, Recorded};
use crate::event::{AccessDenied, DenialReason, Event, WorkspaceCreated};
use crate::ids::*;
use crate::limits;
use crate::names::*;
use crate::rejection::{Code, Rejection};
use crate::state::{Lifecycle, State};
use crate::statement::Delegation;
use crate::{cbor, crypto};

const START: u64 = 1_800_000_000_000;
const LEDGER: LedgerId = LedgerId([1; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn id(seed: u8) -> Identity {
    Identity(key(seed).verifying_key().to_bytes())
}

const OWNER: u8 = 10;
const ONLINE: u8 = 2;

fn name(text: &str) -> SecretName {
    text.parse().expect("name")
}

fn sid(seed: u8) -> SecretId {
    SecretId([seed; 16])
}

fn session() -> SessionRef {
    SessionRef {
        enc: Encapsulated([8; 32]),
        period: 1,
    }
}

fn size() -> u32 {
    crypto::sealed_size(1)
        .and_then(|size| u32::try_from(size).ok())
        .expect("size")
}

fn new(seed: u8, called: &str) -> NewSecret {
    NewSecret {
        id: sid(seed),
        name: name(called),
        size: size(),
        hosts: vec![],
        digest: Digest([seed; 32]),
        restricted: false,
        description: "".parse().expect("text"),
        rotate_every: None,
    }
}

fn create(seed: u8, called: &str) -> Action {
    Action::SecretCreate(SecretCreate {
        secret: new(seed, called),
        session: session(),
    })
}

fn restricted(seed: u8, called: &str) -> Action {
    let secret = NewSecret {
        restricted: true,
        ..new(seed, called)
    };
    Action::SecretCreate(SecretCreate {
        secret,
        session: session(),
    })
}

fn edit_fields(seed: u8, called: &str, version: u32) -> SecretEdit {
    SecretEdit {
        id: sid(seed),
        name: name(called),
        size: size(),
        digest: Digest([seed; 32]),
        reason: None,
        session: session(),
        version: Version(version),
    }
}

fn edit(seed: u8, called: &str, version: u32) -> Action {
    Action::SecretEdit(edit_fields(seed, called, version))
}

fn reference(seed: u8, called: &str) -> SecretRef {
    SecretRef {
        id: sid(seed),
        name: name(called),
    }
}

fn delete(seed: u8, called: &str) -> Action {
    Action::SecretDelete(reference(seed, called))
}

fn restore(seed: u8, called: &str) -> Action {
    Action::SecretRestore(reference(seed, called))
}

fn rename(seed: u8, called: &str, to: &str) -> Action {
    Action::SecretRename(SecretRename {
        id: sid(seed),
        to: name(to),
        name: name(called),
    })
}

fn reveal_for(called: &[&str], purpose: Purpose) -> Action {
    let item = |called: &&str| RevealItem {
        id: None,
        name: name(called),
        version: None,
    };
    let names = called.iter().map(item).collect();
    Action::SecretReveal(SecretReveal {
        names,
        reason: None,
        purpose,
        session: session(),
    })
}

fn reveal(called: &str) -> Action {
    reveal_for(&[called], Purpose::View(Nothing {}))
}

fn block() -> Purpose {
    let label = |text: &str| text.parse().expect("label");
    Purpose::Block(BlockRun {
        run: label("r"),
        block: label("b"),
        workflow: label("w"),
    })
}

fn record(seed: u8, called: &str, role: Role, globs: &[&str]) -> MemberRecord {
    MemberRecord {
        name: called.parse().expect("name"),
        role,
        member: id(seed),
        expires: None,
        secrets: globs
            .iter()
            .map(|glob| glob.parse().expect("glob"))
            .collect(),
    }
}

fn add(seed: u8, called: &str, role: Role, globs: &[&str]) -> Action {
    Action::MemberAdd(record(seed, called, role, globs))
}

/// A history, growing.
struct Given {
    state: State,
    at: u64,
    commands: u8,
}

fn authority(operator: bool) -> Authority {
    let key = WorkspaceCreated {
        key: id(ONLINE),
        serial: 1,
        statement: Blob(vec![]),
    };
    Authority { operator, key }
}

impl Given {
    fn nothing() -> Self {
        Self {
            state: State::new(LEDGER, "demo".parse().expect("name")),
            at: START,
            commands: 0,
        }
    }

    /// The workspace, owned by [`OWNER`].
    fn workspace() -> Self {
        Self::nothing().and(OWNER, Action::WorkspaceCreate(Nothing {}))
    }

    fn command(&self, action: Action) -> Command {
        let mut id = [0; 16];
        id[0] = self.commands;
        Command {
            v: 1,
            at: Millis(self.at),
            id: CommandId(id),
            action,
            ledger: LEDGER,
            workspace: "demo".parse().expect("name"),
            delegation: None,
        }
    }

    fn sign(command: &Command, signer: u8) -> Verified {
        let bytes = cose::sign(command, &key(signer));
        SignedCommand::decode(&bytes)
            .and_then(SignedCommand::verify)
            .expect("signed")
    }

    /// A command that was carried out, now part of the history.
    fn and(mut self, actor: u8, action: Action) -> Self {
        let command = Self::sign(&self.command(action), actor);
        let events =
            decide(&self.state, &command, Millis(self.at), &authority(true)).expect("given");
        self.record(&command, events);
        self
    }

    fn record(&mut self, command: &Verified, events: Vec<Event>) {
        let entry = Entry {
            at: Millis(self.at),
            events: events.clone(),
            command: Blob(command.bytes().to_vec()),
        };
        let recorded = Recorded {
            index: self.state.size().next_index(),
            at: Millis(self.at),
            events,
            command: (**command).clone(),
            leaf: leaf_hash(&cbor::encode(&entry)),
        };
        self.state.apply(&recorded);
        self.commands = self.commands.wrapping_add(1);
    }

    fn later(mut self, ms: u64) -> Self {
        self.at += ms;
        self
    }

    fn when(&self, actor: u8, action: Action) -> Then {
        Then(decide(
            &self.state,
            &Self::sign(&self.command(action), actor),
            Millis(self.at),
            &authority(false),
        ))
    }

    fn when_command(&self, actor: u8, change: impl FnOnce(&mut Command)) -> Then {
        let mut command = self.command(reveal("Key"));
        change(&mut command);
        Then(decide(
            &self.state,
            &Self::sign(&command, actor),
            Millis(self.at),
            &authority(false),
        ))
    }
}

struct Then(Result<Vec<Event>, Rejection>);

impl Then {
    #[track_caller]
    fn rejected(self, code: Code) {
        assert_eq!(self.0.map_err(|rejection| rejection.code), Err(code));
    }

    #[track_caller]
    fn denied(self, reason: DenialReason) {
        assert_eq!(
            self.0,
            Ok(vec![Event::AccessDenied(AccessDenied { reason })])
        );
    }

    #[track_caller]
    fn happens(self, kinds: &[&str]) -> Vec<Event> {
        let events = self.0.expect("accepted");
        assert_eq!(
            events
                .iter()
                .map(|event| event.kind().1)
                .collect::<Vec<_>>(),
            kinds
        );
        events
    }
}

#[test]
fn only_operators_make_workspaces_and_each_once() {
    let given = Given::nothing();
    given
        .when(OWNER, Action::WorkspaceCreate(Nothing {}))
        .rejected(Code::Denied);
    let command = Given::sign(&given.command(Action::WorkspaceCreate(Nothing {})), OWNER);
    let again = Given::workspace();
    assert!(decide(&given.state, &command, Millis(START), &authority(true)).is_ok());
    let twice = decide(&again.state, &command, Millis(START), &authority(true));
    assert_eq!(
        twice.map_err(|rejection| rejection.code),
        Err(Code::Conflict)
    );
    given.when(OWNER, create(1, "Key")).rejected(Code::NotFound);
}

#[test]
fn commands_are_for_one_ledger_and_workspace_and_fresh() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when_command(OWNER, |_| {})
        .happens(&["secret.revealed"]);
    given
        .when_command(OWNER, |c| c.ledger = LedgerId([9; 32]))
        .rejected(Code::WrongLedger);
    given
        .when_command(OWNER, |c| c.workspace = "other".parse().expect("name"))
        .rejected(Code::WrongWorkspace);
    given
        .when_command(OWNER, |c| c.at = Millis(START - limits::FRESH_MS))
        .happens(&["secret.revealed"]);
    given
        .when_command(OWNER, |c| c.at = Millis(START - limits::FRESH_MS - 1))
        .rejected(Code::Stale);
    given
        .when_command(OWNER, |c| c.at = Millis(START + limits::FRESH_MS + 1))
        .rejected(Code::Stale);
    given
        .when_command(OWNER, |c| c.at = Millis(u64::MAX))
        .rejected(Code::Stale);
}

#[test]
fn strangers_and_former_members_are_refused_without_an_entry() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given.when(66, reveal("Key")).rejected(Code::Denied);
    given.when(66, reveal("Nothing")).rejected(Code::Denied);
    let given = given.and(OWNER, add(20, "ana", Role::Editor, &["*"]));
    given.when(20, reveal("Key")).happens(&["secret.revealed"]);
    let given = given.and(OWNER, Action::MemberRemove(MemberRemove { member: id(20) }));
    given.when(20, reveal("Key")).rejected(Code::Denied);
}

#[test]
fn each_role_may_what_the_table_says() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, add(21, "viewer", Role::Viewer, &["*"]))
        .and(OWNER, add(22, "auditor", Role::Auditor, &["*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
    let actions: [(Action, &str); 12] = [
        (reveal("Key"), "++---"),
        (reveal_for(&["Key"], Purpose::Copy(Nothing {})), "++---"),
        (reveal_for(&["Key"], Purpose::Run(Nothing {})), "++---"),
        (reveal_for(&["Key"], Purpose::Export(Nothing {})), "++---"),
        (reveal_for(&["Key"], block()), "++--+"),
        (create(9, "Other"), "++---"),
        (edit(1, "Key", 2), "++---"),
        (rename(1, "Key", "Other"), "++---"),
        (delete(1, "Key"), "++---"),
        (add(30, "new", Role::Viewer, &["*"]), "+----"),
        (
            Action::MemberRemove(MemberRemove { member: id(21) }),
            "+----",
        ),
        (
            Action::DelegationRevoke(DelegationRevoke {
                key: id(40),
                identity: id(41),
            }),
            "+----",
        ),
    ];
    for (action, row) in actions {
        for (actor, cell) in [OWNER, 20, 21, 22, 23].into_iter().zip(row.chars()) {
            let then = given.when(actor, action.clone());
            if cell == '-' {
                then.denied(DenialReason::Role);
            } else {
                let events = then.0.expect("allowed");
                assert!(
                    !matches!(events[0], Event::AccessDenied(_)),
                    "{} by {actor}",
                    action.name()
                );
            }
        }
    }
}

#[test]
fn scopes_hold_for_every_name_and_for_names_that_do_not_exist() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Stripe_Key"))
        .and(OWNER, create(2, "Other"))
        .and(OWNER, add(20, "ana", Role::Editor, &["stripe_*"]));
    given
        .when(20, reveal("Stripe_Key"))
        .happens(&["secret.revealed"]);
    given.when(20, reveal("Other")).denied(DenialReason::Scope);
    given
        .when(20, reveal("Nowhere"))
        .denied(DenialReason::Scope);
    given
        .when(
            20,
            reveal_for(&["Stripe_Key", "Other"], Purpose::View(Nothing {})),
        )
        .denied(DenialReason::Scope);
    given
        .when(20, rename(1, "Stripe_Key", "Mine"))
        .denied(DenialReason::Scope);
    given
        .when(20, rename(1, "Stripe_Key", "Stripe_New"))
        .happens(&["secret.renamed"]);
    given
        .when(20, create(3, "Mine"))
        .denied(DenialReason::Scope);
}

#[test]
fn memberships_end_by_the_time_of_the_log() {
    let ends = MemberRecord {
        expires: Some(Millis(START + 1_000)),
        ..record(20, "ana", Role::Editor, &["*"])
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, Action::MemberAdd(ends.clone()))
        .later(999);
    given.when(20, reveal("Key")).happens(&["secret.revealed"]);
    let given = given.later(1);
    given.when(20, reveal("Key")).denied(DenialReason::Expired);
    given
        .when(OWNER, Action::MemberChange(ends))
        .rejected(Code::InvalidField);
}

#[test]
fn one_lasting_owner_stays() {
    let given = Given::workspace();
    let remove = |seed| Action::MemberRemove(MemberRemove { member: id(seed) });
    given.when(OWNER, remove(OWNER)).rejected(Code::Conflict);
    given
        .when(
            OWNER,
            Action::MemberChange(record(OWNER, "o", Role::Editor, &["*"])),
        )
        .rejected(Code::Conflict);
    given
        .when(
            OWNER,
            Action::MemberChange(record(OWNER, "o", Role::Owner, &["a*"])),
        )
        .rejected(Code::Conflict);
    let ends = MemberRecord {
        expires: Some(Millis(START + 9)),
        ..record(OWNER, "o", Role::Owner, &["*"])
    };
    given
        .when(OWNER, Action::MemberChange(ends.clone()))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, add(20, "ana", Role::Owner, &["*"]));
    given.when(20, remove(OWNER)).happens(&["member.removed"]);
    given
        .when(OWNER, Action::MemberChange(ends))
        .happens(&["member.changed"]);
}

#[test]
fn an_owner_with_bounds_manages_nobody() {
    let ends = MemberRecord {
        expires: Some(Millis(START + 9)),
        ..record(21, "bea", Role::Owner, &["*"])
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Zzz"))
        .and(OWNER, add(20, "ana", Role::Owner, &["zzz*"]))
        .and(OWNER, Action::MemberAdd(ends));
    for actor in [20, 21] {
        given
            .when(actor, reveal("Zzz"))
            .happens(&["secret.revealed"]);
        let lift = Action::MemberChange(record(actor, "free", Role::Owner, &["*"]));
        given.when(actor, lift).denied(DenialReason::Scope);
        given
            .when(actor, add(30, "new", Role::Viewer, &["*"]))
            .denied(DenialReason::Scope);
    }
}

#[test]
fn ended_delegations_are_kept_once_and_not_without_end() {
    let revoke = |key: u8| {
        Action::DelegationRevoke(DelegationRevoke {
            key: Identity([key; 32]),
            identity: id(OWNER),
        })
    };
    let mut given = Given::workspace().and(OWNER, revoke(0));
    given.when(OWNER, revoke(0)).rejected(Code::Conflict);
    for key in 1..=255 {
        given = given.and(OWNER, revoke(key));
    }
    let one_more = DelegationRevoke {
        key: id(1),
        identity: id(OWNER),
    };
    given
        .when(OWNER, Action::DelegationRevoke(one_more))
        .rejected(Code::TooLarge);
}

#[test]
fn members_are_one_per_key_and_name() {
    let given = Given::workspace().and(OWNER, add(20, "ana", Role::Viewer, &["*"]));
    given
        .when(OWNER, add(20, "bob", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, add(21, "ANA", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, add(21, "bob", Role::Viewer, &[]))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, Action::MemberRemove(MemberRemove { member: id(21) }))
        .rejected(Code::NotFound);
    given
        .when(
            OWNER,
            Action::MemberChange(record(21, "bob", Role::Viewer, &["*"])),
        )
        .rejected(Code::NotFound);
    // Who was removed can come back, and the name is free again.
    let given = given.and(OWNER, Action::MemberRemove(MemberRemove { member: id(20) }));
    given
        .when(OWNER, add(21, "ana", Role::Viewer, &["*"]))
        .happens(&["member.added"]);
    given
        .when(OWNER, add(20, "ana", Role::Viewer, &["*"]))
        .happens(&["member.added"]);
}

#[test]
fn names_and_ids_are_taken_once() {
    let given = Given::workspace().and(OWNER, create(1, "API_Key"));
    given
        .when(OWNER, create(2, "api_key"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, create(1, "Other"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, create(2, "Other"))
        .happens(&["secret.created"]);
    // A deleted secret frees its name, never its id.
    let given = given.and(OWNER, delete(1, "API_Key"));
    given
        .when(OWNER, create(1, "API_Key"))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, create(2, "API_Key"));
    given
        .when(OWNER, restore(1, "API_Key"))
        .rejected(Code::Conflict);
}

#[test]
fn an_import_is_all_or_nothing() {
    let import = |secrets: Vec<NewSecret>| {
        Action::SecretImport(SecretImport {
            secrets,
            session: session(),
        })
    };
    let given = Given::workspace().and(OWNER, create(1, "Taken"));
    let made = given.when(OWNER, import(vec![new(2, "A"), new(3, "B")]));
    made.happens(&["secret.created", "secret.created"]);
    given
        .when(OWNER, import(vec![new(2, "A"), new(3, "taken")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![new(2, "A"), new(3, "a")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![new(2, "A"), new(2, "B")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![]))
        .rejected(Code::InvalidField);
}

#[test]
fn an_edit_makes_the_next_version_of_the_secret_it_names() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, create(2, "Other"));
    given
        .when(OWNER, edit(1, "Key", 2))
        .happens(&["secret.edited"]);
    given
        .when(OWNER, edit(1, "Key", 1))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(1, "Key", 3))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(2, "Key", 2))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(3, "Key", 2))
        .rejected(Code::NotFound);
    let odd = SecretEdit {
        size: size() + 1,
        ..edit_fields(1, "Key", 2)
    };
    given
        .when(OWNER, Action::SecretEdit(odd))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, edit(1, "Key", 2)).rejected(Code::Deleted);
}

#[test]
fn a_rollback_names_a_version_that_was() {
    let rollback = |version, from| {
        let edit = edit_fields(1, "Key", version);
        Action::SecretRollback(SecretRollback {
            edit,
            from: Version(from),
        })
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2));
    given
        .when(OWNER, rollback(3, 1))
        .happens(&["secret.edited"]);
    given.when(OWNER, rollback(3, 3)).rejected(Code::NotFound);
    given.when(OWNER, rollback(3, 0)).rejected(Code::NotFound);
    given.when(OWNER, rollback(2, 1)).rejected(Code::Conflict);
}

#[test]
fn what_is_said_of_a_secret_can_change() {
    let describe = |hosts: Option<usize>, restricted| {
        let host = |_| "api.example.com".parse().expect("host");
        Action::SecretDescribe(SecretDescribe {
            id: sid(1),
            name: name("Key"),
            hosts: hosts.map(|count| (0..count).map(host).collect()),
            restricted,
            description: None,
            rotate_every: None,
        })
    };
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, describe(Some(16), None))
        .happens(&["secret.described"]);
    given
        .when(OWNER, describe(Some(17), None))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, describe(None, None))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, describe(Some(1), Some(true)));
    let secret = given.state.secret(&sid(1)).expect("there");
    assert!(secret.restricted && secret.hosts.len() == 1);
}

#[test]
fn what_was_restricted_stays_so() {
    let describe = |restricted| {
        Action::SecretDescribe(SecretDescribe {
            id: sid(1),
            name: name("Key"),
            hosts: None,
            restricted: Some(restricted),
            description: Some("words".parse().expect("text")),
            rotate_every: None,
        })
    };
    let given = Given::workspace().and(OWNER, restricted(1, "Key"));
    given
        .when(OWNER, describe(true))
        .happens(&["secret.described"]);
    given.when(OWNER, describe(false)).rejected(Code::Conflict);
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, describe(false))
        .happens(&["secret.described"]);
    given
        .and(OWNER, describe(true))
        .when(OWNER, describe(false))
        .rejected(Code::Conflict);
}

#[test]
fn a_renamed_secret_is_found_under_its_new_name_only() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, create(2, "Other"));
    given
        .when(OWNER, rename(1, "Key", "other"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, rename(1, "Key", "Key"))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, rename(1, "Key", "KEY"))
        .happens(&["secret.renamed"]);
    let given = given.and(OWNER, rename(1, "Key", "New"));
    given
        .when(OWNER, reveal("New"))
        .happens(&["secret.revealed"]);
    given.when(OWNER, reveal("Key")).rejected(Code::NotFound);
    given
        .when(OWNER, create(3, "Key"))
        .happens(&["secret.created"]);
}

#[test]
fn reveals_name_what_is_there() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2));
    let events = given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
    let Event::SecretRevealed(revealed) = &events[0] else {
        panic!("no reveal")
    };
    assert_eq!(revealed.secrets[0].version, Version(2));
    given.when(OWNER, reveal("key")).rejected(Code::NotFound);
    given
        .when(OWNER, reveal("Nothing"))
        .rejected(Code::NotFound);
    given
        .when(
            OWNER,
            reveal_for(&["Key", "Key"], Purpose::View(Nothing {})),
        )
        .rejected(Code::InvalidField);
    given
        .when(OWNER, reveal_for(&[], Purpose::View(Nothing {})))
        .rejected(Code::InvalidField);
    let exact = |secret: u8, version: u32| {
        let item = RevealItem {
            id: Some(sid(secret)),
            name: name("Key"),
            version: Some(Version(version)),
        };
        let purpose = Purpose::View(Nothing {});
        Action::SecretReveal(SecretReveal {
            names: vec![item],
            reason: None,
            purpose,
            session: session(),
        })
    };
    given.when(OWNER, exact(1, 1)).happens(&["secret.revealed"]);
    given.when(OWNER, exact(1, 3)).rejected(Code::NotFound);
    given.when(OWNER, exact(1, 0)).rejected(Code::NotFound);
    given.when(OWNER, exact(2, 1)).rejected(Code::Conflict);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, reveal("Key")).rejected(Code::Deleted);
    let given = given.and(OWNER, restore(1, "Key"));
    given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
}

#[test]
fn a_reveal_fits_one_reply() {
    let big = |seed: u8| {
        let size = u32::try_from(crypto::sealed_size(65_535).expect("size")).expect("size");
        let secret = NewSecret {
            size,
            ..new(seed, &format!("Key_{seed}"))
        };
        Action::SecretCreate(SecretCreate {
            secret,
            session: session(),
        })
    };
    let given = (0..15).fold(Given::workspace(), |given, seed| {
        given.and(OWNER, big(seed))
    });
    let names: Vec<String> = (0..15).map(|seed| format!("Key_{seed}")).collect();
    let first = |count: usize| {
        let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        reveal_for(&names, Purpose::View(Nothing {}))
    };
    given.when(OWNER, first(14)).happens(&["secret.revealed"]);
    given.when(OWNER, first(15)).rejected(Code::TooLarge);
}

#[test]
fn restricted_secrets_are_for_runners_blocks() {
    let given = Given::workspace()
        .and(OWNER, restricted(1, "Key"))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
    given
        .when(OWNER, reveal("Key"))
        .denied(DenialReason::Restricted);
    given
        .when(OWNER, reveal_for(&["Key"], block()))
        .denied(DenialReason::Restricted);
    given.when(23, reveal("Key")).denied(DenialReason::Role);
    given
        .when(23, reveal_for(&["Key"], block()))
        .happens(&["secret.revealed"]);
}

#[test]
fn deleted_secrets_come_back_once() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, restore(1, "Key"))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, delete(1, "Key")).rejected(Code::Deleted);
    given
        .when(OWNER, restore(2, "Key"))
        .rejected(Code::NotFound);
    let given = given.and(OWNER, restore(1, "Key"));
    assert_eq!(
        given.state.secret(&sid(1)).map(|secret| secret.lifecycle),
        Some(Lifecycle::Active)
    );
}

#[test]
fn a_members_refusals_are_on_record_ten_times_a_minute() {
    let mut given = Given::workspace().and(OWNER, add(20, "vera", Role::Viewer, &["*"]));
    for _ in 0..limits::DENIALS_PER_MINUTE {
        given.when(20, reveal("Key")).denied(DenialReason::Role);
        given = given.and(20, reveal("Key"));
    }
    given.when(20, reveal("Key")).rejected(Code::Denied);
    given
        .later(60_000)
        .when(20, reveal("Key"))
        .denied(DenialReason::Role);
}

#[test]
fn a_refusal_does_not_keep_a_large_command() {
    let given = Given::workspace().and(OWNER, add(20, "vera", Role::Viewer, &["*"]));
    let many: Vec<String> = (0..200)
        .map(|at| format!("Key_with_a_rather_long_name_{at}"))
        .collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    given
        .when(20, reveal_for(&names, Purpose::View(Nothing {})))
        .rejected(Code::Denied);
}

#[test]
fn delegated_keys_act_for_their_identity_within_limits() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    let delegation = |change: &dyn Fn(&mut Delegation)| {
        let mut delegation = Delegation {
            v: 1,
            key: id(40),
            place: "console.example".parse().expect("label"),
            ledger: LEDGER,
            identity: id(OWNER),
            not_after: Millis(START + 1_000),
            workspace: "demo".parse().expect("name"),
            not_before: Millis(START),
        };
        change(&mut delegation);
        Blob(cose::sign(&delegation, &key(OWNER)))
    };
    let when = |given: &Given, action: Action, change: &dyn Fn(&mut Delegation)| {
        let mut command = given.command(action);
        command.delegation = Some(delegation(change));
        Then(decide(
            &given.state,
            &Given::sign(&command, 40),
            Millis(given.at),
            &authority(true),
        ))
    };
    when(&given, reveal("Key"), &|_| {}).happens(&["secret.revealed"]);
    when(&given, delete(1, "Key"), &|_| {}).happens(&["secret.deleted"]);
    let denied = DenialReason::Delegation;
    when(&given, add(20, "ana", Role::Viewer, &["*"]), &|_| {}).denied(denied);
    let revoke = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(OWNER),
    });
    when(&given, revoke.clone(), &|_| {}).denied(denied);
    when(&given, reveal("Key"), &|d| d.not_before = Millis(START + 1)).denied(denied);
    when(&given, reveal("Key"), &|d| d.not_after = Millis(START - 1)).denied(denied);
    when(&given, reveal("Key"), &|d| {
        d.not_after = Millis(START + limits::DELEGATION_MS + 1);
    })
    .denied(denied);
    when(&given, reveal("Key"), &|d| {
        d.workspace = "other".parse().expect("name");
    })
    .denied(denied);
    when(&given, reveal("Key"), &|d| d.ledger = LedgerId([9; 32])).denied(denied);
    let given = given.and(OWNER, revoke);
    when(&given, reveal("Key"), &|_| {}).denied(denied);
}

#[test]
fn nobody_else_ends_a_delegation() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(21, "vera", Role::Viewer, &["*"]));
    // A viewer may end what it delegated itself: that says nothing of the owner's delegation.
    let own = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(21),
    });
    let given = given.and(21, own);
    assert!(given.state.is_revoked(&id(21), &id(40)));
    assert!(!given.state.is_revoked(&id(OWNER), &id(40)));
    let others = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(OWNER),
    });
    given.when(21, others).denied(DenialReason::Role);
}

#[test]
fn a_delegation_is_for_the_key_and_by_the_identity_it_names() {
    let given = Given::workspace();
    let mut command = given.command(reveal("Key"));
    let delegation = Delegation {
        v: 1,
        key: id(40),
        place: "x".parse().expect("label"),
        ledger: LEDGER,
        identity: id(OWNER),
        not_after: Millis(START + 1_000),
        workspace: "demo".parse().expect("name"),
        not_before: Millis(START),
    };
    for (by, signer) in [(OWNER, 41), (41, 40)] {
        command.delegation = Some(Blob(cose::sign(&delegation, &key(by))));
        let bytes = cose::sign(&command, &key(signer));
        let verified = SignedCommand::decode(&bytes).and_then(SignedCommand::verify);
        assert_eq!(
            verified.map(|_| ()).map_err(|r| r.code),
            Err(Code::BadSignature),
            "{by} {signer}"
        );
    }
}

#[test]
fn the_ledgers_own_acts_are_its_own() {
    let summary = Action::DenialsSummarize(DenialsSummarize { denials: vec![] });
    let given = Given::workspace();
    given
        .when(ONLINE, summary.clone())
        .happens(&["denials.summarized"]);
    given
        .when(OWNER, summary.clone())
        .denied(DenialReason::Role);
    given.when(66, summary).rejected(Code::Denied);
    given.when(ONLINE, reveal("Key")).rejected(Code::Denied);
}

#[test]
fn a_clock_that_steps_back_a_little_is_held() {
    let given = Given::workspace();
    assert_eq!(given.state.recorded_time(Millis(START - 1)), Millis(START));
    assert_eq!(
        given.state.recorded_time(Millis(START - limits::HOLD_MS)),
        Millis(START - limits::HOLD_MS)
    );
    assert_eq!(
        given.state.recorded_time(Millis(START + 5)),
        Millis(START + 5)
    );
}
