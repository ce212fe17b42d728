//! A long log, made quickly: the commits that a ledger would have made in a busy month are decided
//! and signed here, with its own key, and published while no service runs.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use ed25519_dalek::SigningKey;
use keyroll_core::command::{
    BlockRun, COMMAND_V, Command, MemberRecord, NewSecret, Nothing, Purpose, RevealItem,
    SecretCreate, SecretEdit, SecretReveal, SessionRef,
};
use keyroll_core::commit::COMMIT_V;
use keyroll_core::crypto::sealed_size;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::ids::Encapsulated;
use keyroll_core::roles::Role;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Action, Authority, Blob, CommandId, Commit, Digest, Entry, Glob, Identity, Index, LedgerId,
    Millis, Recorded, Rules, SecretId, SecretName, SignedCommand, State, Version, WorkspaceName,
    cbor, cose, decide, limits,
};
use keyroll_merkle::leaf_hash;
use keyroll_server::dev::launcher::CHILD_COMMAND;
use keyroll_server::dev::{DevServer, Launcher};
use keyroll_server::keys::read_signing_key;
use keyroll_server::nats::permissions::OPERATOR_INBOX;
use keyroll_server::nats::{Endpoint, OperatorKeys, ServerConfig};
use keyroll_tests::harness::programs;
use keyroll_wire::time::now;
use tokio::sync::mpsc;

use crate::{Failed, machine, service};

/// Owner and editors.
const MEMBERS: u64 = 8;
/// Secrets that are revealed and edited.
const SECRETS: u64 = 1_000;
/// One entry in this many creates a secret, up to `MOST_SECRETS` of them.
const CREATE_EVERY: u64 = 10;
const MOST_SECRETS: u64 = 100_000;
/// Secrets that half of the reveals are of.
const HOT: u64 = 20;
/// One entry in this many is an edit.
const EDIT_EVERY: u64 = 100;
/// The log covers this much time and ends now.
pub(crate) const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bytes that a commit's own fields and signature take.
const COMMIT_OVERHEAD: usize = 1_024;
/// Batches of signed commands, and commits, that may wait for the next step.
const WAITING: usize = 4;

/// Filters that queries use on the log made here: each finds 50 rows even in a short one.
pub(crate) fn hot_secret() -> Result<SecretName, Failed> {
    Ok(name(0)?)
}

/// A secret whose rows lie far apart.
pub(crate) fn cold_secret() -> Result<SecretName, Failed> {
    Ok(name(HOT + 7)?)
}

/// Entries that one run of a block is spread over: ten of them are its own.
const RUN_EVERY: u64 = 40;

/// A run of a block about half way.
pub(crate) fn middle_run(entries: u64) -> String {
    format!("run-{}", entries / 2 / RUN_EVERY)
}

/// One of the editors.
pub(crate) fn editor() -> Identity {
    Identity(member_key(3).verifying_key().to_bytes())
}

/// The times of the first entry and of the last, `long` apart; the log ends now.
pub(crate) fn span(long: Duration) -> (Millis, Millis) {
    let end = now();
    (Millis(end.0 - millis(long)), end)
}

fn millis(long: Duration) -> u64 {
    u64::try_from(long.as_millis()).unwrap_or(0)
}

/// All keys of a ledger, and the log to be made.
struct World {
    ledger: LedgerId,
    online: SigningKey,
    created: WorkspaceCreated,
    workspace: WorkspaceName,
    members: Vec<SigningKey>,
    begin: Millis,
    span: Duration,
    entries: u64,
    batch: u64,
}

/// The result of filling a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    pub(crate) commits: u64,
    pub(crate) seconds: f64,
}

fn name(secret: u64) -> Result<SecretName, keyroll_core::names::InvalidName> {
    format!("Secret_{secret}").parse()
}

fn member_key(member: u64) -> SigningKey {
    SigningKey::from_bytes(&Digest::of(&member.to_be_bytes()).0)
}

/// Spreads consecutive numbers (the finalizer of SplitMix64).
fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn secret_id(secret: u64) -> SecretId {
    let digest = Digest::of(&secret.to_le_bytes()).0;
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    SecretId(id)
}

