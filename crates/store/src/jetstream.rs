//! Access to JetStream. All reads, writes and erasures go through [`BoundStream`], which bounds
//! every wait, even when the nats-server is frozen: each call ends within [`TIMEOUT`], a list
//! within [`LIST_TIMEOUT`], and a consumer's `next` within 200 ms. `clippy.toml` forbids the NATS
//! client's own types elsewhere.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this module bounds their waits"
)]

mod consume;
mod publish;
mod write_failures;

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    DeleteStatus, LastRawMessageErrorKind, RawMessageErrorKind, Stream,
};
use bytes::Bytes;
use futures::TryStreamExt as _;
use keyroll_core::Millis;
use serde::Serialize;

use crate::log::Unavailable;
use crate::objects::Erasure;

pub(crate) use consume::Consumer;
pub(crate) use publish::PublishFailure;
use write_failures::ConnectionId;
pub use write_failures::{WriteFailure, WriteFailures};

/// How long an append or a read may take. After that the outcome of an append is unknown.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a list may take, which arrives in pages.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// A stored message, as the stream's leader has it.
pub(crate) struct StoredMessage {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) at: Millis,
    pub(crate) bytes: Bytes,
}

/// The state of a stream.
pub(crate) struct StreamState {
    pub(crate) last: u64,
    replicated: bool,
    pub(crate) created_at: Millis,
}

/// A stream over a connection.
#[derive(Clone)]
pub(crate) struct BoundStream {
    client: async_nats::Client,
    context: jetstream::Context,
    stream: Stream<()>,
    name: String,
    /// The connection for erasures.
    erasing: jetstream::Context,
    writes: WriteFailures,
}

/// The request `STREAM.MSG.DELETE`.
#[derive(Serialize)]
struct DeleteMessage {
    seq: u64,
    /// Whether the bytes stay on disk.
    no_erase: bool,
}

fn context(client: async_nats::Client) -> jetstream::Context {
    let mut context = jetstream::new(client);
    context.set_timeout(TIMEOUT);
    context
}

impl BoundStream {
    /// The stream with this name. Whether it exists is not checked.
    pub(crate) async fn open(client: async_nats::Client, name: &str) -> Result<Self, Unavailable> {
        Self::open_beside(client.clone(), client, name).await
    }

    /// As [`BoundStream::open`], with a separate connection for erasures: a server finishes an
    /// erasure before it reads the next request on the same connection.
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

    fn connection_id(&self) -> ConnectionId {
        let statistics = self.client.statistics();
        ConnectionId {
            server: self.client.server_info().server_id,
            connection: statistics.connects.load(Ordering::Relaxed),
        }
    }

    /// Writes that the stream refused.
    pub(crate) const fn writes(&self) -> &WriteFailures {
        &self.writes
    }

    /// The stream's state; `None` when there is no stream.
    pub(crate) async fn state(&self) -> Result<Option<StreamState>, Unavailable> {
        bounded(async {
            match self.stream.get_info().await {
                Ok(info) => Ok(Some(StreamState {
                    last: info.state.last_sequence,
                    replicated: info.config.num_replicas > 1,
                    created_at: millis(info.created.unix_timestamp_nanos()),
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
    pub(crate) async fn last_on(
        &self,
        subject: &str,
    ) -> Result<Option<StoredMessage>, Unavailable> {
        bounded(async {
            // Not DIRECT.GET: the server publishes its answer, whose body is the stored bytes, to
            // any reply subject with the account's rights. So this permission alone would allow
            // STREAM.DELETE and STREAM.UPDATE.
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

    /// The message with a number; `None` when there is none.
    ///
    /// # Errors
    /// [`Unavailable`], also when there is no stream.
    pub(crate) async fn message(
        &self,
        sequence: u64,
    ) -> Result<Option<StoredMessage>, Unavailable> {
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

    /// Erases the message with a number. Returns whether it was there.
    pub(crate) async fn erase(&self, sequence: u64, erasure: Erasure) -> Result<bool, Unavailable> {
        let api = format!("STREAM.MSG.DELETE.{}", self.name);
        let request = DeleteMessage {
            seq: sequence,
            // Without `no_erase` the server overwrites the message's bytes.
            no_erase: erasure == Erasure::Unlink,
        };
        bounded(async {
            let answer = self.erasing.request(api, &request).await;
            let answer: Response<DeleteStatus> = answer.map_err(unavailable)?;
            match answer {
                Response::Ok(status) => Ok(status.success),
                Response::Err { error } => Err(unavailable(error)),
            }
        })
        .await
    }

    /// The number of the first message from `sequence` on that is still there; `None` when there is
    /// none.
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

    /// Subjects under a filter that hold a message, in order.
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
        let listed = tokio::time::timeout(LIST_TIMEOUT, list).await;
        listed.unwrap_or_else(|_| Err(Unavailable("the list took too long".to_owned())))
    }
}

fn millis(nanos: i128) -> Millis {
    Millis(u64::try_from(nanos / 1_000_000).unwrap_or(0))
}

fn stored(message: jetstream::message::StreamMessage) -> StoredMessage {
    StoredMessage {
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

/// Whether a server reports that there is no such stream (10059). The NATS client's errors have the
/// code in their text only.
fn is_missing_stream(error: &impl std::fmt::Display) -> bool {
    error.to_string().contains("error code 10059")
}

/// Bounds a call, since a frozen server never answers.
async fn bounded<T>(call: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
    let timeout = tokio::time::timeout(TIMEOUT, call).await;
    timeout.unwrap_or_else(|_| Err(Unavailable("the nats-server does not answer".to_owned())))
}
