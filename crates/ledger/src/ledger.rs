//! The ledger as a whole: opened on a log, a vault and a key store; takes commands and queries as
//! bytes and gives signed bytes back.

mod audit;
mod command;
mod commits;
mod dry_run;
mod extends;
mod head;
mod once;
mod page;
mod past;
mod query;
mod reach;
mod rebuild;
mod receipts;
mod recover;
mod release;
mod secrets;
mod status;
mod storage;
mod store;
mod values;
mod workspaces;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use keyroll_core::crypto::Key;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::statement::{LedgerKey, SealingKey};
use keyroll_core::{
    Blob, Code, Digest, Identity, LedgerId, Millis, Rejection, Sequence, TreeSize, WorkspaceName,
    cbor, cose,
};
use keyroll_merkle::empty_root;
use keyroll_wire::reply::{Reply, ReplyBody, ServiceInfo};
use tokio::sync::{mpsc, oneshot, watch};

use crate::follower::{Fold, Follower, Notice, Progress, Projected, Wish, patrol, progress_of};
use crate::health::Health;
use crate::keeper::{Keeper, Start};
use crate::projection::{Projection, ProjectionError, contained};
use crate::writer::{Shared, Writer, Writers};
use head::{check_head, last_of};
use keyroll_store::keyring::{Keyring, period_of};
use keyroll_store::log::Log;
use keyroll_store::objects::Objects;
use keyroll_store::vault::Vault;

pub(crate) use reach::REACH;
pub use release::Room;
pub use status::{Environment, Vitals};

/// Notices that wait to be sent; more are dropped, as they are best effort.
const NOTICES: usize = 4_096;
/// What a ledger is opened on.
pub struct Options {
    /// The online key's statement, signed by the ledger's id.
    pub statement: Blob,
    /// The online key.
    pub key: SigningKey,
    /// The root key.
    pub root: Key,
    /// Who may make workspaces and ask about the read model.
    pub operators: Vec<Identity>,
    /// Where `ledger.redb` lies.
    pub data_dir: PathBuf,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Sealed values.
    pub vault: Arc<dyn Objects>,
    /// Keys.
    pub keys: Arc<dyn Objects>,
    /// The wall clock.
    pub clock: fn() -> Millis,
    /// What is wrong with the streams already, in words: then the ledger is out of service until a
    /// recovery.
    pub damage: Option<String>,
    /// How long an unused workspace stays in memory: [`IDLE`](crate::writer::IDLE), but for tests.
    pub idle: Duration,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The online key's statement does not fit the key.
    #[error("the ledger's keys do not fit each other: {0}")]
    Keys(String),
    /// The read model.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The root key.
    #[error(
        "this root key opens none of the stored keys: it is not this ledger's, and nothing is started with it"
    )]
    Root,
    /// The log.
    #[error("the log cannot be read: {0}")]
    Log(String),
}

/// The tree that an answer was made on: its size and root, and the proof that it extends what the
/// asker had seen. The default says nothing of any tree.
pub(crate) struct Position {
    pub(crate) size: TreeSize,
    pub(crate) root: Digest,
    pub(crate) consistency: Vec<Digest>,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            size: TreeSize(0),
            root: Digest(empty_root().0),
            consistency: Vec::new(),
        }
    }
}

/// What goes back to a caller.
#[derive(Debug, Clone)]
pub struct Response {
    /// The bytes of the reply.
    pub bytes: Vec<u8>,
    /// The refusal in it, for headers and counters.
    pub refusal: Option<Rejection>,
    /// Room for the values in it, until they are sent.
    pub room: Option<Room>,
}

