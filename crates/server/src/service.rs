//! The NATS service (ADR-32): requests come in on a connection of the clients' account, which has
//! no JetStream; the streams are read and written on another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::service::{Request, ServiceExt as _};
use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_api::subjects;
use keyroll_core::{Code, Identity, Rejection, WorkspaceName};
use keyroll_ledger::follower::Notice;
use keyroll_ledger::log::JetStreamLog;
use keyroll_ledger::objects::JetStreamObjects;
use keyroll_ledger::{Ledger, OpenError, Options, Response, Surroundings};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::keys::KeyFiles;
use crate::metrics::Metrics;
use crate::nats::permissions::{SERVICE_INBOX, is_client_inbox};
use crate::nats::{LedgerStream, check_streams, check_version, verify_sync_always};

/// KiB of requests in work at once, each counted with [`LEAST_KIB`] at least: 32,768 small ones,
/// or 36 of the largest. More are told to come again.
const IN_WORK_KIB: usize = 128 * 1_024;
/// What a request costs besides its bytes: its task, its state, its answer.
const LEAST_KIB: usize = 4;
/// KiB of requests that are told to come again at once. They are held until they are told; what
/// comes beyond that is not answered, as its memory is not there.
const REFUSED_KIB: usize = 16 * 1_024;
/// Requests up to so many KiB have such room of their own: who asks little is told, however much
/// others send.
const SMALL_KIB: usize = 16;
/// Requests that the connection holds for us before it drops them. They are taken out at once, all
/// that are there, so this fills only when the process itself is starved.
const HELD: usize = 16_384;
/// A request's bytes are held decoded and on their way into the vault besides.
const COPIES: usize = 4;
/// Queries of workspaces answered at once. Others wait for their turn, so that neither the
/// processors nor the way out belong to them alone, and no more answers than these are in memory.
const QUERIES: usize = 32;
/// An answer of more bytes than this is in our hands until it is with the nats-server.
const LARGE: usize = 8 * 1_024;
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
    /// A connection could not be made.
    #[error("cannot connect to the nats-server as {user}: {why}")]
    Connect {
        /// As whom.
        user: &'static str,
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
    let failed = |why: String| ServeError::Connect { user, why };
    let address: async_nats::ServerAddr = url
        .parse()
        .map_err(|error| failed(format!("not a NATS URL: {error}")))?;
    let mut options = keyroll_api::client::as_user_of(&address, async_nats::ConnectOptions::new())
        .name(format!("keyroll {user}"))
        .connection_timeout(CONNECT)
        .subscription_capacity(HELD)
        .client_capacity(HELD);
    if let Some(inbox) = inbox {
        options = options.custom_inbox_prefix(inbox);
    }
    let connected = tokio::time::timeout(CONNECT, options.connect(address)).await;
    let connected = connected.map_err(|_| failed("it does not answer".to_owned()))?;
    connected.map_err(|error| failed(error.to_string()))
}

/// Whether every server syncs always, as its monitoring address says.
async fn check_sync(
    client: &async_nats::Client,
    options: &ServeOptions,
) -> Result<bool, ServeError> {
    let mut seen = Vec::new();
    let mut problem = options
        .monitoring
        .is_empty()
        .then(|| "no monitoring address was given".to_owned());
    for address in &options.monitoring {
        match verify_sync_always(address).await {
            Ok(server) => seen.push(server.server_name),
            Err(error) => problem = Some(error.to_string()),
        }
    }
    let connected = client.server_info().server_name;
    if problem.is_none() && !seen.contains(&connected) {
        problem = Some(format!(
            "none of the monitoring addresses is that of {connected}, which serves us"
        ));
    }
    match problem {
        None => Ok(true),
        Some(why) if options.allow_unsynced => {
            tracing::warn!(%why, "durability is not verified");
            Ok(false)
        }
        Some(why) => Err(ServeError::Unsynced(why)),
    }
}

