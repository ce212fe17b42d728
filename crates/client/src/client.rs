//! The client: signs, seals, sends, and believes nothing that it has not checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll_core::crypto::{ClientSession, SessionContext};
use keyroll_core::origin::verifier;
use keyroll_core::statement::{LedgerKey, SealingKey};
use keyroll_core::{Code, CommandId, Identity, LedgerId, SecretId, WorkspaceName, cbor, cose};
use keyroll_merkle::{Checkpoint, VerifierKey};
use keyroll_nats::Addresses;
use keyroll_wire::time::now;
use rand::TryRng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::checkpoints::CheckpointStore;
use crate::clock;
use crate::error::ClientError;
use crate::signer::Signer;
use keyroll_wire::reply::{Reply, ReplyBody, ServiceInfo};

use keyroll_wire::subjects;

/// Until when one call tries, all its repetitions included.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one request waits for its reply.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// How to reach a ledger, and as whom.
pub struct Settings {
    /// `nats://user:password@host:port`.
    pub nats_url: String,
    /// Who signs: an identity's own key (`key.into()`), or one that was delegated to.
    pub identity: Signer,
    /// The ledger's id, when it is known: anything else is refused. Otherwise the ledger's own
    /// word is taken, and the caller keeps [`Client::ledger`] for the next time.
    pub ledger: Option<LedgerId>,
    /// Where what was verified is kept; in memory when absent.
    pub home: Option<PathBuf>,
}

/// A connection to a ledger as one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Arc<Connection>,
    pub(crate) actor: Arc<Actor>,
}

/// What all who speak over one connection share.
pub(crate) struct Connection {
    pub(crate) nats: async_nats::Client,
    pub(crate) ledger: LedgerId,
    pub(crate) key: LedgerKey,
    /// The signed statement of `key`, as it came.
    pub(crate) statement: Vec<u8>,
    pub(crate) checkpoints: CheckpointStore,
    pub(crate) sealing: Mutex<SealingKey>,
    /// The checkpoint verified last, by workspace and text: replies of one commit carry the same.
    pub(crate) verified: Mutex<Option<(WorkspaceName, String, Checkpoint)>>,
}

/// Who signs, and its sessions: a session belongs to one identity.
pub(crate) struct Actor {
    pub(crate) signer: Signer,
    pub(crate) sessions: Mutex<BTreeMap<WorkspaceName, ClientSession>>,
}

impl Actor {
    fn new(signer: Signer) -> Arc<Self> {
        Arc::new(Self {
            signer,
            sessions: Mutex::new(BTreeMap::new()),
        })
    }
}

