//! The addresses of the nats-servers of one cluster.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use keyroll_core::{Code, Rejection};

/// Addresses of the servers of one cluster: URLs separated by commas,
/// `tls://USER:PASSWORD@HOST:PORT,HOST:PORT`. Addresses without a scheme or user take those of the
/// first.
#[derive(Debug, Clone)]
pub struct Addresses {
    servers: Vec<ServerAddr>,
    user: Option<(String, String)>,
    /// A file with the certificate that signs the servers', besides those that the machine trusts.
    ca: Option<PathBuf>,
}

fn wrong(words: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidField, words)
}

/// The address without the password that it may contain.
fn host(server: &ServerAddr) -> String {
    format!("{}:{}", server.host(), server.port())
}

impl FromStr for Addresses {
    type Err = Rejection;

    fn from_str(text: &str) -> Result<Self, Rejection> {
        let mut servers: Vec<ServerAddr> = Vec::new();
        let mut scheme = None;
        for one in text.split(',').map(str::trim) {
            let given = one.split_once("://");
            // The password must not go in the clear to a second server when only the first has `tls`.
            let url = match (given, scheme) {
                (None, Some(scheme)) => format!("{scheme}://{one}"),
                _ => one.to_owned(),
            };
            let server: ServerAddr = url.parse().map_err(|error| {
                let number = servers.len() + 1;
                wrong(format!("address {number} is not a NATS URL: {error}"))
            })?;
            if server.host().is_empty() {
                let number = servers.len() + 1;
                return Err(wrong(format!("address {number} has no host")));
            }
            scheme = scheme.or(Some(given.map_or("nats", |(scheme, _)| scheme)));
            servers.push(server);
        }
        let Some(first) = servers.first() else {
            return Err(wrong("no address was given"));
        };
        let user = match (first.username(), first.password()) {
            (Some(user), Some(password)) => Some((user.to_owned(), password.to_owned())),
            _ => None,
        };
        for other in &servers[1..] {
            if other.tls_required() != first.tls_required() {
                return Err(wrong("either all addresses must be tls:// or none"));
            }
            let other = (other.username(), other.password());
            if other.0.is_some() && other != (first.username(), first.password()) {
                let words = "all addresses must have the same user: write it in the first one";
                return Err(wrong(words));
            }
        }
        let ca = None;
        Ok(Self { servers, user, ca })
    }
}

impl Addresses {
    /// Trusts the certificate in a file too.
    #[must_use]
    pub fn with_ca(self, ca: Option<PathBuf>) -> Self {
        Self { ca, ..self }
    }

    /// The NATS user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|(user, _)| user.as_str())
    }

    /// The hosts, for messages.
    pub fn hosts(&self) -> String {
        let hosts: Vec<String> = self.servers.iter().map(host).collect();
        hosts.join(", ")
    }

    /// Connects to one of the servers as that user, which the NATS client does not do by itself.
    ///
    /// # Errors
    /// Why no server can be reached. Each one is tried for `timeout`.
    pub async fn connect(
        self,
        options: ConnectOptions,
        timeout: Duration,
    ) -> Result<async_nats::Client, String> {
        // This holds for servers that the cluster announces later too: they come without a scheme.
        let tls = self.servers.iter().any(ServerAddr::tls_required);
        let mut options = options.connection_timeout(timeout).require_tls(tls);
        if let Some(ca) = self.ca {
            options = options.add_root_certificates(ca);
        }
        if let Some((user, password)) = self.user {
            options = options.user_and_password(user, password);
        }
        // A frozen server accepts the connection and sends nothing.
        let total = timeout * u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let connect = Box::pin(options.connect(self.servers));
        match tokio::time::timeout(total + Duration::from_secs(1), connect).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Addresses, Rejection> {
        text.parse()
    }

    #[test]
    fn scheme_and_user_of_the_first_address_apply_to_all() {
        let three = read("tls://u:p@a:4222, b:4223,tls://u:p@c:4224").expect("addresses");
        assert_eq!(three.hosts(), "a:4222, b:4223, c:4224");
        assert!(three.servers.iter().all(ServerAddr::tls_required));
        assert_eq!(three.user, Some(("u".to_owned(), "p".to_owned())));
        let one = read("127.0.0.1:4222").expect("an address");
        assert_eq!((one.hosts().as_str(), one.user()), ("127.0.0.1:4222", None));
    }

    #[test]
    fn addresses_that_would_leak_a_password_are_refused_without_showing_it() {
        for text in [
            "tls://u:secret@a:1,nats://b:2",
            "nats://u:secret@a:1,tls://b:2",
            "nats://u:secret@a:1,nats://v:secret@b:2",
            "nats://u:secret@a:1,nats://u:other@b:2",
            "nats://a:1,nats://u:secret@b:2",
            "nats://u:secret@a:1,",
            "nats://u:secret@a:1,nats://:x:y",
            "",
        ] {
            let refused = read(text).expect_err(text);
            assert_eq!(refused.code, Code::InvalidField, "{text}");
            assert!(!refused.message.contains("secret"), "{}", refused.message);
        }
    }
}
