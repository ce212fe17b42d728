//! nats-servers with fixed addresses and any number of services on them, as an operator runs them.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings};
use keyroll_core::{Identity, LedgerId};
use keyroll_server::nats::{ClientUser, Credential, Endpoint, ServerConfig, Users, Workspaces};
use nix::sys::signal::Signal;

use super::process::Process;
use super::replica::Replica;
use super::wait::{until, within};
use super::wires::{Wire, Wires};
use super::{Home, Run, programs, raw, tied};

/// The client user; at the second door `tester2`, and so on.
const TESTER: &str = "tester";

/// Some nats-servers, and a ledger on them. Dropped, all of it is killed.
pub struct Cluster {
    home: Home,
    users: Users,
    servers: Vec<NatsServer>,
    ledger: LedgerId,
    /// Between the servers.
    wires: Wires,
    /// Whether what is written can be made to fail to reach the disk.
    breakable: bool,
}

struct NatsServer {
    name: String,
    /// While this file exists it cannot sync what it writes.
    broken: Option<PathBuf>,
    listen: SocketAddr,
    monitoring: SocketAddr,
    config: PathBuf,
    child: Option<Child>,
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // What has ended already is only reaped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Addresses that were free a moment ago.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address"))
}

fn user(name: &str) -> Credential {
    Credential::generate(name).expect("a user")
}

