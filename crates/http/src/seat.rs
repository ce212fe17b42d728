//! What a connection is doing: whether it waits for its client, and since when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::client::Client;
use crate::limits::Times;

/// One connection, as its parts report on it.
pub(crate) struct Seat {
    pub(crate) client: Client,
    /// Whether the client speaks for many others.
    pub(crate) proxy: bool,
    state: Mutex<State>,
    left: Notify,
}

struct State {
    phase: Phase,
    since: Instant,
    reader: Reader,
    leaving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// The head of a request is on its way.
    Head,
    /// The server works on a request, since its head was there.
    Work,
    /// As `Work`, but the server waits for more of the body.
    Body,
}

/// How the client takes what is sent to it.
#[derive(Default)]
struct Reader {
    /// Since when it takes nothing.
    blocked: Option<Instant>,
    /// How long it took nothing before, and how much it took since.
    waited: Duration,
    taken: usize,
}

impl Seat {
    pub(crate) fn new(client: Client, proxy: bool, now: Instant) -> Self {
        Self {
            client,
            proxy,
            state: Mutex::new(State {
                phase: Phase::Head,
                since: now,
                reader: Reader::default(),
                leaving: false,
            }),
            left: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self, now: Instant) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, now);
        }
    }

    /// The head of a request is there. Whether the request may begin: not on a connection that has
    /// to leave.
    pub(crate) fn begins(&self, now: Instant) -> bool {
        let mut state = self.state();
        (state.phase, state.since) = (Phase::Work, now);
        !state.leaving
    }

    /// The server needs more of the body.
    pub(crate) fn waits_for_body(&self) {
        let mut state = self.state();
        if state.phase == Phase::Work {
            state.phase = Phase::Body;
        }
    }

    /// The server has of the body what it needs for now.
    pub(crate) fn has_body(&self) {
        let mut state = self.state();
        if state.phase == Phase::Body {
            state.phase = Phase::Work;
        }
    }

    /// All of a response was made; some of it may still have to be sent.
    pub(crate) fn answered(&self, now: Instant) {
        let mut state = self.state();
        (state.phase, state.since) = (Phase::Idle, now);
    }

    /// The client takes no more for now.
    pub(crate) fn blocked(&self, now: Instant) {
        self.state().reader.blocked.get_or_insert(now);
    }

    /// The client took some bytes.
    pub(crate) fn took(&self, bytes: usize, now: Instant) {
        let reader = &mut self.state().reader;
        if let Some(from) = reader.blocked.take() {
            reader.waited += now.saturating_duration_since(from);
        }
        reader.taken += bytes;
        if reader.taken >= Times::READ_BYTES {
            *reader = Reader::default();
        }
    }

    /// Since when the connection waits for its client, if it does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        let waits = (state.phase != Phase::Work).then_some(state.since);
        waits.into_iter().chain(state.reader.blocked).min()
    }

    /// Whether it has waited for its client for too long. A body has a time of its own, so that its
    /// client can be told.
    pub(crate) fn is_overdue(&self, times: &Times, now: Instant) -> bool {
        let state = self.state();
        let since = |from| now.saturating_duration_since(from);
        let late = match state.phase {
            Phase::Idle => since(state.since) >= times.idle,
            Phase::Head => since(state.since) >= times.head,
            Phase::Work | Phase::Body => false,
        };
        let reader = &state.reader;
        late || reader
            .blocked
            .is_some_and(|from| reader.waited + since(from) >= times.read)
    }

    /// Has the connection closed.
    pub(crate) fn leave(&self) {
        self.state().leaving = true;
        self.left.notify_one();
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Waits until the connection has to close.
    pub(crate) async fn left(&self) {
        self.left.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seat(now: Instant) -> Seat {
        Seat::new(Client::from(IpAddr::from([192, 0, 2, 1])), false, now)
    }

    #[test]
    fn each_wait_for_the_client_has_its_time() {
        let (times, start) = (Times::default(), Instant::now());
        let overdue = |seat: &Seat, after: Duration| {
            let before = after.saturating_sub(SECOND);
            assert!(!seat.is_overdue(&times, start + before));
            assert!(seat.is_overdue(&times, start + after));
        };
        let seat = seat(start);
        overdue(&seat, times.head);
        // Bytes one by one are no request either.
        seat.received(start + 5 * SECOND);
        overdue(&seat, times.head);
        assert!(seat.begins(start + SECOND));
        assert!(!seat.is_overdue(&times, start + 1_000 * SECOND));
        seat.answered(start + 2 * SECOND);
        overdue(&seat, times.idle + 2 * SECOND);
        seat.received(start + 3 * SECOND);
        overdue(&seat, times.head + 3 * SECOND);
    }

    #[test]
    fn who_reads_too_slowly_is_overdue_however_the_waiting_is_divided() {
        let (times, start) = (Times::default(), Instant::now());
        let at = |seconds: u32| start + seconds * SECOND;
        let seat = seat(start);
        assert!(seat.begins(start));
        seat.blocked(at(0));
        seat.took(1, at(6));
        assert!(!seat.is_overdue(&times, at(100)), "it takes what there is");
        seat.blocked(at(100));
        seat.blocked(at(103));
        assert!(!seat.is_overdue(&times, at(103)));
        assert!(seat.is_overdue(&times, at(104)));
        seat.took(Times::READ_BYTES, at(104));
        seat.blocked(at(104));
        assert!(!seat.is_overdue(&times, at(113)));
    }

    #[test]
    fn a_connection_waits_for_its_client_but_while_the_server_works() {
        let start = Instant::now();
        let later = start + SECOND;
        let seat = seat(start);
        assert_eq!(seat.waits_since(), Some(start));
        assert!(seat.begins(later));
        assert_eq!(seat.waits_since(), None);
        seat.waits_for_body();
        assert_eq!(seat.waits_since(), Some(later));
        seat.has_body();
        assert_eq!(seat.waits_since(), None);
        seat.blocked(later + SECOND);
        assert_eq!(seat.waits_since(), Some(later + SECOND));
        seat.took(1, later + SECOND);
        assert_eq!(seat.waits_since(), None);
        seat.leave();
        assert!(!seat.begins(later), "nothing begins on its last moment");
    }
}
