//! A question on its way: sent, and sent again when it or its answer may have been lost with a
//! connection. Only for what may be asked twice: the service joins the same bytes to what is in work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Message, StatusCode};
use futures::StreamExt as _;
use keyroll_core::{Code, Digest};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{CALL_TIMEOUT, REQUEST_TIMEOUT};
use crate::{Client, ClientError};
use keyroll_wire::reply::ReplyBody;

/// How often to look whether the connection is another.
const LOOK: Duration = Duration::from_millis(100);
/// How long to wait for a service that its nats-server does not know of yet.
const KNOCK: Duration = Duration::from_millis(250);
/// How long an answer that takes its time is waited for before it is asked for again, at first and
/// later: an answer can be lost without a connection of ours that breaks.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deadline {
    /// It comes at once: [`REQUEST_TIMEOUT`], or [`CALL_TIMEOUT`] when the connection breaks meanwhile.
    Default,
    /// It takes its time, this long at most.
    Within(Duration),
}

/// An answer, and how often it was asked for.
pub(super) struct Response {
    pub(super) message: Message,
    pub(super) asked: u32,
}

fn unreachable(why: impl std::fmt::Display) -> ClientError {
    ClientError::failed(
        Code::Unreachable,
        format!("the ledger does not answer: {why}"),
    )
}

impl Client {
    pub(super) async fn request_reply(
        &self,
        subject: &str,
        bytes: Vec<u8>,
        patience: Deadline,
    ) -> Result<Response, ClientError> {
        let (nats, request) = (&self.connection.nats, Digest::of(&bytes));
        let statistics = nats.statistics();
        let connects = || statistics.connects.load(Ordering::Relaxed);
        let is_connected = || nats.connection_state() == State::Connected;
        let (begun, first) = (Instant::now(), connects());
        let is_late = || {
            let most = match patience {
                Deadline::Within(most) => most,
                Deadline::Default if connects() == first && is_connected() => REQUEST_TIMEOUT,
                Deadline::Default => CALL_TIMEOUT,
            };
            begun.elapsed() >= most
        };
        let inbox = nats.new_inbox();
        let answers = nats.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(unreachable)?;
        let (mut asked, mut pause) = (0, AGAIN);
        loop {
            // Unconnected, the client would keep it and send it twice.
            while !is_connected() && !is_late() {
                sleep(LOOK).await;
            }
            if is_late() {
                return Err(unreachable("timed out"));
            }
            let connection = connects();
            let sent =
                nats.publish_with_reply(subject.to_owned(), inbox.clone(), bytes.clone().into());
            sent.await.map_err(unreachable)?;
            asked += 1;
            let mut again = Instant::now() + pause;
            pause = (pause * 2).min(AGAIN_AT_MOST);
            loop {
                match timeout(LOOK, answers.next()).await {
                    Ok(None) => return Err(unreachable("the connection is closed")),
                    Ok(Some(message)) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                        // A service that comes back after its nats-server is waited for.
                        if matches!(patience, Deadline::Default) && connects() == first {
                            return Err(unreachable("no responders"));
                        }
                        sleep(KNOCK).await;
                        break;
                    }
                    Ok(Some(message)) => {
                        if asked > 1 && self.is_of_another(&message, &request).await {
                            continue;
                        }
                        return Ok(Response { message, asked });
                    }
                    Err(_) if is_late() => return Err(unreachable("timed out")),
                    Err(_) => {}
                }
                if connects() != connection {
                    break;
                }
                if matches!(patience, Deadline::Within(_)) && Instant::now() >= again {
                    // Of several services another one would begin the work anew.
                    if self.services().await.is_ok_and(|count| count < 2) {
                        break;
                    }
                    again = Instant::now() + pause;
                }
            }
        }
    }

    /// Whether an answer is one of a service that does not know of the work: asked again after a minute
    /// it calls the question old, while another one works on it.
    async fn is_of_another(&self, message: &Message, request: &Digest) -> bool {
        let reply = self.open_reply(&message.payload, request);
        let is_stale = reply.is_ok_and(|reply| {
            matches!(&reply.payload.body, ReplyBody::Error(rejection) if rejection.code == Code::Stale)
        });
        is_stale && self.services().await.is_ok_and(|count| count > 1)
    }
}
