//! Writes that a stream refused. After a failed write or fsync nats-server takes nothing more into
//! that stream until it is started again, so one refusal is worth telling an operator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The last refusal of a stream, shared by who writes and who tells of it.
#[derive(Clone, Default)]
pub struct WriteFailures(Arc<Inner>);

#[derive(Default)]
struct Inner {
    refused: Mutex<Option<RefusedWrite>>,
    news: Notify,
}

/// Which process of a nats-server, and over which connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionId {
    pub(super) server: String,
    pub(super) connection: u64,
}

/// A write that a stream did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedWrite {
    /// The process of the nats-server that was connected, and the number of the connection to it.
    pub(super) link: ConnectionId,
    pub(super) at: Instant,
    /// In words.
    why: String,
    /// Its subject and the last message there before it, where no answer came: it may be there.
    pub(super) unheard: Option<(String, u64)>,
}

impl RefusedWrite {
    pub(super) fn said(link: ConnectionId, why: &str) -> Self {
        Self {
            link,
            at: Instant::now(),
            why: why.to_owned(),
            unheard: None,
        }
    }

    pub(super) fn unheard(link: ConnectionId, subject: String, expected: u64) -> Self {
        Self {
            link,
            at: Instant::now(),
            why: "it does not acknowledge what it is given".to_owned(),
            unheard: Some((subject, expected)),
        }
    }

    /// What the server said, or that it said nothing.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether it is a limit that somebody set: then no disk is to blame.
    pub fn is_limit(&self) -> bool {
        self.why.contains("maximum")
    }
}

impl WriteFailures {
    pub(super) fn taken(&self) {
        *self.lock() = None;
    }

    pub(super) fn refused(&self, refused: RefusedWrite) {
        let mut slot = self.lock();
        // What the server said is worth more than that it said nothing.
        let said = slot.as_ref().is_some_and(|before| {
            before.unheard.is_none()
                && before.link.server == refused.link.server
                && refused.unheard.is_some()
        });
        if !said {
            *slot = Some(refused);
        }
        drop(slot);
        self.0.news.notify_one();
    }

    /// Forgets this one, if none came after it.
    pub(super) fn settled(&self, refused: &RefusedWrite) {
        let mut slot = self.lock();
        if slot.as_ref() == Some(refused) {
            *slot = None;
        }
    }

    pub(super) fn now(&self) -> Option<RefusedWrite> {
        self.lock().clone()
    }

    /// Resolves when one was refused since this was last waited for.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<RefusedWrite>> {
        // Replaced in one step: a poisoned lock still guards a whole value.
        self.0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(server: &str) -> ConnectionId {
        ConnectionId {
            server: server.to_owned(),
            connection: 1,
        }
    }

    fn unheard(expected: u64) -> RefusedWrite {
        RefusedWrite::unheard(link("A"), "subject".to_owned(), expected)
    }

    #[test]
    fn a_refusal_stays_until_a_write_is_taken_or_it_is_settled() {
        let writes = WriteFailures::default();
        let one = unheard(1);
        writes.refused(one.clone());
        writes.settled(&unheard(2));
        assert_eq!(writes.now().as_ref(), Some(&one), "another one was settled");
        writes.settled(&one);
        assert_eq!(writes.now(), None);
        writes.refused(unheard(1));
        writes.taken();
        assert_eq!(writes.now(), None);
    }

    #[test]
    fn what_the_server_said_is_kept_though_it_says_nothing_later() {
        let writes = WriteFailures::default();
        let said = RefusedWrite::said(link("A"), "no space left on device");
        writes.refused(said.clone());
        writes.refused(unheard(1));
        assert_eq!(writes.now(), Some(said));
        let other = RefusedWrite::unheard(link("B"), "subject".to_owned(), 0);
        writes.refused(other.clone());
        assert_eq!(writes.now(), Some(other), "another process");
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_a_refusal_that_came_before() {
        let writes = WriteFailures::default();
        writes.refused(unheard(1));
        writes.news().await;
        assert!(futures::FutureExt::now_or_never(writes.news()).is_none());
    }
}
