//! The permissions of NATS users.
//!
//! nats-server checks no permission on a *reply* subject: the answer to a request goes to a subject that
//! the caller chose. So the user that answers callers (`responder`) is in an account without JetStream,
//! and may publish only notices and to the callers' inboxes. No user has `allow_responses`. The user that
//! reads and writes the streams (`service`) answers no requests. It is in a third account, which imports
//! single subjects of the streams' account.

use super::ledger_stream::LedgerStream;

/// Inbox prefix of the user that reads and writes the streams.
pub const SERVICE_INBOX: &str = "_INBOX_service";
/// Inbox prefix of the user that creates and changes streams.
pub const OPERATOR_INBOX: &str = "_INBOX_operator";
/// All inboxes of client users lie below this token, one further token per user.
pub const CLIENT_INBOXES: &str = "_INBOX_client";

/// Requests of clients.
pub const REQUESTS: &str = "keyroll.v1";
/// Notices to clients.
pub const NOTICES: &str = "keyroll.events";

/// The workspaces that a client user may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workspaces {
    All,
    Named(Vec<String>),
}

/// Subjects that a user may publish and subscribe to. All others are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
}

/// Inbox prefix of a client user.
pub fn client_inbox(user: &str) -> String {
    format!("{CLIENT_INBOXES}.{user}")
}

/// Whether a request's reply subject is a client's inbox. Other requests are dropped without an answer:
/// the server would refuse the answer, and this check spares computing it.
pub fn is_client_inbox(reply: &str) -> bool {
    let mut tokens = reply.split('.');
    tokens.next() == Some(CLIENT_INBOXES)
        && tokens.clone().count() >= 2
        && tokens.all(|token| !token.is_empty() && !token.contains(['*', '>', ' ', '\t']))
}

/// A subject that account LEDGER exports to account SERVICE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceExport {
    pub subject: String,
    /// Whether a request has several answers.
    pub streams_answers: bool,
}

/// All that the service may do in account LEDGER: append, read, and erase from vault and keys. No request
/// changes, empties or deletes a stream. JetStream publishes its answers with the rights of the streams'
/// account, to any reply subject. Across accounts, the server chooses the reply subject, so an answer
/// cannot become a request there: docs/adr/0005-service-account.md.
pub fn service_exports() -> Vec<ServiceExport> {
    let once = |subject: String| ServiceExport {
        subject,
        streams_answers: false,
    };
    let mut exports = ["keyroll.log.>", "keyroll.vault.>", "keyroll.keys.>"]
        .map(|subject| once(subject.to_owned()))
        .to_vec();
    exports.push(once("$JS.API.INFO".to_owned()));
    for stream in LedgerStream::ALL {
        let name = stream.name();
        exports.extend([
            once(format!("$JS.API.STREAM.INFO.{name}")),
            once(format!("$JS.API.STREAM.MSG.GET.{name}")),
            once(format!("$JS.API.CONSUMER.CREATE.{name}")),
            once(format!("$JS.API.CONSUMER.CREATE.{name}.>")),
            once(format!("$JS.API.CONSUMER.INFO.{name}.*")),
            ServiceExport {
                subject: format!("$JS.API.CONSUMER.MSG.NEXT.{name}.*"),
                streams_answers: true,
            },
            once(format!("$JS.API.CONSUMER.DELETE.{name}.*")),
        ]);
        if stream.may_erase() {
            exports.push(once(format!("$JS.API.STREAM.MSG.DELETE.{name}")));
        }
    }
    exports
}

/// The service's connection to its streams. Its account has only the exports. The user's own list repeats
/// them, so that the server names what it refuses.
pub fn service() -> Permissions {
    Permissions {
        publish: service_exports()
            .into_iter()
            .map(|export| export.subject)
            .collect(),
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

/// The connection of a person or program.
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
