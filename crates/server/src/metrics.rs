//! What monitoring is told, over HTTP: OpenMetrics at `/metrics`, `/healthz` and `/readyz`.
//!
//! Nothing of it names a workspace, a secret or a person: who can read the figures learns how busy
//! the ledger is, and nothing else.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use keyroll_http::{Limits, Server};
use keyroll_ledger::{Ledger, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Upper bounds of the classes of latency, in seconds: from a query's to the moment at which the
/// service gives up on the log.
const LATENCIES: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    kind: &'static str,
}

/// How a request ended: `ok`, or the code of its refusal. Both come from closed lists, so that no
/// caller can make series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    kind: &'static str,
    outcome: &'static str,
}

/// The figures of one service.
pub struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    latency: Family<Asked, Histogram, fn() -> Histogram>,
    dropped: Counter,
    unheard: Counter,
    in_work: Gauge,
    entries: Gauge,
    projected: Gauge,
    problems: Gauge,
    warnings: Gauge,
    ready: Gauge,
    clock_ahead: Gauge,
    work: Arc<Semaphore>,
    capacity: usize,
}

impl Metrics {
    /// For a service that lets requests of `capacity` KiB in through `work`.
    pub(crate) fn new(work: Arc<Semaphore>, capacity: usize) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keyroll"),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
            dropped: Counter::default(),
            unheard: Counter::default(),
            in_work: Gauge::default(),
            entries: Gauge::default(),
            projected: Gauge::default(),
            problems: Gauge::default(),
            warnings: Gauge::default(),
            ready: Gauge::default(),
            clock_ahead: Gauge::default(),
            work,
            capacity,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let requests = "Requests answered, by kind and outcome (ok or the code of the refusal)";
        registry.register("requests", requests, self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's arrival to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        let dropped = "Requests dropped unanswered, as they wanted the answer at no inbox";
        registry.register("requests_dropped", dropped, self.dropped.clone());
        let unheard = "Requests dropped unanswered, as there was no room even for a refusal";
        registry.register("requests_unheard", unheard, self.unheard.clone());
        for (name, help, gauge) in [
            (
                "requests_in_work_kib",
                "What the requests in work count",
                &self.in_work,
            ),
            ("entries", "Entries in the read model", &self.entries),
            (
                "projected_sequence",
                "The last message of the log that is in the read model",
                &self.projected,
            ),
            (
                "problems",
                "What is wrong with the ledger or its workspaces",
                &self.problems,
            ),
            (
                "warnings",
                "What will be wrong soon, such as a store that is nearly full",
                &self.warnings,
            ),
            (
                "ready",
                "1 while commands are taken, 0 while all are refused",
                &self.ready,
            ),
            (
                "clock_ahead_ms",
                "How far the clock is ahead of the nats-server's",
                &self.clock_ahead,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, kind: &'static str, since: Instant, response: &Response) {
        let refusal = response.refusal.as_ref();
        let outcome = refusal.map_or("ok", |refusal| refusal.code.as_str());
        self.requests.get_or_create(&Ended { kind, outcome }).inc();
        let taken = since.elapsed().as_secs_f64();
        self.latency.get_or_create(&Asked { kind }).observe(taken);
    }

    /// Counts a request that is not answered.
    pub(crate) fn dropped(&self) {
        self.dropped.inc();
    }

    /// Counts a request that there was no room for.
    pub(crate) fn unheard(&self) {
        self.unheard.inc();
    }

    fn read(&self, ledger: &Ledger) -> Result<String, std::fmt::Error> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let in_work = self.capacity.saturating_sub(self.work.available_permits());
        self.in_work.set(i64::try_from(in_work).unwrap_or(i64::MAX));
        let health = ledger.health_summary();
        if let Some(entries) = health.entries {
            self.entries.set(count(entries));
        }
        self.projected.set(count(health.projected.0));
        let problems = i64::try_from(health.problems).unwrap_or(i64::MAX);
        self.problems.set(problems);
        let warnings = i64::try_from(health.warnings).unwrap_or(i64::MAX);
        self.warnings.set(warnings);
        self.ready.set(i64::from(health.refusing.is_none()));
        self.clock_ahead.set(health.clock_ahead_ms);
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

type Told = State<(Arc<Ledger>, Arc<Metrics>)>;

async fn figures(State((ledger, metrics)): Told) -> impl IntoResponse {
    // The entries are counted in the read model, which is on disk.
    let read = tokio::task::spawn_blocking(move || metrics.read(&ledger)).await;
    match read {
        Ok(Ok(page)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Ok(([(header::CONTENT_TYPE, kind)], page))
        }
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn ready(State((ledger, _)): Told) -> (StatusCode, String) {
    match ledger.health_summary().refusing {
        None => (StatusCode::OK, "ready\n".to_owned()),
        // The code alone: the message may name a workspace.
        Some(why) => {
            let mut line = String::new();
            let _ = writeln!(line, "{}", why.code.as_str());
            (StatusCode::SERVICE_UNAVAILABLE, line)
        }
    }
}

/// Connections at a time: monitoring has few, and nobody else may hold the process's files.
const CONNECTIONS: usize = 32;
/// Of one address: more than one monitor at work behind it.
const PER_CLIENT: usize = 8;

/// Serves the figures until the server is dropped; gives the address too, which has the port where
/// `address` left it open. `proxies` are addresses that speak for many monitors.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(
    address: SocketAddr,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    proxies: &[IpAddr],
) -> io::Result<(SocketAddr, Server)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let pages = Router::new()
        .route("/metrics", get(figures))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state((ledger, metrics));
    let limits = Limits::new(CONNECTIONS, PER_CLIENT, proxies);
    Ok((bound, Server::start(listener, pages, limits, |_| {})))
}
