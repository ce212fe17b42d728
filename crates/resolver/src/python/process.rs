//! The child process of a run: its channel, its output, its end.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::launcher::LaunchConfig;
use super::options::PythonOptions;
use crate::error::{Code, ResolveError};

/// The largest output of a block, and the largest result, in bytes.
pub(super) const MAX_OUTPUT: usize = 10 * 1024 * 1024;

/// The message with a result is a few bytes longer.
const MAX_MESSAGE: usize = MAX_OUTPUT + 64;

/// A message of the child. The block itself may write one, so nothing in it is trusted.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChildMessage {
    /// The sandbox, or the interpreter in it, is not available.
    Sandbox(String),
    /// The interpreter cannot read the document.
    Document(String),
    /// The code is not valid Python: error, line, column.
    Syntax(String, usize, usize),
    /// The names in the code.
    Analysis(PythonReferences),
    /// The block asks for a secret.
    Get(String),
    /// The block has ended well. The result is parsed later.
    Result(Box<RawValue>),
    /// The block has ended with an error. The code is not empty if a refused secret is the reason.
    Failed(String),
}

#[derive(Deserialize)]
pub(super) struct PythonReferences {
    /// Name, line, column.
    pub(super) references: Vec<(String, usize, usize)>,
    pub(super) dynamic: Vec<(usize, usize)>,
}

/// A running child. Killed when dropped, with everything in its process group.
pub(super) struct ChildProcess {
    child: Child,
}

/// The parent's ends of the channel and the pipes.
pub(super) struct ChildIo {
    pub(super) channel: Channel,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl ChildProcess {
    pub(super) fn start(options: &PythonOptions) -> Result<(Self, ChildIo), ResolveError> {
        let failed = |error: std::io::Error| {
            ResolveError::new(
                Code::SandboxUnavailable,
                format!("cannot start a process for the block: {error}"),
            )
        };
        let (own, other) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        own.set_nonblocking(true).map_err(failed)?;
        let channel = Channel(UnixStream::from_std(own).map_err(failed)?);
        let config = LaunchConfig {
            parent: std::process::id(),
            interpreter: options.interpreter.program.clone(),
            read: options.interpreter.read.clone(),
            sandbox: options.sandbox,
            network: options.network,
            seconds: options.timeout.as_secs() + 1,
        };
        let config = serde_json::to_string(&config).map_err(|error| failed(error.into()))?;
        let mut child = Command::new(&options.launcher.program)
            .args(&options.launcher.args_prefix)
            .arg(config)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Self { child };
        match (stdout, stderr) {
            (Some(stdout), Some(stderr)) => Ok((
                process,
                ChildIo {
                    channel,
                    stdout,
                    stderr,
                },
            )),
            _ => Err(failed(std::io::Error::other("no pipes"))),
        }
    }

    /// Kills the child, even if it has moved to another process group, and the group that it was started in.
    /// Without a sandbox that group may hold other processes. The child is not reaped yet, so no other process
    /// has its id.
    pub(super) fn kill(&mut self) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
            let _ = self.child.start_kill();
        }
    }

    /// Waits for the child and returns how it ended, in words.
    pub(super) async fn wait(&mut self) -> String {
        let status = self.child.wait().await;
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Messages to and from the child.
pub(super) struct Channel(UnixStream);

impl Channel {
    pub(super) async fn send(&mut self, message: &Value) -> std::io::Result<()> {
        let mut bytes = Zeroizing::new(vec![0; 4]);
        serde_json::to_writer(&mut *bytes, message)?;
        let len = u32::try_from(bytes.len() - 4).map_err(std::io::Error::other)?;
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        self.0.write_all(&bytes).await
    }

    /// The next message. None if the child has closed its end, or the message has an unknown form.
    pub(super) async fn receive(&mut self) -> Result<Option<ChildMessage>, ResolveError> {
        let Ok(len) = self.0.read_u32().await else {
            return Ok(None);
        };
        let len = len as usize;
        if len > MAX_MESSAGE {
            return Err(over_limit("the result is larger than 10 MiB: return less"));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        // The buffer grows with the bytes that arrive, not with the announced length.
        let read = (&mut self.0).take(len as u64).read_to_end(&mut bytes).await;
        if read.is_err() || bytes.len() < len {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// Reads to the end, or until both streams together are too large. Once the child has `ended`, it reads only
/// what is left in the pipe: without a sandbox another process may hold the pipe open.
pub(super) async fn read_output(
    mut stream: impl AsyncRead + AsFd + Unpin,
    total: &AtomicUsize,
    mut ended: watch::Receiver<bool>,
) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut part = Zeroizing::new(vec![0; 64 * 1024]);
    loop {
        let count = tokio::select! {
            count = stream.read(&mut part) => count.unwrap_or(0),
            // The pipe does not block.
            _ = ended.wait_for(|ended| *ended) => nix::unistd::read(&stream, &mut part).unwrap_or(0),
        };
        if count == 0 {
            return Ok(bytes);
        }
        if total.fetch_add(count, Ordering::Relaxed) + count > MAX_OUTPUT {
            return Err(over_limit("the block printed more than 10 MiB: print less"));
        }
        bytes.extend_from_slice(&part[..count]);
    }
}

fn over_limit(detail: &str) -> ResolveError {
    ResolveError::new(Code::OutputLimit, detail)
}