/// A running ledger.
pub struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) statement: Blob,
    pub(crate) keyring: Keyring,
    pub(crate) vault: Arc<Vault>,
    releases: release::Releases,
    pub(crate) keeper: Keeper,
    pub(crate) start: Start,
    writers: Arc<Writers>,
    pub(crate) wishes: mpsc::Sender<Wish>,
    rebuilding: tokio::sync::Mutex<()>,
    in_work: once::InWork,
    checking: tokio::sync::Mutex<()>,
    recovery: Arc<tokio::sync::Mutex<Option<recover::Begun>>>,
    environment: Mutex<Environment>,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.redb")
}

impl Ledger {
    /// Opens a ledger and starts following its log. Gives the notices of what is folded in.
    ///
    /// # Errors
    /// [`OpenError`]. A log that was set back is no error here: it is answered to commands.
    pub async fn open(options: Options) -> Result<(Self, mpsc::Receiver<Notice>), OpenError> {
        let said = cose::open::<LedgerKey>(&options.statement.0)
            .map_err(|why| OpenError::Keys(why.to_string()))?;
        let said = LedgerKey::open(&options.statement.0, &said.payload.ledger)
            .map_err(|why| OpenError::Keys(why.to_string()))?;
        let (ledger, public) = (
            said.ledger,
            Identity(options.key.verifying_key().to_bytes()),
        );
        if said.key != public {
            return Err(OpenError::Keys(format!(
                "the statement is for {}, the online key is {public}",
                said.key
            )));
        }
        let keyring = Keyring::new(options.root, ledger, options.keys);
        let health = Arc::new(Health::default());
        let projection = Projection::open_or_anew(&file(&options.data_dir), &ledger)?;
        // After the read model: of whose directory this is, that says more.
        if !keyring.fits_root().await {
            return Err(OpenError::Root);
        }
        let log = options.log.as_ref();
        if let Some(words) = options.damage {
            health.fail(Code::Corrupt, words);
        } else {
            check_head(log, &projection, &health).await?;
            match recover::is_finished(log, &projection).await {
                Err(why) if why.code == Code::Unreachable => {
                    return Err(OpenError::Log(why.message));
                }
                Err(why) => health.fail(why.code, why.message),
                Ok(()) => {}
            }
        }
        let (progress, progressed) = Projected::begin(contained(|| progress_of(&projection))?);
        let (projected, projection_of) = watch::channel(projection.clone());
        let (notices, noticed) = mpsc::channel(NOTICES);
        let (wishes, wished) = mpsc::channel(1);
        let (held, patrolled) = (
            progressed.now(|progress| progress.sequence),
            Arc::clone(&options.log),
        );
        if held > Sequence(0) && health.ledger().is_ok() {
            tokio::spawn(patrol(patrolled, held, Arc::clone(&health)));
        }
        let mut fold = Fold::resume(projection, ledger, public, Arc::clone(&health))?;
        fold.forget_after(options.idle);
        let follower = Follower {
            log: Arc::clone(&options.log),
            fold,
            progress,
            projection: projected,
            notices,
            wishes: wished,
            halted: health.ledger().is_err(),
            health: Arc::clone(&health),
            catching_up: None,
        };
        tokio::spawn(follower.run());
        let created = WorkspaceCreated {
            key: public,
            serial: said.serial,
            statement: options.statement.clone(),
        };
        let vault = Arc::new(Vault::new(options.vault));
        let shared = Shared {
            ledger,
            key: options.key,
            created,
            operators: options.operators,
            log: options.log,
            vault: Arc::clone(&vault),
            health,
            gate: tokio::sync::RwLock::new(0),
            progress: progressed,
            projection: projection_of,
            clock: options.clock,
        };
        let ledger = Self {
            keyring,
            vault,
            keeper: Keeper::default(),
            start: Start::default(),
            shared: Arc::new(shared),
            statement: options.statement,
            releases: release::Releases::default(),
            writers: Writers::new(options.idle),
            wishes,
            rebuilding: tokio::sync::Mutex::default(),
            in_work: once::InWork::default(),
            checking: tokio::sync::Mutex::default(),
            recovery: Arc::default(),
            environment: Mutex::default(),
        };
        Ok((ledger, noticed))
    }

