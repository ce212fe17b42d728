//! Replies about workspaces, their members and their keys.

use keyroll_core::names::ClaimedOrigin;
use keyroll_core::roles::Role;
use keyroll_core::{
    Digest, Epoch, Glob, Identity, MemberId, MemberName, Millis, Rejection, TreeSize, WorkspaceName,
};
use serde::{Deserialize, Serialize};

use crate::query::{PointInTime, SignInName};

/// A page of members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRows {
    /// The `after` of the next page, when there is one.
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
    /// The member's role.
    pub role: Role,
    /// The member's public key.
    pub member: MemberId,
    /// When the membership ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// Whether the member was removed.
    pub removed: bool,
    /// Patterns for the names of the secrets that the member may use.
    pub secrets: Vec<Glob>,
}

/// The wrapping keys of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyStatus {
    /// Values that the answering replica has copied to the new generation, or found there.
    pub done: u64,
    /// The generation in force.
    pub epoch: Epoch,
    /// Values to copy.
    pub total: u64,
    /// Destroyed values that are not erased yet.
    pub ending: u32,
    /// Once all values are copied: messages of the old generation that are erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<u64>,
    /// Why the last attempt to erase or copy stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Rejection>,
    /// The generation being retired, while a rotation is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Epoch>,
    /// The number of messages to erase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_erase: Option<u64>,
}

/// A page of workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRows {
    /// The `after` of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<WorkspaceName>,
    /// By name.
    pub rows: Vec<WorkspaceRow>,
}

/// A workspace that the caller is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRow {
    /// The caller's role.
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
    /// The exact point.
    pub at: PointInTime,
    /// The root over its entries.
    pub root: Digest,
}

/// A page of open sign-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInRows {
    /// The `after` of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<SignInName>,
    /// By member and key.
    pub rows: Vec<SignInRow>,
}

/// An open sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInRow {
    /// Its key.
    pub key: Identity,
    /// The member's name.
    pub name: MemberName,
    /// When it ends by itself.
    pub until: Millis,
    /// Where it is used, as its user claimed.
    #[serde(rename = "where")]
    pub origin: ClaimedOrigin,
    /// Whose it is.
    pub member: MemberId,
    /// When it was opened in this workspace.
    pub opened: Millis,
}

/// A page of invitations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationRows {
    /// The `after` of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Identity>,
    /// By the key of the code.
    pub rows: Vec<InvitationRow>,
}

/// An invitation that nobody has joined by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationRow {
    /// Who invited.
    pub by: MemberId,
    /// The public half of the code's key.
    pub key: Identity,
    /// Name of the new member.
    pub name: MemberName,
    /// The new member's role.
    pub role: Role,
    /// When the code ends; once it is accepted, until when an owner can confirm that.
    pub until: Millis,
    /// The inviter's name.
    pub by_name: MemberName,
    /// When the membership ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// Patterns for the names of the secrets that the new member may use.
    pub secrets: Vec<Glob>,
    /// Who accepted, and waits for an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedRow>,
}

/// Who accepted an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedRow {
    /// When.
    pub at: Millis,
    /// Who.
    pub member: MemberId,
}
