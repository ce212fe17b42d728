//! The nats-server configuration for keyroll, from one template.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::credential::Credential;
use super::permissions::{self, Permissions, ServiceExport, Workspaces};

/// The largest NATS message, headers included: the log's limit of 1 MiB and room for headers.
pub const MAX_PAYLOAD: usize = 1024 * 1024 + 64 * 1024;
/// A private server's log is rotated at this size, one old file is kept.
const LOG_BYTES: usize = 1024 * 1024;
/// Client users of a configuration, which are listed by hand.
const CLIENTS_MAX: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the server name {0:?} is invalid: use 1 to 64 of a-z, A-Z, 0-9, '_' and '-'")]
    ServerName(String),
    #[error("{0:?} is not a workspace name: use at most 63 of a-z, 0-9 and '-', not '-' first")]
    Workspace(String),
    #[error(
        "the path {0:?} cannot appear in a configuration: use UTF-8 without control characters"
    )]
    Path(PathBuf),
    #[error("the NATS user {0} appears twice: give every user its own name")]
    Twice(String),
    #[error("{0} client users are too many for one configuration: at most {CLIENTS_MAX}")]
    TooManyClients(usize),
    #[error(
        "a server that listens on {0} needs TLS: add a certificate and key, or listen on loopback"
    )]
    PlainText(SocketAddr),
}

/// The configuration of a nats-server for keyroll.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Unique among servers. It identifies the server to its clients.
    pub server_name: String,
    /// The directory of the streams' `jetstream/`.
    pub data_dir: PathBuf,
    pub endpoint: Endpoint,
    pub users: Users,
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
}

#[derive(Debug, Clone)]
pub struct Users {
    pub service: Credential,
    pub operator: Credential,
    pub responder: Credential,
    pub clients: Vec<ClientUser>,
}

#[derive(Debug, Clone)]
pub struct ClientUser {
    pub credential: Credential,
    pub workspaces: Workspaces,
}

impl ServerConfig {
    /// The text of the configuration file. It contains passwords.
    ///
    /// # Errors
    ///
    /// When a name or path is invalid, or clients would connect without TLS.
    pub fn render(&self) -> Result<String, ConfigError> {
        if !is_server_name(&self.server_name) {
            return Err(ConfigError::ServerName(self.server_name.clone()));
        }
        self.users.validate()?;
        let operator = &self.users.operator;
        let clients: String = self.users.clients.iter().map(client_block).collect();
        let exports = permissions::service_exports();
        Ok(format!(
            r#"server_name: "{server_name}"
{endpoint}
max_payload: {MAX_PAYLOAD}

jetstream {{
  store_dir: {store_dir}
  sync_interval: always
}}

system_account: SYS

accounts {{
  SYS {{}}

  LEDGER {{
    jetstream: enabled
    users: [
      {{ user: "{operator_user}", password: "{operator_password}" }}
    ]
    exports: [
{exports}    ]
  }}

  SERVICE {{
    users: [
{service}    ]
    imports: [
{imports}    ]
  }}

  CLIENTS {{
    users: [
{responder}{clients}    ]
  }}
}}
"#,
            server_name = self.server_name,
            endpoint = self.endpoint.render()?,
            store_dir = quote(&self.data_dir)?,
            exports = exports.iter().map(export).collect::<String>(),
            imports = exports.iter().map(import).collect::<String>(),
            service = user_block(&self.users.service, &permissions::service()),
            operator_user = operator.user(),
            operator_password = operator.expose_password(),
            responder = user_block(&self.users.responder, &permissions::responder()),
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
                    Some(TlsFiles { certificate, key }) => Ok(format!(
                        "{addresses}\ntls {{\n  cert_file: {}\n  key_file: {}\n}}",
                        quote(certificate)?,
                        quote(key)?,
                    )),
                    None if listen.ip().is_loopback() => Ok(addresses),
                    None => Err(ConfigError::PlainText(*listen)),
                }
            }
        }
    }
}

impl Users {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.clients.len() > CLIENTS_MAX {
            return Err(ConfigError::TooManyClients(self.clients.len()));
        }
        let own = [&self.service, &self.operator, &self.responder];
        let mut seen = BTreeSet::new();
        for credential in own
            .into_iter()
            .chain(self.clients.iter().map(|client| &client.credential))
        {
            // nats-server has one name space for the users of all accounts.
            if !seen.insert(credential.user()) {
                return Err(ConfigError::Twice(credential.user().to_owned()));
            }
        }
        self.clients
            .iter()
            .try_for_each(|client| client.workspaces.validate())
    }
}

impl Workspaces {
    fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::All => Ok(()),
            Self::Named(names) => match names.iter().find(|name| !is_workspace(name)) {
                Some(name) => Err(ConfigError::Workspace(name.clone())),
                None => Ok(()),
            },
        }
    }
}

/// Without `stream`, nats-server forwards only the first answer.
fn export(service: &ServiceExport) -> String {
    let response = if service.streams_answers {
        "stream"
    } else {
        "single"
    };
    format!(
        "      {{ service: \"{}\", response: {response}, accounts: [SERVICE] }}\n",
        service.subject
    )
}

fn import(service: &ServiceExport) -> String {
    format!(
        "      {{ service: {{ account: LEDGER, subject: \"{}\" }} }}\n",
        service.subject
    )
}

fn client_block(client: &ClientUser) -> String {
    let permissions = permissions::client(client.credential.user(), &client.workspaces);
    user_block(&client.credential, &permissions)
}

fn user_block(credential: &Credential, permissions: &Permissions) -> String {
    format!(
        r#"      {{
        user: "{}", password: "{}"
        permissions {{
          publish {{ allow: [
{}          ] }}
          subscribe {{ allow: [
{}          ] }}
        }}
      }}
"#,
        credential.user(),
        credential.expose_password(),
        subjects(&permissions.publish),
        subjects(&permissions.subscribe),
    )
}

fn subjects(subjects: &[String]) -> String {
    subjects.iter().fold(String::new(), |text, subject| {
        text + "            \"" + subject + "\"\n"
    })
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

fn is_workspace(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ServerConfig {
        let user = |name| Credential::new(name, "0123456789abcdef").unwrap();
        ServerConfig {
            server_name: "one".to_owned(),
            data_dir: PathBuf::from("/data"),
            endpoint: Endpoint::Private {
                run_dir: PathBuf::from("/run"),
            },
            users: Users {
                service: user("service"),
                operator: user("operator"),
                responder: user("responder"),
                clients: vec![ClientUser {
                    credential: user("alice"),
                    workspaces: Workspaces::Named(vec!["demo".to_owned()]),
                }],
            },
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

        let mut bad_workspace = config();
        for name in [
            "",
            ">",
            "*",
            "a.b",
            "A",
            "-a",
            "a\"",
            "_ledger",
            &"a".repeat(64),
        ] {
            bad_workspace.users.clients[0].workspaces = Workspaces::Named(vec![name.to_owned()]);
            assert!(
                matches!(bad_workspace.render(), Err(ConfigError::Workspace(_))),
                "{name}"
            );
        }

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
    fn two_users_of_one_name_are_refused() {
        let mut twice = config();
        twice.users.clients[0].credential = twice.users.service.clone();
        assert!(matches!(twice.render(), Err(ConfigError::Twice(name)) if name == "service"));
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
