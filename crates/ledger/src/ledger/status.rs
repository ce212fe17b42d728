//! How the ledger is.

use keyroll_api::reply::Status;
use keyroll_core::{Rejection, Sequence};

use super::query::broken;
use super::{Ledger, last_of};

/// What the service knows of the nats-server and its own clock.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Name and version of the nats-server.
    pub nats_server: String,
    /// Whether it was seen to write every message to disk before it acknowledges.
    pub sync_verified: bool,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

impl Ledger {
    /// Tells what the service found around it; shown by status.
    pub fn set_surroundings(&self, surroundings: Surroundings) {
        *self
            .surroundings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = surroundings;
    }

    pub(super) async fn status(&self) -> Result<Status, Rejection> {
        let mut problems = self.shared.health.problems();
        let last = last_of(self.shared.log.as_ref()).await;
        if let Err(rejection) = &last {
            problems.push(rejection.to_string());
        }
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let odd = view.problems().map_err(|error| broken(&error))?;
        problems.extend(
            odd.into_iter()
                .map(|(sequence, words)| format!("message {sequence} of the log: {words}")),
        );
        let around = self
            .surroundings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        Ok(Status {
            entries: view.entries().map_err(|error| broken(&error))?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            problems,
            projected: view
                .head()
                .map_err(|error| broken(&error))?
                .map_or(Sequence(0), |(sequence, _)| sequence),
            nats_server: around.nats_server,
            log_sequence: last.unwrap_or(Sequence(0)),
            sync_verified: around.sync_verified,
            clock_ahead_ms: around.clock_ahead_ms,
        })
    }
}
