//! Which connections are admitted, and which are closed for them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client_address::ClientAddress;
use crate::connection_state::ConnectionState;
use crate::limits::Limits;

/// Least time between two warnings about too many connections.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// All connections of a listener.
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    connections: BTreeMap<u64, Arc<ConnectionState>>,
    next: u64,
    last_warning: Option<Instant>,
}

/// Whether a new connection is admitted.
pub(crate) enum Admission {
    /// It holds this slot until the slot is dropped.
    Admitted(Slot),
    /// Another connection closes for it: ask again once one has ended.
    Retry,
    /// The server is working on all connections that count against it.
    Full,
}

/// A connection's slot. Dropping it makes room for another.
pub(crate) struct Slot {
    pub(crate) state: Arc<ConnectionState>,
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.lock().connections.remove(&self.number);
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

    /// Admits a connection, or closes the one that has waited longest for its client: at the bound for
    /// one client, one of its own; at the bound for all, one of the client that has most.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr, now: Instant) -> Admission {
        let client = ClientAddress::from(from);
        let proxy = self.limits.proxies.contains(&from.to_canonical());
        let mut inner = self.lock();
        let own_full = !proxy && inner.count(client) >= self.limits.per_client;
        if !own_full && inner.connections.len() < self.limits.connections {
            let state = Arc::new(ConnectionState::new(client, proxy, now));
            let number = inner.next;
            inner.next += 1;
            inner.connections.insert(number, Arc::clone(&state));
            return Admission::Admitted(Slot {
                state,
                gate: Arc::clone(self),
                number,
            });
        }
        inner.warn(client, now);
        let own = own_full.then_some(client);
        if inner.close_one(own) {
            Admission::Retry
        } else {
            Admission::Full
        }
    }

    /// Closes connections that have waited too long for their clients.
    pub(crate) fn sweep(&self, now: Instant) {
        let inner = self.lock();
        let overdue = |state: &&Arc<ConnectionState>| state.is_overdue(&self.limits.timeouts, now);
        inner
            .connections
            .values()
            .filter(overdue)
            .for_each(|state| state.close());
    }

    /// Closes the connection that has waited longest, of the client that has most.
    pub(crate) fn make_room(&self) {
        self.lock().close_one(None);
    }
}

impl Inner {
    fn count(&self, client: ClientAddress) -> usize {
        self.connections
            .values()
            .filter(|state| state.client == client)
            .count()
    }

    /// Closes one connection, of one client or of all, unless one is closing already. Returns whether
    /// one closes.
    fn close_one(&self, of: Option<ClientAddress>) -> bool {
        let candidates = || {
            let all = self.connections.values();
            all.filter(|state| of.is_none_or(|client| state.client == client))
        };
        if candidates().any(|state| state.is_closing()) {
            return true;
        }
        // A proxy has many because it connects for many clients.
        let mut held = BTreeMap::<ClientAddress, usize>::new();
        for state in candidates().filter(|state| !state.proxy) {
            *held.entry(state.client).or_default() += 1;
        }
        let held = |state: &ConnectionState| held.get(&state.client).copied().unwrap_or_default();
        let waiting =
            candidates().filter_map(|state| Some((held(state), state.waiting_since()?, state)));
        let first =
            waiting.min_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        first.map(|(_, _, state)| state.close()).is_some()
    }

    fn warn(&mut self, client: ClientAddress, now: Instant) {
        let due = |last| now.saturating_duration_since(last) >= LOG_INTERVAL;
        if self.last_warning.is_none_or(due) {
            self.last_warning = Some(now);
            let (all, own) = (self.connections.len(), self.count(client));
            tracing::warn!(
                %client, all, own,
                "too many connections: closing those that have waited longest for their clients"
            );
        }
    }
}

#[cfg(test)]
mod tests;
