//! nats-servers with fixed addresses and any number of services on them, as an operator runs them.

mod disks;
mod doors;
mod server;
mod service;

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings};
use keyroll_core::{Identity, LedgerId};
use keyroll_nats::Creds;
use keyroll_server::nats::OperatorKeys;
use nix::sys::signal::Signal;

use self::doors::Doors;
use self::server::NatsServer;
pub use self::server::free_addresses;
pub use self::service::Service;
use super::plain::plain_connection;
use super::wait::{until, within};
use super::wires::{Wire, Wires};
use super::{Home, Run, programs, raw, skipped};

/// Some nats-servers and a ledger on them, all killed on drop.
pub struct Cluster {
    home: Home,
    doors: Doors,
    servers: Vec<NatsServer>,
    ledger: LedgerId,
    /// The wires between the servers.
    wires: Wires,
    /// Whether fsync can be made to fail.
    breakable: bool,
}

impl Cluster {
    /// Starts `servers` nats-servers (1, or 3 that keep every stream three times) and makes the
    /// ledger. Each of `doors` is an account of clients: requests through a door reach only the
    /// services at that door.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn start(servers: usize, doors: usize) -> Self {
        Self::begin_start(servers, doors, false)
    }

    /// One nats-server, and services, on a disk that can be broken with [`Cluster::break_disk`].
    /// `None` where the kernel does not allow that; then the test is skipped.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_breakable() -> Option<Self> {
        if !programs::can_fail_syncs() {
            skipped("it needs a kernel that lets a process answer for fsync");
            return None;
        }
        Some(Self::begin_start(1, 1, true))
    }

    fn begin_start(servers: usize, doors: usize, breakable: bool) -> Self {
        let home = Home::new();
        let doors = Doors::new(&home, doors);
        let routes: Vec<SocketAddr> = (0..servers).map(|_| free_addresses::<1>()[0]).collect();
        let wires = Wires::between(&routes);
        let started = (0..servers).map(|number| {
            let others = wires.of(number);
            let route = (routes[number], &others[..]);
            NatsServer::new(number, (&home, &doors.trust), route, breakable)
        });
        let mut cluster = Self {
            servers: started.collect(),
            home,
            doors,
            ledger: LedgerId([0; 32]),
            wires,
            breakable,
        };
        for server in &mut cluster.servers {
            server.start();
        }
        cluster.ledger = cluster.init();
        cluster
    }

    /// Makes streams and keys, once the servers have found each other.
    fn init(&self) -> LedgerId {
        let replicas = self.servers.len().to_string();
        let creds = |name: &str| self.doors.file(name).display().to_string();
        let mut words = vec![
            "--json".to_owned(),
            "init".to_owned(),
            "--operator-creds".to_owned(),
            creds("operator"),
            "--service-creds".to_owned(),
            creds("service"),
            "--responder-creds".to_owned(),
            creds("responder"),
            "--console-creds".to_owned(),
            creds("console"),
            "--clients-seed".to_owned(),
            self.doors.seed().display().to_string(),
            "--replicas".to_owned(),
            replicas,
        ];
        for server in &self.servers {
            words.extend([
                "--monitoring".to_owned(),
                format!("http://{}", server.monitoring),
            ]);
        }
        let made = until("the ledger to be made", || {
            let run = self.keyroll(&words).run();
            run.is_code(0).then_some(run)
        });
        let made = made.json()["ledger"].as_str().expect("an id").to_owned();
        made.parse().expect("a ledger id")
    }

    /// The home of the first service and of the owner of workspace `demo`.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The ledger's id.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The key of the operator and owner.
    pub fn owner(&self) -> SigningKey {
        raw::identity(&self.home.data().join("identity.pem"))
    }

    /// The owner's public key.
    pub fn owner_identity(&self) -> Identity {
        Identity(self.owner().verifying_key().to_bytes())
    }

    /// The URL of one of the servers.
    pub fn nats_url(&self, server: usize) -> String {
        format!("nats://{}", self.servers[server].listen)
    }

    /// The URL of some of the servers.
    pub fn nats_urls(&self, servers: &[usize]) -> String {
        let urls: Vec<String> = servers.iter().map(|at| self.nats_url(*at)).collect();
        urls.join(",")
    }

    /// The file with the NATS credentials of clients at a door.
    pub fn client_creds(&self, door: usize) -> PathBuf {
        self.doors.tester(door)
    }

    /// The file with the NATS credentials of a service at a door.
    pub fn responder_creds(&self, door: usize) -> PathBuf {
        self.doors.responder(door)
    }

    /// The file with the NATS credentials of `service`, `operator` or `console`.
    pub fn creds(&self, user: &str) -> PathBuf {
        self.doors.file(user)
    }

    /// The keys of all NATS accounts and users.
    pub fn nats_operator(&self) -> &OperatorKeys {
        &self.doors.operator_keys
    }

    /// A connection without any library as the client at the first door, and its user.
    ///
    /// # Panics
    /// When it cannot connect.
    pub fn plain_connection(&self) -> (TcpStream, String) {
        let creds = Creds::load(&self.client_creds(0)).expect("credentials");
        let connection = plain_connection(&self.nats_url(0), &creds);
        (connection, creds.name().to_owned())
    }

    /// A client as the owner. It remembers checkpoints in memory only.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client(&self, door: usize, server: usize) -> Client {
        self.client_as(self.owner(), door, server).await
    }

    /// A client with any identity.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client_as(&self, identity: SigningKey, door: usize, server: usize) -> Client {
        let settings = Settings {
            nats_url: self.nats_url(server),
            nats_creds: Some(self.client_creds(door)),
            nats_ca: None,
            identity: identity.into(),
            ledger: Some(self.ledger),
            home: None,
        };
        within("a client", Box::pin(Client::connect(settings)))
            .await
            .expect("connected")
    }

    /// A command of the owner, at the first door.
    pub fn keyroll<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Run {
        Run::keyroll(words)
            .env("KEYROLL_HOME", self.home.data())
            .env("KEYROLL_NATS_URL", self.nats_url(0))
            .env("KEYROLL_NATS_CREDS", self.client_creds(0))
            .env("KEYROLL_WORKSPACE", "demo")
            .in_directory(self.home.scratch())
    }

    /// Sets the wires between a server and the others. Its clients and services keep theirs.
    pub fn wire(&self, server: usize, wire: Wire) {
        self.wires.make(server, wire);
    }

    /// The monitoring address of a server.
    pub fn monitoring_url(&self, server: usize) -> String {
        format!("http://{}", self.servers[server].monitoring)
    }

    /// A connection to the streams' account as the operator.
    pub async fn operator(&self, server: usize) -> async_nats::Client {
        let options = self.doors.users.operator.connect_options();
        let address = self.nats_url(server);
        let options = options.custom_inbox_prefix("_INBOX_operator");
        within("a connection", Box::pin(options.connect(address)))
            .await
            .expect("connected")
    }

    /// The server that leads the log, where there are several.
    pub async fn leader_of_log(&self, asked: usize) -> Option<usize> {
        let context = async_nats::jetstream::new(self.operator(asked).await);
        let mut stream = context.get_stream("KEYROLL_LOG").await.ok()?;
        let leader = stream.info().await.ok()?.cluster.clone()?.leader?;
        self.servers.iter().position(|server| server.name == leader)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &self.servers {
            // SIGKILL also ends a stopped process; it is continued for its log.
            if server.is_running() && server.process().is_stopped() {
                server.process().signal(Signal::SIGCONT);
            }
        }
    }
}
