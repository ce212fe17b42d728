//! Objects that are written once and erased for good: the storage under the vault and the keyring.
//! [`Objects`] is implemented on JetStream, and in memory for tests of the writer.

mod jetstream;
mod memory;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keyroll_core::Millis;

use crate::log::Unavailable;

pub use jetstream::JetStreamObjects;
pub use memory::MemoryObjects;

/// Why an object was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The subject holds an object already; none is ever replaced.
    #[error("an object is stored there already")]
    Exists,
    /// It is unknown whether the object was stored.
    #[error("it is unknown whether the object was stored: {0}")]
    Unavailable(String),
}

/// A stored object, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its number in the stream, which is never used again.
    pub sequence: u64,
    /// When it was stored, by the store's clock.
    pub at: Millis,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What an erasure does with the bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// They are overwritten.
    Overwrite,
    /// They may stay until the store's block that holds them is empty.
    Unlink,
}

/// Write-once storage under NATS subjects.
pub trait Objects: Send + Sync + 'static {
    /// Whether the storage exists, empty or not.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn exists(&self) -> BoxFuture<'_, Result<bool, Unavailable>>;

    /// Stores bytes durably under a subject that holds no object.
    ///
    /// # Errors
    /// [`PutError`], in bounded time.
    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>>;

    /// The object under a subject, and its bytes.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(ObjectInfo, Bytes)>, Unavailable>>;

    /// The object under a subject, without its bytes.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn info<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<ObjectInfo>, Unavailable>>;

    /// Erases the object under a subject and overwrites its bytes on disk. Returns whether there
    /// was one.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn erase<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            match self.info(subject).await? {
                Some(object) => self.erase_exact(subject, object, Erasure::Overwrite).await,
                None => Ok(false),
            }
        }
        .boxed()
    }

    /// Erases exactly this object, and none that was stored under its subject since. Returns
    /// whether it was still there.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn erase_exact<'a>(
        &'a self,
        subject: &'a str,
        object: ObjectInfo,
        erasure: Erasure,
    ) -> BoxFuture<'a, Result<bool, Unavailable>>;

    /// The number of the first object from `sequence` on that is still there, under any subject;
    /// `None` if there is none, or the storage cannot tell.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn first_from(&self, sequence: u64) -> BoxFuture<'_, Result<Option<u64>, Unavailable>> {
        let _ = sequence;
        futures::future::ready(Ok(None)).boxed()
    }

    /// Subjects under a filter that hold an object, in order.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>>;
}
