//! A listener, and the connections that came through it.

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

pub use crate::connection::Headers;
use crate::connection::{Pages, serve};
use crate::gate::{Admission, Gate, Held};
use crate::limits::Limits;

/// How often connections are looked at that may have waited too long.
const SWEEP: Duration = Duration::from_secs(1);
/// How long nobody is let in after the system could not give a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long requests under way may take after the listener was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// For who comes while everything is being worked on.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 34\r\nretry-after: 1\r\nconnection: close\r\n\r\nToo many requests at this moment.\n";

/// A listener that serves pages until it is stopped or dropped.
pub struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves pages on a listener. `headers` has the last word on the head of every answer.
    pub fn start(listener: TcpListener, pages: Router, limits: Limits, headers: Headers) -> Self {
        let (stop, stopped) = watch::channel(false);
        let pages = Pages {
            router: TowerToHyperService::new(pages),
            headers,
            times: limits.times,
        };
        let open = Open {
            gate: Gate::new(limits),
            connections: JoinSet::new(),
            pages,
            stopped,
        };
        Self {
            stop,
            task: tokio::spawn(open.run(listener)),
        }
    }

    /// Ends it. Requests under way get a moment.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // It fails only where it panicked, and is gone then too.
        let _ = (&mut self.task).await;
    }
}

struct Open {
    gate: Arc<Gate>,
    /// Dropped, all of them are closed.
    connections: JoinSet<()>,
    pages: Pages,
    stopped: watch::Receiver<bool>,
}

impl Open {
    async fn run(mut self, listener: TcpListener) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                () = told(&mut stopped) => break,
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
        // Who is not done by then is cut off.
        let _ = tokio::time::timeout(GRACE, ended).await;
    }

    async fn admit(&mut self, tcp: TcpStream, from: IpAddr) {
        loop {
            match self.gate.admit(from, Instant::now()) {
                Admission::In(held) => return self.begin(tcp, held),
                // Whoever leaves waits for nothing else. Until then nobody else is accepted, so
                // that there is never more than one connection beyond the bound.
                Admission::Soon => drop(self.connections.join_next().await),
                // It is closed whether it takes the words or not.
                Admission::Full => return drop(tcp.into_std().and_then(refuse)),
            }
        }
    }

    fn begin(&mut self, tcp: TcpStream, held: Held) {
        // Answers are small and complete: nothing is gained by waiting for more.
        let _ = tcp.set_nodelay(true);
        let (pages, stopped) = (self.pages.clone(), self.stopped.clone());
        self.connections.spawn(serve(tcp, held, pages, stopped));
        // However fast they come, none that has ended is kept.
        while self.connections.try_join_next().is_some() {}
    }

    /// A connection that was gone before it was accepted is nothing. Without descriptors somebody
    /// has to leave.
    async fn not_accepted(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if !matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            tracing::warn!(%error, "no connection can be accepted");
            self.gate.make_room();
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Says that there is no room, without waiting for anything.
fn refuse(mut tcp: std::net::TcpStream) -> io::Result<()> {
    tcp.write_all(FULL)?;
    tcp.shutdown(Shutdown::Write)?;
    // Closed with bytes unread, the connection is reset, and the words may be lost.
    tcp.read(&mut [0; 4_096]).map(drop)
}

/// Waits until the listener is to stop; an error means that nobody holds the server any more.
pub(crate) async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
