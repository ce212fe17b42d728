//! The NATS service (ADR-32 of NATS). Requests arrive on a connection of the clients' account, which has
//! no JetStream. The streams are read and written on another connection.

mod connection;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::ServiceExt as _;
use keyroll_core::Identity;
use keyroll_ledger::follower::Notice;
use keyroll_ledger::{Environment, Ledger, OpenError, Options};
use keyroll_nats::{ClientIssuer, Creds};
use keyroll_store::log::JetStreamLog;
use keyroll_store::objects::JetStreamObjects;
use keyroll_wire::subjects;
use tokio::sync::{mpsc, watch};

use self::connection::{CONNECT, connect};
use crate::dispatch::Dispatcher;
use crate::guests::Guests;
use crate::issuing::{CredentialLifetime, issuer};
use crate::keys::KeyFiles;
use crate::metrics::Metrics;
use crate::monitors::durability::{Durability, DurabilityReport};
use crate::monitors::environment::EnvironmentMonitor;
use crate::monitors::storage::{StorageMonitor, StreamWrites};
use crate::monitors::{Replicas, clock, streams};
use crate::nats::permissions::SERVICE_INBOX;
use crate::nats::{LedgerStream, check_streams, check_version, probe_streams};

/// Time between two passes of erasure, and after a failed one.
const ERASE_INTERVAL: Duration = Duration::from_millis(200);
const ERASE_RETRY: Duration = Duration::from_secs(2);
/// How often expired sealing keys are erased, and the vault is swept.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(600);
/// The options of a service.
pub struct ServeOptions {
    /// URL of the nats-servers.
    pub nats_url: String,
    /// The service's own NATS user, for the streams.
    pub service: Creds,
    /// The NATS user for requests and answers.
    pub responder: Creds,
    /// Issues the credentials of clients; without one, somebody else does.
    pub issuer: Option<ClientIssuer>,
    /// How long those last.
    pub credential_lifetime: CredentialLifetime,
    /// Monitoring addresses of all nats-servers, to check that each syncs always.
    pub monitoring: Vec<String>,
    /// The directory of `ledger.redb`.
    pub data_dir: PathBuf,
    /// The ledger's keys.
    pub keys: KeyFiles,
    /// Identities that may create workspaces and query the read model.
    pub operators: Vec<Identity>,
    /// Start although no server is known to sync always.
    pub allow_unsynced: bool,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address of a nats-server is invalid.
    #[error("the nats-server address for {user} is invalid: {why}")]
    Address {
        /// The NATS user.
        user: &'static str,
        /// Why.
        why: String,
    },
    /// A connection could not be made.
    #[error("cannot connect to nats-server at {hosts} as {user}: {why}")]
    Connect {
        /// The NATS user.
        user: &'static str,
        /// The servers.
        hosts: String,
        /// Why.
        why: String,
    },
    /// The server or its streams do not have the required version or settings.
    #[error("{0}")]
    Unfit(String),
    /// Durability could not be verified.
    #[error(
        "{0}\nkeyroll releases a value only when its log entry is on disk: set `sync_interval: always`, or start with --allow-unsynced to accept the risk"
    )]
    Unsynced(String),
    /// The ledger could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The service could not be announced.
    #[error("cannot serve requests: {0}")]
    Announce(String),
}

/// A running service.
pub struct Service {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    micro: async_nats::service::Service,
    responder: async_nats::Client,
    stopped: watch::Receiver<bool>,
}

