//! Who may have a connection, and who has to leave for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::limits::Limits;
use crate::seat::Seat;

/// A flood is logged no more often than this.
const LOGGED: Duration = Duration::from_secs(60);

/// All connections of a listener.
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seats: BTreeMap<u64, Arc<Seat>>,
    next: u64,
    logged: Option<Instant>,
}

/// What becomes of a newcomer.
pub(crate) enum Admission {
    /// It is in until this is dropped.
    In(Held),
    /// Somebody leaves for it: to be asked again once a connection has ended.
    Soon,
    /// All connections that count against it are being worked on.
    Full,
}

/// A connection's place among the others.
pub(crate) struct Held {
    pub(crate) seat: Arc<Seat>,
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.lock().seats.remove(&self.number);
    }
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            inner: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a newcomer in, or has the connection closed that has waited longest for its client: at
    /// the bound for one client its own, at the bound for all one of whoever has most.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr, now: Instant) -> Admission {
        let client = Client::from(from);
        let proxy = self.limits.proxies.contains(&from.to_canonical());
        let mut inner = self.lock();
        let own_full = !proxy && inner.count(client) >= self.limits.per_client;
        if !own_full && inner.seats.len() < self.limits.connections {
            let seat = Arc::new(Seat::new(client, proxy, now));
            let number = inner.next;
            inner.next += 1;
            inner.seats.insert(number, Arc::clone(&seat));
            return Admission::In(Held {
                seat,
                gate: Arc::clone(self),
                number,
            });
        }
        inner.log(client, now);
        let own = own_full.then_some(client);
        if inner.somebody_leaves(own) {
            Admission::Soon
        } else {
            Admission::Full
        }
    }

    /// Has connections closed that have waited too long for their clients.
    pub(crate) fn sweep(&self, now: Instant) {
        let inner = self.lock();
        let overdue = |seat: &&Arc<Seat>| seat.is_overdue(&self.limits.times, now);
        inner
            .seats
            .values()
            .filter(overdue)
            .for_each(|seat| seat.leave());
    }

    /// Has the connection closed that has waited longest, of whoever has most.
    pub(crate) fn make_room(&self) {
        self.lock().somebody_leaves(None);
    }
}

impl Inner {
    fn count(&self, client: Client) -> usize {
        self.seats
            .values()
            .filter(|seat| seat.client == client)
            .count()
    }

    /// Whether one of a client's connections, or of all, closes now. One at a time.
    fn somebody_leaves(&self, of: Option<Client>) -> bool {
        let candidates = || {
            let all = self.seats.values();
            all.filter(|seat| of.is_none_or(|client| seat.client == client))
        };
        if candidates().any(|seat| seat.is_leaving()) {
            return true;
        }
        // A proxy has many because it speaks for many.
        let mut held = BTreeMap::<Client, usize>::new();
        for seat in candidates().filter(|seat| !seat.proxy) {
            *held.entry(seat.client).or_default() += 1;
        }
        let held = |seat: &Seat| held.get(&seat.client).copied().unwrap_or_default();
        let waiting = candidates().filter_map(|seat| Some((held(seat), seat.waits_since()?, seat)));
        let first =
            waiting.min_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        first.map(|(_, _, seat)| seat.leave()).is_some()
    }

    fn log(&mut self, client: Client, now: Instant) {
        let due = |last| now.saturating_duration_since(last) >= LOGGED;
        if self.logged.is_none_or(due) {
            self.logged = Some(now);
            let (all, own) = (self.seats.len(), self.count(client));
            tracing::warn!(
                %client, all, own,
                "too many connections: those that wait longest for their clients are closed"
            );
        }
    }
}

#[cfg(test)]
mod tests;
