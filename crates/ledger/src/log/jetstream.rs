//! The log on JetStream: stream `KEYROLL_LOG`, subjects `keyroll.log.<workspace>`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::{Millis, Sequence, WorkspaceName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::jetstream::{
    ACK, Refused, bounded, is_connected, is_missing_stream, open, refused, unavailable,
};

use crate::writer::{BETWEEN_LOOKS, LOOKS};

use super::{AppendError, FollowError, Log, Message, Unavailable};

/// The stream's name.
const STREAM: &str = "KEYROLL_LOG";
const SUBJECT: &str = "keyroll.log.";
/// Messages asked for at once while following.
const BATCH: usize = 5_000;
/// Bytes asked for at once: beyond 64 MiB waiting, nats-server drops the connection, and what was
/// under way counts as delivered.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// KiB of messages that wait for the reader at most: what has been read and what is asked for next
/// must not hold a large part of the log in memory.
const AHEAD_KIB: usize = 8 * 1024;
/// How long nothing may come before it is asked whether nothing is there: a consumer dies with the
/// server that holds it. Below what a query waits for the read model.
const QUIET: Duration = Duration::from_secs(1);
/// How often to look meanwhile whether the connection was made anew.
const LOOK: Duration = Duration::from_millis(200);

/// [`Log`] on JetStream.
#[derive(Clone)]
pub struct JetStreamLog {
    client: async_nats::Client,
    context: jetstream::Context,
    stream: Stream<()>,
}

impl JetStreamLog {
    /// Uses the stream `KEYROLL_LOG` over a connection.
    ///
    /// # Errors
    /// [`Unavailable`] when the stream is not there or cannot be asked.
    pub async fn open(client: async_nats::Client) -> Result<Self, Unavailable> {
        let (context, stream) = open(&client, STREAM).await?;
        Ok(Self {
            client,
            context,
            stream,
        })
    }
}

fn parse_subject(subject: &str) -> Option<WorkspaceName> {
    subject.strip_prefix(SUBJECT)?.parse().ok()
}

fn append_error(error: &PublishError) -> AppendError {
    match refused(error) {
        Refused::CameFirst => AppendError::Conflict,
        Refused::Never(why) => AppendError::NotAppended(why),
        Refused::Unknown(why) => AppendError::Unknown(why),
    }
}

