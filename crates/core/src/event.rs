//! Events: what came of a command. Past tense, and never a repetition of the command's fields,
//! which stand beside them in the entry.

use serde::{Deserialize, Serialize};

use crate::command::Nothing;
use crate::ids::{Blob, Digest, Epoch, Identity, ObjectId, SecretId, Version};
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
    DelegationRevoked(DelegationRevoked),
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
    pub place: ObjectId,
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

/// Facts of `delegation.revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationRevoked {
    /// Whose delegations to the key have ended, when the command did not name the identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
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
            Self::WorkspaceCreated(_) => KINDS[0],
            Self::MemberAdded(_) => KINDS[1],
            Self::MemberChanged(_) => KINDS[2],
            Self::MemberRemoved(_) => KINDS[3],
            Self::SecretCreated(_) => KINDS[4],
            Self::SecretEdited(_) => KINDS[5],
            Self::SecretDescribed(_) => KINDS[6],
            Self::SecretRenamed(_) => KINDS[7],
            Self::SecretRevealed(_) => KINDS[8],
            Self::SecretDeleted(_) => KINDS[9],
            Self::SecretRestored(_) => KINDS[10],
            Self::SecretDestroyed(_) => KINDS[11],
            Self::WorkflowSaved(_) => KINDS[12],
            Self::WorkflowRemoved(_) => KINDS[13],
            Self::KeyRotated(_) => KINDS[14],
            Self::DelegationRevoked(_) => KINDS[15],
            Self::AccessDenied(_) => KINDS[16],
            Self::ValueErased(_) => KINDS[17],
            Self::ValuesSwept(_) => KINDS[18],
            Self::ValuesLost(_) => KINDS[19],
            Self::KeyErased(_) => KINDS[20],
            Self::LogTruncated(_) => KINDS[21],
            Self::DenialsSummarized(_) => KINDS[22],
        }
    }
}

/// What sort of event: its number and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8, pub &'static str);

/// Every event's name with its number, which is its place here counted from 1.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_and_names_are_used_once() {
        let numbers: Vec<u8> = KINDS.iter().map(|kind| kind.0).collect();
        let places: Vec<u8> = (1..).take(KINDS.len()).collect();
        assert_eq!(numbers, places);
        let names: std::collections::BTreeSet<&str> = KINDS.iter().map(|kind| kind.1).collect();
        assert_eq!(names.len(), KINDS.len());
    }
}
