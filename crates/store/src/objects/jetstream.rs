//! Stored things on JetStream.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Held, Objects, PutError};
use crate::jetstream::{BoundStream, Refused, RefusedWrite, Stored, Writes};
use crate::log::Unavailable;

/// [`Objects`] on one JetStream stream.
#[derive(Clone)]
pub struct JetStreamObjects(BoundStream);

impl JetStreamObjects {
    /// Uses the stream of this name over a connection.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(client: async_nats::Client, stream: &str) -> Result<Self, Unavailable> {
        BoundStream::open(client, stream).await.map(Self)
    }

    /// As [`JetStreamObjects::open`], with a connection of its own to erase over: a server carries an
    /// erasure out before it reads on, and what comes behind it on the same connection waits.
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

    /// What the stream refused to write.
    pub const fn writes(&self) -> &Writes {
        self.0.writes()
    }

    /// Why it takes no writes now, as far as that is known.
    pub async fn refuses(&self) -> Option<RefusedWrite> {
        self.0.refuses().await
    }

    /// Somebody else may have been first to erase it: that is no failure.
    async fn unless_gone(
        &self,
        done: Result<bool, Unavailable>,
        subject: &str,
        which: Held,
    ) -> Result<bool, Unavailable> {
        match done {
            Ok(done) => Ok(done),
            Err(error) => match self.stored(subject).await? {
                Some(there) if held(&there) == which => Err(error),
                _ => Ok(false),
            },
        }
    }

    /// What is stored under a subject; nothing where there is no stream.
    async fn stored(&self, subject: &str) -> Result<Option<Stored>, Unavailable> {
        match self.0.last_on(subject).await {
            Err(why) if self.0.state().await?.is_some() => Err(why),
            Err(_) => Ok(None),
            found => found,
        }
    }
}

fn held(stored: &Stored) -> Held {
    Held {
        sequence: stored.sequence,
        at: stored.at,
        bytes: stored.bytes.len() as u64,
    }
}

impl Objects for JetStreamObjects {
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        async move { Ok(self.0.state().await?.is_some()) }.boxed()
    }

    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        async move {
            let sent = || {
                crate::failpoint!("objects.sent");
            };
            let published = self.0.publish(subject.to_owned(), bytes, 0, sent).await;
            published.map(drop).map_err(|refused| match refused {
                Refused::CameFirst => PutError::Exists,
                Refused::Never(why) | Refused::Unknown(why) => PutError::Unavailable(why),
            })
        }
        .boxed()
    }

    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Held, Bytes)>, Unavailable>> {
        async move {
            let stored = self.stored(subject).await?;
            Ok(stored.map(|stored| (held(&stored), stored.bytes)))
        }
        .boxed()
    }

    fn held<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Held>, Unavailable>> {
        async move { Ok(self.stored(subject).await?.as_ref().map(held)) }.boxed()
    }

    fn erase_held<'a>(
        &'a self,
        subject: &'a str,
        which: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            let done = self.0.erase(which.sequence).await;
            self.unless_gone(done, subject, which).await
        }
        .boxed()
    }

    fn remove_held<'a>(
        &'a self,
        subject: &'a str,
        which: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            let done = self.0.remove(which.sequence).await;
            self.unless_gone(done, subject, which).await
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
