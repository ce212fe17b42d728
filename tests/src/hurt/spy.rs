//! Records everything that the service sends, whether or not a caller waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use keyroll_core::{Digest, Index, cbor};
use keyroll_nats::Creds;
use keyroll_wire::CommandReply;

use crate::harness::Cluster;
use crate::harness::wait::within;

/// Listens to all answers to the client user of a door.
pub struct Spy {
    released: Arc<Mutex<Vec<(Index, Digest)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Spy {
    /// Subscribes.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn at(cluster: &Cluster, door: usize, server: usize) -> Self {
        let (url, path) = (cluster.nats_url(server), cluster.client_creds(door));
        let connected = keyroll_client::connect_nats(&url, Some(&path));
        let client = within("a connection", connected).await.expect("connected");
        let creds = Creds::load(&path).expect("credentials");
        let inboxes = format!("_INBOX_client.{}.>", creds.name());
        let mut answers = client.subscribe(inboxes).await.expect("subscribed");
        client.flush().await.expect("sent");
        let released = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&released);
        let task = tokio::spawn(async move {
            let _client = client;
            while let Some(answer) = answers.next().await {
                // Answers to queries are of another form, and release nothing.
                let Ok(CommandReply::Committed(done)) = cbor::decode(&answer.payload) else {
                    continue;
                };
                if !done.released.is_empty() {
                    let entry = (done.receipt.index, Digest::of(&done.receipt.entry.0));
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(entry);
                }
            }
        });
        Self { released, task }
    }

    /// The entries that released values came with.
    pub fn released(self) -> Vec<(Index, Digest)> {
        self.task.abort();
        std::mem::take(&mut self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
