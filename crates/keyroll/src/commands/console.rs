//! `keyroll console`: your own console, and signing in to a shared one.

mod login;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::{Args, Subcommand};
use futures::FutureExt as _;
use keyroll_audit::verify::Depth;
use keyroll_client::Client;
use keyroll_client::ClientError;
use keyroll_console::{
    Console, InvalidOrigin, Options, PublicOrigin, SignInPolicy, VerificationFailure, Verified,
    VerifyLog,
};
use keyroll_core::{Code, WorkspaceName};
use serde_json::json;
use tokio::net::TcpListener;

use super::audit;
use crate::context::Context;
use crate::error::Failure;
use crate::session::Session;
use crate::shutdown::ShutdownSignals;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConsoleArgs {
    /// Loopback address to listen on [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(subcommand)]
    command: Option<ConsoleCommand>,
}

#[derive(Debug, Subcommand)]
enum ConsoleCommand {
    /// Sign in to a shared console and print a one-time link to it. `keyroll login` signs in this machine
    #[command(
        after_help = "Example:\n  keyroll console login https://keyroll.example.com --expires 2h"
    )]
    Login(login::LoginArgs),
}

/// A free port of the loopback interface.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn run(context: &Context, args: ConsoleArgs) -> Result<(), Failure> {
    match args.command {
        Some(ConsoleCommand::Login(args)) => login::run(context, args).await,
        None => own(context, args.listen.unwrap_or(ANY_PORT)).await,
    }
}

async fn own(context: &Context, address: SocketAddr) -> Result<(), Failure> {
    let mut stop = ShutdownSignals::listen()?;
    let workspace = context.settings()?.workspace.is_some();
    let workspace = workspace
        .then(|| context.settings()?.workspace())
        .transpose()?;
    let client = context.client().await?;
    let console = serve(
        client,
        workspace,
        SignInPolicy::Owner,
        ConsoleAddress::at(address),
    )
    .await?;
    let link = console.link()?;
    let json = json!({"ready": true, "console_url": link});
    context.out.done(&json, &words(&link))?;
    if !context.out.json {
        open_browser(&link);
    }
    stop.received().await;
    console.stop().await;
    Ok(())
}

/// The link, with an explanation for people.
pub(crate) fn words(link: &str) -> String {
    format!("The console is at\n\n    {link}\n\nThis link works once, within a minute.")
}

/// The address of a console, and the proxy in front of it.
pub(crate) struct ConsoleAddress {
    pub(crate) address: SocketAddr,
    /// The public address of a proxy that terminates TLS.
    pub(crate) url: Option<String>,
    /// The addresses from which that proxy connects.
    pub(crate) proxies: Vec<IpAddr>,
}

impl ConsoleAddress {
    /// An address without a proxy.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            url: None,
            proxies: Vec::new(),
        }
    }
}

/// Starts a console at an address, or at a public URL in front of it.
pub(crate) async fn serve(
    client: Client,
    workspace: Option<WorkspaceName>,
    sign_in: SignInPolicy,
    front: ConsoleAddress,
) -> Result<Console, Failure> {
    let ConsoleAddress {
        address,
        url,
        proxies,
    } = front;
    let bad = |InvalidOrigin(words)| Failure::usage(words);
    if url.is_none() {
        // Before anybody can connect.
        PublicOrigin::loopback(address).map_err(bad)?;
    }
    let taken = |error: std::io::Error| Failure::local(format!("{address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(taken)?;
    let place = match url {
        Some(url) => PublicOrigin::public(&url).map_err(bad)?,
        None => PublicOrigin::loopback(listener.local_addr().map_err(taken)?).map_err(bad)?,
    };
    let options = Options {
        client,
        sign_in,
        origin: place,
        workspace,
        verify: verify(),
        proxies,
    };
    Ok(Console::start(listener, options)?)
}

/// The same verification as `keyroll audit verify`, for the console's "Verify now".
fn verify() -> VerifyLog {
    Arc::new(|client, workspace| {
        async move {
            let session = Session { client, workspace };
            let report = audit::verify(&session, Depth::Quick).await;
            let report = report.map_err(|failure| {
                let code = failure.ledger_code();
                ClientError::failed(code, failure.message())
            })?;
            if let Some(problem) = report.problems.first().filter(|_| report.wants_upgrade()) {
                // The log may be whole, so this is no alarm.
                return Err(ClientError::failed(Code::UpgradeNeeded, &problem.detail));
            }
            let failures = report.problems.iter().map(|problem| VerificationFailure {
                index: problem.index,
                message: once(&problem.detail).to_owned(),
            });
            Ok(Verified {
                entries: report.entries,
                failures: failures.collect(),
            })
        }
        .boxed()
    })
}

/// Drops the place before a message that starts with the same place.
fn once(detail: &str) -> &str {
    match detail.split_once(": ") {
        Some((place, words)) if words.starts_with(place) => words,
        _ => detail,
    }
}

/// Opens a page in a browser, where there is a desktop. The link is printed in any case.
pub(crate) fn open_browser(url: &str) {
    use std::io::IsTerminal as _;
    let desktop = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !desktop || !std::io::stdout().is_terminal() {
        return;
    }
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = std::process::Command::new(program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
}
