//! The console's origin, as browsers see it.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

/// Why an address cannot be a console's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOrigin(pub String);

/// The console's origin, with the `Host` headers and the cookie that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicOrigin {
    origin: String,
    hosts: Vec<String>,
    secure: bool,
    cookie: String,
}

/// Browsers accept a cookie of this prefix only with `Secure`, from one host, for all paths.
const SECURE_COOKIE: &str = "__Host-keyroll";

/// Browsers share cookies among all ports of a host. Each console there has a cookie of its own, so
/// that signing in to one does not sign out of another.
fn cookie_at(port: u16) -> String {
    format!("keyroll-{port}")
}

impl PublicOrigin {
    /// A console that listens on a loopback address and is opened there.
    ///
    /// # Errors
    /// When the address is not a loopback address: over plain HTTP, others could read along.
    pub fn loopback(address: SocketAddr) -> Result<Self, InvalidOrigin> {
        if !address.ip().is_loopback() {
            let message = format!(
                "{address} can be reached from outside: give the console a loopback address, or \
                 the https:// address under which people reach it"
            );
            return Err(InvalidOrigin(message));
        }
        let host = address.to_string();
        Ok(Self {
            origin: format!("http://{host}"),
            hosts: vec![host],
            secure: false,
            cookie: cookie_at(address.port()),
        })
    }

    /// A console behind a proxy that speaks TLS for it, at a URL.
    ///
    /// # Errors
    /// When the URL is not `https://` (`http://` is for loopback alone) or has more than a host.
    pub fn public(text: &str) -> Result<Self, InvalidOrigin> {
        let url: Url = text
            .parse()
            .map_err(|error| InvalidOrigin(format!("{text:?} is not a URL: {error}")))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let plain = url.username().is_empty() && url.password().is_none();
        let Some(host) = url.host() else {
            return Err(InvalidOrigin(format!("{text:?} names no host")));
        };
        if !bare || !plain {
            let message = format!("{text:?} has more than a scheme, a host and a port");
            return Err(InvalidOrigin(message));
        }
        let secure = url.scheme() == "https";
        if !secure && (url.scheme() != "http" || !is_loopback(&host)) {
            return Err(InvalidOrigin(format!(
                "{text:?} is not https://, so passwords and values could be read on the way"
            )));
        }
        let origin = url.origin().ascii_serialization();
        let authority = origin.split_once("://").map_or("", |(_, host)| host);
        let mut hosts = vec![authority.to_owned()];
        if let (None, Some(port)) = (url.port(), url.port_or_known_default()) {
            hosts.push(format!("{authority}:{port}"));
        }
        let cookie = if secure {
            SECURE_COOKIE.to_owned()
        } else {
            cookie_at(url.port_or_known_default().unwrap_or_default())
        };
        Ok(Self {
            origin,
            hosts,
            secure,
            cookie,
        })
    }

    /// `scheme://host:port`, as in an `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Whether cookies travel over TLS only.
    pub(crate) const fn secure(&self) -> bool {
        self.secure
    }

    /// The session cookie's name.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Whether a `Host` header names this console. This refuses names that an attacker's DNS points
    /// here (DNS rebinding).
    pub(crate) fn is_host(&self, host: &str) -> bool {
        self.hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
        Host::Domain(name) => *name == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_in_the_clear_is_on_loopback() {
        let origin =
            PublicOrigin::loopback("127.0.0.1:8200".parse().expect("address")).expect("fits");
        assert_eq!(origin.as_str(), "http://127.0.0.1:8200");
        assert!(origin.is_host("127.0.0.1:8200") && !origin.secure());
        assert_eq!(origin.cookie(), "keyroll-8200");
        for host in ["127.0.0.1", "localhost:8200", "evil.example:8200", ""] {
            assert!(!origin.is_host(host), "{host}");
        }
        for address in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80"] {
            assert!(PublicOrigin::loopback(address.parse().expect("address")).is_err());
        }
    }

    #[test]
    fn a_public_console_speaks_tls() {
        let origin = PublicOrigin::public("https://Keyroll.example.com").expect("fits");
        assert_eq!(origin.as_str(), "https://keyroll.example.com");
        assert!(origin.is_host("keyroll.example.com") && origin.is_host("keyroll.example.com:443"));
        assert!(origin.secure() && !origin.is_host("keyroll.example.com:80"));
        assert_eq!(origin.cookie(), "__Host-keyroll");
        assert!(PublicOrigin::public("http://localhost:9000").is_ok());
        for bad in [
            "http://keyroll.example.com",
            "https://keyroll.example.com/path",
            "https://a:b@keyroll.example.com",
            "https://keyroll.example.com/?q",
            "keyroll.example.com",
            "ftp://localhost",
        ] {
            assert!(PublicOrigin::public(bad).is_err(), "{bad}");
        }
    }
}
