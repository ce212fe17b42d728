//! The state of a workspace after some entries. `apply` folds an event in and is the only place
//! where an event changes anything; live projection, rebuild, time travel and tests all call it.

mod apply;
mod delegations;
mod invitations;
mod rows;
mod sign_ins;

use std::collections::{BTreeMap, BTreeSet};

use keyroll_merkle::{Hash, RecentTree};

use crate::event::WorkspaceCreated;
use crate::ids::{Epoch, Identity, LedgerId, MemberId, Millis, SecretId, TreeSize, Version};
use crate::limits;
use crate::names::{Label, SecretName, WorkspaceName};
use crate::rules::Rules;

pub use apply::Changes;
pub use rows::{
    Acceptance, Denials, Invitation, Lifecycle, Member, Secret, SignIn, SignInCount, ValueState,
    VersionInfo, VersionKind, Workflow, WorkspaceRow,
};
pub use sign_ins::Signing;

/// Nodes kept in memory at each level of the tree: more than the entries of one commit, so that
/// receipts of fresh entries need no disk read.
const RECENT_NODES: usize = 1_024;

/// A workspace's metadata after some number of entries.
#[derive(Debug, Clone)]
pub struct State {
    ledger: LedgerId,
    workspace: WorkspaceName,
    tree: RecentTree,
    row: WorkspaceRow,
    members: BTreeMap<MemberId, Member>,
    secrets: BTreeMap<SecretId, Secret>,
    /// The secret under each active name, case folded.
    names: BTreeMap<String, SecretId>,
    /// Revoked delegations: the delegating member and the key.
    revoked: BTreeSet<(MemberId, Identity)>,
    /// Delegations that entries have used, the delegating member and the key, with their end.
    delegations: BTreeMap<(MemberId, Identity), Millis>,
    /// Sign-in keys that are remembered, by member.
    sign_ins: BTreeMap<(MemberId, Identity), SignIn>,
    sign_in_counts: BTreeMap<MemberId, SignInCount>,
    /// Invitations, by the code's key.
    invitations: BTreeMap<Identity, Invitation>,
    denials: BTreeMap<MemberId, Denials>,
    workflows: BTreeMap<Label, Workflow>,
}

/// The parts of a state, as a read model stores them.
#[derive(Debug, Default)]
pub struct Parts {
    /// The workspace's own row.
    pub row: WorkspaceRow,
    /// Compact range of the tree, largest subtree first.
    pub tree: Vec<Hash>,
    /// Number of entries.
    pub size: TreeSize,
    /// Members, former ones too.
    pub members: Vec<(MemberId, Member)>,
    /// Secrets with their versions.
    pub secrets: Vec<(SecretId, Secret)>,
    /// Revoked delegations: the delegating member and the key.
    pub revoked: Vec<(MemberId, Identity)>,
    /// Delegations that entries have used, the delegating member and the key, with their end.
    pub delegations: Vec<((MemberId, Identity), Millis)>,
    /// Sign-in keys that are remembered, by member.
    pub sign_ins: Vec<((MemberId, Identity), SignIn)>,
    /// Entries that opened and closed sign-ins, per member.
    pub sign_in_counts: Vec<(MemberId, SignInCount)>,
    /// Invitations, by the code's key.
    pub invitations: Vec<(Identity, Invitation)>,
    /// Refusals per member.
    pub denials: Vec<(MemberId, Denials)>,
    /// Saved workflows.
    pub workflows: Vec<(Label, Workflow)>,
}

impl State {
    /// The state before the first entry.
    pub fn new(ledger: LedgerId, workspace: WorkspaceName) -> Self {
        Self {
            ledger,
            workspace,
            tree: RecentTree::new(RECENT_NODES),
            row: WorkspaceRow::default(),
            members: BTreeMap::new(),
            secrets: BTreeMap::new(),
            names: BTreeMap::new(),
            revoked: BTreeSet::new(),
            delegations: BTreeMap::new(),
            sign_ins: BTreeMap::new(),
            sign_in_counts: BTreeMap::new(),
            invitations: BTreeMap::new(),
            denials: BTreeMap::new(),
            workflows: BTreeMap::new(),
        }
    }

    /// The state from the parts in a read model; `None` when the tree does not fit the size.
    pub fn restore(ledger: LedgerId, workspace: WorkspaceName, parts: Parts) -> Option<Self> {
        let tree = RecentTree::from_compact_range(parts.size.0, &parts.tree, RECENT_NODES).ok()?;
        let active = parts
            .secrets
            .iter()
            .filter(|(_, secret)| secret.lifecycle == Lifecycle::Active);
        let names = active
            .map(|(id, secret)| (secret.name.folded(), *id))
            .collect();
        Some(Self {
            ledger,
            workspace,
            tree,
            row: parts.row,
            members: parts.members.into_iter().collect(),
            secrets: parts.secrets.into_iter().collect(),
            names,
            revoked: parts.revoked.into_iter().collect(),
            delegations: parts.delegations.into_iter().collect(),
            sign_ins: parts.sign_ins.into_iter().collect(),
            sign_in_counts: parts.sign_in_counts.into_iter().collect(),
            invitations: parts.invitations.into_iter().collect(),
            denials: parts.denials.into_iter().collect(),
            workflows: parts.workflows.into_iter().collect(),
        })
    }

