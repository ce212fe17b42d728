//! Request and reply over NATS. A request is sent again when it or its reply may have been lost
//! with a connection. This is for queries only: the service joins the same bytes to the work under
//! way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Message, StatusCode};
use keyroll_core::{Backoff, Code, Digest, WorkspaceName};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{CALL_TIMEOUT, REQUEST_TIMEOUT};
use crate::link::Live;
use crate::{Client, ClientError};
use keyroll_wire::reply::ReplyBody;

/// How often to check for a new connection.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The pause before the next attempt when the nats-server knows no service yet.
const NO_RESPONDERS_PAUSE: Duration = Duration::from_millis(250);
/// How long to wait for a slow reply before the request is sent again: a reply can be lost although
/// this client's connection holds.
const FIRST_RESEND: Duration = Duration::from_secs(5);
const LONGEST_RESEND: Duration = Duration::from_secs(30);

/// How long to wait for a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    /// [`REQUEST_TIMEOUT`], or [`CALL_TIMEOUT`] when the connection breaks meanwhile.
    Default,
    /// This long, for a query that takes long.
    Within(Duration),
}

/// A reply, and how often the request was sent.
pub(crate) struct Response {
    pub(crate) message: Message,
    pub(crate) attempts: u32,
}

fn unreachable(why: impl std::fmt::Display) -> ClientError {
    ClientError::failed(
        Code::Unreachable,
        format!("the ledger does not answer: {why}"),
    )
}

impl Client {
    pub(crate) async fn request_reply(
        &self,
        workspace: Option<&WorkspaceName>,
        (subject, bytes): (&str, Vec<u8>),
        deadline: Deadline,
    ) -> Result<Response, ClientError> {
        let live = self.connection.link.live(workspace).await?;
        let asked = (subject, bytes.clone());
        let answer = self.request_over(&live, asked, deadline).await;
        if answer.is_ok() || !live.is_spent() {
            return answer;
        }
        // The answer was lost with the inbox: once more, over another connection.
        let live = self.connection.link.live(workspace).await?;
        self.request_over(&live, (subject, bytes), deadline).await
    }

    async fn request_over(
        &self,
        live: &Live,
        (subject, bytes): (&str, Vec<u8>),
        deadline: Deadline,
    ) -> Result<Response, ClientError> {
        let (nats, request) = (&live.nats, Digest::of(&bytes));
        let mut refusals = live.refusals(subject);
        let statistics = nats.statistics();
        let connects = || statistics.connects.load(Ordering::Relaxed);
        let is_connected = || nats.connection_state() == State::Connected;
        let (begun, first) = (Instant::now(), connects());
        let is_late = || {
            let most = match deadline {
                Deadline::Within(most) => most,
                Deadline::Default if connects() == first && is_connected() => REQUEST_TIMEOUT,
                Deadline::Default => CALL_TIMEOUT,
            };
            begun.elapsed() >= most
        };
        let mut answers = live.answers();
        let (mut attempts, mut resend) = (0, Backoff::new(FIRST_RESEND, LONGEST_RESEND));
        loop {
            // Without a connection the NATS client would buffer the request and send it twice.
            while !is_connected() && !is_late() {
                sleep(CHECK_INTERVAL).await;
            }
            if is_late() {
                return Err(unreachable("timed out"));
            }
            let connection = connects();
            let sent = live.publish(subject, &answers, bytes.clone());
            sent.await.map_err(unreachable)?;
            attempts += 1;
            let pause = resend.next_pause();
            let mut send_again = Instant::now() + pause;
            loop {
                let answer = tokio::select! {
                    biased;
                    failed = refusals.next() => return Err(failed.into()),
                    answer = timeout(CHECK_INTERVAL, answers.next()) => answer,
                };
                match answer {
                    Ok(None) => return Err(unreachable("the connection is closed")),
                    Ok(Some(message)) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                        // After a reconnect the service may need a moment longer than its server.
                        if matches!(deadline, Deadline::Default) && connects() == first {
                            return Err(unreachable("no responders"));
                        }
                        sleep(NO_RESPONDERS_PAUSE).await;
                        break;
                    }
                    Ok(Some(message)) => {
                        if attempts > 1 && self.is_from_idle_service(&message, &request).await {
                            continue;
                        }
                        return Ok(Response { message, attempts });
                    }
                    Err(_) if is_late() => return Err(unreachable("timed out")),
                    Err(_) => {}
                }
                if connects() != connection {
                    break;
                }
                if matches!(deadline, Deadline::Within(_)) && Instant::now() >= send_again {
                    // With several services another one would start the work again.
                    if self.services().await.is_ok_and(|count| count < 2) {
                        break;
                    }
                    send_again = Instant::now() + pause;
                }
            }
        }
    }

    /// Whether a reply is from a service that does not do the work: it refuses a request that was
    /// sent again after a minute as stale, while another service works on it.
    async fn is_from_idle_service(&self, message: &Message, request: &Digest) -> bool {
        let reply = self.open_reply(&message.payload, request);
        let is_stale = reply.is_ok_and(|reply| {
            matches!(&reply.payload.body, ReplyBody::Error(rejection) if rejection.code == Code::Stale)
        });
        is_stale && self.services().await.is_ok_and(|count| count > 1)
    }
}
