//! `keyroll dev`: a private ledger for one person on this machine.

mod child;
mod home;
mod nats;
mod stack;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_console::Console;
use serde_json::json;

use self::stack::Stack;
use super::console;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::shutdown::ShutdownSignals;

/// The default data directory.
const DATA_DIR: &str = ".keyroll-dev";

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Directory of all data; clients use it as their home directory [default: --home, else
    /// .keyroll-dev]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Use a temporary directory, and delete it at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// nats-server program to run [default: $KEYROLL_NATS_BIN, else nats-server on the PATH]
    #[arg(long, value_name = "FILE")]
    nats_bin: Option<PathBuf>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Do not serve the console
    #[arg(long)]
    no_console: bool,
    /// Command to run against the ledger; keyroll stops when it ends [default: run until Ctrl-C]
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) async fn run(context: &Context, args: DevArgs) -> Result<Status, Failure> {
    let temporary = if args.ephemeral {
        Some(temporary()?)
    } else {
        None
    };
    let home = match (&temporary, &args.data_dir, &context.global.home) {
        (Some(temporary), _, _) => temporary.path().to_owned(),
        (None, Some(named), _) | (None, None, Some(named)) => named.clone(),
        (None, None, None) => PathBuf::from(DATA_DIR),
    };
    let stack = Box::pin(Stack::start(&home, args.nats_bin.as_deref())).await?;
    let mut stop = ShutdownSignals::listen()?;
    for warning in stack.warnings() {
        context.out.note(&format!("warning: {warning}"));
    }
    let (console, started) = if args.no_console {
        (None, Ok(()))
    } else {
        match stack.console().await {
            Ok(console) => (Some(console), Ok(())),
            Err(failure) => (None, Err(failure)),
        }
    };
    let ready = started.and_then(|()| ready(context, &stack, console.as_ref(), &args));
    let status = match ready {
        Ok(()) if args.command.is_empty() => until_stopped(&stack, &mut stop).await,
        Ok(()) => child::run(&stack, &args.command, &mut stop).await,
        Err(failure) => Err(failure),
    };
    if let Some(console) = console {
        console.stop().await;
    }
    stack.stop().await;
    if let Some(temporary) = temporary {
        temporary
            .close()
            .map_err(|error| Failure::file(&home, &error))?;
    }
    status
}

fn temporary() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("keyroll-dev-")
        .tempdir()
        .map_err(|error| Failure::file(&std::env::temp_dir(), &error))
}

/// Reports that the ledger is ready; with a command only in JSON.
fn ready(
    context: &Context,
    stack: &Stack,
    console: Option<&Console>,
    args: &DevArgs,
) -> Result<(), Failure> {
    let link = console.map(Console::link).transpose()?;
    if context.out.json {
        return context.out.document(&json!({
            "ready": true,
            "nats_url": stack.nats_url(),
            "nats_creds": stack.nats_creds().display().to_string(),
            "home": stack.home().display().to_string(),
            "workspace": home::WORKSPACE,
            "console_url": link,
        }));
    }
    if args.command.is_empty() {
        context.out.note(&words(stack.home(), link.as_deref()));
        if let Some(link) = link.filter(|_| !args.no_open) {
            console::open_browser(&link);
        }
    }
    Ok(())
}

fn words(home: &Path, link: Option<&str>) -> String {
    let console = link.map_or_else(String::new, |link| console::words(link) + "\n\n");
    format!(
        "{console}A private ledger is running. In another terminal:\n\n    \
         export KEYROLL_HOME={home}\n    \
         keyroll secret create API_Key\n    \
         keyroll secret reveal API_Key\n    \
         keyroll audit log\n\n\
         Ctrl-C stops it. The data stays in {home}.",
        home = shell_quoted(home)
    )
}

/// A path as one word of a POSIX shell.
fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Waits for Ctrl-C or SIGTERM, or until a part fails.
async fn until_stopped(stack: &Stack, stop: &mut ShutdownSignals) -> Result<Status, Failure> {
    tokio::select! {
        () = stop.received() => Ok(Exit::Ok.into()),
        failure = stack.died() => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_of_a_shell() {
        assert_eq!(shell_quoted(Path::new("/tmp/a-b_c.d")), "/tmp/a-b_c.d");
        assert_eq!(
            shell_quoted(Path::new("/tmp/it's $HOME")),
            "'/tmp/it'\\''s $HOME'"
        );
    }
}
