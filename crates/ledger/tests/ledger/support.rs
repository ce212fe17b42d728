//! A ledger on a log and objects in memory, and an actor who signs and seals as a client does.

mod values;

use ed25519_dalek::SigningKey;
use keyroll_core::command::{COMMAND_V, Command, MemberRecord, Nothing};
use keyroll_core::crypto::Key;
use keyroll_core::roles::Role;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Action, Code, CommandId, ConnectionKey, Digest, Entry, Event, Glob, Identity, LedgerId, Millis,
    Rejection, SecretName, TreeSize, WorkspaceName, cbor, cose,
};
use keyroll_ledger::{Ledger, Options};
use keyroll_store::log::{Log as _, MemoryLog};
use keyroll_store::objects::MemoryObjects;
use keyroll_wire::query::{QUERY_V, Query, Question};
use keyroll_wire::reply::{
    Answer, CommandReply, CommandRequest, CommittedCommand, IssuedCredential, Reply, ReplyBody,
    SealedValue,
};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

thread_local! {
    /// A test's clock: it stands still unless the test moves it, so that nothing depends on the
    /// machine. Each test, with all its tasks, runs on a thread of its own.
    static CLOCK: Cell<u64> = const { Cell::new(1_800_000_000_000) };
}

pub(crate) fn now() -> Millis {
    Millis(CLOCK.get())
}

/// Moves the test's clock.
pub(crate) fn advance(ms: u64) {
    CLOCK.set(CLOCK.get() + ms);
}

/// Sets the test's clock back.
pub(crate) fn set_back(ms: u64) {
    CLOCK.set(CLOCK.get() - ms);
}

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) log: MemoryLog,
    pub(crate) vault: MemoryObjects,
    pub(crate) keys: MemoryObjects,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) id: SigningKey,
    pub(crate) online: SigningKey,
}

