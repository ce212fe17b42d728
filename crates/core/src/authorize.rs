//! Who may do what: the role table, the one place where permission is decided.

use serde::{Deserialize, Serialize};

use crate::command::{Action, Purpose, SignedCommand};
use crate::event::DenialReason;
use crate::ids::{Identity, Millis};
use crate::names::SecretName;
use crate::state::{Member, State};

/// What a member is in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Secrets, their values included.
    Editor,
    /// Names and history, never values.
    Viewer,
    /// Names and history, and the whole audit log.
    Auditor,
    /// Values for blocks, within its own patterns.
    Runner,
}

impl Role {
    /// Every role, most powerful first.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Editor,
        Self::Viewer,
        Self::Auditor,
        Self::Runner,
    ];

    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Runner => "runner",
        }
    }
}

/// A row of the role table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// List, show, history, time travel.
    Read,
    /// Reveal to a person or program.
    Reveal,
    /// Reveal to a block.
    RevealForBlock,
    /// Create, edit, describe, rename, roll back, delete, restore, save workflows.
    Write,
    /// Destroy, rotate keys, members, revoke others' delegations.
    Manage,
    /// Audit log, proofs, export of the log.
    Audit,
}

impl Permission {
    /// Every row, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Reveal,
        Self::RevealForBlock,
        Self::Write,
        Self::Manage,
        Self::Audit,
    ];
}

/// The table: may `role` do `permission`?
pub const fn allows(role: Role, permission: Permission) -> bool {
    match permission {
        Permission::Read => true,
        Permission::Reveal | Permission::Write => matches!(role, Role::Owner | Role::Editor),
        Permission::RevealForBlock => matches!(role, Role::Owner | Role::Editor | Role::Runner),
        Permission::Manage => matches!(role, Role::Owner),
        Permission::Audit => matches!(role, Role::Owner | Role::Auditor),
    }
}

/// A refusal for lack of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a member: refused without an entry, or anybody could fill the log.
    Stranger,
    /// A member: the refusal goes on record.
    Member(DenialReason),
}

/// What a role must allow for an action; `None` for the ledger's own acts.
fn needed(action: &Action, actor: Identity) -> Option<Permission> {
    match action {
        Action::SecretReveal(reveal) => Some(match reveal.purpose {
            Purpose::Block(_) => Permission::RevealForBlock,
            Purpose::View(_) | Purpose::Copy(_) | Purpose::Run(_) | Purpose::Export(_) => {
                Permission::Reveal
            }
        }),
        Action::SecretCreate(_)
        | Action::SecretImport(_)
        | Action::SecretEdit(_)
        | Action::SecretDescribe(_)
        | Action::SecretRename(_)
        | Action::SecretRollback(_)
        | Action::SecretDelete(_)
        | Action::SecretRestore(_)
        | Action::WorkflowSave(_)
        | Action::WorkflowRemove(_) => Some(Permission::Write),
        // Without an identity, `decide` ends only what the actor may end.
        Action::DelegationRevoke(revoke) if revoke.identity.is_none_or(|of| of == actor) => {
            Some(Permission::Read)
        }
        Action::SecretDestroy(_)
        | Action::KeyRotate(_)
        | Action::MemberAdd(_)
        | Action::MemberChange(_)
        | Action::MemberRemove(_)
        | Action::DelegationRevoke(_) => Some(Permission::Manage),
        Action::WorkspaceCreate(_)
        | Action::ValueErase(_)
        | Action::ValuesSweep(_)
        | Action::ValuesLose(_)
        | Action::KeyErase(_)
        | Action::LogTruncate(_)
        | Action::DenialsSummarize(_) => None,
    }
}

/// Whether the signer of a command may do what it asks for, by the state before it. Judged on the
/// names asked for, never on what exists.
///
/// # Errors
/// The refusal.
pub fn authorize(state: &State, signed: &SignedCommand, now: Millis) -> Result<(), Refusal> {
    let actor = signed.actor();
    let action = &signed.command().action;
    let Some(permission) = needed(action, actor) else {
        let own =
            state.signing_key().is_some_and(|key| key == actor) && signed.delegation().is_none();
        return if own {
            Ok(())
        } else {
            Err(refusal(state, actor, DenialReason::Role))
        };
    };
    let member = state.member(&actor).ok_or(Refusal::Stranger)?;
    if !delegation_holds(state, signed, permission, now) {
        return Err(Refusal::Member(DenialReason::Delegation));
    }
    may(member, permission, &action.names(), now).map_err(Refusal::Member)
}

fn refusal(state: &State, actor: Identity, reason: DenialReason) -> Refusal {
    if state.member(&actor).is_some() {
        Refusal::Member(reason)
    } else {
        Refusal::Stranger
    }
}

/// Whether `member` may do `permission` on all of `names` at `now`. Queries ask this too.
///
/// # Errors
/// Why not.
pub fn may(
    member: &Member,
    permission: Permission,
    names: &[&SecretName],
    now: Millis,
) -> Result<(), DenialReason> {
    if member.expires.is_some_and(|end| now >= end) {
        return Err(DenialReason::Expired);
    }
    if !allows(member.role, permission) {
        return Err(DenialReason::Role);
    }
    // Who could change members could lift any bound on herself: managing is for the unbounded.
    let bounded = permission == Permission::Manage && !member.is_lasting_owner();
    if bounded || names.iter().any(|name| !member.covers(name)) {
        return Err(DenialReason::Scope);
    }
    Ok(())
}

/// Delegated keys may neither manage nor end other delegations, and hold for a while only.
fn delegation_holds(
    state: &State,
    signed: &SignedCommand,
    permission: Permission,
    now: Millis,
) -> bool {
    let Some(said) = signed.delegation() else {
        return true;
    };
    let revokes = matches!(signed.command().action, Action::DelegationRevoke(_));
    said.covers(state.ledger(), state.workspace(), now)
        && !state.is_revoked(&said.identity, &said.key)
        && permission != Permission::Manage
        && !revokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_table_cell_by_cell() {
        // Columns as in Role::ALL: owner, editor, viewer, auditor, runner.
        let table = [
            (Permission::Read, "+++++"),
            (Permission::Reveal, "++---"),
            (Permission::RevealForBlock, "++--+"),
            (Permission::Write, "++---"),
            (Permission::Manage, "+----"),
            (Permission::Audit, "+--+-"),
        ];
        assert_eq!(table.map(|(permission, _)| permission), Permission::ALL);
        for (permission, row) in table {
            for (role, cell) in Role::ALL.into_iter().zip(row.chars()) {
                assert_eq!(
                    allows(role, permission),
                    cell == '+',
                    "{role:?} {permission:?}"
                );
            }
        }
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../../docs/roles.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| {
                line.trim_matches('|')
                    .split('|')
                    .map(str::trim)
                    .skip(1)
                    .collect()
            })
            .collect();
        assert_eq!(rows.len(), Permission::ALL.len());
        for (permission, cells) in Permission::ALL.into_iter().zip(rows) {
            for (role, cell) in Role::ALL.into_iter().zip(cells) {
                assert_eq!(
                    allows(role, permission),
                    cell == "✓",
                    "{role:?} {permission:?}"
                );
            }
        }
    }
}
