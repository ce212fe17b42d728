//! The bounds of a listener.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors for the rest of the process: connections to NATS, the read model, logs. At most half
/// of the limit.
const RESERVED: usize = 256;
/// The usual limit, assumed when it cannot be read.
const DESCRIPTORS: usize = 1_024;

/// The bounds of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Connections of one client at a time.
    pub(crate) per_client: usize,
    /// Addresses of proxies, which connect for many clients: they may have all connections.
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) timeouts: Timeouts,
}

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the head of a request, from its first byte, or from the connection for the first request.
    pub head: Duration,
    /// For the body of a request, from the end of its head.
    pub body: Duration,
    /// For the client to read, in all, for each [`Timeouts::READ_BYTES`] of a response.
    pub read: Duration,
    /// Between two requests. Longer than the two minutes of common proxies, so that they close a
    /// connection first, and the server closes none while a request is on its way.
    pub idle: Duration,
    /// For the server itself, on top of the body's timeout. Longer than a client of the ledger waits,
    /// so that its error reaches the caller.
    pub work: Duration,
}

impl Timeouts {
    /// See [`Timeouts::read`]: together they require at least 1.6 kB/s.
    pub const READ_BYTES: usize = 16 * 1_024;
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            read: Duration::from_secs(10),
            idle: Duration::from_secs(150),
            work: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Bounds for one of two listeners of this process: at most `connections`, and at most `per_client`
    /// for one client that is not one of `proxies`. With a small descriptor limit, fewer.
    pub fn new(connections: usize, per_client: usize, proxies: &[IpAddr]) -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(DESCRIPTORS, |(soft, _)| {
            usize::try_from(soft).unwrap_or(usize::MAX)
        });
        let connections = connections.min(below(limit));
        Self {
            connections,
            per_client: per_client.min((connections / 4).max(1)),
            proxies: proxies.iter().map(IpAddr::to_canonical).collect(),
            timeouts: Timeouts::default(),
        }
    }

    /// The same bounds with other timeouts.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}

/// The connections that one of two listeners may hold below a descriptor limit.
fn below(limit: usize) -> usize {
    let free = limit - RESERVED.min(limit / 2);
    (free / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_leave_descriptors_to_the_rest() {
        for (limit, connections) in [(0, 1), (64, 16), (256, 64), (1_024, 384), (20_000, 9_872)] {
            assert_eq!(below(limit), connections, "{limit}");
        }
        assert!(below(usize::MAX) > 1_000_000);
    }

    #[test]
    fn one_client_has_a_quarter_at_most() {
        let limits = Limits::new(32, 16, &[]);
        assert_eq!((limits.connections, limits.per_client), (32, 8));
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        let limits = Limits::new(1, 1, &[mapped]);
        assert_eq!((limits.connections, limits.per_client), (1, 1));
        assert_eq!(limits.proxies, [IpAddr::from([10, 0, 0, 1])]);
    }
}
