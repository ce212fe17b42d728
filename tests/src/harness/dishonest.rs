//! A dishonest ledger that holds its keys. Its log, vault, keys and answers are those of the real
//! one; where a test wants a lie, the entry is written by hand and signed with the ledger's own
//! key. The log stays consistent: no checkpoint shows that anything is wrong.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Client, HeaderMap, Message};
use ed25519_dalek::SigningKey;
use futures::StreamExt as _;
use keyroll_client::random;
use keyroll_core::Rules;
use keyroll_core::commit::COMMIT_V;
use keyroll_core::crypto::{Direction, Key, SealContext, WrapContext, seal_value};
use keyroll_core::event::{Revealed, WorkspaceCreated};
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Action, Authority, Blob, Commit, Digest, Entry, Event, Identity, Index, LedgerId, Recorded,
    SecretId, Sequence, SignedCommand, State, TreeSize, Verified, Version, WorkspaceName, cbor,
    cose, decide,
};
use keyroll_ledger::{Ledger, Options, Response};
use keyroll_nats::Creds;
use keyroll_server::keys::{plain_root, read_signing_key};
use keyroll_server::root_key::{PlainFile, RootKeySource as _};
use keyroll_store::keyring::Keyring;
use keyroll_store::log::{JetStreamLog, Log as _};
use keyroll_store::objects::{JetStreamObjects, Objects};
use keyroll_store::vault::Vault;
use keyroll_wire::query::{AuditProve, QUERY_V, Query, Question};
use keyroll_wire::reply::{Answer, CommittedCommand, ReleasedValue, ReplyBody};
use keyroll_wire::time::now;
use keyroll_wire::{CommandReply, CommandRequest, Reply};
use tokio::runtime::Runtime;

use super::cluster::Cluster;
use super::demo;
use super::wait::{until, within};

type InEntries = Box<dyn FnMut(&State, &Action, &mut Vec<Event>) + Send>;
type InReplies = Box<dyn FnMut(&mut CommittedCommand) + Send>;
type InAnswers = Box<dyn FnMut(&mut Answer) + Send>;

#[derive(Default)]
struct Lies {
    entries: Option<InEntries>,
    replies: Option<InReplies>,
    answers: Option<InAnswers>,
    /// Sealed values that were never stored, by digest, with their data keys.
    values: HashMap<Digest, (Blob, Key)>,
}

struct Parts {
    ledger: Ledger,
    log: JetStreamLog,
    keyring: Keyring,
    vault: Vault,
    statement: Blob,
    online: SigningKey,
    /// Queries for proofs, as an owner may.
    owner: SigningKey,
    id: LedgerId,
    lies: Mutex<Lies>,
}

/// The only service of a [`Cluster`]. It is honest until it is told to lie.
pub struct Dishonest {
    parts: Arc<Parts>,
    // It ends with this.
    _runtime: Runtime,
    _read_model: tempfile::TempDir,
}

impl Dishonest {
    /// Starts it at the first door of a cluster.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let read_model = tempfile::tempdir().expect("a directory");
        let parts = runtime.block_on(Box::pin(Parts::open(cluster, read_model.path())));
        let parts = Arc::new(parts);
        let responder = runtime.block_on(connect(cluster, &cluster.responder_creds(0), None));
        runtime.spawn(serve(Arc::clone(&parts), responder));
        until("it answers", || {
            let status = cluster.keyroll(["status"]).run();
            (status.is_code(0) || status.is_code(6)).then_some(())
        });
        Self {
            parts,
            _runtime: runtime,
            _read_model: read_model,
        }
    }

    /// From now on entries have the result of `lie` on the true events.
    pub fn lie_in_entries(
        &self,
        lie: impl FnMut(&State, &Action, &mut Vec<Event>) + Send + 'static,
    ) {
        self.lies().entries = Some(Box::new(lie));
    }

    /// As [`Dishonest::lie_in_entries`], on the values that reveals record as released.
    pub fn lie_in_reveals(&self, mut lie: impl FnMut(&State, &mut Vec<Revealed>) + Send + 'static) {
        self.lie_in_entries(move |state, _, events| {
            if let [Event::SecretRevealed(revealed)] = events.as_mut_slice() {
                lie(state, &mut revealed.secrets);
            }
        });
    }

    /// From now on replies have the result of `lie` on the data beside the entry.
    pub fn lie_in_replies(&self, lie: impl FnMut(&mut CommittedCommand) + Send + 'static) {
        self.lies().replies = Some(Box::new(lie));
    }

    /// From now on answers to queries are the result of `lie` on the true ones.
    pub fn lie_in_answers(&self, lie: impl FnMut(&mut Answer) + Send + 'static) {
        self.lies().answers = Some(Box::new(lie));
    }

    /// From now on it is honest.
    pub fn be_honest(&self) {
        *self.lies() = Lies::default();
    }

    /// Seals a value that no secret ever had. Lies can name its digest.
    ///
    /// # Panics
    /// When the system has no randomness.
    pub fn forge(&self, (secret, version): (SecretId, Version), value: &[u8]) -> Digest {
        let key = Key::new(random().expect("randomness"));
        let workspace = demo();
        let context = SealContext {
            ledger: &self.parts.id,
            workspace: &workspace,
            secret,
            version,
        };
        let nonce = random().expect("randomness");
        let sealed = seal_value(value, &key, nonce, &context).expect("sealed");
        let digest = Digest::of(&sealed);
        self.lies().values.insert(digest, (Blob(sealed), key));
        digest
    }

    fn lies(&self) -> std::sync::MutexGuard<'_, Lies> {
        self.parts.lies()
    }
}

