//! Requests around commands, and what comes back.

mod audit;
mod service;

use keyroll_core::command::Nothing;
use keyroll_core::cose::Form;
use keyroll_core::names::{HostPattern, Text};
use keyroll_core::roles::Role;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{
    Blob, Digest, Epoch, Event, Glob, Identity, Index, MemberName, Millis, Rejection, SecretId,
    SecretName, TreeSize, Version, WorkspaceName,
};
use serde::{Deserialize, Serialize};

use crate::query::PointInTime;

pub use audit::{AuditRow, AuditRows, CheckpointNote, Commits, LogProblem, RunRow, SecretVersion};
pub use service::{
    ProjectionDigest, ProjectionRebuild, ProjectionStatus, Recovered, RecoveryPlan, RecoveryRow,
    Status, StorageProblem, StorageReport,
};

/// A signed command on its way, with the values that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// The largest size of the workspace that the caller has seen.
    pub seen: TreeSize,
    /// The values, in the order of the command's items.
    pub values: Vec<SealedValue>,
    /// The signed command.
    pub command: Blob,
}

/// A sealed value and its data key, sealed for its journey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// The data key under the session's secret.
    pub key: Blob,
    /// The sealed value.
    pub sealed: Blob,
}

/// What comes back for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CommandReply {
    /// It is an entry. Also a recorded refusal is one: look at the entry's events.
    #[serde(rename = "done")]
    Committed(CommittedCommand),
    /// It is no entry: a signed [`Reply`] with the error.
    #[serde(rename = "refused")]
    Refused(Blob),
}

/// A command that became an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommittedCommand {
    /// The proof.
    pub receipt: Receipt,
    /// Released values, in the order asked for; empty when the command was seen before.
    pub released: Vec<ReleasedValue>,
    /// Proof that the receipt's checkpoint extends the size the caller had seen (RFC 6962 §2.1.2).
    pub consistency: Vec<Digest>,
}

/// Proof that an entry is in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Inclusion path from the leaf to the root (RFC 6962 §2.1.1).
    pub path: Vec<Digest>,
    /// The entry's bytes.
    pub entry: Blob,
    /// Its index.
    pub index: Index,
    /// A C2SP checkpoint that holds it.
    pub checkpoint: String,
}

/// One released value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasedValue {
    /// The data key under the session's secret.
    pub key: Blob,
    /// The secret's name.
    pub name: SecretName,
    /// The sealed value.
    pub sealed: Blob,
    /// The version.
    pub version: Version,
}

/// A signed answer of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Version of the form, 1.
    pub v: u32,
    /// What it says.
    pub body: ReplyBody,
    /// Root of the workspace's tree at `size`; of the empty tree when no workspace is meant.
    pub root: Digest,
    /// The size of the workspace that the answer was made on.
    pub size: TreeSize,
    /// SHA-256 of the signed query or command it answers.
    pub request: Digest,
    /// Proof that `root` extends the size the asker had seen.
    pub consistency: Vec<Digest>,
}

impl Form for Reply {
    const NAME: &'static str = "keyroll/reply/v1";
    const TYP: &'static str = "application/vnd.keyroll.reply";
    const V: u32 = 1;
}

/// An answer or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ReplyBody {
    /// The answer.
    #[serde(rename = "answer")]
    Answer(Box<Answer>),
    /// The refusal.
    #[serde(rename = "error")]
    Error(Rejection),
}

/// Answers, each under the name of its question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each variant answers the question of the same name"
)]
pub enum Answer {
    #[serde(rename = "secret.list")]
    SecretList(SecretRows),
    #[serde(rename = "secret.show")]
    SecretShow(Box<SecretRow>),
    #[serde(rename = "secret.history")]
    SecretHistory(VersionRows),
    #[serde(rename = "member.list")]
    MemberList(MemberRows),
    #[serde(rename = "key.status")]
    KeyStatus(KeyStatus),
    #[serde(rename = "workspace.at")]
    WorkspaceAt(WorkspaceAt),
    #[serde(rename = "audit.log")]
    AuditLog(AuditRows),
    #[serde(rename = "audit.commits")]
    AuditCommits(Commits),
    #[serde(rename = "audit.prove")]
    AuditProve(Receipt),
    #[serde(rename = "audit.checkpoint")]
    AuditCheckpoint(CheckpointNote),
    #[serde(rename = "audit.extends")]
    AuditExtends(Nothing),
    #[serde(rename = "receipt")]
    Receipt(Receipt),
    #[serde(rename = "command.dry_run")]
    CommandDryRun(DryRunEvents),
    #[serde(rename = "workspace.list")]
    WorkspaceList(WorkspaceRows),
    #[serde(rename = "status")]
    Status(Box<Status>),
    #[serde(rename = "projection.status")]
    ProjectionStatus(ProjectionStatus),
    #[serde(rename = "projection.digest")]
    ProjectionDigest(ProjectionDigest),
    #[serde(rename = "projection.rebuild")]
    ProjectionRebuild(ProjectionRebuild),
    #[serde(rename = "audit.storage")]
    AuditStorage(StorageReport),
    #[serde(rename = "recover.plan")]
    RecoverPlan(RecoveryPlan),
    #[serde(rename = "recover.begin")]
    RecoverBegin(RecoveryPlan),
    #[serde(rename = "recover.finish")]
    RecoverFinish(Recovered),
}

