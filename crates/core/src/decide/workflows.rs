//! Rules of saved workflows: which block references which secrets. The names need not exist yet;
//! permission to use them is decided when a block runs.

use std::collections::BTreeSet;

use super::Stop;
use crate::command::{Nothing, Verified, WorkflowRemove, WorkflowSave};
use crate::event::{DenialReason, Event};
use crate::limits;
use crate::rejection::{Code, Rejection};
use crate::state::{State, Workflow};

fn rejected<T>(code: Code, message: impl Into<String>) -> Result<T, Stop> {
    Err(Rejection::new(code, message).into())
}

pub(super) fn save(
    state: &State,
    command: &Verified,
    save: &WorkflowSave,
) -> Result<Vec<Event>, Stop> {
    let known = state.workflow(&save.workflow);
    check_scope(state, command, known)?;
    if known.is_none() && state.workflows().count() >= limits::WORKFLOWS {
        let message = format!("a workspace has at most {} workflows", limits::WORKFLOWS);
        return rejected(Code::TooLarge, message);
    }
    if save.blocks.is_empty() || save.blocks.len() > limits::WORKFLOW_BLOCKS {
        let message = format!("a workflow has 1 to {} blocks", limits::WORKFLOW_BLOCKS);
        return rejected(Code::InvalidField, message);
    }
    let references: usize = save.blocks.iter().map(|block| block.secrets.len()).sum();
    if references > limits::WORKFLOW_SECRETS {
        let message = format!(
            "a workflow references at most {} secrets",
            limits::WORKFLOW_SECRETS
        );
        return rejected(Code::InvalidField, message);
    }
    let mut blocks = BTreeSet::new();
    for block in &save.blocks {
        if !blocks.insert(&block.name) {
            let message = format!("block {} stands twice in one workflow", block.name);
            return rejected(Code::InvalidField, message);
        }
        let mut names = BTreeSet::new();
        if let Some(name) = block.secrets.iter().find(|name| !names.insert(*name)) {
            let message = format!("{name} stands twice in block {}", block.name);
            return rejected(Code::InvalidField, message);
        }
    }
    Ok(vec![Event::WorkflowSaved(Nothing {})])
}

pub(super) fn remove(
    state: &State,
    command: &Verified,
    remove: &WorkflowRemove,
) -> Result<Vec<Event>, Stop> {
    let known = state.workflow(&remove.workflow);
    check_scope(state, command, known)?;
    if known.is_none() {
        // A bounded member gets the same refusal as for a workflow with other names: a difference
        // would show which workflows exist.
        if state
            .member(&command.actor())
            .is_some_and(|member| !member.covers_all())
        {
            return Err(Stop::Denied(DenialReason::Scope));
        }
        let message = format!("there is no workflow {}", remove.workflow);
        return rejected(Code::NotFound, message);
    }
    Ok(vec![Event::WorkflowRemoved(Nothing {})])
}

/// A workflow shows where its secrets are used, so only a member who may use all of them may
/// replace or remove it.
fn check_scope(state: &State, command: &Verified, known: Option<&Workflow>) -> Result<(), Stop> {
    let (Some(known), Some(member)) = (known, state.member(&command.actor())) else {
        return Ok(());
    };
    if known.names().all(|name| member.covers(name)) {
        return Ok(());
    }
    Err(Stop::Denied(DenialReason::Scope))
}
