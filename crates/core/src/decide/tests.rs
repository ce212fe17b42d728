//! Given a history, when a command arrives, then these events or this refusal follow.

mod delegations;
mod erasure;
mod invitations;
mod members;
mod recovery;
mod reveals;
mod secrets;
mod sign_ins;
mod workflows;

use ed25519_dalek::SigningKey;
use keyroll_merkle::leaf_hash;

use super::{Authority, decide};
use crate::command::*;
use crate::cose;
use crate::entry::{Entry, Recorded};
use crate::event::{AccessDenied, DenialReason, Event, WorkspaceCreated};
use crate::ids::*;
use crate::limits;
use crate::names::*;
use crate::rejection::{Code, Rejection};
use crate::roles::Role;
use crate::rules::Rules;
use crate::state::{Lifecycle, State};
use crate::statement::Delegation;
use crate::{cbor, crypto};

const START: u64 = 1_800_000_000_000;
const LEDGER: LedgerId = LedgerId([1; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn id(seed: u8) -> MemberId {
    MemberId(key(seed).verifying_key().to_bytes())
}

fn public(seed: u8) -> Identity {
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

fn agent() -> Purpose {
    Purpose::Agent(AgentUse {
        run: None,
        name: "sidecar".parse().expect("label"),
        max_age: Some(60),
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

/// A history that grows.
struct Given {
    rules: Rules,
    state: State,
    at: u64,
    commands: u8,
}

fn authority(operator: bool) -> Authority {
    let key = WorkspaceCreated {
        key: public(ONLINE),
        serial: 1,
        statement: Blob(vec![]),
    };
    Authority { operator, key }
}

impl Given {
    fn nothing() -> Self {
        Self {
            rules: Rules::CURRENT,
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
            member: None,
            approval: None,
            delegation: None,
        }
    }

    fn sign(command: &Command, signer: u8) -> Verified {
        let bytes = cose::sign(command, &key(signer));
        SignedCommand::decode(&bytes)
            .and_then(SignedCommand::verify)
            .expect("signed")
    }

    /// Executes a command and adds it to the history.
    fn and(mut self, actor: u8, action: Action) -> Self {
        let command = Self::sign(&self.command(action), actor);
        let (at, authority) = (Millis(self.at), authority(true));
        let events = decide(self.rules, &self.state, &command, at, &authority).expect("given");
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
        self.state.apply(self.rules, &recorded);
        self.commands = self.commands.wrapping_add(1);
    }

    /// Uses other rules from here on.
    fn by(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    fn later(mut self, ms: u64) -> Self {
        self.at += ms;
        self
    }

    fn when(&self, actor: u8, action: Action) -> Then {
        Then(decide(
            self.rules,
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
            self.rules,
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
                .map(|event| event.kind().name)
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
    let decided = |given: &Given| {
        let (at, authority) = (Millis(START), authority(true));
        decide(given.rules, &given.state, &command, at, &authority)
    };
    assert!(decided(&given).is_ok());
    let twice = decided(&again);
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
