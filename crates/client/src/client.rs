//! The connection to a ledger: its keys, the sessions, and the checkpoints verified over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll_core::crypto::{ClientSession, SessionContext};
use keyroll_core::origin::verifier;
use keyroll_core::statement::{LedgerKey, SealingKey};
use keyroll_core::{Code, CommandId, LedgerId, MemberId, SecretId, WorkspaceName, cbor, cose};
use keyroll_merkle::{Checkpoint, VerifierKey};
use keyroll_nats::{Addresses, Creds, CredsError};
use keyroll_wire::time::now;
use rand::TryRng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::checkpoints::CheckpointStore;
use crate::clock;
use crate::error::ClientError;
use crate::sign_in::OpenedIn;
use crate::signer::Signer;
use crate::sync::lock;
use keyroll_wire::reply::{Reply, ReplyBody, ServiceInfo};

use keyroll_wire::subjects;

/// How long one call takes at most, with all its retries.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one request waits for its reply.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// The address of a ledger, and the signer to connect as.
pub struct Settings {
    /// `nats://host:port`.
    pub nats_url: String,
    /// The `.creds` file of the NATS user. It is read again at every attempt to connect.
    pub nats_creds: Option<PathBuf>,
    /// The signer: a member's own key (`key.into()`), or a sign-in's.
    pub identity: Signer,
    /// The pinned ledger id: any other ledger is refused. Without one the first answer is trusted,
    /// and the caller keeps [`Client::ledger`] for the next time.
    pub ledger: Option<LedgerId>,
    /// The directory for verified checkpoints and facts; they are kept in memory when absent.
    pub home: Option<PathBuf>,
}

/// A connection to a ledger as one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Arc<Connection>,
    pub(crate) actor: Arc<Actor>,
}

/// The state that all clients over one connection share.
pub(crate) struct Connection {
    pub(crate) nats: async_nats::Client,
    pub(crate) ledger: LedgerId,
    pub(crate) key: LedgerKey,
    /// The signed statement of `key`, as received.
    pub(crate) statement: Vec<u8>,
    pub(crate) checkpoints: CheckpointStore,
    pub(crate) sealing: Mutex<SealingKey>,
    /// The last verified checkpoint, by workspace and text: the replies for one commit share it.
    pub(crate) verified: Mutex<Option<(WorkspaceName, String, Checkpoint)>>,
}

/// A signer and its sessions: a session belongs to one identity.
pub(crate) struct Actor {
    pub(crate) signer: Signer,
    pub(crate) sessions: Mutex<BTreeMap<WorkspaceName, ClientSession>>,
    /// Where the ledger knows the signer's sign-in.
    pub(crate) opened_in: OpenedIn,
}

