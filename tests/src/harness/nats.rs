//! Plain NATS connections, as any client could make them.

use std::fs;
use std::time::Duration;

use async_nats::{Client, Event, Message, Subscriber};
use futures::StreamExt as _;
use keyroll_nats::Creds;
use keyroll_nats::jwt::{self, Template, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_server::nats::{AccountName, OperatorKeys};
use tokio::sync::mpsc;

use super::dev::Dev;
use super::wait::within;

/// A connection, and the errors that the server reports to it.
pub struct Nats {
    /// The client.
    pub client: Client,
    errors: mpsc::UnboundedReceiver<String>,
    /// A subject on which this user gets an answer at any time.
    asked: &'static str,
}

impl Dev {
    /// A connection as the client user that the ready line names.
    pub async fn nats(&self) -> Nats {
        let creds = Creds::load(&self.nats_creds()).expect("credentials");
        let inbox = format!("_INBOX_client.{}", creds.name());
        Nats::connect(self.nats_url(), (&creds, &inbox), "keyroll.v1._ledger.info").await
    }

    /// The keys of all NATS accounts and users.
    pub fn nats_operator(&self) -> OperatorKeys {
        let path = self.home().data().join("nats-keys.toml");
        let text = fs::read_to_string(&path).expect("the keys of NATS users");
        OperatorKeys::parse(&text).expect("the keys of NATS users")
    }

    /// A connection as `operator` or `service`.
    pub async fn nats_as(&self, user: &str) -> Nats {
        let users = self.nats_operator().users().expect("users");
        let creds = match user {
            "operator" => users.operator,
            "service" => users.service,
            "responder" => users.responder,
            "console" => users.console,
            _ => panic!("no user {user}"),
        };
        let inbox = format!("_INBOX_{user}");
        Nats::connect(self.nats_url(), (&creds, &inbox), "$JS.API.INFO").await
    }
}

impl Dev {
    /// A connection that may ask services all that the NATS service protocol has.
    pub async fn nats_discovery(&self) -> Nats {
        let keys = self.nats_operator();
        let (name, inbox) = ("discovery", "_INBOX_client.discovery");
        let publish = vec!["$SRV.>".to_owned()];
        let permissions = Template::new(publish, vec![format!("{inbox}.>")]);
        let user = KeyPair::new_user();
        let about = (&*user.public_key(), name);
        let account = keys.account(AccountName::Clients);
        let jwt = jwt::sign(account, about, (0, None), User::own(permissions));
        let creds = Creds::new(jwt.expect("signed"), user).expect("credentials");
        Nats::connect(self.nats_url(), (&creds, inbox), "$SRV.PING").await
    }
}

impl Nats {
    /// Connects with credentials.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(
        address: &str,
        (creds, inbox): (&Creds, &str),
        asked: &'static str,
    ) -> Self {
        let (sender, errors) = mpsc::unbounded_channel();
        let options = creds
            .connect_options()
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(Duration::from_secs(30)))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    // The receiver may be gone.
                    let _ = sender.send(error.to_string());
                }
                async {}
            });
        let client = within("a connection", Box::pin(options.connect(address))).await;
        Self {
            client: client.expect("connected"),
            errors,
            asked,
        }
    }

    /// Subscribes, and returns once the server has processed the subscription.
    pub async fn subscribe(&self, subject: &str) -> Subscriber {
        let subscriber = self
            .client
            .subscribe(subject.to_owned())
            .await
            .expect("subscribed");
        self.round_trip().await;
        subscriber
    }

    /// Returns when the server has processed everything sent before. (`flush` returns when it is
    /// sent.)
    pub async fn round_trip(&self) {
        self.request(self.asked, Vec::new()).await;
    }

    /// Sends a request and returns the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn request(&self, subject: &str, payload: impl Into<Vec<u8>>) -> Message {
        let asked = self
            .client
            .request(subject.to_owned(), payload.into().into());
        asked
            .await
            .unwrap_or_else(|error| panic!("no answer on {subject}: {error}"))
    }

    /// Waits until the server reports an error that contains `what`.
    pub async fn refused(&mut self, what: &str) {
        within(&format!("a refusal of {what}"), async {
            while let Some(error) = self.errors.recv().await {
                if error.to_lowercase().contains(&what.to_lowercase()) {
                    return;
                }
            }
        })
        .await;
    }
}

/// The next message.
///
/// # Panics
/// When none comes.
pub async fn next(subscriber: &mut Subscriber) -> Message {
    within("a message", subscriber.next())
        .await
        .expect("the subscription goes on")
}
