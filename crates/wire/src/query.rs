//! Queries: signed questions to the read model. A query makes no entry and releases no value.

use keyroll_core::command::Nothing;
use keyroll_core::cose::Form;
use keyroll_core::{
    Blob, CommandId, ConnectionKey, Digest, Identity, Index, LedgerId, MemberId, Millis,
    SecretName, TreeSize, Version, WorkspaceName,
};
use serde::{Deserialize, Serialize};

/// The version of the query form that this program writes.
pub const QUERY_V: u32 = 1;
/// Most rows in one answer.
pub const PAGE_ROWS: u32 = 1_000;
/// Most bytes of commits in one answer, unless a single commit has more.
pub const PAGE_BYTES: usize = 512 * 1024;

/// A question, signed by the identity that asks it or by its delegated key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Version of the form, 1.
    pub v: u32,
    /// When the query was signed.
    pub at: Millis,
    /// The question.
    pub ask: Question,
    /// The largest size of the workspace that the caller has seen: the answer is not older.
    pub seen: TreeSize,
    /// The ledger it is meant for.
    pub ledger: LedgerId,
    /// The member who asks, when a sign-in key signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The workspace; `None` for a question about the ledger as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceName>,
    /// A signed delegation, when the signing key is not the identity itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Blob>,
}

impl Form for Query {
    const NAME: &'static str = "keyroll/query/v1";
    const TYP: &'static str = "application/vnd.keyroll.query";
    const V: u32 = QUERY_V;
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Question {
    /// Secrets that the caller may list, by name.
    #[serde(rename = "secret.list")]
    SecretList(SecretList),
    /// One secret.
    #[serde(rename = "secret.show")]
    SecretShow(SecretShow),
    /// One secret's versions, newest first.
    #[serde(rename = "secret.history")]
    SecretHistory(SecretHistory),
    /// Members, former ones too.
    #[serde(rename = "member.list")]
    MemberList(MemberList),
    /// The wrapping keys of the workspace, and the progress of a rotation.
    #[serde(rename = "key.status")]
    KeyStatus(Nothing),
    /// Open sign-ins.
    #[serde(rename = "signin.list")]
    SignInList(SignInList),
    /// Invitations that nobody has joined by.
    #[serde(rename = "invitation.list")]
    InvitationList(InvitationList),
    /// The size, time and root of a point in history.
    #[serde(rename = "workspace.at")]
    WorkspaceAt(AsOf),
    /// Rows of the audit log, newest last.
    #[serde(rename = "audit.log")]
    AuditLog(AuditLog),
    /// Commits, verbatim and in order.
    #[serde(rename = "audit.commits")]
    AuditCommits(AuditCommits),
    /// One entry with its inclusion proof.
    #[serde(rename = "audit.prove")]
    AuditProve(AuditProve),
    /// The checkpoint of the read model.
    #[serde(rename = "audit.checkpoint")]
    AuditCheckpoint(Nothing),
    /// Whether the tree extends the one with this size and root. A member who is refused as a
    /// stranger asks this. Only a caller who knows the root gets an answer, so strangers learn
    /// nothing about a workspace.
    #[serde(rename = "audit.extends")]
    AuditExtends(AuditExtends),
    /// The receipt of one of the caller's own commands.
    #[serde(rename = "receipt")]
    Receipt(ReceiptQuery),
    /// The events that a signed command would lead to now; nothing is written.
    #[serde(rename = "command.dry_run")]
    CommandDryRun(CommandDryRun),
    /// Workspaces that the caller is a member of; about the ledger.
    #[serde(rename = "workspace.list")]
    WorkspaceList(WorkspaceList),
    /// A NATS user for the caller's connection; about the ledger, on a subject of its own.
    #[serde(rename = "ledger.credential")]
    LedgerCredential(LedgerCredential),
    /// The service's status; about the ledger, for operators and members.
    #[serde(rename = "status")]
    Status(Nothing),
    /// The progress of the read model; about the ledger, for operators.
    #[serde(rename = "projection.status")]
    ProjectionStatus(Nothing),
    /// Digest over the canonical dump of the read model; about the ledger, for operators.
    #[serde(rename = "projection.digest")]
    ProjectionDigest(Nothing),
    /// Drop the read model and build it again from the log; about the ledger, for operators.
    #[serde(rename = "projection.rebuild")]
    ProjectionRebuild(Nothing),
    /// Whether the streams hold what the log describes; about the ledger, for operators.
    #[serde(rename = "audit.storage")]
    AuditStorage(AuditStorage),
    /// What a recovery of the log would do; about the ledger, for operators.
    #[serde(rename = "recover.plan")]
    RecoverPlan(RecoverPlan),
    /// Stop every writer, and wait for the log to be created anew; about the ledger, for operators.
    #[serde(rename = "recover.begin")]
    RecoverBegin(RecoverBegin),
    /// Append the kept commits to the new log; about the ledger, for operators.
    #[serde(rename = "recover.finish")]
    RecoverFinish(RecoverFinish),
}

/// A root that the caller has seen, and its size. The query's own `seen` may be later by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditExtends {
    /// The root over them.
    pub root: Digest,
    /// The number of entries.
    pub size: TreeSize,
}

