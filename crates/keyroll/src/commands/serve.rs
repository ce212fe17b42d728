//! `keyroll serve`: the service on somebody's own nats-server.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ed25519_dalek::SigningKey;
use keyroll_client::random;
use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_console::{Console, SignInPolicy};
use keyroll_core::{Code, Identity, LedgerId};
use keyroll_http::Server;
use keyroll_server::keys::KeyFiles;
use keyroll_server::metrics;
use keyroll_server::service::{self, ServeError, ServeOptions, Service};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use super::console::{self, Front};
use super::root_key::RootKeyPlace;
use crate::context::Context;
use crate::error::Failure;
use crate::private_file;
use crate::stop::Stop;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// As the NATS user `service`, in the account that borrows from that of the streams; further
    /// servers of a cluster behind commas
    #[arg(long, value_name = "URL")]
    ledger_nats: Option<String>,
    /// As the NATS user `responder`, in the account of the clients
    #[arg(long, value_name = "URL")]
    responder_nats: Option<String>,
    /// The monitoring address of every nats-server, http://HOST:PORT; once for each
    #[arg(long, value_name = "URL")]
    monitoring: Vec<String>,
    /// Start although it was not verified that every message is on disk before it is acknowledged
    #[arg(long)]
    allow_unsynced: bool,
    /// Where the root key is kept [default: as `init` was told]
    #[arg(long, value_name = "PLACE", value_enum)]
    root_key: Option<RootKeyPlace>,
    /// Serve OpenMetrics at http://ADDR/metrics, and /healthz and /readyz beside it
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Serve the console too, for members who sign in with `keyroll console login`
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// Under which https:// address people reach the console, where something in front of it
    /// speaks TLS; without it ADDR has to be loopback
    #[arg(long, value_name = "URL", requires = "console")]
    console_url: Option<String>,
    /// How the console reaches the ledger, as a NATS user for clients [--nats]
    #[arg(long, value_name = "URL", requires = "console")]
    console_nats: Option<String>,
    /// An address from which a proxy or load balancer of yours reaches the console or the metrics; once
    /// for each. It may hold any share of the connections; every other address has a small one
    #[arg(long, value_name = "IP")]
    trusted_proxy: Vec<IpAddr>,
}

/// `serve.toml` in the home, written by `init`. It holds passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeFile {
    /// As the NATS user `service`.
    pub(crate) ledger_url: String,
    /// As the NATS user `responder`.
    pub(crate) client_account_url: String,
    /// Monitoring addresses.
    pub(crate) monitoring: Vec<String>,
    /// Who may make workspaces and look after the read model.
    pub(crate) operators: Vec<Identity>,
    /// Where the root key is kept.
    #[serde(default)]
    pub(crate) root_key: RootKeyPlace,
}

impl ServeFile {
    pub(crate) fn path(home: &Path) -> PathBuf {
        home.join("serve.toml")
    }

    pub(crate) fn store(&self, home: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::local(format!("serve.toml cannot be written: {error}")))?;
        private_file::replace(&Self::path(home), text.as_bytes())
    }

    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        let path = Self::path(home);
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::usage(format!(
                "there is no {}: set the ledger up with `keyroll init`",
                path.display()
            )),
            _ => Failure::file(&path, &error),
        };
        private_file::check_mode(&path, &fs::metadata(&path).map_err(failed)?)?;
        let text = fs::read_to_string(&path).map_err(failed)?;
        // Without the parser's quotation, which may hold a password.
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.message())))
    }
}

fn not_started(error: &ServeError) -> Failure {
    let words = error.to_string();
    match error {
        ServeError::Address { .. } => Failure::usage(words),
        ServeError::Connect { .. } => Failure::coded(Code::Unreachable, words),
        ServeError::Unfit(_)
        | ServeError::Unsynced(_)
        | ServeError::Open(_)
        | ServeError::Announce(_) => Failure::local(words),
    }
}

/// The keys of the ledger in a home.
pub(crate) fn keys(home: &Path) -> PathBuf {
    home.join("keys")
}

