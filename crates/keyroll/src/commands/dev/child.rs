//! The command that `keyroll dev -- CMD` runs.

use std::ffi::OsString;
use std::io;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::home;
use super::stack::Stack;
use crate::child::{not_started, send, status_of};
use crate::error::Failure;
use crate::exit_code::Status;
use crate::shutdown::ShutdownSignals;

/// Runs a command against the ledger and answers its status.
pub(super) async fn run(
    stack: &Stack,
    words: &[OsString],
    stop: &mut ShutdownSignals,
) -> Result<Status, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("which command?"));
    };
    let started = Command::new(program)
        .args(arguments)
        .env("KEYROLL_HOME", stack.home())
        .env("KEYROLL_NATS_URL", stack.client_url())
        .env("KEYROLL_WORKSPACE", home::WORKSPACE)
        .env_remove("KEYROLL_IDENTITY")
        .kill_on_drop(true)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(not_started(program, &error)),
    };
    loop {
        tokio::select! {
            status = child.wait() => {
                let failed = |error: io::Error| Failure::local(format!("the command was lost: {error}"));
                return Ok(status_of(status.map_err(failed)?));
            }
            _ = stop.terminate.recv() => send(&child, Signal::SIGTERM),
            // A terminal sends Ctrl-C to the command as well: it is waited for what that makes of it.
            _ = stop.interrupt.recv() => {}
            failure = stack.died() => {
                send(&child, Signal::SIGTERM);
                return Err(failure);
            }
        }
    }
}
