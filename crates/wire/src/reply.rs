//! Requests with commands, and all replies.

mod audit;
mod secrets;
mod service;
mod workspace;

use keyroll_core::command::Nothing;
use keyroll_core::cose::Form;
use keyroll_core::{Blob, Digest, Event, Index, Millis, Rejection, SecretName, TreeSize, Version};
use serde::{Deserialize, Serialize};

pub use audit::{AuditRow, AuditRows, CheckpointNote, Commits, LogProblem, RunRow, SecretVersion};
pub use secrets::{
    READER_ROWS, SecretReader, SecretRow, SecretRows, UsedBy, VersionRow, VersionRows,
};
pub use service::{
    IssuedCredential, ProjectionDigest, ProjectionRebuild, ProjectionStatus, Recovered,
    RecoveryPlan, RecoveryRow, Status, StorageProblem, StorageReport,
};
pub use workspace::{
    AcceptedRow, InvitationRow, InvitationRows, KeyStatus, MemberRow, MemberRows, SignInRow,
    SignInRows, WorkspaceAt, WorkspaceRow, WorkspaceRows,
};

/// A signed command with the values that belong to it.
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

/// A sealed value and its data key, which is sealed for the transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// The data key under the session's secret.
    pub key: Blob,
    /// The sealed value.
    pub sealed: Blob,
}

/// The reply to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CommandReply {
    /// The command is an entry. A recorded refusal is one too: see the entry's events.
    #[serde(rename = "done")]
    Committed(CommittedCommand),
    /// There is no entry: a signed [`Reply`] with the error.
    #[serde(rename = "refused")]
    Refused(Blob),
}

/// A command that became an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommittedCommand {
    /// The receipt.
    pub receipt: Receipt,
    /// Released values, in the order of the command; empty when the command was executed before.
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

/// A reply that the ledger signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Version of the form, 1.
    pub v: u32,
    /// The answer or the refusal.
    pub body: ReplyBody,
    /// Root of the workspace's tree at `size`; of the empty tree for replies about the ledger.
    pub root: Digest,
    /// The size of the tree that the answer is based on.
    pub size: TreeSize,
    /// SHA-256 of the signed query or command.
    pub request: Digest,
    /// Proof that `root` extends the size that the caller had seen.
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

/// An answer, under the name of its question.
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
    /// To `signin.list`.
    #[serde(rename = "signin.list")]
    SignInList(SignInRows),
    /// Invitations.
    #[serde(rename = "invitation.list")]
    InvitationList(InvitationRows),
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
    #[serde(rename = "ledger.credential")]
    LedgerCredential(IssuedCredential),
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

/// The result of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DryRunEvents {
    /// The events that the command would lead to now. Empty when it was executed before.
    pub events: Vec<Event>,
}

/// The keys that a client needs before its first request. Each statement is signed; the whole is
/// not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceInfo {
    /// The service's clock.
    pub now: Millis,
    /// Signed statement of the ledger's online key.
    pub ledger_key: Blob,
    /// Signed statement of the sealing key of the current period.
    pub sealing_key: Blob,
}
