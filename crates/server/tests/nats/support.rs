//! A real nats-server per test, as keyroll configures it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectError, ConnectOptions, Event, RequestErrorKind, Subscriber};
use futures::StreamExt as _;
use keyroll_nats::Creds;
use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{self, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_server::dev::{DevServer, find_nats_server};
use keyroll_server::nats::permissions::{OPERATOR_INBOX, SERVICE_INBOX, client_inbox};
use keyroll_server::nats::{
    Credential, Endpoint, OperatorKeys, ServerConfig, Users, create_streams,
};
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
    pub(super) keys: OperatorKeys,
    pub(super) users: Users,
    _directory: TempDir,
}

/// A connection, and the server's refusals.
pub(super) struct Connection {
    pub(super) client: Client,
    errors: mpsc::UnboundedReceiver<String>,
}

/// A private server, and its operator's keys.
pub(super) fn config(directory: &Path) -> (ServerConfig, OperatorKeys) {
    let keys = OperatorKeys::generate().unwrap();
    let unique = Credential::generate("x").unwrap();
    let config = ServerConfig {
        server_name: format!("test-{}", unique.expose_password()),
        data_dir: directory.join("data"),
        endpoint: Endpoint::Private {
            run_dir: directory.join("run"),
        },
        cluster: None,
        trust: keys.trust().unwrap(),
    };
    (config, keys)
}

/// A JWT of a user with permissions, signed by any key.
pub(super) fn user_of(
    signer: &KeyPair,
    name: &str,
    user: User,
    (from, until): (u64, Option<u64>),
) -> Creds {
    let key = KeyPair::new_user();
    let about = (&*key.public_key(), name);
    let jwt = jwt::sign(signer, about, (from, until), user).unwrap();
    Creds::new(jwt, key).unwrap()
}

impl Harness {
    /// A server without streams.
    pub(super) async fn bare() -> Self {
        Self::with(|_, _| ()).await
    }

    /// A server without streams, with another configuration.
    pub(super) async fn with(change: impl FnOnce(&mut ServerConfig, &OperatorKeys)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut config, keys) = config(directory.path());
        change(&mut config, &keys);
        let users = keys.users().unwrap();
        let server = DevServer::start(&nats_bin().await, None, &config, &users.operator)
            .await
            .unwrap();
        Self {
            server,
            config,
            keys,
            users,
            _directory: directory,
        }
    }

    /// A server with the streams.
    pub(super) async fn new() -> Self {
        let harness = Self::bare().await;
        let operator = harness.operator().await;
        create_streams(&operator.client, 1).await.unwrap();
        harness
    }

    pub(super) async fn service(&self) -> Connection {
        self.connect(&self.users.service, SERVICE_INBOX).await
    }

    pub(super) async fn operator(&self) -> Connection {
        self.connect(&self.users.operator, OPERATOR_INBOX).await
    }

    /// The responder has no inbox: it sends no requests.
    pub(super) async fn responder(&self) -> Connection {
        self.connect(&self.users.responder, "_INBOX_responder")
            .await
    }

    /// The credentials of a client of some workspaces, as the service issues them.
    pub(super) fn issued(&self, workspaces: &[&str]) -> Creds {
        let key = KeyPair::new_user();
        let workspaces: Vec<_> = workspaces.iter().map(|one| one.parse().unwrap()).collect();
        let issuer = self.keys.issuer().unwrap();
        let jwt = issuer.issue(&key.public_key(), &workspaces, (seconds(), 3_600));
        Creds::new(jwt.unwrap(), key).unwrap()
    }

    pub(super) async fn client(&self, workspaces: &[&str]) -> Connection {
        let creds = self.issued(workspaces);
        self.connect(&creds, &client_inbox(creds.name())).await
    }

    /// Connects, which must work.
    pub(super) async fn connect(&self, creds: &Creds, inbox: &str) -> Connection {
        self.try_connect(creds.connect_options(), inbox)
            .await
            .unwrap()
    }

    pub(super) async fn try_connect(
        &self,
        options: ConnectOptions,
        inbox: &str,
    ) -> Result<Connection, ConnectError> {
        let (sender, errors) = mpsc::unbounded_channel();
        let client = options
            .custom_inbox_prefix(inbox)
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let _ = sender.send(error.to_string());
                }
                async {}
            })
            .connect(self.server.nats_url())
            .await?;
        Ok(Connection { client, errors })
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

    /// Waits until the server has ended the connection for this reason.
    pub(super) async fn ended(&mut self, why: &str) {
        let seen = tokio::time::timeout(SOON, async {
            while let Some(error) = self.errors.recv().await {
                if error.to_lowercase().contains(why) {
                    return;
                }
            }
        });
        assert!(seen.await.is_ok(), "the connection did not end: {why}");
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
