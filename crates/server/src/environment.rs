//! What a running service keeps an eye on around it: the clocks, and whether the nats-servers still
//! write to disk before they acknowledge. While one of them is not as it must be, no command is taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_ledger::{Environment, Ledger};
use tokio::sync::watch;

use crate::clock::{self, Pace, now};
use crate::durability::Durability;
use crate::stream_probes::Replicas;

/// How often to look whether something may be different now.
const LOOK: Duration = Duration::from_secs(1);
/// How often the nats-servers are looked at although nothing tells of a difference: another server
/// of a cluster is started anew without our connection noticing.
const EVERY: Duration = Duration::from_secs(60);
/// The same while one of them could not be looked at.
const UNSEEN: Duration = Duration::from_secs(5);

/// What is watched.
pub(crate) struct Watched {
    pub(crate) client: async_nats::Client,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) durability: Durability,
    pub(crate) around: Environment,
    /// Who keeps the streams. When one of them has come back, it may be another than it was.
    pub(crate) replicas: watch::Receiver<Replicas>,
}

impl Watched {
    /// Watches until the service stops.
    pub(crate) async fn watch(mut self, mut stopped: watch::Receiver<bool>) {
        let mut pace = Pace::new(now(), Instant::now());
        let (mut looked, mut refusing) = (Instant::now(), false);
        while tokio::time::timeout(LOOK, stopped.wait_for(|stopped| *stopped))
            .await
            .is_err()
        {
            if pace.is_due(now(), Instant::now())
                && clock::compare(&self.client, &self.ledger, &mut self.around).await
            {
                pace.compared(Instant::now());
                self.ledger.set_environment(self.around.clone());
            }
            let connected = self.client.server_info();
            // Once there is nobody who could tell of a change any more, the service is stopping.
            let changed = self.replicas.has_changed().unwrap_or(false);
            let every = if self.around.sync_verified {
                EVERY
            } else {
                UNSEEN
            };
            let due = looked.elapsed() >= every;
            if refusing || changed || due || !self.durability.knows(&connected) {
                refusing = self.look(&connected).await;
                looked = Instant::now();
            }
        }
    }

    /// Looks at the nats-servers, and takes commands or not; whether it refuses them.
    async fn look(&mut self, connected: &async_nats::ServerInfo) -> bool {
        let replicas = self.replicas.borrow_and_update().clone();
        let look = self.durability.look(connected, &replicas).await;
        if let (Err(why), true) = (look.all(), self.around.sync_verified) {
            tracing::warn!(%why, "durability is not verified of every server");
        }
        let refusal = self.durability.refusal(&look, connected);
        let refusing = refusal.is_some();
        self.ledger.health().set_durability(refusal);
        self.around.nats_server = format!("{} {}", connected.server_name, connected.version);
        self.around.sync_verified = look.all().is_ok();
        self.ledger.set_environment(self.around.clone());
        refusing
    }
}
