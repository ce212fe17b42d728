//! Replies about secrets and their versions.

use keyroll_core::names::{HostPattern, Text};
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{Index, MemberId, Millis, SecretId, SecretName, Version};
use serde::{Deserialize, Serialize};

/// A page of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRows {
    /// The `after` of the next page, when there is one.
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
    /// Whether rotation is due.
    pub stale: bool,
    /// Its lifecycle state.
    pub state: Lifecycle,
    /// Whether no saved workflow references it and no value was released for 90 days.
    pub unused: bool,
    /// Blocks of saved workflows that reference it, the first 100.
    pub used_by: Vec<UsedBy>,
    /// The current version.
    pub version: Version,
    /// When it was created.
    pub created_at: Millis,
    /// Whether only runners may use it.
    pub restricted: bool,
    /// When it was changed last.
    pub updated_at: Millis,
    /// The key of the identity that changed it last.
    pub updated_by: MemberId,
    /// A description for people.
    pub description: Text,
    /// The state of the current value of a secret that is not destroyed, when it cannot be
    /// revealed. Absent when it can be, and in rows about the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_state: Option<ValueState>,
    /// The rotation period, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// The name of the identity that changed it last.
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
    /// The `before` of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
    /// Newest first.
    pub rows: Vec<VersionRow>,
}

/// One version. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRow {
    /// When it was created.
    pub at: Millis,
    /// `created`, `edited`, or `rolled back from N`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key of its creator.
    pub actor: MemberId,
    /// The state of its value.
    pub state: ValueState,
    /// The reason, if its creator gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The identities that its value was released to, latest first, [`READER_ROWS`] at most; only
    /// for callers who may read the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<Vec<SecretReader>>,
    /// Its number.
    pub version: Version,
    /// The name of its creator.
    pub actor_name: String,
    /// The number of identities that its value was released to; beside `seen_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by_count: Option<u32>,
}

/// Most identities in [`VersionRow::seen_by`].
pub const READER_ROWS: usize = 100;

/// An identity that a value was released to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReader {
    /// Its key.
    pub actor: MemberId,
    /// The number of releases.
    pub count: u64,
    /// The entry of the last release.
    pub index: Index,
    /// The time of the last release.
    pub last_at: Millis,
    /// The time of the first release.
    pub first_at: Millis,
    /// Its name.
    pub actor_name: String,
}
