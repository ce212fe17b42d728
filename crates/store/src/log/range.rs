//! Reading messages that the log already has.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use keyroll_core::Sequence;

use super::{FollowError, Log, Message};

/// How long the next message may take. After a restart of nats-server reading resumes within
/// seconds; a log that was rolled back meanwhile ends before the awaited message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a range was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The log could not be followed.
    #[error(transparent)]
    Log(#[from] FollowError),
    /// No message arrived in time.
    #[error(
        "message {0} of the log did not arrive in time: check that nats-server is running and the log is complete"
    )]
    TimedOut(Sequence),
}

/// The messages after one position up to and including another. Each must arrive within 30 s, so
/// no reader waits for ever.
pub struct LogRange {
    messages: BoxStream<'static, Result<Message, FollowError>>,
    at: Sequence,
    until: Sequence,
}

impl LogRange {
    /// Starts reading.
    pub fn new(log: &dyn Log, after: Sequence, until: Sequence) -> Self {
        Self {
            messages: log.follow(after),
            at: after,
            until,
        }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// [`RangeError`]; the range ends after it.
    pub async fn next(&mut self) -> Option<Result<Message, RangeError>> {
        if self.at >= self.until {
            return None;
        }
        let next = tokio::time::timeout(MESSAGE_TIMEOUT, self.messages.next()).await;
        let next = match next {
            Ok(Some(next)) => next.map_err(RangeError::from),
            Ok(None) | Err(_) => Err(RangeError::TimedOut(Sequence(self.at.0 + 1))),
        };
        self.at = next.as_ref().map_or(self.until, |message| message.sequence);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use keyroll_core::WorkspaceName;

    use super::*;
    use crate::log::MemoryLog;

    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_comes_is_an_error_and_the_end() {
        let log = MemoryLog::default();
        let workspace: WorkspaceName = "demo".parse().expect("a name");
        let appended = log.append(&workspace, Bytes::from_static(b"1"), Sequence(0));
        appended.await.expect("appended");
        let mut range = LogRange::new(&log, Sequence(0), Sequence(2));
        let first = range.next().await.expect("a message");
        assert_eq!(first.expect("a message").sequence, Sequence(1));
        let second = range.next().await.expect("an error");
        let error = second.expect_err("there is none");
        assert_eq!(error, RangeError::TimedOut(Sequence(2)));
        assert!(range.next().await.is_none());
    }
}