impl Cluster {
    /// Starts `servers` nats-servers (1, or 3 that keep every stream three times) and makes the
    /// ledger. Each of `doors` is an account of clients: what comes through one reaches only
    /// services that stand at it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn start(servers: usize, doors: usize) -> Self {
        Self::begin_start(servers, doors, false)
    }

    /// One nats-server, and services, on a disk that can be broken with [`Cluster::break_disk`].
    /// None where that is not to be had.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_breakable() -> Option<Self> {
        programs::can_fail_syncs().then(|| Self::begin_start(1, 1, true))
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
            let [listen, monitoring] = free_addresses();
            let server = NatsServer {
                name: format!("server-{number}"),
                broken: breakable.then(|| home.scratch().join("server.broken")),
                listen,
                monitoring,
                config: home.scratch().join(format!("server-{number}.conf")),
                child: None,
            };
            let text = server.config_text(&home, &users, doors);
            let text = clustered(text, routes[number], &wires.of(number));
            fs::write(&server.config, text).expect("written");
            server
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

    /// A client as the owner. It remembers in memory what it has seen.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client(&self, door: usize, server: usize) -> Client {
        self.client_as(self.owner(), door, server).await
    }

    /// A client as anybody.
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

    /// Starts a service with a read model of its own, at a door and on a server.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn serve(&self, replica: usize, door: usize, server: usize) -> Replica {
        let mut started = self.begin_serve(replica, (door, server), None, &[]);
        assert!(started.is_ready(), "not ready: {}", started.said());
        started
    }

    /// As [`Cluster::serve`], on whichever of some servers is there.
    pub fn begin_serve_on_any(&self, replica: usize, door: usize, servers: &[usize]) -> Replica {
        self.begin(replica, (door, servers), (None, &[]), &[])
    }

    /// As [`Cluster::serve`], with another program and environment; it may end before it is ready.
    pub fn begin_serve(
        &self,
        replica: usize,
        (door, server): (usize, usize),
        program: Option<&std::path::Path>,
        environment: &[(&str, String)],
    ) -> Replica {
        self.begin(replica, (door, &[server]), (program, environment), &[])
    }

    /// As [`Cluster::begin_serve`], with more words on the command line.
    pub fn begin_serve_with(
        &self,
        replica: usize,
        (door, server): (usize, usize),
        more: &[&str],
    ) -> Replica {
        self.begin(replica, (door, &[server]), (None, &[]), more)
    }

    /// As [`Cluster::begin_serve_with`], in a process that may have so many descriptors.
    ///
    /// # Panics
    /// When the program that sets the limit cannot be written.
    pub fn begin_serve_below(
        &self,
        descriptors: usize,
        replica: usize,
        (door, server): (usize, usize),
        more: &[&str],
    ) -> Replica {
        let script = self.home.scratch().join("below.sh");
        let program = programs::keyroll().display();
        let text = format!("#!/bin/sh\nulimit -n {descriptors}\nexec '{program}' \"$@\"\n");
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("a mode");
        self.begin(replica, (door, &[server]), (Some(&script), &[]), more)
    }

    fn begin(
        &self,
        replica: usize,
        (door, servers): (usize, &[usize]),
        (program, environment): (Option<&std::path::Path>, &[(&str, String)]),
        more: &[&str],
    ) -> Replica {
        let home = self.replica_home(replica);
        let responders: Vec<String> = servers
            .iter()
            .map(|server| self.responder_url(door, *server))
            .collect();
        let program = program.unwrap_or_else(|| programs::keyroll());
        let broken = format!("replica-{replica}.broken");
        let mut words = if self.breakable {
            programs::failing_syncs(&self.home.scratch().join(broken))
        } else {
            Vec::new()
        };
        words.extend([
            program.as_os_str().to_owned(),
            "--json".into(),
            "--home".into(),
            home.into(),
            "serve".into(),
            "--ledger-nats".into(),
            self.urls(&self.users.service, servers).into(),
            "--responder-nats".into(),
            responders.join(",").into(),
        ]);
        words.extend(more.iter().map(Into::into));
        let stderr = self
            .home
            .scratch()
            .join(format!("replica-{replica}.stderr"));
        Replica::start(tied::words(&words), environment, stderr)
    }

    /// From now on nothing reaches the disk of those files of a nats-server (`server`) or a service
    /// (`replica-0`) whose path holds `file`.
    ///
    /// # Panics
    /// When the disk was never breakable.
    pub fn break_disk(&self, whose: &str, file: &str) {
        assert!(self.breakable, "the disk cannot be broken");
        let path = self.home.scratch().join(format!("{whose}.broken"));
        // In one step: an empty file would stand for all.
        let fresh = path.with_extension("new");
        fs::write(&fresh, file).expect("written");
        fs::rename(fresh, path).expect("broken");
    }

    /// The disk is well again.
    ///
    /// # Panics
    /// When it was not broken.
    pub fn mend_disk(&self, whose: &str) {
        let path = self.home.scratch().join(format!("{whose}.broken"));
        fs::remove_file(path).expect("mended");
    }

    /// Each replica but the first has a directory with the same keys and nothing else.
    fn replica_home(&self, replica: usize) -> PathBuf {
        if replica == 0 {
            return self.home.data();
        }
        let home = self.home.scratch().join(format!("replica-{replica}"));
        if !home.exists() {
            fs::create_dir_all(home.join("keys")).expect("a directory");
            let files = [
                "serve.toml",
                "keys/online.pem",
                "keys/ledger-key.cose",
                "keys/root.key",
            ];
            for file in files {
                let to = home.join(file);
                fs::copy(self.home.data().join(file), &to).expect("copied");
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("a mode");
            }
        }
        home
    }

    /// A server's process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn server(&self, server: usize) -> Process {
        let child = self.servers[server].child.as_ref().expect("it runs");
        Process { pid: child.id() }
    }

    /// Kills a nats-server.
    pub fn kill_server(&mut self, server: usize) {
        let server = &mut self.servers[server];
        if let Some(mut child) = server.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// Starts a nats-server again on what it left.
    pub fn restart_server(&mut self, server: usize) {
        self.servers[server].start();
    }

    /// What a server hears of the others, and they of it. Its clients and services stay with it.
    pub fn wire(&self, server: usize, wire: Wire) {
        self.wires.make(server, wire);
    }

    /// Writes a server's configuration anew; it is read at its next start.
    ///
    /// # Panics
    /// When that changes nothing.
    pub fn configure_server(&self, server: usize, change: impl FnOnce(&str) -> String) {
        let path = &self.servers[server].config;
        let text = fs::read_to_string(path).expect("a configuration");
        let changed = change(&text);
        assert_ne!(changed, text, "nothing was changed");
        fs::write(path, changed).expect("written");
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

impl NatsServer {
    fn config_text(&self, home: &Home, users: &Users, doors: usize) -> String {
        let config = ServerConfig {
            server_name: self.name.clone(),
            data_dir: home.scratch().join(&self.name),
            endpoint: Endpoint::Fixed {
                listen: self.listen,
                monitoring: self.monitoring,
                tls: None,
            },
            users: users.clone(),
        };
        let text = config.render().expect("a configuration");
        let from = text.find("  CLIENTS {").expect("the clients' account");
        let (before, account) = text.split_at(from);
        let account = account.strip_suffix("}\n").expect("the end of accounts");
        let accounts = (0..doors).map(|door| {
            let door = |name: &str| at_door(name, door);
            account
                .replace("CLIENTS", &door("CLIENTS"))
                .replace("\"responder\"", &format!("\"{}\"", door("responder")))
                .replace(TESTER, &door(TESTER))
        });
        format!("{before}{}}}\n", accounts.collect::<String>())
    }

    fn start(&mut self) {
        let log = self.config.with_extension("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log);
        let log = log.expect("a file for what it says");
        let mut command = match &self.broken {
            None => tied::command(programs::nats_server(), &self.config),
            Some(broken) => {
                let mut words = programs::failing_syncs(broken);
                words.extend([programs::nats_server().into(), "-c".into()]);
                words.push(self.config.clone().into());
                tied::words(&words)
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
            std::net::TcpStream::connect(self.listen).ok()
        });
        self.child = Some(child);
    }
}

/// What something is called at a door; as it is at the first.
fn at_door(name: &str, door: usize) -> String {
    match door {
        0 => name.to_owned(),
        _ => format!("{name}{}", door + 1),
    }
}

/// Has a server reach the others over wires, and no other way: what they tell each other of where
/// they are leads nowhere.
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

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &self.servers {
            // A stopped process dies of SIGKILL all the same; this is for its log.
            if let Some(child) = &server.child {
                let process = Process { pid: child.id() };
                if process.is_stopped() {
                    process.signal(Signal::SIGCONT);
                }
            }
        }
    }
}
