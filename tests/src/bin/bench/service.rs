//! `keyroll dev` as a process, and connections to it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings};
use keyroll_server::keys::read_signing_key;
use keyroll_server::nats::OperatorKeys;
use keyroll_server::nats::permissions::OPERATOR_INBOX;
use keyroll_tests::harness::process::Process;
use keyroll_tests::harness::programs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{Failed, machine};

/// Building the read model of the longest log takes a minute or two on a slow machine.
const READY: Duration = Duration::from_secs(900);
/// A service that is asked to stop does so in a second.
const STOP: Duration = Duration::from_secs(60);

/// The release build of `keyroll`.
pub(crate) fn keyroll() -> Result<PathBuf, Failed> {
    let path = match std::env::var_os("KEYROLL_BIN") {
        Some(named) => PathBuf::from(named),
        None => std::env::current_exe()?.with_file_name("keyroll"),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "there is no keyroll at {}: run `just bench`",
        path.display()
    )
    .into())
}

/// The NATS credentials of the callers of a ledger in this directory.
pub(crate) fn creds(data: &Path) -> PathBuf {
    data.join("nats.creds")
}

/// A running ledger. When dropped, it is killed with its nats-server.
pub(crate) struct Service {
    child: Child,
    nats: Process,
    ready: Value,
    data: PathBuf,
    /// The time from its start until it was ready.
    pub(crate) started_in: Duration,
    // Held open: a process that writes to a closed pipe is killed.
    _stdout: BufReader<ChildStdout>,
}

/// Processor time so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Computed {
    pub(crate) service: Duration,
    pub(crate) nats: Duration,
}

impl Service {
    /// Starts one in a directory, new or not, and waits until it is ready.
    pub(crate) fn start(data: &Path) -> Result<Self, Failed> {
        let begun = Instant::now();
        let said = data.with_extension("stderr");
        let mut child = Command::new(keyroll()?)
            .args(["dev", "--json", "--no-open", "--no-console", "--data-dir"])
            .arg(data)
            .env("KEYROLL_NATS_BIN", programs::nats_server())
            .env("KEYROLL_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&said)?)
            .spawn()?;
        let line = first_line(child.stdout.take().ok_or("no stdout")?);
        let started_in = begun.elapsed();
        let ready =
            line.and_then(|(line, stdout)| Some((serde_json::from_str(&line).ok()?, stdout)));
        let (Some((ready, stdout)), Some(nats)) =
            (ready, Process::child(child.id(), "nats-server"))
        else {
            // Reaped, so that no process is left.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("keyroll dev is not ready: {}", fs::read_to_string(said)?).into());
        };
        Ok(Self {
            child,
            nats,
            ready,
            data: data.to_owned(),
            started_in,
            _stdout: stdout,
        })
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> Result<(), Failed> {
        self.end(Signal::SIGTERM)?;
        Ok(())
    }

    /// Kills it; its nats-server is gone as well when this returns.
    pub(crate) fn kill(mut self) -> Result<(), Failed> {
        self.end(Signal::SIGKILL)?;
        // Held by the last thread of nats-server, which may still wait for the disk.
        let lock = fs::File::open(self.data.join("nats-server.lock"))?;
        let end = Instant::now() + STOP;
        while lock.try_lock().is_err() {
            if Instant::now() > end {
                return Err("nats-server does not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<(), Failed> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        let end = Instant::now() + STOP;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err("keyroll dev does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// `nats://HOST:PORT`.
    pub(crate) fn url(&self) -> &str {
        self.ready["nats_url"].as_str().unwrap_or_default()
    }

    /// The key of its owner and operator.
    pub(crate) fn owner(&self) -> Result<SigningKey, Failed> {
        owner(&self.data)
    }

    /// A client as its owner and operator.
    pub(crate) async fn client(&self) -> Result<Client, Failed> {
        let settings = Settings {
            nats_url: self.url().to_owned(),
            nats_creds: Some(creds(&self.data)),
            nats_ca: None,
            identity: self.owner()?.into(),
            ledger: None,
            home: None,
        };
        Ok(Client::connect(settings).await?)
    }

    /// A connection to the streams' account.
    pub(crate) async fn operator(&self) -> Result<async_nats::Client, Failed> {
        let keys = fs::read_to_string(self.data.join("nats-keys.toml"))?;
        let operator = OperatorKeys::parse(&keys)?.users()?.operator;
        Ok(operator
            .connect_options()
            .custom_inbox_prefix(OPERATOR_INBOX)
            .connect(self.url())
            .await?)
    }

    pub(crate) fn computed(&self) -> Computed {
        Computed {
            service: machine::computed(self.child.id()),
            nats: machine::computed(self.nats.pid),
        }
    }

    /// Resident bytes of the service and of its nats-server.
    pub(crate) fn resident(&self) -> (u64, u64) {
        (
            machine::resident(self.child.id()),
            machine::resident(self.nats.pid),
        )
    }

    /// Peak resident bytes of the service.
    pub(crate) fn most_resident(&self) -> u64 {
        machine::most_resident(self.child.id())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A process that has ended is reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The key of the owner and operator of a data directory.
pub(crate) fn owner(data: &Path) -> Result<SigningKey, Failed> {
    Ok(read_signing_key(&data.join("identity.pem"))?)
}

/// Reads the first line, in bounded time; `None` when there is none.
fn first_line(stdout: ChildStdout) -> Option<(String, BufReader<ChildStdout>)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        if reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            // The caller may have given up waiting.
            let _ = sender.send((line, reader));
        }
    });
    let end = Instant::now() + READY;
    while Instant::now() < end && !crate::is_stopping() {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(said) => return Some(said),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        }
    }
    None
}
