//! Reading what the log has already.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use keyroll_core::Sequence;

use super::{FollowError, Log, Message};

/// How long the next message may take. A nats-server that was started anew is followed again within
/// seconds; a log that was set back meanwhile ends before the message that is waited for.
const STILL: Duration = Duration::from_secs(30);

/// Why a stretch is not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The log itself.
    #[error(transparent)]
    Log(#[from] FollowError),
    /// Nothing came for too long.
    #[error("message {0} of the log does not come: is nats-server running, and is the log whole?")]
    Still(Sequence),
}

/// The messages after one place up to and with another, each within 30 s: nobody who reads a
/// stretch waits for ever.
pub struct LogRange {
    messages: BoxStream<'static, Result<Message, FollowError>>,
    at: Sequence,
    until: Sequence,
}

impl LogRange {
    /// Begins to read.
    pub fn of(log: &dyn Log, after: Sequence, until: Sequence) -> Self {
        Self {
            messages: log.follow(after),
            at: after,
            until,
        }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// [`RangeError`]; nothing comes after it.
    pub async fn next(&mut self) -> Option<Result<Message, RangeError>> {
        if self.at >= self.until {
            return None;
        }
        let next = tokio::time::timeout(STILL, self.messages.next()).await;
        let next = match next {
            Ok(Some(next)) => next.map_err(RangeError::from),
            Ok(None) | Err(_) => Err(RangeError::Still(Sequence(self.at.0 + 1))),
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
        let mut stretch = LogRange::of(&log, Sequence(0), Sequence(2));
        let first = stretch.next().await.expect("a message");
        assert_eq!(first.expect("it").sequence, Sequence(1));
        let second = stretch.next().await.expect("an error");
        let error = second.expect_err("there is none");
        assert_eq!(error, RangeError::Still(Sequence(2)));
        assert!(stretch.next().await.is_none());
    }
}
