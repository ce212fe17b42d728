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

/// Runs a command against the ledger and returns its status.
pub(super) async fn run(
    stack: &Stack,
    words: &[OsString],
    stop: &mut ShutdownSignals,
) -> Result<Status, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("no command to run. Add one after `--`"));
    };
    let started = Command::new(program)
        .args(arguments)
        .env("KEYROLL_HOME", stack.home())
        .env("KEYROLL_NATS_URL", stack.nats_url())
        .env("KEYROLL_NATS_CREDS", stack.nats_creds())
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
                let failed = |error: io::Error| Failure::local(format!("the command's status is unknown: {error}"));
                return Ok(status_of(status.map_err(failed)?));
            }
            _ = stop.terminate.recv() => send(&child, Signal::SIGTERM),
            // A terminal sends Ctrl-C to the command as well, so wait for its reaction.
            _ = stop.interrupt.recv() => {}
            failure = stack.died() => {
                send(&child, Signal::SIGTERM);
                return Err(failure);
            }
        }
    }
}
