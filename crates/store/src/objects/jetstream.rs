//! Objects on JetStream.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Erasure, ObjectInfo, Objects, PutError};
use crate::jetstream::{BoundStream, PublishFailure, StoredMessage, WriteFailure, WriteFailures};
use crate::log::Unavailable;

/// [`Objects`] on one JetStream stream.
#[derive(Clone)]
pub struct JetStreamObjects(BoundStream);

impl JetStreamObjects {
    /// Uses the stream with this name over a connection.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(client: async_nats::Client, stream: &str) -> Result<Self, Unavailable> {
        BoundStream::open(client, stream).await.map(Self)
    }

    /// As [`JetStreamObjects::open`], with a separate connection for erasures: a server finishes an
    /// erasure before it reads the next request on the same connection.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open_beside(
        client: async_nats::Client,
        erasing: async_nats::Client,
        stream: &str,
    ) -> Result<Self, Unavailable> {
        let opened = BoundStream::open_beside(client, erasing, stream).await;
        opened.map(Self)
    }

    /// Writes that the stream refused.
    pub const fn writes(&self) -> &WriteFailures {
        self.0.writes()
    }

    /// Why the stream accepts no writes now, as far as that is known.
    pub async fn write_failure(&self) -> Option<WriteFailure> {
        self.0.write_failure().await
    }

    /// An erasure does not fail because another replica erased the object first.
    async fn unless_gone(
        &self,
        erased: Result<bool, Unavailable>,
        subject: &str,
        object: ObjectInfo,
    ) -> Result<bool, Unavailable> {
        match erased {
            Ok(erased) => Ok(erased),
            Err(error) => match self.stored(subject).await? {
                Some(stored) if info(&stored) == object => Err(error),
                _ => Ok(false),
            },
        }
    }

    /// The message under a subject; `None` when there is none, or no stream.
    async fn stored(&self, subject: &str) -> Result<Option<StoredMessage>, Unavailable> {
        match self.0.last_on(subject).await {
            Err(why) if self.0.state().await?.is_some() => Err(why),
            Err(_) => Ok(None),
            found => found,
        }
    }
}

fn info(stored: &StoredMessage) -> ObjectInfo {
    ObjectInfo {
        sequence: stored.sequence,
        at: stored.at,
        bytes: stored.bytes.len() as u64,
    }
}

impl Objects for JetStreamObjects {
    fn exists(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        async move { Ok(self.0.state().await?.is_some()) }.boxed()
    }

    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        async move {
            let sent = || {
                crate::failpoint!("objects.sent");
            };
            let published = self.0.publish(subject.to_owned(), bytes, 0, sent).await;
            published.map(drop).map_err(|failure| match failure {
                PublishFailure::Conflict => PutError::Exists,
                PublishFailure::Rejected(why) | PublishFailure::Unknown(why) => {
                    PutError::Unavailable(why)
                }
            })
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(ObjectInfo, Bytes)>, Unavailable>> {
        async move {
            let stored = self.stored(subject).await?;
            Ok(stored.map(|stored| (info(&stored), stored.bytes)))
        }
        .boxed()
    }

    fn info<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<ObjectInfo>, Unavailable>> {
        async move { Ok(self.stored(subject).await?.as_ref().map(info)) }.boxed()
    }

    fn erase_exact<'a>(
        &'a self,
        subject: &'a str,
        object: ObjectInfo,
        erasure: Erasure,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            let erased = self.0.erase(object.sequence, erasure).await;
            self.unless_gone(erased, subject, object).await
        }
        .boxed()
    }

    fn first_from(&self, sequence: u64) -> BoxFuture<'_, Result<Option<u64>, Unavailable>> {
        self.0.first_from(sequence).boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        self.0.subjects(filter).boxed()
    }
}
