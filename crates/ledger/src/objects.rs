//! Stored things that are written once and erased for good: the vault and the keys. In two
//! implementations: JetStream, and memory for tests of the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};

use crate::jetstream::{ACK, Refused, bounded, is_connected, refused, unavailable};
use crate::log::Unavailable;

/// Why something was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Something is there already; nothing is ever replaced.
    #[error("something is stored there already")]
    Exists,
    /// It is not known to be stored.
    #[error("not known to be stored: {0}")]
    Unavailable(String),
}

/// Write-once storage under NATS subjects.
pub trait Objects: Send + Sync + 'static {
    /// Stores bytes under a subject that holds nothing, durably.
    ///
    /// # Errors
    /// [`PutError`], in bounded time.
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>>;

    /// What is stored under a subject.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>>;

    /// Erases what is stored under a subject, its bytes on disk included. Whether there was any.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn erase<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, Unavailable>>;

    /// Subjects under a filter that hold something, in order.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>>;
}

/// [`Objects`] on one JetStream stream.
#[derive(Clone)]
pub struct JetStreamObjects {
    client: async_nats::Client,
    context: jetstream::Context,
    stream: Stream<()>,
}

impl JetStreamObjects {
    /// Uses the stream of this name over a connection.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(client: async_nats::Client, stream: &str) -> Result<Self, Unavailable> {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ACK);
        let stream = context
            .get_stream_no_info(stream)
            .await
            .map_err(unavailable)?;
        Ok(Self {
            client,
            context,
            stream,
        })
    }

    async fn leader_get(&self, subject: &str) -> Result<Option<(u64, Bytes)>, Unavailable> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some((message.sequence, message.payload))),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                Ok(None)
            }
            Err(error) => Err(unavailable(error)),
        }
    }
}

fn put_error(error: &PublishError) -> PutError {
    match refused(error) {
        Refused::CameFirst => PutError::Exists,
        Refused::Never(why) | Refused::Unknown(why) => PutError::Unavailable(why),
    }
}

impl Objects for JetStreamObjects {
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        async move {
            if !is_connected(&self.client) {
                return Err(PutError::Unavailable(
                    "not connected to the nats-server".to_owned(),
                ));
            }
            let message = PublishMessage::build()
                .payload(bytes)
                .expected_last_subject_sequence(0);
            let publish = async {
                match self.context.send_publish(subject.to_owned(), message).await {
                    Ok(ack) => {
                        crate::failpoint!("objects.sent");
                        ack.await.map(drop).map_err(|error| put_error(&error))
                    }
                    Err(error) => Err(put_error(&error)),
                }
            };
            let timeout = tokio::time::timeout(ACK, publish).await;
            timeout.unwrap_or_else(|_| {
                Err(PutError::Unavailable(
                    "no acknowledgement in time".to_owned(),
                ))
            })
        }
        .boxed()
    }

    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        bounded(async move {
            // Not DIRECT.GET: the server publishes its answer, whose body is the stored bytes, to
            // any reply subject with the account's rights, so that permission alone could be
            // turned into STREAM.DELETE or STREAM.UPDATE.
            Ok(self.leader_get(subject).await?.map(|(_, bytes)| bytes))
        })
        .boxed()
    }

    fn erase<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, Unavailable>> {
        bounded(async move {
            let Some((sequence, _)) = self.leader_get(subject).await? else {
                return Ok(false);
            };
            // Without `no_erase` the server writes over the message's bytes.
            self.stream
                .delete_message(sequence)
                .await
                .map_err(unavailable)
        })
        .boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        bounded(async move {
            let subjects = self
                .stream
                .info_with_subjects(filter)
                .await
                .map_err(unavailable)?;
            let mut found: Vec<String> = subjects
                .map_ok(|(subject, _)| subject)
                .try_collect()
                .await
                .map_err(unavailable)?;
            found.sort_unstable();
            Ok(found)
        })
        .boxed()
    }
}

/// [`Objects`] in memory.
#[derive(Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl MemoryObjects {
    fn with<T: Send + 'static>(&self, run: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes everything away, as a lost stream would.
    pub fn lose_all(&self) {
        self.with(BTreeMap::clear);
    }

    /// How many things are stored.
    pub fn count(&self) -> usize {
        self.with(|stored| stored.len())
    }
}

impl Objects for MemoryObjects {
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        let result = self.with(|stored| {
            if stored.contains_key(subject) {
                return Err(PutError::Exists);
            }
            stored.insert(subject.to_owned(), bytes);
            Ok(())
        });
        async move { result }.boxed()
    }

    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        let found = self.with(|stored| stored.get(subject).cloned());
        async move { Ok(found) }.boxed()
    }

    fn erase<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, Unavailable>> {
        let found = self.with(|stored| stored.remove(subject).is_some());
        async move { Ok(found) }.boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        let prefix = filter.trim_end_matches('>').to_owned();
        let found = self.with(|stored| {
            stored
                .keys()
                .filter(|key| key.starts_with(&prefix))
                .cloned()
                .collect()
        });
        async move { Ok(found) }.boxed()
    }
}
