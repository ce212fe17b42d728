//! Commands that are run for somebody.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access};
use tokio::process::Child;

use crate::exit_code::Status;

/// What a shell answers for a program that is not there.
const NOT_FOUND: Status = Status(127);
/// And for one that cannot be run.
const NOT_RUNNABLE: Status = Status(126);

/// Whether a program can be started, as far as its file says so: before a value is revealed for it.
/// A name without a slash is looked for on the path, as it will be when it is started.
pub(crate) fn check_startable(program: &OsStr) -> io::Result<()> {
    let check = |path: &Path| {
        if path.is_dir() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        access(path, AccessFlags::X_OK).map_err(io::Error::from)
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return check(Path::new(program));
    }
    let Some(path) = std::env::var_os("PATH") else {
        // The system's own idea of a path counts then.
        return Ok(());
    };
    let mut found = Err(io::ErrorKind::NotFound.into());
    for directory in std::env::split_paths(&path) {
        match check(&directory.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            error => found = error,
        }
    }
    found
}

/// Says that a program could not be started, and answers as a shell does.
pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> Status {
    let words = format!("{}: {error}\n", program.display());
    // The status is the answer; the words are for people.
    let _ = io::Write::write_all(&mut io::stderr().lock(), words.as_bytes());
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing { NOT_FOUND } else { NOT_RUNNABLE }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // Not reaped yet, so the id is this child's; one that has just ended needs no signal.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// A status as shells show it: 128 and the signal for a command that a signal ended.
pub(crate) fn status_of(status: ExitStatus) -> Status {
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