    /// The ledger.
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The workspace.
    pub const fn workspace(&self) -> &WorkspaceName {
        &self.workspace
    }

    /// Number of entries.
    pub fn size(&self) -> TreeSize {
        TreeSize(self.tree.size())
    }

    /// Merkle root over all entries.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The recent part of the tree, which proves fresh entries.
    pub const fn tree(&self) -> &RecentTree {
        &self.tree
    }

    /// The workspace's own row.
    pub const fn row(&self) -> &WorkspaceRow {
        &self.row
    }

    /// The rules that decided the last entry.
    pub const fn rules(&self) -> Rules {
        self.row.rules
    }

    /// Time of the last entry.
    pub const fn at(&self) -> Millis {
        self.row.at
    }

    /// Generation whose key wraps new values.
    pub const fn epoch(&self) -> Epoch {
        self.row.epoch
    }

    /// The key that signs this workspace's commits, once it exists.
    pub fn signing_key(&self) -> Option<Identity> {
        self.row.created.as_ref().map(|created| created.key)
    }

    /// The facts of the first entry, about the ledger's key.
    pub const fn created(&self) -> Option<&WorkspaceCreated> {
        self.row.created.as_ref()
    }

    /// A current member.
    pub fn member(&self, identity: &MemberId) -> Option<&Member> {
        self.members.get(identity).filter(|member| !member.removed)
    }

    /// Members, former ones too.
    pub fn members(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.members.iter()
    }

    /// A current or former member.
    pub fn any_member(&self, identity: &MemberId) -> Option<&Member> {
        self.members.get(identity)
    }

    /// A secret by id, in any lifecycle state.
    pub fn secret(&self, id: &SecretId) -> Option<&Secret> {
        self.secrets.get(id)
    }

    /// All secrets in any lifecycle state, by id.
    pub fn secrets(&self) -> impl Iterator<Item = (&SecretId, &Secret)> {
        self.secrets.iter()
    }

    /// The active secret under a name, case ignored.
    pub fn named(&self, name: &SecretName) -> Option<(SecretId, &Secret)> {
        let id = self.names.get(&name.folded())?;
        self.secrets.get(id).map(|secret| (*id, secret))
    }

    /// The secret under a name that was deleted or destroyed last, case ignored.
    pub fn formerly_named(&self, name: &SecretName) -> Option<(SecretId, &Secret)> {
        let folded = name.folded();
        let gone = self.secrets.iter().filter(|(_, secret)| {
            secret.lifecycle != Lifecycle::Active && secret.name.folded() == folded
        });
        gone.max_by_key(|(_, secret)| secret.updated_at)
            .map(|(id, secret)| (*id, secret))
    }

    /// One version of a secret.
    pub fn version(&self, id: &SecretId, version: Version) -> Option<&VersionInfo> {
        self.secrets.get(id)?.version(version)
    }

    /// Whether the delegation of a member to a key was revoked. Only that member and members
    /// who manage members may revoke it, so the key alone does not decide.
    pub fn is_revoked(&self, member: &MemberId, key: &Identity) -> bool {
        self.revoked.contains(&(*member, *key))
    }

    /// Delegations that were revoked.
    pub fn revoked(&self) -> impl Iterator<Item = &(MemberId, Identity)> {
        self.revoked.iter()
    }

    /// Refusals per member.
    pub fn denials(&self) -> impl Iterator<Item = (&MemberId, &Denials)> {
        self.denials.iter()
    }

    /// A saved workflow.
    pub fn workflow(&self, name: &Label) -> Option<&Workflow> {
        self.workflows.get(name)
    }

    /// Saved workflows, by name.
    pub fn workflows(&self) -> impl Iterator<Item = (&Label, &Workflow)> {
        self.workflows.iter()
    }

    /// Whether another refusal of this member is recorded as its own entry at `now`.
    pub fn records_denial(&self, actor: &MemberId, now: Millis) -> bool {
        self.denials.get(actor).is_none_or(|denials| {
            denials.minute != now.0 / 60_000 || denials.count < limits::DENIALS_PER_MINUTE
        })
    }

    /// Owners whose membership has no end. At least one must remain.
    pub fn lasting_owners(&self) -> impl Iterator<Item = &MemberId> {
        self.members
            .iter()
            .filter_map(|(identity, member)| member.is_lasting_owner().then_some(identity))
    }

    /// The time to record at clock time `clock`: [`WorkspaceRow::time_at`].
    pub fn recorded_time(&self, clock: Millis) -> Millis {
        self.row.time_at(clock)
    }
}

/// Equality ignores how much of the tree is in memory.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.ledger == other.ledger
            && self.workspace == other.workspace
            && self.tree.size() == other.tree.size()
            && self.tree.compact_range() == other.tree.compact_range()
            && self.row == other.row
            && self.members == other.members
            && self.secrets == other.secrets
            && self.names == other.names
            && self.revoked == other.revoked
            && self.delegations == other.delegations
            && self.sign_ins == other.sign_ins
            && self.sign_in_counts == other.sign_in_counts
            && self.invitations == other.invitations
            && self.denials == other.denials
            && self.workflows == other.workflows
    }
}
