//! Reading a stream in order, with an ephemeral pull consumer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Statistics;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use bytes::Bytes;
use futures::StreamExt as _;

use super::{BoundStream, bounded, unavailable};
use crate::log::Unavailable;

/// Messages requested at once.
pub(crate) const BATCH: usize = 5_000;
/// Bytes requested at once: nats-server drops a connection with more than 64 MiB waiting, and
/// messages under way then count as delivered.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long a consumer may be silent before the stream is checked for newer messages: a consumer
/// dies with the server that holds it. This is shorter than a query waits for the read model.
const QUIET: Duration = Duration::from_secs(1);
/// How long [`Consumer::next`] waits for a message.
const TURN: Duration = Duration::from_millis(200);

/// A message as a consumer delivers it.
pub(crate) struct ConsumedMessage {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) bytes: Bytes,
}

/// An ephemeral consumer. When it fails, the caller starts another after its last message.
pub(crate) struct Consumer {
    stream: BoundStream,
    messages: pull::Stream,
    statistics: Arc<Statistics>,
    /// The number of the connection that it was created on.
    connection: u64,
    last_message: Instant,
}

impl BoundStream {
    /// Starts reading after a message.
    pub(crate) async fn consume(&self, after: u64) -> Result<Consumer, Unavailable> {
        let statistics = self.client.statistics();
        let connection = statistics.connects.load(Ordering::Relaxed);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: after + 1,
            },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let messages = bounded(async {
            let made = self.stream.create_consumer(config).await;
            let consumer = made.map_err(unavailable)?;
            let batches = consumer
                .stream()
                .max_messages_per_batch(BATCH)
                .max_bytes_per_batch(BATCH_BYTES)
                .heartbeat(Duration::from_secs(5))
                .expires(Duration::from_secs(30));
            batches.messages().await.map_err(unavailable)
        });
        Ok(Consumer {
            stream: self.clone(),
            messages: messages.await?,
            statistics,
            connection,
            last_message: Instant::now(),
        })
    }
}

impl Consumer {
    /// The next message; `None` when none arrived within 200 ms.
    ///
    /// # Errors
    /// When it will deliver no more messages: start another. `after` is the last one it delivered.
    pub(crate) async fn next(
        &mut self,
        after: u64,
    ) -> Result<Option<ConsumedMessage>, Unavailable> {
        let Ok(next) = tokio::time::timeout(TURN, self.messages.next()).await else {
            self.check(after).await?;
            return Ok(None);
        };
        self.last_message = Instant::now();
        let next = next.ok_or_else(|| Unavailable("the consumer ended".to_owned()))?;
        let message = next.map_err(unavailable)?;
        let sequence = message.info().map_err(unavailable)?.stream_sequence;
        Ok(Some(ConsumedMessage {
            sequence,
            subject: message.subject.to_string(),
            bytes: message.message.payload,
        }))
    }

    /// Checks that the consumer can still deliver messages.
    async fn check(&mut self, after: u64) -> Result<(), Unavailable> {
        // Messages under way on the former connection may be lost, and the consumer with its
        // server.
        if self.statistics.connects.load(Ordering::Relaxed) != self.connection {
            return Err(Unavailable(
                "the connection was lost and made again".to_owned(),
            ));
        }
        if self.last_message.elapsed() < QUIET {
            return Ok(());
        }
        self.last_message = Instant::now();
        let state = self.stream.state().await?;
        let last = state.map_or(0, |state| state.last);
        if last > after {
            let words = format!("no message after {after} arrived, the stream has {last}");
            return Err(Unavailable(words));
        }
        Ok(())
    }
}