/// Fills an array from the operating system's random source.
///
/// # Errors
/// When the operating system has none.
pub fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0_u8; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| ClientError::failed(Code::Internal, format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A fresh command id (UUIDv7: near-sequential, as the read model's keys like it).
pub fn new_command_id() -> CommandId {
    CommandId(uuid::Uuid::now_v7().into_bytes())
}

/// A fresh secret id.
///
/// # Errors
/// As [`random`].
pub fn new_secret_id() -> Result<SecretId, ClientError> {
    random().map(SecretId)
}

/// How long one nats-server is tried.
const CONNECT: Duration = Duration::from_secs(3);

/// Connects to NATS, at [`Addresses`], with the inbox prefix that the server's permissions give
/// their user.
///
/// # Errors
/// [`Code::InvalidField`] when they are none, [`Code::Unreachable`].
pub async fn connect_nats(addresses: &str) -> Result<async_nats::Client, ClientError> {
    let addresses: Addresses = addresses.parse()?;
    let mut options = async_nats::ConnectOptions::new()
        .name("keyroll client")
        .request_timeout(Some(REQUEST_TIMEOUT));
    if let Some(user) = addresses.user() {
        options = options.custom_inbox_prefix(format!("_INBOX_client.{user}"));
    }
    let hosts = addresses.hosts();
    let connected = addresses.connect(options, CONNECT).await;
    connected.map_err(|why| {
        let words = format!("cannot connect to nats-server at {hosts}: {why}");
        ClientError::failed(Code::Unreachable, words)
    })
}

impl Client {
    /// Connects, and learns and checks the ledger's keys.
    ///
    /// # Errors
    /// [`Code::Unreachable`], or [`Code::WrongLedger`] when another ledger answers than the one
    /// pinned.
    pub async fn connect(settings: Settings) -> Result<Self, ClientError> {
        let nats = connect_nats(&settings.nats_url).await?;
        let info = fetch_info(&nats).await?;
        let ledger = match settings.ledger {
            Some(pinned) => pinned,
            None => cose::open::<LedgerKey>(&info.ledger_key.0)?.payload.ledger,
        };
        let key = LedgerKey::open(&info.ledger_key.0, &ledger)?;
        clock::check_in_force(&key, info.now, now())?;
        let sealing = open_sealing_key(&info, &ledger, &key)?;
        let checkpoints = match &settings.home {
            Some(home) => CheckpointStore::in_home(home, &ledger),
            None => CheckpointStore::memory(),
        };
        let connection = Arc::new(Connection {
            nats,
            ledger,
            key,
            statement: info.ledger_key.0,
            checkpoints,
            sealing: Mutex::new(sealing),
            verified: Mutex::new(None),
        });
        let actor = Actor::new(settings.identity);
        Ok(Self { connection, actor })
    }

    /// The same connection for somebody else: a page that serves many people has one connection
    /// and a client for each, under the key that each delegated to.
    #[must_use]
    pub fn with_signer(&self, signer: Signer) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            actor: Actor::new(signer),
        }
    }

    /// The ledger's id.
    pub fn ledger(&self) -> LedgerId {
        self.connection.ledger
    }

    /// Who this client is, whichever key signs for it.
    pub fn identity(&self) -> Identity {
        self.signer().identity()
    }

    /// Who signs.
    pub fn signer(&self) -> &Signer {
        &self.actor.signer
    }

    /// The ledger's online key.
    pub fn ledger_key(&self) -> &LedgerKey {
        &self.connection.key
    }

    /// The statement of the ledger's online key, signed by the ledger's id, as it came.
    pub fn ledger_statement(&self) -> &[u8] {
        &self.connection.statement
    }

    /// What was verified before.
    pub fn checkpoints(&self) -> &CheckpointStore {
        &self.connection.checkpoints
    }

    /// The connection underneath.
    pub fn nats(&self) -> &async_nats::Client {
        &self.connection.nats
    }

    /// The key that checks a workspace's checkpoints.
    ///
    /// # Errors
    /// [`Code::WrongLedger`] when the ledger's key is none.
    pub fn verifier(&self, workspace: &WorkspaceName) -> Result<VerifierKey, ClientError> {
        let key = verifier(&self.connection.ledger, workspace, &self.connection.key.key);
        key.map_err(|wrong| ClientError::failed(wrong.code, wrong.message))
    }

    /// The session with the ledger for a workspace, begun when there is none.
    ///
    /// # Errors
    /// When the ledger's sealing key is none.
    pub fn session(&self, workspace: &WorkspaceName) -> Result<ClientSession, ClientError> {
        let mut sessions = lock(&self.actor.sessions);
        if let Some(session) = sessions.get(workspace) {
            return Ok(session.clone());
        }
        let sealing = lock(&self.connection.sealing).clone();
        let context = SessionContext {
            ledger: &self.connection.ledger,
            workspace,
            actor: self.identity(),
        };
        let session = ClientSession::begin(
            &sealing.key,
            sealing.period,
            &context,
            &mut UnwrapErr(SysRng),
        )
        .map_err(|error| ClientError::failed(Code::Corrupt, error.to_string()))?;
        sessions.insert(workspace.clone(), session.clone());
        Ok(session)
    }

    /// Forgets all sessions and learns the present sealing key.
    pub(crate) async fn renew_sessions(&self) -> Result<(), ClientError> {
        let info = fetch_info(&self.connection.nats).await?;
        let sealing = open_sealing_key(&info, &self.connection.ledger, &self.connection.key)?;
        *lock(&self.connection.sealing) = sealing;
        lock(&self.actor.sessions).clear();
        Ok(())
    }

    pub(crate) fn open_checkpoint(
        &self,
        workspace: &WorkspaceName,
        text: &str,
    ) -> Result<Checkpoint, ClientError> {
        if let Some((of, known, checkpoint)) = lock(&self.connection.verified).as_ref()
            && of == workspace
            && known == text
        {
            return Ok(checkpoint.clone());
        }
        let key = self.verifier(workspace)?;
        let corrupt = |why: String| ClientError::failed(Code::Corrupt, why);
        let checkpoint = keyroll_merkle::SignedCheckpoint::open(text, &key)
            .map_err(|error| corrupt(format!("the checkpoint does not verify: {error}")))?;
        if checkpoint.origin != key.name() {
            return Err(corrupt(format!(
                "the checkpoint is of {}",
                checkpoint.origin
            )));
        }
        *lock(&self.connection.verified) =
            Some((workspace.clone(), text.to_owned(), checkpoint.clone()));
        Ok(checkpoint)
    }
}

