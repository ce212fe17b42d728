//! One nats-server of a cluster: its configuration and its process.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use keyroll_server::nats::{Endpoint, ServerConfig, Trust};

use super::Cluster;
use crate::harness::process::Process;
use crate::harness::wait::until;
use crate::harness::{Home, programs, tied};

/// A nats-server with fixed addresses. It is killed when dropped.
pub(super) struct NatsServer {
    pub(super) name: String,
    /// While this file exists, the server cannot sync what it writes.
    broken: Option<PathBuf>,
    pub(super) listen: SocketAddr,
    pub(super) monitoring: SocketAddr,
    config: PathBuf,
    child: Option<Child>,
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // If it has ended already, this only reaps it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl NatsServer {
    /// Writes the configuration of a server that does not run yet.
    ///
    /// The other servers reach it at `route`, and it reaches them at `others`.
    pub(super) fn new(
        number: usize,
        (home, trust): (&Home, &Trust),
        (route, others): (SocketAddr, &[SocketAddr]),
        breakable: bool,
    ) -> Self {
        let [listen, monitoring] = free_addresses();
        let server = Self {
            name: format!("server-{number}"),
            broken: breakable.then(|| home.scratch().join("server.broken")),
            listen,
            monitoring,
            config: home.scratch().join(format!("server-{number}.conf")),
            child: None,
        };
        let text = server.config_text(home, trust);
        fs::write(&server.config, clustered(text, route, others)).expect("written");
        server
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was killed.
    pub(super) fn process(&self) -> Process {
        let child = self.child.as_ref().expect("it runs");
        Process { pid: child.id() }
    }

    /// Whether it was started and not killed since.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn config_text(&self, home: &Home, trust: &Trust) -> String {
        let config = ServerConfig {
            server_name: self.name.clone(),
            data_dir: home.scratch().join(&self.name),
            endpoint: Endpoint::Fixed {
                listen: self.listen,
                monitoring: self.monitoring,
                tls: None,
            },
            cluster: None,
            trust: trust.clone(),
        };
        config.render().expect("a configuration")
    }

    pub(super) fn start(&mut self) {
        let log = self.config.with_extension("log");
        let log = OpenOptions::new().create(true).append(true).open(log);
        let log = log.expect("a log file");
        let mut command = match &self.broken {
            None => tied::command(programs::nats_server(), &self.config),
            Some(broken) => {
                let mut words = programs::failing_syncs(broken);
                words.extend([programs::nats_server().into(), "-c".into()]);
                words.push(self.config.clone().into());
                tied::command_line(&words)
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log);
        let mut child = tied::start(command);
        until(&format!("{} to listen", self.name), || {
            let ended = child.try_wait().expect("its status");
            assert!(ended.is_none(), "{} has ended: {ended:?}", self.name);
            TcpStream::connect(self.listen).ok()
        });
        self.child = Some(child);
    }
}

impl Cluster {
    /// A server's process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn server(&self, server: usize) -> Process {
        self.servers[server].process()
    }

    /// Kills a nats-server.
    pub fn kill_server(&mut self, server: usize) {
        let server = &mut self.servers[server];
        if let Some(mut child) = server.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// Starts a nats-server again on the files that it left.
    pub fn restart_server(&mut self, server: usize) {
        self.servers[server].start();
    }

    /// Changes a server's configuration, which is read at its next start.
    ///
    /// # Panics
    /// When that has no effect.
    pub fn configure_server(&self, server: usize, change: impl FnOnce(&str) -> String) {
        let path = &self.servers[server].config;
        let text = fs::read_to_string(path).expect("a configuration");
        let changed = change(&text);
        assert_ne!(changed, text, "nothing was changed");
        fs::write(path, changed).expect("written");
    }
}

/// The first of the ports for servers that restart at the same address, and how many there are. They
/// lie below those that the system gives to connections and to port 0, so nobody takes one between
/// its choice and its use, or while its server is killed.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

/// Addresses that no other test of this process uses and that are free.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    static CHOSEN: AtomicU32 = AtomicU32::new(0);
    [(); N].map(|()| {
        loop {
            // Other processes of tests begin elsewhere.
            let number = CHOSEN.fetch_add(1, Ordering::Relaxed);
            let number = number.wrapping_add(std::process::id().wrapping_mul(211));
            let port = FIRST_PORT + u16::try_from(number % u32::from(PORTS)).expect("a port");
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if TcpListener::bind(address).is_ok() {
                return address;
            }
        }
    })
}

/// Lets a server reach the others over the given wires only: the addresses that servers advertise
/// to each other lead nowhere.
fn clustered(text: String, listen: SocketAddr, others: &[SocketAddr]) -> String {
    if others.is_empty() {
        return text;
    }
    let others = others.iter().map(|route| format!("\"nats://{route}\""));
    let others = others.collect::<Vec<_>>().join(", ");
    format!(
        "{text}\ncluster {{\n  name: \"tests\"\n  listen: \"{listen}\"\n  advertise: \"127.0.0.1:1\"\n  routes: [{others}]\n}}\n"
    )
}
