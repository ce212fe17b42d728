//! Processes, as `/proc` shows them.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::until;

/// A running process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
}

struct Stat {
    name: String,
    state: char,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    // `pid (name) state parent …`, and the name may hold spaces and brackets.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat {
        name: name.to_owned(),
        state,
        parent: fields.next()?.parse().ok()?,
    })
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc")
        .expect("/proc can be listed")
        .flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

impl Process {
    /// The child of `parent` that is called `name`.
    pub fn child(parent: u32, name: &str) -> Option<Self> {
        let is_it =
            |pid: &u32| stat(*pid).is_some_and(|stat| stat.parent == parent && stat.name == name);
        pids().into_iter().find(is_it).map(|pid| Self { pid })
    }

    /// Whether it runs. A process that ended and was not reaped does not run.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it is stopped by a signal.
    pub fn is_stopped(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.state == 'T')
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// When it is gone.
    pub fn resident(self) -> u64 {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(path).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1_024 * kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(self, signal: Signal) {
        kill(self.id(), signal).unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.pid));
    }

    /// Waits until it is gone.
    pub fn wait_gone(self) {
        until(&format!("the end of process {}", self.pid), || {
            (!self.is_alive()).then_some(())
        });
    }

    fn id(self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).expect("a process id"))
    }
}

/// A process that is stopped until this is dropped.
#[derive(Debug)]
pub struct Frozen(Process);

impl Frozen {
    /// Stops a process, and returns when it has stopped.
    pub fn new(process: Process) -> Self {
        process.signal(Signal::SIGSTOP);
        let frozen = Self(process);
        until("the process to stop", || process.is_stopped().then_some(()));
        frozen
    }

    /// Lets it continue.
    pub fn thaw(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill(self.0.id(), Signal::SIGCONT);
    }
}

/// Command line and environment of every process that belongs to a directory: one that names the
/// directory in its command line or environment, or works in it.
pub fn words_of_processes(directory: &str) -> Vec<(u32, Vec<u8>)> {
    let words = |pid: u32| {
        let mut words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        words.extend(fs::read(format!("/proc/{pid}/environ")).unwrap_or_default());
        let works_in: PathBuf = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let names = words
            .windows(directory.len())
            .any(|part| part == directory.as_bytes());
        (names || works_in.starts_with(directory)).then_some((pid, words))
    };
    pids().into_iter().filter_map(words).collect()
}