/// A stand-in for a JWT: the workspaces' names.
#[expect(clippy::unnecessary_wraps, reason = "issuing may fail")]
fn issue(
    _: ConnectionKey,
    workspaces: &[WorkspaceName],
    now: Millis,
) -> Result<IssuedCredential, Rejection> {
    let names: Vec<&str> = workspaces.iter().map(WorkspaceName::as_str).collect();
    Ok(IssuedCredential {
        jwt: names.join(" "),
        not_after: Millis(now.0 + 1_000),
    })
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn identity(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().expect("a secret's name")
}

pub(crate) fn demo() -> WorkspaceName {
    "demo".parse().expect("a workspace's name")
}

pub(crate) fn owner() -> SigningKey {
    signing_key(10)
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let vault = MemoryObjects::with_clock(now);
        let keys = vault.beside();
        Self::open(MemoryLog::default(), vault, keys, dir).await
    }

    /// A world with workspace `demo`, owned by [`owner`].
    pub(crate) async fn with_demo() -> Self {
        let world = Self::new().await;
        let made = world
            .act(&owner(), Action::WorkspaceCreate(Nothing {}))
            .await;
        assert!(made.is_ok(), "{made:?}");
        world
    }

    /// A world with workspace `demo` and a viewer of everything.
    pub(crate) async fn with_viewer() -> (Self, SigningKey) {
        let (world, viewer) = (Self::with_demo().await, signing_key(20));
        let member = Self::member(&viewer, "vera", Role::Viewer, &["*"]);
        world.act(&owner(), member).await.expect("added");
        (world, viewer)
    }

    pub(crate) async fn open(
        log: MemoryLog,
        vault: MemoryObjects,
        keys: MemoryObjects,
        dir: tempfile::TempDir,
    ) -> Self {
        let (id, online) = (signing_key(1), signing_key(2));
        let ledger = Self::replica(&log, &vault, &keys, dir.path(), (&id, &online)).await;
        Self {
            ledger,
            log,
            vault,
            keys,
            dir,
            id,
            online,
        }
    }

    /// Ends, changes its read model's file by `between`, and opens again.
    pub(crate) async fn again(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let Self {
            ledger,
            log,
            vault,
            keys,
            dir,
            ..
        } = self;
        drop(ledger);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        between(&dir.path().join("ledger.redb"));
        Self::open(log, vault, keys, dir).await
    }

    pub(crate) async fn replica(
        log: &MemoryLog,
        vault: &MemoryObjects,
        keys: &MemoryObjects,
        dir: &std::path::Path,
        keys_of: (&SigningKey, &SigningKey),
    ) -> Ledger {
        let idle = keyroll_ledger::follower::IDLE;
        Self::replica_that_idles(log, (vault, keys), dir, keys_of, idle).await
    }

    pub(crate) async fn replica_that_idles(
        log: &MemoryLog,
        (vault, keys): (&MemoryObjects, &MemoryObjects),
        dir: &std::path::Path,
        (id, online): (&SigningKey, &SigningKey),
        idle: std::time::Duration,
    ) -> Ledger {
        let statement = LedgerKey {
            v: 1,
            key: identity(online),
            ledger: LedgerId(id.verifying_key().to_bytes()),
            serial: 1,
            not_after: Millis(u64::MAX / 2),
            not_before: Millis(0),
        };
        let opened = Ledger::open(Options {
            statement: cose::sign(&statement, id).into(),
            key: online.clone(),
            root: Key::new([7; 32]),
            operators: vec![identity(&owner())],
            data_dir: dir.to_owned(),
            log: Arc::new(log.clone()),
            vault: Arc::new(vault.clone()),
            keys: Arc::new(keys.clone()),
            clock: now,
            damage: None,
            credentials: Some(Arc::new(issue)),
            idle,
        });
        let (ledger, _) = opened.await.expect("opens");
        ledger
    }

    pub(crate) fn id(&self) -> LedgerId {
        LedgerId(self.id.verifying_key().to_bytes())
    }

    pub(crate) fn command_bytes(
        &self,
        actor: &SigningKey,
        id: CommandId,
        at: Millis,
        action: Action,
    ) -> Vec<u8> {
        let (ledger, workspace) = (self.id(), demo());
        cose::sign(
            &Command {
                v: COMMAND_V,
                at,
                id,
                action,
                ledger,
                workspace,
                member: None,
                approval: None,
                delegation: None,
            },
            actor,
        )
    }

    pub(crate) async fn send(
        &self,
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<CommittedCommand, Rejection> {
        self.send_to(&self.ledger, command, values).await
    }

    pub(crate) async fn send_to(
        &self,
        ledger: &Ledger,
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<CommittedCommand, Rejection> {
        let request = CommandRequest {
            seen: TreeSize(0),
            values,
            command: command.into(),
        };
        let response = ledger.command(&demo(), &cbor::encode(&request)).await;
        match cbor::decode::<CommandReply>(&response.bytes).expect("a reply") {
            CommandReply::Committed(done) => {
                assert_eq!(response.refusal, None);
                Ok(done)
            }
            CommandReply::Refused(signed) => {
                let opened = cose::open::<Reply>(&signed.0).expect("a signed reply");
                opened.verify().expect("signed by the ledger");
                assert_eq!(opened.payload.request, Digest::of(&request.command.0));
                match opened.payload.body {
                    ReplyBody::Error(rejection) => Err(rejection),
                    ReplyBody::Answer(_) => panic!("a refusal that is an answer"),
                }
            }
        }
    }

    /// The refusal of a command that is sent to the workspace that it names.
    pub(crate) async fn refused_in(&self, actor: &SigningKey, command: &Command) -> Rejection {
        let request = CommandRequest {
            seen: TreeSize(0),
            values: vec![],
            command: cose::sign(command, actor).into(),
        };
        let (workspace, bytes) = (&command.workspace, cbor::encode(&request));
        let response = self.ledger.command(workspace, &bytes).await;
        response.refusal.expect("a refusal")
    }

    pub(crate) async fn act(
        &self,
        actor: &SigningKey,
        action: Action,
    ) -> Result<CommittedCommand, Rejection> {
        self.send(self.command_bytes(actor, fresh(), now(), action), vec![])
            .await
    }

    pub(crate) async fn ask(&self, actor: &SigningKey, ask: Question) -> Result<Answer, Rejection> {
        self.projected().await;
        let size = self
            .ledger
            .progress()
            .workspaces
            .get(&demo())
            .map_or(TreeSize(0), |w| w.1);
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask,
            seen: size,
            ledger: self.id(),
            workspace: Some(demo()),
            member: None,
            delegation: None,
        };
        self.ask_bytes(Some(&demo()), &cose::sign(&query, actor))
            .await
    }

    /// Waits, for a while, until the read model holds all that the log has of the workspace.
    pub(crate) async fn projected(&self) {
        let Ok(head) = self.log.head(&demo()).await else {
            return;
        };
        for _ in 0..500 {
            let progress = self.ledger.progress();
            let known = progress.workspaces.get(&demo());
            if known.is_some_and(|known| known.0 >= head) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn ask_bytes(
        &self,
        workspace: Option<&WorkspaceName>,
        bytes: &[u8],
    ) -> Result<Answer, Rejection> {
        let response = self.ledger.query(workspace, bytes).await;
        let opened = cose::open::<Reply>(&response.bytes).expect("a signed reply");
        opened.verify().expect("signed");
        match opened.payload.body {
            ReplyBody::Answer(answer) => Ok(*answer),
            ReplyBody::Error(rejection) => Err(rejection),
        }
    }

    pub(crate) fn member(key: &SigningKey, called: &str, role: Role, globs: &[&str]) -> Action {
        let glob = |glob: &&str| glob.parse::<Glob>().expect("a pattern");
        Action::MemberAdd(MemberRecord {
            name: called.parse().expect("a member's name"),
            role,
            member: identity(key).into(),
            expires: None,
            secrets: globs.iter().map(glob).collect(),
        })
    }
}

/// The refusal that is on record in an entry, if it is one.
pub(crate) fn denied(done: &CommittedCommand) -> Option<Rejection> {
    let entry: Entry = cbor::decode(&done.receipt.entry.0).expect("an entry");
    let is_denied = entry
        .events
        .iter()
        .any(|event| matches!(event, Event::AccessDenied(_)));
    is_denied.then(|| Rejection::new(Code::Denied, "on record"))
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Rejection>) -> Option<Code> {
    result.err().map(|rejection| rejection.code)
}

static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) fn fresh() -> CommandId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::SeqCst).to_be_bytes());
    CommandId(id)
}

pub(crate) async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}