/// The true record of a reveal of a secret's version.
///
/// # Panics
/// When there is no such secret or version.
pub fn truth(state: &State, name: &str, version: u32) -> Revealed {
    let name = name.parse().expect("a name");
    let (id, secret) = state.named(&name).expect("a secret");
    let info = secret.version(Version(version)).expect("a version");
    Revealed {
        id,
        name: secret.name.clone(),
        hosts: secret.hosts.clone(),
        digest: info.digest,
        version: Version(version),
    }
}

async fn connect(cluster: &Cluster, creds: &Path, inbox: Option<&str>) -> Client {
    let creds = Creds::load(creds).expect("credentials");
    let mut options = creds.connect_options();
    if let Some(inbox) = inbox {
        options = options.custom_inbox_prefix(inbox);
    }
    let connected = within(
        "a connection",
        Box::pin(options.connect(cluster.nats_url(0))),
    );
    connected.await.expect("connected")
}

/// Answers requests one after the other.
async fn serve(parts: Arc<Parts>, responder: Client) {
    let mut requests = responder
        .subscribe("keyroll.v1.>")
        .await
        .expect("subscribed");
    while let Some(request) = requests.next().await {
        let Some(inbox) = request.reply.clone() else {
            continue;
        };
        let Some((bytes, refused)) = parts.answer(&request).await else {
            continue;
        };
        let mut headers = HeaderMap::new();
        if let Some(code) = refused {
            headers.insert("Nats-Service-Error", code);
        }
        // The caller may be gone.
        let _ = responder
            .publish_with_headers(inbox, headers, bytes.into())
            .await;
    }
}

