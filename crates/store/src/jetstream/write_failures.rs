//! Writes that a stream refused. After a failed write or fsync nats-server refuses all further
//! writes to that stream until it restarts, so a single refusal is worth an operator's attention.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The last refused write of a stream, shared by its writers and the monitor that reports it.
#[derive(Clone, Default)]
pub struct WriteFailures(Arc<Inner>);

#[derive(Default)]
struct Inner {
    last: Mutex<Option<WriteFailure>>,
    changed: Notify,
}

/// A process of a nats-server, and one connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionId {
    pub(super) server: String,
    pub(super) connection: u64,
}

/// A write that a stream did not acknowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFailure {
    pub(super) connection: ConnectionId,
    pub(super) at: Instant,
    reason: String,
    /// For a write without an answer, which may have been stored: its subject, and the last message
    /// there before it.
    pub(super) unanswered: Option<(String, u64)>,
}

impl WriteFailure {
    /// A write that the server refused.
    pub(super) fn refused(connection: ConnectionId, reason: &str) -> Self {
        Self {
            connection,
            at: Instant::now(),
            reason: reason.to_owned(),
            unanswered: None,
        }
    }

    /// A write that the server did not answer.
    pub(super) fn unanswered(connection: ConnectionId, subject: String, expected: u64) -> Self {
        Self {
            connection,
            at: Instant::now(),
            reason: "it does not acknowledge writes".to_owned(),
            unanswered: Some((subject, expected)),
        }
    }

    /// The server's reason, or that it gave none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether a configured limit is the cause, and not the disk.
    pub fn is_limit(&self) -> bool {
        self.reason.contains("maximum")
    }
}

impl WriteFailures {
    /// Forgets the last failure, after a write was acknowledged.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    /// Keeps a failure and wakes the monitor.
    pub(super) fn record(&self, failure: WriteFailure) {
        let mut last = self.lock();
        // A reason from this server says more than a later write without an answer.
        let has_reason = last.as_ref().is_some_and(|before| {
            before.unanswered.is_none()
                && before.connection.server == failure.connection.server
                && failure.unanswered.is_some()
        });
        if !has_reason {
            *last = Some(failure);
        }
        drop(last);
        self.0.changed.notify_one();
    }

    /// Forgets this failure, unless a newer one has replaced it.
    pub(super) fn resolve(&self, failure: &WriteFailure) {
        let mut last = self.lock();
        if last.as_ref() == Some(failure) {
            *last = None;
        }
    }

    pub(super) fn last(&self) -> Option<WriteFailure> {
        self.lock().clone()
    }

    /// Resolves when a write has failed since the last call.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<WriteFailure>> {
        // The value is replaced in one step, so a poisoned lock still guards a whole one.
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(server: &str) -> ConnectionId {
        ConnectionId {
            server: server.to_owned(),
            connection: 1,
        }
    }

    fn unanswered(expected: u64) -> WriteFailure {
        WriteFailure::unanswered(connection("A"), "subject".to_owned(), expected)
    }

    #[test]
    fn a_failure_stays_until_a_write_succeeds_or_it_is_resolved() {
        let failures = WriteFailures::default();
        let one = unanswered(1);
        failures.record(one.clone());
        failures.resolve(&unanswered(2));
        assert_eq!(failures.last().as_ref(), Some(&one), "another was resolved");
        failures.resolve(&one);
        assert_eq!(failures.last(), None);
        failures.record(unanswered(1));
        failures.clear();
        assert_eq!(failures.last(), None);
    }

    #[test]
    fn a_reason_is_kept_when_the_same_server_is_silent_later() {
        let failures = WriteFailures::default();
        let refused = WriteFailure::refused(connection("A"), "no space left on device");
        failures.record(refused.clone());
        failures.record(unanswered(1));
        assert_eq!(failures.last(), Some(refused));
        let other = WriteFailure::unanswered(connection("B"), "subject".to_owned(), 0);
        failures.record(other.clone());
        assert_eq!(failures.last(), Some(other), "another process");
    }

    #[tokio::test]
    async fn a_failure_before_the_wait_wakes_it() {
        let failures = WriteFailures::default();
        failures.record(unanswered(1));
        failures.changed().await;
        assert!(futures::FutureExt::now_or_never(failures.changed()).is_none());
    }
}
