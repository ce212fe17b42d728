//! The log: commits in the order in which the stream took them. The contract that everything else
//! stands on, in two implementations: JetStream, and memory for tests of the writer.

mod jetstream;
mod memory;
mod range;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use keyroll_core::{Millis, Sequence, WorkspaceName};

pub use jetstream::JetStreamLog;
pub use memory::{MemoryLog, SimulatedAppend};
pub use range::{LogRange, RangeError};

/// How often, and how far apart, a log that seems shorter than the read model is looked at before
/// that is believed: a stream's new leader may answer before it has caught up with its own log.
pub const TAIL_CHECKS: u32 = 7;
/// See [`TAIL_CHECKS`].
pub const TAIL_CHECK_PAUSE: Duration = Duration::from_millis(500);

/// One message of the log.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its position in the stream.
    pub sequence: Sequence,
    /// The workspace its subject names; none when the subject is no workspace's.
    pub workspace: Option<WorkspaceName>,
    /// The bytes, a signed commit if all is well.
    pub bytes: Bytes,
}

/// Why an append has no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Something else came after the expected message: catch up and decide again.
    #[error("another message came first")]
    Conflict,
    /// Nothing was sent, or the server refused it: it is not in the log and never will be.
    #[error("not appended: {0}")]
    NotAppended(String),
    /// It may be in the log, or may still land: settle it before anything is final.
    #[error("not known to be appended: {0}")]
    Unknown(String),
}

/// The log cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be read: {0}")]
pub struct Unavailable(pub String);

/// Why following cannot go on by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// A message that must be there is not: the log is damaged.
    #[error("messages {from} to {to} of the log are missing")]
    Gap {
        /// The first missing.
        from: Sequence,
        /// The last missing.
        to: Sequence,
    },
    /// The log ends before the place to follow from: it was set back or made anew.
    #[error("the log ends at {last}, before {after}")]
    Behind {
        /// Its last message.
        last: Sequence,
        /// Where to follow from.
        after: Sequence,
    },
}

/// An append-only log with one subject per workspace.
pub trait Log: Send + Sync + 'static {
    /// Appends a commit if `expected` is the last message on the workspace's subject (0 for none),
    /// and waits until it is durable.
    ///
    /// # Errors
    /// [`AppendError`], in bounded time.
    fn append<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
        commit: Bytes,
        expected: Sequence,
    ) -> BoxFuture<'a, Result<Sequence, AppendError>>;

    /// The last message on the workspace's subject, commit or not, as the stream's leader knows it.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn head<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
    ) -> BoxFuture<'a, Result<Sequence, Unavailable>>;

    /// The last message of the stream.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn last(&self) -> BoxFuture<'_, Result<Sequence, Unavailable>>;

    /// When the stream was made; `None` when there is none.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn made(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>>;

    /// One message; `None` when the stream does not have it.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn message(&self, sequence: Sequence) -> BoxFuture<'_, Result<Option<Message>, Unavailable>>;

    /// Every message after a place, in order and without a gap, for ever. Rides out connections
    /// that break; ends after an error. For the follower, which waits for what is not there yet; what
    /// is there already is read by [`LogRange`].
    fn follow(&self, after: Sequence) -> BoxStream<'static, Result<Message, FollowError>>;
}
