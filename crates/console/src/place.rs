//! Where the console is, as browsers see it.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

/// An address that a console may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPlace(pub String);

/// The console's origin, and what may stand in a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    origin: String,
    hosts: Vec<String>,
    secure: bool,
    cookie: String,
}

/// A cookie's name that holds browsers to what its prefix promises.
const SECURE_COOKIE: &str = "__Host-keyroll";

/// Browsers keep one jar for all ports of a host, so each console there has a name of its own:
/// signing in to one must not sign out of another.
fn cookie_at(port: u16) -> String {
    format!("keyroll-{port}")
}

impl Place {
    /// A console that listens on a loopback address and is visited there.
    ///
    /// # Errors
    /// When the address is none of this machine's own: in the clear, whoever is on the way would
    /// read along.
    pub fn loopback(address: SocketAddr) -> Result<Self, BadPlace> {
        if !address.ip().is_loopback() {
            let words = format!(
                "{address} can be reached from outside: give the console a loopback address, or \
                 say under which https:// address people reach it"
            );
            return Err(BadPlace(words));
        }
        let host = address.to_string();
        Ok(Self {
            origin: format!("http://{host}"),
            hosts: vec![host],
            secure: false,
            cookie: cookie_at(address.port()),
        })
    }

    /// A console that people reach under a URL, behind something that speaks TLS for it.
    ///
    /// # Errors
    /// When the URL is not `https://` (`http://` is for loopback alone) or has more than a host.
    pub fn public(text: &str) -> Result<Self, BadPlace> {
        let url: Url = text
            .parse()
            .map_err(|error| BadPlace(format!("{text:?} is no URL: {error}")))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let plain = url.username().is_empty() && url.password().is_none();
        let Some(host) = url.host() else {
            return Err(BadPlace(format!("{text:?} names no host")));
        };
        if !bare || !plain {
            let words = format!("{text:?} has more than a scheme, a host and a port");
            return Err(BadPlace(words));
        }
        let secure = url.scheme() == "https";
        if !secure && (url.scheme() != "http" || !is_loopback(&host)) {
            return Err(BadPlace(format!(
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

    /// `scheme://host:port`, as an `Origin` header has it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether cookies are to travel over TLS only.
    pub(crate) const fn secure(&self) -> bool {
        self.secure
    }

    /// The session cookie's name.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Whether a `Host` header means this console. A name that an attacker's DNS points here does
    /// not (DNS rebinding).
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
        let place = Place::loopback("127.0.0.1:8200".parse().expect("address")).expect("fits");
        assert_eq!(place.origin(), "http://127.0.0.1:8200");
        assert!(place.is_host("127.0.0.1:8200") && !place.secure());
        assert_eq!(place.cookie(), "keyroll-8200");
        for host in ["127.0.0.1", "localhost:8200", "evil.example:8200", ""] {
            assert!(!place.is_host(host), "{host}");
        }
        for address in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80"] {
            assert!(Place::loopback(address.parse().expect("address")).is_err());
        }
    }

    #[test]
    fn a_public_console_speaks_tls() {
        let place = Place::public("https://Keyroll.example.com").expect("fits");
        assert_eq!(place.origin(), "https://keyroll.example.com");
        assert!(place.is_host("keyroll.example.com") && place.is_host("keyroll.example.com:443"));
        assert!(place.secure() && !place.is_host("keyroll.example.com:80"));
        assert_eq!(place.cookie(), "__Host-keyroll");
        assert!(Place::public("http://localhost:9000").is_ok());
        for bad in [
            "http://keyroll.example.com",
            "https://keyroll.example.com/path",
            "https://a:b@keyroll.example.com",
            "https://keyroll.example.com/?q",
            "keyroll.example.com",
            "ftp://localhost",
        ] {
            assert!(Place::public(bad).is_err(), "{bad}");
        }
    }
}
