//! The command that `keyroll dev -- CMD` runs.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::home;
use super::stack::Stack;
use crate::error::Failure;
use crate::exit_code::Status;

/// What a shell answers for a program that is not there.
const NOT_FOUND: Status = Status(127);
/// And for one that cannot be run.
const NOT_RUNNABLE: Status = Status(126);

/// Runs a command against the ledger and answers its status.
pub(super) async fn run(stack: &Stack, words: &[OsString]) -> Result<Status, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("which command?"));
    };
    let failed = |error: io::Error| Failure::local(format!("signals cannot be received: {error}"));
    // A terminal sends Ctrl-C to the command as well; this program waits for what it makes of it.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
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
            _ = terminate.recv() => terminate_child(&child),
            _ = interrupt.recv() => {}
            failure = stack.died() => {
                terminate_child(&child);
                return Err(failure);
            }
        }
    }
}

fn not_started(program: &OsString, error: &io::Error) -> Status {
    let words = format!("{}: {error}\n", program.display());
    // The status is the answer; the words are for people.
    let _ = io::Write::write_all(&mut io::stderr().lock(), words.as_bytes());
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing { NOT_FOUND } else { NOT_RUNNABLE }
}

fn terminate_child(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // Not reaped yet, so the id is this child's; one that has just ended needs no signal.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A status as shells show it: 128 and the signal for a command that a signal ended.
fn status_of(status: ExitStatus) -> Status {
    let number = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Status(
        number
            .and_then(|number| u8::try_from(number).ok())
            .unwrap_or(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(status_of(ExitStatus::from_raw(3 << 8)), Status(3));
        assert_eq!(status_of(ExitStatus::from_raw(9)), Status(137));
        assert_eq!(status_of(ExitStatus::from_raw(0)), Status(0));
    }
}
