//! Clients that use a private ledger without the command line.

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings};
use keyroll_core::WorkspaceName;

use super::dev::{Dev, Person};
use super::raw::identity;

/// The workspace of a private ledger.
///
/// # Panics
/// Never: the name is valid.
pub fn demo() -> WorkspaceName {
    "demo".parse().expect("a name")
}

impl Dev {
    /// A client as the owner. It remembers checkpoints in memory only.
    pub async fn client(&self) -> Client {
        self.client_with(self.owner()).await
    }

    /// A client as another person.
    pub async fn client_as(&self, who: &Person) -> Client {
        self.client_with(identity(&who.home.join("identity.pem")))
            .await
    }

    async fn client_with(&self, identity: SigningKey) -> Client {
        let settings = Settings {
            nats_url: self.nats_url().to_owned(),
            nats_creds: Some(self.nats_creds()),
            nats_ca: None,
            identity: identity.into(),
            ledger: Some(self.ledger()),
            home: None,
        };
        Client::connect(settings).await.expect("connected")
    }
}
