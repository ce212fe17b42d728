//! A workspace while the follower holds it in memory.

use keyroll_core::names::Label;
use keyroll_core::{
    Digest, Identity, LedgerId, MemberId, Rejection, SecretId, Sequence, State, WorkspaceName,
};
use tokio::time::Instant;

use crate::projection::{ProjectionError, View, WorkspaceBatch, WorkspaceHead};

/// A workspace in memory, as it is after the last message folded in.
pub(super) struct LoadedWorkspace {
    pub(super) number: u32,
    pub(super) state: State,
    pub(super) sequence: Sequence,
    /// The latest time of any entry.
    pub(super) latest: u64,
    /// Why nothing more of it is folded in.
    pub(super) wrong: Option<Rejection>,
    /// When it was last folded into.
    pub(super) used: Instant,
}

impl LoadedWorkspace {
    /// A workspace without entries.
    pub(super) fn new(ledger: LedgerId, name: WorkspaceName, number: u32) -> Self {
        Self {
            number,
            state: State::new(ledger, name),
            sequence: Sequence(0),
            latest: 0,
            wrong: None,
            used: Instant::now(),
        }
    }

    /// The workspace as the read model holds it; none if it does not.
    pub(super) fn load(
        view: &View,
        ledger: LedgerId,
        name: &WorkspaceName,
    ) -> Result<Option<Self>, ProjectionError> {
        let Some(found) = view.workspace(name)? else {
            return Ok(None);
        };
        let head = found.head();
        let (sequence, latest, wrong) = (head.sequence, head.latest, head.wrong.clone());
        Ok(Some(Self {
            number: found.number(),
            state: found.state(ledger)?,
            sequence,
            latest,
            wrong,
            used: Instant::now(),
        }))
    }

    pub(super) fn head(&self) -> WorkspaceHead {
        let tree = self.state.tree().compact_range().into_iter();
        WorkspaceHead {
            name: self.state.workspace().clone(),
            row: self.state.row().clone(),
            size: self.state.size(),
            tree: tree.map(|hash| Digest(hash.0)).collect(),
            sequence: self.sequence,
            latest: self.latest,
            wrong: self.wrong.clone(),
        }
    }

    /// Puts the changed rows into the batch, as they are after it.
    pub(super) fn collect_rows(&self, part: &mut WorkspaceBatch) {
        let state = &self.state;
        let secret = |id: &SecretId| state.secret(id).map(|secret| (*id, secret));
        part.secrets = part
            .changes
            .secrets
            .iter()
            .filter_map(secret)
            .map(|(id, s)| (id, s.clone()))
            .collect();
        part.versions = part
            .changes
            .versions
            .iter()
            .filter_map(|(id, version)| {
                let secret = state.secret(id)?;
                Some((secret.ordinal, *version, secret.version(*version)?.clone()))
            })
            .collect();
        let member = |id: &MemberId| state.any_member(id).map(|member| (*id, member.clone()));
        part.members = part.changes.members.iter().filter_map(member).collect();
        let denials = state
            .denials()
            .filter(|(id, _)| part.changes.denials.contains(id));
        let workflow = |name: &Label| (name.clone(), state.workflow(name).cloned());
        part.workflows = part.changes.workflows.iter().map(workflow).collect();
        let delegation = |pair: &(MemberId, Identity)| (*pair, state.delegation(pair));
        let delegations = part.changes.delegations.iter();
        part.delegations = delegations.map(delegation).collect();
        let sign_in =
            |pair: &(MemberId, Identity)| (*pair, state.sign_in(&pair.0, &pair.1).cloned());
        part.sign_ins = part.changes.sign_ins.iter().map(sign_in).collect();
        let counts = state
            .sign_in_counts()
            .filter(|(id, _)| part.changes.sign_in_counts.contains(id));
        part.sign_in_counts = counts.map(|(id, count)| (*id, *count)).collect();
        let invitation = |key: &Identity| (*key, state.invitation(key).cloned());
        part.invitations = part.changes.invitations.iter().map(invitation).collect();
        part.denials = denials.map(|(id, denials)| (*id, *denials)).collect();
    }
}