pub(crate) async fn run(context: &Context, args: ServeArgs) -> Result<(), Failure> {
    let settings = context.settings()?;
    let home = settings.home.value;
    let file = ServeFile::load(&home)?;
    if !args.trusted_proxy.is_empty() && args.console.is_none() && args.metrics.is_none() {
        let words = "--trusted-proxy is about --console and --metrics, and neither is given";
        return Err(Failure::usage(words));
    }
    let console_at = args.console.map(|address| ConsoleAt {
        front: Front {
            address,
            url: args.console_url,
            proxies: args.trusted_proxy.clone(),
        },
        nats_url: args.console_nats.unwrap_or(settings.nats_url.value),
        home: home.clone(),
    });
    log_to_stderr();
    let local = |error: &dyn std::fmt::Display| Failure::local(error.to_string());
    let place = args.root_key.unwrap_or(file.root_key);
    let (dir, root) = (keys(&home), place.source(context, &keys(&home))?);
    let keys = KeyFiles::load_with(&dir, root.as_ref()).map_err(|error| local(&error))?;
    let ledger = keys.ledger();
    let options = ServeOptions {
        ledger_url: args.ledger_nats.unwrap_or(file.ledger_url),
        client_account_url: args.responder_nats.unwrap_or(file.client_account_url),
        monitoring: if args.monitoring.is_empty() {
            file.monitoring
        } else {
            args.monitoring
        },
        data_dir: home,
        keys,
        operators: file.operators,
        allow_unsynced: args.allow_unsynced,
    };
    // Before the start, so that a signal during it is not lost.
    let mut stop = Stop::listen()?;
    let service = tokio::select! {
        started = service::start(options) => started.map_err(|error| not_started(&error))?,
        () = stop.told() => return Ok(()),
    };
    let metrics = match args.metrics {
        None => None,
        Some(address) => Some(serve_metrics(&service, address, &args.trusted_proxy).await?),
    };
    let console = match console_at {
        None => None,
        Some(at) => match at.serve(ledger).await {
            Ok(console) => Some(console),
            Err(failure) => {
                service.stop().await;
                return Err(failure.within("--console"));
            }
        },
    };
    let console_url = console.as_ref().map(Console::origin);
    let metrics_at = metrics.as_ref().map(|(address, _)| *address);
    ready(context, &ledger.to_string(), metrics_at, console_url)?;
    let ended = tokio::select! {
        () = stop.told() => Ok(()),
        () = service.stopped() => Err(Failure::local("the service has ended by itself")),
    };
    if let Some(console) = console {
        console.stop().await;
    }
    service.stop().await;
    ended
}

/// A shared console beside the service.
struct ConsoleAt {
    front: Front,
    nats_url: String,
    home: PathBuf,
}

impl ConsoleAt {
    /// Nobody's own: the key made here signs nothing, each session has one that a member
    /// delegated to.
    async fn serve(self, ledger: LedgerId) -> Result<Console, Failure> {
        let key = SigningKey::from_bytes(&Zeroizing::new(random()?));
        let client = Client::connect(ClientSettings {
            nats_url: self.nats_url,
            identity: key.into(),
            ledger: Some(ledger),
            home: Some(self.home),
        })
        .await?;
        console::serve(client, None, SignInPolicy::Members, self.front).await
    }
}

async fn serve_metrics(
    service: &Service,
    address: SocketAddr,
    proxies: &[IpAddr],
) -> Result<(SocketAddr, Server), Failure> {
    let (ledger, counted) = (Arc::clone(service.ledger()), Arc::clone(service.metrics()));
    metrics::listen(address, ledger, counted, proxies)
        .await
        .map_err(|error| Failure::local(format!("--metrics {address}: {error}")))
}

fn ready(
    context: &Context,
    ledger: &str,
    metrics: Option<SocketAddr>,
    console: Option<&str>,
) -> Result<(), Failure> {
    let mut json = serde_json::json!({"ready": true, "ledger": ledger});
    let mut text = format!("serving ledger {ledger}");
    if let Some(address) = metrics {
        let url = format!("http://{address}/metrics");
        text = format!("{text}, metrics at {url}");
        json["metrics_url"] = url.into();
    }
    if let Some(url) = console {
        text = format!("{text}, console at {url}");
        json["console_url"] = url.into();
    }
    context.out.done(&json, &text)
}

/// What the service says goes to stderr; `KEYROLL_LOG` chooses how much, as `RUST_LOG` does elsewhere.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("KEYROLL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    // Fails where a log is set up already: then that one is used.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_serve_reads() {
        let home = tempfile::tempdir().expect("a directory");
        assert!(
            ServeFile::load(home.path())
                .expect_err("missing")
                .message()
                .contains("keyroll init")
        );
        let file = ServeFile {
            ledger_url: "nats://service:x@h".to_owned(),
            client_account_url: "nats://responder:x@h".to_owned(),
            monitoring: vec!["http://h:8222".to_owned()],
            operators: vec![Identity([7; 32])],
            root_key: RootKeyPlace::Passphrase,
        };
        file.store(home.path()).expect("written");
        assert_eq!(ServeFile::load(home.path()).ok(), Some(file));
    }
}
