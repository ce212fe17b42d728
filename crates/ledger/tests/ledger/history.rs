//! A history of a workspace, as `decide` allows it, cut into commits at will.

use std::sync::Arc;

use keyroll_core::command::{
    BlockRun, BlockUse, COMMAND_V, Command, MemberRecord, MemberRemove, NewSecret, Nothing,
    Purpose, RevealItem, SecretCreate, SecretDescribe, SecretDestroy, SecretEdit, SecretRef,
    SecretRename, SecretReveal, SecretRollback, SessionRef, SignInClose, SignInOpen,
    WorkflowRemove, WorkflowSave,
};
use keyroll_core::crypto::sealed_size;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::ids::Encapsulated;
use keyroll_core::roles::Role;
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::{
    Action, Authority, Blob, Commit, Digest, Entry, Identity, LedgerId, Millis, Recorded, Rules,
    SecretId, Sequence, SignedCommand, State, Version, cbor, cose, decide,
};
use keyroll_ledger::follower::Fold;
use keyroll_ledger::health::Health;
use keyroll_ledger::projection::Projection;
use keyroll_store::log::Message;

use crate::support::{demo, fresh, identity, name, signing_key};

pub(crate) const LEDGER: LedgerId = LedgerId([1; 32]);

/// A growing history: only commands that `decide` accepts become entries.
pub(crate) struct History {
    pub(crate) state: State,
    at: u64,
    pub(crate) entries: Vec<Blob>,
}

impl History {
    pub(crate) fn new() -> Self {
        let mut history = Self {
            state: State::new(LEDGER, demo()),
            at: 1_800_000_000_000,
            entries: vec![],
        };
        history.try_act(10, Action::WorkspaceCreate(Nothing {}));
        history
    }

    fn try_act(&mut self, actor: u8, action: Action) {
        self.try_act_as(None, actor, action);
    }

    /// Opens or closes a sign-in of a member, which ends soon, or acts through it.
    fn sign_in_step(&mut self, which: u8, action: impl FnOnce(Identity) -> Action) {
        let (member, key) = (10 + 10 * (which % 2), 40 + which % 24);
        let action = action(identity(&signing_key(key)));
        self.try_act_as(Some(member), key, action);
    }

    fn opening(&self, which: u8, key: Identity) -> Action {
        let terms = SignInTerms {
            key,
            from: Millis(self.at),
            until: Millis(self.at + 20_000 * u64::from(1 + which % 64)),
            origin: "a laptop".parse().expect("an origin"),
        };
        let binding = terms.binding(&LEDGER);
        let by = signing_key(10 + 10 * (which % 2));
        let statement = cose::sign(&SignInStatement { v: 1, binding }, &by);
        Action::SignInOpen(SignInOpen {
            key,
            from: terms.from,
            proof: SignInProof::Key(statement.into()),
            until: terms.until,
            origin: terms.origin,
        })
    }

    fn try_act_as(&mut self, member: Option<u8>, actor: u8, action: Action) {
        let command = Command {
            v: COMMAND_V,
            at: Millis(self.at),
            id: fresh(),
            action,
            ledger: LEDGER,
            workspace: demo(),
            member: member.map(|seed| identity(&signing_key(seed)).into()),
            approval: None,
            delegation: None,
        };
        let signed = cose::sign(&command, &signing_key(actor));
        let command = SignedCommand::decode(&signed)
            .and_then(SignedCommand::verify)
            .expect("signed");
        let key = WorkspaceCreated {
            key: identity(&signing_key(2)),
            serial: 1,
            statement: Blob(vec![]),
        };
        let Ok(events) = decide(
            Rules::CURRENT,
            &self.state,
            &command,
            Millis(self.at),
            &Authority {
                operator: true,
                key,
            },
        ) else {
            return;
        };
        let entry = Entry {
            at: Millis(self.at),
            events,
            command: signed.into(),
        };
        let bytes = cbor::encode(&entry);
        let recorded = Recorded::decode(self.state.size().next_index(), &bytes).expect("an entry");
        self.state.apply(Rules::CURRENT, &recorded);
        self.entries.push(bytes.into());
    }

