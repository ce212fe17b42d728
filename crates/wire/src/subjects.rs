//! NATS subjects.

use keyroll_core::WorkspaceName;

/// Commands of any workspace, as the service subscribes to them.
pub const COMMANDS: &str = "keyroll.v1.*.command";
/// Queries of any workspace, and of the ledger itself under `_ledger`.
pub const QUERIES: &str = "keyroll.v1.*.query";
/// The ledger's keys, which a client needs first. No workspace is called `_ledger`: their names
/// start with a letter or digit.
pub const INFO: &str = "keyroll.v1._ledger.info";
/// Acceptances of invitations, in any workspace: by people who are no members yet.
pub const ACCEPT: &str = "keyroll.v1._ledger.accept";
/// Queries about the ledger as a whole.
pub const LEDGER_QUERY: &str = "keyroll.v1._ledger.query";
/// Queries for NATS credentials.
pub const CREDENTIAL: &str = "keyroll.v1._ledger.credential";

/// Requests of guests, as they arrive in the clients' account.
pub const GUESTS: &str = "keyroll.v1._guest.*";

/// Pings every service, as the NATS service protocol defines it.
pub const SERVICES: &str = "$SRV.PING.keyroll";

/// Commands of one workspace.
pub fn command(workspace: &WorkspaceName) -> String {
    format!("keyroll.v1.{workspace}.command")
}

/// Queries of one workspace.
pub fn query(workspace: &WorkspaceName) -> String {
    format!("keyroll.v1.{workspace}.query")
}

/// Notices of one workspace; `kind` is an event's name and `*`-free.
pub fn notice(workspace: &WorkspaceName, kind: &str) -> String {
    format!("keyroll.events.{workspace}.{kind}")
}
