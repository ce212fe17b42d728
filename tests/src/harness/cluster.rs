//! nats-servers with fixed addresses and any number of services on them, as an operator runs them.

mod disks;
mod server;
mod service;

use std::ffi::OsStr;
use std::net::SocketAddr;

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings};
use keyroll_core::{Identity, LedgerId};
use keyroll_server::nats::{ClientUser, Credential, Users, Workspaces};
use nix::sys::signal::Signal;

use self::server::{NatsServer, free_addresses};
pub use self::service::Service;
use super::wait::{until, within};
use super::wires::{Wire, Wires};
use super::{Home, Run, programs, raw, skipped};

/// The client user; at the second door `tester2`, and so on.
const TESTER: &str = "tester";

/// Some nats-servers and a ledger on them, all killed on drop.
pub struct Cluster {
    home: Home,
    users: Users,
    servers: Vec<NatsServer>,
    ledger: LedgerId,
    /// The wires between the servers.
    wires: Wires,
    /// Whether fsync can be made to fail.
    breakable: bool,
}

fn user(name: &str) -> Credential {
    Credential::generate(name).expect("a user")
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
        let users = Users {
            service: user("service"),
            operator: user("operator"),
            responder: user("responder"),
            clients: vec![ClientUser {
                credential: user(TESTER),
                workspaces: Workspaces::All,
            }],
        };
        let routes: Vec<SocketAddr> = (0..servers).map(|_| free_addresses::<1>()[0]).collect();
        let wires = Wires::between(&routes);
        let started = (0..servers).map(|number| {
            let others = wires.of(number);
            let route = (routes[number], &others[..]);
            NatsServer::new(number, (&home, &users, doors), route, breakable)
        });
        let mut cluster = Self {
            servers: started.collect(),
            home,
            users,
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
        let urls = |user: &Credential| self.url(user, 0);
        let mut words = vec![
            "--json".to_owned(),
            "init".to_owned(),
            "--operator-nats".to_owned(),
            urls(&self.users.operator),
            "--ledger-nats".to_owned(),
            urls(&self.users.service),
            "--responder-nats".to_owned(),
            urls(&self.users.responder),
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

    fn url(&self, user: &Credential, server: usize) -> String {
        let (name, password) = (user.user(), user.expose_password());
        format!("nats://{name}:{password}@{}", self.servers[server].listen)
    }

    fn urls(&self, user: &Credential, servers: &[usize]) -> String {
        let urls: Vec<String> = servers.iter().map(|at| self.url(user, *at)).collect();
        urls.join(",")
    }

    /// The URL of clients at a door, through one of the servers.
    pub fn client_url(&self, door: usize, server: usize) -> String {
        let tester = &self.users.clients[0].credential;
        self.url(tester, server)
            .replacen(TESTER, &at_door(TESTER, door), 1)
    }

    /// The URL of the service's own user, through one of the servers.
    pub fn service_url(&self, server: usize) -> String {
        self.url(&self.users.service, server)
    }

    /// The URL of a service at a door, through one of the servers.
    pub fn responder_url(&self, door: usize, server: usize) -> String {
        let responder = self.url(&self.users.responder, server);
        responder.replacen("responder", &at_door("responder", door), 1)
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
            nats_url: self.client_url(door, server),
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
            .env("KEYROLL_NATS_URL", self.client_url(0, 0))
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

    /// The URL of the operator, through one of the servers.
    pub fn operator_url(&self, server: usize) -> String {
        self.url(&self.users.operator, server)
    }

    /// A connection to the streams' account as the operator.
    pub async fn operator(&self, server: usize) -> async_nats::Client {
        let operator = &self.users.operator;
        let options = async_nats::ConnectOptions::with_user_and_password(
            operator.user().to_owned(),
            operator.expose_password().to_owned(),
        );
        let address = format!("nats://{}", self.servers[server].listen);
        let options = options.custom_inbox_prefix("_INBOX_operator");
        within("a connection", options.connect(address))
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

/// The name of a user or an account at a door; at the first door it is unchanged.
fn at_door(name: &str, door: usize) -> String {
    match door {
        0 => name.to_owned(),
        _ => format!("{name}{}", door + 1),
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
