//! Child processes that end when this process ends, however it ends.

use std::ffi::{OsStr, OsString};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use keyroll_server::dev::CHILD_COMMAND;

use super::programs;

type Order = (Command, Sender<std::io::Result<Child>>);

/// A child ends with the *thread* that started it, so one lasting thread starts all.
fn starter() -> &'static Sender<Order> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (orders, ordered) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, started) in ordered {
                // The caller waits for it.
                let _ = started.send(command.spawn());
            }
        });
        orders
    })
}

/// `program -c argument`, for [`start`], through keyroll's own launcher for its nats-server.
pub fn command(program: impl AsRef<OsStr>, argument: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(programs::keyroll());
    command
        .arg(CHILD_COMMAND)
        .arg(std::process::id().to_string())
        .arg(program)
        .arg(argument)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent");
    command
}

/// As [`command`], for any command line.
pub fn command_line(words: &[OsString]) -> Command {
    let quoted = words.iter().map(|word| {
        let word = word.to_str().expect("words in UTF-8");
        assert!(!word.contains('\''), "{word} holds a quote");
        format!("'{word}'")
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    command("/bin/sh", format!("exec {line}"))
}

/// Starts what [`command`] made.
///
/// # Panics
/// When it cannot be started.
pub fn start(command: Command) -> Child {
    let (sender, receiver) = channel();
    starter()
        .send((command, sender))
        .expect("the thread that starts processes");
    let child = receiver.recv().expect("an answer");
    child.expect("the process starts")
}
