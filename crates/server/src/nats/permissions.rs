//! The permissions of NATS users.
//!
//! nats-server checks no permission on a *reply* subject: the answer to a request goes to a subject that
//! the caller chose. So the user that answers callers (`responder`) is in an account without JetStream,
//! and may publish only notices and to the callers' inboxes. No user has `allow_responses`. The users that
//! read and write the streams answer no requests. Each is in an account of its own, which imports
//! single subjects of the streams' account.

use keyroll_nats::WORKSPACE_TAG;

use super::ledger_stream::LedgerStream;

/// Inbox prefix of the user that reads and writes the streams.
pub const SERVICE_INBOX: &str = "_INBOX_service";
/// Inbox prefix of the user that reads log, vault and tokens for a backup.
pub const BACKUP_INBOX: &str = "_INBOX_backup";
/// Inbox prefix of the user that reads the keys for a backup.
pub const BACKUP_KEYS_INBOX: &str = "_INBOX_backup-keys";
/// Inbox prefix of the user that purges what is archived.
pub const PURGE_INBOX: &str = "_INBOX_purge";
/// Inbox prefix of guests, who have no credentials. They share it: what they are sent is sealed.
pub const GUEST_INBOX: &str = "_INBOX_guest";
/// Inbox prefix of the user that creates and changes streams.
pub const OPERATOR_INBOX: &str = "_INBOX_operator";
/// All inboxes of client users lie below this token, one further token per user.
pub const CLIENT_INBOXES: &str = "_INBOX_client";

/// Where nats-server expects the answer to a request from another account: below this, at a random subject.
const CROSSING: &str = "_R_";
/// What guests may ask. They sign in, accept an invitation, or get credentials.
pub const GUEST_REQUESTS: [&str; 4] = [
    "keyroll.v1._ledger.info",
    "keyroll.v1._ledger.signin",
    "keyroll.v1._ledger.accept",
    "keyroll.v1._ledger.credential",
];

/// The largest request of a guest: a sign-in brings a token, a request for credentials names workspaces.
pub const GUEST_PAYLOAD: usize = 64 * 1024;

/// Requests of clients.
pub const REQUESTS: &str = "keyroll.v1";
/// Notices to clients.
pub const NOTICES: &str = "keyroll.events";

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
    is_below(reply, CLIENT_INBOXES, 2)
}

/// Whether a reply subject is one that nats-server has put in place of a guest's.
pub fn is_crossing(reply: &str) -> bool {
    is_below(reply, CROSSING, 1)
}

/// Where a guest's request arrives in the clients' account: on a subject of its own, so that guests fill
/// another subscription than members.
pub fn guest_arrival(request: &str) -> String {
    let (_, last) = request.rsplit_once('.').unwrap_or_default();
    format!("{REQUESTS}._guest.{last}")
}

/// Whether a subject has this first token, and at least so many more without a wildcard.
fn is_below(subject: &str, first: &str, least: usize) -> bool {
    let mut tokens = subject.split('.');
    tokens.next() == Some(first)
        && tokens.clone().count() >= least
        && tokens.all(|token| !token.is_empty() && !token.contains(['*', '>', ' ', '\t']))
}

/// A subject of account LEDGER that another account may import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceExport {
    pub subject: String,
    /// Whether a request has several answers.
    pub streams_answers: bool,
}

fn once(subject: impl Into<String>) -> ServiceExport {
    ServiceExport {
        subject: subject.into(),
        streams_answers: false,
    }
}

/// What it takes to read a stream.
fn reads(stream: LedgerStream) -> Vec<ServiceExport> {
    let name = stream.name();
    vec![
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
    ]
}

