//! Dispatches requests to the ledger and sends its answers, within bounds on memory.

use std::sync::Arc;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::service::Request;
use async_nats::service::endpoint::Endpoint;
use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_core::{Code, Rejection, WorkspaceName};
use keyroll_ledger::{GuestSubject, Ledger, Response};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::nats::permissions::is_client_inbox;

/// KiB of requests in work at once, each counted as at least [`LEAST_KIB`]: 32,768 small ones, or 36 of
/// the largest. Others are refused as busy.
const IN_WORK_KIB: usize = 128 * 1_024;
/// The memory of a request besides its bytes: its task, its state, its answer.
const LEAST_KIB: usize = 4;
/// KiB of requests being refused at once. Each is held until its refusal is sent. There is no memory for
/// more, so those get no answer.
const REFUSED_KIB: usize = 16 * 1_024;
/// Requests up to so many KiB have their own room for refusals, so that small requests are answered
/// however much others send.
const SMALL_KIB: usize = 16;
/// A request's bytes are held several times: as received, decoded, and on their way to the vault.
const COPIES: usize = 4;
/// Workspace queries answered at once. Others wait, so that queries do not take all processors and all
/// bandwidth, and no more answers than these are in memory.
const QUERIES: usize = 32;
/// An answer of more bytes than this is flushed to the nats-server before its permit is released.
const LARGE: usize = 8 * 1_024;

/// Dispatches the requests of the endpoints.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    work: Arc<Semaphore>,
    /// Room for refusals of small requests, and of large ones.
    refused: [Arc<Semaphore>; 2],
    queries: Arc<Semaphore>,
    responder: async_nats::Client,
}

impl Dispatcher {
    pub(crate) fn new(ledger: Arc<Ledger>, responder: async_nats::Client) -> Self {
        let work = Arc::new(Semaphore::new(IN_WORK_KIB));
        Self {
            ledger,
            metrics: Arc::new(Metrics::new(Arc::clone(&work), IN_WORK_KIB)),
            work,
            refused: [(); 2].map(|()| Arc::new(Semaphore::new(REFUSED_KIB))),
            queries: Arc::new(Semaphore::new(QUERIES)),
            responder,
        }
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers an endpoint's requests until it ends. `kind` is their label in the metrics.
    ///
    /// Run it without tokio's cooperative budget: each request takes next to no time here, and the ones
    /// it leaves in the queue use memory that no bound counts.
    pub(crate) async fn run(
        self,
        kind: &'static str,
        mut endpoint: Endpoint,
        stop: watch::Sender<bool>,
    ) {
        while let Some(request) = endpoint.next().await {
            let reply = request.message.reply.as_deref();
            // The caller chooses the reply subject, so answers go to inboxes only. A command without a
            // reply subject is carried out all the same.
            if reply.is_some_and(|reply| !is_client_inbox(reply)) {
                tracing::debug!("dropped a request whose reply subject is not an inbox");
                self.metrics.dropped();
                continue;
            }
            self.clone().admit(kind, request);
        }
        stop.send_replace(true);
    }

    /// Admits a request, or refuses it as busy, or drops it when there is no memory for either.
    fn admit(self, kind: &'static str, mut request: Request) {
        let arrived = Instant::now();
        let kib = |kib: usize| u32::try_from(kib).unwrap_or(u32::MAX);
        let size = request.message.payload.len() / 1_024;
        let cost = kib(LEAST_KIB.max(COPIES * size));
        if let Ok(permit) = Arc::clone(&self.work).try_acquire_many_owned(cost) {
            // The payload is a slice of a larger read buffer. The copy lets that buffer go.
            request.message.payload = Bytes::copy_from_slice(&request.message.payload);
            tokio::spawn(async move {
                self.answer(kind, &request, arrived).await;
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
                self.metrics.answered(kind, arrived, &response);
                respond(&request, response).await;
                drop(permit);
            });
        } else {
            self.metrics.unheard();
        }
    }

    /// Answers a request. Its permits are released once the answer is sent.
    async fn answer(&self, kind: &'static str, request: &Request, arrived: Instant) {
        let turn = match addressed(request) {
            ("query", Some(_)) | ("credential", None) => self.queries.acquire().await.ok(),
            _ => None,
        };
        let response = answer(&self.ledger, request).await;
        self.metrics.answered(kind, arrived, &response);
        keyroll_store::failpoint!("service.before_reply");
        let (permit, large) = (response.permit.clone(), response.bytes.len() > LARGE);
        respond(request, response).await;
        if large && let Err(error) = self.responder.flush().await {
            tracing::debug!(%error, "an answer was not sent");
        }
        keyroll_store::failpoint!("service.replied");
        drop((turn, permit));
    }
}

/// The kind and workspace in a request's subject.
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
        // Members may ask without an envelope: nobody else reads their inboxes.
        ("info", None) if payload.is_empty() => ledger.info().await,
        ("info", None) => ledger.guest(GuestSubject::Info, payload).await,
        ("credential", None) => ledger.guest(GuestSubject::Credential, payload).await,
        ("accept", None) => ledger.guest(GuestSubject::Accept, payload).await,
        _ => refuse(
            ledger,
            request,
            Code::InvalidName,
            "the subject names no valid workspace",
        ),
    }
}

/// Refuses a request without decoding it.
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
    // What a sealed answer says is for its reader alone.
    let sealed = match addressed(request) {
        ("credential" | "accept", None) => true,
        ("info", None) => !request.message.payload.is_empty(),
        _ => false,
    };
    if let Some(refusal) = response.refusal.as_ref().filter(|_| !sealed) {
        // async-nats' own errors have no body. Ours is in the body, signed.
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
