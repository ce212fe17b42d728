//! The log on JetStream: stream `KEYROLL_LOG`, subjects `keyroll.log.<workspace>`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::{Millis, Sequence, WorkspaceName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::jetstream::{BoundStream, Consumer, PublishFailure, RefusedWrite, WriteFailures};

use super::{AppendError, FollowError, Log, Message, TAIL_CHECK_PAUSE, TAIL_CHECKS, Unavailable};

/// The stream's name.
const STREAM: &str = "KEYROLL_LOG";
const SUBJECT: &str = "keyroll.log.";
/// Messages that wait for the reader at most.
const AHEAD: usize = 5_000;
/// KiB of messages that wait for the reader at most: what has been read and what is asked for next
/// must not hold a large part of the log in memory.
const AHEAD_KIB: usize = 8 * 1024;

/// [`Log`] on JetStream.
#[derive(Clone)]
pub struct JetStreamLog(BoundStream);

impl JetStreamLog {
    /// Uses the stream `KEYROLL_LOG` over a connection.
    ///
    /// # Errors
    /// [`Unavailable`] when it cannot be asked.
    pub async fn open(client: async_nats::Client) -> Result<Self, Unavailable> {
        BoundStream::open(client, STREAM).await.map(Self)
    }

    /// What the stream refused to write.
    pub const fn writes(&self) -> &WriteFailures {
        self.0.writes()
    }

    /// Why it takes no writes now, as far as that is known.
    pub async fn refuses(&self) -> Option<RefusedWrite> {
        self.0.refuses().await
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
            published.map(Sequence).map_err(|refused| match refused {
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
            // A stream that was deleted holds nothing: whoever knows better says `rollback`.
            let state = self.0.state().await?;
            Ok(state.map_or(Sequence(0), |state| Sequence(state.last)))
        }
        .boxed()
    }

    fn made(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>> {
        async move { Ok(self.0.state().await?.map(|state| state.made)) }.boxed()
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
        let (out, incoming) = tokio::sync::mpsc::channel(AHEAD);
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
            Err(FollowFailure::Log(FollowError::Behind { .. })) if looks < TAIL_CHECKS => {
                looks += 1;
                tokio::time::sleep(TAIL_CHECK_PAUSE).await;
                continue;
            }
            Err(FollowFailure::Log(error)) => {
                // The reader may be gone: then nobody needs to know.
                let _ = out.out.send((Err(error), None)).await;
                return;
            }
            Err(FollowFailure::Connection(why)) => {
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

enum FollowFailure {
    Connection(String),
    Log(FollowError),
}

async fn consume(log: &JetStreamLog, after: &mut Sequence, out: &Out) -> Result<(), FollowFailure> {
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
            () = out.out.closed() => return Ok(()),
        };
        let Some(next) = next.filter(|next| next.sequence > after.0) else {
            continue;
        };
        // Nothing is ever deleted from this stream: what is skipped is lost.
        if next.sequence != after.0 + 1 {
            let (from, to) = (Sequence(after.0 + 1), Sequence(next.sequence - 1));
            return Err(FollowFailure::Log(FollowError::Gap { from, to }));
        }
        let message = Message {
            sequence: Sequence(next.sequence),
            workspace: parse_subject(&next.subject),
            bytes: next.bytes,
        };
        if out.message(message).await.is_err() {
            return Ok(());
        }
        *after = Sequence(next.sequence);
    }
}
