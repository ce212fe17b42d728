//! The rows of single entries: the rows that they change, as they leave them, and their index rows.

use std::collections::BTreeSet;

use keyroll_core::command::BlockRun;
use keyroll_core::names::Label;
use keyroll_core::{Action, Event, Index, MemberId, Recorded, SecretName, State};
use keyroll_merkle::Nodes as _;

use super::anomaly::Anomaly;
use super::prepare::OpenedCommit;
use super::workspace::LoadedWorkspace;
use crate::projection::{
    EntryFacts, LEDGER_ORDINAL, SecretRecord, Use, WorkspaceBatch, cut, run_key,
};
use keyroll_store::log::Message;

/// Indexes of entries with the kinds of their events.
pub(super) type Kinds = Vec<(Index, &'static str)>;

/// Folds a commit's entries into a workspace's state, and their rows into the batch.
pub(super) fn apply(
    workspace: &mut LoadedWorkspace,
    message: &Message,
    opened: OpenedCommit,
    part: &mut WorkspaceBatch,
) -> Result<Kinds, Anomaly> {
    let OpenedCommit {
        commit,
        rules,
        begin,
        entries,
    } = opened;
    let entries = entries.map_err(Anomaly::malformed)?;
    let mut kinds = Vec::new();
    part.commits.extend(cut(&commit, begin, &message.bytes));
    for recorded in &entries {
        let before = uses_before(&workspace.state, recorded);
        let changes = workspace.state.apply(rules, recorded);
        kinds.extend(
            recorded
                .events
                .iter()
                .map(|event| (recorded.index, event.kind().name)),
        );
        part.entries.push(facts(workspace, recorded, &changes));
        if recorded.at.0 > workspace.latest {
            workspace.latest = recorded.at.0;
            part.times.push((recorded.at, recorded.index));
        }
        // After every entry, not after the batch: names between two entries count too, however the
        // log is cut into batches.
        let named = changes
            .secrets
            .iter()
            .filter_map(|id| workspace.state.secret(id));
        part.names
            .extend(named.map(|secret| (secret.name.folded(), secret.ordinal)));
        remember(&workspace.state, recorded.index, &changes, part);
        remember_uses(&workspace.state, recorded.index, (&before, &changes), part);
        merge(&mut part.changes, changes);
    }
    Ok(kinds)
}

/// The rows that this entry changed, as it left them, for history.
fn remember(
    state: &State,
    index: Index,
    changes: &keyroll_core::Changes,
    part: &mut WorkspaceBatch,
) {
    for id in &changes.secrets {
        if let Some(secret) = state.secret(id) {
            part.secrets_since
                .push((index, SecretRecord::of(*id, secret)));
        }
    }
    for id in &changes.members {
        if let Some(member) = state.any_member(id) {
            part.members_since.push((index, *id, member.clone()));
        }
    }
}

fn uses(state: &State, workflow: &Label) -> BTreeSet<Use> {
    let blocks = state.workflow(workflow).map(|found| &found.blocks);
    let uses = blocks.into_iter().flatten().flat_map(|block| {
        block.secrets.iter().map(|secret| Use {
            secret: secret.clone(),
            workflow: workflow.clone(),
            block: block.name.clone(),
        })
    });
    uses.collect()
}

/// The references of the workflow that an entry may change, before the entry.
fn uses_before(state: &State, recorded: &Recorded) -> BTreeSet<Use> {
    let action = &recorded.command.command().action;
    if let Action::WorkflowSave(save) = action {
        return uses(state, &save.workflow);
    }
    if let Action::WorkflowRemove(remove) = action {
        return uses(state, &remove.workflow);
    }
    BTreeSet::new()
}

/// The uses that an entry began or ended.
fn remember_uses(
    state: &State,
    index: Index,
    (before, changes): (&BTreeSet<Use>, &keyroll_core::Changes),
    part: &mut WorkspaceBatch,
) {
    for workflow in &changes.workflows {
        let after = uses(state, workflow);
        let begun = after.difference(before).map(|one| (one, true));
        let ended = before.difference(&after).map(|one| (one, false));
        let both = begun.chain(ended);
        part.uses_since
            .extend(both.map(|(one, begun)| (index, one.clone(), begun)));
    }
}

fn facts(
    workspace: &LoadedWorkspace,
    recorded: &Recorded,
    changes: &keyroll_core::Changes,
) -> EntryFacts {
    let state = &workspace.state;
    let ordinal = |id: &keyroll_core::SecretId| state.secret(id).map(|secret| secret.ordinal);
    let size = recorded.index.tree_size().0;
    let nodes = [0_u8, 8, 16, 24]
        .into_iter()
        .filter(|level| size.is_multiple_of(1 << level))
        .filter_map(|level| {
            let index = (size >> level) - 1;
            state
                .tree()
                .node(level, index)
                .ok()
                .map(|hash| (level, index, hash))
        });
    let run = |of: &BlockRun| run_key(of.run.as_str());
    EntryFacts {
        index: recorded.index,
        at: recorded.at,
        actor: actor_ordinal(state, &recorded.command.actor()),
        command: recorded.command.command().id,
        secrets: changes.touched.iter().filter_map(ordinal).collect(),
        revealed: changes
            .revealed
            .iter()
            .filter_map(|(id, version)| Some((ordinal(id)?, *version)))
            .collect(),
        by: recorded.command.actor(),
        kinds: changes.kinds.clone(),
        denied: denied_names(recorded),
        run: recorded.command.command().action.block_run().map(run),
        nodes: nodes.collect(),
    }
}

/// The names of a recorded refusal. They need not be names of secrets.
fn denied_names(recorded: &Recorded) -> Vec<String> {
    let denied = |event: &Event| matches!(event, Event::AccessDenied(_));
    if !recorded.events.iter().any(denied) {
        return Vec::new();
    }
    let names = recorded.command.command().action.names();
    names.into_iter().map(SecretName::folded).collect()
}

/// The ordinal of an actor in the indexes.
pub(crate) fn actor_ordinal(state: &State, actor: &MemberId) -> u32 {
    state
        .any_member(actor)
        .map_or(LEDGER_ORDINAL, |member| member.ordinal)
}

fn merge(into: &mut keyroll_core::Changes, from: keyroll_core::Changes) {
    into.secrets.extend(from.secrets);
    into.versions.extend(from.versions);
    into.members.extend(from.members);
    into.denials.extend(from.denials);
    into.revoked.extend(from.revoked);
    into.delegations.extend(from.delegations);
    into.sign_ins.extend(from.sign_ins);
    into.sign_in_counts.extend(from.sign_in_counts);
    into.invitations.extend(from.invitations);
    into.workflows.extend(from.workflows);
}
