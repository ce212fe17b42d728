//! The rows of a state. The read model stores the same types in their CBOR form.

use serde::{Deserialize, Serialize};

use crate::command::{BlockUse, MemberRecord};
use crate::event::WorkspaceCreated;
use crate::ids::{Digest, Epoch, MemberId, Millis, ObjectId, TreeSize, Version};
use crate::limits;
use crate::names::{ClaimedOrigin, Glob, HostPattern, MemberName, SecretName, Text};
use crate::roles::Role;
use crate::rules::Rules;
use crate::sign_in::Principal;

/// The workspace itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkspaceRow {
    /// Time of the last entry.
    pub at: Millis,
    /// Generation whose key wraps new values; 0 before the workspace exists.
    pub epoch: Epoch,
    /// Destroyed versions that are not erased yet.
    pub ending: u32,
    /// The facts of the first entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<WorkspaceCreated>,
    /// The generation being retired: its values are copied under `epoch`, then it is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Epoch>,
    /// The highest size that a recovery could not restore, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<TreeSize>,
    /// Members so far: the last assigned ordinal. 0 is the ledger's own key.
    pub last_member: u32,
    /// Secrets so far: the last assigned ordinal.
    pub last_secret: u32,
    /// The rules that decided the last entry: no older rules may decide a later one.
    #[serde(default, skip_serializing_if = "Rules::is_first")]
    pub rules: Rules,
}

impl WorkspaceRow {
    /// The oldest generation that values may be stored under; earlier ones are erased for good.
    pub fn oldest_epoch(&self) -> Epoch {
        self.retiring.unwrap_or(self.epoch)
    }

    /// Whether values remain to be copied or erased.
    pub const fn is_unfinished(&self) -> bool {
        self.ending > 0 || self.retiring.is_some()
    }

    /// The time to use at clock time `clock`, for entries and for expiry. A clock slightly behind
    /// the last entry counts as that entry's time. A larger step back is taken as it is, so that
    /// one wrong clock cannot stop a workspace.
    pub fn time_at(&self, clock: Millis) -> Millis {
        let back = self.at.0.saturating_sub(clock.0);
        if back > 0 && back < limits::HOLD_MS {
            self.at
        } else {
            clock
        }
    }

    /// The generation that a version is stored under, and a second one to try. A generation is
    /// retired only after all its values are copied, so a value that is missing under the first is
    /// under the second.
    pub fn epochs_of(&self, version: &VersionInfo) -> (Epoch, Option<Epoch>) {
        match self.retiring {
            Some(old) if version.epoch < self.epoch => (old, Some(self.epoch)),
            _ => (self.epoch, None),
        }
    }
}

/// A member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Display name.
    pub name: MemberName,
    /// The member's role.
    pub role: Role,
    /// When the membership ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// Whether the member was removed.
    pub removed: bool,
    /// Patterns for the names of the secrets that the member may use.
    pub secrets: Vec<Glob>,
    /// Order of first joining, from 1: a short key for indexes.
    pub ordinal: u32,
    /// When the member was last added.
    pub joined: Millis,
}

impl Member {
    /// Whether a name is within the member's patterns.
    pub fn covers(&self, name: &SecretName) -> bool {
        self.secrets.iter().any(|glob| glob.matches(name))
    }

    /// Whether one of the member's patterns covers every name.
    pub fn covers_all(&self) -> bool {
        self.secrets.contains(&Glob::any())
    }

    /// Whether the membership has ended by itself.
    pub fn has_expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }

    /// Whether the membership was neither removed nor has expired.
    pub fn is_in_force(&self, now: Millis) -> bool {
        !self.removed && !self.has_expired(now)
    }

    /// Whether this is a current owner whose membership has no end and covers every secret.
    pub fn is_lasting_owner(&self) -> bool {
        self.role == Role::Owner && !self.removed && self.expires.is_none() && self.covers_all()
    }
}

/// The lifecycle state of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// Usable.
    Active,
    /// Deleted; it can be restored.
    Deleted,
    /// All its values are destroyed.
    Destroyed,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// Hosts it may be sent to; none means any.
    pub hosts: Vec<HostPattern>,
    /// Order of creation, from 1: a short key for indexes.
    pub ordinal: u32,
    /// Its lifecycle state.
    pub lifecycle: Lifecycle,
    /// Whether only runners may use it, in blocks.
    pub restricted: bool,
    /// A description for people.
    pub description: Text,
    /// The rotation period, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// When it was changed last (reveals do not count).
    pub updated_at: Millis,
    /// Who changed it last.
    pub updated_by: MemberId,
    /// When a value was last released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_revealed_at: Option<Millis>,
    /// Its versions, oldest first. They have rows of their own in the read model.
    #[serde(skip)]
    pub versions: Vec<VersionInfo>,
}