impl Log for JetStreamLog {
    fn append<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
        commit: Bytes,
        expected: Sequence,
    ) -> BoxFuture<'a, Result<Sequence, AppendError>> {
        async move {
            if !is_connected(&self.client) {
                return Err(AppendError::NotAppended(
                    "not connected to the nats-server".to_owned(),
                ));
            }
            let message = PublishMessage::build()
                .payload(commit)
                .expected_last_subject_sequence(expected.0);
            let publish = async {
                let ack = self
                    .context
                    .send_publish(format!("{SUBJECT}{workspace}"), message)
                    .await;
                match ack {
                    Ok(ack) => {
                        crate::failpoint!("log.sent");
                        ack.await.map_err(|error| append_error(&error))
                    }
                    Err(error) => Err(append_error(&error)),
                }
            };
            match tokio::time::timeout(ACK, publish).await {
                Ok(Ok(ack)) => Ok(Sequence(ack.sequence)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(AppendError::Unknown(
                    "no acknowledgement in time".to_owned(),
                )),
            }
        }
        .boxed()
    }

    fn head<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
    ) -> BoxFuture<'a, Result<Sequence, Unavailable>> {
        bounded(async move {
            match self
                .stream
                .get_last_raw_message_by_subject(&format!("{SUBJECT}{workspace}"))
                .await
            {
                Ok(message) => Ok(Sequence(message.sequence)),
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                    Ok(Sequence(0))
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .boxed()
    }

    fn last(&self) -> BoxFuture<'_, Result<Sequence, Unavailable>> {
        bounded(async move {
            match self.stream.get_info().await {
                Ok(info) => Ok(Sequence(info.state.last_sequence)),
                // A stream that was deleted holds nothing: whoever knows better says `rollback`.
                Err(error) if is_missing_stream(&error) => Ok(Sequence(0)),
                Err(error) => Err(unavailable(error)),
            }
        })
        .boxed()
    }

    fn made(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>> {
        bounded(async move {
            match self.stream.get_info().await {
                Ok(info) => {
                    let at = info.created.unix_timestamp_nanos() / 1_000_000;
                    Ok(Some(Millis(u64::try_from(at).unwrap_or(0))))
                }
                Err(error) if is_missing_stream(&error) => Ok(None),
                Err(error) => Err(unavailable(error)),
            }
        })
        .boxed()
    }

    fn message(&self, sequence: Sequence) -> BoxFuture<'_, Result<Option<Message>, Unavailable>> {
        bounded(async move {
            match self.stream.get_raw_message(sequence.0).await {
                Ok(message) => Ok(Some(Message {
                    sequence,
                    workspace: parse_subject(&message.subject),
                    bytes: message.payload,
                })),
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                    Ok(None)
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .boxed()
    }

    fn follow(&self, after: Sequence) -> BoxStream<'static, Result<Message, FollowError>> {
        let (out, incoming) = tokio::sync::mpsc::channel(BATCH);
        let room = Arc::new(Semaphore::new(AHEAD_KIB));
        tokio::spawn(follow(self.clone(), after, Out { out, room }));
        futures::stream::unfold(incoming, |mut incoming| async move {
            // What was taken makes room for more.
            let (message, _) = incoming.recv().await?;
            Some((message, incoming))
        })
        .boxed()
    }
}

type Followed = Result<Message, FollowError>;

/// The way to the reader.
struct Out {
    out: tokio::sync::mpsc::Sender<(Followed, Option<OwnedSemaphorePermit>)>,
    room: Arc<Semaphore>,
}

/// The reader is gone.
struct Gone;

impl Out {
    async fn message(&self, message: Message) -> Result<(), Gone> {
        let size = (message.bytes.len() / 1024 + 1).min(AHEAD_KIB);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(size) => room.ok(),
            () = self.out.closed() => return Err(Gone),
        };
        let sent = self.out.send((Ok(message), room)).await;
        sent.map_err(|_| Gone)
    }
}

/// Follows with one ephemeral consumer after the other, until the reader or the log ends.
async fn follow(log: JetStreamLog, mut after: Sequence, out: Out) {
    let mut pause = Duration::from_millis(50);
    let mut looks = 0;
    while !out.out.is_closed() {
        let from = after;
        match consume(&log, &mut after, &out).await {
            Ok(()) => return,
            // A stream's new leader may answer before it has caught up with its own log.
            Err(Broken::Log(FollowError::Behind { .. })) if looks < LOOKS => {
                looks += 1;
                tokio::time::sleep(BETWEEN_LOOKS).await;
                continue;
            }
            Err(Broken::Log(error)) => {
                // The reader may be gone: then nobody needs to know.
                let _ = out.out.send((Err(error), None)).await;
                return;
            }
            Err(Broken::Connection(why)) => {
                tracing::debug!(%why, at = %after, "following the log again");
            }
        }
        looks = 0;
        pause = if after > from {
            Duration::from_millis(50)
        } else {
            (pause * 2).min(Duration::from_secs(2))
        };
        tokio::time::sleep(pause).await;
    }
}

enum Broken {
    Connection(String),
    Log(FollowError),
}

async fn consume(log: &JetStreamLog, after: &mut Sequence, out: &Out) -> Result<(), Broken> {
    let broken = |error: &dyn std::fmt::Display| Broken::Connection(error.to_string());
    let statistics = log.client.statistics();
    let connections = || statistics.connects.load(Ordering::Relaxed);
    let connection = connections();
    let last = log.last().await.map_err(|error| broken(&error))?;
    if last < *after {
        return Err(Broken::Log(FollowError::Behind {
            last,
            after: *after,
        }));
    }
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: after.0 + 1,
        },
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: Duration::from_secs(60),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = log
        .stream
        .create_consumer(config)
        .await
        .map_err(|error| broken(&error))?;
    let batches = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .max_bytes_per_batch(BATCH_BYTES)
        .heartbeat(Duration::from_secs(5))
        .expires(Duration::from_secs(30));
    let mut messages = batches.messages().await.map_err(|error| broken(&error))?;
    let mut heard = Instant::now();
    loop {
        let next = tokio::select! {
            next = messages.next() => next,
            () = out.out.closed() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {
                // What was under way on the one before may be lost, and the consumer with its server.
                if connections() != connection {
                    return Err(Broken::Connection("it was made anew".to_owned()));
                }
                if heard.elapsed() < QUIET {
                    continue;
                }
                heard = Instant::now();
                let last = log.last().await.map_err(|error| broken(&error))?;
                if last > *after {
                    return Err(Broken::Connection(format!("nothing came after {after} of {last}")));
                }
                continue;
            }
        };
        heard = Instant::now();
        let Some(next) = next else {
            return Err(Broken::Connection("the consumer ended".to_owned()));
        };
        let message = next.map_err(|error| broken(&error))?;
        let sequence = message
            .info()
            .map_err(|error| broken(&error))?
            .stream_sequence;
        if sequence <= after.0 {
            continue;
        }
        // Nothing is ever deleted from this stream: what is skipped is lost.
        if sequence != after.0 + 1 {
            let (from, to) = (Sequence(after.0 + 1), Sequence(sequence - 1));
            return Err(Broken::Log(FollowError::Gap { from, to }));
        }
        let workspace = parse_subject(&message.subject);
        let bytes = message.message.payload;
        let message = Message {
            sequence: Sequence(sequence),
            workspace,
            bytes,
        };
        if out.message(message).await.is_err() {
            return Ok(());
        }
        *after = Sequence(sequence);
    }
}
