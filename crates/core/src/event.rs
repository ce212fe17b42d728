//! Events: what came of a command. Past tense, and never a repetition of the command's fields,
//! which stand beside them in the entry.

use serde::{Deserialize, Serialize};

use crate::command::Nothing;
use crate::ids::{Blob, Digest, Epoch, Identity, Place, SecretId, Version};
use crate::names::{HostPattern, SecretName};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Event {
    /// The workspace exists, and which key signs its commits.
    #[serde(rename = "workspace.created")]
    WorkspaceCreated(WorkspaceCreated),
    /// Somebody is let in.
    #[serde(rename = "member.added")]
    MemberAdded(Nothing),
    /// A member is called and may do something else.
    #[serde(rename = "member.changed")]
    MemberChanged(Nothing),
    /// A member is out.
    #[serde(rename = "member.removed")]
    MemberRemoved(Nothing),
    /// A secret exists, and where its first value lies.
    #[serde(rename = "secret.created")]
    SecretCreated(Stored),
    /// A secret has a new current version, and where it lies.
    #[serde(rename = "secret.edited")]
    SecretEdited(Stored),
    /// Something else is said of a secret.
    #[serde(rename = "secret.described")]
    SecretDescribed(Nothing),
    /// A secret has another name.
    #[serde(rename = "secret.renamed")]
    SecretRenamed(Nothing),
    /// Values were released.
    #[serde(rename = "secret.revealed")]
    SecretRevealed(SecretRevealed),
    /// A secret is hidden.
    #[serde(rename = "secret.deleted")]
    SecretDeleted(Nothing),
    /// A deleted secret is back.
    #[serde(rename = "secret.restored")]
    SecretRestored(Nothing),
    /// Values are ended; which ones.
    #[serde(rename = "secret.destroyed")]
    SecretDestroyed(SecretDestroyed),
    /// A workflow's use of secrets is known.
    #[serde(rename = "workflow.saved")]
    WorkflowSaved(Nothing),
    /// A workflow is forgotten.
    #[serde(rename = "workflow.removed")]
    WorkflowRemoved(Nothing),
    /// New values are wrapped under a new generation.
    #[serde(rename = "key.rotated")]
    KeyRotated(KeyRotated),
    /// A delegation has ended.
    #[serde(rename = "delegation.revoked")]
    DelegationRevoked(Nothing),
    /// A member was refused.
    #[serde(rename = "access.denied")]
    AccessDenied(AccessDenied),
    /// Destroyed values are erased in the vault.
    #[serde(rename = "value.erased")]
    ValueErased(Nothing),
    /// Values that nothing refers to are erased.
    #[serde(rename = "values.swept")]
    ValuesSwept(Nothing),
    /// Values could not be kept.
    #[serde(rename = "values.lost")]
    ValuesLost(Nothing),
    /// A generation of the wrapping key is erased.
    #[serde(rename = "key.erased")]
    KeyErased(Nothing),
    /// Entries were lost in an honest recovery.
    #[serde(rename = "log.truncated")]
    LogTruncated(Nothing),
    /// Refusals without entries of their own.
    #[serde(rename = "denials.summarized")]
    DenialsSummarized(Nothing),
}

/// Facts of `workspace.created`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceCreated {
    /// The ledger's online key.
    pub key: Identity,
    /// Its serial.
    pub serial: u32,
    /// The statement, signed by the ledger's id, that says so.
    pub statement: Blob,
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Which of the command's values, from 0.
    pub item: u32,
    /// The epoch whose key wraps it.
    pub epoch: Epoch,
    /// Its place in the vault.
    pub place: Place,
}

/// Facts of `secret.revealed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRevealed {
    /// What was released, in the order asked for.
    pub secrets: Vec<Revealed>,
}

/// One released value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// The secret.
    pub id: SecretId,
    /// Its name then.
    pub name: SecretName,
    /// Hosts it may be sent to.
    pub hosts: Vec<HostPattern>,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// The version.
    pub version: Version,
}

