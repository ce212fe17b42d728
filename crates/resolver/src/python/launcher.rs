//! The step between the program that runs blocks and the interpreter.
//!
//! A process can put up walls around itself only, and only from inside. So the child is first the
//! caller's program once more, started with a hidden subcommand; it puts up the walls and then
//! becomes the interpreter. Nothing runs in between, and no `unsafe` is needed.

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
    /// When the system does not say where this program lies.
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args_prefix: vec![OsString::from(PYTHON_CHILD)],
        })
    }
}

/// What the launcher is told, as JSON in its one argument. No secret and nothing of the block.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) parent: u32,
    pub(super) interpreter: PathBuf,
    pub(super) read: Vec<PathBuf>,
    pub(super) sandbox: bool,
    pub(super) network: bool,
    /// Seconds of processor time.
    pub(super) seconds: u64,
}

/// Becomes the interpreter, inside the sandbox. `args` is what follows the subcommand. Standard
/// input is the channel to the parent.
///
/// # Errors
///
/// It returns only with one, in words for people. The parent has been told over the channel.
pub fn exec_python_child(args: impl IntoIterator<Item = OsString>) -> Result<Infallible, String> {
    let order = order(args)?;
    // Not closed when the interpreter starts, as `dup` leaves it.
    let channel = nix::unistd::dup(std::io::stdin().as_fd())
        .map_err(|error| format!("the channel cannot be kept: {error}"))?;
    let Err(what) = exec(&order, &channel);
    let message = serde_json::json!({ "sandbox": what }).to_string();
    // The parent also notices an end without any word.
    let _ = tell(channel, message.as_bytes());
    Err(what)
}

fn order(args: impl IntoIterator<Item = OsString>) -> Result<Order, String> {
    let usage = || format!("{PYTHON_CHILD} is for the program's own use");
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(order), None) => {
            let order = order.to_str().ok_or_else(usage)?;
            serde_json::from_str(order).map_err(|_| usage())
        }
        _ => Err(usage()),
    }
}

/// One message, framed as the interpreter's are.
fn tell(channel: OwnedFd, message: &[u8]) -> std::io::Result<()> {
    let mut channel = UnixStream::from(channel);
    let len = u32::try_from(message.len()).unwrap_or_default();
    channel.write_all(&len.to_be_bytes())?;
    channel.write_all(message)
}

fn exec(order: &Order, channel: &OwnedFd) -> Result<Infallible, String> {
    let null = File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    nix::unistd::dup2_stdin(&null).map_err(|error| format!("/dev/null: {error}"))?;
    drop(null);
    close_the_rest(channel)?;
    let tie = || die_with_parent(order.parent);
    if order.sandbox {
        enter(order, tie)?;
    } else {
        tie()?;
    }
    let error = Command::new(&order.interpreter)
        .args(["-I", "-B", "-X", "utf8", "-c", BOOTSTRAP])
        .arg(channel.as_raw_fd().to_string())
        .env_clear()
        .exec();
    Err(format!(
        "{} cannot be run inside the sandbox: {error}",
        order.interpreter.display()
    ))
}

/// What the caller left open would be a way around every wall.
fn close_the_rest(channel: &OwnedFd) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("/proc/self/fd cannot be read: {error}");
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in open {
        if number > 2 && number != channel.as_raw_fd() {
            // The one that listed the directory is closed already.
            let _ = nix::unistd::close(number);
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn enter(order: &Order, tie: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let policy = super::sandbox::Policy {
        interpreter: &order.interpreter,
        read: &order.read,
        network: order.network,
        seconds: order.seconds,
    };
    super::sandbox::enter(&policy, tie)
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &Order, _: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    Err("the sandbox needs Linux: Landlock and seccomp".to_owned())
}

/// A block must not outlive whoever answers for it. Changing the user forgets this, so it comes
/// after that; the filter refuses it, so it comes before that.
#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| format!("the block cannot be tied to its parent: {error}"))?;
    if std::os::unix::process::parent_id() != parent {
        return Err("the parent process is gone".to_owned());
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
    fn nothing_is_started_without_an_order() {
        for args in [&[][..], &["x"], &["{}"], &["{}", "y"]] {
            let error = exec_python_child(args.iter().map(OsString::from)).unwrap_err();
            assert!(error.contains("own use"), "{error}");
        }
    }
}
