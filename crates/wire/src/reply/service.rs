//! Replies for operators: the service, its read model and its streams.

use keyroll_core::{Digest, Millis, Sequence, TreeSize, WorkspaceName};
use serde::{Deserialize, Serialize};

use super::SecretVersion;

/// A NATS user for one connection key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedCredential {
    /// The user's JWT, as a nats-server takes it.
    pub jwt: String,
    /// When it ends, by the ledger's clock.
    pub not_after: Millis,
}

/// The status of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Entries that the read model holds.
    pub entries: u64,
    /// Version of the program.
    pub version: String,
    /// Descriptions of problems; empty when all is well.
    pub problems: Vec<String>,
    /// Descriptions of expected problems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The last message of the log that the read model holds.
    pub projected: Sequence,
    /// Descriptions of erasures and copies under way.
    pub under_way: Vec<String>,
    /// Name and version of the nats-server.
    pub nats_server: String,
    /// The last message of the log.
    pub log_sequence: Sequence,
    /// Whether a check showed that nats-server syncs every message before it acknowledges it.
    pub sync_verified: bool,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

/// The progress of the read model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionStatus {
    /// Entries it holds.
    pub entries: u64,
    /// The last message of the log that it holds.
    pub projected: Sequence,
    /// Workspaces it holds.
    pub workspaces: u64,
    /// The last message of the log.
    pub log_sequence: Sequence,
}

/// Digest of the read model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionDigest {
    /// SHA-256 over its canonical dump.
    pub digest: Digest,
    /// Entries it holds.
    pub entries: u64,
    /// The last message of the log that it holds.
    pub projected: Sequence,
}

/// The result of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionRebuild {
    /// SHA-256 over all workspaces' roots, in order of name.
    pub root: Digest,
    /// Digest of the new read model.
    pub digest: Digest,
    /// Milliseconds it took.
    pub millis: u64,
    /// Entries it holds.
    pub entries: u64,
    /// Whether the new read model equals the old one at the same message of the log.
    pub identical: bool,
}

/// The result of comparing the streams with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageReport {
    /// Live values that were looked up.
    pub checked: u64,
    /// Messages of the log.
    pub messages: u64,
    /// The problems.
    pub problems: Vec<StorageProblem>,
    /// Observations that are not problems.
    pub warnings: Vec<String>,
}

/// A problem of a stream: it lacks something, or holds something that it should not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageProblem {
    /// `corrupt`, `value_lost` or `not_erased`.
    pub kind: String,
    /// A description.
    pub detail: String,
}

/// The plan of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// Its digest, which identifies it.
    pub plan: Digest,
    /// Descriptions of problems of the log, and of files that diverge from it.
    pub wrong: Vec<String>,
    /// Whether the log is created anew; otherwise only lost values are recorded.
    pub remake: bool,
    /// Messages of the log, those that cannot be read included.
    pub messages: u64,
    /// Messages of the log that cannot be read.
    pub unreadable: u64,
    /// Each workspace.
    pub workspaces: Vec<RecoveryRow>,
}

/// The plan for one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryRow {
    /// The first versions whose values are lost.
    pub lost: Vec<SecretVersion>,
    /// Objects of destroyed values that are erased again.
    pub erase: u64,
    /// The highest known size, when entries are lost: it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<TreeSize>,
    /// The number of lost values.
    pub values: u64,
    /// Entries that the new log will hold.
    pub entries: TreeSize,
    /// The workspace.
    pub workspace: WorkspaceName,
}

/// The result of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Entries that record losses.
    pub added: u64,
    /// Digest of the new read model.
    pub digest: Digest,
    /// Objects of destroyed values that were erased again.
    pub erased: u64,
    /// Entries of the log now.
    pub entries: u64,
}
