//! The contents of one transaction: the rows that the fold changed.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_core::names::Label;
use keyroll_core::state::{
    Changes, Denials, Invitation, Member, Secret, SignIn, SignInCount, VersionInfo, Workflow,
};
use keyroll_core::{
    CommandId, Digest, Identity, Index, MemberId, Millis, SecretId, SecretName, Sequence, Version,
};
use keyroll_merkle::Hash;

use super::Piece;
use super::schema::{Problem, SecretRecord, WorkspaceHead};

/// The index rows of one entry.
#[derive(Debug, Clone)]
pub struct EntryFacts {
    /// Its index.
    pub index: Index,
    /// Its time.
    pub at: Millis,
    /// Its actor's ordinal.
    pub actor: u32,
    /// Its command's id.
    pub command: CommandId,
    /// Ordinals of the secrets that it concerns.
    pub secrets: Vec<u32>,
    /// Values that it released: secrets' ordinals and versions.
    pub revealed: Vec<(u32, Version)>,
    /// Its signer.
    pub by: MemberId,
    /// Kinds of its events.
    pub kinds: BTreeSet<u8>,
    /// The folded names of a recorded refusal.
    pub denied: Vec<String>,
    /// The run of a block that it belongs to, as the key in the index by run.
    pub run: Option<u64>,
    /// The subtrees that it completed, of the levels that are stored.
    pub nodes: Vec<(u8, u64, Hash)>,
}

/// A block that references a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The secret's name.
    pub secret: SecretName,
    /// The workflow.
    pub workflow: Label,
    /// The block.
    pub block: Label,
}

/// The changes of one workspace.
#[derive(Debug, Default)]
pub struct WorkspaceBatch {
    /// The workspace's row, as it is after the batch.
    pub head: Option<WorkspaceHead>,
    /// Commits, in pieces.
    pub commits: Vec<Piece>,
    /// Their entries.
    pub entries: Vec<EntryFacts>,
    /// The union of the changes that the fold names.
    pub changes: Changes,
    /// The changed rows themselves, as they are after the batch.
    pub secrets: Vec<(SecretId, Secret)>,
    /// Changed versions: secret's ordinal, version, row.
    pub versions: Vec<(u32, Version, VersionInfo)>,
    /// Changed members.
    pub members: Vec<(MemberId, Member)>,
    /// Changed counts of refusals.
    pub denials: Vec<(MemberId, Denials)>,
    /// Delegations in use, with their end; `None` for a forgotten one.
    pub delegations: Vec<((MemberId, Identity), Option<Millis>)>,
    /// Sign-ins that are remembered; `None` for a forgotten one.
    pub sign_ins: Vec<((MemberId, Identity), Option<SignIn>)>,
    /// Changed counts of sign-ins.
    pub sign_in_counts: Vec<(MemberId, SignInCount)>,
    /// Invitations that were made or accepted; `None` for one that has ended.
    pub invitations: Vec<(Identity, Option<Invitation>)>,
    /// Changed workflows; `None` for a removed one.
    pub workflows: Vec<(Label, Option<Workflow>)>,
    /// Secrets as single entries left them, reveals aside.
    pub secrets_since: Vec<(Index, SecretRecord)>,
    /// References to names that single entries began or ended.
    pub uses_since: Vec<(Index, Use, bool)>,
    /// Members as single entries left them.
    pub members_since: Vec<(Index, MemberId, Member)>,
    /// Names that secrets had after some entry, with the secrets' ordinals.
    pub names: BTreeSet<(String, u32)>,
    /// Times at which the latest time grew, with the first entry of that time.
    pub times: Vec<(Millis, Index)>,
}

/// Everything one transaction writes.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// The last message of the stream that is in it, with SHA-256 of its bytes.
    pub head: Option<(Sequence, Digest)>,
    /// By workspace number.
    pub workspaces: BTreeMap<u32, WorkspaceBatch>,
    /// Anomalous messages.
    pub problems: Vec<Problem>,
}
