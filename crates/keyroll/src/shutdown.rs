//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Failure;

/// Receives the signals that stop a long-running command. Once this exists, neither signal ends the process
/// by itself, so create it before the program reports that it is ready.
pub(crate) struct ShutdownSignals {
    pub(crate) interrupt: Signal,
    pub(crate) terminate: Signal,
}

impl ShutdownSignals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::local(format!("signals cannot be received: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits for either signal.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
