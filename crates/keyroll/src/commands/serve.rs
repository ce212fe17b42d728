//! `keyroll serve`: the service on the operator's own nats-server.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ed25519_dalek::SigningKey;
use keyroll_client::random;
use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_console::{Console, SignInPolicy};
use keyroll_core::{Code, LedgerId};
use keyroll_http::Server;
use keyroll_nats::{ClientIssuer, Creds};
use keyroll_server::issuing::CredentialLifetime;
use keyroll_server::keys::KeyFiles;
use keyroll_server::metrics;
use keyroll_server::service::{self, ServeError, ServeOptions, Service};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use super::console::{self, ConsoleAddress};
use crate::context::{Context, Origin};
use crate::error::Failure;
use crate::root_key_place::RootKeyPlace;
use crate::serve_file::{self, ServeFile};
use crate::shutdown::ShutdownSignals;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// NATS credentials of the user `service` [default: the file in serve.toml]
    #[arg(long, value_name = "FILE")]
    service_creds: Option<PathBuf>,
    /// NATS credentials of the user `responder`, in the account of the clients [default: the file in
    /// serve.toml]
    #[arg(long, value_name = "FILE")]
    responder_creds: Option<PathBuf>,
    /// Seed of the scoped key with which the service issues credentials to clients [default: the file in
    /// serve.toml]
    #[arg(long, value_name = "FILE")]
    clients_seed: Option<PathBuf>,
    /// Monitoring address of a nats-server, http://HOST:PORT; repeat it for every server [default:
    /// the addresses in serve.toml]
    #[arg(long, value_name = "URL")]
    monitoring: Vec<String>,
    /// Start even if keyroll cannot verify that nats-server writes every message to disk before it
    /// acknowledges it
    #[arg(long)]
    allow_unsynced: bool,
    /// PublicOrigin of the root key [default: the place in serve.toml]
    #[arg(long, value_name = "PLACE", value_enum)]
    root_key: Option<RootKeyPlace>,
    /// Serve OpenMetrics at http://ADDR/metrics, and /healthz and /readyz beside it [default: do not]
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Also serve the console at ADDR, for members who sign in with `keyroll console login` [default:
    /// do not]
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// Public https:// address of the console, where a proxy in front of it terminates TLS [default:
    /// none, and ADDR must be loopback]
    #[arg(long, value_name = "URL", requires = "console")]
    console_url: Option<String>,
    /// NATS credentials of the console [default: the file in serve.toml]
    #[arg(long, value_name = "FILE", requires = "console")]
    console_creds: Option<PathBuf>,
    /// Address of your proxy or load balancer for the console or the metrics; repeat it for more. It may
    /// use any share of the connections, every other address a small one [default: none]
    #[arg(long, value_name = "IP")]
    trusted_proxy: Vec<IpAddr>,
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

pub(crate) async fn run(context: &Context, args: ServeArgs) -> Result<(), Failure> {
    let settings = context.settings()?;
    let home = settings.home.value;
    let file = ServeFile::load(&home)?;
    // The config.toml of the home belongs to its clients.
    let nats_url = match settings.nats_url.origin {
        Origin::Flag(_) | Origin::Environment(_) => settings.nats_url.value,
        Origin::ConfigFile | Origin::Default => file.nats_url,
    };
    let in_home = |path: PathBuf| home.join(path);
    if !args.trusted_proxy.is_empty() && args.console.is_none() && args.metrics.is_none() {
        let words = "--trusted-proxy needs --console or --metrics";
        return Err(Failure::usage(words));
    }
    let console_creds = args
        .console_creds
        .or_else(|| file.console_creds.map(in_home));
    let console_at = match args.console {
        None => None,
        Some(address) => Some(SharedConsole {
            front: ConsoleAddress {
                address,
                url: args.console_url,
                proxies: args.trusted_proxy.clone(),
            },
            nats_url: nats_url.clone(),
            // As a guest it would reach no workspace, and so refuse everybody.
            nats_creds: console_creds.ok_or_else(no_console_creds)?,
            home: home.clone(),
        }),
    };
    log_to_stderr();
    let local = |error: &dyn std::fmt::Display| Failure::local(error.to_string());
    let place = args.root_key.unwrap_or(file.root_key);
    let (dir, root) = (
        serve_file::keys(&home),
        place.source(context, &serve_file::keys(&home))?,
    );
    let keys = KeyFiles::load_with(&dir, root.as_ref()).map_err(|error| local(&error))?;
    let ledger = keys.ledger();
    let creds = |named: Option<PathBuf>, path: PathBuf| {
        let path = named.unwrap_or_else(|| in_home(path));
        Creds::load(&path).map_err(|error| Failure::usage(error.to_string()))
    };
    let service = creds(args.service_creds, file.service_creds)?;
    let responder = creds(args.responder_creds, file.responder_creds)?;
    let seed = args.clients_seed.or_else(|| file.clients_seed.map(in_home));
    let issuer = seed.map(|path| issuer(&responder, &path)).transpose()?;
    let lifetime = file.credential_seconds.map(CredentialLifetime::new);
    let lifetime = lifetime.transpose();
    let lifetime =
        lifetime.map_err(|why| Failure::usage(format!("serve.toml: credential_seconds: {why}")))?;
    let options = ServeOptions {
        nats_url,
        service,
        responder,
        issuer,
        credential_lifetime: lifetime.unwrap_or_default(),
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
    let mut stop = ShutdownSignals::listen()?;
    let service = tokio::select! {
        started = service::start(options) => started.map_err(|error| not_started(&error))?,
        () = stop.received() => return Ok(()),
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
        () = stop.received() => Ok(()),
        () = service.stopped() => Err(Failure::local("the service stopped by itself. Its log on stderr has the reason")),
    };
    if let Some(console) = console {
        console.stop().await;
    }
    service.stop().await;
    ended
}

/// The issuer of clients' credentials, for the account of the responder.
fn issuer(responder: &Creds, seed: &Path) -> Result<ClientIssuer, Failure> {
    let text = serve_file::read_seed(seed)?;
    ClientIssuer::new(&serve_file::account_of(responder), &text)
        .map_err(|error| Failure::usage(format!("{}: {error}", seed.display())))
}

fn no_console_creds() -> Failure {
    Failure::usage(
        "--console needs NATS credentials of the user `console`, and serve.toml names none. Add --console-creds FILE, \
         or put them into this home with `keyroll init --credentials DIR`",
    )
}

/// A shared console beside the service.
struct SharedConsole {
    front: ConsoleAddress,
    nats_url: String,
    nats_creds: PathBuf,
    home: PathBuf,
}

impl SharedConsole {
    /// The key made here signs nothing: each browser session has the key of a sign-in.
    async fn serve(self, ledger: LedgerId) -> Result<Console, Failure> {
        let key = SigningKey::from_bytes(&Zeroizing::new(random()?));
        let client = Client::connect(ClientSettings {
            nats_url: self.nats_url,
            nats_creds: Some(self.nats_creds),
            nats_ca: None,
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

/// Logs to stderr. `KEYROLL_LOG` sets the level, as `RUST_LOG` does elsewhere.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("KEYROLL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    // Fails where a log is set up already: then that one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