/// The sealing key of the day. One of long ago, shown again, would have data keys sealed to a key
/// that may have leaked since.
fn open_sealing_key(
    info: &ServiceInfo,
    ledger: &LedgerId,
    key: &LedgerKey,
) -> Result<SealingKey, ClientError> {
    let sealing = SealingKey::open(&info.sealing_key.0, ledger, &key.key)?;
    let today = now().0 / keyroll_core::limits::SEALING_PERIOD_MS;
    if u64::from(sealing.period).abs_diff(today) <= 1 {
        return Ok(sealing);
    }
    Err(clock::apart(info.now, now()).unwrap_or_else(|| {
        let message = "the ledger shows a sealing key of another day: check the clocks";
        ClientError::failed(Code::Stale, message)
    }))
}

/// How often, and how far apart, a service is asked that nobody knows of yet: one that just started
/// has said what it listens to, and its nats-server may not have taken that up.
const INFO_ATTEMPTS: u32 = 5;
const INFO_PAUSE: std::time::Duration = std::time::Duration::from_millis(60);

async fn ask_info(
    nats: &async_nats::Client,
) -> Result<async_nats::Message, async_nats::RequestError> {
    for _ in 1..INFO_ATTEMPTS {
        match nats.request(subjects::INFO, Vec::new().into()).await {
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                tokio::time::sleep(INFO_PAUSE).await;
            }
            answered => return answered,
        }
    }
    nats.request(subjects::INFO, Vec::new().into()).await
}

async fn fetch_info(nats: &async_nats::Client) -> Result<ServiceInfo, ClientError> {
    let reply = ask_info(nats).await.map_err(|error| {
        use async_nats::RequestErrorKind as Kind;
        let why = match error.kind() {
            Kind::NoResponders => {
                "no keyroll service answers there: is `keyroll serve` or `keyroll dev` running?"
            }
            Kind::TimedOut => "the keyroll service does not answer",
            Kind::Other | Kind::InvalidSubject | Kind::MaxPayloadExceeded => {
                "the keyroll service cannot be asked: does this NATS user have the permission?"
            }
        };
        ClientError::failed(Code::Unreachable, why)
    })?;
    let refused = reply
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Service-Error"));
    if refused.is_some()
        && let ReplyBody::Error(rejection) = cose::open::<Reply>(&reply.payload)?.payload.body
    {
        return Err(rejection.into());
    }
    Ok(cbor::decode(&reply.payload)?)
}

/// A poisoned lock still guards whole values here: each is replaced in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
