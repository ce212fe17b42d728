//! Starts the private nats-server, checks that it is the right one, and stops it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use keyroll_nats::Creds;
use serde::Deserialize;

use super::launcher::Launcher;
use super::supervisor::Supervisor;
use crate::nats::checks::{CheckError, check_version};
use crate::nats::config::{ConfigError, Endpoint, ServerConfig};
use crate::nats::permissions::OPERATOR_INBOX;

/// Timeout of a start. One takes a tenth of a second, more with a large log on a slow disk.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);
/// How long a killed nats-server, with all its threads, may take to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// The end of the server's log, for errors.
const LOG_TAIL_BYTES: u64 = 4096;
const LOG_TAIL_LINES: usize = 12;
/// The largest ports file. It lists a few addresses.
const PORTS_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("a private nats-server needs a private endpoint, not fixed addresses")]
    NotPrivate,
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(
        "{path} is in use by another nats-server: stop the other `keyroll dev`, or use another data \
         directory",
        path = path.display()
    )]
    InUse { path: PathBuf },
    #[error("cannot start {program}: {source}", program = program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("nats-server ended at once ({status}). Its log:\n{log}")]
    Ended { status: String, log: String },
    #[error("nats-server was not ready within {} s ({reason}). Its log:\n{log}", READY_TIMEOUT.as_secs())]
    NotReady { reason: String, log: String },
    #[error(
        "{url} is nats-server {found:?}, not {expected:?}, which was just started. Start again"
    )]
    Stranger {
        url: String,
        expected: String,
        found: String,
    },
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// A running private nats-server. Dropping it kills the server.
pub struct DevServer {
    supervisor: Supervisor,
    nats_url: String,
    monitoring_url: String,
}

impl DevServer {
    /// Starts nats-server on free loopback ports and waits until it answers `operator` under the name in
    /// `config`.
    /// Without a launcher the server outlives a killed parent, which only tests may want.
    ///
    /// # Errors
    ///
    /// After at most 10 s, with the last lines of the server's log. No process is left running.
    pub async fn start(
        nats_bin: &Path,
        launcher: Option<&Launcher>,
        config: &ServerConfig,
        operator: &Creds,
    ) -> Result<Self, DevError> {
        let Endpoint::Private { run_dir } = &config.endpoint else {
            return Err(DevError::NotPrivate);
        };
        let run = RunDir::prepare(run_dir, &config.render()?)?;
        let lock = lock(&config.data_dir).await?;
        let command = run.command(nats_bin, launcher, lock)?;
        let supervisor = Supervisor::start(command)
            .await
            .map_err(|source| DevError::Spawn {
                program: launcher
                    .map_or(nats_bin, |launcher| &launcher.program)
                    .into(),
                source,
            })?;
        let ready = tokio::time::timeout(
            READY_TIMEOUT,
            until_ready(&run, &supervisor, (config, operator)),
        );
        let ports = ready.await.map_err(|_elapsed| DevError::NotReady {
            reason: "it neither failed nor answered".to_owned(),
            log: run.log_tail(),
        })??;
        Ok(Self {
            supervisor,
            nats_url: ports.nats,
            monitoring_url: ports.monitoring,
        })
    }

    /// `nats://127.0.0.1:PORT`, without credentials.
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// `http://127.0.0.1:PORT`.
    pub fn monitoring_url(&self) -> &str {
        &self.monitoring_url
    }

    /// The process id of nats-server itself.
    pub fn pid(&self) -> u32 {
        self.supervisor.pid()
    }

    /// Waits until the server has ended. Returns its status (`exit status: 1`).
    pub async fn ended(&self) -> String {
        self.supervisor.ended().await
    }

    /// Asks the server to stop, and kills it after 5 s. Returns its status.
    pub async fn stop(self) -> String {
        self.supervisor.stop().await
    }
}

/// The directory with the configuration, ports file and logs of one run.
struct RunDir {
    path: PathBuf,
}

