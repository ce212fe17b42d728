//! A listener and its connections.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::connection::{Handler, SetHeaders, serve};
use crate::gate::{Admission, Gate, Slot};
use crate::limits::Limits;
use crate::stop::stopped;

/// How often overdue connections are closed.
const SWEEP: Duration = Duration::from_secs(1);
/// How long no connection is accepted after the system could not provide one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long requests under way may take after the listener stops.
const GRACE: Duration = Duration::from_secs(2);

/// The answer when the server is working on all connections.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 34\r\nretry-after: 1\r\nconnection: close\r\n\r\nToo many requests at this moment.\n";

/// A listener that serves requests until it is stopped or dropped.
pub struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router on a listener. `set_headers` runs last on every response.
    pub fn start(
        listener: TcpListener,
        router: Router,
        limits: Limits,
        set_headers: SetHeaders,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let handler = Handler {
            router: TowerToHyperService::new(router),
            set_headers,
            timeouts: limits.timeouts,
        };
        let listening = Listening {
            gate: Gate::new(limits),
            connections: JoinSet::new(),
            handler,
            stop: stopped,
        };
        Self {
            stop,
            task: tokio::spawn(listening.run(listener)),
        }
    }

    /// Stops it. Requests under way get a moment to finish.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // It fails only if the task panicked, and has then ended, too.
        let _ = (&mut self.task).await;
    }
}

struct Listening {
    gate: Arc<Gate>,
    /// Dropping it closes all of them.
    connections: JoinSet<()>,
    handler: Handler,
    stop: watch::Receiver<bool>,
}

impl Listening {
    async fn run(mut self, listener: TcpListener) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = listener.accept() => match accepted {
                    Ok((tcp, from)) => self.admit(tcp, from.ip()).await,
                    Err(error) => self.not_accepted(&error).await,
                },
                Some(_) = self.connections.join_next() => {}
                _ = sweep.tick(), if !self.connections.is_empty() => self.gate.sweep(Instant::now()),
            }
        }
        drop(listener);
        let ended = async { while self.connections.join_next().await.is_some() {} };
        // Requests that take longer are cut off.
        let _ = tokio::time::timeout(GRACE, ended).await;
    }

    async fn admit(&mut self, tcp: TcpStream, from: IpAddr) {
        loop {
            match self.gate.admit(from, Instant::now()) {
                Admission::Admitted(slot) => return self.begin(tcp, slot),
                // The closing connection ends at once. Until then no other is accepted, so that there
                // is never more than one connection beyond the bound.
                Admission::Retry => drop(self.connections.join_next().await),
                // It is closed, whether the client reads the answer or not.
                Admission::Full => return drop(tcp.into_std().and_then(refuse)),
            }
        }
    }

    fn begin(&mut self, tcp: TcpStream, slot: Slot) {
        // Responses are small and complete, so there is nothing to wait for.
        let _ = tcp.set_nodelay(true);
        let (handler, stop) = (self.handler.clone(), self.stop.clone());
        self.connections.spawn(serve(tcp, slot, handler, stop));
        // Ended connections are removed here, too, however fast new ones arrive.
        while self.connections.try_join_next().is_some() {}
    }

    /// A connection that failed before it was accepted needs nothing. Without descriptors, one must
    /// close.
    async fn not_accepted(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if !matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            tracing::warn!(%error, "cannot accept a connection");
            self.gate.make_room();
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends [`FULL`] without waiting.
fn refuse(mut tcp: std::net::TcpStream) -> io::Result<()> {
    tcp.write_all(FULL)?;
    tcp.shutdown(Shutdown::Write)?;
    // A socket that is closed with unread bytes is reset, and the answer may be lost.
    tcp.read(&mut [0; 4_096]).map(drop)
}

#[cfg(test)]
mod tests;
