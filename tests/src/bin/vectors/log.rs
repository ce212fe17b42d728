//! A small log, decided by the ledger's own rules and stored in four commits.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{DenialCount, DenialsSummarize, Nothing, Purpose};
use keyroll_core::roles::Role;
use keyroll_core::{
    Action, Authority, Blob, Commit, Digest, Entry, Event, Index, Millis, Recorded, Rules,
    SignedCommand, State, TreeSize, cbor, cose, decide,
};
use keyroll_merkle::{Hash, RecentTree};
use serde_json::{Value, json};

use crate::world::{START, World, member};
use crate::{actions, forms};

/// Sizes of the log after each commit.
const COMMITS: [usize; 4] = [1, 3, 7, 14];

pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) commits: Vec<Vec<u8>>,
    /// The whole tree: the tree at every size is derived from it.
    pub(crate) tree: RecentTree,
    pub(crate) leaves: Vec<Hash>,
}

/// The commands, in order.
fn commands(world: &World) -> Vec<Vec<u8>> {
    let nightly = actions::member_add(&world.nightly, "nightly", Role::Runner, &["STRIPE_*"]);
    let by = |key: &SigningKey, minute: u64, action: Action| {
        cose::sign(&world.command(minute, action), key)
    };
    let alice = |minute: u64, action: Action| by(&world.alice, minute, action);
    vec![
        alice(1, Action::WorkspaceCreate(Nothing {})),
        alice(
            2,
            actions::member_add(&world.bob, "Bob", Role::Viewer, &["*"]),
        ),
        alice(3, nightly),
        alice(4, actions::create(world)),
        alice(5, actions::import(world)),
        by(
            &world.bob,
            6,
            actions::reveal(world, Purpose::View(Nothing {})),
        ),
        by(
            &world.nightly,
            7,
            actions::reveal(world, actions::block_purpose()),
        ),
        world.signed_in(8, Action::SignInOpen(world.sign_in())),
        world.signed_in(9, actions::edit(world)),
        alice(10, actions::rollback(world)),
        alice(11, actions::reveal(world, Purpose::Run(Nothing {}))),
        alice(12, actions::describe(world)),
        alice(13, actions::rename(world)),
        by(
            &world.online,
            14,
            Action::DenialsSummarize(DenialsSummarize {
                denials: vec![DenialCount {
                    count: 3,
                    member: member(&world.nightly),
                }],
            }),
        ),
    ]
}

impl Log {
    pub(crate) fn new(world: &World) -> Self {
        let mut state = State::new(world.ledger, world.workspace.clone());
        let authority = Authority {
            operator: true,
            key: world.created(),
        };
        let mut log = Self {
            entries: Vec::new(),
            commits: Vec::new(),
            tree: RecentTree::new(64),
            leaves: Vec::new(),
        };
        let mut pending: Vec<Blob> = Vec::new();
        for bytes in commands(world) {
            let command = SignedCommand::decode(&bytes)
                .and_then(SignedCommand::verify)
                .expect("our own command");
            let at = Millis(command.command().at.0 + 5);
            let events = decide(Rules::CURRENT, &state, &command, at, &authority)
                .expect("the ledger agrees");
            let entry = cbor::encode(&Entry {
                at,
                events,
                command: bytes.into(),
            });
            let index = Index(log.entries.len() as u64);
            let recorded = Recorded::decode_strict(index, &entry).expect("our own entry");
            state.apply(Rules::CURRENT, &recorded);
            log.leaves.push(recorded.leaf);
            log.entries.push(entry.clone());
            pending.push(entry.into());
            if COMMITS.contains(&log.entries.len()) {
                log.commit(world, std::mem::take(&mut pending));
            }
        }
        assert_eq!(
            log.tree.root(),
            state.root(),
            "the state keeps the same tree"
        );
        log
    }

    fn commit(&mut self, world: &World, entries: Vec<Blob>) {
        let commit = Commit {
            v: 1,
            at: Millis(START + (self.tree.size() + 1) * 60_000 + 5),
            root: Digest(self.tree.root().0),
            first: TreeSize(self.tree.size()),
            rules: Rules::CURRENT.number(),
            ledger: world.ledger,
            entries,
            workspace: world.workspace.clone(),
        };
        self.commits.push(cose::sign(&commit, &world.online));
        let first = usize::try_from(self.tree.size()).expect("a small log");
        self.leaves[first..]
            .iter()
            .for_each(|leaf| self.tree.push(*leaf));
    }

    /// The index and bytes of the last reveal that alice made.
    pub(crate) fn reveal(&self) -> (u64, &Vec<u8>) {
        (10, &self.entries[10])
    }

    /// The actor of an entry.
    fn actor(entry: &[u8]) -> Value {
        let recorded = Recorded::decode_strict(Index(0), entry).expect("our own entry");
        json!(recorded.command.actor())
    }

    pub(crate) fn document(&self) -> Value {
        let entry = |(index, bytes): (usize, &Vec<u8>)| {
            let entry: Entry = cbor::decode(bytes).expect("our own entry");
            let mut form = forms::plain(&format!("entry {index}"), "entry", &entry);
            form["index"] = json!(index);
            form["actor"] = Self::actor(bytes);
            form["events"] = json!(
                entry
                    .events
                    .iter()
                    .map(|event: &Event| event.kind().name)
                    .collect::<Vec<_>>()
            );
            form["leaf"] = json!(self.leaves[index].to_string());
            form
        };
        let entries: Vec<Value> = self.entries.iter().enumerate().map(entry).collect();
        let commit = |bytes: &Vec<u8>| forms::signed::<Commit>("commit", "signed-commit", bytes);
        json!({
            "about": "A workspace's log: entries, and the commits that hold them. The events are those that the \
                      ledger's rules decided.",
            "entries": entries,
            "forms": self.commits.iter().map(commit).collect::<Vec<_>>(),
        })
    }
}

/// The identity that signs the ledger's own actions.
pub(crate) fn ledger_actor(world: &World) -> keyroll_core::MemberId {
    member(&world.online)
}
