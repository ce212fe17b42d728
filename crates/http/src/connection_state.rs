//! The state of a connection: whether it waits for its client, and since when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::client_address::ClientAddress;
use crate::limits::Timeouts;

/// The state of a connection, as its stream and bodies report it.
pub(crate) struct ConnectionState {
    pub(crate) client: ClientAddress,
    /// Whether the client is a proxy, which connects for many others.
    pub(crate) proxy: bool,
    inner: Mutex<Inner>,
    closed: Notify,
}

struct Inner {
    phase: Phase,
    since: Instant,
    reading: ReadProgress,
    closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// The head of a request is on its way.
    Head,
    /// The server works on a request, since its head has arrived.
    Work,
    /// Like `Work`, but the server waits for more of the body.
    Body,
}

/// How fast the client reads.
#[derive(Default)]
struct ReadProgress {
    /// Since when it reads nothing.
    blocked: Option<Instant>,
    /// How long it read nothing before that, and how many bytes it has read since.
    waited: Duration,
    taken: usize,
}

impl ConnectionState {
    pub(crate) fn new(client: ClientAddress, proxy: bool, now: Instant) -> Self {
        Self {
            client,
            proxy,
            inner: Mutex::new(Inner {
                phase: Phase::Head,
                since: now,
                reading: ReadProgress::default(),
                closing: false,
            }),
            closed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes arrived from the client.
    pub(crate) fn received(&self, now: Instant) {
        let mut inner = self.lock();
        if inner.phase == Phase::Idle {
            (inner.phase, inner.since) = (Phase::Head, now);
        }
    }

    /// The head of a request has arrived. Returns whether the request may begin, which it may not on
    /// a closing connection.
    pub(crate) fn begin_request(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        (inner.phase, inner.since) = (Phase::Work, now);
        !inner.closing
    }

    /// The server needs more of the body.
    pub(crate) fn waits_for_body(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Work {
            inner.phase = Phase::Body;
        }
    }

    /// The server has as much of the body as it needs for now.
    pub(crate) fn body_received(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Body {
            inner.phase = Phase::Work;
        }
    }

    /// The response is made; some of it may still be unsent.
    pub(crate) fn responded(&self, now: Instant) {
        let mut inner = self.lock();
        (inner.phase, inner.since) = (Phase::Idle, now);
    }

    /// The client reads no more for now.
    pub(crate) fn write_blocked(&self, now: Instant) {
        self.lock().reading.blocked.get_or_insert(now);
    }

    /// The client read some bytes.
    pub(crate) fn written(&self, bytes: usize, now: Instant) {
        let reading = &mut self.lock().reading;
        if let Some(from) = reading.blocked.take() {
            reading.waited += now.saturating_duration_since(from);
        }
        reading.taken += bytes;
        if reading.taken >= Timeouts::READ_BYTES {
            *reading = ReadProgress::default();
        }
    }

    /// Since when the connection waits for its client, if it does.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let inner = self.lock();
        let waits = (inner.phase != Phase::Work).then_some(inner.since);
        waits.into_iter().chain(inner.reading.blocked).min()
    }

    /// Whether it has waited for its client for too long. A body has its own timeout, which sends the
    /// client an answer.
    pub(crate) fn is_overdue(&self, timeouts: &Timeouts, now: Instant) -> bool {
        let inner = self.lock();
        let since = |from| now.saturating_duration_since(from);
        let late = match inner.phase {
            Phase::Idle => since(inner.since) >= timeouts.idle,
            Phase::Head => since(inner.since) >= timeouts.head,
            Phase::Work | Phase::Body => false,
        };
        let reading = &inner.reading;
        late || reading
            .blocked
            .is_some_and(|from| reading.waited + since(from) >= timeouts.read)
    }

    /// Closes the connection.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.closed.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits until the connection must close.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(now: Instant) -> ConnectionState {
        ConnectionState::new(
            ClientAddress::from(IpAddr::from([192, 0, 2, 1])),
            false,
            now,
        )
    }

    #[test]
    fn each_wait_for_the_client_has_its_timeout() {
        let (timeouts, start) = (Timeouts::default(), Instant::now());
        let overdue = |state: &ConnectionState, after: Duration| {
            let before = after.saturating_sub(SECOND);
            assert!(!state.is_overdue(&timeouts, start + before));
            assert!(state.is_overdue(&timeouts, start + after));
        };
        let state = state(start);
        overdue(&state, timeouts.head);
        // Single bytes do not make a request either.
        state.received(start + 5 * SECOND);
        overdue(&state, timeouts.head);
        assert!(state.begin_request(start + SECOND));
        assert!(!state.is_overdue(&timeouts, start + 1_000 * SECOND));
        state.responded(start + 2 * SECOND);
        overdue(&state, timeouts.idle + 2 * SECOND);
        state.received(start + 3 * SECOND);
        overdue(&state, timeouts.head + 3 * SECOND);
    }

    #[test]
    fn a_slow_reader_is_overdue_however_its_waits_are_divided() {
        let (timeouts, start) = (Timeouts::default(), Instant::now());
        let at = |seconds: u32| start + seconds * SECOND;
        let state = state(start);
        assert!(state.begin_request(start));
        state.write_blocked(at(0));
        state.written(1, at(6));
        assert!(
            !state.is_overdue(&timeouts, at(100)),
            "it reads what there is"
        );
        state.write_blocked(at(100));
        state.write_blocked(at(103));
        assert!(!state.is_overdue(&timeouts, at(103)));
        assert!(state.is_overdue(&timeouts, at(104)));
        state.written(Timeouts::READ_BYTES, at(104));
        state.write_blocked(at(104));
        assert!(!state.is_overdue(&timeouts, at(113)));
    }

    #[test]
    fn a_connection_waits_for_its_client_except_while_the_server_works() {
        let start = Instant::now();
        let later = start + SECOND;
        let state = state(start);
        assert_eq!(state.waiting_since(), Some(start));
        assert!(state.begin_request(later));
        assert_eq!(state.waiting_since(), None);
        state.waits_for_body();
        assert_eq!(state.waiting_since(), Some(later));
        state.body_received();
        assert_eq!(state.waiting_since(), None);
        state.write_blocked(later + SECOND);
        assert_eq!(state.waiting_since(), Some(later + SECOND));
        state.written(1, later + SECOND);
        assert_eq!(state.waiting_since(), None);
        state.close();
        assert!(
            !state.begin_request(later),
            "no request begins on a closing connection"
        );
    }
}
