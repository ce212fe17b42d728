//! Stored things on JetStream.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{DeleteStatus, LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use keyroll_core::Millis;
use serde::Serialize;

use super::{Held, Objects, PutError};
use crate::jetstream::{
    ACK, Refused, bounded, is_connected, is_missing_stream, open, refused, unavailable,
};
use crate::log::Unavailable;

/// How long a list may take, which comes in pages: each of them is bounded as any request is.
const LIST: Duration = Duration::from_secs(60);

/// The request `STREAM.MSG.DELETE`.
#[derive(Serialize)]
struct DeleteMessage {
    seq: u64,
    /// Whether the bytes are left where they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_erase: bool,
}

impl DeleteMessage {
    const fn of(held: Held, no_erase: bool) -> Self {
        let seq = held.sequence;
        Self { seq, no_erase }
    }
}

/// [`Objects`] on one JetStream stream.
#[derive(Clone)]
pub struct JetStreamObjects {
    client: async_nats::Client,
    context: jetstream::Context,
    stream: Stream<()>,
    /// The connection that erases, of the stream of this name.
    erasing: jetstream::Context,
    name: String,
}

impl JetStreamObjects {
    /// Uses the stream of this name over a connection.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(client: async_nats::Client, stream: &str) -> Result<Self, Unavailable> {
        Self::open_beside(client.clone(), client, stream).await
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
        let name = stream.to_owned();
        let (erasing, _) = open(&erasing, stream).await?;
        let (context, stream) = open(&client, stream).await?;
        Ok(Self {
            client,
            context,
            stream,
            erasing,
            name,
        })
    }

    /// Deletes a message by a request of the given form.
    async fn delete(
        &self,
        subject: &str,
        held: Held,
        request: &DeleteMessage,
    ) -> Result<bool, Unavailable> {
        let api = format!("STREAM.MSG.DELETE.{}", self.name);
        let asked: Result<Response<DeleteStatus>, _> = self.erasing.request(api, request).await;
        let error = match asked {
            Ok(Response::Ok(done)) => return Ok(done.success),
            Ok(Response::Err { error }) => unavailable(error),
            Err(error) => unavailable(error),
        };
        // Somebody else may have been first: that is no failure.
        match self.leader_get(subject).await? {
            Some((there, _)) if there == held => Err(error),
            _ => Ok(false),
        }
    }

    async fn leader_get(&self, subject: &str) -> Result<Option<(Held, Bytes)>, Unavailable> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let at = message.time.unix_timestamp_nanos() / 1_000_000;
                let held = Held {
                    sequence: message.sequence,
                    at: Millis(u64::try_from(at).unwrap_or(0)),
                    bytes: message.payload.len() as u64,
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
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        bounded(async move {
            match self.stream.get_info().await {
                Ok(_) => Ok(true),
                Err(error) if is_missing_stream(&error) => Ok(false),
                Err(error) => Err(unavailable(error)),
            }
        })
        .boxed()
    }

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
            let request = DeleteMessage::of(held, false);
            self.delete(subject, held, &request).await
        })
        .boxed()
    }

    fn remove_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        bounded(async move {
            let request = DeleteMessage::of(held, true);
            self.delete(subject, held, &request).await
        })
        .boxed()
    }

    fn first_from(&self, sequence: u64) -> BoxFuture<'_, Result<Option<u64>, Unavailable>> {
        bounded(async move {
            let found = self.stream.get_first_raw_message_by_subject(">", sequence);
            match found.await {
                Ok(message) => Ok(Some(message.sequence)),
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                    Ok(None)
                }
                Err(error) => Err(unavailable(error)),
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
