//! Answers guests. They have a connection of their own: a flood of guests fills that one, and members'
//! requests do not wait behind it.

use std::sync::Arc;
use std::time::Instant;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_ledger::{GuestSubject, Ledger};

use crate::guest_room::GuestRoom;
use crate::metrics::Metrics;
use crate::nats::permissions::{GUEST_PAYLOAD, is_crossing};

/// Their label in the metrics.
const KIND: &str = "guest";

/// Answers the requests of guests.
#[derive(Clone)]
pub(crate) struct Guests {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    room: GuestRoom,
    client: Client,
}

impl Guests {
    pub(crate) fn new(ledger: Arc<Ledger>, metrics: Arc<Metrics>, client: Client) -> Self {
        Self {
            ledger,
            metrics,
            room: GuestRoom::default(),
            client,
        }
    }

    /// Answers until the subscription ends. What finds no room is dropped at once, so that no request stays in
    /// memory that no bound counts.
    pub(crate) async fn run(self, mut requests: Subscriber) {
        while let Some(request) = requests.next().await {
            self.clone().admit(request);
        }
    }

    fn admit(self, mut request: Message) {
        // nats-server has put a reply subject of its own in place of the guest's, who is in another account.
        let reply = request.reply.take().filter(|reply| is_crossing(reply));
        let (Some(reply), Some(subject)) = (reply, subject(&request.subject)) else {
            return self.metrics.dropped();
        };
        if request.payload.len() > GUEST_PAYLOAD {
            return self.metrics.dropped();
        }
        let Some(room) = self.room.enter() else {
            return self.metrics.unheard();
        };
        let arrived = Instant::now();
        // The payload is a slice of a larger read buffer. The copy lets that buffer go.
        let payload = Bytes::copy_from_slice(&request.payload);
        tokio::spawn(async move {
            let answered = Box::pin(async {
                let response = self.ledger.guest(subject, &payload).await;
                self.metrics.answered(KIND, arrived, &response);
                // No header: what a sealed answer says is for its reader alone.
                let sent = self.client.publish(reply, response.bytes.into());
                if let Err(error) = sent.await {
                    tracing::debug!(%error, "an answer was not sent");
                }
            });
            self.room.work(answered).await;
            drop(room);
        });
    }
}

/// What a guest asks for, by the last token.
fn subject(subject: &str) -> Option<GuestSubject> {
    match subject.rsplit('.').next()? {
        "info" => Some(GuestSubject::Info),
        "credential" => Some(GuestSubject::Credential),
        "accept" => Some(GuestSubject::Accept),
        _ => None,
    }
}
