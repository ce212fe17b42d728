//! The actions that a command can ask for.

use serde::{Deserialize, Serialize};

use super::fields::{
    BlockRun, DelegationRevoke, DenialsSummarize, KeyErase, LogTruncate, MemberAccept,
    MemberConfirm, MemberInvite, MemberRecord, MemberRemove, MemberRevoke, NewSecret, Nothing,
    Purpose, SecretCreate, SecretDescribe, SecretDestroy, SecretEdit, SecretImport, SecretRef,
    SecretRename, SecretReveal, SecretRollback, SessionRef, SignInClose, SignInOpen, ValueErase,
    ValuesLose, ValuesSweep, WorkflowRemove, WorkflowSave,
};
use crate::ids::{Digest, SecretId, Version};
use crate::names::SecretName;

/// The table of actions. The enum, its serde names, [`Action::name`] and [`ACTIONS`] come from it.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident($fields:ty) = $name:literal;)*) => {
        /// The action that a command asks for.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $name)] $variant($fields),)*
        }

        impl Action {
            /// The action's name on the wire.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }

        /// The name of every action.
        pub const ACTIONS: &[&str] = &[$($name,)*];
    };
}

actions! {
    /// Create the workspace; the actor becomes its owner.
    WorkspaceCreate(Nothing) = "workspace.create";
    /// Add a member.
    MemberAdd(MemberRecord) = "member.add";
    /// Change a member's name or permissions.
    MemberChange(MemberRecord) = "member.change";
    /// Remove a member.
    MemberRemove(MemberRemove) = "member.remove";
    /// Invite somebody who joins with a code.
    MemberInvite(MemberInvite) = "member.invite";
    /// Accept an invitation; the code's key signs.
    MemberAccept(MemberAccept) = "member.accept";
    /// Confirm who accepted an invitation.
    MemberConfirm(MemberConfirm) = "member.confirm";
    /// End an invitation that nobody has joined by.
    MemberRevoke(MemberRevoke) = "member.revoke";
    /// Create a secret with its first value.
    SecretCreate(SecretCreate) = "secret.create";
    /// Create several secrets, all or none.
    SecretImport(SecretImport) = "secret.import";
    /// Give a secret a new value.
    SecretEdit(SecretEdit) = "secret.edit";
    /// Change a secret's description.
    SecretDescribe(SecretDescribe) = "secret.describe";
    /// Rename a secret.
    SecretRename(SecretRename) = "secret.rename";
    /// Release values.
    SecretReveal(SecretReveal) = "secret.reveal";
    /// Give a secret the value of an earlier version, sealed anew.
    SecretRollback(SecretRollback) = "secret.rollback";
    /// Delete a secret; it can be restored.
    SecretDelete(SecretRef) = "secret.delete";
    /// Restore a deleted secret.
    SecretRestore(SecretRef) = "secret.restore";
    /// Destroy values for good.
    SecretDestroy(SecretDestroy) = "secret.destroy";
    /// Record which block of a workflow uses which secret.
    WorkflowSave(WorkflowSave) = "workflow.save";
    /// Remove a workflow.
    WorkflowRemove(WorkflowRemove) = "workflow.remove";
    /// Start a new generation of the workspace's wrapping key.
    KeyRotate(Nothing) = "key.rotate";
    /// Revoke a delegation.
    DelegationRevoke(DelegationRevoke) = "delegation.revoke";
    /// Have a fresh key act for a member for a while.
    SignInOpen(SignInOpen) = "signin.open";
    /// Close a sign-in before it ends.
    SignInClose(SignInClose) = "signin.close";
    /// The ledger's own: values of a destroyed secret are erased.
    ValueErase(ValueErase) = "value.erase";
    /// The ledger's own: stored values that no entry refers to are about to be erased.
    ValuesSweep(ValuesSweep) = "values.sweep";
    /// The ledger's own: values are lost.
    ValuesLose(ValuesLose) = "values.lose";
    /// The ledger's own: a generation of the wrapping key is erased.
    KeyErase(KeyErase) = "key.erase";
    /// The ledger's own: a recovery lost the entries after `size`.
    LogTruncate(LogTruncate) = "log.truncate";
    /// The ledger's own: refusals that have no entries of their own.
    DenialsSummarize(DenialsSummarize) = "denials.summarize";
}

impl Action {
    /// The block run that the values are for, if any.
    pub const fn block_run(&self) -> Option<&BlockRun> {
        if let Some(Purpose::Block(run)) = self.purpose() {
            Some(run)
        } else {
            None
        }
    }

    /// The purpose of a reveal.
    pub const fn purpose(&self) -> Option<&Purpose> {
        if let Self::SecretReveal(reveal) = self {
            Some(&reveal.purpose)
        } else {
            None
        }
    }