/// All that the service may do in account LEDGER: append, read, and erase from all streams but the log. No
/// request changes, empties or deletes a stream. JetStream publishes its answers with the rights of the
/// streams' account, to any reply subject. Across accounts, the server chooses the reply subject, so an
/// answer cannot become a request there: docs/adr/0005-service-account.md.
pub fn service_exports() -> Vec<ServiceExport> {
    let mut exports: Vec<ServiceExport> = LedgerStream::ALL
        .map(|stream| once(stream.prefix()))
        .to_vec();
    exports.push(once("$JS.API.INFO"));
    for stream in LedgerStream::ALL {
        exports.extend(reads(stream));
        if stream.may_erase() {
            exports.push(once(format!("$JS.API.STREAM.MSG.DELETE.{}", stream.name())));
        }
    }
    exports
}

/// What a backup reads: everything but the keys, or the keys alone.
pub fn backup_exports(keys: bool) -> Vec<ServiceExport> {
    let streams = LedgerStream::ALL.into_iter();
    let streams = streams.filter(|stream| (*stream == LedgerStream::Keys) == keys);
    [once("$JS.API.INFO")]
        .into_iter()
        .chain(streams.flat_map(reads))
        .collect()
}

/// What it takes to purge the log's front once it is archived.
pub fn purge_exports() -> Vec<ServiceExport> {
    let name = LedgerStream::Log.name();
    let mut exports = vec![once("$JS.API.INFO")];
    exports.extend(reads(LedgerStream::Log));
    exports.push(once(format!("$JS.API.STREAM.PURGE.{name}")));
    exports
}

/// The user of an account with imports. The user's own list repeats them, so that the server names what it
/// refuses.
pub fn borrower(exports: Vec<ServiceExport>, inbox: &str) -> Permissions {
    Permissions {
        publish: exports.into_iter().map(|export| export.subject).collect(),
        subscribe: vec![format!("{inbox}.>")],
    }
}

/// The service's connection to its callers.
pub fn responder() -> Permissions {
    Permissions {
        publish: vec![
            format!("{CLIENT_INBOXES}.*.>"),
            format!("{NOTICES}.>"),
            format!("{CROSSING}.>"),
        ],
        subscribe: vec![format!("{REQUESTS}.>"), "$SRV.>".to_owned()],
    }
}

/// Discovery of services by a client.
const PING: &str = "$SRV.PING.keyroll";

/// The template of issued clients: a person or program, by its workspaces' tags and its name.
pub fn issued_client() -> Permissions {
    let tag = format!("{{{{tag({WORKSPACE_TAG})}}}}");
    Permissions {
        publish: vec![
            format!("{REQUESTS}._ledger.>"),
            format!("{REQUESTS}.{tag}.>"),
            PING.to_owned(),
        ],
        subscribe: vec![
            format!("{}.>", client_inbox("{{name()}}")),
            format!("{NOTICES}.{tag}.>"),
        ],
    }
}

/// A client of all workspaces, under a name of its own: a console for many people.
pub fn client_of_all(name: &str) -> Permissions {
    Permissions {
        publish: vec![format!("{REQUESTS}.>"), PING.to_owned()],
        subscribe: vec![format!("{}.>", client_inbox(name)), format!("{NOTICES}.>")],
    }
}

/// Whoever connects without credentials.
pub fn guest() -> Permissions {
    Permissions {
        publish: GUEST_REQUESTS.map(str::to_owned).to_vec(),
        subscribe: vec![format!("{GUEST_INBOX}.>")],
    }
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

    #[test]
    fn guests_are_answered_across_accounts_alone() {
        assert!(is_crossing("_R_.a1B2"));
        for reply in [
            "_R_",
            "_R_.>",
            "_R_.a.*",
            "_INBOX_guest.x",
            "_INBOX_client.a.x",
        ] {
            assert!(!is_crossing(reply), "{reply}");
        }
        assert!(!is_client_inbox("_R_.a1B2"), "a member's request");
        let arrivals = GUEST_REQUESTS.map(guest_arrival);
        assert_eq!(arrivals[0], "keyroll.v1._guest.info");
        assert_eq!(arrivals[3], "keyroll.v1._guest.credential");
    }
}