    /// Makes what the read model has last through a crash, for an orderly end: whoever sets the log
    /// back afterwards is found out by it.
    pub async fn flush(&self) {
        // In order: it says so of all that it has.
        let said = tokio::time::timeout(REACH, self.say_followed(true)).await;
        if let Ok(Err(why)) = said {
            tracing::debug!(%why, "the next start knows less");
        }
        let (done, flushed) = oneshot::channel();
        let flush = async {
            // A follower that is gone has nothing to flush.
            if self.wishes.send(Wish::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        let _ = tokio::time::timeout(REACH, flush).await;
    }

    /// The ledger's id.
    pub fn id(&self) -> LedgerId {
        self.shared.ledger
    }

    /// What is wrong.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// How far the read model is.
    pub fn progress(&self) -> Progress {
        self.shared.progress.now(Progress::clone)
    }

    pub(crate) fn now(&self) -> Millis {
        (self.shared.clock)()
    }

    pub(crate) fn projection(&self) -> Projection {
        self.shared.projection.borrow().clone()
    }

    pub(crate) fn writer(&self, workspace: &WorkspaceName) -> Writer {
        self.writers.of(&self.shared, workspace)
    }

    /// How many workspaces are in memory: with a writer, and with the follower.
    pub fn in_memory(&self) -> (usize, usize) {
        let followed = self.shared.progress.now(|progress| progress.loaded);
        (self.writers.count(), followed)
    }

    /// What a client needs before it can say anything: the bytes of an [`ServiceInfo`], or of a signed
    /// [`Reply`] with the error when the sealing key of the day cannot be read or made.
    pub async fn info(&self) -> Response {
        let now = self.now();
        let period = period_of(now);
        let key = match self.keyring.sealing_key(period).await {
            Ok(key) => key,
            // Out of service for want of a stream: an operator still has to reach it.
            Err(rejection) => match self.shared.health.ledger() {
                Ok(()) => return self.refuse_query(&[], rejection),
                Err(_) => match self.keyring.ephemeral_sealing_key(period) {
                    Ok(key) => key,
                    Err(rejection) => return self.refuse_query(&[], rejection),
                },
            },
        };
        let sealing = SealingKey {
            v: 1,
            key,
            ledger: self.shared.ledger,
            period,
        };
        let sealing_key = cose::sign(&sealing, &self.shared.key).into();
        let info = ServiceInfo {
            now,
            ledger_key: self.statement.clone(),
            sealing_key,
        };
        Response {
            bytes: cbor::encode(&info),
            refusal: None,
            room: None,
        }
    }

    /// Refuses a query without a look at it.
    pub fn refuse_query(&self, query: &[u8], rejection: Rejection) -> Response {
        let bytes = self.sign_refusal(Digest::of(query), rejection.clone(), Position::default());
        Response {
            bytes,
            refusal: Some(rejection),
            room: None,
        }
    }

    /// Erases sealing keys of days that are over; by a clock that is known to be wrong nothing is.
    ///
    /// # Errors
    /// When they cannot be listed or erased.
    pub async fn housekeeping(&self) -> Result<usize, Rejection> {
        self.shared.health.clock()?;
        self.keyring.erase_past_sealing_keys(self.now()).await
    }

    /// A signed refusal.
    pub(crate) fn sign_refusal(
        &self,
        request: Digest,
        rejection: Rejection,
        position: Position,
    ) -> Vec<u8> {
        self.sign_reply(request, ReplyBody::Error(rejection), position)
    }

    pub(crate) fn sign_reply(
        &self,
        request: Digest,
        body: ReplyBody,
        position: Position,
    ) -> Vec<u8> {
        let Position {
            size,
            root,
            consistency,
        } = position;
        cose::sign(
            &Reply {
                v: 1,
                body,
                root,
                size,
                request,
                consistency,
            },
            &self.shared.key,
        )
    }
}