/// A point in history, as a person specifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum AsOf {
    /// After this many entries.
    #[serde(rename = "size")]
    Size(TreeSize),
    /// Before the first entry that is later than this.
    #[serde(rename = "time")]
    Time(Millis),
}

/// An exact point in history, as the answer to `workspace.at` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointInTime {
    /// After this many entries.
    pub size: TreeSize,
    /// The time at which expiry and rotation are evaluated.
    pub time: Millis,
}

/// Fields of `secret.list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretList {
    /// The state at that point; the current state when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<PointInTime>,
    /// Only names after this one (case folded), or the `next` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
    /// Deleted and destroyed secrets instead of active ones.
    pub deleted: bool,
}

/// A secret by name: the active one, or else the one that was deleted or destroyed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretShow {
    /// The state at that point; the current state when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<PointInTime>,
    /// The name.
    pub name: SecretName,
}

/// Fields of `secret.history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretHistory {
    /// The name.
    pub name: SecretName,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
    /// Only versions before this one; for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
}

/// Fields of `member.list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberList {
    /// The state at that point; the current state when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<PointInTime>,
    /// Only members who joined after this one, by order of joining; for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
}

/// Fields of `signin.list`: the asker's own, and those of others for owners and auditors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInList {
    /// Only sign-ins after this one; for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SignInName>,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
    /// Of this member alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
}

/// Fields of `invitation.list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationList {
    /// Only invitations after this key of a code; for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Identity>,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
}

/// Names a sign-in in its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInName {
    /// Its key.
    pub key: Identity,
    /// Whose it is.
    pub member: MemberId,
}

/// Fields of `workspace.list`. A page has [`PAGE_ROWS`] at most.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceList {
    /// Only after this name; for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<WorkspaceName>,
}

/// Fields of `audit.log`: all filters must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLog {
    /// Entries of this run of a block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Entries of this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<MemberId>,
    /// Only entries from this index on, for following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Index>,
    /// At most this many rows, [`PAGE_ROWS`] at most.
    pub limit: u32,
    /// Only entries at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Only entries before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// Events of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only entries before this index, for the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Index>,
    /// Entries that concern a secret with this name, now or formerly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Entries with this outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AuditOutcome>,
}

/// Whether the actor was granted the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// Yes.
    Granted,
    /// No.
    Denied,
}

/// Fields of `audit.commits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditCommits {
    /// The commit that holds this index, and those after it.
    pub first: Index,
}

/// Fields of `audit.prove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditProve {
    /// The entry.
    pub index: Index,
}

/// Fields of `receipt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptQuery {
    /// The command.
    pub command: CommandId,
}

/// Fields of `command.dry_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandDryRun {
    /// The command, signed by the caller as for execution. Its values are not sent.
    pub command: Blob,
}

/// Most workspaces that one NATS user may reach: its JWT stays below what a nats-server takes in one line.
pub const CREDENTIAL_WORKSPACES: usize = 256;

/// Fields of `ledger.credential`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerCredential {
    /// The key of the connection that the NATS user is for.
    pub connection: ConnectionKey,
    /// The workspaces that it shall reach, [`CREDENTIAL_WORKSPACES`] at most.
    pub workspaces: Vec<WorkspaceName>,
}

/// Fields of `audit.storage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditStorage {
    /// The workspace whose values are looked up.
    pub workspace: WorkspaceName,
}

/// Fields of `recover.plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverPlan {
    /// The largest size of each workspace that the operator has seen.
    pub seen: Vec<TrustedSize>,
}

/// The largest size of a workspace that somebody has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedSize {
    /// The size.
    pub size: TreeSize,
    /// The workspace.
    pub workspace: WorkspaceName,
}

/// Fields of `recover.begin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverBegin {
    /// The digest of the plan that the operator has seen: no other plan is executed.
    pub plan: Digest,
    /// As in the question for the plan.
    pub seen: Vec<TrustedSize>,
}

/// Fields of `recover.finish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverFinish {
    /// The plan that was started.
    pub plan: Digest,
}