impl Actor {
    fn new(signer: Signer, opened_in: OpenedIn) -> Arc<Self> {
        Arc::new(Self {
            signer,
            opened_in,
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

/// A fresh command id: a UUIDv7, since near-sequential keys suit the read model.
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

/// How long a connection to one nats-server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to NATS, at [`Addresses`], with the credentials in a file, and with the inbox prefix that the
/// server's permissions give their user.
///
/// # Errors
/// [`Code::InvalidField`] when they do not parse or the credentials cannot be used, [`Code::Unreachable`].
pub async fn connect_nats(
    addresses: &str,
    creds: Option<&Path>,
) -> Result<async_nats::Client, ClientError> {
    let addresses: Addresses = addresses.parse()?;
    let mut options = match creds {
        None => async_nats::ConnectOptions::new(),
        Some(path) => {
            let unusable =
                |error: CredsError| ClientError::failed(Code::InvalidField, error.to_string());
            let name = Creds::load(path).map_err(unusable)?.name().to_owned();
            keyroll_nats::creds::connect_options(path)
                .map_err(unusable)?
                .custom_inbox_prefix(format!("_INBOX_client.{name}"))
        }
    };
    options = options
        .name("keyroll client")
        .request_timeout(Some(REQUEST_TIMEOUT));
    if let Some(user) = addresses.user() {
        options = options.custom_inbox_prefix(format!("_INBOX_client.{user}"));
    }
    let hosts = addresses.hosts();
    let connected = addresses.connect(options, CONNECT_TIMEOUT).await;
    connected.map_err(|why| {
        let words = format!("cannot connect to nats-server at {hosts}: {why}");
        ClientError::failed(Code::Unreachable, words)
    })
}

impl Client {
    /// Connects, and fetches and checks the ledger's keys.
    ///
    /// # Errors
    /// [`Code::Unreachable`], or [`Code::WrongLedger`] when another ledger than the pinned one
    /// answers.
    pub async fn connect(settings: Settings) -> Result<Self, ClientError> {
        let nats = connect_nats(&settings.nats_url, settings.nats_creds.as_deref()).await?;
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
        let opened_in = match (
            settings.identity.consent(),
            connection.checkpoints.directory(),
        ) {
            (Some(consent), Some(directory)) => OpenedIn::in_directory(directory, &consent.key)?,
            _ => OpenedIn::default(),
        };
        let actor = Actor::new(settings.identity, opened_in);
        Ok(Self { connection, actor })
    }

    /// A client for another signer over the same connection: a web page for many people has one
    /// connection, and a client for the sign-in of each person.
    #[must_use]
    pub fn with_signer(&self, signer: Signer) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            actor: Actor::new(signer, OpenedIn::default()),
        }
    }

    /// The ledger's id.
    pub fn ledger(&self) -> LedgerId {
        self.connection.ledger
    }

    /// The member that acts, whichever key signs for it.
    pub fn member(&self) -> MemberId {
        self.signer().member()
    }

    /// The signer.
    pub fn signer(&self) -> &Signer {
        &self.actor.signer
    }

    /// The ledger's online key.
    pub fn ledger_key(&self) -> &LedgerKey {
        &self.connection.key
    }

    /// The statement of the ledger's online key, signed by the ledger's id, as received.
    pub fn ledger_statement(&self) -> &[u8] {
        &self.connection.statement
    }

    /// The verified checkpoints, and the facts about secrets beside them.
    pub fn checkpoints(&self) -> &CheckpointStore {
        &self.connection.checkpoints
    }

    /// The underlying NATS connection.
    pub fn nats(&self) -> &async_nats::Client {
        &self.connection.nats
    }

    /// The key that verifies a workspace's checkpoints.
    ///
    /// # Errors
    /// [`Code::WrongLedger`] when the ledger's key is not an Ed25519 key.
    pub fn verifier(&self, workspace: &WorkspaceName) -> Result<VerifierKey, ClientError> {
        let key = verifier(&self.connection.ledger, workspace, &self.connection.key.key);
        key.map_err(|wrong| ClientError::failed(wrong.code, wrong.message))
    }

    /// The session with the ledger for a workspace. It is started when there is none.
    ///
    /// # Errors
    /// When the ledger's sealing key is not an X25519 key.
    pub fn session(&self, workspace: &WorkspaceName) -> Result<ClientSession, ClientError> {
        let mut sessions = lock(&self.actor.sessions);
        if let Some(session) = sessions.get(workspace) {
            return Ok(session.clone());
        }
        let sealing = lock(&self.connection.sealing).clone();
        let context = SessionContext {
            ledger: &self.connection.ledger,
            workspace,
            actor: self.member(),
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

    /// Forgets all sessions and fetches the current sealing key.
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
        if let Some((verified_workspace, verified_text, checkpoint)) =
            lock(&self.connection.verified).as_ref()
            && verified_workspace == workspace
            && verified_text == text
        {
            return Ok(checkpoint.clone());
        }
        let key = self.verifier(workspace)?;
        let corrupt = |why: String| ClientError::failed(Code::Corrupt, why);
        let checkpoint = keyroll_merkle::SignedCheckpoint::open(text, &key)
            .map_err(|error| corrupt(format!("the checkpoint does not verify: {error}")))?;
        if checkpoint.origin != key.name() {
            return Err(corrupt(format!(
                "the checkpoint is for {}",
                checkpoint.origin
            )));
        }
        *lock(&self.connection.verified) =
            Some((workspace.clone(), text.to_owned(), checkpoint.clone()));
        Ok(checkpoint)
    }
}

/// The sealing key of today. Data keys must not be sealed to an old one, which may have leaked
/// since.
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
        let message =
            "the ledger shows a sealing key of another day: check the clocks of both machines";
        ClientError::failed(Code::Stale, message)
    }))
}

/// How often the keys are requested while there are no responders, and the pause between: a service
/// that just started has subscribed, but its nats-server may not have registered that yet.
const INFO_ATTEMPTS: u32 = 5;
const INFO_PAUSE: Duration = Duration::from_millis(60);

async fn request_info(
    nats: &async_nats::Client,
) -> Result<async_nats::Message, async_nats::RequestError> {
    for _ in 1..INFO_ATTEMPTS {
        match nats.request(subjects::INFO, Vec::new().into()).await {
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                tokio::time::sleep(INFO_PAUSE).await;
            }
            reply => return reply,
        }
    }
    nats.request(subjects::INFO, Vec::new().into()).await
}

async fn fetch_info(nats: &async_nats::Client) -> Result<ServiceInfo, ClientError> {
    let reply = request_info(nats).await.map_err(|error| {
        use async_nats::RequestErrorKind as Kind;
        let why = match error.kind() {
            Kind::NoResponders => {
                "no keyroll service answers there: start `keyroll serve` or `keyroll dev`"
            }
            Kind::TimedOut => "the keyroll service does not answer",
            Kind::Other | Kind::InvalidSubject | Kind::MaxPayloadExceeded => {
                "the keyroll service cannot be reached: check the permissions of this NATS user"
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