    /// A command that may or may not be possible, chosen by two dice.
    pub(crate) fn step(&mut self, what: u8, which: u8) {
        self.at += u64::from(what) * 700;
        let (secret, called) = (SecretId([which % 6; 16]), format!("Key_{}", which % 6));
        let session = SessionRef {
            enc: Encapsulated([1; 32]),
            period: 1,
        };
        let size = u32::try_from(sealed_size(1).expect("size")).expect("size");
        let digest = Digest([what; 32]);
        let actor = if which.is_multiple_of(5) {
            20 + which % 3
        } else {
            10
        };
        let version = self
            .state
            .secret(&secret)
            .map_or(Version(2), |known| known.current().next());
        if (17..20).contains(&(what % 20)) {
            let opening = self.opening(which, identity(&signing_key(40 + which % 24)));
            return self.sign_in_step(which, |key| match what % 20 {
                17 | 18 => opening,
                _ => Action::SignInClose(SignInClose { key, member: None }),
            });
        }
        let action = match what % 20 {
            0 | 1 => Action::SecretCreate(SecretCreate {
                secret: NewSecret {
                    id: SecretId([which; 16]),
                    name: name(&called),
                    size,
                    hosts: vec![],
                    digest,
                    restricted: which.is_multiple_of(7),
                    description: "".parse().expect("text"),
                    rotate_every: None,
                },
                session,
            }),
            2 | 3 => {
                let name = name(&called);
                Action::SecretEdit(SecretEdit {
                    id: secret,
                    name,
                    size,
                    digest,
                    reason: None,
                    session,
                    version,
                })
            }
            4 => Action::SecretDelete(SecretRef {
                id: secret,
                name: name(&called),
            }),
            5 => Action::SecretRestore(SecretRef {
                id: secret,
                name: name(&called),
            }),
            6 => {
                let to = name(&format!("Key_{}", (which / 6) % 6));
                Action::SecretRename(SecretRename {
                    id: secret,
                    to,
                    name: name(&called),
                })
            }
            7 => Action::SecretReveal(SecretReveal {
                names: vec![RevealItem {
                    id: None,
                    name: name(&called),
                    version: None,
                }],
                reason: None,
                purpose: purpose(which),
                session,
            }),
            rarer => {
                let edit = SecretEdit {
                    id: secret,
                    name: name(&called),
                    size,
                    digest,
                    reason: None,
                    session,
                    version,
                };
                self.rarer(rarer, which, edit)
            }
        };
        self.try_act(actor, action);
    }

    /// Actions besides create, edit and reveal; `edit` is one that would fit.
    fn rarer(&self, what: u8, which: u8, edit: SecretEdit) -> Action {
        match what {
            8 => Action::MemberAdd(MemberRecord {
                name: format!("member {}", which % 3).parse().expect("name"),
                role: Role::ALL[usize::from(which) % 5],
                member: identity(&signing_key(20 + which % 3)).into(),
                expires: which.is_multiple_of(2).then(|| Millis(self.at + 5_000)),
                secrets: vec!["key_*".parse().expect("pattern")],
            }),
            9 => Action::MemberRemove(MemberRemove {
                member: identity(&signing_key(20 + which % 3)).into(),
            }),
            10 => Action::WorkflowSave(WorkflowSave {
                blocks: vec![BlockUse {
                    name: format!("block {}", which % 4).parse().expect("label"),
                    secrets: vec![edit.name, name("Other")],
                }],
                workflow: format!("workflow {}", which % 3).parse().expect("label"),
            }),
            11 => Action::SecretDestroy(SecretDestroy {
                id: edit.id,
                name: edit.name,
                versions: which.is_multiple_of(2).then_some(vec![Version(1)]),
            }),
            12 => Action::SecretDescribe(SecretDescribe {
                id: edit.id,
                name: edit.name,
                hosts: None,
                restricted: which.is_multiple_of(9).then_some(true),
                description: Some(format!("words {}", self.at).parse().expect("text")),
                rotate_every: Some(u64::from(which % 4)),
            }),
            13 => Action::SecretRollback(SecretRollback {
                edit,
                from: Version(1),
            }),
            14 => Action::MemberChange(MemberRecord {
                name: format!("member {}", which % 3).parse().expect("name"),
                role: Role::ALL[usize::from(which / 3) % 5],
                member: identity(&signing_key(20 + which % 3)).into(),
                expires: None,
                secrets: vec!["*".parse().expect("pattern")],
            }),
            15 => Action::KeyRotate(Nothing {}),
            _ => Action::WorkflowRemove(WorkflowRemove {
                workflow: format!("workflow {}", which % 3).parse().expect("label"),
            }),
        }
    }

    /// The commits of all entries, cut by the given lengths.
    pub(crate) fn commits(&self, lengths: &[usize]) -> Vec<Message> {
        let mut state = State::new(LEDGER, demo());
        let (mut at, mut messages) = (0, Vec::new());
        let mut lengths = lengths.iter().copied().cycle();
        while at < self.entries.len() {
            let end = (at + lengths.next().unwrap_or(1).max(1)).min(self.entries.len());
            let commit = Commit {
                v: 1,
                at: Millis(self.at),
                root: Digest(state.root().0),
                first: state.size(),
                rules: Rules::CURRENT.number(),
                ledger: LEDGER,
                entries: self.entries[at..end].to_vec(),
                workspace: demo(),
            };
            for entry in &self.entries[at..end] {
                let recorded =
                    Recorded::decode(state.size().next_index(), &entry.0).expect("an entry");
                state.apply(Rules::CURRENT, &recorded);
            }
            let bytes = cose::sign(&commit, &signing_key(2)).into();
            let sequence = Sequence(messages.len() as u64 + 1);
            messages.push(Message {
                sequence,
                workspace: Some(demo()),
                bytes,
            });
            at = end;
        }
        messages
    }
}

pub(crate) fn fold(dir: &std::path::Path, file: &str) -> Fold {
    let projection = Projection::open(&dir.join(file), &LEDGER).expect("opens");
    let health = Arc::new(Health::default());
    Fold::resume(projection, LEDGER, identity(&signing_key(2)), health).expect("resumes")
}

/// The purpose of a reveal: to view the value, or one of three runs of a block.
fn purpose(which: u8) -> Purpose {
    let run = match which % 4 {
        0 => return Purpose::View(Nothing {}),
        run => format!("run-{run}"),
    };
    Purpose::Block(BlockRun {
        run: run.parse().expect("a label"),
        block: "post".parse().expect("a label"),
        workflow: "billing".parse().expect("a label"),
    })
}
