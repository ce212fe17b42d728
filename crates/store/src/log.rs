//! The log: commits in stream order. [`Log`] is the contract that everything else relies on. It is
//! implemented on JetStream, and in memory for tests of the writer.

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

/// How often the end of a log that seems shorter than the read model is checked again before the
/// loss is reported: a new stream leader may answer before it has caught up with its own log.
pub const TAIL_CHECKS: u32 = 7;
/// The pause between [`TAIL_CHECKS`].
pub const TAIL_CHECK_PAUSE: Duration = Duration::from_millis(500);

/// One message of the log.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its position in the stream.
    pub sequence: Sequence,
    /// The workspace that its subject names; `None` when the subject belongs to no workspace.
    pub workspace: Option<WorkspaceName>,
    /// The bytes: a signed commit, unless somebody else wrote to the subject.
    pub bytes: Bytes,
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another message follows the expected one: catch up and decide again.
    #[error("another message came first")]
    Conflict,
    /// Nothing was sent, or the server refused it: the commit is not in the log and never will be.
    #[error("not appended: {0}")]
    NotAppended(String),
    /// The commit may be in the log, or may still be appended: resolve this first.
    #[error("it is unknown whether the commit was appended: {0}")]
    Unknown(String),
}

/// The log cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be read: {0}")]
pub struct Unavailable(pub String);

/// Why a follower had to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// Messages are missing: the log is damaged.
    #[error("messages {from} to {to} of the log are missing")]
    Gap {
        /// The first missing message.
        from: Sequence,
        /// The last missing message.
        to: Sequence,
    },
    /// The log ends before the position to follow from: it was rolled back or created anew.
    #[error("the log ends at {last}, before {after}")]
    Behind {
        /// Its last message.
        last: Sequence,
        /// The position to follow from.
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

    /// The last message on the workspace's subject, commit or not, as the stream's leader has it.
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

    /// When the stream was created; `None` when there is none.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn created_at(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>>;

    /// One message; `None` when the stream does not have it.
    ///
    /// # Errors
    /// [`Unavailable`], in bounded time.
    fn message(&self, sequence: Sequence) -> BoxFuture<'_, Result<Option<Message>, Unavailable>>;

    /// Every message after a position, in order and without a gap, for ever. Reconnects when the
    /// connection breaks; ends after an error. This is for the follower, which waits for messages
    /// to come; [`LogRange`] reads the messages that are there already.
    fn follow(&self, after: Sequence) -> BoxStream<'static, Result<Message, FollowError>>;
}
