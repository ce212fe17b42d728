//! Events: the results of a command, in the past tense. They never repeat the command's fields,
//! which are in the same entry.

use serde::{Deserialize, Serialize};

use crate::command::Nothing;
use crate::ids::{Blob, Digest, Epoch, Identity, MemberId, Millis, ObjectId, SecretId, Version};
use crate::names::{HostPattern, SecretName};

/// The kind of an event: its number and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKind {
    /// Identifies the kind in indexes. A number is never reused.
    pub number: u8,
    /// The name on the wire.
    pub name: &'static str,
}

/// The table of events. The enum, its serde names, [`Event::kind`] and [`KINDS`] come from it.
macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($facts:ty) = $number:literal, $name:literal;)*) => {
        /// One fact: a result of a command.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $name)] $variant($facts),)*
        }

        impl Event {
            /// The event's kind.
            pub const fn kind(&self) -> EventKind {
                match self {
                    $(Self::$variant(_) => EventKind { number: $number, name: $name },)*
                }
            }
        }

        /// Every kind of event, by number.
        pub const KINDS: &[EventKind] = &[$(EventKind { number: $number, name: $name },)*];
    };
}

events! {
    /// The workspace exists. The event names the key that signs its commits.
    WorkspaceCreated(WorkspaceCreated) = 1, "workspace.created";
    /// A member was added.
    MemberAdded(Nothing) = 2, "member.added";
    /// A member's name or permissions changed.
    MemberChanged(Nothing) = 3, "member.changed";
    /// A member was removed.
    MemberRemoved(Nothing) = 4, "member.removed";
    /// A secret exists. The event names the object that holds its first value.
    SecretCreated(Stored) = 5, "secret.created";
    /// A secret has a new current version. The event names the object that holds it.
    SecretEdited(Stored) = 6, "secret.edited";
    /// A secret's description changed.
    SecretDescribed(Nothing) = 7, "secret.described";
    /// A secret was renamed.
    SecretRenamed(Nothing) = 8, "secret.renamed";
    /// Values were released.
    SecretRevealed(SecretRevealed) = 9, "secret.revealed";
    /// A secret was deleted.
    SecretDeleted(Nothing) = 10, "secret.deleted";
    /// A deleted secret was restored.
    SecretRestored(Nothing) = 11, "secret.restored";
    /// Values were destroyed.
    SecretDestroyed(SecretDestroyed) = 12, "secret.destroyed";
    /// A workflow was saved.
    WorkflowSaved(Nothing) = 13, "workflow.saved";
    /// A workflow was removed.
    WorkflowRemoved(Nothing) = 14, "workflow.removed";
    /// New values are wrapped under a new generation of the key.
    KeyRotated(KeyRotated) = 15, "key.rotated";
    /// A delegation was revoked.
    DelegationRevoked(DelegationRevoked) = 16, "delegation.revoked";
    /// A member was refused.
    AccessDenied(AccessDenied) = 17, "access.denied";
    /// Destroyed values were erased in the vault.
    ValueErased(Nothing) = 18, "value.erased";
    /// Stored values that nothing refers to were erased.
    ValuesSwept(Nothing) = 19, "values.swept";
    /// Values were lost.
    ValuesLost(Nothing) = 20, "values.lost";
    /// A generation of the wrapping key was erased.
    KeyErased(Nothing) = 21, "key.erased";
    /// A recovery could not restore all entries.
    LogTruncated(Nothing) = 22, "log.truncated";
    /// Refusals that have no entries of their own.
    DenialsSummarized(Nothing) = 23, "denials.summarized";
    /// A sign-in was opened.
    SignInOpened(SignInOpened) = 24, "signin.opened";
    /// A sign-in was closed before its end.
    SignInClosed(SignInClosed) = 25, "signin.closed";
    /// Somebody was invited.
    MemberInvited(MemberInvited) = 26, "member.invited";
    /// An invitation was accepted. Without `member.added` beside it, an owner has to confirm.
    MemberAccepted(MemberAccepted) = 27, "member.accepted";
    /// An owner confirmed who accepted.
    MemberConfirmed(Nothing) = 28, "member.confirmed";
    /// An invitation was ended.
    MemberRevoked(Nothing) = 29, "member.revoked";
}

/// Facts of `workspace.created`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceCreated {
    /// The ledger's online key.
    pub key: Identity,
    /// Its serial.
    pub serial: u32,
    /// The statement about this key, signed by the ledger's id.
    pub statement: Blob,
}

/// Where a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The position among the command's values, from 0.
    pub item: u32,
    /// The epoch whose key wraps it.
    pub epoch: Epoch,
    /// Its object in the vault.
    pub place: ObjectId,
}

/// Facts of `secret.revealed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRevealed {
    /// The released values, in the order of the command.
    pub secrets: Vec<Revealed>,
}

/// One released value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// The secret.
    pub id: SecretId,
    /// Its name at that time.
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
    /// The destroyed versions.
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
    /// The identities whose delegations to the key were revoked, when the command named none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<MemberId>,
}

/// Facts of `member.invited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberInvited {
    /// When the code ends.
    pub until: Millis,
}

/// Facts of `member.accepted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAccepted {
    /// Until when an owner can confirm it; absent when the member has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// Who accepted.
    pub member: MemberId,
}

/// Facts of `signin.opened`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInOpened {
    /// When it ends.
    pub until: Millis,
    /// For whom the key acts.
    pub member: MemberId,
}

/// Facts of `signin.closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInClosed {
    /// The actor's oldest sign-in, which made room for a new one; absent when the command names
    /// the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Identity>,
}

/// Facts of `access.denied`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessDenied {
    /// The reason.
    pub reason: DenialReason,
}

/// The reason for the refusal of a member.
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
    /// The delegation has ended, was revoked or does not cover the action.
    #[serde(rename = "delegation")]
    Delegation,
    /// The sign-in has ended.
    #[serde(rename = "signin")]
    SignIn,
    /// The act needs the member's own key.
    #[serde(rename = "own_key")]
    OwnKey,
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
            Self::SignIn => "signin",
            Self::OwnKey => "own_key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive_and_names_are_unique() {
        let numbers: Vec<u8> = KINDS.iter().map(|kind| kind.number).collect();
        let expected: Vec<u8> = (1..).take(KINDS.len()).collect();
        assert_eq!(numbers, expected);
        let names: std::collections::BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
    }
}
