//! The one way to JetStream. Everything else reads, writes and erases through [`BoundStream`], which
//! gives back nothing that could be waited for without an end: each call ends within [`ACK`] (a list
//! within [`LIST`]), a consumer's `next` within [`TURN`], whatever becomes of the nats-server.
//! `clippy.toml` refuses the NATS client's own types elsewhere.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is where their waits are bounded"
)]

mod consume;
mod refusals;

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    DeleteStatus, LastRawMessageErrorKind, RawMessageErrorKind, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::subject::ToSubject as _;
use bytes::Bytes;
use futures::TryStreamExt as _;
use keyroll_core::Millis;
use serde::Serialize;

use crate::log::Unavailable;

pub(crate) use consume::Consumer;
use refusals::ConnectionId;
pub use refusals::{RefusedWrite, WriteFailures};

/// How long an append or a read may take. After that an append's fate counts as unknown.
pub(crate) const ACK: Duration = Duration::from_secs(2);
/// How long a list may take, which comes in pages.
const LIST: Duration = Duration::from_secs(60);

/// How long a stream on several servers is doubted after a write without an answer, which its leader
/// may have taken with it. If the disk of the next one fails as well, the next write tells.
const LED_ANEW: Duration = Duration::from_secs(30);

/// Something else came first, as a server says it: a wrong last sequence, 10071 on one replica and
/// 10164 on three, where it may also mean that another message is still on its way there.
const CAME_FIRST: [ErrorCode; 2] = [ErrorCode(10_071), ErrorCode(10_164)];

/// What a server says that is not, or no longer, the one to ask: "temporarily unavailable", "not the
/// leader", "offline".
const NOT_THE_ONE: [ErrorCode; 3] = [ErrorCode(10_008), ErrorCode(10_009), ErrorCode(10_118)];

/// What a publish without an acknowledgement means.
pub(crate) enum PublishFailure {
    /// Something else came first.
    Conflict,
    /// The server refused it: it is not stored and never will be.
    Rejected(String),
    /// It may be stored, or may still be.
    Unknown(String),
}

/// A stored message, as the stream's leader has it.
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) at: Millis,
    pub(crate) bytes: Bytes,
}

/// What a stream says of itself.
pub(crate) struct StreamState {
    pub(crate) last: u64,
    replicated: bool,
    pub(crate) made: Millis,
}

/// A stream over a connection.
#[derive(Clone)]
pub(crate) struct BoundStream {
    client: async_nats::Client,
    context: jetstream::Context,
    stream: Stream<()>,
    name: String,
    /// The connection that erases.
    erasing: jetstream::Context,
    writes: WriteFailures,
}

/// The request `STREAM.MSG.DELETE`.
#[derive(Serialize)]
struct DeleteMessage {
    seq: u64,
    /// Whether the bytes are left where they are.
    no_erase: bool,
}

fn context(client: async_nats::Client) -> jetstream::Context {
    let mut context = jetstream::new(client);
    context.set_timeout(ACK);
    context
}

impl BoundStream {
    /// The stream of this name, not looked at yet.
    pub(crate) async fn open(client: async_nats::Client, name: &str) -> Result<Self, Unavailable> {
        Self::open_beside(client.clone(), client, name).await
    }

    /// As [`BoundStream::open`], with a connection of its own to erase over: a server carries an
    /// erasure out before it reads on, and what comes behind it on the same connection waits.
    pub(crate) async fn open_beside(
        client: async_nats::Client,
        erasing: async_nats::Client,
        name: &str,
    ) -> Result<Self, Unavailable> {
        let context = context(client.clone());
        let stream = bounded(async {
            let stream = context.get_stream_no_info(name).await;
            stream.map_err(unavailable)
        });
        let stream = stream.await?;
        Ok(Self {
            client,
            context,
            stream,
            name: name.to_owned(),
            erasing: self::context(erasing),
            writes: WriteFailures::default(),
        })
    }

    fn link(&self) -> ConnectionId {
        let statistics = self.client.statistics();
        ConnectionId {
            server: self.client.server_info().server_id,
            connection: statistics.connects.load(Ordering::Relaxed),
        }
    }

    /// What it refused to write.
    pub(crate) const fn writes(&self) -> &WriteFailures {
        &self.writes
    }

