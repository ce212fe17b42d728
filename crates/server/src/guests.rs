//! Answers guests. They have a connection of their own: a flood of guests fills that one, and members'
//! requests do not wait behind it.

use std::sync::Arc;
use std::time::Instant;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::SelectAll;
use keyroll_ledger::{GuestSubject, Ledger};
use keyroll_wire::subjects;

use crate::guest_room::GuestRoom;
use crate::metrics::Metrics;
use crate::nats::permissions::{GUEST_PAYLOAD, is_crossing};

/// Their label in the metrics.
const KIND: &str = "guest";

/// The services of one ledger share the requests of guests.
const QUEUE: &str = "keyroll";
/// Requests of one subscription. The room holds those of two.
const WINDOW: u64 = 64;

/// What the present subscriptions may still bring.
struct Window {
    left: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { left: WINDOW }
    }
}

impl Window {
    /// Counts a request. Returns whether to subscribe to more already: without a flood the next subscription begins
    /// before the last one ends, so there is no gap. It stays beside the old ones, which end by themselves.
    const fn hears(&mut self, is_calm: bool) -> bool {
        self.left = self.left.saturating_sub(1);
        let is_more = is_calm && self.left > 0 && self.left <= WINDOW / 2;
        if is_more {
            self.left += WINDOW;
        }
        is_more
    }

    /// All subscriptions have ended, and another one begins.
    const fn ends(&mut self) {
        self.left = WINDOW;
    }
}

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

    /// Answers until the connection is closed.
    ///
    /// It subscribes to a few requests at a time. In a flood nats-server then drops the others itself: it tells
    /// their senders that nobody answers, and this process need not even read them.
    pub(crate) async fn run(self, first: Subscriber) {
        let (mut requests, mut window) = (SelectAll::new(), Window::default());
        requests.push(first);
        loop {
            let is_more = if let Some(request) = requests.next().await {
                // Before this request takes room itself.
                let is_more = window.hears(self.room.is_empty());
                self.clone().admit(request);
                is_more
            } else {
                self.room.emptied().await;
                window.ends();
                true
            };
            if !is_more {
                continue;
            }
            match Self::subscribe(&self.client).await {
                Ok(next) => requests.push(next),
                Err(why) => return tracing::debug!(%why, "guests are no longer answered"),
            }
        }
    }

    /// Subscribes to the next few requests.
    pub(crate) async fn subscribe(client: &Client) -> Result<Subscriber, String> {
        let subscribed = client.queue_subscribe(subjects::GUESTS, QUEUE.to_owned());
        let mut requests = subscribed.await.map_err(|error| error.to_string())?;
        let bounded = requests.unsubscribe_after(WINDOW).await;
        bounded.map_err(|error| error.to_string())?;
        client.flush().await.map_err(|error| error.to_string())?;
        Ok(requests)
    }

    fn admit(self, mut request: Message) {
        // nats-server has put a reply subject of its own in place of the guest's, who is in another account.
        let reply = request.reply.take().filter(|reply| is_crossing(reply));
        let (Some(reply), Some(subject)) = (reply, subject(&request.subject)) else {
            return self.metrics.guest_dropped();
        };
        if request.payload.len() > GUEST_PAYLOAD {
            return self.metrics.guest_dropped();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_flood_there_is_always_a_subscription() {
        let mut window = Window::default();
        for _ in 0..10 * WINDOW {
            window.hears(true);
            assert!(window.left > WINDOW / 2 && window.left <= 2 * WINDOW);
        }
    }

    #[test]
    fn in_a_flood_no_subscription_is_added() {
        let mut window = Window::default();
        assert!((0..WINDOW).all(|_| !window.hears(false)));
        assert_eq!(window.left, 0);
        // The subscriptions are at their end: only an empty room brings the next.
        assert!(!window.hears(true));
        window.ends();
        assert_eq!(window.left, WINDOW);
    }
}