/// Fills the log of `workspace` in the ledger of a data directory that no service uses now.
pub(crate) async fn fill(
    data: &Path,
    workspace: &WorkspaceName,
    (entries, batch): (u64, u64),
    long: Duration,
) -> Result<Filled, Failed> {
    let begun = Instant::now();
    let world = World::load(data, workspace.clone(), (entries, batch), long)?;
    let (server, operator) = start_nats(data).await?;
    let (sender, mut commits) = mpsc::channel::<Vec<u8>>(WAITING);
    let making = tokio::task::spawn_blocking(move || world.make(&sender));
    let mut context = jetstream::new(operator);
    context.set_timeout(Duration::from_secs(30));
    let (mut head, mut count) = (0, 0);
    while let Some(commit) = commits.recv().await {
        let message = PublishMessage::build()
            .payload(commit.into())
            .expected_last_subject_sequence(head);
        head = context
            .send_publish(format!("keyroll.log.{workspace}"), message)
            .await?
            .await?
            .sequence;
        count += 1;
    }
    making.await??;
    server.stop().await;
    Ok(Filled {
        commits: count,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// The nats-server of a data directory, alone, tied to this process; and its operator.
async fn start_nats(data: &Path) -> Result<(DevServer, async_nats::Client), Failed> {
    let keys = operator_keys(data)?;
    let config = ServerConfig {
        server_name: "keyroll-bench".to_owned(),
        data_dir: data.to_owned(),
        endpoint: Endpoint::Private {
            run_dir: data.join("run"),
        },
        cluster: None,
        trust: keys.trust()?,
    };
    let launcher: Launcher = Launcher {
        program: service::keyroll()?,
        args_prefix: vec![CHILD_COMMAND.into()],
    };
    let operator = keys.users()?.operator;
    let nats = programs::nats_server();
    let server = DevServer::start(nats, Some(&launcher), &config, &operator).await?;
    let operator = operator
        .connect_options()
        .custom_inbox_prefix(OPERATOR_INBOX)
        .connect(server.nats_url())
        .await?;
    Ok((server, operator))
}

/// The keys that `keyroll dev` will find in the directory: the streams lie under one of them.
fn operator_keys(data: &Path) -> Result<OperatorKeys, Failed> {
    let path = data.join("nats-keys.toml");
    if path.exists() {
        return Ok(OperatorKeys::parse(&std::fs::read_to_string(path)?)?);
    }
    let keys = OperatorKeys::generate()?;
    std::fs::write(path, keys.render()?)?;
    Ok(keys)
}

impl World {
    fn load(
        data: &Path,
        workspace: WorkspaceName,
        (entries, batch): (u64, u64),
        long: Duration,
    ) -> Result<Self, Failed> {
        let keys: PathBuf = data.join("keys");
        let statement = std::fs::read(keys.join("ledger-key.cose"))?;
        let said = cose::open::<LedgerKey>(&statement)?.payload;
        let mut members = vec![service::owner(data)?];
        members.extend((1..MEMBERS).map(member_key));
        Ok(Self {
            ledger: said.ledger,
            online: read_signing_key(&keys.join("online.pem"))?,
            created: WorkspaceCreated {
                key: said.key,
                serial: said.serial,
                statement: statement.into(),
            },
            workspace,
            members,
            begin: span(long).0,
            span: long,
            entries,
            batch,
        })
    }

    /// When the batch that an entry belongs to is decided.
    fn at(&self, entry: u64) -> Millis {
        let span = millis(self.span);
        // A minute before now, so that no entry that a service adds has an earlier time.
        Millis(self.begin.0 + (span - 60_000) / self.entries * (entry / self.batch * self.batch))
    }

    /// Number of secrets created.
    fn secrets(&self) -> u64 {
        (self.entries / CREATE_EVERY).clamp(SECRETS, MOST_SECRETS)
    }

    fn session(&self) -> SessionRef {
        SessionRef {
            enc: Encapsulated(self.ledger.0),
            period: 1,
        }
    }

    /// The command of an entry, and its signer.
    fn action(&self, entry: u64) -> Result<(Action, usize), Failed> {
        let Some(after_members) = entry.checked_sub(MEMBERS) else {
            return Ok((self.welcome(entry)?, 0));
        };
        let Some(number) = after_members.checked_sub(self.secrets()) else {
            return Ok((self.create(after_members)?, 0));
        };
        let by = usize::try_from(spread(number) % MEMBERS)?;
        if number.is_multiple_of(EDIT_EVERY) {
            return Ok((self.edit(number / EDIT_EVERY)?, by));
        }
        let secret = if number % 2 == 1 {
            number / 2 % HOT
        } else {
            spread(entry) % SECRETS
        };
        let purpose = if number % 4 == 1 {
            Purpose::Block(BlockRun {
                run: format!("run-{}", number / RUN_EVERY).parse()?,
                block: "http_request_1".parse()?,
                workflow: "nightly".parse()?,
            })
        } else {
            Purpose::View(Nothing {})
        };
        let reveal = SecretReveal {
            names: vec![RevealItem {
                id: None,
                name: name(secret)?,
                version: None,
            }],
            reason: None,
            purpose,
            session: self.session(),
        };
        Ok((Action::SecretReveal(reveal), by))
    }

    fn welcome(&self, entry: u64) -> Result<Action, Failed> {
        let Some(key) = self
            .members
            .get(usize::try_from(entry)?)
            .filter(|_| entry > 0)
        else {
            return Ok(Action::WorkspaceCreate(Nothing {}));
        };
        Ok(Action::MemberAdd(MemberRecord {
            name: format!("editor {entry}").parse()?,
            role: Role::Editor,
            member: Identity(key.verifying_key().to_bytes()).into(),
            expires: None,
            secrets: vec![Glob::any()],
        }))
    }

    fn create(&self, secret: u64) -> Result<Action, Failed> {
        let new = NewSecret {
            id: secret_id(secret),
            name: name(secret)?,
            size: size()?,
            hosts: Vec::new(),
            digest: Digest::of(&spread(secret).to_be_bytes()),
            restricted: false,
            description: "made by the bench".parse()?,
            rotate_every: None,
        };
        Ok(Action::SecretCreate(SecretCreate {
            secret: new,
            session: self.session(),
        }))
    }

    fn edit(&self, edit: u64) -> Result<Action, Failed> {
        let secret = edit % SECRETS;
        Ok(Action::SecretEdit(SecretEdit {
            id: secret_id(secret),
            name: name(secret)?,
            size: size()?,
            digest: Digest::of(&edit.to_be_bytes()),
            reason: None,
            session: self.session(),
            version: Version(u32::try_from(2 + edit / SECRETS)?),
        }))
    }

    fn sign(&self, entry: u64) -> Result<SignedCommand, Failed> {
        let (action, by) = self.action(entry)?;
        let at = self.at(entry);
        // As a UUIDv7: time, then a distinct part.
        let mut id = [0; 16];
        id[..6].copy_from_slice(&at.0.to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&[0x70, 0]);
        id[8..].copy_from_slice(&spread(entry).to_be_bytes());
        let command = Command {
            v: COMMAND_V,
            at,
            id: CommandId(id),
            action,
            ledger: self.ledger,
            workspace: self.workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        Ok(SignedCommand::decode_trusted(&cose::sign(
            &command,
            &self.members[by],
        ))?)
    }

    /// Every batch in order, signed on all cores.
    fn make(&self, commits: &mpsc::Sender<Vec<u8>>) -> Result<(), Failed> {
        let signers = machine::cores() as u64;
        std::thread::scope(|scope| {
            let signed: Vec<_> = (0..signers)
                .map(|first| {
                    let (sender, receiver) = sync_channel(WAITING);
                    scope.spawn(move || self.sign_batches(first, signers, &sender));
                    receiver
                })
                .collect();
            self.decide_all(&signed, commits)
        })
    }

    fn sign_batches(
        &self,
        first: u64,
        step: u64,
        signed: &SyncSender<Result<Vec<SignedCommand>, Failed>>,
    ) {
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        for batch in (first..self.entries.div_ceil(self.batch)).step_by(step) {
            let begin = batch * self.batch;
            let end = (begin + self.batch).min(self.entries);
            let commands: Result<Vec<_>, _> = (begin..end).map(|entry| self.sign(entry)).collect();
            // The task that decides may have failed.
            if signed.send(commands).is_err() {
                return;
            }
        }
    }

    fn decide_all(
        &self,
        signed: &[Receiver<Result<Vec<SignedCommand>, Failed>>],
        commits: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Failed> {
        let mut state = State::new(self.ledger, self.workspace.clone());
        for receiver in signed.iter().cycle() {
            if state.size().0 == self.entries {
                return Ok(());
            }
            let mut commands = receiver.recv()??.into_iter().peekable();
            while commands.peek().is_some() {
                commits.blocking_send(self.commit(&mut state, &mut commands)?)?;
            }
        }
        Ok(())
    }

    /// The next commit, with as many commands as fit it.
    fn commit(
        &self,
        state: &mut State,
        commands: &mut std::iter::Peekable<std::vec::IntoIter<SignedCommand>>,
    ) -> Result<Vec<u8>, Failed> {
        let (first, root, at) = (
            state.size(),
            Digest(state.root().0),
            self.at(state.size().0),
        );
        let mut entries: Vec<Blob> = Vec::new();
        let mut bytes = COMMIT_OVERHEAD;
        while let Some(command) = commands.peek() {
            if bytes + 2 * command.bytes().len() > limits::COMMIT_BYTES {
                break;
            }
            let entry = self.entry(state, at, command.clone())?;
            bytes += entry.0.len() + 5;
            entries.push(entry);
            commands.next();
        }
        let commit = Commit {
            v: COMMIT_V,
            at,
            root,
            first,
            rules: Rules::CURRENT.number(),
            ledger: self.ledger,
            entries,
            workspace: self.workspace.clone(),
        };
        Ok(cose::sign(&commit, &self.online))
    }

    fn entry(&self, state: &mut State, at: Millis, command: SignedCommand) -> Result<Blob, Failed> {
        let authority = Authority {
            operator: true,
            key: self.created.clone(),
        };
        let (index, verbatim) = (state.size().next_index(), Blob(command.bytes().to_vec()));
        // Signed a moment ago, right here.
        let verified = command.clone().assume_verified();
        let events = decide(Rules::CURRENT, state, &verified, at, &authority)?;
        let entry = Entry {
            at,
            events,
            command: verbatim,
        };
        let bytes = cbor::encode(&entry);
        let leaf = leaf_hash(&bytes);
        let recorded = Recorded {
            index: Index(index.0),
            at,
            events: entry.events,
            command,
            leaf,
        };
        state.apply(Rules::CURRENT, &recorded);
        Ok(Blob(bytes))
    }
}

/// Sealed bytes of a short value.
fn size() -> Result<u32, Failed> {
    Ok(sealed_size(1).ok_or("no value is so short")?.try_into()?)
}
