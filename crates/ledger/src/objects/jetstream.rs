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

    /// What the stream refused to write.
    pub const fn writes(&self) -> &Writes {
        self.0.writes()
    }

    /// Why it takes no writes now, as far as that is known.
    pub async fn refuses(&self) -> Option<RefusedWrite> {
        self.0.refuses().await
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

const fn held(stored: &Stored) -> Held {
    Held {
        sequence: stored.sequence,
        at: stored.at,
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

    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
        async move { Ok(self.stored(subject).await?.map(|stored| stored.bytes)) }.boxed()
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
            match self.0.erase(which.sequence).await {
                Ok(done) => Ok(done),
                // Somebody else may have been first: that is no failure.
                Err(error) => match self.stored(subject).await? {
                    Some(there) if held(&there) == which => Err(error),
                    _ => Ok(false),
                },
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        self.0.subjects(filter).boxed()
    }
}
