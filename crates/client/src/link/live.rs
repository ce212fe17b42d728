//! One NATS connection with one set of credentials.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{
    AuthError, ConnectOptions, Message, PublishError, PublishErrorKind, RequestErrorKind,
    StatusCode,
};
use keyroll_core::{Code, WorkspaceName};
use keyroll_nats::Addresses;
use keyroll_wire::reply::IssuedCredential;
use keyroll_wire::subjects;
use tokio::sync::broadcast;

use super::access::{Newest, Timed};
use super::guest::{self, Asked, Way};
use super::inbox::{Answers, Inbox};
use super::moment::Moment;
use super::refusal::{Refusal, Refusals};
use crate::ClientError;
use crate::client::REQUEST_TIMEOUT;
use crate::sync::lock;

/// How long a connection to one nats-server may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait for nats-server to take or refuse the inbox.
const INBOX_TIMEOUT: Duration = Duration::from_secs(1);
/// Refused subjects that a waiting request may be behind with: each of them ends it.
const REFUSALS: usize = 64;
/// Below this token lies the inbox of every client user.
const INBOXES: &str = "_INBOX_client";

/// A connection in use.
pub(crate) struct Live {
    pub(crate) nats: async_nats::Client,
    inbox: Inbox,
    /// The NATS user, for messages.
    user: String,
    /// The workspaces that its credentials name; `None` where the user's permissions are not known.
    reach: Option<BTreeSet<WorkspaceName>>,
    renew: Option<Moment>,
    ends: Option<Moment>,
    /// Set once another connection has to take its place, whatever its credentials say.
    spent: Arc<AtomicBool>,
    refused: broadcast::Sender<Refusal>,
}

/// Why a request has no reply.
pub(crate) enum RequestFailed {
    /// NATS has none.
    Nats(RequestErrorKind),
    /// The NATS user may not send it: no service has seen it.
    Forbidden(ClientError),
    /// It may have arrived, and the answer cannot be heard.
    Unheard(ClientError),
}

impl Live {
    /// Connects, and makes sure that answers are heard. With credentials it uses the newest ones whenever it has
    /// to connect again.
    pub(super) async fn open(
        addresses: &Addresses,
        timed: Option<&Timed>,
        newest: &Newest,
    ) -> Result<Self, ClientError> {
        let user = match timed {
            Some(timed) => timed.creds.name().to_owned(),
            None => addresses.user().unwrap_or_default().to_owned(),
        };
        let spent = Arc::<AtomicBool>::default();
        let options = match timed {
            Some(_) => with_newest(newest.clone(), user.clone(), Arc::clone(&spent)),
            None => ConnectOptions::new(),
        };
        let (refused, _) = broadcast::channel(REFUSALS);
        let (report, ends) = (refused.clone(), Arc::clone(&spent));
        let mut options = options
            .name("keyroll client")
            .request_timeout(Some(REQUEST_TIMEOUT))
            .event_callback(move |event| {
                if let Some(refusal) = Refusal::of(&event) {
                    if refusal.is_of_inbox() {
                        ends.store(true, Ordering::SeqCst);
                    }
                    // The caller may have stopped waiting.
                    let _ = report.send(refusal);
                }
                async {}
            });
        if !user.is_empty() {
            options = options.custom_inbox_prefix(format!("{INBOXES}.{user}"));
        }
        let hosts = addresses.hosts();
        let connected = addresses.clone().connect(options, CONNECT_TIMEOUT).await;
        let unreachable = |why: String| {
            let words = format!("cannot connect to nats-server at {hosts}: {why}");
            ClientError::failed(Code::Unreachable, words)
        };
        let nats = connected.map_err(unreachable)?;
        let inbox = Inbox::open(&nats).await;
        let inbox = inbox.map_err(|error| unreachable(error.to_string()))?;
        let reach = timed.filter(|timed| timed.file.is_none());
        let live = Self {
            nats,
            inbox,
            user,
            reach: reach.map(|timed| timed.workspaces().into_iter().collect()),
            renew: timed.and_then(|timed| timed.renew),
            ends: timed.and_then(|timed| timed.ends),
            spent,
            refused,
        };
        live.check_inbox().await?;
        Ok(live)
    }

