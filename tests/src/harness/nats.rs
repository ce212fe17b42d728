//! Plain NATS connections, as any client could make them.

use std::fs;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures::StreamExt as _;
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
        let address: async_nats::ServerAddr = self.nats_url().parse().expect("a NATS URL");
        let user = address.username().expect("a user").to_owned();
        let password = address.password().expect("a password").to_owned();
        let inbox = format!("_INBOX_client.{user}");
        Nats::connect(
            &self.nats_address(),
            (&user, &password, &inbox),
            "keyroll.v1._ledger.info",
        )
        .await
    }

    /// A connection as `operator` or `service` of the streams' account, with the password of the
    /// nats-server's configuration.
    pub async fn nats_as(&self, user: &str) -> Nats {
        let path = self.home().data().join("run/nats-server.conf");
        let text = fs::read_to_string(&path).expect("the nats-server's configuration");
        let named = format!("user: \"{user}\", password: \"");
        let (_, rest) = text
            .split_once(&named)
            .unwrap_or_else(|| panic!("no user {user} in {}", path.display()));
        let (password, _) = rest.split_once('"').expect("a password");
        let inbox = format!("_INBOX_{user}");
        Nats::connect(
            &self.nats_address(),
            (user, password, &inbox),
            "$JS.API.INFO",
        )
        .await
    }

    fn nats_address(&self) -> String {
        let (_, address) = self
            .nats_url()
            .rsplit_once('@')
            .expect("an address after the user");
        format!("nats://{address}")
    }
}

impl Nats {
    async fn connect(
        address: &str,
        (user, password, inbox): (&str, &str, &str),
        asked: &'static str,
    ) -> Self {
        let (sender, errors) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(Duration::from_secs(30)))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    // The receiver may be gone.
                    let _ = sender.send(error.to_string());
                }
                async {}
            });
        let client = within("a connection", options.connect(address)).await;
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
