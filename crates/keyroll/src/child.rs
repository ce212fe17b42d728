//! Child processes of `run` and `dev`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, access};
use tokio::process::Child;

use crate::exit_code::Status;

/// The status of a shell for a program that does not exist.
const NOT_FOUND: Status = Status(127);
/// The status of a shell for a program that cannot be run.
const NOT_RUNNABLE: Status = Status(126);

/// Checks the file of a program before a value is revealed for it. A name without a slash is searched on the
/// PATH, as at the start.
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
        // The system then uses its default path.
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

/// Reports that a program could not be started, and returns the status of a shell.
pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> Status {
    let words = format!("{}: {error}\n", program.display());
    // The status is the result; the message is for people.
    let _ = io::Write::write_all(&mut io::stderr().lock(), words.as_bytes());
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing { NOT_FOUND } else { NOT_RUNNABLE }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // The child is not reaped, so the id is its own; one that has just ended needs no signal.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// A status as shells report it: 128 plus the signal for a command that a signal ended.
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