#[derive(Deserialize)]
struct PortsFile {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

struct Ports {
    nats: String,
    monitoring: String,
}

impl RunDir {
    /// Only its owner may read the directory: the configuration contains passwords.
    fn prepare(path: &Path, config: &str) -> Result<Self, DevError> {
        private_directory(path)?;
        let run = Self {
            path: path.to_owned(),
        };
        // An earlier run's ports file would be mistaken for this one's if a process id is reused.
        for entry in fs::read_dir(path).map_err(in_file(path))? {
            let entry = entry.map_err(in_file(path))?.path();
            if entry
                .extension()
                .is_some_and(|extension| extension == "ports")
            {
                fs::remove_file(&entry).map_err(in_file(&entry))?;
            }
        }
        write_private(&run.config_path(), config.as_bytes())?;
        write_private(&run.stderr_path(), b"")?;
        Ok(run)
    }

    fn config_path(&self) -> PathBuf {
        self.path.join("nats-server.conf")
    }

    /// Output before the log is open, such as configuration errors.
    fn stderr_path(&self) -> PathBuf {
        self.path.join("nats-server.err")
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("nats-server.log")
    }

    fn command(
        &self,
        nats_bin: &Path,
        launcher: Option<&Launcher>,
        lock: File,
    ) -> Result<Command, DevError> {
        let config = self.config_path();
        let stderr = self.stderr_path();
        let stderr = OpenOptions::new()
            .append(true)
            .open(&stderr)
            .map_err(in_file(&stderr))?;
        let mut command = if let Some(launcher) = launcher {
            launcher.command(nats_bin, &config)
        } else {
            let mut direct = Command::new(nats_bin);
            direct.arg("-c").arg(&config);
            direct
        };
        command
            // nats-server reads no input, so its stdin can hold the lock. It keeps the lock as long as
            // it runs, even if this process ends first.
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr))
            // Ctrl-C reaches only this process, which stops the server after its own work.
            .process_group(0);
        Ok(command)
    }

    /// The addresses, once the server has written them. The file's name has its process id.
    fn ports(&self, pid: u32) -> Option<Ports> {
        let suffix = format!("_{pid}.ports");
        let path = fs::read_dir(&self.path)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_str().is_some_and(|text| text.ends_with(&suffix)))?;
        let mut text = String::new();
        File::open(path)
            .ok()?
            .take(PORTS_BYTES_MAX)
            .read_to_string(&mut text)
            .ok()?;
        // A partly written file is not JSON: try again later.
        let ports: PortsFile = serde_json::from_str(&text).ok()?;
        Some(Ports {
            nats: ports.nats.into_iter().next()?,
            monitoring: ports.monitoring.into_iter().next()?,
        })
    }

    fn log_tail(&self) -> String {
        let text: String = [self.stderr_path(), self.log_path()]
            .iter()
            .filter_map(|path| tail(path).ok())
            .collect();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

async fn until_ready(
    run: &RunDir,
    supervisor: &Supervisor,
    (config, operator): (&ServerConfig, &Creds),
) -> Result<Ports, DevError> {
    // Bounded by the caller's timeout.
    let ports = loop {
        if let Some(status) = supervisor.status() {
            return Err(DevError::Ended {
                status,
                log: run.log_tail(),
            });
        }
        if let Some(ports) = run.ports(supervisor.pid()) {
            break ports;
        }
        tokio::time::sleep(READY_POLL).await;
    };
    let client = operator
        .connect_options()
        .custom_inbox_prefix(OPERATOR_INBOX)
        .name("keyroll dev readiness check")
        .connect(&ports.nats)
        .await
        .map_err(|error| DevError::NotReady {
            reason: error.to_string(),
            log: run.log_tail(),
        })?;
    let server = client.server_info();
    if server.server_name != config.server_name {
        return Err(DevError::Stranger {
            url: ports.nats,
            expected: config.server_name.clone(),
            found: server.server_name,
        });
    }
    check_version(&server)?;
    Ok(ports)
}

/// Allows one nats-server per data directory: two would silently write into each other's streams.
async fn lock(data_dir: &Path) -> Result<File, DevError> {
    private_directory(data_dir)?;
    let path = data_dir.join("nats-server.lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(in_file(&path))?;
    // A server that was just killed may not have ended yet.
    let end = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(DevError::InUse {
                    path: data_dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(DevError::File { path, source }),
        }
    }
}

fn private_directory(path: &Path) -> Result<(), DevError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(in_file(path))
}

/// Writes a new file of mode 0600 in place of an old one of any mode.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DevError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_file(path)(error)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(in_file(path))
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> DevError + use<> {
    let path = path.to_owned();
    move |source| DevError::File { path, source }
}
