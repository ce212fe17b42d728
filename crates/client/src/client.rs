//! The connection to a ledger: its keys, the sessions, and the checkpoints verified over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll_core::crypto::{ClientSession, SessionContext};
use keyroll_core::origin::verifier;
use keyroll_core::statement::{LedgerKey, SealingKey};
use keyroll_core::{Code, CommandId, LedgerId, MemberId, Millis, SecretId, WorkspaceName, cose};
use keyroll_merkle::{Checkpoint, VerifierKey};
use keyroll_nats::nkeys::KeyPair;
use keyroll_nats::{Addresses, Creds, CredsError};
use keyroll_wire::time::now;
use rand::TryRng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::checkpoints::CheckpointStore;
use crate::clock;
use crate::error::ClientError;
use crate::link::Link;
use crate::opened_in::OpenedIn;
use crate::signer::Signer;
use crate::sync::lock;
use keyroll_wire::reply::ServiceInfo;

/// How long one call takes at most, with all its retries.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one request waits for its reply.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// The address of a ledger, and the signer to connect as.
pub struct Settings {
    /// `nats://host:port`, or with a NATS user of one's own `nats://user:password@host:port`.
    pub nats_url: String,
    /// The `.creds` file of a NATS user of one's own. Without one, and without a user in the address, the
    /// ledger issues credentials.
    pub nats_creds: Option<PathBuf>,
    /// A file with the certificate that signs those of the nats-servers, besides those that the machine
    /// trusts.
    pub nats_ca: Option<PathBuf>,
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

/// The keys of a ledger, once they are verified.
#[derive(Clone)]
pub(crate) struct LedgerKeys {
    pub(crate) ledger: LedgerId,
    pub(crate) online: LedgerKey,
}

/// The state that all clients over one connection share.
pub(crate) struct Connection {
    pub(crate) link: Arc<Link>,
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
        let addresses = settings.nats_url.parse::<Addresses>()?;
        let addresses = addresses.with_ca(settings.nats_ca);
        let (creds, signer) = (settings.nats_creds, settings.identity.clone());
        let link = Link::new(addresses, creds, signer, settings.home.clone());
        let info = Box::pin(link.meet(settings.ledger.as_ref())).await?;
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
        link.trust(LedgerKeys {
            ledger,
            online: key.clone(),
        });
        let connection = Arc::new(Connection {
            link,
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

    /// The underlying NATS connection, as it is now: it is replaced before its credentials end.
    ///
    /// # Errors
    /// The ledger's refusal to issue credentials; [`Code::Unreachable`].
    pub async fn nats(
        &self,
        workspace: Option<&WorkspaceName>,
    ) -> Result<async_nats::Client, ClientError> {
        Ok(self.connection.link.live(workspace).await?.nats.clone())
    }

    /// The text of a `.creds` file for other NATS clients, and when it ends: a user that reaches these
    /// workspaces for about an hour. It keeps the connection key of a `.creds` file that it will `replace`, and with
    /// that its name; else the key is fresh.
    ///
    /// # Errors
    /// The ledger's refusal; [`Code::Unreachable`].
    pub async fn issue_creds(
        &self,
        workspaces: Vec<WorkspaceName>,
        replace: Option<&Path>,
    ) -> Result<(String, Millis), ClientError> {
        let kept = replace.and_then(|file| Creds::load(file).ok());
        let key = kept.map_or_else(KeyPair::new_user, |creds| creds.key().clone());
        let creds = self
            .connection
            .link
            .credential_for(&key, workspaces)
            .await?;
        let text = creds.render();
        let text = text.map_err(|error| ClientError::failed(Code::Internal, error.to_string()))?;
        let ends = creds.claims().exp.unwrap_or_default();
        Ok((text, Millis(ends * 1_000)))
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
        let info = self.connection.link.info().await?;
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
