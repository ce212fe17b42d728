//! Reading a stream in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Statistics;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use bytes::Bytes;
use futures::StreamExt as _;

use super::{BoundStream, bounded, unavailable};
use crate::log::Unavailable;

/// Messages asked for at once.
pub(crate) const BATCH: usize = 5_000;
/// Bytes asked for at once: beyond 64 MiB waiting, nats-server drops the connection, and what was
/// under way counts as delivered.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long nothing may come before it is asked whether nothing is there: a consumer dies with the
/// server that holds it. Below what a query waits for the read model.
const QUIET: Duration = Duration::from_secs(1);
/// How long [`Consumer::next`] waits before it gives the turn back.
pub(super) const TURN: Duration = Duration::from_millis(200);

/// A message as a consumer delivers it.
pub(crate) struct ConsumedMessage {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) bytes: Bytes,
}

/// An ephemeral consumer. When it fails, another is begun after what it has given.
pub(crate) struct Consumer {
    stream: BoundStream,
    messages: pull::Stream,
    statistics: Arc<Statistics>,
    /// The number of the connection that it lives on.
    connection: u64,
    heard: Instant,
}

impl BoundStream {
    /// Reads on after a message.
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
            heard: Instant::now(),
        })
    }
}

impl Consumer {
    /// The next message; `None` when none has come within [`TURN`].
    ///
    /// # Errors
    /// When it will give no more: begin another. `after` is the last message that it gave.
    pub(crate) async fn next(
        &mut self,
        after: u64,
    ) -> Result<Option<ConsumedMessage>, Unavailable> {
        let Ok(next) = tokio::time::timeout(TURN, self.messages.next()).await else {
            self.look(after).await?;
            return Ok(None);
        };
        self.heard = Instant::now();
        let next = next.ok_or_else(|| Unavailable("the consumer ended".to_owned()))?;
        let message = next.map_err(unavailable)?;
        let sequence = message.info().map_err(unavailable)?.stream_sequence;
        Ok(Some(ConsumedMessage {
            sequence,
            subject: message.subject.to_string(),
            bytes: message.message.payload,
        }))
    }

    /// Whether more may come.
    async fn look(&mut self, after: u64) -> Result<(), Unavailable> {
        // What was under way on the connection before may be lost, and the consumer with its server.
        if self.statistics.connects.load(Ordering::Relaxed) != self.connection {
            return Err(Unavailable("the connection was made anew".to_owned()));
        }
        if self.heard.elapsed() < QUIET {
            return Ok(());
        }
        self.heard = Instant::now();
        let state = self.stream.state().await?;
        let last = state.map_or(0, |state| state.last);
        if last > after {
            let words = format!("nothing came after {after} of {last}");
            return Err(Unavailable(words));
        }
        Ok(())
    }
}
