//! The machine, and the resources that its processes use, as `/proc` shows them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keyroll_tests::harness::programs;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};

use crate::Failed;

/// Times in `/proc/<pid>/stat` are in hundredths of a second on every Linux: `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// Cores that threads may run on.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The machine's properties that the figures depend on.
pub(crate) fn describe(scratch: &Path) -> Result<Value, Failed> {
    let version = Command::new(programs::nats_server())
        .arg("--version")
        .output()?
        .stdout;
    let version = String::from_utf8_lossy(&version)
        .trim()
        .trim_start_matches("nats-server: v")
        .to_owned();
    Ok(json!({
        "cores": cores(),
        "cpu": field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "memory_kb": number("/proc/meminfo", "MemTotal"),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "file_system": file_system(scratch),
        "nats_server": version,
        "sync_interval": "always",
        "keyroll": env!("CARGO_PKG_VERSION"),
        "load_average": load_average(),
    }))
}

/// A directory is on the mount with the longest path that the directory's path starts with.
fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holds = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        directory.starts_with(place).then_some((place.len(), kind))
    });
    holds
        .max_by_key(|(length, _)| *length)
        .map_or_else(String::new, |(_, kind)| kind.to_owned())
}

/// Measures how much of the machine other processes use meanwhile: that spoils the figures, and not
/// all of them equally.
pub(crate) struct Watch {
    begun: Instant,
    busy: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            begun: Instant::now(),
            busy: busy(),
        }
    }

    /// Cores kept busy, on average, by processes other than this one and those it started. Exact
    /// once all started processes have ended.
    pub(crate) fn others(&self) -> Result<f64, Failed> {
        let mut own = 0;
        for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
            let used = getrusage(who)?;
            own += used.user_time().num_milliseconds() + used.system_time().num_milliseconds();
        }
        let own = Duration::from_millis(own.try_into()?);
        let others = busy().saturating_sub(self.busy).saturating_sub(own);
        Ok(others.as_secs_f64() / self.begun.elapsed().as_secs_f64())
    }
}

/// Time that all cores have computed since the machine started: user, nice and system time.
fn busy() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times = text.split_whitespace().skip(1).take(3);
    TICK * times.filter_map(|word| word.parse::<u32>().ok()).sum()
}

/// Processes that wanted a core in the last minute: processes other than ours spoil the figures.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(f64::NAN)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn number(file: &str, name: &str) -> Option<u64> {
    field(file, name)?.split(' ').next()?.parse().ok()
}

/// Bytes of a process that are in memory.
pub(crate) fn resident(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/status"), "VmRSS").unwrap_or(0) * 1_024
}

/// Peak resident bytes of a process; 0 once it has ended.
pub(crate) fn most_resident(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/status"), "VmHWM").unwrap_or(0) * 1_024
}

/// Processor time of a process so far.
pub(crate) fn computed(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state …`: user and system time are the 12th and 13th after the name.
    let ticks = text.rsplit_once(')').map_or(0, |(_, rest)| {
        let times = rest.split_whitespace().skip(11).take(2);
        times.filter_map(|word| word.parse::<u32>().ok()).sum()
    });
    TICK * ticks
}

/// Bytes of the files below a directory.
pub(crate) fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
