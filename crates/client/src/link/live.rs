//! One NATS connection with one set of credentials.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{AuthError, ConnectOptions, Event, Message, RequestError, ServerError};
use keyroll_core::{Code, WorkspaceName};
use keyroll_nats::Addresses;
use keyroll_wire::reply::IssuedCredential;
use tokio::sync::broadcast;

use super::access::{Newest, Timed};
use super::guest::{self, Asked};
use crate::ClientError;
use crate::client::REQUEST_TIMEOUT;
use crate::sync::lock;

/// How long a connection to one nats-server may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Refused subjects that a waiting request may be behind with: each of them ends it.
const REFUSALS: usize = 64;
/// Below this token lies the inbox of every client user.
const INBOXES: &str = "_INBOX_client";

/// A connection in use.
pub(crate) struct Live {
    pub(crate) nats: async_nats::Client,
    /// The NATS user, for messages.
    user: String,
    /// The workspaces that its credentials name; `None` where the user's permissions are not known.
    reach: Option<BTreeSet<WorkspaceName>>,
    renew: Option<Instant>,
    ends: Option<Instant>,
    /// Subjects that the server refused.
    refused: broadcast::Sender<String>,
}

/// Why a request has no reply.
pub(crate) enum RequestFailed {
    /// NATS has none.
    Nats(RequestError),
    /// The NATS user may not send it: no service has seen it.
    Forbidden(ClientError),
}

impl Live {
    /// Connects. With credentials it uses the newest ones whenever it has to connect again.
    pub(super) async fn open(
        addresses: &Addresses,
        timed: Option<&Timed>,
        newest: &Newest,
    ) -> Result<Self, ClientError> {
        let user = match timed {
            Some(timed) => timed.creds.name().to_owned(),
            None => addresses.user().unwrap_or_default().to_owned(),
        };
        let options = match timed {
            Some(_) => with_newest(newest.clone()),
            None => ConnectOptions::new(),
        };
        let (refused, _) = broadcast::channel(REFUSALS);
        let report = refused.clone();
        let mut options = options
            .name("keyroll client")
            .request_timeout(Some(REQUEST_TIMEOUT))
            .event_callback(move |event| {
                if let Some(subject) = refused_subject(&event) {
                    // Nobody may be waiting.
                    let _ = report.send(subject.to_owned());
                }
                async {}
            });
        if !user.is_empty() {
            options = options.custom_inbox_prefix(format!("{INBOXES}.{user}"));
        }
        let hosts = addresses.hosts();
        let connected = addresses.clone().connect(options, CONNECT_TIMEOUT).await;
        let nats = connected.map_err(|why| {
            let words = format!("cannot connect to nats-server at {hosts}: {why}");
            ClientError::failed(Code::Unreachable, words)
        })?;
        let reach = timed.filter(|timed| timed.file.is_none());
        Ok(Self {
            nats,
            user,
            reach: reach.map(|timed| timed.workspaces().into_iter().collect()),
            renew: timed.and_then(|timed| timed.renew),
            ends: timed.and_then(|timed| timed.ends),
            refused,
        })
    }

    /// Whether the credentials reach a workspace, or the ledger as a whole.
    pub(super) fn reaches(&self, need: Option<&WorkspaceName>) -> bool {
        match (&self.reach, need) {
            (Some(reach), Some(need)) => reach.contains(need),
            (None, _) | (_, None) => true,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.nats.connection_state() == State::Connected
    }

    /// Whether the credentials have ended.
    pub(super) fn is_over(&self) -> bool {
        self.ends.is_some_and(|end| end <= Instant::now())
    }

    pub(super) const fn renew_at(&self) -> Option<Instant> {
        self.renew
    }

    /// Sends a request and waits for the reply, or until the server refuses its subject.
    pub(crate) async fn request(
        &self,
        subject: &str,
        bytes: Vec<u8>,
    ) -> Result<Message, RequestFailed> {
        let mut refusals = self.refusals(subject);
        tokio::select! {
            biased;
            error = refusals.next() => Err(RequestFailed::Forbidden(error)),
            reply = self.nats.request(subject.to_owned(), bytes.into()) => reply.map_err(RequestFailed::Nats),
        }
    }

    /// The refusals of a subject from now on.
    pub(crate) fn refusals(&self, subject: &str) -> Refusals {
        Refusals {
            refused: self.refused.subscribe(),
            user: self.user.clone(),
            subject: subject.to_owned(),
        }
    }

    pub(super) async fn ask_credential(
        &self,
        asked: &Asked<'_>,
    ) -> Result<IssuedCredential, ClientError> {
        guest::credential(&self.nats, false, asked).await
    }
}

/// Options that log in with the newest credentials of the client, at every attempt.
fn with_newest(newest: Newest) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let timed = lock(&newest).clone();
        async move {
            // A server closes the connection of an expired JWT at once, and the NATS client comes back without
            // a pause.
            match timed.and_then(|timed| timed.present()) {
                Some(timed) => timed.creds.answer(&nonce),
                None => Err(AuthError::new("the NATS credentials have ended")),
            }
        }
    })
}

/// Waits for the refusal of one subject.
pub(crate) struct Refusals {
    refused: broadcast::Receiver<String>,
    user: String,
    subject: String,
}

impl Refusals {
    /// Resolves when the server refuses the subject, or the inbox that the reply is expected in.
    pub(crate) async fn next(&mut self) -> ClientError {
        loop {
            match self.refused.recv().await {
                Ok(subject) if subject == self.subject || subject.starts_with(INBOXES) => {
                    return forbidden(&self.user, &subject);
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn forbidden(user: &str, subject: &str) -> ClientError {
    let user = if user.is_empty() {
        "without a name"
    } else {
        user
    };
    let words = format!(
        "the NATS user {user} may not use the subject {subject}: nothing was sent. Use NATS credentials with \
         this permission, or leave out --nats-creds and let the ledger issue them"
    );
    ClientError::failed(Code::Denied, words)
}

/// The subject in a report that the server refused to publish or subscribe to it.
fn refused_subject(event: &Event) -> Option<&str> {
    let Event::ServerError(ServerError::Other(text)) = event else {
        return None;
    };
    let (kind, rest) = text.split_once(" to \"")?;
    let kind = kind.to_ascii_lowercase();
    let known = ["publish", "subscription"]
        .iter()
        .any(|kind_of| kind.ends_with(kind_of));
    (kind.contains("permissions violation") && known).then(|| rest.split('"').next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Option<String> {
        let event = Event::ServerError(ServerError::Other(text.to_owned()));
        refused_subject(&event).map(str::to_owned)
    }

    #[test]
    fn the_subject_of_a_permission_violation_is_read() {
        let publish = subject("Permissions Violation for Publish to \"keyroll.v1.demo.command\"");
        assert_eq!(publish.as_deref(), Some("keyroll.v1.demo.command"));
        let with_queue =
            "Permissions Violation for Subscription to \"_INBOX_client.a.b\" using queue \"q\"";
        assert_eq!(subject(with_queue).as_deref(), Some("_INBOX_client.a.b"));
        assert_eq!(subject("Maximum Connections Exceeded"), None);
        assert_eq!(
            subject("Permissions Violation for Publish to nothing"),
            None
        );
        assert_eq!(refused_subject(&Event::Connected), None);
    }
}
