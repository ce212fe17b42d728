//! The NATS service (ADR-32): requests come in on a connection of the clients' account, which has
//! no JetStream; the streams are read and written on another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::ServiceExt as _;
use keyroll_core::{Identity, Rejection};
use keyroll_ledger::follower::Notice;
use keyroll_ledger::{Environment, Ledger, OpenError, Options};
use keyroll_nats::Addresses;
use keyroll_store::log::JetStreamLog;
use keyroll_store::objects::JetStreamObjects;
use keyroll_wire::subjects;
use tokio::sync::{mpsc, watch};

use crate::answering::Answering;
use crate::clock;
use crate::disks::{Stores, StreamWrites};
use crate::durability::Durability;
use crate::environment::Watched;
use crate::keys::KeyFiles;
use crate::metrics::Metrics;
use crate::nats::permissions::SERVICE_INBOX;
use crate::nats::{LedgerStream, check_streams, check_version, probe_streams};
use crate::stream_probes;

/// Requests that the connection holds for us before it drops them. They are taken out at once, all
/// that are there, so this fills only when the process itself is starved.
const HELD: usize = 16_384;
/// How long after one pass over what is to end the next one begins, and after a failed one.
const TEND: Duration = Duration::from_millis(200);
const TEND_AGAIN: Duration = Duration::from_secs(2);
/// How often sealing keys that are over are erased, and the vault is swept.
const HOUSEKEEPING: Duration = Duration::from_secs(600);
/// How long a start may wait for the read model, between signs of progress.
const CONNECT: Duration = Duration::from_secs(5);

