//! What is told of the log: rows, commits, what is wrong with it, checkpoints.

use keyroll_core::{Blob, Digest, Identity, Index, Millis, SecretName, Sequence, Version};
use serde::{Deserialize, Serialize};

use crate::query::AuditOutcome;

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRows {
    /// Newest last.
    pub rows: Vec<AuditRow>,
    /// Index before which to ask for the page before, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Index>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// When.
    pub at: Millis,
    /// Which run of which block it was for, as the actor claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRow>,
    /// The event's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who: key.
    pub actor: Identity,
    /// The entry.
    pub index: Index,
    /// SHA-256 Merkle leaf of the entry.
    pub digest: Digest,
    /// Why, when the actor said; for a refusal, why it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the actor got what was asked for.
    pub outcome: AuditOutcome,
    /// The secrets it speaks of.
    pub secrets: Vec<SecretVersion>,
    /// The action that was refused, for a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<String>,
    /// Who: name.
    pub actor_name: String,
    /// The delegated key it was signed with, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_key: Option<Identity>,
}

/// A run of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct RunRow {
    pub run: String,
    pub block: String,
    pub workflow: String,
}

/// A secret, and the version if one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct SecretVersion {
    pub name: SecretName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// A page of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commits {
    /// The index to ask for next, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Index>,
    /// Verbatim, in order.
    pub commits: Vec<Blob>,
    /// What is wrong with the workspace's log beyond these; on the last page only.
    pub problems: Vec<LogProblem>,
}

/// A message of the log that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogProblem {
    /// `foreign`, `stale`, or the code that stopped the workspace.
    pub kind: String,
    /// The words.
    pub detail: String,
    /// Its place in the stream.
    pub sequence: Sequence,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointNote {
    /// The C2SP signed note.
    pub checkpoint: String,
}
