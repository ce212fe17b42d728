//! The step between the program that runs blocks and the interpreter.
//!
//! A process can only restrict itself. So the child first runs the caller's program once more, with a hidden
//! subcommand. It restricts itself and then executes the interpreter. Nothing runs in between, and no `unsafe`
//! is needed.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::BOOTSTRAP;

/// The hidden subcommand that calls [`exec_python_child`].
pub const PYTHON_CHILD: &str = "__python-child";

/// How a program starts itself so that it calls [`exec_python_child`].
#[derive(Debug, Clone)]
pub struct PythonLauncher {
    /// The program.
    pub program: PathBuf,
    /// Arguments before the one that [`exec_python_child`] takes.
    pub args_prefix: Vec<OsString>,
}

impl PythonLauncher {
    /// This program with the subcommand [`PYTHON_CHILD`].
    ///
    /// # Errors
    ///
    /// If the system does not tell the path of this program.
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args_prefix: vec![OsString::from(PYTHON_CHILD)],
        })
    }
}

/// The configuration of the launcher, as JSON in its one argument. It contains no secret and nothing of the
/// block.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LaunchConfig {
    pub(super) parent: u32,
    pub(super) interpreter: PathBuf,
    pub(super) read: Vec<PathBuf>,
    pub(super) sandbox: bool,
    pub(super) network: bool,
    /// Seconds of processor time.
    pub(super) seconds: u64,
}

/// Executes the interpreter in the sandbox. `args` are the arguments after the subcommand. Standard input is
/// the channel to the parent.
///
/// # Errors
///
/// It returns only with an error. The parent gets the error over the channel too.
pub fn exec_python_child(args: impl IntoIterator<Item = OsString>) -> Result<Infallible, String> {
    let config = config(args)?;
    // `dup` makes a descriptor that stays open when the interpreter starts.
    let channel = nix::unistd::dup(std::io::stdin().as_fd())
        .map_err(|error| format!("cannot duplicate the channel: {error}"))?;
    let Err(reason) = exec(&config, &channel);
    let message = serde_json::json!({ "sandbox": reason }).to_string();
    // If this fails, the parent still notices that the child has ended.
    let _ = send(channel, message.as_bytes());
    Err(reason)
}

fn config(args: impl IntoIterator<Item = OsString>) -> Result<LaunchConfig, String> {
    let usage = || format!("{PYTHON_CHILD} is for the program's own use");
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(config), None) => {
            let config = config.to_str().ok_or_else(usage)?;
            serde_json::from_str(config).map_err(|_| usage())
        }
        _ => Err(usage()),
    }
}

/// Sends one message, framed like those of the interpreter.
fn send(channel: OwnedFd, message: &[u8]) -> std::io::Result<()> {
    let mut channel = UnixStream::from(channel);
    let len = u32::try_from(message.len()).unwrap_or_default();
    channel.write_all(&len.to_be_bytes())?;
    channel.write_all(message)
}

fn exec(config: &LaunchConfig, channel: &OwnedFd) -> Result<Infallible, String> {
    let null = File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    nix::unistd::dup2_stdin(&null).map_err(|error| format!("/dev/null: {error}"))?;
    drop(null);
    close_inherited(channel)?;
    let end_with_parent = || die_with_parent(config.parent);
    if config.sandbox {
        enter(config, end_with_parent)?;
    } else {
        end_with_parent()?;
    }
    let error = Command::new(&config.interpreter)
        .args(["-I", "-B", "-X", "utf8", "-c", BOOTSTRAP])
        .arg(channel.as_raw_fd().to_string())
        .env_clear()
        .exec();
    Err(format!(
        "cannot run {} in the sandbox: {error}",
        config.interpreter.display()
    ))
}

/// Closes inherited descriptors. They would be a way around the sandbox.
fn close_inherited(channel: &OwnedFd) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read /proc/self/fd: {error}");
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in open {
        if number > 2 && number != channel.as_raw_fd() {
            // The descriptor that listed the directory is closed already.
            let _ = nix::unistd::close(number);
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn enter(
    config: &LaunchConfig,
    end_with_parent: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let policy = super::sandbox::SandboxPolicy {
        interpreter: &config.interpreter,
        read: &config.read,
        network: config.network,
        seconds: config.seconds,
    };
    super::sandbox::enter(&policy, end_with_parent)
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &LaunchConfig, _: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    Err("the sandbox needs Linux: Landlock and seccomp".to_owned())
}

/// Ends this process when its parent ends, so that no block outlives keyroll. A change of user clears the
/// setting, so it comes after that. The seccomp filter refuses the call, so it comes before that.
#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| format!("cannot set the signal for the end of the parent: {error}"))?;
    if std::os::unix::process::parent_id() != parent {
        return Err("the parent process has ended".to_owned());
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_starts_without_a_configuration() {
        for args in [&[][..], &["x"], &["{}"], &["{}", "y"]] {
            let error = exec_python_child(args.iter().map(OsString::from)).unwrap_err();
            assert!(error.contains("own use"), "{error}");
        }
    }
}
