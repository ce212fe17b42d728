//! Tables and rows. Keys begin with the workspace's number (order of first appearance in the log)
//! and continue with a value that grows, so that writes stay near the end of each tree.

use keyroll_core::names::Label;
use keyroll_core::state::{Member, Secret, VersionInfo, Workflow, WorkspaceRow};
use keyroll_core::{
    Digest, Index, MemberId, Millis, Rejection, SecretId, Sequence, TreeSize, Version,
    WorkspaceName,
};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

/// Version of the tables and rows; any other is rebuilt.
pub const SCHEMA: u32 = 11;

/// `schema`, `ledger`, `sequence` (last message), `digest` (SHA-256 of that message).
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Workspace number → [`WorkspaceHead`].
pub(super) const WORKSPACES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("workspaces");
/// Workspace name → number.
pub(super) const WORKSPACE_NUMBERS: TableDefinition<'_, &str, u32> =
    TableDefinition::new("workspace_numbers");
/// (workspace, index) → piece of a commit: where the entry of that index begins in it, two bytes,
/// 0 unless the commit begins here, and the commit's bytes from there on, to the next piece.
pub(super) const COMMITS: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("commits");
/// (workspace, level, block) → up to 32 hashes of complete subtrees that follow each other, levels
/// 0, 8, 16, 24 only. Block `b` begins at index `32 b`: a row for each hash cost more than the
/// hash.
pub(super) const NODES: TableDefinition<'_, (u32, u8, u64), &[u8]> = TableDefinition::new("nodes");
/// (workspace, ordinal) → [`SecretRecord`], without the time of the last release.
pub(super) const SECRETS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("secrets");
/// (workspace, secret's ordinal) → when a value of it was last released: what changes most often
/// is a row of its own, and a small one.
pub(super) const LAST_REVEALED: TableDefinition<'_, (u32, u32), u64> =
    TableDefinition::new("last_revealed");
/// (workspace, folded name, ordinal): every secret under its present name.
pub(super) const SECRET_NAMES: TableDefinition<'_, (u32, &str, u32), ()> =
    TableDefinition::new("secret_names");
/// (workspace, ordinal, version) → version.
pub(super) const VERSIONS: TableDefinition<'_, (u32, u32, u32), &[u8]> =
    TableDefinition::new("versions");
/// (workspace, public key) → member.
pub(super) const MEMBERS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("members");
/// (member, workspace) of every membership that was not removed. It may have expired.
pub(super) const MEMBERSHIPS: TableDefinition<'_, (&[u8; 32], u32), ()> =
    TableDefinition::new("memberships");
/// (workspace, public key) → refusals.
pub(super) const DENIALS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("denials");
/// (workspace, identity, key) of a delegation that was revoked.
pub(super) const REVOKED: TableDefinition<'_, (u32, &[u8; 32], &[u8; 32]), ()> =
    TableDefinition::new("revoked");
/// (workspace, identity, key) of a delegation that was seen in use → its end.
pub(super) const DELEGATIONS: TableDefinition<'_, (u32, &[u8; 32], &[u8; 32]), u64> =
    TableDefinition::new("delegations");
/// (workspace, member, key) of a sign-in that is remembered → sign-in.
pub(super) const SIGN_INS: TableDefinition<'_, SignInKey<'_>, &[u8]> =
    TableDefinition::new("sign_ins");
type SignInKey<'a> = (u32, &'a [u8; 32], &'a [u8; 32]);
/// (workspace, member) → sign-ins opened and closed.
pub(super) const SIGN_IN_COUNTS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("sign_in_counts");
/// (workspace, key of the code) of an invitation that nobody has joined by → invitation.
pub(super) const INVITATIONS: TableDefinition<'_, (u32, &[u8; 32]), &[u8]> =
    TableDefinition::new("invitations");
/// (workspace, member's ordinal, command id) → index.
pub(super) const RECEIPTS: TableDefinition<'_, (u32, u32, &[u8; 16]), u64> =
    TableDefinition::new("receipts");
/// (workspace, secret's ordinal, index) → the entry's time when it released a value of the secret,
/// else 0.
pub(super) const BY_SECRET: TableDefinition<'_, (u32, u32, u64), u64> =
    TableDefinition::new("by_secret");
/// (workspace, secret's ordinal, index) → [`SecretRecord`] as that entry left it. Reveals write
/// none: they change nothing but the time of the last one, which `by_secret` has.
pub(super) const SECRETS_SINCE: TableDefinition<'_, (u32, u32, u64), &[u8]> =
    TableDefinition::new("secrets_since");
