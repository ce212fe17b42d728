//! Services of a cluster: `keyroll serve`, started in any way that a test needs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::Cluster;
use crate::harness::replica::Replica;
use crate::harness::{programs, tied};

/// A service to start. By default it is at the first door of the first server.
#[must_use = "nothing starts before `start` or `ready`"]
pub struct Service<'a> {
    cluster: &'a Cluster,
    replica: usize,
    door: usize,
    servers: Vec<usize>,
    environment: Vec<(&'static str, String)>,
    words: Vec<String>,
    descriptors: Option<usize>,
}

impl Cluster {
    /// A service with its own read model; replica 0 has the owner's home.
    pub fn service(&self, replica: usize) -> Service<'_> {
        Service {
            cluster: self,
            replica,
            door: 0,
            servers: vec![0],
            environment: Vec::new(),
            words: Vec::new(),
            descriptors: None,
        }
    }

    /// Starts a service at a door and on a server, and waits until it is ready.
    pub fn serve(&self, replica: usize, door: usize, server: usize) -> Replica {
        self.service(replica).door(door).servers(&[server]).ready()
    }

    /// Each replica but the first has a directory with the same keys and nothing else.
    fn replica_home(&self, replica: usize) -> PathBuf {
        if replica == 0 {
            return self.home.data();
        }
        let home = self.home.scratch().join(format!("replica-{replica}"));
        if !home.exists() {
            fs::create_dir_all(home.join("keys")).expect("a directory");
            fs::create_dir_all(home.join("nats")).expect("a directory");
            let files = [
                "serve.toml",
                "nats/service.creds",
                "nats/responder.creds",
                "nats/clients.nk",
                "nats/console.creds",
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
}

impl Service<'_> {
    /// Sets its door.
    pub fn door(mut self, door: usize) -> Self {
        self.door = door;
        self
    }

    /// Sets the servers that it may use.
    pub fn servers(mut self, servers: &[usize]) -> Self {
        servers.clone_into(&mut self.servers);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Ends it at the `times`-th visit of a failpoint.
    pub fn armed(self, point: &str, times: u64) -> Self {
        programs::keyroll_with_failpoints();
        self.env("KEYROLL_FAILPOINT", format!("{point}:{times}"))
    }

    /// Adds arguments to its command line.
    pub fn args<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Serves metrics at a free port.
    pub fn with_metrics(self) -> Self {
        self.args(["--metrics", "127.0.0.1:0"])
    }

    /// Limits its number of open files.
    pub fn descriptors(mut self, descriptors: usize) -> Self {
        self.descriptors = Some(descriptors);
        self
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn ready(self) -> Replica {
        let mut started = self.start();
        assert!(started.is_ready(), "not ready: {}", started.stderr());
        started
    }

    /// Starts it. It may end before it is ready.
    pub fn start(self) -> Replica {
        let cluster = self.cluster;
        let name = format!("replica-{}", self.replica);
        let mut words = if cluster.breakable {
            programs::failing_syncs(&cluster.broken_file(&name))
        } else {
            Vec::new()
        };
        words.extend([
            self.program().into(),
            "--json".into(),
            "--home".into(),
            cluster.replica_home(self.replica).into(),
            "--nats".into(),
            cluster.nats_urls(&self.servers).into(),
            "serve".into(),
            "--responder-creds".into(),
            cluster.responder_creds(self.door).into(),
        ]);
        words.extend(self.words.iter().map(Into::into));
        let stderr = cluster.home.scratch().join(format!("{name}.stderr"));
        Replica::start(tied::command_line(&words), &self.environment, stderr)
    }

    /// `keyroll`, or a script that lowers a limit before it.
    fn program(&self) -> PathBuf {
        let program = programs::keyroll();
        let Some(descriptors) = self.descriptors else {
            return program.to_owned();
        };
        let script = self.cluster.home.scratch().join("below.sh");
        let program = program.display();
        let text = format!("#!/bin/sh\nulimit -n {descriptors}\nexec '{program}' \"$@\"\n");
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("a mode");
        script
    }
}