    /// Any answer proves the inbox, also that there is no service. nats-server refuses in order, so that the refusal
    /// of the inbox comes first. A server that says nothing is none of this connection's business.
    async fn check_inbox(&self) -> Result<(), ClientError> {
        let mut refusals = self.refusals(subjects::INFO);
        let probe = self.request(subjects::INFO, Vec::new());
        let _ = tokio::time::timeout(INBOX_TIMEOUT, probe).await;
        if !self.is_spent() {
            return Ok(());
        }
        let why = match tokio::time::timeout(Duration::ZERO, refusals.next()).await {
            Ok(RequestFailed::Unheard(why)) => why.to_string(),
            _ => "nats-server refuses its inbox".to_owned(),
        };
        let words = format!(
            "the NATS user {} would hear no answers: {why}. Nothing was sent. Use NATS credentials that may \
             subscribe below their inbox, or leave out --nats-creds and let the ledger issue them",
            self.user
        );
        Err(ClientError::failed(Code::Denied, words))
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

    /// Whether the credentials have ended, or another connection has to take its place.
    pub(super) fn is_over(&self) -> bool {
        self.is_spent() || self.ends.is_some_and(|end| end.is_past())
    }

    /// Whether another connection has to take its place although its credentials are in force.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::SeqCst)
    }

    pub(super) const fn renew_at(&self) -> Option<Moment> {
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
            failed = refusals.next() => Err(failed),
            reply = self.reply(subject, bytes) => reply.map_err(RequestFailed::Nats),
        }
    }

    async fn reply(&self, subject: &str, bytes: Vec<u8>) -> Result<Message, RequestErrorKind> {
        let mut answers = self.answers();
        self.publish(subject, &answers, bytes)
            .await
            .map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => RequestErrorKind::MaxPayloadExceeded,
                PublishErrorKind::InvalidSubject => RequestErrorKind::InvalidSubject,
                PublishErrorKind::Send => RequestErrorKind::Other,
            })?;
        match tokio::time::timeout(REQUEST_TIMEOUT, answers.next()).await {
            Err(_) => Err(RequestErrorKind::TimedOut),
            Ok(None) => Err(RequestErrorKind::Other),
            Ok(Some(reply)) if reply.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(RequestErrorKind::NoResponders)
            }
            Ok(Some(reply)) => Ok(reply),
        }
    }

    /// A place for the answers to a request.
    pub(crate) fn answers(&self) -> Answers {
        self.inbox.answers()
    }

    /// Sends a request, and waits for nothing.
    pub(crate) async fn publish(
        &self,
        subject: &str,
        answers: &Answers,
        bytes: Vec<u8>,
    ) -> Result<(), PublishError> {
        let (subject, inbox) = (subject.to_owned(), answers.subject());
        self.nats
            .publish_with_reply(subject, inbox, bytes.into())
            .await
    }

    /// The refusals from now on that end a request to a subject.
    pub(crate) fn refusals(&self, subject: &str) -> Refusals {
        Refusals::new(self.refused.subscribe(), &self.user, subject)
    }

    pub(super) async fn ask_credential(
        &self,
        asked: &Asked<'_>,
    ) -> Result<IssuedCredential, ClientError> {
        guest::credential(Way::Member(self), asked).await
    }
}

/// Options that log in with the newest credentials of the client, at every attempt.
fn with_newest(newest: Newest, user: String, spent: Arc<AtomicBool>) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let timed = lock(&newest).clone();
        let (user, spent) = (user.clone(), Arc::clone(&spent));
        async move {
            // A server closes the connection of an expired JWT at once, and the NATS client comes back without
            // a pause.
            let Some(timed) = timed.and_then(|timed| timed.present()) else {
                return Err(AuthError::new("the NATS credentials have ended"));
            };
            // The inbox of this connection has the name of its user: another one hears nothing there.
            if timed.creds.name() != user {
                spent.store(true, Ordering::SeqCst);
                return Err(AuthError::new("the NATS credentials are another user's"));
            }
            timed.creds.answer(&nonce)
        }
    })
}