/// Starts the service. Returns when it answers requests.
///
/// # Errors
/// [`ServeError`].
pub async fn start(options: ServeOptions) -> Result<Service, ServeError> {
    let (url, inbox) = (&*options.nats_url, Some(SERVICE_INBOX));
    let (client, refusals) = connect(url, &options.service, "service", inbox).await?;
    let (erasing, _) = connect(url, &options.service, "service", inbox).await?;
    let (responder, _) = connect(url, &options.responder, "responder", None).await?;
    let (to_guests, _) = connect(url, &options.responder, "responder", None).await?;
    check_version(&client.server_info()).map_err(|error| ServeError::Unfit(error.to_string()))?;
    // Without a stream the service only answers what an operator needs for recovery.
    let damage = match check_streams(&client).await {
        Ok(_) => None,
        // A ledger from before, which only has to be completed.
        Err(error) if error.only_tokens_missing() => {
            return Err(ServeError::Unfit(error.to_string()));
        }
        Err(error) if error.only_missing() => Some(error.to_string()),
        Err(error) => return Err(ServeError::Unfit(refusals.explain(&error.to_string()))),
    };
    let monitoring = options.monitoring.clone();
    let mut durability = Durability::new(options.monitoring, options.allow_unsynced);
    let (replicas, replicas_of) = watch::channel(probe_streams(&client).await.replicas);
    let first = replicas_of.borrow().clone();
    let report = check_durability(&mut durability, &client, &first).await?;
    let writes = open_streams(&client, erasing).await?;
    let lifetime = options.credential_lifetime;
    let credentials = options.issuer.map(|clients| issuer(clients, lifetime));
    let opened = Ledger::open(Options {
        statement: options.keys.statement,
        key: options.keys.online,
        root: options.keys.root,
        operators: options.operators,
        data_dir: options.data_dir,
        log: Arc::new(writes.log.clone()),
        vault: Arc::new(writes.vault.clone()),
        keys: Arc::new(writes.keys.clone()),
        clock: clock::now,
        damage,
        credentials,
        idle: keyroll_ledger::follower::IDLE,
    });
    let (ledger, notices) = opened.await?;
    let info = client.server_info();
    let mut environment = Environment {
        nats_server: format!("{} {}", info.server_name, info.version),
        sync_verified: report.all().is_ok(),
        clock_ahead_ms: 0,
    };
    clock::compare(&client, &ledger, &mut environment).await;
    ledger.set_environment(environment.clone());
    // The service starts even if the log was set back, and then refuses every command with that reason.
    if let Err(wrong) = ledger.caught_up().await {
        tracing::error!(%wrong, "the ledger starts out of service");
    }
    let ledger = Arc::new(ledger);
    let service = serve(Arc::clone(&ledger), (responder, to_guests), notices).await?;
    let stopped = || service.stopped.clone();
    let storage = writes.storage.clone();
    tokio::spawn(storage.run(monitoring, Arc::clone(&ledger), stopped()));
    tokio::spawn(streams::run(
        client.clone(),
        Arc::clone(&ledger),
        replicas,
        writes,
        stopped(),
    ));
    let monitor = EnvironmentMonitor {
        client,
        ledger,
        durability,
        environment,
        replicas: replicas_of,
    };
    tokio::spawn(monitor.run(stopped()));
    Ok(service)
}

/// Checks that the nats-servers sync always. Most of them must, unless the operator waived it.
async fn check_durability(
    durability: &mut Durability,
    client: &async_nats::Client,
    replicas: &Replicas,
) -> Result<DurabilityReport, ServeError> {
    let report = durability.check(&client.server_info(), replicas).await;
    if let Err(why) = report.all() {
        if !durability.is_waived() && report.enough().is_err() {
            return Err(ServeError::Unsynced(why.to_owned()));
        }
        tracing::warn!(%why, "durability is not verified for every nats-server");
    }
    Ok(report)
}

async fn open_streams(
    client: &async_nats::Client,
    erasing: async_nats::Client,
) -> Result<StreamWrites, ServeError> {
    let log = |error: keyroll_store::log::Unavailable| ServeError::Open(OpenError::Log(error.0));
    Ok(StreamWrites {
        log: JetStreamLog::open(client.clone()).await.map_err(log)?,
        vault: JetStreamObjects::open_beside(client.clone(), erasing, LedgerStream::Vault.name())
            .await
            .map_err(log)?,
        keys: JetStreamObjects::open(client.clone(), LedgerStream::Keys.name())
            .await
            .map_err(log)?,
        storage: StorageMonitor::default(),
    })
}

