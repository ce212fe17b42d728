//! The subjects that nats-server refuses to a connection, and the requests that a refusal ends.

use async_nats::{Event, ServerError};
use keyroll_core::Code;
use tokio::sync::broadcast;

use super::live::RequestFailed;
use crate::ClientError;

/// Every inbox begins with this.
const INBOX: &str = "_INBOX";

/// nats-server's report of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user may not publish there.
    Publish(String),
    /// The user may not subscribe there.
    Subscribe(String),
    /// The user has as many subscriptions as it may have. The report does not say which one was refused.
    Another,
}

impl Refusal {
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Event::ServerError(ServerError::Other(text)) = event else {
            return None;
        };
        let text_lower = text.to_ascii_lowercase();
        if text_lower.contains("maximum subscriptions exceeded") {
            return Some(Self::Another);
        }
        let (kind, rest) = text.split_once(" to \"")?;
        let subject = rest.split('"').next()?.to_owned();
        let kind = kind.to_ascii_lowercase();
        if !kind.contains("permissions violation") {
            None
        } else if kind.ends_with("publish") {
            Some(Self::Publish(subject))
        } else if kind.ends_with("subscription") {
            Some(Self::Subscribe(subject))
        } else {
            None
        }
    }

    /// Whether answers may not be heard any more.
    pub(super) fn is_of_inbox(&self) -> bool {
        match self {
            Self::Publish(_) => false,
            Self::Subscribe(subject) => subject.starts_with(INBOX),
            Self::Another => true,
        }
    }
}

/// Waits for a refusal that ends a request.
pub(crate) struct Refusals {
    refused: broadcast::Receiver<Refusal>,
    user: String,
    subject: String,
}

impl Refusals {
    pub(super) fn new(refused: broadcast::Receiver<Refusal>, user: &str, subject: &str) -> Self {
        Self {
            refused,
            user: user.to_owned(),
            subject: subject.to_owned(),
        }
    }

    /// Resolves when the server refuses the subject, or the inbox that the reply is expected in.
    pub(crate) async fn next(&mut self) -> RequestFailed {
        loop {
            match self.refused.recv().await {
                Ok(Refusal::Publish(subject)) if subject == self.subject => {
                    return RequestFailed::Forbidden(forbidden(&self.user, &subject));
                }
                Ok(refusal) if refusal.is_of_inbox() => {
                    return RequestFailed::Unheard(unheard(&refusal));
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

/// The request may have arrived, so this says nothing about it.
fn unheard(refusal: &Refusal) -> ClientError {
    let words = match refusal {
        Refusal::Publish(subject) | Refusal::Subscribe(subject) => {
            format!("nats-server refuses the inbox {subject}")
        }
        Refusal::Another => {
            "nats-server refuses a subscription: the NATS user has too many".to_owned()
        }
    };
    ClientError::failed(Code::Unreachable, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<Refusal> {
        Refusal::of(&Event::ServerError(ServerError::Other(text.to_owned())))
    }

    #[test]
    fn the_subject_of_a_permission_violation_is_read() {
        let publish = refusal("Permissions Violation for Publish to \"keyroll.v1.demo.command\"");
        let subject = "keyroll.v1.demo.command".to_owned();
        assert_eq!(publish, Some(Refusal::Publish(subject)));
        let with_queue =
            "Permissions Violation for Subscription to \"_INBOX_client.a.b\" using queue \"q\"";
        let subject = "_INBOX_client.a.b".to_owned();
        assert_eq!(refusal(with_queue), Some(Refusal::Subscribe(subject)));
        let too_many = refusal("maximum subscriptions exceeded");
        assert_eq!(too_many, Some(Refusal::Another));
        assert_eq!(refusal("Maximum Connections Exceeded"), None);
        assert_eq!(
            refusal("Permissions Violation for Publish to nothing"),
            None
        );
        assert_eq!(Refusal::of(&Event::Connected), None);
    }

    /// Only a refused subject proves that no service has seen the request.
    #[tokio::test]
    async fn a_refused_inbox_says_nothing_about_the_request() {
        let (report, _) = broadcast::channel(4);
        let inbox = Refusal::Subscribe("_INBOX_client.a.b.*".to_owned());
        for (refusal, is_sent) in [
            (Refusal::Publish("s".to_owned()), false),
            (inbox, true),
            (Refusal::Another, true),
        ] {
            let mut refusals = Refusals::new(report.subscribe(), "a", "s");
            let other = Refusal::Subscribe("keyroll.events.demo.>".to_owned());
            report.send(other).expect("heard");
            report.send(refusal).expect("heard");
            let (error, unheard) = match refusals.next().await {
                RequestFailed::Forbidden(error) => (error, false),
                RequestFailed::Unheard(error) => (error, true),
                RequestFailed::Nats(_) => panic!("no refusal"),
            };
            assert_eq!(unheard, is_sent);
            assert_eq!(!error.to_string().contains("nothing was sent"), is_sent);
        }
    }
}
