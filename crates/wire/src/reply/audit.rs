//! Replies about the log: rows, commits, problems and checkpoints.

use keyroll_core::command::{AgentUse, Purpose};
use keyroll_core::{
    Blob, Digest, Identity, Index, MemberId, Millis, SecretName, Sequence, Version,
};
use serde::{Deserialize, Serialize};

use crate::query::AuditOutcome;

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRows {
    /// Newest last.
    pub rows: Vec<AuditRow>,
    /// The `before` of the previous page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Index>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// The entry's time.
    pub at: Millis,
    /// The run of a block that it was for, as the actor claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRow>,
    /// The event's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The actor's key.
    pub actor: MemberId,
    /// The entry.
    pub index: Index,
    /// SHA-256 Merkle leaf of the entry.
    pub digest: Digest,
    /// The reason that the actor gave; for a refusal, its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the actor was granted the action.
    pub outcome: AuditOutcome,
    /// The purpose of a reveal, as the actor claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The secrets that it concerns.
    pub secrets: Vec<SecretVersion>,
    /// The action that was refused, for a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<String>,
    /// The actor's name.
    pub actor_name: String,
    /// The key of the sign-in that signed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in_key: Option<Identity>,
    /// The delegated key that signed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_key: Option<Identity>,
}

impl AuditRow {
    /// What the agent said that the values were for, if one asked for them.
    pub const fn agent(&self) -> Option<&AgentUse> {
        match &self.purpose {
            Some(Purpose::Agent(of)) => Some(of),
            _ => None,
        }
    }
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

/// A secret, and a version when the event concerns one.
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
    /// The first index of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Index>,
    /// Verbatim, in order.
    pub commits: Vec<Blob>,
    /// Problems of the workspace's log beyond these commits; on the last page only.
    pub problems: Vec<LogProblem>,
}

/// A problem with a message of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogProblem {
    /// `foreign`, `stale`, or the code that stopped the workspace.
    pub kind: String,
    /// A description.
    pub detail: String,
    /// The message's number in the stream.
    pub sequence: Sequence,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointNote {
    /// The C2SP signed note.
    pub checkpoint: String,
}
