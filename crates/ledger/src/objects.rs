//! Stored things that are written once and erased for good: the vault and the keys. In two
//! implementations: JetStream, and memory for tests of the writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use keyroll_core::Millis;

use crate::jetstream::{
    ACK, Refused, bounded, is_connected, is_missing_stream, refused, unavailable,
};
use crate::log::Unavailable;

/// How long a list may take, which comes in pages: each of them is bounded as any request is.
const LIST: Duration = Duration::from_secs(60);

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

/// A stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its number, never used again.
    pub sequence: u64,
    /// When it was stored, by the store's clock.
    pub at: Millis,
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

    /// Which message is stored under a subject, and since when.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn held<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Held>, Unavailable>>;

    /// Erases what is stored under a subject, its bytes on disk included. Whether there was any.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn erase<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            match self.held(subject).await? {
                Some(held) => self.erase_held(subject, held).await,
                None => Ok(false),
            }
        }
        .boxed()
    }

    /// Erases this very message, and nothing that was stored under its subject since. Whether it
    /// was still there.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn erase_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>>;

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

    async fn leader_get(&self, subject: &str) -> Result<Option<(Held, Bytes)>, Unavailable> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let at = message.time.unix_timestamp_nanos() / 1_000_000;
                let held = Held {
                    sequence: message.sequence,
                    at: Millis(u64::try_from(at).unwrap_or(0)),
                };
                Ok(Some((held, message.payload)))
            }
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                Ok(None)
            }
            Err(error) if is_missing_stream(&error) => Ok(None),
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

    fn held<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Held>, Unavailable>> {
        bounded(async move { Ok(self.leader_get(subject).await?.map(|(held, _)| held)) }).boxed()
    }

    fn erase_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        bounded(async move {
            // Without `no_erase` the server writes over the message's bytes.
            match self.stream.delete_message(held.sequence).await {
                Ok(done) => Ok(done),
                // Somebody else may have been first: that is no failure.
                Err(error) => match self.leader_get(subject).await? {
                    Some((there, _)) if there == held => Err(unavailable(error)),
                    _ => Ok(false),
                },
            }
        })
        .boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        let list = async move {
            let subjects = match self.stream.info_with_subjects(filter).await {
                Ok(subjects) => subjects,
                Err(error) if is_missing_stream(&error) => return Ok(Vec::new()),
                Err(error) => return Err(unavailable(error)),
            };
            let mut found: Vec<String> = subjects
                .map_ok(|(subject, _)| subject)
                .try_collect()
                .await
                .map_err(unavailable)?;
            found.sort_unstable();
            Ok(found)
        };
        async move {
            let listed = tokio::time::timeout(LIST, list).await;
            listed.unwrap_or_else(|_| Err(Unavailable("the list takes too long".to_owned())))
        }
        .boxed()
    }
}

/// [`Objects`] in memory, which can be made to fail after so many uses.
#[derive(Clone)]
pub struct MemoryObjects {
    inner: Arc<Mutex<Inner>>,
    clock: fn() -> Millis,
    uses_left: Arc<AtomicU64>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    stored: BTreeMap<String, (Held, Bytes)>,
}

impl Default for MemoryObjects {
    /// Whose clock stands at zero.
    fn default() -> Self {
        Self::with_clock(|| Millis(0))
    }
}

impl MemoryObjects {
    /// Empty, with this clock.
    pub fn with_clock(clock: fn() -> Millis) -> Self {
        Self {
            inner: Arc::default(),
            clock,
            uses_left: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Empty, failing together with this one.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            inner: Arc::default(),
            clock: self.clock,
            uses_left: Arc::clone(&self.uses_left),
        }
    }

    /// Lets so many uses go well; all after them fail.
    pub fn fail_after(&self, uses: u64) {
        self.uses_left.store(uses, Ordering::SeqCst);
    }

    fn with<T: Send + 'static>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn used<T: Send + 'static>(&self, run: impl FnOnce(&mut Inner) -> T) -> Result<T, Unavailable> {
        let use_one = |left: u64| left.checked_sub(1);
        let left = self
            .uses_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, use_one);
        match left {
            Ok(_) => Ok(self.with(run)),
            Err(_) => Err(Unavailable("made to fail".to_owned())),
        }
    }

    /// Takes everything away, as a lost stream would.
    pub fn lose_all(&self) {
        self.with(|inner| inner.stored.clear());
    }

    /// Takes one thing away, without a trace.
    pub fn lose(&self, subject: &str) -> bool {
        self.with(|inner| inner.stored.remove(subject).is_some())
    }

    /// Puts something under a subject, whatever was there.
    pub fn overwrite(&self, subject: &str, bytes: impl Into<Bytes>) {
        let (bytes, at) = (bytes.into(), (self.clock)());
        self.with(|inner| insert(inner, subject, bytes, at));
    }

    /// How many things are stored.
    pub fn count(&self) -> usize {
        self.with(|inner| inner.stored.len())
    }

    /// Everything that is stored, by subject.
    pub fn all(&self) -> Vec<(String, Bytes)> {
        self.with(|inner| {
            let stored = inner.stored.iter();
            stored
                .map(|(subject, (_, bytes))| (subject.clone(), bytes.clone()))
                .collect()
        })
    }
}

fn insert(inner: &mut Inner, subject: &str, bytes: Bytes, at: Millis) {
    inner.last += 1;
    let held = Held {
        sequence: inner.last,
        at,
    };
    inner.stored.insert(subject.to_owned(), (held, bytes));
}

/// Whether a subject matches a NATS filter.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in filter.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl Objects for MemoryObjects {
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        let at = (self.clock)();
        let result = self.used(|inner| {
            if inner.stored.contains_key(subject) {
                return Err(PutError::Exists);
            }
            insert(inner, subject, bytes, at);
            Ok(())
        });
        let result = result.unwrap_or_else(|why| Err(PutError::Unavailable(why.0)));
        async move { result }.boxed()
    }

    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        let found = self.used(|inner| inner.stored.get(subject).map(|(_, bytes)| bytes.clone()));
        async move { found }.boxed()
    }

    fn held<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Held>, Unavailable>> {
        let found = self.used(|inner| inner.stored.get(subject).map(|(held, _)| *held));
        async move { found }.boxed()
    }

    fn erase_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        let found = self.used(|inner| {
            let there = inner
                .stored
                .get(subject)
                .is_some_and(|(now, _)| *now == held);
            if there {
                inner.stored.remove(subject);
            }
            there
        });
        async move { found }.boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        let found = self.used(|inner| {
            let subjects = inner.stored.keys();
            subjects
                .filter(|subject| matches(filter, subject))
                .cloned()
                .collect()
        });
        async move { found }.boxed()
    }
}
