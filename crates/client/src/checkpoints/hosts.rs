//! Compares host patterns: whether new ones allow a host that the old ones did not.

use std::net::Ipv4Addr;

use keyroll_core::names::HostPattern;

/// Whether some host fits `now` and does not fit `before`. An empty list allows every host. Two
/// spellings of one address count as two hosts, so there may be a needless warning, never a missing
/// one.
pub(super) fn is_wider(now: &[HostPattern], before: &[HostPattern]) -> bool {
    if before.is_empty() {
        return false;
    }
    let covered = |one: &HostPattern| {
        let one = Parts::of(one);
        before.iter().any(|wide| Parts::of(wide).covers(&one))
    };
    now.is_empty() || !now.iter().all(covered)
}

/// Patterns, for people.
pub(super) fn words(patterns: &[HostPattern]) -> String {
    if patterns.is_empty() {
        return "any host".to_owned();
    }
    let patterns: Vec<&str> = patterns.iter().map(HostPattern::as_str).collect();
    patterns.join(", ")
}

/// The parts of a pattern: `[scheme "://"] host [":" port]`. An absent part fits everything.
struct Parts {
    scheme: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Parts {
    fn of(pattern: &HostPattern) -> Self {
        let text = pattern.as_str().to_ascii_lowercase();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_owned()), rest),
            None => (None, text.as_str()),
        };
        // A colon inside brackets belongs to an IPv6 address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (rest, None),
        };
        Self {
            scheme,
            host: host.to_owned(),
            port,
        }
    }

    /// Whether every host that fits `one` fits this.
    fn covers(&self, one: &Self) -> bool {
        let scheme = self.scheme.is_none() || self.scheme == one.scheme;
        let port = self.port.is_none() || self.port == one.port;
        scheme && port && self.covers_host(&one.host)
    }

    fn covers_host(&self, host: &str) -> bool {
        if self.host == host {
            return true;
        }
        // `*` stands for exactly one label of a name, and no part of an address is one.
        if host.parse::<Ipv4Addr>().is_ok() {
            return false;
        }
        let label = |domain| host.strip_suffix(domain)?.strip_suffix('.');
        let label = self.host.strip_prefix("*.").and_then(label);
        label.is_some_and(|label| !label.is_empty() && !label.contains(['.', '*']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Vec<HostPattern> {
        let words = text.split_whitespace();
        words.map(|word| word.parse().expect("a host")).collect()
    }

    #[test]
    fn hosts_are_wider_when_one_more_is_allowed() {
        for (before, now) in [
            ("a.example", ""),
            ("a.example", "b.example"),
            ("a.example", "a.example b.example"),
            ("a.example", "*.a.example"),
            ("a.example", "*.example"),
            ("*.a.example", "a.example"),
            ("*.example", "a.b.example"),
            ("*.example", "*.a.example"),
            ("https://a.example", "a.example"),
            ("https://a.example", "http://a.example"),
            ("a.example:443", "a.example"),
            ("a.example:443", "a.example:8443"),
            ("*.example", "127.0.0.1"),
            ("*.0.0.1", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("example", "notexample"),
            ("*.example", "x.notexample"),
        ] {
            assert!(
                is_wider(&patterns(now), &patterns(before)),
                "{before} -> {now}"
            );
        }
    }

    #[test]
    fn fewer_or_the_same_hosts_are_not_wider() {
        for (before, now) in [
            ("", ""),
            ("", "a.example"),
            ("a.example", "A.Example"),
            ("a.example b.example", "b.example"),
            ("a.example", "https://a.example:8443"),
            ("*.example", "a.example"),
            ("*.example", "*.example:443"),
            ("https://*.example", "https://a.example"),
            ("a.example:0443", "a.example:443"),
            ("[::1]", "https://[::1]:8443"),
        ] {
            assert!(
                !is_wider(&patterns(now), &patterns(before)),
                "{before} -> {now}"
            );
        }
    }
}
