//! A real nats-server per test, as keyroll configures it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, Event, RequestErrorKind, Subscriber};
use futures::StreamExt as _;
use keyroll_server::dev::{DevServer, find_nats_server};
use keyroll_server::nats::permissions::{OPERATOR_INBOX, SERVICE_INBOX, client_inbox};
use keyroll_server::nats::{
    ClientUser, Credential, Endpoint, ServerConfig, Users, Workspaces, create_streams,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Timeout of events that must happen. Only a failing test reaches it.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// `KEYROLL_NATS_BIN`, PATH, or what tests/tools/nats-server.py has fetched.
pub(super) async fn nats_bin() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/nats-server");
    match find_nats_server(None).await {
        Ok(found) => found.path,
        Err(_) if fetched.exists() => find_nats_server(Some(&fetched)).await.unwrap().path,
        Err(error) => panic!("{error}; or run `python3 tests/tools/nats-server.py` once"),
    }
}

pub(super) struct Harness {
    pub(super) server: DevServer,
    pub(super) config: ServerConfig,
    _directory: TempDir,
}

/// A connection, and the server's refusals.
pub(super) struct Connection {
    pub(super) client: Client,
    errors: mpsc::UnboundedReceiver<String>,
}

/// Users as `keyroll dev` has them, and client users alice (demo) and bob (other).
pub(super) fn config(directory: &Path) -> ServerConfig {
    let user = |name| Credential::generate(name).unwrap();
    let client = |name, workspace: &str| ClientUser {
        credential: user(name),
        workspaces: Workspaces::Named(vec![workspace.to_owned()]),
    };
    ServerConfig {
        server_name: format!("test-{}", user("x").expose_password()),
        data_dir: directory.join("data"),
        endpoint: Endpoint::Private {
            run_dir: directory.join("run"),
        },
        users: Users {
            service: user("service"),
            operator: user("operator"),
            responder: user("responder"),
            clients: vec![client("alice", "demo"), client("bob", "other")],
        },
    }
}

impl Harness {
    /// A server without streams.
    pub(super) async fn bare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let server = DevServer::start(&nats_bin().await, None, &config)
            .await
            .unwrap();
        Self {
            server,
            config,
            _directory: directory,
        }
    }

    /// A server with the three streams.
    pub(super) async fn new() -> Self {
        let harness = Self::bare().await;
        let operator = harness.operator().await;
        create_streams(&operator.client, 1).await.unwrap();
        harness
    }

    /// Reloads the server with another configuration, which takes a moment.
    pub(super) fn reload(&self, config: &str) {
        let Endpoint::Private { run_dir } = &self.config.endpoint else {
            panic!("the harness runs private servers");
        };
        std::fs::write(run_dir.join("nats-server.conf"), config).unwrap();
        let server = Pid::from_raw(self.server.pid().try_into().unwrap());
        kill(server, Signal::SIGHUP).unwrap();
    }

    pub(super) async fn service(&self) -> Connection {
        self.connect(&self.config.users.service, SERVICE_INBOX)
            .await
    }

    pub(super) async fn operator(&self) -> Connection {
        self.connect(&self.config.users.operator, OPERATOR_INBOX)
            .await
    }

    /// The responder has no inbox: it sends no requests.
    pub(super) async fn responder(&self) -> Connection {
        self.connect(&self.config.users.responder, "_INBOX_responder")
            .await
    }

    pub(super) async fn client(&self, name: &str) -> Connection {
        let user = self
            .config
            .users
            .clients
            .iter()
            .find(|user| user.credential.user() == name)
            .unwrap();
        self.connect(&user.credential, &client_inbox(name)).await
    }

    /// Connects. A server refuses connections while it reloads its configuration, and does not report the
    /// end, so this retries.
    async fn connect(&self, credential: &Credential, inbox: &str) -> Connection {
        let end = std::time::Instant::now() + SOON;
        loop {
            let (sender, errors) = mpsc::unbounded_channel();
            let connecting = credential
                .connect_options(inbox)
                .event_callback(move |event| {
                    if let Event::ServerError(error) = event {
                        let _ = sender.send(error.to_string());
                    }
                    async {}
                })
                .connect(self.server.nats_url());
            match connecting.await {
                Ok(client) => return Connection { client, errors },
                Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Connection {
    pub(super) fn jetstream(&self) -> Context {
        jetstream::new(self.client.clone())
    }

    /// Waits for the server's refusal of `action` ("publish", "subscription") on `subject`.
    pub(super) async fn refused(&mut self, action: &str, subject: &str) {
        let wanted = format!("permissions violation for {action} to \"{subject}\"").to_lowercase();
        let seen = tokio::time::timeout(SOON, async {
            while let Some(error) = self.errors.recv().await {
                if error.to_lowercase().contains(&wanted) {
                    return;
                }
            }
        });
        assert!(seen.await.is_ok(), "{action} to {subject} was not refused");
    }

    pub(super) async fn cannot_publish(&mut self, subject: &str, payload: &str) {
        let reply = self.client.new_inbox();
        self.client
            .publish_with_reply(subject.to_owned(), reply, payload.to_owned().into())
            .await
            .unwrap();
        self.refused("publish", subject).await;
    }

    pub(super) async fn cannot_subscribe(&mut self, subject: &str) {
        let _subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.refused("subscription", subject).await;
    }

    /// Subscribes. The subscription is active when this returns.
    pub(super) async fn subscribed(&mut self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.round_trip().await;
        subscriber
    }

    /// Returns when the server has read what this connection sent before. (`flush` returns when it is
    /// written.) Users that reach JetStream get an answer, the others a refusal.
    async fn round_trip(&mut self) {
        let client = self.client.clone();
        tokio::select! {
            answer = client.request("$JS.API.INFO", "".into()) => {
                // A server that has just started may report no responders yet.
                let failed = answer.err().map(|error| error.kind());
                assert!(matches!(failed, None | Some(RequestErrorKind::NoResponders)), "{failed:?}");
            }
            () = self.refused("publish", "$JS.API.INFO") => {}
        }
    }
}

pub(super) async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    tokio::time::timeout(SOON, subscriber.next())
        .await
        .expect("no message came")
        .expect("the subscription ended")
}
