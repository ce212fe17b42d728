//! Callers that mix all kinds of commands, and record the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyroll_client::Client;
use keyroll_client::{ClientError, Executed, NewSecretSpec, RequestedValue, new_command_id};
use keyroll_core::command::{Nothing, Purpose, SecretDescribe};
use keyroll_core::{
    Action, Blob, Code, Index, SecretId, SecretName, SignedCommand, Version, WorkspaceName,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Seeded;

/// Secrets that all callers read and write.
const SHARED: usize = 4;

/// The answers that callers got.
#[derive(Default)]
pub struct Record {
    /// Entries that were acknowledged, with their bytes.
    pub acked: BTreeMap<Index, Blob>,
    /// Signed commands with an unknown outcome.
    pub unknown: Vec<Vec<u8>>,
    /// Signed commands that were refused for good, with the refusal: they must not be in the log.
    pub refused: Vec<(Vec<u8>, String)>,
    /// Signed commands that were acknowledged, with their entry.
    pub described: Vec<(Vec<u8>, Index)>,
    /// Values that were sent for a version: a reveal of it gives one of these.
    tried: BTreeMap<(SecretId, Version), BTreeSet<Vec<u8>>>,
    /// Values of versions that were acknowledged.
    pub kept: BTreeMap<(SecretName, Version), Vec<u8>>,
    /// Values that were revealed.
    pub revealed: u64,
    /// How often each code came back.
    pub codes: BTreeMap<&'static str, u64>,
}

/// Callers of one workspace.
#[derive(Clone)]
pub struct Crowd {
    clients: Vec<Client>,
    workspace: WorkspaceName,
    shared: Vec<(SecretName, SecretId)>,
    record: Arc<Mutex<Record>>,
    stop: watch::Sender<bool>,
    seeds: Arc<Mutex<Seeded>>,
}

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    /// Callers through any of `clients`, after the workspace and its shared secrets are made.
    ///
    /// # Panics
    /// When they cannot be made.
    pub async fn gather(clients: Vec<Client>, seed: u64) -> Self {
        let workspace: WorkspaceName = "demo".parse().expect("a name");
        let create = Action::WorkspaceCreate(Nothing {});
        let made = clients[0]
            .execute(&workspace, create)
            .await
            .expect("a workspace");
        let mut crowd = Self {
            clients,
            workspace,
            shared: Vec::new(),
            record: Arc::default(),
            stop: watch::Sender::new(false),
            seeds: Arc::new(Mutex::new(Seeded::new(seed))),
        };
        crowd.acked(&made);
        for number in 0..SHARED {
            let secret = name(&format!("Shared_{number}"));
            let id = crowd.create(0, &secret).await.expect("a secret");
            crowd.shared.push((secret, id));
        }
        crowd
    }

    /// The answers so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Sets `callers` more to work, until [`Crowd::rest`].
    pub fn work(&self, callers: usize) -> Vec<JoinHandle<()>> {
        self.stop.send_replace(false);
        let start = |_| {
            let (crowd, numbers) = (self.clone(), lock(&self.seeds).split());
            tokio::spawn(crowd.caller(numbers, self.stop.subscribe()))
        };
        (0..callers).map(start).collect()
    }

    /// Stops callers before their next call. Calls under way continue.
    pub fn rest(&self) {
        self.stop.send_replace(true);
    }

    async fn caller(self, mut numbers: Seeded, stop: watch::Receiver<bool>) {
        // A delayed caller of an earlier shift must not continue in the next one.
        while !*stop.borrow() && !stop.has_changed().unwrap_or(true) {
            let via = usize::try_from(numbers.below(self.clients.len() as u64)).expect("small");
            let (secret, id) = numbers.pick(&self.shared).clone();
            let done = match numbers.below(100) {
                0..40 => self.reveal(via, &secret, &mut numbers).await,
                40..65 => self.describe(via, &secret, id).await,
                65..80 => {
                    let fresh = name(&format!("N{:016x}", numbers.any()));
                    self.create(via, &fresh).await.map(drop)
                }
                80..92 => self.edit(via, &secret, id, &mut numbers).await,
                _ => self.repeat(via, &mut numbers).await,
            };
            if let Err(error) = done {
                self.expected(&error);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The codes that a ledger may answer with during faults; any other is a defect.
    fn expected(&self, error: &ClientError) {
        let fine = matches!(
            error.code(),
            Code::Conflict
                | Code::Busy
                | Code::AuditUnavailable
                | Code::AuditUnknown
                | Code::Unreachable
        );
        assert!(fine, "{}: {error}", error.code());
        *self
            .record()
            .codes
            .entry(error.code().as_str())
            .or_default() += 1;
    }

    fn acked(&self, acted: &Executed) {
        let before = self
            .record()
            .acked
            .insert(acted.index, acted.receipt.entry.clone());
        assert!(
            before.is_none_or(|before| before == acted.receipt.entry),
            "two entries at {}",
            acted.index
        );
    }

    async fn create(&self, via: usize, secret: &SecretName) -> Result<SecretId, ClientError> {
        let spec = NewSecretSpec {
            name: secret.clone(),
            description: "made under load".parse().expect("a text"),
            hosts: Vec::new(),
            restricted: false,
            rotate_every: None,
        };
        let value = format!("the first value of {secret}").into_bytes();
        let acted = self.clients[via]
            .create(&self.workspace, &[(spec, &value)])
            .await?;
        self.acked(&acted);
        let command = SignedCommand::decode(&acted.entry.command.0).expect("a command");
        let Action::SecretCreate(create) = &command.command().action else {
            panic!("another command was carried out")
        };
        let (id, mut record) = (create.secret.id, self.record());
        record
            .tried
            .entry((id, Version::FIRST))
            .or_default()
            .insert(value.clone());
        record.kept.insert((secret.clone(), Version::FIRST), value);
        Ok(id)
    }

    /// Reveals, and returns the version. The value must have been written as that version.
    async fn read(&self, via: usize, secret: &SecretName) -> Result<Version, ClientError> {
        let wanted = [RequestedValue {
            name: secret.clone(),
            version: None,
        }];
        let revealed = self.clients[via]
            .reveal(&self.workspace, &wanted, &Purpose::Run(Nothing {}), None)
            .await?;
        let revealed = revealed.warn(|warning| panic!("a false alarm: {warning}"));
        let (opened, mut record) = (&revealed.values[0], self.record());
        let tried = record.tried.get(&(opened.id, opened.version));
        assert!(
            tried.is_some_and(|tried| tried.contains(opened.value.as_slice())),
            "nobody wrote {} of {secret} as it was given out",
            opened.version
        );
        record.revealed += 1;
        let before = record
            .acked
            .insert(revealed.index, revealed.receipt.entry.clone());
        assert!(before.is_none(), "two entries at {}", revealed.index);
        Ok(opened.version)
    }

    async fn reveal(
        &self,
        via: usize,
        secret: &SecretName,
        _: &mut Seeded,
    ) -> Result<(), ClientError> {
        self.read(via, secret).await.map(drop)
    }

    async fn edit(
        &self,
        via: usize,
        secret: &SecretName,
        id: SecretId,
        numbers: &mut Seeded,
    ) -> Result<(), ClientError> {
        let version = self.read(via, secret).await?.next();
        let value = format!("{version} of {secret}, {:016x}", numbers.any()).into_bytes();
        self.record()
            .tried
            .entry((id, version))
            .or_default()
            .insert(value.clone());
        let acted = self.clients[via]
            .edit(&self.workspace, (id, secret), version, &value, (None, None))
            .await?;
        self.acked(&acted);
        let before = self.record().kept.insert((secret.clone(), version), value);
        assert!(before.is_none(), "two edits made {version} of {secret}");
        Ok(())
    }

    async fn describe(
        &self,
        via: usize,
        secret: &SecretName,
        id: SecretId,
    ) -> Result<(), ClientError> {
        let action = Action::SecretDescribe(SecretDescribe {
            id,
            name: secret.clone(),
            hosts: None,
            restricted: None,
            description: Some("changed under load".parse().expect("a text")),
            rotate_every: None,
        });
        let client = &self.clients[via];
        let bytes = client.sign_command(&self.workspace, new_command_id(), action);
        self.send(via, bytes).await
    }

    /// Sends signed bytes for the first time, and records the outcome.
    async fn send(&self, via: usize, bytes: Vec<u8>) -> Result<(), ClientError> {
        let doubtful = |code| matches!(code, Code::AuditUnknown | Code::Unreachable);
        self.submit(via, bytes, doubtful).await
    }

    /// Sends bytes with an unknown outcome again. A failure this time proves nothing about the
    /// first time.
    pub(super) async fn send_again(&self, via: usize, bytes: Vec<u8>) -> Result<(), ClientError> {
        let doubtful = |code| {
            let again = matches!(code, Code::Busy | Code::AuditUnavailable);
            again || matches!(code, Code::AuditUnknown | Code::Unreachable)
        };
        self.submit(via, bytes, doubtful).await
    }

    async fn submit(
        &self,
        via: usize,
        bytes: Vec<u8>,
        doubtful: impl Fn(Code) -> bool,
    ) -> Result<(), ClientError> {
        let sent = self.clients[via].submit(&self.workspace, bytes.clone(), Vec::new());
        match sent.await {
            Ok(acted) => {
                self.acked(&acted);
                self.record().described.push((bytes, acted.index));
                Ok(())
            }
            Err(error) => {
                let mut record = self.record();
                if doubtful(error.code()) {
                    record.unknown.push(bytes);
                } else {
                    record.refused.push((bytes, error.to_string()));
                }
                drop(record);
                Err(error)
            }
        }
    }

    /// Sends a command that was carried out again, and gets the same entry.
    async fn repeat(&self, via: usize, numbers: &mut Seeded) -> Result<(), ClientError> {
        let known = {
            let record = self.record();
            if record.described.is_empty() {
                return Ok(());
            }
            numbers.pick(&record.described).clone()
        };
        let (bytes, index) = known;
        let again = self.clients[via]
            .submit(&self.workspace, bytes, Vec::new())
            .await?;
        assert_eq!(again.index, index, "another entry for the same command");
        Ok(())
    }

    /// The clients.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The workspace.
    pub const fn workspace(&self) -> &WorkspaceName {
        &self.workspace
    }
}