    /// The secret names in the action, on which permission is decided.
    pub fn names(&self) -> Vec<&SecretName> {
        match self {
            Self::SecretCreate(create) => vec![&create.secret.name],
            Self::SecretImport(import) => import.secrets.iter().map(|new| &new.name).collect(),
            Self::SecretEdit(edit) => vec![&edit.name],
            Self::SecretDescribe(describe) => vec![&describe.name],
            Self::SecretRename(rename) => vec![&rename.name, &rename.to],
            Self::SecretReveal(reveal) => reveal.names.iter().map(|item| &item.name).collect(),
            Self::SecretRollback(rollback) => vec![&rollback.edit.name],
            Self::SecretDelete(secret) | Self::SecretRestore(secret) => vec![&secret.name],
            Self::SecretDestroy(destroy) => vec![&destroy.name],
            Self::WorkflowSave(save) => save
                .blocks
                .iter()
                .flat_map(|block| &block.secrets)
                .collect(),
            Self::WorkspaceCreate(_)
            | Self::MemberAdd(_)
            | Self::MemberChange(_)
            | Self::MemberRemove(_)
            | Self::MemberInvite(_)
            | Self::MemberAccept(_)
            | Self::MemberConfirm(_)
            | Self::MemberRevoke(_)
            | Self::WorkflowRemove(_)
            | Self::KeyRotate(_)
            | Self::DelegationRevoke(_)
            | Self::SignInOpen(_)
            | Self::SignInClose(_)
            | Self::ValueErase(_)
            | Self::ValuesSweep(_)
            | Self::ValuesLose(_)
            | Self::KeyErase(_)
            | Self::LogTruncate(_)
            | Self::DenialsSummarize(_) => vec![],
        }
    }

    /// The values that a request with this action carries, in order: the digest and length of each.
    pub fn values(&self) -> Vec<(SecretId, Version, Digest, u32)> {
        let new = |new: &NewSecret| (new.id, Version::FIRST, new.digest, new.size);
        let edit = |edit: &SecretEdit| (edit.id, edit.version, edit.digest, edit.size);
        match self {
            Self::SecretCreate(create) => vec![new(&create.secret)],
            Self::SecretImport(import) => import.secrets.iter().map(new).collect(),
            Self::SecretEdit(change) => vec![edit(change)],
            Self::SecretRollback(rollback) => vec![edit(&rollback.edit)],
            Self::WorkspaceCreate(_)
            | Self::MemberAdd(_)
            | Self::MemberChange(_)
            | Self::MemberRemove(_)
            | Self::MemberInvite(_)
            | Self::MemberAccept(_)
            | Self::MemberConfirm(_)
            | Self::MemberRevoke(_)
            | Self::SecretDescribe(_)
            | Self::SecretRename(_)
            | Self::SecretReveal(_)
            | Self::SecretDelete(_)
            | Self::SecretRestore(_)
            | Self::SecretDestroy(_)
            | Self::WorkflowSave(_)
            | Self::WorkflowRemove(_)
            | Self::KeyRotate(_)
            | Self::DelegationRevoke(_)
            | Self::SignInOpen(_)
            | Self::SignInClose(_)
            | Self::ValueErase(_)
            | Self::ValuesSweep(_)
            | Self::ValuesLose(_)
            | Self::KeyErase(_)
            | Self::LogTruncate(_)
            | Self::DenialsSummarize(_) => vec![],
        }
    }

    /// The session that seals this action's data keys, if it has any.
    pub const fn session(&self) -> Option<&SessionRef> {
        match self {
            Self::SecretCreate(create) => Some(&create.session),
            Self::SecretImport(import) => Some(&import.session),
            Self::SecretEdit(edit) => Some(&edit.session),
            Self::SecretRollback(rollback) => Some(&rollback.edit.session),
            Self::SecretReveal(reveal) => Some(&reveal.session),
            Self::WorkspaceCreate(_)
            | Self::MemberAdd(_)
            | Self::MemberChange(_)
            | Self::MemberRemove(_)
            | Self::MemberInvite(_)
            | Self::MemberAccept(_)
            | Self::MemberConfirm(_)
            | Self::MemberRevoke(_)
            | Self::SecretDescribe(_)
            | Self::SecretRename(_)
            | Self::SecretDelete(_)
            | Self::SecretRestore(_)
            | Self::SecretDestroy(_)
            | Self::WorkflowSave(_)
            | Self::WorkflowRemove(_)
            | Self::KeyRotate(_)
            | Self::DelegationRevoke(_)
            | Self::SignInOpen(_)
            | Self::SignInClose(_)
            | Self::ValueErase(_)
            | Self::ValuesSweep(_)
            | Self::ValuesLose(_)
            | Self::KeyErase(_)
            | Self::LogTruncate(_)
            | Self::DenialsSummarize(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ACTIONS;
    use crate::event::KINDS;

    /// The names in quotes on the left of a rule's fields: `"secret.create" => …`.
    fn names(schema: &str, rule: &str) -> BTreeSet<String> {
        let begin = schema.find(&format!("\n{rule} = ")).expect("the rule");
        let rest = &schema[begin + 1..];
        let end = rest.find("\n\n").unwrap_or(rest.len());
        let quoted = rest[..end].split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn the_schemas_name_the_actions_and_events_of_the_tables() {
        let schema = include_str!("../../../../schemas/command.cddl");
        let mut actions = names(schema, "action");
        actions.extend(names(schema, "ledger-action"));
        assert_eq!(
            actions,
            ACTIONS.iter().map(|name| (*name).to_owned()).collect()
        );
        let events = names(include_str!("../../../../schemas/entry.cddl"), "event");
        assert_eq!(
            events,
            KINDS.iter().map(|kind| kind.name.to_owned()).collect()
        );
    }
}
