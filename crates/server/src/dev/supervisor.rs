//! The thread that starts the child and runs as long as it does.
//!
//! The parent-death signal is sent when the thread that started the child ends, and an async runtime ends
//! its threads at any time. So the child gets a thread of its own. Only that thread signals and reaps the
//! child, so its process id is never used after it may belong to another process.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

/// How often the child's status is checked, with one system call.
const POLL: Duration = Duration::from_millis(100);
/// The same while the child is stopping.
const POLL_STOPPING: Duration = Duration::from_millis(10);
/// How long nats-server may take to stop before it is killed. It closes its files within milliseconds.
const GRACE: Duration = Duration::from_secs(5);

struct Stop;

/// A running child. Dropping it kills the child and waits for its end.
pub(super) struct Supervisor {
    pid: u32,
    orders: Option<mpsc::Sender<Stop>>,
    ended: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    pub(super) async fn start(command: Command) -> io::Result<Self> {
        let (started, start) = oneshot::channel();
        let (orders, inbox) = mpsc::channel();
        let (end, ended) = watch::channel(None);
        let thread = thread::Builder::new()
            .name("nats-child".to_owned())
            .spawn(move || run(command, started, &inbox, &end))?;
        let pid = start
            .await
            .map_err(|_gone| io::Error::other("the thread that starts nats-server ended"))??;
        Ok(Self {
            pid,
            orders: Some(orders),
            ended,
            thread: Some(thread),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The child's status, if it has ended.
    pub(super) fn status(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until the child has ended, and returns its status.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_default(),
            Err(_gone) => "its supervisor has ended".to_owned(),
        }
    }

    /// Asks the child to stop, kills it after 5 s, and returns its status.
    pub(super) async fn stop(self) -> String {
        if let Some(orders) = &self.orders {
            // The channel is closed if the child has already ended.
            let _ = orders.send(Stop);
        }
        self.ended().await
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut command: Command,
    started: oneshot::Sender<io::Result<u32>>,
    orders: &mpsc::Receiver<Stop>,
    end: &watch::Sender<Option<String>>,
) {
    let status = match command.spawn() {
        Ok(mut child) => {
            // A closed channel means that the caller gave up, and has dropped the sender of orders, too.
            let _ = started.send(Ok(child.id()));
            watch_over(&mut child, orders)
        }
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let text = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    end.send_replace(Some(text));
}

fn watch_over(child: &mut Child, orders: &mpsc::Receiver<Stop>) -> io::Result<ExitStatus> {
    loop {
        match orders.recv_timeout(POLL) {
            Ok(Stop) => return terminate(child),
            Err(RecvTimeoutError::Disconnected) => {
                child.kill()?;
                return child.wait();
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
            }
        }
    }
}

fn terminate(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let deadline = Instant::now() + GRACE;
    // The child is not reaped yet, so the process id is still its own.
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL_STOPPING);
    }
    child.kill()?;
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_noticed() {
        let child = Supervisor::start(shell("exit 3")).await.unwrap();
        assert_eq!(child.ended().await, "exit status: 3");
        assert_eq!(child.status().as_deref(), Some("exit status: 3"));
    }

    #[tokio::test]
    async fn a_child_is_asked_to_stop_first() {
        let child = Supervisor::start(shell(
            "trap 'exit 7' TERM; echo; while :; do sleep 0.01; done",
        ))
        .await
        .unwrap();
        let status = child.stop().await;
        // Before the shell has set its trap, the signal ends it.
        assert!(
            status == "exit status: 7" || status.starts_with("signal: 15"),
            "{status}"
        );
    }

    #[tokio::test]
    async fn a_dropped_child_is_gone() {
        let child = Supervisor::start(shell("trap '' TERM; exec sleep 1000"))
            .await
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.pid()).unwrap());
        drop(child);
        assert!(kill(pid, None).is_err());
    }

    #[tokio::test]
    async fn a_missing_program_is_an_error() {
        assert!(
            Supervisor::start(Command::new("/nowhere/nats-server"))
                .await
                .is_err()
        );
    }
}
