//! Opening a ledger: its keys, its read model and the end of its log are checked; then its parts
//! start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use keyroll_core::crypto::Key;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{Blob, Code, Identity, Millis, Rejection, Sequence, cose};
use keyroll_store::keyring::Keyring;
use keyroll_store::log::Log;
use keyroll_store::objects::Objects;
use keyroll_store::vault::Vault;
use tokio::sync::mpsc;

use super::Ledger;
use super::log_head::check_head;
use crate::commands::Commands;
use crate::context::Context;
use crate::credentials::{CredentialIssuer, Credentials};
use crate::erasure::{Eraser, ErasureProgress};
use crate::follower::{self, FollowerHandle, Notice, ProgressReader, scrub};
use crate::health::Health;
use crate::long_requests::LongRequests;
use crate::projection::{Projection, ProjectionError};
use crate::queries::Queries;
use crate::rebuild::Rebuilder;
use crate::recovery::{self, Recovery};
use crate::status::StatusReport;
use crate::storage_check::StorageCheck;
use crate::writer::Writers;

/// Options for opening a ledger.
pub struct Options {
    /// The online key's statement, signed by the ledger's id.
    pub statement: Blob,
    /// The online key.
    pub key: SigningKey,
    /// The root key.
    pub root: Key,
    /// The identities that may create workspaces and ask about the read model.
    pub operators: Vec<Identity>,
    /// The directory of `ledger.redb`.
    pub data_dir: PathBuf,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Sealed values.
    pub vault: Arc<dyn Objects>,
    /// Keys.
    pub keys: Arc<dyn Objects>,
    /// The wall clock.
    pub clock: fn() -> Millis,
    /// What issues NATS credentials to members, if this ledger does.
    pub credentials: Option<CredentialIssuer>,
    /// A known problem of the streams. The ledger is then out of service until a recovery.
    pub damage: Option<String>,
    /// How long an unused workspace stays in memory: [`IDLE`](crate::follower::IDLE), except in
    /// tests.
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

/// The statement about an online key, if it is for this one.
fn verify_statement(statement: &Blob, online: Identity) -> Result<LedgerKey, OpenError> {
    let wrong = |why: Rejection| OpenError::Keys(why.to_string());
    let unverified = cose::open::<LedgerKey>(&statement.0).map_err(wrong)?;
    let verified = LedgerKey::open(&statement.0, &unverified.payload.ledger).map_err(wrong)?;
    if verified.key != online {
        let key = verified.key;
        let message = format!("the statement is for {key}, the online key is {online}");
        return Err(OpenError::Keys(message));
    }
    Ok(verified)
}

/// Notes the log's problems in `health` before anything is started on it.
async fn check_log(
    log: &dyn Log,
    projection: &Projection,
    health: &Health,
    damage: Option<String>,
) -> Result<(), OpenError> {
    if let Some(message) = damage {
        health.fail(Code::Corrupt, message);
        return Ok(());
    }
    check_head(log, projection, health).await?;
    match recovery::check_finished(log, projection).await {
        Err(why) if why.code == Code::Unreachable => Err(OpenError::Log(why.message)),
        Err(why) => {
            health.fail(why.code, why.message);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

impl Ledger {
    /// Opens a ledger and starts to follow its log. Returns the notices of entries that are folded
    /// in.
    ///
    /// # Errors
    /// [`OpenError`]. A log that was set back is no error here: commands are refused with it.
    pub async fn open(options: Options) -> Result<(Self, mpsc::Receiver<Notice>), OpenError> {
        let online = Identity(options.key.verifying_key().to_bytes());
        let statement = verify_statement(&options.statement, online)?;
        let keyring = Keyring::new(options.root, statement.ledger, options.keys);
        let path = options.data_dir.join("ledger.redb");
        let projection = Projection::open_or_recreate(&path, &statement.ledger)?;
        // After the read model: its error names the owner of this directory.
        if !keyring.fits_root().await {
            return Err(OpenError::Root);
        }
        let health = Arc::new(Health::default());
        let log = options.log;
        check_log(log.as_ref(), &projection, &health, options.damage).await?;
        let keys = (statement.ledger, online);
        let started = follower::start(keys, &log, &health, projection, options.idle)?;
        start_scrub(&log, &health, &started.progress);
        let context = Arc::new(Context {
            ledger: statement.ledger,
            key: options.key,
            created: WorkspaceCreated {
                key: online,
                serial: statement.serial,
                statement: options.statement.clone(),
            },
            operators: options.operators,
            log,
            vault: Arc::new(Vault::new(options.vault)),
            health,
            gate: tokio::sync::RwLock::new(0),
            progress: started.progress,
            projection: started.projection,
            clock: options.clock,
        });
        let writers = Writers::new(options.idle);
        let ledger = Self::assemble(
            context,
            options.statement,
            Arc::new(keyring),
            (writers, options.credentials),
            started.handle,
        );
        Ok((ledger, started.notices))
    }

    fn assemble(
        context: Arc<Context>,
        statement: Blob,
        keyring: Arc<Keyring>,
        (writers, issuer): (Arc<Writers>, Option<CredentialIssuer>),
        follower: FollowerHandle,
    ) -> Self {
        let shared = || Arc::clone(&context);
        let keys = || Arc::clone(&keyring);
        let erasure = Arc::<ErasureProgress>::default();
        Self {
            commands: Commands::new(shared(), keys(), Arc::clone(&writers)),
            queries: Queries::new(shared(), Arc::clone(&erasure)),
            credentials: Credentials::new(shared(), issuer),
            status: StatusReport::new(shared(), Arc::clone(&erasure)),
            eraser: Eraser::new(
                shared(),
                keys(),
                Arc::clone(&writers),
                follower.clone(),
                erasure,
            ),
            rebuilder: Rebuilder::new(shared(), follower.clone()),
            storage_check: StorageCheck::new(shared(), keys()),
            recovery: Recovery::new(shared(), keys(), follower.clone()),
            long_requests: LongRequests::default(),
            context,
            statement,
            keyring,
            writers,
            follower,
        }
    }
}

/// Reads again, beside everything else, the part of the log that the read model already holds.
fn start_scrub(log: &Arc<dyn Log>, health: &Arc<Health>, progress: &ProgressReader) {
    let held = progress.read(|progress| progress.sequence);
    if held > Sequence(0) && health.ledger().is_ok() {
        tokio::spawn(scrub(Arc::clone(log), held, Arc::clone(health)));
    }
}