async fn serve(
    ledger: Arc<Ledger>,
    (responder, to_guests): (async_nats::Client, async_nats::Client),
    notices: mpsc::Receiver<Notice>,
) -> Result<Service, ServeError> {
    let announce = |error: async_nats::Error| ServeError::Announce(error.to_string());
    let micro = responder
        .service_builder()
        .description("keyroll secret ledger")
        .start("keyroll", env!("CARGO_PKG_VERSION"))
        .await
        .map_err(announce)?;
    let (stop, stopped) = watch::channel(false);
    let dispatcher = Dispatcher::new(Arc::clone(&ledger), responder.clone());
    for (kind, subject) in [
        ("command", subjects::COMMANDS),
        ("query", subjects::QUERIES),
        ("info", subjects::INFO),
        ("credential", subjects::CREDENTIAL),
        ("accept", subjects::ACCEPT),
    ] {
        let endpoint = micro
            .endpoint_builder()
            .name(kind)
            .add(subject)
            .await
            .map_err(announce)?;
        let run = dispatcher.clone().run(kind, endpoint, stop.clone());
        tokio::spawn(tokio::task::unconstrained(run));
    }
    let metrics = Arc::clone(dispatcher.metrics());
    let requests = Guests::subscribe(&to_guests)
        .await
        .map_err(ServeError::Announce)?;
    let guests = Guests::new(Arc::clone(&ledger), Arc::clone(&metrics), to_guests.clone());
    tokio::spawn(guests.run(requests));
    tokio::spawn(send_notices(responder.clone(), notices));
    tokio::spawn(housekeeping(Arc::clone(&ledger), stopped.clone()));
    tokio::spawn(erase(Arc::clone(&ledger), stopped.clone()));
    // Requests arrive once the server has the subscriptions.
    for client in [&responder, &to_guests] {
        let flushed = client.flush().await;
        flushed.map_err(|error| ServeError::Announce(error.to_string()))?;
    }
    Ok(Service {
        ledger,
        metrics,
        micro,
        responder,
        stopped,
    })
}

impl Service {
    /// The ledger that it serves.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Resolves when the service no longer answers.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // A closed channel means that every endpoint has ended, too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Stops answering.
    pub async fn stop(self) {
        if let Err(error) = self.micro.stop().await {
            tracing::debug!(%error, "the service had already ended");
        }
        // Draining sends the answers under way.
        let _ = tokio::time::timeout(CONNECT, self.responder.drain()).await;
        self.ledger.flush().await;
    }
}

/// Sends notices. They are best effort: the log is the truth.
async fn send_notices(responder: async_nats::Client, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let body = serde_json::json!({ "index": notice.index, "type": notice.kind });
        let subject = subjects::notice(&notice.workspace, notice.kind);
        if let Err(error) = responder.publish(subject, body.to_string().into()).await {
            tracing::debug!(%error, "a notice was not sent");
        }
    }
}

/// Finishes logged erasures and rotations.
async fn erase(ledger: Arc<Ledger>, mut stopped: watch::Receiver<bool>) {
    loop {
        let pass = async {
            ledger.eraser().wait_for_work().await;
            if ledger.eraser().run_once().await.is_ok() {
                ERASE_INTERVAL
            } else {
                ERASE_RETRY
            }
        };
        let wait = tokio::select! {
            wait = pass => wait,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let waited = tokio::time::timeout(wait, stopped.wait_for(|stopped| *stopped)).await;
        if waited.is_ok() {
            return;
        }
    }
}

/// Erases expired sealing keys and sweeps the vault.
async fn housekeeping(ledger: Arc<Ledger>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = ledger.housekeeping().await {
            tracing::debug!(%error, "cannot erase expired sealing keys");
        }
        if let Err(error) = ledger.eraser().sweep().await {
            tracing::debug!(%error, "cannot sweep the whole vault");
        }
        let waited =
            tokio::time::timeout(HOUSEKEEPING_INTERVAL, stopped.wait_for(|stopped| *stopped)).await;
        if waited.is_ok() {
            return;
        }
    }
}
