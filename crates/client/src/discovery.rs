//! Finding out which services are running.

use std::time::{Duration, Instant};

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use futures::StreamExt as _;
use keyroll_core::Code;
use keyroll_wire::subjects;

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
        let nats = self.nats(None).await?;
        let inbox = nats.new_inbox();
        let answers = nats.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|error| unreachable(error.to_string()))?;
        let ping = subjects::SERVICES.to_owned();
        let sent = nats.publish_with_reply(ping, inbox, Vec::new().into());
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
            let Ok(nats) = self.nats(None).await else {
                continue;
            };
            if nats.connection_state() != State::Connected {
                continue;
            }
            let info = nats.request(subjects::INFO, Vec::new().into()).await;
            if !info.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders) {
                last_running = Instant::now();
            }
        }
    }
}
