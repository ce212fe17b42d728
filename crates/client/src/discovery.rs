//! Finding out which services are running.

use std::time::{Duration, Instant};

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use keyroll_core::Code;
use keyroll_wire::subjects;

use crate::link::RequestFailed;
use crate::{Client, ClientError};

/// How long services have to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How often to check that a service is running while it works on a long query.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How long there may be no service: after a restart of the service or its nats-server the answer
/// may still arrive.
const ABSENCE: Duration = Duration::from_secs(10);

impl Client {
    /// The number of services that answer a ping, for any ledger.
    ///
    /// # Errors
    /// [`Code::Unreachable`].
    pub async fn services(&self) -> Result<usize, ClientError> {
        let unreachable = |why: String| ClientError::failed(Code::Unreachable, why);
        let live = self.connection.link.live(None).await?;
        let mut answers = live.answers();
        let sent = live.publish(subjects::SERVICES, &answers, Vec::new());
        sent.await.map_err(|error| unreachable(error.to_string()))?;
        let mut count = 0;
        let end = tokio::time::Instant::now() + PING_TIMEOUT;
        while let Ok(Some(answer)) = tokio::time::timeout_at(end, answers.next()).await {
            // A message with a status is the nats-server's report that nobody subscribes.
            count += usize::from(answer.status.is_none());
        }
        Ok(count)
    }

    /// Resolves when no service has been running for a while. A service that is too busy to answer
    /// counts as running.
    pub(crate) async fn no_service(&self) {
        let mut last_running = Instant::now();
        while last_running.elapsed() < ABSENCE {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let Ok(live) = self.connection.link.live(None).await else {
                continue;
            };
            if live.nats.connection_state() != State::Connected {
                continue;
            }
            let info = live.request(subjects::INFO, Vec::new()).await;
            let is_absent =
                |failed| matches!(failed, RequestFailed::Nats(RequestErrorKind::NoResponders));
            if !info.is_err_and(is_absent) {
                last_running = Instant::now();
            }
        }
    }
}
