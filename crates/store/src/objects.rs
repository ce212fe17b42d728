//! Stored things that are written once and erased for good: the vault and the keys. In two
//! implementations: JetStream, and memory for tests of the writer.

mod jetstream;
mod memory;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keyroll_core::Millis;

use crate::log::Unavailable;

pub use jetstream::JetStreamObjects;
pub use memory::MemoryObjects;

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
    /// Bytes of what is stored.
    pub bytes: u64,
}

/// Write-once storage under NATS subjects.
pub trait Objects: Send + Sync + 'static {
    /// Whether the storage is there at all, empty or not.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Unavailable>>;

    /// Stores bytes under a subject that holds nothing, durably.
    ///
    /// # Errors
    /// [`PutError`], in bounded time.
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>>;

    /// The message stored under a subject, and its bytes.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Held, Bytes)>, Unavailable>>;

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

    /// As [`Objects::erase_held`], but its bytes may stay on disk until nothing else lies in the
    /// block of the store that they lie in.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn remove_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        self.erase_held(subject, held)
    }

    /// The number of the first message from `sequence` on that is still there, whatever its subject;
    /// `None` if there is none, or that cannot be told.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn first_from(&self, sequence: u64) -> BoxFuture<'_, Result<Option<u64>, Unavailable>> {
        let _ = sequence;
        futures::future::ready(Ok(None)).boxed()
    }

    /// Subjects under a filter that hold something, in order.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>>;
}
