//! The nats-server configuration for keyroll, from one template.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::credential::Credential;
use super::operator::{Trust, TrustedAccount};

/// The largest NATS message, headers included: the log's limit of 1 MiB and room for headers.
pub const MAX_PAYLOAD: usize = 1024 * 1024 + 64 * 1024;
/// A private server's log is rotated at this size, one old file is kept.
const LOG_BYTES: usize = 1024 * 1024;
/// The largest line of a client's protocol: a JWT for 256 workspaces passes the usual 4 KiB.
const CONTROL_LINE: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the server name {0:?} is invalid: use 1 to 64 of a-z, A-Z, 0-9, '_' and '-'")]
    ServerName(String),
    #[error(
        "the path {0:?} cannot appear in a configuration: use UTF-8 without control characters"
    )]
    Path(PathBuf),
    #[error(
        "a server that listens on {0} needs TLS: add a certificate and key, or listen on loopback"
    )]
    PlainText(SocketAddr),
    #[error("{0:?} is not a host: use a name or an IP address")]
    Host(String),
}

/// The configuration of a nats-server for keyroll.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Unique among servers. It identifies the server to its clients.
    pub server_name: String,
    /// The directory of the streams' `jetstream/`.
    pub data_dir: PathBuf,
    pub endpoint: Endpoint,
    /// The other servers, if there are any.
    pub cluster: Option<Cluster>,
    pub trust: Trust,
}

/// The servers that a server forms a cluster with.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where the others reach this one.
    pub listen: SocketAddr,
    /// `HOST:PORT` of each of the others.
    pub others: Vec<String>,
    /// `HOST:PORT` that this server tells the others, if it is not its own address.
    pub advertise: Option<String>,
    /// The same on all of them.
    pub credential: Credential,
    pub tls: Option<TlsFiles>,
}

/// Where the server listens.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Loopback with free ports. The server writes its ports and its log into files in `run_dir`.
    Private { run_dir: PathBuf },
    /// Fixed addresses; `monitoring` is plain HTTP.
    Fixed {
        listen: SocketAddr,
        monitoring: SocketAddr,
        tls: Option<TlsFiles>,
    },
}

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of the other servers' certificates; those of the system where there is none.
    pub ca: Option<PathBuf>,
}

impl ServerConfig {
    /// The text of the configuration file. With a cluster it holds the password of its routes.
    ///
    /// # Errors
    ///
    /// When a name or path is invalid, or clients would connect without TLS.
    pub fn render(&self) -> Result<String, ConfigError> {
        if !is_server_name(&self.server_name) {
            return Err(ConfigError::ServerName(self.server_name.clone()));
        }
        let cluster = self.cluster.as_ref().map(Cluster::render).transpose()?;
        Ok(format!(
            r#"server_name: "{server_name}"
{endpoint}
max_payload: {MAX_PAYLOAD}
max_control_line: {CONTROL_LINE}

jetstream {{
  store_dir: {store_dir}
  sync_interval: always
}}
{cluster}
{trust}"#,
            server_name = self.server_name,
            endpoint = self.endpoint.render()?,
            store_dir = quote(&self.data_dir)?,
            cluster = cluster.unwrap_or_default(),
            trust = self.trust.render(),
        ))
    }
}

impl Trust {
    /// JWTs have no character that would have to be quoted.
    fn render(&self) -> String {
        let Self {
            operator,
            system_account,
            accounts,
            sentinel,
        } = self;
        let accounts = accounts.iter().fold(String::new(), |text, account| {
            let TrustedAccount {
                name,
                public_key,
                jwt,
            } = account;
            format!("{text}  # {name}\n  {public_key}: \"{jwt}\"\n")
        });
        format!(
            r#"operator: "{operator}"
system_account: {system_account}
# Whoever connects without credentials is a guest.
default_sentinel: "{sentinel}"
resolver: MEMORY
resolver_preload: {{
{accounts}}}
"#
        )
    }
}

impl Cluster {
    fn render(&self) -> Result<String, ConfigError> {
        let (user, password) = (self.credential.user(), self.credential.expose_password());
        let mut routes = String::new();
        for other in &self.others {
            if !is_host(other) {
                return Err(ConfigError::Host(other.clone()));
            }
            routes = format!("{routes}    \"nats-route://{user}:{password}@{other}\"\n");
        }
        let mut more = match &self.tls {
            Some(tls) => tls.render_for_routes()?,
            None if self.listen.ip().is_loopback() => String::new(),
            None => return Err(ConfigError::PlainText(self.listen)),
        };
        if let Some(advertise) = &self.advertise {
            if !is_host(advertise) {
                return Err(ConfigError::Host(advertise.clone()));
            }
            more = format!("{more}  advertise: \"{advertise}\"\n");
        }
        Ok(format!(
            r#"
cluster {{
  name: "keyroll"
  listen: "{listen}"
{more}  authorization {{ user: "{user}", password: "{password}" }}
  routes: [
{routes}  ]
}}
"#,
            listen = self.listen
        ))
    }
}