/// How a service is started.
pub struct ServeOptions {
    /// URL with the service's own user: the streams.
    pub ledger_url: String,
    /// URL with the responder's user: the callers.
    pub client_account_url: String,
    /// Monitoring addresses of every nats-server, to see that each syncs always.
    pub monitoring: Vec<String>,
    /// Where `ledger.redb` lies.
    pub data_dir: PathBuf,
    /// The ledger's keys.
    pub keys: KeyFiles,
    /// Who may make workspaces and ask about the read model.
    pub operators: Vec<Identity>,
    /// Start although no server was seen to sync always.
    pub allow_unsynced: bool,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What was given as the address of nats-servers is none.
    #[error("the address of nats-server for {user}: {why}")]
    Address {
        /// For whom.
        user: &'static str,
        /// Why.
        why: String,
    },
    /// A connection could not be made.
    #[error("cannot connect to nats-server at {hosts} as {user}: {why}")]
    Connect {
        /// As whom.
        user: &'static str,
        /// Where.
        hosts: String,
        /// Why.
        why: String,
    },
    /// The server or its streams are not as they must be.
    #[error("{0}")]
    Unfit(String),
    /// Durability could not be verified.
    #[error(
        "{0}\nkeyroll promises that an entry is on disk before a value leaves: set `sync_interval: always`, or say --allow-unsynced if you know better"
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

async fn connect(
    url: &str,
    user: &'static str,
    inbox: Option<&str>,
) -> Result<async_nats::Client, ServeError> {
    let addresses: Addresses = url.parse().map_err(|why: Rejection| ServeError::Address {
        user,
        why: why.message,
    })?;
    let mut options = async_nats::ConnectOptions::new()
        .name(format!("keyroll {user}"))
        .subscription_capacity(HELD)
        .client_capacity(HELD);
    if let Some(inbox) = inbox {
        options = options.custom_inbox_prefix(inbox);
    }
    let hosts = addresses.hosts();
    let connected = addresses.connect(options, CONNECT).await;
    connected.map_err(|why| ServeError::Connect { user, hosts, why })
}

/// Starts the service; returns when it answers.
///
/// # Errors
/// [`ServeError`].
pub async fn start(options: ServeOptions) -> Result<Service, ServeError> {
    let client = connect(&options.ledger_url, "service", Some(SERVICE_INBOX)).await?;
    let erasing = connect(&options.ledger_url, "service", Some(SERVICE_INBOX)).await?;
    let responder = connect(&options.client_account_url, "responder", None).await?;
    check_version(&client.server_info()).map_err(|error| ServeError::Unfit(error.to_string()))?;
    // Without a stream nothing works but what an operator needs to recover it.
    let damage = match check_streams(&client).await {
        Ok(_) => None,
        Err(error) if error.only_missing() => Some(error.to_string()),
        Err(error) => return Err(ServeError::Unfit(error.to_string())),
    };
    let monitoring = options.monitoring.clone();
    let mut durability = Durability::new(options.monitoring, options.allow_unsynced);
    let (replicas, replicas_of) = watch::channel(probe_streams(&client).await.replicas);
    let first = replicas_of.borrow().clone();
    let look = durability.look(&client.server_info(), &first).await;
    if let Err(why) = look.all() {
        if !durability.is_waived() && look.enough().is_err() {
            return Err(ServeError::Unsynced(why.to_owned()));
        }
        tracing::warn!(%why, "durability is not verified of every server");
    }
    let log = |error: keyroll_store::log::Unavailable| ServeError::Open(OpenError::Log(error.0));
    let writes = StreamWrites {
        log: JetStreamLog::open(client.clone()).await.map_err(log)?,
        vault: JetStreamObjects::open_beside(client.clone(), erasing, LedgerStream::Vault.name())
            .await
            .map_err(log)?,
        keys: JetStreamObjects::open(client.clone(), LedgerStream::Keys.name())
            .await
            .map_err(log)?,
        stores: Stores::default(),
    };
    let opened = Ledger::open(Options {
        statement: options.keys.statement,
        key: options.keys.online,
        root: options.keys.root,
        operators: options.operators,
        data_dir: options.data_dir,
        log: Arc::new(writes.log.clone()),
        vault: Arc::new(writes.vault.clone()),
        keys: Arc::new(writes.keys.clone()),
        clock: crate::clock::now,
        damage,
        idle: keyroll_ledger::follower::IDLE,
    });
    let (ledger, notices) = opened.await?;
    let info = client.server_info();
    let mut around = Environment {
        nats_server: format!("{} {}", info.server_name, info.version),
        sync_verified: look.all().is_ok(),
        clock_ahead_ms: 0,
    };
    clock::compare(&client, &ledger, &mut around).await;
    ledger.set_environment(around.clone());
    // A log that was set back is answered to every command; the service starts all the same.
    if let Err(wrong) = ledger.caught_up().await {
        tracing::error!(%wrong, "the ledger starts out of service");
    }
    let ledger = Arc::new(ledger);
    let service = serve(Arc::clone(&ledger), responder, notices).await?;
    let stopped = || service.stopped.clone();
    let stores = writes.stores.clone();
    tokio::spawn(stores.watch(monitoring, Arc::clone(&ledger), stopped()));
    tokio::spawn(stream_probes::watch(
        client.clone(),
        Arc::clone(&ledger),
        replicas,
        writes,
        stopped(),
    ));
    let watched = Watched {
        client,
        ledger,
        durability,
        around,
        replicas: replicas_of,
    };
    tokio::spawn(watched.watch(stopped()));
    Ok(service)
}

async fn serve(
    ledger: Arc<Ledger>,
    responder: async_nats::Client,
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
    let answering = Answering::new(Arc::clone(&ledger), responder.clone());
    for (kind, subject) in [
        ("command", subjects::COMMANDS),
        ("query", subjects::QUERIES),
        ("info", subjects::INFO),
    ] {
        let endpoint = micro
            .endpoint_builder()
            .name(kind)
            .add(subject)
            .await
            .map_err(announce)?;
        let run = answering.clone().run(kind, endpoint, stop.clone());
        tokio::spawn(tokio::task::unconstrained(run));
    }
    let metrics = Arc::clone(answering.metrics());
    tokio::spawn(send_notices(responder.clone(), notices));
    tokio::spawn(keep_house(Arc::clone(&ledger), stopped.clone()));
    tokio::spawn(tend(Arc::clone(&ledger), stopped.clone()));
    // Requests reach us once the server has the subscriptions.
    responder
        .flush()
        .await
        .map_err(|error| ServeError::Announce(error.to_string()))?;
    Ok(Service {
        ledger,
        metrics,
        micro,
        responder,
        stopped,
    })
}

impl Service {
    /// The ledger it serves.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Resolves when the service answers no more.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // A closed channel means that every endpoint is gone, too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Stops answering.
    pub async fn stop(self) {
        if let Err(error) = self.micro.stop().await {
            tracing::debug!(%error, "the service was gone already");
        }
        // Answers under way still leave.
        let _ = tokio::time::timeout(CONNECT, self.responder.drain()).await;
        self.ledger.flush().await;
    }
}

/// Notices are best effort: the log is the truth.
async fn send_notices(responder: async_nats::Client, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let body = serde_json::json!({ "index": notice.index, "type": notice.kind });
        let subject = subjects::notice(&notice.workspace, notice.kind);
        if let Err(error) = responder.publish(subject, body.to_string().into()).await {
            tracing::debug!(%error, "a notice was not sent");
        }
    }
}

/// Erases and copies what the log says is to end, as soon as it says so.
async fn tend(ledger: Arc<Ledger>, mut stopped: watch::Receiver<bool>) {
    loop {
        let pass = async {
            ledger.eraser().wait_for_work().await;
            if ledger.eraser().run_once().await.is_ok() {
                TEND
            } else {
                TEND_AGAIN
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

async fn keep_house(ledger: Arc<Ledger>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = ledger.housekeeping().await {
            tracing::debug!(%error, "past sealing keys are still there");
        }
        if let Err(error) = ledger.eraser().sweep().await {
            tracing::debug!(%error, "not everything was swept");
        }
        let waited = tokio::time::timeout(HOUSEKEEPING, stopped.wait_for(|stopped| *stopped)).await;
        if waited.is_ok() {
            return;
        }
    }
}
