//! The step between this program and nats-server that makes the child end with its parent.
//!
//! Linux sends a process the signal that it set with `PR_SET_PDEATHSIG` when the *thread* that started it
//! ends for any reason. The child itself must set the signal. So the child is first this program again,
//! which sets the signal and then executes nats-server.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hidden subcommand that runs [`exec_child`].
pub const CHILD_COMMAND: &str = "__nats-child";

/// How to start nats-server.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub program: PathBuf,
    /// Arguments before those that [`exec_child`] takes.
    pub args_prefix: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(
        "{CHILD_COMMAND} takes a process id, a nats-server and a configuration; it is for internal use"
    )]
    Usage,
    #[error("the parent process is gone, so nats-server is not started")]
    Orphaned,
    #[error("cannot make nats-server end with its parent: {0}")]
    DeathSignal(io::Error),
    #[error("cannot run {program}: {source}", program = program.display())]
    Exec { program: PathBuf, source: io::Error },
}

impl Launcher {
    /// This program with its hidden subcommand.
    ///
    /// # Errors
    ///
    /// When the system does not report this program's path.
    pub fn this_program() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args_prefix: vec![OsString::from(CHILD_COMMAND)],
        })
    }

    pub(super) fn command(&self, nats_bin: &Path, config: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args_prefix)
            .arg(std::process::id().to_string())
            .arg(nats_bin)
            .arg(config);
        command
    }
}

/// Executes nats-server, which is killed when the parent ends. `args` are the subcommand's arguments: the
/// parent's process id, the nats-server, its configuration.
///
/// # Errors
///
/// It returns only if it fails.
pub fn exec_child(args: impl IntoIterator<Item = OsString>) -> Result<Infallible, LaunchError> {
    let mut args = args.into_iter();
    let (Some(parent), Some(program), Some(config), None) =
        (args.next(), args.next(), args.next(), args.next())
    else {
        return Err(LaunchError::Usage);
    };
    let parent: u32 = parent
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or(LaunchError::Usage)?;
    set_death_signal().map_err(LaunchError::DeathSignal)?;
    // If the parent ended before the signal was set, none is sent.
    if std::os::unix::process::parent_id() != parent {
        return Err(LaunchError::Orphaned);
    }
    let source = Command::new(&program).arg("-c").arg(&config).exec();
    Err(LaunchError::Exec {
        program: program.into(),
        source,
    })
}

/// SIGKILL, not SIGTERM: every acknowledged message is on disk, and a server that shuts down slowly would
/// block the next start.
#[cfg(target_os = "linux")]
fn set_death_signal() -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(io::Error::from)
}

/// On other systems the child outlives a killed parent. It ends with one that stops or fails.
#[cfg(not(target_os = "linux"))]
fn set_death_signal() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_started_for_another_parent_or_with_wrong_arguments() {
        let run = |args: &[&str]| exec_child(args.iter().map(OsString::from)).unwrap_err();
        assert!(matches!(run(&[]), LaunchError::Usage));
        assert!(matches!(run(&["x", "/bin/true", "c"]), LaunchError::Usage));
        assert!(matches!(
            run(&["1", "/bin/true", "c", "d"]),
            LaunchError::Usage
        ));
    }
}