impl TlsFiles {
    fn render(&self) -> Result<String, ConfigError> {
        Ok(format!(
            "tls {{\n  cert_file: {}\n  key_file: {}\n}}",
            quote(&self.certificate)?,
            quote(&self.key)?,
        ))
    }

    /// Servers show each other their certificates, in both directions.
    fn render_for_routes(&self) -> Result<String, ConfigError> {
        let ca = self.ca.as_deref().map(quote).transpose()?;
        let ca = ca.map_or_else(String::new, |ca| format!("    ca_file: {ca}\n"));
        Ok(format!(
            "  tls {{\n    cert_file: {}\n    key_file: {}\n{ca}  }}\n",
            quote(&self.certificate)?,
            quote(&self.key)?,
        ))
    }
}

impl Endpoint {
    fn render(&self) -> Result<String, ConfigError> {
        match self {
            Self::Private { run_dir } => Ok(format!(
                r#"listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
ports_file_dir: {ports}
log_file: {log}
logfile_size_limit: {LOG_BYTES}
logfile_max_num: 2"#,
                ports = quote(run_dir)?,
                log = quote(&run_dir.join("nats-server.log"))?,
            )),
            Self::Fixed {
                listen,
                monitoring,
                tls,
            } => {
                let addresses = format!("listen: \"{listen}\"\nhttp: \"{monitoring}\"");
                match tls {
                    Some(tls) => Ok(format!("{addresses}\n{}", tls.render()?)),
                    None if listen.ip().is_loopback() => Ok(addresses),
                    None => Err(ConfigError::PlainText(*listen)),
                }
            }
        }
    }
}

/// A path as a double-quoted string, in which only `\` and `"` are special.
fn quote(path: &Path) -> Result<String, ConfigError> {
    match path.to_str() {
        Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            Ok(format!("\"{escaped}\""))
        }
        _ => Err(ConfigError::Path(path.to_owned())),
    }
}

fn is_server_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `HOST:PORT` without anything that would end the string or add to the URL.
fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    (1..=300).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::OperatorKeys;

    fn config() -> ServerConfig {
        let operator_keys = OperatorKeys::generate().unwrap();
        ServerConfig {
            server_name: "one".to_owned(),
            data_dir: PathBuf::from("/data"),
            endpoint: Endpoint::Private {
                run_dir: PathBuf::from("/run"),
            },
            cluster: None,
            trust: operator_keys.trust().unwrap(),
        }
    }

    #[test]
    fn durability_is_required() {
        assert!(
            config()
                .render()
                .unwrap()
                .contains("  sync_interval: always\n")
        );
    }

    #[test]
    fn no_name_or_path_can_end_its_string() {
        let mut bad_name = config();
        bad_name.server_name = "one\"\nlisten: \"0.0.0.0:1".to_owned();
        assert!(matches!(bad_name.render(), Err(ConfigError::ServerName(_))));

        let mut path = config();
        path.data_dir = PathBuf::from("/da\"ta\\x");
        assert!(
            path.render()
                .unwrap()
                .contains("store_dir: \"/da\\\"ta\\\\x\"\n")
        );
        path.data_dir = PathBuf::from("/data\nlisten: x");
        assert!(matches!(path.render(), Err(ConfigError::Path(_))));
    }

    #[test]
    fn plain_text_is_for_loopback_only() {
        let mut fixed = config();
        let at = |listen: &str, tls| Endpoint::Fixed {
            listen: listen.parse().unwrap(),
            monitoring: "127.0.0.1:8222".parse().unwrap(),
            tls,
        };
        fixed.endpoint = at("0.0.0.0:4222", None);
        assert!(matches!(fixed.render(), Err(ConfigError::PlainText(_))));
        fixed.endpoint = at("[::1]:4222", None);
        assert!(fixed.render().is_ok());
        fixed.endpoint = at(
            "0.0.0.0:4222",
            Some(TlsFiles {
                certificate: "/tls/cert.pem".into(),
                key: "/tls/key.pem".into(),
                ca: None,
            }),
        );
        assert!(
            fixed
                .render()
                .unwrap()
                .contains("cert_file: \"/tls/cert.pem\"")
        );
    }
}