type Answered = (Vec<u8>, Option<&'static str>);

fn answered(response: Response) -> Answered {
    let refused = response.refusal.map(|rejection| rejection.code.as_str());
    (response.bytes, refused)
}

impl Parts {
    async fn open(cluster: &Cluster, read_model: &Path) -> Self {
        let keys = cluster.home().data().join("keys");
        let statement = Blob(fs::read(keys.join("ledger-key.cose")).expect("a statement"));
        let online = read_signing_key(&keys.join("online.pem")).expect("the online key");
        let root = || {
            PlainFile(plain_root(&keys))
                .root_key()
                .expect("the root key")
        };
        let client = connect(cluster, &cluster.creds("service"), Some("_INBOX_service")).await;
        let log = JetStreamLog::open(client.clone()).await.expect("the log");
        let objects = |stream| JetStreamObjects::open(client.clone(), stream);
        let vault: Arc<dyn Objects> = Arc::new(objects("KEYROLL_VAULT").await.expect("the vault"));
        let keys: Arc<dyn Objects> = Arc::new(objects("KEYROLL_KEYS").await.expect("the keys"));
        let id = cluster.ledger();
        let opened = Ledger::open(Options {
            statement: statement.clone(),
            key: online.clone(),
            root: root(),
            operators: vec![cluster.owner_identity()],
            data_dir: read_model.to_owned(),
            log: Arc::new(log.clone()),
            vault: Arc::clone(&vault),
            keys: Arc::clone(&keys),
            clock: now,
            damage: None,
            credentials: None,
            idle: keyroll_ledger::follower::IDLE,
        });
        let (ledger, _) = opened.await.expect("opened");
        Self {
            ledger,
            log,
            keyring: Keyring::new(root(), id, keys),
            vault: Vault::new(vault),
            statement,
            online,
            owner: cluster.owner(),
            id,
            lies: Mutex::default(),
        }
    }

    fn lies(&self) -> std::sync::MutexGuard<'_, Lies> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: &Message) -> Option<Answered> {
        let tokens: Vec<&str> = request.subject.split('.').skip(2).collect();
        let bytes = &request.payload;
        Some(match tokens.as_slice() {
            ["_ledger", "info"] => answered(self.ledger.info().await),
            ["_ledger", "query"] => answered(self.ledger.query(None, bytes).await),
            [workspace, "query"] => self.query(&workspace.parse().ok()?, bytes).await,
            [workspace, "command"] => self.command(&workspace.parse().ok()?, bytes).await,
            _ => return None,
        })
    }

    async fn query(&self, workspace: &WorkspaceName, bytes: &[u8]) -> Answered {
        let (bytes, refused) = answered(self.ledger.query(Some(workspace), bytes).await);
        let mut reply = cose::open::<Reply>(&bytes).expect("a reply").payload;
        if let ReplyBody::Answer(answer) = &mut reply.body
            && let Some(lie) = &mut self.lies().answers
        {
            lie(answer);
        }
        (cose::sign(&reply, &self.online), refused)
    }

    async fn command(&self, workspace: &WorkspaceName, bytes: &[u8]) -> Answered {
        let request: CommandRequest = cbor::decode(bytes).expect("a request");
        let lied = self.lied(workspace, &request).await;
        let (mut reply, refused) = if let Some(done) = lied {
            (CommandReply::Committed(done), None)
        } else {
            let (bytes, refused) = answered(self.ledger.command(workspace, bytes).await);
            (cbor::decode(&bytes).expect("a reply"), refused)
        };
        if let CommandReply::Committed(done) = &mut reply
            && let Some(lie) = &mut self.lies().replies
        {
            lie(done);
        }
        (cbor::encode(&reply), refused)
    }

    /// The outcome of a command that is lied about; `None` for another.
    async fn lied(
        &self,
        workspace: &WorkspaceName,
        request: &CommandRequest,
    ) -> Option<CommittedCommand> {
        let command = SignedCommand::decode(&request.command.0)
            .ok()?
            .verify()
            .ok()?;
        let (state, head) = self.state(workspace).await;
        let truth = decide(
            Rules::CURRENT,
            &state,
            &command,
            now(),
            &self.authority(&command),
        )
        .ok()?;
        let mut events = truth.clone();
        if let Some(lie) = &mut self.lies().entries {
            lie(&state, &command.command().action, &mut events);
        }
        if events == truth {
            return None;
        }
        let entry = Entry {
            at: state.recorded_time(now()),
            events,
            command: request.command.clone(),
        };
        let commit = Commit {
            v: COMMIT_V,
            at: entry.at,
            root: Digest(state.root().0),
            first: state.size(),
            rules: Rules::CURRENT.number(),
            ledger: self.id,
            entries: vec![Blob(cbor::encode(&entry))],
            workspace: workspace.clone(),
        };
        let commit = cose::sign(&commit, &self.online);
        let appended = self.log.append(workspace, commit.into(), head).await;
        appended.expect("appended");
        let (mut done, index) = (
            self.prove(workspace, &state, request.seen).await,
            state.size(),
        );
        assert_eq!(done.receipt.index.0, index.0);
        if let [Event::SecretRevealed(revealed)] = entry.events.as_slice() {
            for (item, one) in (0..).zip(&revealed.secrets) {
                let released = self.release(&state, (&command, item), one).await;
                done.released.push(released);
            }
        }
        Some(done)
    }

    fn authority(&self, command: &Verified) -> Authority {
        let key = cose::open::<LedgerKey>(&self.statement.0).expect("a statement");
        Authority {
            operator: command.actor() == public(&self.owner).into(),
            key: WorkspaceCreated {
                key: key.payload.key,
                serial: key.payload.serial,
                statement: self.statement.clone(),
            },
        }
    }

    /// The state of the workspace after the whole log, and its last message.
    async fn state(&self, workspace: &WorkspaceName) -> (State, Sequence) {
        let mut state = State::new(self.id, workspace.clone());
        let mut head = Sequence(0);
        let last = self.log.last().await.expect("the end of the log");
        for sequence in (1..=last.0).map(Sequence) {
            let message = self.log.message(sequence).await.expect("the log");
            let message = message.expect("a message");
            if message.workspace.as_ref() != Some(workspace) {
                continue;
            }
            head = sequence;
            let commit = Commit::decode(&message.bytes).expect("a commit").payload;
            for (index, bytes) in (commit.first.0..).zip(&commit.entries) {
                state.apply(
                    Rules::CURRENT,
                    &Recorded::decode(Index(index), &bytes.0).expect("an entry"),
                );
            }
        }
        (state, head)
    }

    /// The receipt of the entry after a state, as the real ledger proves it to an owner.
    async fn prove(
        &self,
        workspace: &WorkspaceName,
        before: &State,
        seen: TreeSize,
    ) -> CommittedCommand {
        let index = Index(before.size().0);
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask: Question::AuditProve(AuditProve { index }),
            seen: seen.max(TreeSize(before.size().0 + 1)),
            ledger: self.id,
            workspace: Some(workspace.clone()),
            member: None,
            delegation: None,
        };
        // It waits until the read model has the entry; another query gives the proof from the
        // trusted size.
        let prove = async |seen| {
            let query = Query {
                seen,
                ..query.clone()
            };
            let bytes = cose::sign(&query, &self.owner);
            let (bytes, _) = answered(self.ledger.query(Some(workspace), &bytes).await);
            let reply = cose::open::<Reply>(&bytes).expect("a reply").payload;
            let ReplyBody::Answer(answer) = reply.body else {
                panic!("no proof: {:?}", reply.body)
            };
            let Answer::AuditProve(receipt) = *answer else {
                panic!("another answer")
            };
            (receipt, reply.consistency)
        };
        prove(query.seen).await;
        let (receipt, consistency) = prove(seen).await;
        CommittedCommand {
            receipt,
            released: Vec::new(),
            consistency,
        }
    }

    /// A value from the vault, or a forged one, for the signer of the command.
    async fn release(
        &self,
        state: &State,
        (command, item): (&Verified, u32),
        one: &Revealed,
    ) -> ReleasedValue {
        let (workspace, said) = (state.workspace(), command.command());
        let Action::SecretReveal(reveal) = &said.action else {
            panic!("no reveal")
        };
        let session = self
            .keyring
            .session(workspace, command.actor(), &reveal.session, now());
        let session = session.await.expect("a session");
        let forged = self.lies().values.get(&one.digest).cloned();
        let (sealed, key) = match forged {
            Some(forged) => forged,
            None => self.stored(state, &one.digest).await,
        };
        let nonce = random().expect("randomness");
        let key = session.seal(Direction::ToClient, &said.id, item, &key, nonce);
        ReleasedValue {
            key: Blob(key),
            name: one.name.clone(),
            sealed,
            version: one.version,
        }
    }

    /// The value with a digest, of any secret.
    async fn stored(&self, state: &State, digest: &Digest) -> (Blob, Key) {
        let found = state.secrets().find_map(|(id, secret)| {
            let mut versions = (1..).map(Version).zip(&secret.versions);
            let (version, info) = versions.find(|(_, info)| info.digest == *digest)?;
            Some((*id, version, info))
        });
        let (secret, version, info) = found.expect("a stored value");
        let workspace = state.workspace();
        let workspace_key = self.keyring.workspace_key(workspace, info.epoch).await;
        let context = WrapContext {
            ledger: &self.id,
            workspace,
            secret,
            version,
            epoch: info.epoch,
            digest: *digest,
        };
        let key = workspace_key.expect("a workspace key");
        let found = self.vault.find(&info.place, &key, &context).await;
        let found = found.unwrap_or_else(|rejection| panic!("{rejection:?}"));
        (found.sealed, found.data_key)
    }
}

fn public(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}