/// Facts of `secret.destroyed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDestroyed {
    /// The versions that this ended.
    pub versions: Vec<Version>,
}

/// Facts of `key.rotated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRotated {
    /// The new generation.
    pub epoch: Epoch,
}

/// Facts of `access.denied`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessDenied {
    /// Why.
    pub reason: DenialReason,
}

/// Why a member was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DenialReason {
    /// The membership has ended.
    #[serde(rename = "expired")]
    Expired,
    /// The role does not allow the action.
    #[serde(rename = "role")]
    Role,
    /// A name is outside the member's patterns.
    #[serde(rename = "scope")]
    Scope,
    /// The secret is for blocks only.
    #[serde(rename = "restricted")]
    Restricted,
    /// The delegation is over, revoked or does not cover the action.
    #[serde(rename = "delegation")]
    Delegation,
}

impl DenialReason {
    /// The reason's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Role => "role",
            Self::Scope => "scope",
            Self::Restricted => "restricted",
            Self::Delegation => "delegation",
        }
    }
}

impl Event {
    /// The event's name on the wire, with a number that stands for it in indexes. Numbers are
    /// never used again.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::WorkspaceCreated(_) => Kind(1, "workspace.created"),
            Self::MemberAdded(_) => Kind(2, "member.added"),
            Self::MemberChanged(_) => Kind(3, "member.changed"),
            Self::MemberRemoved(_) => Kind(4, "member.removed"),
            Self::SecretCreated(_) => Kind(5, "secret.created"),
            Self::SecretEdited(_) => Kind(6, "secret.edited"),
            Self::SecretDescribed(_) => Kind(7, "secret.described"),
            Self::SecretRenamed(_) => Kind(8, "secret.renamed"),
            Self::SecretRevealed(_) => Kind(9, "secret.revealed"),
            Self::SecretDeleted(_) => Kind(10, "secret.deleted"),
            Self::SecretRestored(_) => Kind(11, "secret.restored"),
            Self::SecretDestroyed(_) => Kind(12, "secret.destroyed"),
            Self::WorkflowSaved(_) => Kind(13, "workflow.saved"),
            Self::WorkflowRemoved(_) => Kind(14, "workflow.removed"),
            Self::KeyRotated(_) => Kind(15, "key.rotated"),
            Self::DelegationRevoked(_) => Kind(16, "delegation.revoked"),
            Self::AccessDenied(_) => Kind(17, "access.denied"),
            Self::ValueErased(_) => Kind(18, "value.erased"),
            Self::ValuesSwept(_) => Kind(19, "values.swept"),
            Self::ValuesLost(_) => Kind(20, "values.lost"),
            Self::KeyErased(_) => Kind(21, "key.erased"),
            Self::LogTruncated(_) => Kind(22, "log.truncated"),
            Self::DenialsSummarized(_) => Kind(23, "denials.summarized"),
        }
    }
}

/// What sort of event: its number and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8, pub &'static str);

/// Every event's name with its number.
pub const KINDS: [Kind; 23] = [
    Kind(1, "workspace.created"),
    Kind(2, "member.added"),
    Kind(3, "member.changed"),
    Kind(4, "member.removed"),
    Kind(5, "secret.created"),
    Kind(6, "secret.edited"),
    Kind(7, "secret.described"),
    Kind(8, "secret.renamed"),
    Kind(9, "secret.revealed"),
    Kind(10, "secret.deleted"),
    Kind(11, "secret.restored"),
    Kind(12, "secret.destroyed"),
    Kind(13, "workflow.saved"),
    Kind(14, "workflow.removed"),
    Kind(15, "key.rotated"),
    Kind(16, "delegation.revoked"),
    Kind(17, "access.denied"),
    Kind(18, "value.erased"),
    Kind(19, "values.swept"),
    Kind(20, "values.lost"),
    Kind(21, "key.erased"),
    Kind(22, "log.truncated"),
    Kind(23, "denials.summarized"),
];