    /// How it is; `None` when there is none.
    pub(crate) async fn state(&self) -> Result<Option<StreamState>, Unavailable> {
        bounded(async {
            match self.stream.get_info().await {
                Ok(info) => Ok(Some(StreamState {
                    last: info.state.last_sequence,
                    replicated: info.config.num_replicas > 1,
                    made: millis(info.created.unix_timestamp_nanos()),
                })),
                Err(error) if is_missing_stream(&error) => Ok(None),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// The last message on a subject; `None` when there is none.
    ///
    /// # Errors
    /// [`Unavailable`], also when there is no stream.
    pub(crate) async fn last_on(&self, subject: &str) -> Result<Option<Stored>, Unavailable> {
        bounded(async {
            // Not DIRECT.GET: the server publishes its answer, whose body is the stored bytes, to
            // any reply subject with the account's rights, so that permission alone could be
            // turned into STREAM.DELETE or STREAM.UPDATE.
            match self.stream.get_last_raw_message_by_subject(subject).await {
                Ok(message) => Ok(Some(stored(message))),
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                    Ok(None)
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// The message of a number; `None` when there is none.
    ///
    /// # Errors
    /// [`Unavailable`], also when there is no stream.
    pub(crate) async fn message(&self, sequence: u64) -> Result<Option<Stored>, Unavailable> {
        bounded(async {
            match self.stream.get_raw_message(sequence).await {
                Ok(message) => Ok(Some(stored(message))),
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                    Ok(None)
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// Stores bytes if `expected` is the last message on the subject (0 for none), durably. Gives
    /// the message's number. `sent` is called between sending and the acknowledgement.
    pub(crate) async fn publish(
        &self,
        subject: String,
        bytes: Bytes,
        expected: u64,
        sent: impl FnOnce(),
    ) -> Result<u64, PublishFailure> {
        // Unconnected, the client would keep the message and send it whenever it can.
        if self.client.connection_state() != async_nats::connection::State::Connected {
            let words = "not connected to the nats-server".to_owned();
            return Err(PublishFailure::Rejected(words));
        }
        let link = self.link();
        let message = PublishMessage::build()
            .payload(bytes)
            .expected_last_subject_sequence(expected);
        let publish = async {
            let ack = self.context.send_publish(subject.to_subject(), message);
            let ack = ack.await?;
            sent();
            ack.await
        };
        let refused = match tokio::time::timeout(ACK, publish).await {
            Ok(Ok(ack)) => {
                self.writes.taken();
                return Ok(ack.sequence);
            }
            Ok(Err(error)) => {
                let (refused, of_the_store) = refused(&error);
                if let (true, PublishFailure::Rejected(why)) = (of_the_store, &refused) {
                    self.writes.refused(RefusedWrite::said(link.clone(), why));
                }
                refused
            }
            Err(_) => PublishFailure::Unknown("no acknowledgement in time".to_owned()),
        };
        if let PublishFailure::Unknown(_) = &refused {
            let unheard = RefusedWrite::unheard(link, subject, expected);
            self.writes.refused(unheard);
        }
        Err(refused)
    }

    /// Why it takes no writes, if the last of them was refused and nothing since shows that it takes
    /// them again: an acknowledgement, another nats-server process, or, where none came in time, the
    /// message itself or another one at its place.
    pub(crate) async fn refuses(&self) -> Option<RefusedWrite> {
        let refused = self.writes.now()?;
        let link = self.link();
        if refused.link.server != link.server {
            self.writes.settled(&refused);
            return None;
        }
        if let Some((subject, expected)) = &refused.unheard {
            // While it does not answer at all, that is what is wrong with it.
            let state = self.state().await.ok()??;
            // It may have been lost on its way, with the connection or with the stream's leader.
            let old = state.replicated && refused.at.elapsed() > LED_ANEW;
            if old || refused.link.connection != link.connection {
                self.writes.settled(&refused);
                return None;
            }
            let there = self.last_on(subject).await.ok()?;
            // A message that could not be synced is named as the last, and not counted.
            let counted = there.filter(|there| there.sequence <= state.last);
            if counted.is_some_and(|there| there.sequence > *expected) {
                self.writes.settled(&refused);
                return None;
            }
        }
        Some(refused)
    }

    /// Erases the message of a number, its bytes on disk included. Whether it was there.
    pub(crate) async fn erase(&self, sequence: u64) -> Result<bool, Unavailable> {
        // Without `no_erase` the server writes over the message's bytes.
        self.delete(sequence, false).await
    }

    /// As [`BoundStream::erase`], but its bytes may stay on disk until nothing else lies in their block.
    pub(crate) async fn remove(&self, sequence: u64) -> Result<bool, Unavailable> {
        self.delete(sequence, true).await
    }

    async fn delete(&self, seq: u64, no_erase: bool) -> Result<bool, Unavailable> {
        let api = format!("STREAM.MSG.DELETE.{}", self.name);
        bounded(async {
            let request = DeleteMessage { seq, no_erase };
            let asked = self.erasing.request(api, &request).await;
            let answer: Response<DeleteStatus> = asked.map_err(unavailable)?;
            match answer {
                Response::Ok(done) => Ok(done.success),
                Response::Err { error } => Err(unavailable(error)),
            }
        })
        .await
    }

    /// The number of the first message from `sequence` on that is still there; `None` if there is none.
    pub(crate) async fn first_from(&self, sequence: u64) -> Result<Option<u64>, Unavailable> {
        bounded(async {
            let found = self.stream.get_first_raw_message_by_subject(">", sequence);
            match found.await {
                Ok(message) => Ok(Some(message.sequence)),
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                    Ok(None)
                }
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    /// Subjects under a filter that hold something, in order.
    pub(crate) async fn subjects(&self, filter: &str) -> Result<Vec<String>, Unavailable> {
        let list = async {
            let subjects = match self.stream.info_with_subjects(filter).await {
                Ok(subjects) => subjects,
                Err(error) if is_missing_stream(&error) => return Ok(Vec::new()),
                Err(error) => return Err(unavailable(error)),
            };
            let found = subjects.map_ok(|(subject, _)| subject).try_collect().await;
            let mut found: Vec<String> = found.map_err(unavailable)?;
            found.sort_unstable();
            Ok(found)
        };
        let listed = tokio::time::timeout(LIST, list).await;
        listed.unwrap_or_else(|_| Err(Unavailable("the list takes too long".to_owned())))
    }
}

fn millis(nanos: i128) -> Millis {
    Millis(u64::try_from(nanos / 1_000_000).unwrap_or(0))
}

fn stored(message: jetstream::message::StreamMessage) -> Stored {
    Stored {
        sequence: message.sequence,
        subject: message.subject.to_string(),
        at: millis(message.time.unix_timestamp_nanos()),
        bytes: message.payload,
    }
}

fn unavailable(error: impl std::fmt::Display) -> Unavailable {
    if is_missing_stream(&error) {
        return Unavailable("the stream is missing: see `keyroll recover`".to_owned());
    }
    Unavailable(error.to_string())
}

/// Whether a server says that there is no such stream (10059). The client's errors keep the code in
/// their words only.
fn is_missing_stream(error: &impl std::fmt::Display) -> bool {
    error.to_string().contains("error code 10059")
}

/// Bounds a call, since a frozen server answers nothing.
async fn bounded<T>(call: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
    let timeout = tokio::time::timeout(ACK, call).await;
    timeout.unwrap_or_else(|_| Err(Unavailable("the nats-server does not answer".to_owned())))
}

/// What an error means, and whether it is the store that refuses.
fn refused(error: &PublishError) -> (PublishFailure, bool) {
    let source = std::error::Error::source(error);
    let api = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    if api.is_some_and(|api| CAME_FIRST.contains(&api.error_code())) {
        return (PublishFailure::Conflict, false);
    }
    match error.kind() {
        PublishErrorKind::WrongLastSequence => (PublishFailure::Conflict, false),
        // As the client says it; a stream that is there and has no leader is the usual reason.
        PublishErrorKind::StreamNotFound => {
            let words = "no stream takes it: it has no leader now, or is missing";
            (PublishFailure::Rejected(words.to_owned()), false)
        }
        PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::WrongLastMessageId => {
            (PublishFailure::Rejected(error.to_string()), false)
        }
        // A leader that others no longer hear says so of a message that the new one takes: when
        // they find each other again both get what is published, and the first answer comes here.
        PublishErrorKind::Other
            if api.is_some_and(|api| NOT_THE_ONE.contains(&api.error_code())) =>
        {
            (PublishFailure::Unknown(error.to_string()), false)
        }
        PublishErrorKind::Other if api.is_some() => {
            (PublishFailure::Rejected(error.to_string()), true)
        }
        PublishErrorKind::Other
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => (PublishFailure::Unknown(error.to_string()), false),
    }
}
