//! The hosts that a secret is bound to.
//!
//! ```text
//! pattern = [ scheme "://" ] host [ ":" port ]      host = domain / "*." domain / address
//! ```
//!
//! `*` matches exactly one label. A pattern without a scheme or port matches any; the operator decides
//! whether http may be used at all. Both sides are parsed by the WHATWG rules before they are compared, so
//! case, IDNA and numeric addresses make no difference.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::error::{Code, ResolveError};

/// A checked host pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    scheme: Option<&'static str>,
    any_label: bool,
    host: Host<String>,
    port: Option<u16>,
}

impl FromStr for HostPattern {
    type Err = ResolveError;

    fn from_str(text: &str) -> Result<Self, ResolveError> {
        parse(text).ok_or_else(|| {
            ResolveError::new(
                Code::HostNotAllowed,
                "not a host pattern: write a host or `*.` and a domain, with optional scheme and port, \
                 for example *.crm.example",
            )
        })
    }
}

fn parse(text: &str) -> Option<HostPattern> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Some("https"), rest),
        Some(("http", rest)) => (Some("http"), rest),
        Some(_) => return None,
        None => (None, text),
    };
    // A colon inside brackets is part of an IPv6 address.
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(parse_port(port)?)),
        _ => (rest, None),
    };
    let (any_label, name) = match name.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let host = Host::parse(name).ok()?;
    let domain = matches!(&host, Host::Domain(name) if !name.contains(['*', '{', '}']));
    let address = matches!(&host, Host::Ipv4(_) | Host::Ipv6(_)) && !any_label;
    (domain || address).then_some(HostPattern {
        scheme,
        any_label,
        host,
        port,
    })
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16` would also accept a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

impl HostPattern {
    /// Whether the pattern matches the scheme, host and port of a URL.
    pub fn matches(&self, url: &Url) -> bool {
        self.scheme.is_none_or(|scheme| scheme == url.scheme())
            && self
                .port
                .is_none_or(|port| Some(port) == url.port_or_known_default())
            && self.matches_host(url)
    }

    fn matches_host(&self, url: &Url) -> bool {
        match (url.host(), &self.host) {
            (Some(Host::Domain(host)), Host::Domain(name)) if self.any_label => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == name),
            (Some(host), own) => host.to_owned() == *own,
            (None, _) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        f.write_str(if self.any_label { "*." } else { "" })?;
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Checks a URL against the host patterns of each secret that would be sent there. A secret without patterns
/// may go anywhere. An invalid pattern matches nothing.
///
/// # Errors
///
/// `host_not_allowed`, with the first secret that is bound elsewhere.
pub fn check_hosts(
    url: &Url,
    bindings: &BTreeMap<String, Vec<String>>,
) -> Result<(), ResolveError> {
    for (name, patterns) in bindings {
        check_host(url, name, patterns)?;
    }
    Ok(())
}

/// [`check_hosts`] for one secret.
pub(crate) fn check_host(url: &Url, name: &str, patterns: &[String]) -> Result<(), ResolveError> {
    let allowed = patterns.iter().any(|pattern| {
        pattern
            .parse::<HostPattern>()
            .is_ok_and(|pattern| pattern.matches(url))
    });
    if patterns.is_empty() || allowed {
        return Ok(());
    }
    Err(ResolveError::new(
        Code::HostNotAllowed,
        "the secret is bound to other hosts, so it is not sent to this one",
    )
    .about_secret(name)
    .at_host(&authority(url)))
}

/// Host and port for an error.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