/// (workspace, member's ordinal, index) → [`MemberRecord`] as that entry left it.
pub(super) const MEMBERS_SINCE: TableDefinition<'_, (u32, u32, u64), &[u8]> =
    TableDefinition::new("members_since");
/// (workspace, secret's ordinal, version, public key) → [`Exposure`]: last, count, first, index.
pub(super) const EXPOSURES: TableDefinition<'_, ExposureKey<'_>, (u64, u64, u64, u64)> =
    TableDefinition::new("seen");
type ExposureKey<'a> = (u32, u32, u32, &'a [u8; 32]);
/// (workspace, member's ordinal, window) → which of the window's entries are the member's.
pub(super) const BY_ACTOR: TableDefinition<'_, (u32, u32, u64), &[u8; 32]> =
    TableDefinition::new("by_actor");
/// (workspace, kind of event, window) → which of the window's entries have such an event.
pub(super) const BY_KIND: TableDefinition<'_, (u32, u32, u64), &[u8; 32]> =
    TableDefinition::new("by_kind");
/// (workspace, folded name, index of a recorded refusal about it), whether or not a secret ever had
/// the name.
pub(super) const DENIED_NAMES: TableDefinition<'_, (u32, &str, u64), ()> =
    TableDefinition::new("denied_names");
/// (workspace, [`run_key`] of a block's run, index of an entry of that run).
pub(super) const BY_RUN: TableDefinition<'_, (u32, u64, u64), ()> = TableDefinition::new("by_run");
/// (workspace, time) → first index whose time is later than that of every entry before it.
pub(super) const TIMES: TableDefinition<'_, (u32, u64), u64> = TableDefinition::new("times");
/// (workspace, or [`NO_WORKSPACE`], stream sequence) → [`Problem`].
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

/// (workspace, secret's name, workflow, block, index) → whether that block references the name
/// since that entry.
pub(super) const USES_SINCE: TableDefinition<'_, (u32, &str, &str, &str, u64), bool> =
    TableDefinition::new("uses_since");

/// The key of a run in an index: the first bytes of SHA-256 of its name, which may be long. A
/// collision costs an answer only time, because rows are compared by name.
pub fn run_key(run: &str) -> u64 {
    let digest = Digest::of(run.as_bytes()).0;
    digest
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// Stands for a message whose subject is no workspace's.
pub(super) const NO_WORKSPACE: u32 = u32::MAX;

/// The ordinal that stands for the ledger's own key, and for the creator of the workspace.
pub const LEDGER_ORDINAL: u32 = 0;

/// The head of a workspace, as stored.
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

/// An anomalous message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `foreign`, `stale`, or the code that stopped the workspace.
    pub kind: String,
    /// A description.
    pub detail: String,
    /// The message.
    pub sequence: Sequence,
    /// The workspace, when its subject is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceName>,
}

/// A secret as stored: what a list shows of it, in one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Its id.
    pub id: SecretId,
    /// The secret, without its versions.
    pub secret: Secret,
    /// The current version.
    pub version: Version,
    /// When the first version was made.
    pub created_at: Millis,
    /// When the current version was made.
    pub renewed_at: Millis,
}

impl SecretRecord {
    /// The record of a secret, without its versions.
    pub fn of(id: SecretId, secret: &Secret) -> Self {
        let at = |version: Option<&VersionInfo>| version.map_or(secret.updated_at, |info| info.at);
        Self {
            id,
            version: secret.current(),
            created_at: at(secret.versions.first()),
            renewed_at: at(secret.versions.last()),
            secret: Secret {
                name: secret.name.clone(),
                hosts: secret.hosts.clone(),
                ordinal: secret.ordinal,
                lifecycle: secret.lifecycle,
                restricted: secret.restricted,
                description: secret.description.clone(),
                rotate_every: secret.rotate_every,
                updated_at: secret.updated_at,
                updated_by: secret.updated_by,
                last_revealed_at: secret.last_revealed_at,
                versions: Vec::new(),
            },
        }
    }
}

/// The reveals of one version to one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// When last.
    pub last: Millis,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Millis,
    /// The entry of the last one.
    pub index: Index,
}

/// A member as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) identity: MemberId,
    pub(super) member: Member,
}

/// A workflow as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkflowRecord {
    pub(super) name: Label,
    pub(super) workflow: Workflow,
}
