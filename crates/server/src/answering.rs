//! Requests are taken in as far as there is room for them, and answered.

use std::sync::Arc;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::service::Request;
use async_nats::service::endpoint::Endpoint;
use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_core::{Code, Rejection, WorkspaceName};
use keyroll_ledger::{Ledger, Response};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::nats::permissions::is_client_inbox;

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
/// A request's bytes are held decoded and on their way into the vault besides.
const COPIES: usize = 4;
/// Queries of workspaces answered at once. Others wait for their turn, so that neither the
/// processors nor the way out belong to them alone, and no more answers than these are in memory.
const QUERIES: usize = 32;
/// An answer of more bytes than this is in our hands until it is with the nats-server.
const LARGE: usize = 8 * 1_024;
/// What an endpoint's requests share.
#[derive(Clone)]
pub(crate) struct Answering {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    work: Arc<Semaphore>,
    /// Room for refusals: of small requests, and of large ones.
    refused: [Arc<Semaphore>; 2],
    queries: Arc<Semaphore>,
    responder: async_nats::Client,
}

impl Answering {
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

    /// Answers an endpoint's requests until there are no more. `kind` is what they are counted as.
    ///
    /// To be run unconstrained, never asked to stand back for others while requests are there: each
    /// takes it next to no time, and those that it leaves are memory that nobody counts.
    pub(crate) async fn run(
        self,
        kind: &'static str,
        mut endpoint: Endpoint,
        stop: watch::Sender<bool>,
    ) {
        while let Some(request) = endpoint.next().await {
            let reply = request.message.reply.as_deref();
            // The reply subject is the caller's choice: nothing is ever sent but to an inbox. A
            // command without one is carried out all the same.
            if reply.is_some_and(|reply| !is_client_inbox(reply)) {
                tracing::debug!("dropped a request whose reply subject is no inbox");
                self.metrics.dropped();
                continue;
            }
            self.clone().admit(kind, request);
        }
        stop.send_replace(true);
    }

    /// Takes a request in, to be answered or to be told to come again, if there is room for it.
    fn admit(self, kind: &'static str, mut request: Request) {
        let arrived = Instant::now();
        let kib = |kib: usize| u32::try_from(kib).unwrap_or(u32::MAX);
        let size = request.message.payload.len() / 1_024;
        let cost = kib(LEAST_KIB.max(COPIES * size));
        if let Ok(permit) = Arc::clone(&self.work).try_acquire_many_owned(cost) {
            // As it came it is a part of what was read at once, and keeps all of that in memory.
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

    /// Answers, and holds what that takes until the answer is on its way.
    async fn answer(&self, kind: &'static str, request: &Request, arrived: Instant) {
        let turn = match addressed(request) {
            ("query", Some(_)) => self.queries.acquire().await.ok(),
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