/// What a command would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DryRunEvents {
    /// The events of its entry, as of now. None when it has been carried out before.
    pub events: Vec<Event>,
}

/// A page of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRows {
    /// What to ask for after this page, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The rows.
    pub rows: Vec<SecretRow>,
}

/// A secret as listed. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRow {
    /// Its id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// Hosts it may be sent to.
    pub hosts: Vec<HostPattern>,
    /// Whether a new value is due.
    pub stale: bool,
    /// Where it is in its life.
    pub state: Lifecycle,
    /// Whether no saved workflow references it and no value was released for 90 days.
    pub unused: bool,
    /// Blocks of saved workflows that reference it, the first 100.
    pub used_by: Vec<UsedBy>,
    /// The current version.
    pub version: Version,
    /// When it was created.
    pub created_at: Millis,
    /// Whether only runners may have it.
    pub restricted: bool,
    /// When it was changed last.
    pub updated_at: Millis,
    /// Who changed it last: key.
    pub updated_by: Identity,
    /// Words for people.
    pub description: Text,
    /// What is left of the current value of a secret that is not destroyed, when it cannot be revealed.
    /// Absent when it can be, and where a row says how the secret was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_state: Option<ValueState>,
    /// How often a new value is due, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// Who changed it last: name.
    pub updated_by_name: String,
    /// When a value was last released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_revealed_at: Option<Millis>,
}

/// A block of a saved workflow that references a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what its name says")]
pub struct UsedBy {
    pub block: String,
    pub workflow: String,
}

/// A page of a secret's versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRows {
    /// The version before which to ask for the next page, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
    /// Newest first.
    pub rows: Vec<VersionRow>,
}

/// One version. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRow {
    /// When it was made.
    pub at: Millis,
    /// `created`, `edited`, or `rolled back from N`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who made it: key.
    pub actor: Identity,
    /// What is left of its value.
    pub state: ValueState,
    /// Why, if its maker said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// Who was released its value, latest first, [`READER_ROWS`] at most; only for who may read the
    /// audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<Vec<SecretReader>>,
    /// Its number.
    pub version: Version,
    /// Who made it: name.
    pub actor_name: String,
    /// How many were released its value; beside `seen_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by_count: Option<u32>,
}

/// Most identities named for one version.
pub const READER_ROWS: usize = 100;

/// Somebody who was released a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReader {
    /// Who: key.
    pub actor: Identity,
    /// How often.
    pub count: u64,
    /// The entry that says so last.
    pub index: Index,
    /// When last.
    pub last_at: Millis,
    /// When first.
    pub first_at: Millis,
    /// Who: name.
    pub actor_name: String,
}

/// A page of members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRows {
    /// What to ask for after this page, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// In order of joining.
    pub rows: Vec<MemberRow>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRow {
    /// Display name.
    pub name: MemberName,
    /// What the member may do.
    pub role: Role,
    /// The member's public key.
    pub member: Identity,
    /// When the membership ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// Whether the member is out.
    pub removed: bool,
    /// Names of the secrets the member may touch.
    pub secrets: Vec<Glob>,
}

/// The wrapping keys of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyStatus {
    /// Values that the answering replica has copied under the new generation, or found there.
    pub done: u64,
    /// The generation in force.
    pub epoch: Epoch,
    /// Values that it has to.
    pub total: u64,
    /// Destroyed values that are not yet erased.
    pub ending: u32,
    /// Once all values are copied: messages of the old generation that are erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<u64>,
    /// Why the last attempt to erase or copy ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Rejection>,
    /// The generation being retired, while a rotation is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Epoch>,
    /// How many there are to erase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_erase: Option<u64>,
}

/// A page of workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRows {
    /// What to ask for after this page, when there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<WorkspaceName>,
    /// By name.
    pub rows: Vec<WorkspaceRow>,
}

/// A workspace the asker is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRow {
    /// The asker's role.
    pub role: Role,
    /// Number of entries.
    pub size: TreeSize,
    /// Its name.
    pub workspace: WorkspaceName,
}

/// A point in history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceAt {
    /// To the entry.
    pub at: PointInTime,
    /// The root over its entries.
    pub root: Digest,
}

/// What a client needs before it can say anything. Not signed as a whole: each part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceInfo {
    /// The service's clock.
    pub now: Millis,
    /// Signed statement of the ledger's online key.
    pub ledger_key: Blob,
    /// Signed statement of the sealing key of the present period.
    pub sealing_key: Blob,
}
