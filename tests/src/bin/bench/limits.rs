//! The limits of the machine and of nats-server: plain publishes, a bare drain, bare verification.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use keyroll_server::nats::LedgerStream;

use crate::Failed;
use crate::stats::{Times, float};

const STREAM: &str = "BENCH";
const SUBJECT: &str = "bench.publish";
/// Publishes without an acknowledgement yet.
const IN_FLIGHT: usize = 1_024;
/// Longer than any acknowledgement takes.
const ANSWER: Duration = Duration::from_secs(30);
/// Messages requested at once while draining.
const BATCH: usize = 5_000;
/// The same in bytes: nats-server drops a connection that is 64 MiB behind, and the messages on
/// their way are lost.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Publishes messages like an entry into a stream like the log's, in the same account.
pub(crate) struct Publisher {
    context: jetstream::Context,
    payload: Bytes,
}

impl Publisher {
    pub(crate) async fn new(
        operator: async_nats::Client,
        payload: Vec<u8>,
    ) -> Result<Self, Failed> {
        let mut context = jetstream::new(operator);
        context.set_timeout(ANSWER);
        let settings = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            ..LedgerStream::Log.config(1)
        };
        context.create_stream(settings).await?;
        Ok(Self {
            context,
            payload: payload.into(),
        })
    }

    /// Publishes per second, with 1,024 in flight, each acknowledged.
    pub(crate) async fn flood(&self, time: Duration) -> Result<f64, Failed> {
        let begun = Instant::now();
        let mut count = 0;
        let mut waiting = FuturesUnordered::new();
        loop {
            while waiting.len() < IN_FLIGHT && begun.elapsed() < time {
                waiting.push(
                    self.context
                        .publish(SUBJECT, self.payload.clone())
                        .await?
                        .into_future(),
                );
            }
            let Some(acknowledged) = waiting.next().await else {
                break;
            };
            acknowledged?;
            count += 1;
        }
        Ok(float(count) / begun.elapsed().as_secs_f64())
    }

    /// How long one publish takes, one after the other.
    pub(crate) async fn awaited(&self, time: Duration) -> Result<Times, Failed> {
        let end = Instant::now() + time;
        let mut times = Times::default();
        while Instant::now() < end {
            let begun = Instant::now();
            self.context
                .publish(SUBJECT, self.payload.clone())
                .await?
                .await?;
            times.add(begun.elapsed());
        }
        Ok(times)
    }
}

/// A request that another connection answers at once: the cost of a request before the service does
/// anything.
pub(crate) struct Echo {
    asking: async_nats::Client,
    payload: Bytes,
}

const ECHO: &str = "bench.echo";

impl Echo {
    pub(crate) async fn new(
        (asking, answering): (async_nats::Client, async_nats::Client),
        payload: Vec<u8>,
    ) -> Result<Self, Failed> {
        let mut requests = answering.subscribe(ECHO).await?;
        answering.flush().await?;
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let Some(reply) = request.reply else { continue };
                if answering.publish(reply, request.payload).await.is_err() {
                    return;
                }
            }
        });
        let payload = payload.into();
        Ok(Self { asking, payload })
    }

    /// How long one request takes, one after the other.
    pub(crate) async fn awaited(&self, time: Duration) -> Result<Times, Failed> {
        let end = Instant::now() + time;
        let mut times = Times::default();
        while Instant::now() < end {
            let begun = Instant::now();
            self.asking.request(ECHO, self.payload.clone()).await?;
            times.add(begun.elapsed());
        }
        Ok(times)
    }
}

/// Reads the whole log and discards it. Returns messages and seconds.
pub(crate) async fn drain(operator: async_nats::Client) -> Result<(u64, f64), Failed> {
    let context = jetstream::new(operator);
    let log = context.get_stream(LedgerStream::Log.name()).await?;
    let last = log.cached_info().state.last_sequence;
    let begun = Instant::now();
    let settings = pull::Config {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: Duration::from_secs(60),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = log.create_consumer(settings).await?;
    let batches = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .max_bytes_per_batch(BATCH_BYTES)
        .expires(Duration::from_secs(30));
    let mut messages = batches.messages().await?;
    let mut count = 0;
    while count < last {
        let message = tokio::time::timeout(ANSWER, messages.next()).await?;
        message.ok_or("the log ended early")??;
        count += 1;
    }
    Ok((count, begun.elapsed().as_secs_f64()))
}

/// Verifies signatures of messages like a command on one core, strictly. Returns their number and
/// the time.
pub(crate) fn verify_strict(time: Duration) -> Result<(u64, Duration), Failed> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let signer = key.verifying_key();
    let signed: Vec<_> = (0_u8..=255)
        .map(|number| {
            let message = [number; 360];
            (message, key.sign(&message))
        })
        .collect();
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        for (message, signature) in &signed {
            signer.verify_strict(message, signature)?;
            count += 1;
        }
    }
    Ok((count, begun.elapsed()))
}

/// The same on all cores at once: less than the product where cores share parts.
pub(crate) fn verify_strict_together(time: Duration, cores: usize) -> Result<f64, Failed> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| verify_strict(time)))
            .collect();
        let rates = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread failed")?)
            .map(|done| done.map(|(count, took)| float(count) / took.as_secs_f64()));
        rates.sum()
    })
}
