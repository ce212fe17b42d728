//! Who may publish and subscribe to what.
//!
//! nats-server checks no permission on a *reply* subject: whoever answers a request publishes to a
//! subject that the caller chose. So the user that answers callers (`responder`) lives in an account
//! without JetStream, can publish only to the callers' inboxes and to notices, and nobody has
//! `allow_responses`. The user that reads and writes the streams (`service`) answers nobody, and lives in
//! a third account, which borrows single subjects of the streams' account.

use super::config::Workspaces;
use super::streams::LedgerStream;

/// Inbox prefix of the user that reads and writes the streams.
pub const SERVICE_INBOX: &str = "_INBOX_service";
/// Inbox prefix of the user that makes and changes streams.
pub const OPERATOR_INBOX: &str = "_INBOX_operator";
/// All inboxes of client users lie below this token, one further token per user.
pub const CLIENT_INBOXES: &str = "_INBOX_client";

/// Requests of clients.
pub const REQUESTS: &str = "keyroll.v1";
/// Notices to clients.
pub const NOTICES: &str = "keyroll.events";

/// Subjects a user may publish and subscribe to; anything else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Inbox prefix of a client user.
pub fn client_inbox(user: &str) -> String {
    format!("{CLIENT_INBOXES}.{user}")
}

/// Whether a request's reply subject is a client's inbox. Requests with any other reply subject are
/// dropped unanswered: the server would refuse the answer, and this says so before it is computed.
pub fn is_client_inbox(reply: &str) -> bool {
    let mut tokens = reply.split('.');
    tokens.next() == Some(CLIENT_INBOXES)
        && tokens.clone().count() >= 2
        && tokens.all(|token| !token.is_empty() && !token.contains(['*', '>', ' ', '\t']))
}

/// A subject of account LEDGER that account SERVICE may publish to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loan {
    pub subject: String,
    /// Whether a request has more answers than one.
    pub many_answers: bool,
}

/// All that the service can do in account LEDGER: append, read, erase from vault and keys; no request
/// that changes, empties or deletes a stream. JetStream publishes its answers with the rights of the
/// streams' account, to whatever reply subject it is given. From another account it is given one that
/// the server made, so an answer cannot become a request there: docs/adr/0005-service-account.md.
pub fn loans() -> Vec<Loan> {
    let once = |subject: String| Loan {
        subject,
        many_answers: false,
    };
    let mut loans = ["keyroll.log.>", "keyroll.vault.>", "keyroll.keys.>"]
        .map(|subject| once(subject.to_owned()))
        .to_vec();
    loans.push(once("$JS.API.INFO".to_owned()));
    for stream in LedgerStream::ALL {
        let name = stream.name();
        loans.extend([
            once(format!("$JS.API.STREAM.INFO.{name}")),
            once(format!("$JS.API.STREAM.MSG.GET.{name}")),
            once(format!("$JS.API.CONSUMER.CREATE.{name}")),
            once(format!("$JS.API.CONSUMER.CREATE.{name}.>")),
            once(format!("$JS.API.CONSUMER.INFO.{name}.*")),
            Loan {
                subject: format!("$JS.API.CONSUMER.MSG.NEXT.{name}.*"),
                many_answers: true,
            },
            once(format!("$JS.API.CONSUMER.DELETE.{name}.*")),
        ]);
        if stream.may_erase() {
            loans.push(once(format!("$JS.API.STREAM.MSG.DELETE.{name}")));
        }
    }
    loans
}

/// The service's connection to its streams. Its account holds nothing but the loans; its own list says
/// so once more, and has the server name what it refuses.
pub fn service() -> Permissions {
    Permissions {
        publish: loans().into_iter().map(|loan| loan.subject).collect(),
        subscribe: vec![format!("{SERVICE_INBOX}.>")],
    }
}

/// The service's connection to its callers.
pub fn responder() -> Permissions {
    Permissions {
        publish: vec![format!("{CLIENT_INBOXES}.*.>"), format!("{NOTICES}.>")],
        subscribe: vec![format!("{REQUESTS}.>"), "$SRV.>".to_owned()],
    }
}

/// A person's or program's connection.
pub fn client(user: &str, workspaces: &Workspaces) -> Permissions {
    let mut publish = vec![format!("{REQUESTS}._ledger.>"), "$SRV.>".to_owned()];
    let mut subscribe = vec![format!("{}.>", client_inbox(user))];
    match workspaces {
        Workspaces::All => {
            publish = vec![format!("{REQUESTS}.>"), "$SRV.>".to_owned()];
            subscribe.push(format!("{NOTICES}.>"));
        }
        Workspaces::Named(names) => {
            publish.extend(names.iter().map(|name| format!("{REQUESTS}.{name}.>")));
            subscribe.extend(names.iter().map(|name| format!("{NOTICES}.{name}.>")));
        }
    }
    Permissions { publish, subscribe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_subject_below_a_users_inbox_may_be_answered() {
        assert!(is_client_inbox("_INBOX_client.alice.x"));
        assert!(is_client_inbox("_INBOX_client.alice.x.1"));
        for reply in [
            "",
            "_INBOX_client",
            "_INBOX_client.alice",
            "_INBOX_client..x",
            "_INBOX_client.alice.>",
            "_INBOX_client.*.x",
            "_INBOX_clients.alice.x",
            "_INBOX.alice.x",
            "$JS.API.STREAM.DELETE.KEYROLL_VAULT",
            "keyroll.log.demo",
        ] {
            assert!(!is_client_inbox(reply), "{reply}");
        }
    }
}
