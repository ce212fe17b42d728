//! The bounds.

use std::net::IpAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors that are left to the rest of the process: connections to NATS, the read model, logs.
/// Of a small limit it is half.
const RESERVED: usize = 256;
/// What is assumed where the limit cannot be read: the usual one.
const DESCRIPTORS: usize = 1_024;

/// The bounds of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Connections of one client at a time.
    pub(crate) per_client: usize,
    /// Addresses that speak for many clients: they may have all connections.
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) times: Times,
}

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For the head of a request, from its first byte; for the first one, from the connection on.
    pub head: Duration,
    /// For the body of a request, from the end of its head.
    pub body: Duration,
    /// For the client to read, in all, for each [`Times::READ_BYTES`] of a response.
    pub read: Duration,
    /// Between two requests. Longer than the two minutes of common proxies, so that it is they who
    /// close a connection, never the server while a request is on its way.
    pub idle: Duration,
    /// For the server itself, on top of the body's time. Longer than a client of the ledger has
    /// patience, so that its words arrive.
    pub work: Duration,
}

impl Times {
    /// See [`Times::read`]: together at least 1.6 kB/s.
    pub const READ_BYTES: usize = 16 * 1_024;
}

impl Default for Times {
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
    /// Bounds for one of two listeners of this process: at most `connections`, `per_client` of them
    /// for one client that is none of `proxies`. Where the process may not have so many
    /// descriptors, less.
    pub fn new(connections: usize, per_client: usize, proxies: &[IpAddr]) -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(DESCRIPTORS, |(soft, _)| {
            usize::try_from(soft).unwrap_or(usize::MAX)
        });
        let connections = connections.min(below(limit));
        Self {
            connections,
            per_client: per_client.min((connections / 4).max(1)),
            proxies: proxies.iter().map(IpAddr::to_canonical).collect(),
            times: Times::default(),
        }
    }

    /// The same with other times.
    #[must_use]
    pub fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
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