impl Secret {
    /// The current version.
    pub fn current(&self) -> Version {
        Version(u32::try_from(self.versions.len()).unwrap_or(u32::MAX))
    }

    /// One version.
    pub fn version(&self, version: Version) -> Option<&VersionInfo> {
        self.versions
            .get(usize::try_from(version.0.checked_sub(1)?).ok()?)
    }
}

/// The state of a version's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueState {
    /// It can be revealed.
    Live,
    /// It is destroyed.
    Destroyed,
    /// It is destroyed, and erased in the vault.
    Erased,
    /// It was lost.
    Lost,
}

impl ValueState {
    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Destroyed => "destroyed",
            Self::Erased => "erased",
            Self::Lost => "lost",
        }
    }
}

/// How a version was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionKind {
    /// With the secret.
    Created,
    /// By an edit.
    Edited,
    /// By rolling back to the version named.
    Rolledback(Version),
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// When it was created.
    pub at: Millis,
    /// How it was created.
    pub kind: VersionKind,
    /// Bytes of the sealed value.
    pub size: u32,
    /// Who created it.
    pub actor: MemberId,
    /// The epoch that its entry says wraps it.
    pub epoch: Epoch,
    /// Its object in the vault.
    pub place: ObjectId,
    /// The state of its value.
    pub state: ValueState,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// The reason, if its creator gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// A saved workflow: which of its blocks references which secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// When it was saved last.
    pub at: Millis,
    /// Who saved it last.
    pub actor: MemberId,
    /// Its blocks.
    pub blocks: Vec<BlockUse>,
}

impl Workflow {
    /// The names it references.
    pub fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.blocks.iter().flat_map(|block| &block.secrets)
    }
}

/// An invitation that nobody has joined by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Who invited.
    pub by: MemberId,
    /// Name of the new member.
    pub name: MemberName,
    /// The new member's role.
    pub role: Role,
    /// When the code ends; once it is accepted, until when an owner can confirm that.
    pub until: Millis,
    /// When the membership ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// Patterns for the names of the secrets that the new member may use.
    pub secrets: Vec<Glob>,
    /// Who accepted, if somebody did: an owner has to confirm it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// Who alone may accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
}

/// Who accepted an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// When.
    pub at: Millis,
    /// Who.
    pub member: MemberId,
}

impl Invitation {
    /// Whether it can no longer be accepted or confirmed. It can be renewed.
    pub fn has_lapsed(&self, now: Millis) -> bool {
        now >= self.until
    }

    /// Whether it is no longer remembered.
    pub fn is_forgotten(&self, now: Millis) -> bool {
        now.0 >= self.until.0.saturating_add(limits::LAPSED_INVITATION_MS)
    }

    /// Whether an owner has to confirm who accepts: a stolen link must not make anybody an owner or
    /// editor.
    pub const fn needs_confirmation(&self) -> bool {
        self.principal.is_none() && matches!(self.role, Role::Owner | Role::Editor)
    }

    /// The membership that it leads to.
    pub fn record(&self, member: MemberId) -> MemberRecord {
        MemberRecord {
            name: self.name.clone(),
            role: self.role,
            member,
            expires: self.expires,
            secrets: self.secrets.clone(),
        }
    }
}

/// A sign-in key of a member. It is remembered until the sign-in ends, closed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// When it ends by itself.
    pub until: Millis,
    /// Where it is used, as its user claimed; absent for a key that was closed before it was
    /// opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<ClaimedOrigin>,
    /// When it was opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Millis>,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Millis>,
}

impl SignIn {
    /// Whether its key acts for the member at `now`.
    pub fn is_open(&self, now: Millis) -> bool {
        self.opened.is_some() && self.closed.is_none() && !self.has_ended(now)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self, now: Millis) -> bool {
        self.until < now
    }
}

/// Entries of one member that opened or closed sign-ins in one minute of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SignInCount {
    /// How many there were.
    pub count: u32,
    /// Minutes since 1970-01-01T00:00Z.
    pub minute: u64,
}

/// Refusals of one member in one minute of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Denials {
    /// How many were recorded as entries.
    pub count: u32,
    /// Minutes since 1970-01-01T00:00Z.
    pub minute: u64,
}
