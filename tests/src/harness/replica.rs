//! One running `keyroll serve`.

use std::fs::{self, OpenOptions};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use super::browse::Browse;
use super::dev::first_line;
use super::process::Process;
use super::tied;
use super::wait::until;

/// A service with its own read model. It is killed when dropped.
pub struct Replica {
    child: Child,
    stderr: PathBuf,
    /// `Some` until its first line is read.
    unread: Option<ChildStdout>,
    // Held open: a process that writes to a closed pipe is killed.
    stdout: Option<BufReader<ChildStdout>>,
    /// The first line, once it is read.
    line: String,
    ready: bool,
}

impl Replica {
    pub fn start(
        mut command: Command,
        environment: &[(&'static str, String)],
        stderr: PathBuf,
    ) -> Self {
        let said = OpenOptions::new().create(true).append(true).open(&stderr);
        command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.expect("a file for stderr"));
        let mut child = tied::start(command);
        Self {
            unread: child.stdout.take(),
            child,
            stderr,
            stdout: None,
            line: String::new(),
            ready: false,
        }
    }

    /// Waits until it reports that it is ready, or has ended.
    pub fn is_ready(&mut self) -> bool {
        if let Some(stdout) = self.unread.take() {
            let (line, rest) = first_line(stdout);
            self.ready = line.contains("\"ready\"");
            self.stdout = Some(rest);
            self.line = line;
        }
        self.ready
    }

    /// The line that it printed when it was ready.
    ///
    /// # Panics
    /// When it has not printed one.
    pub fn ready_line(&self) -> serde_json::Value {
        serde_json::from_str(&self.line).expect("a line of JSON")
    }

    /// The monitoring endpoint of a service that was started with `--metrics`.
    ///
    /// # Panics
    /// When it was not.
    pub fn monitoring(&self) -> Browse {
        let line = self.ready_line();
        let url = line["metrics_url"].as_str();
        let origin = url.and_then(|url| url.strip_suffix("/metrics"));
        Browse::new(origin.expect("a metrics URL"))
    }

    /// This process.
    pub fn process(&self) -> Process {
        Process {
            pid: self.child.id(),
        }
    }

    /// Its exit status, if it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its status")
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        until("the end of keyroll serve", || self.has_ended())
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.process().signal(Signal::SIGKILL);
        self.ended();
    }

    /// Its resident memory in bytes, as the system counts it.
    pub fn resident(&self) -> u64 {
        self.process().resident()
    }

    /// The stderr of this process and of its predecessors.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("stderr")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // A process that has ended is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.stdout.take());
    }
}
