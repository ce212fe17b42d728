//! Watches the clocks, and whether the nats-servers still write to disk before they acknowledge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_ledger::{Environment, Ledger};
use tokio::sync::watch;

use super::Replicas;
use super::clock::{self, ComparisonSchedule, now};
use super::durability::Durability;

/// How often to look for a reason to check again.
const POLL: Duration = Duration::from_secs(1);
/// How often the nats-servers are checked without a reason: our connection does not notice when
/// another server of a cluster restarts.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while one of them is not verified.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Watches a service's environment.
pub(crate) struct EnvironmentMonitor {
    pub(crate) client: async_nats::Client,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) durability: Durability,
    pub(crate) environment: Environment,
    /// The servers that hold the streams. One that comes back online may have other settings.
    pub(crate) replicas: watch::Receiver<Replicas>,
}

impl EnvironmentMonitor {
    /// Runs until the service stops.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut schedule = ComparisonSchedule::new(now(), Instant::now());
        let (mut last_check, mut refusing) = (Instant::now(), false);
        while tokio::time::timeout(POLL, stopped.wait_for(|stopped| *stopped))
            .await
            .is_err()
        {
            if schedule.is_due(now(), Instant::now())
                && clock::compare(&self.client, &self.ledger, &mut self.environment).await
            {
                schedule.compared(Instant::now());
                self.ledger.set_environment(self.environment.clone());
            }
            let connected = self.client.server_info();
            // A closed channel means that the service is stopping.
            let changed = self.replicas.has_changed().unwrap_or(false);
            let interval = if self.environment.sync_verified {
                CHECK_INTERVAL
            } else {
                RETRY_INTERVAL
            };
            let due = last_check.elapsed() >= interval;
            if refusing || changed || due || !self.durability.knows(&connected) {
                refusing = self.check_durability(&connected).await;
                last_check = Instant::now();
            }
        }
    }

    /// Checks the nats-servers. Returns whether commands are refused.
    async fn check_durability(&mut self, connected: &async_nats::ServerInfo) -> bool {
        let replicas = self.replicas.borrow_and_update().clone();
        let report = self.durability.check(connected, &replicas).await;
        if let (Err(why), true) = (report.all(), self.environment.sync_verified) {
            tracing::warn!(%why, "durability is not verified for every nats-server");
        }
        let refusal = self.durability.refusal(&report, connected);
        let refusing = refusal.is_some();
        self.ledger.health().set_durability(refusal);
        self.environment.nats_server = format!("{} {}", connected.server_name, connected.version);
        self.environment.sync_verified = report.all().is_ok();
        self.ledger.set_environment(self.environment.clone());
        refusing
    }
}
