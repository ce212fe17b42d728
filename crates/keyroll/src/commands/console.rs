//! `keyroll console`: a person's own page, and signing in to a shared one.

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
use crate::stop::Stop;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConsoleArgs {
    /// Where to listen: an address of this machine's own [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(subcommand)]
    command: Option<ConsoleCommand>,
}

#[derive(Debug, Subcommand)]
enum ConsoleCommand {
    /// Delegate a session to a shared console and print its one-time link
    Login(login::LoginArgs),
}

/// A free port of this machine's own.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn run(context: &Context, args: ConsoleArgs) -> Result<(), Failure> {
    match args.command {
        Some(ConsoleCommand::Login(args)) => login::run(context, args).await,
        None => own(context, args.listen.unwrap_or(ANY_PORT)).await,
    }
}

async fn own(context: &Context, address: SocketAddr) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let workspace = context.settings()?.workspace.is_some();
    let workspace = workspace
        .then(|| context.settings()?.workspace())
        .transpose()?;
    let client = context.client().await?;
    let console = serve(client, workspace, SignInPolicy::Owner, Front::at(address)).await?;
    let link = console.link()?;
    let json = json!({"ready": true, "console_url": link});
    context.out.done(&json, &words(&link))?;
    if !context.out.json {
        open_browser(&link);
    }
    stop.told().await;
    console.stop().await;
    Ok(())
}

/// A link for people, with what there is to know about it.
pub(crate) fn words(link: &str) -> String {
    format!("The console is at\n\n    {link}\n\nThis link works once, within a minute.")
}

/// Where a console listens, and what is in front of it.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// The address that people know, of something that speaks TLS.
    pub(crate) url: Option<String>,
    /// From where that something comes.
    pub(crate) proxies: Vec<IpAddr>,
}

impl Front {
    /// Nothing in front.
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
    front: Front,
) -> Result<Console, Failure> {
    let Front {
        address,
        url,
        proxies,
    } = front;
    let bad = |InvalidOrigin(message)| Failure::usage(message);
    if url.is_none() {
        // Before anybody can connect.
        PublicOrigin::loopback(address).map_err(bad)?;
    }
    let taken = |error: std::io::Error| Failure::local(format!("{address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(taken)?;
    let origin = match url {
        Some(url) => PublicOrigin::public(&url).map_err(bad)?,
        None => PublicOrigin::loopback(listener.local_addr().map_err(taken)?).map_err(bad)?,
    };
    let options = Options {
        client,
        sign_in,
        origin,
        workspace,
        verify: verify(),
        proxies,
    };
    Ok(Console::start(listener, options)?)
}

/// What `keyroll audit verify` does, for the console's "Verify now".
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
                // Nothing is known to be wrong, and nobody is to be alarmed.
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

/// A problem's place goes before its words, which often name it again.
fn once(detail: &str) -> &str {
    match detail.split_once(": ") {
        Some((place, words)) if words.starts_with(place) => words,
        _ => detail,
    }
}

/// Shows a page to whoever sits in front of this machine, if somebody does. Where no browser can
/// be started the link has been printed.
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
