//! What operators are told of the service, its read model and its streams.

use keyroll_core::{Digest, Sequence, TreeSize, WorkspaceName};
use serde::{Deserialize, Serialize};

use super::SecretVersion;

/// How the service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Entries that the read model holds.
    pub entries: u64,
    /// Version of the program.
    pub version: String,
    /// What is wrong, in words; nothing when all is well.
    pub problems: Vec<String>,
    /// What will be wrong soon, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The last message of the log that the read model holds.
    pub projected: Sequence,
    /// What is being erased or copied, in words.
    pub under_way: Vec<String>,
    /// Name and version of the nats-server.
    pub nats_server: String,
    /// The last message of the log.
    pub log_sequence: Sequence,
    /// Whether the nats-server was seen to write every message to disk before it acknowledges.
    pub sync_verified: bool,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

/// How far the read model is.
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

/// What a rebuild found.
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
    /// Whether the new read model equals the old one at the same place of the log.
    pub identical: bool,
}

/// Whether the streams hold what the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageReport {
    /// Live values that were looked up.
    pub checked: u64,
    /// Messages of the log.
    pub messages: u64,
    /// What is wrong.
    pub problems: Vec<StorageProblem>,
    /// What is no problem and should be known.
    pub warnings: Vec<String>,
}

/// Something that a stream should hold and does not, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageProblem {
    /// `corrupt`, `value_lost` or `not_erased`.
    pub kind: String,
    /// The words.
    pub detail: String,
}

/// What a recovery would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// Its digest, to name it by.
    pub plan: Digest,
    /// What is wrong with the log, and where files beside it go another way, in words.
    pub wrong: Vec<String>,
    /// Whether the log has to be made anew; otherwise only losses of values go on record.
    pub remake: bool,
    /// Messages of the log, those that cannot be read included.
    pub messages: u64,
    /// Messages of the log that cannot be read.
    pub unreadable: u64,
    /// Each workspace.
    pub workspaces: Vec<RecoveryRow>,
}

/// What a recovery would do to one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryRow {
    /// Versions whose values are gone; the first of them.
    pub lost: Vec<SecretVersion>,
    /// Places of destroyed values that are erased again.
    pub erase: u64,
    /// The highest size there was, when entries are gone: that goes on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<TreeSize>,
    /// How many values are gone.
    pub values: u64,
    /// Entries that the new log will hold.
    pub entries: TreeSize,
    /// The workspace.
    pub workspace: WorkspaceName,
}

/// What a recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Entries that put losses on record.
    pub added: u64,
    /// Digest of the new read model.
    pub digest: Digest,
    /// Places of destroyed values that were erased again.
    pub erased: u64,
    /// Entries of the log now.
    pub entries: u64,
}
