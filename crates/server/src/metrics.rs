//! Endpoints for monitoring over HTTP: OpenMetrics at `/metrics`, `/healthz` and `/readyz`.
//!
//! They name no workspace, secret or person. A reader learns how busy the ledger is, and nothing else.

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

/// Upper bounds of the latency buckets, in seconds: from a query's latency to the service's timeout for
/// the log.
const LATENCIES: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// The labels of the latency histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LatencyLabels {
    kind: &'static str,
}

/// The labels of the request counter: `outcome` is `ok` or the code of the refusal. Both come from closed
/// lists, so callers cannot create series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// The metrics of one service.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    dropped: Counter,
    guests_dropped: Counter,
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
    /// For a service that admits requests of `capacity` KiB through `work`.
    pub(crate) fn new(work: Arc<Semaphore>, capacity: usize) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keyroll"),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
            dropped: Counter::default(),
            guests_dropped: Counter::default(),
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
        let requests = "Requests answered, by kind and outcome (ok or the refusal's code)";
        registry.register("requests", requests, self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's arrival to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        let dropped =
            "Requests dropped without an answer because their reply subject is not an inbox";
        registry.register("requests_dropped", dropped, self.dropped.clone());
        let guests = "Requests of guests dropped without an answer because they have no reply subject or are too large";
        registry.register(
            "guest_requests_dropped",
            guests,
            self.guests_dropped.clone(),
        );
        let unheard =
            "Requests dropped without an answer because there was no memory even for a refusal";
        registry.register("requests_unheard", unheard, self.unheard.clone());
        for (name, help, gauge) in [
            (
                "requests_in_work_kib",
                "Memory counted for the requests in work",
                &self.in_work,
            ),
            ("entries", "Entries in the read model", &self.entries),
            (
                "projected_sequence",
                "Sequence of the last log message in the read model",
                &self.projected,
            ),
            (
                "problems",
                "Problems of the ledger and its workspaces",
                &self.problems,
            ),
            (
                "warnings",
                "Warnings, such as a store that is nearly full",
                &self.warnings,
            ),
            (
                "ready",
                "1 while commands are accepted, 0 while all are refused",
                &self.ready,
            ),
            (
                "clock_ahead_ms",
                "How far the service's clock is ahead of the nats-server's",
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
        self.requests
            .get_or_create(&RequestLabels { kind, outcome })
            .inc();
        let taken = since.elapsed().as_secs_f64();
        self.latency
            .get_or_create(&LatencyLabels { kind })
            .observe(taken);
    }

    /// Counts a request without a valid reply subject.
    pub(crate) fn dropped(&self) {
        self.dropped.inc();
    }

    /// Counts a guest's request that cannot be answered. Anybody can send such, so it is no sign of an attack by a
    /// member.
    pub(crate) fn guest_dropped(&self) {
        self.guests_dropped.inc();
    }

    /// Counts a request that found no room.
    pub(crate) fn unheard(&self) {
        self.unheard.inc();
    }

    fn render(&self, ledger: &Ledger) -> Result<String, std::fmt::Error> {
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

type SharedState = State<(Arc<Ledger>, Arc<Metrics>)>;

async fn show_metrics(State((ledger, metrics)): SharedState) -> impl IntoResponse {
    // Counting the entries reads the read model, which is on disk.
    let rendered = tokio::task::spawn_blocking(move || metrics.render(&ledger)).await;
    match rendered {
        Ok(Ok(page)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Ok(([(header::CONTENT_TYPE, kind)], page))
        }
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn ready(State((ledger, _)): SharedState) -> (StatusCode, String) {
    match ledger.health_summary().refusing {
        None => (StatusCode::OK, "ready\n".to_owned()),
        // Only the code: the message may name a workspace.
        Some(why) => {
            let mut line = String::new();
            let _ = writeln!(line, "{}", why.code.as_str());
            (StatusCode::SERVICE_UNAVAILABLE, line)
        }
    }
}

/// Connections at a time. Monitoring needs few, and others must not use up the process's descriptors.
const CONNECTIONS: usize = 32;
/// Connections of one address: several monitors may share it.
const PER_CLIENT: usize = 8;

/// Serves the metrics until the server is dropped. Returns its address, with the port that was chosen if
/// `address` has port 0. `proxies` are addresses of proxies, which connect for many monitors.
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
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state((ledger, metrics));
    let limits = Limits::new(CONNECTIONS, PER_CLIENT, proxies);
    Ok((bound, Server::start(listener, router, limits, |_| {})))
}
