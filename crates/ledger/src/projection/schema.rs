//! Tables and rows. Keys begin with the workspace's number (order of first appearance in the log)
//! and go on with something that grows, so that writes stay near the end of each tree.

use keyroll_core::names::Label;
use keyroll_core::state::{Member, Secret, Workflow, WorkspaceRow};
use keyroll_core::{Digest, Identity, Rejection, SecretId, Sequence, TreeSize, WorkspaceName};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

/// Version of the tables and rows; any other is rebuilt.
pub const SCHEMA: u32 = 3;

/// `schema`, `ledger`, `sequence` (last message), `digest` (SHA-256 of that message).
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Workspace number → [`WorkspaceHead`].
pub(super) const WORKSPACES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("workspaces");
/// Workspace name → number.
pub(super) const WORKSPACE_NUMBERS: TableDefinition<'_, &str, u32> =
    TableDefinition::new("workspace_numbers");
/// (workspace, first index) → commit, verbatim.
pub(super) const COMMITS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("commits");
/// (workspace, level, index) → hash of a complete subtree; levels 0, 8, 16, 24 only.
pub(super) const NODES: TableDefinition<'_, (u32, u8, u64), &[u8; 32]> =
    TableDefinition::new("nodes");
/// (workspace, ordinal) → [`SecretRecord`].
pub(super) const SECRETS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("secrets");
/// (workspace, folded name, ordinal): every secret under its present name.
pub(super) const SECRET_NAMES: TableDefinition<'_, (u32, &str, u32), ()> =
    TableDefinition::new("secret_names");
/// (workspace, ordinal, version) → version.
pub(super) const VERSIONS: TableDefinition<'_, (u32, u32, u32), &[u8]> =
    TableDefinition::new("versions");
/// (workspace, public key) → member.
pub(super) const MEMBERS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("members");
/// (workspace, public key) → refusals.
pub(super) const DENIALS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("denials");
/// (workspace, identity, key) of a delegation that was revoked.
pub(super) const REVOKED: TableDefinition<'_, (u32, &[u8; 32], &[u8; 32]), ()> =
    TableDefinition::new("revoked");
/// (workspace, member's ordinal, command id) → index.
pub(super) const RECEIPTS: TableDefinition<'_, (u32, u32, &[u8; 16]), u64> =
    TableDefinition::new("receipts");
/// (workspace, secret's ordinal, index).
pub(super) const BY_SECRET: TableDefinition<'_, (u32, u32, u64), ()> =
    TableDefinition::new("by_secret");
/// (workspace, member's ordinal, index).
pub(super) const BY_ACTOR: TableDefinition<'_, (u32, u32, u64), ()> =
    TableDefinition::new("by_actor");
/// (workspace, kind of event, index).
pub(super) const BY_KIND: TableDefinition<'_, (u32, u8, u64), ()> = TableDefinition::new("by_kind");
/// (workspace, folded name, index of a recorded refusal that spoke of it), whether or not a secret
/// ever had the name.
pub(super) const DENIED_NAMES: TableDefinition<'_, (u32, &str, u64), ()> =
    TableDefinition::new("denied_names");
/// (workspace, time) → first index whose time is later than that of every entry before it.
pub(super) const TIMES: TableDefinition<'_, (u32, u64), u64> = TableDefinition::new("times");
/// (workspace, or [`NO_WORKSPACE`], stream sequence) → [`ProblemRecord`].
pub(super) const PROBLEMS: TableDefinition<'_, (u32, u64), &[u8]> =
    TableDefinition::new("problems");
/// (workspace, folded name, ordinal): every name that a secret ever had.
pub(super) const FORMER_NAMES: TableDefinition<'_, (u32, &str, u32), ()> =
    TableDefinition::new("former_names");

/// (workspace, secret's ordinal, version) of a version that is ended and not yet erased.
pub(super) const ENDING: TableDefinition<'_, (u32, u32, u32), ()> = TableDefinition::new("ending");
/// (workspace, workflow) → workflow.
pub(super) const WORKFLOWS: TableDefinition<'_, (u32, &str), &[u8]> =
    TableDefinition::new("workflows");
/// (workspace, secret's name, workflow, block): who references a name.
pub(super) const USES: TableDefinition<'_, (u32, &str, &str, &str), ()> =
    TableDefinition::new("uses");

/// Stands for a message whose subject is no workspace's.
pub(super) const NO_WORKSPACE: u32 = u32::MAX;

/// The ordinal that stands for the ledger's own key, and for whoever made the workspace.
pub const LEDGER_ORDINAL: u32 = 0;

/// Where a workspace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceHead {
    /// Its name.
    pub name: WorkspaceName,
    /// Its own row of the state.
    pub row: WorkspaceRow,
    /// Number of entries.
    pub size: TreeSize,
    /// Compact range of its tree.
    pub tree: Vec<Digest>,
    /// The last message on its subject, commit or not.
    pub sequence: Sequence,
    /// Latest time of any entry.
    pub latest: u64,
    /// Why nothing more of it is folded in, when something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Rejection>,
}

/// A message that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `foreign`, `stale`, or the code that stopped the workspace.
    pub kind: String,
    /// The words.
    pub detail: String,
    /// The message.
    pub sequence: Sequence,
    /// The workspace, when its subject is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceName>,
}

/// A secret as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretRecord {
    pub(super) id: SecretId,
    pub(super) secret: Secret,
}

/// A member as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) identity: Identity,
    pub(super) member: Member,
}

/// A workflow as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkflowRecord {
    pub(super) name: Label,
    pub(super) workflow: Workflow,
}
