//! The log on JetStream: stream `KEYROLL_LOG`, subjects `keyroll.log.<workspace>`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::{Backoff, Millis, Sequence, WorkspaceName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::jetstream::{BoundStream, Consumer, PublishFailure, WriteFailure, WriteFailures};

use super::{AppendError, FollowError, Log, Message, TAIL_CHECK_PAUSE, TAIL_CHECKS, Unavailable};

/// The stream's name.
const STREAM: &str = "KEYROLL_LOG";
const SUBJECT: &str = "keyroll.log.";
/// Most messages that are buffered for the reader.
const BUFFERED: usize = 5_000;
/// Most KiB of messages that are buffered for the reader, so that no large part of the log is held
/// in memory.
const BUFFERED_KIB: usize = 8 * 1024;

/// Pauses between two attempts to follow the log.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// [`Log`] on JetStream.
#[derive(Clone)]
pub struct JetStreamLog(BoundStream);

impl JetStreamLog {
    /// Uses the stream `KEYROLL_LOG` over a connection.
    ///
    /// # Errors
    /// [`Unavailable`] when the nats-server does not answer.
    pub async fn open(client: async_nats::Client) -> Result<Self, Unavailable> {
        BoundStream::open(client, STREAM).await.map(Self)
    }

    /// Writes that the stream refused.
    pub const fn writes(&self) -> &WriteFailures {
        self.0.writes()
    }

    /// Why the stream accepts no writes now, as far as that is known.
    pub async fn write_failure(&self) -> Option<WriteFailure> {
        self.0.write_failure().await
    }
}

fn parse_subject(subject: &str) -> Option<WorkspaceName> {
    subject.strip_prefix(SUBJECT)?.parse().ok()
}

impl Log for JetStreamLog {
    fn append<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
        commit: Bytes,
        expected: Sequence,
    ) -> BoxFuture<'a, Result<Sequence, AppendError>> {
        async move {
            let subject = format!("{SUBJECT}{workspace}");
            let sent = || {
                crate::failpoint!("log.sent");
            };
            let published = self.0.publish(subject, commit, expected.0, sent).await;
            published.map(Sequence).map_err(|failure| match failure {
                PublishFailure::Conflict => AppendError::Conflict,
                PublishFailure::Rejected(why) => AppendError::NotAppended(why),
                PublishFailure::Unknown(why) => AppendError::Unknown(why),
            })
        }
        .boxed()
    }

    fn head<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
    ) -> BoxFuture<'a, Result<Sequence, Unavailable>> {
        async move {
            let last = self.0.last_on(&format!("{SUBJECT}{workspace}")).await?;
            Ok(last.map_or(Sequence(0), |last| Sequence(last.sequence)))
        }
        .boxed()
    }

    fn last(&self) -> BoxFuture<'_, Result<Sequence, Unavailable>> {
        async move {
            // A deleted stream holds nothing: a caller that has seen more reports `rollback`.
            let state = self.0.state().await?;
            Ok(state.map_or(Sequence(0), |state| Sequence(state.last)))
        }
        .boxed()
    }

    fn created_at(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>> {
        async move { Ok(self.0.state().await?.map(|state| state.created_at)) }.boxed()
    }

    fn message(&self, sequence: Sequence) -> BoxFuture<'_, Result<Option<Message>, Unavailable>> {
        async move {
            let found = self.0.message(sequence.0).await?;
            Ok(found.map(|found| Message {
                sequence,
                workspace: parse_subject(&found.subject),
                bytes: found.bytes,
            }))
        }
        .boxed()
    }

    fn follow(&self, after: Sequence) -> BoxStream<'static, Result<Message, FollowError>> {
        let (out, incoming) = tokio::sync::mpsc::channel(BUFFERED);
        let memory = Arc::new(Semaphore::new(BUFFERED_KIB));
        tokio::spawn(follow(
            self.clone(),
            after,
            Output {
                messages: out,
                memory,
            },
        ));
        futures::stream::unfold(incoming, |mut incoming| async move {
            // Dropping the permit lets more messages in.
            let (message, _) = incoming.recv().await?;
            Some((message, incoming))
        })
        .boxed()
    }
}

type Followed = Result<Message, FollowError>;

/// Delivers messages to the reader, within the memory that they may take.
struct Output {
    messages: tokio::sync::mpsc::Sender<(Followed, Option<OwnedSemaphorePermit>)>,
    memory: Arc<Semaphore>,
}

/// The reader has stopped reading.
struct ReaderClosed;

impl Output {
    async fn send(&self, message: Message) -> Result<(), ReaderClosed> {
        let size = (message.bytes.len() / 1024 + 1).min(BUFFERED_KIB);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            permit = Arc::clone(&self.memory).acquire_many_owned(size) => permit.ok(),
            () = self.messages.closed() => return Err(ReaderClosed),
        };
        let sent = self.messages.send((Ok(message), permit)).await;
        sent.map_err(|_| ReaderClosed)
    }
}

/// Follows with one ephemeral consumer after another, until the reader stops or the log fails.
async fn follow(log: JetStreamLog, mut after: Sequence, output: Output) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut checks = 0;
    while !output.messages.is_closed() {
        let from = after;
        match consume(&log, &mut after, &output).await {
            Ok(()) => return,
            // A new stream leader may answer before it has caught up with its own log.
            Err(FollowFailure::Log(FollowError::Behind { .. })) if checks < TAIL_CHECKS => {
                checks += 1;
                tokio::time::sleep(TAIL_CHECK_PAUSE).await;
                continue;
            }
            Err(FollowFailure::Log(error)) => {
                // When the reader has stopped, nobody needs this error.
                let _ = output.messages.send((Err(error), None)).await;
                return;
            }
            Err(FollowFailure::Connection(why)) => {
                tracing::debug!(%why, at = %after, "reconnecting to the log");
            }
        }
        checks = 0;
        if after > from {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

enum FollowFailure {
    Connection(String),
    Log(FollowError),
}

async fn consume(
    log: &JetStreamLog,
    after: &mut Sequence,
    output: &Output,
) -> Result<(), FollowFailure> {
    let broken = |error: Unavailable| FollowFailure::Connection(error.0);
    let last = log.last().await.map_err(broken)?;
    if last < *after {
        return Err(FollowFailure::Log(FollowError::Behind {
            last,
            after: *after,
        }));
    }
    let mut consumer: Consumer = log.0.consume(after.0).await.map_err(broken)?;
    loop {
        let next = tokio::select! {
            next = consumer.next(after.0) => next.map_err(broken)?,
            () = output.messages.closed() => return Ok(()),
        };
        let Some(next) = next.filter(|next| next.sequence > after.0) else {
            continue;
        };
        // Nothing is ever deleted from this stream, so a skipped message is a lost one.
        if next.sequence != after.0 + 1 {
            let (from, to) = (Sequence(after.0 + 1), Sequence(next.sequence - 1));
            return Err(FollowFailure::Log(FollowError::Gap { from, to }));
        }
        let message = Message {
            sequence: Sequence(next.sequence),
            workspace: parse_subject(&next.subject),
            bytes: next.bytes,
        };
        if output.send(message).await.is_err() {
            return Ok(());
        }
        *after = Sequence(next.sequence);
    }
}