/// Starts the service; returns when it answers.
///
/// # Errors
/// [`ServeError`].
pub async fn start(options: ServeOptions) -> Result<Service, ServeError> {
    let client = connect(&options.ledger_url, "service", Some(SERVICE_INBOX)).await?;
    let responder = connect(&options.client_account_url, "responder", None).await?;
    check_version(&client.server_info()).map_err(|error| ServeError::Unfit(error.to_string()))?;
    // Without a stream nothing works but what an operator needs to recover it.
    let damage = match check_streams(&client).await {
        Ok(_) => None,
        Err(error) if error.only_missing() => Some(error.to_string()),
        Err(error) => return Err(ServeError::Unfit(error.to_string())),
    };
    let sync_verified = check_sync(&client, &options).await?;
    let log = |error: keyroll_ledger::log::Unavailable| ServeError::Open(OpenError::Log(error.0));
    let opened = Ledger::open(Options {
        statement: options.keys.statement,
        key: options.keys.online,
        root: options.keys.root,
        operators: options.operators,
        data_dir: options.data_dir,
        log: Arc::new(JetStreamLog::open(client.clone()).await.map_err(log)?),
        vault: Arc::new(
            JetStreamObjects::open(client.clone(), LedgerStream::Vault.name())
                .await
                .map_err(log)?,
        ),
        keys: Arc::new(
            JetStreamObjects::open(client.clone(), LedgerStream::Keys.name())
                .await
                .map_err(log)?,
        ),
        clock: crate::clock::now,
        damage,
    });
    let (ledger, notices) = opened.await?;
    let info = client.server_info();
    let mut around = Surroundings {
        nats_server: format!("{} {}", info.server_name, info.version),
        sync_verified,
        clock_ahead_ms: 0,
    };
    crate::clock::compare(&client, &ledger, &mut around).await;
    // A log that was set back is answered to every command; the service starts all the same.
    if let Err(wrong) = ledger.caught_up().await {
        tracing::error!(%wrong, "the ledger starts out of service");
    }
    let ledger = Arc::new(ledger);
    let service = serve(Arc::clone(&ledger), responder, notices).await?;
    tokio::spawn(crate::clock::watch(
        client,
        ledger,
        around,
        service.stopped.clone(),
    ));
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
    let work = Arc::new(Semaphore::new(IN_WORK_KIB));
    let queries = Arc::new(Semaphore::new(QUERIES));
    let refused = [(); 2].map(|()| Arc::new(Semaphore::new(REFUSED_KIB)));
    let metrics = Arc::new(Metrics::new(Arc::clone(&work), IN_WORK_KIB));
    for (name, subject) in [
        ("command", subjects::COMMANDS),
        ("query", subjects::QUERIES),
        ("info", subjects::INFO),
    ] {
        let endpoint = micro
            .endpoint_builder()
            .name(name)
            .add(subject)
            .await
            .map_err(announce)?;
        let answering = Answering {
            kind: name,
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
            work: Arc::clone(&work),
            refused: refused.clone(),
            queries: Arc::clone(&queries),
            responder: responder.clone(),
        };
        // Never asked to stand back for others while requests are there: each takes it next to no
        // time, and those that it leaves are memory that nobody counts.
        let answering = answer_all(answering, endpoint, stop.clone());
        tokio::spawn(tokio::task::unconstrained(answering));
    }
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

/// What an endpoint's requests share.
#[derive(Clone)]
struct Answering {
    kind: &'static str,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    work: Arc<Semaphore>,
    /// Room for refusals: of small requests, and of large ones.
    refused: [Arc<Semaphore>; 2],
    queries: Arc<Semaphore>,
    responder: async_nats::Client,
}

impl Answering {
    /// Takes a request in, to be answered or to be told to come again, if there is room for it.
    fn admit(self, mut request: Request) {
        let arrived = Instant::now();
        let kib = |kib: usize| u32::try_from(kib).unwrap_or(u32::MAX);
        let size = request.message.payload.len() / 1_024;
        let cost = kib(LEAST_KIB.max(COPIES * size));
        if let Ok(permit) = Arc::clone(&self.work).try_acquire_many_owned(cost) {
            // As it came it is a part of what was read at once, and keeps all of that in memory.
            request.message.payload = Bytes::copy_from_slice(&request.message.payload);
            tokio::spawn(async move {
                self.answer(&request, arrived).await;
                drop(permit);
            });
            return;
        }
        let [small, large] = &self.refused;
        let room = if size < SMALL_KIB { small } else { large };
        if let Ok(permit) = Arc::clone(room).try_acquire_many_owned(kib(size + 1)) {
            tokio::spawn(async move {
                let why = "too many requests are in work: try again shortly";
                let response = refuse(&self.ledger, &request, Code::Busy, why);
                self.metrics.answered(self.kind, arrived, &response);
                respond(&request, response).await;
                drop(permit);
            });
        } else {
            self.metrics.unheard();
        }
    }

    /// Answers, and holds what that takes until the answer is on its way.
    async fn answer(&self, request: &Request, arrived: Instant) {
        let turn = match addressed(request) {
            ("query", Some(_)) => self.queries.acquire().await.ok(),
            _ => None,
        };
        let response = answer(&self.ledger, request).await;
        self.metrics.answered(self.kind, arrived, &response);
        keyroll_ledger::failpoint!("service.before_reply");
        let (room, large) = (response.room.clone(), response.bytes.len() > LARGE);
        respond(request, response).await;
        if large && let Err(error) = self.responder.flush().await {
            tracing::debug!(%error, "an answer was not sent");
        }
        keyroll_ledger::failpoint!("service.replied");
        drop((turn, room));
    }
}

async fn answer_all(
    shared: Answering,
    mut endpoint: async_nats::service::endpoint::Endpoint,
    stop: watch::Sender<bool>,
) {
    while let Some(request) = endpoint.next().await {
        let reply = request.message.reply.as_deref();
        // The reply subject is the caller's choice: nothing is ever sent but to an inbox. A command
        // without one is carried out all the same.
        if reply.is_some_and(|reply| !is_client_inbox(reply)) {
            tracing::debug!("dropped a request whose reply subject is no inbox");
            shared.metrics.dropped();
            continue;
        }
        shared.clone().admit(request);
    }
    stop.send_replace(true);
}

/// What a request's subject says: its kind, and the workspace if it names one.
fn addressed(request: &Request) -> (&str, Option<WorkspaceName>) {
    let mut tokens = request.message.subject.split('.').skip(2);
    let workspace = tokens.next().unwrap_or_default();
    (tokens.next().unwrap_or_default(), workspace.parse().ok())
}

async fn answer(ledger: &Ledger, request: &Request) -> Response {
    let payload = &request.message.payload;
    match addressed(request) {
        ("command", Some(workspace)) => ledger.command(&workspace, payload).await,
        ("query", workspace) => ledger.query(workspace.as_ref(), payload).await,
        ("info", None) => ledger.info().await,
        _ => refuse(
            ledger,
            request,
            Code::InvalidName,
            "no workspace can be called that",
        ),
    }
}

/// Refuses a request without a look at what it says.
fn refuse(ledger: &Ledger, request: &Request, code: Code, why: &str) -> Response {
    let (payload, rejection) = (&request.message.payload, Rejection::new(code, why));
    match addressed(request).0 {
        "command" => ledger.refuse_command(payload, rejection),
        _ => ledger.refuse_query(payload, rejection),
    }
}

async fn respond(request: &Request, response: Response) {
    if request.message.reply.is_none() {
        return;
    }
    let mut headers = HeaderMap::new();
    if let Some(refusal) = &response.refusal {
        // The framework's own errors have no body; ours is in the body, signed.
        headers.insert("Nats-Service-Error", refusal.code.as_str());
        headers.insert("Nats-Service-Error-Code", "400");
    }
    if let Err(error) = request
        .respond_with_headers(Ok(response.bytes.into()), headers)
        .await
    {
        tracing::debug!(%error, "an answer was not sent");
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
            ledger.unfinished().await;
            if ledger.tend().await.is_ok() {
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
        if let Err(error) = ledger.sweep().await {
            tracing::debug!(%error, "not everything was swept");
        }
        let waited = tokio::time::timeout(HOUSEKEEPING, stopped.wait_for(|stopped| *stopped)).await;
        if waited.is_ok() {
            return;
        }
    }
}
