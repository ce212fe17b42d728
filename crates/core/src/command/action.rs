//! What a command can ask for.

use serde::{Deserialize, Serialize};

use super::fields::{
    BlockRun, DelegationRevoke, DenialsSummarize, KeyErase, LogTruncate, MemberRecord,
    MemberRemove, NewSecret, Nothing, Purpose, SecretCreate, SecretDescribe, SecretDestroy,
    SecretEdit, SecretImport, SecretRef, SecretRename, SecretReveal, SecretRollback, SessionRef,
    ValueErase, ValuesLose, ValuesSweep, WorkflowRemove, WorkflowSave,
};
use crate::ids::{Digest, SecretId, Version};
use crate::names::SecretName;

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Action {
    /// Make the workspace; the actor becomes its owner.
    #[serde(rename = "workspace.create")]
    WorkspaceCreate(Nothing),
    /// Let somebody in.
    #[serde(rename = "member.add")]
    MemberAdd(MemberRecord),
    /// Change what a member is called and may do.
    #[serde(rename = "member.change")]
    MemberChange(MemberRecord),
    /// Let a member no longer in.
    #[serde(rename = "member.remove")]
    MemberRemove(MemberRemove),
    /// Make a secret with its first value.
    #[serde(rename = "secret.create")]
    SecretCreate(SecretCreate),
    /// Make several secrets, all or none.
    #[serde(rename = "secret.import")]
    SecretImport(SecretImport),
    /// Give a secret a new value.
    #[serde(rename = "secret.edit")]
    SecretEdit(SecretEdit),
    /// Change what is said of a secret.
    #[serde(rename = "secret.describe")]
    SecretDescribe(SecretDescribe),
    /// Give a secret another name.
    #[serde(rename = "secret.rename")]
    SecretRename(SecretRename),
    /// Release values.
    #[serde(rename = "secret.reveal")]
    SecretReveal(SecretReveal),
    /// Give a secret the value of an earlier version, sealed anew.
    #[serde(rename = "secret.rollback")]
    SecretRollback(SecretRollback),
    /// Hide a secret.
    #[serde(rename = "secret.delete")]
    SecretDelete(SecretRef),
    /// Bring a deleted secret back.
    #[serde(rename = "secret.restore")]
    SecretRestore(SecretRef),
    /// End values for good.
    #[serde(rename = "secret.destroy")]
    SecretDestroy(SecretDestroy),
    /// Record which block of a workflow uses which secret.
    #[serde(rename = "workflow.save")]
    WorkflowSave(WorkflowSave),
    /// Forget a workflow.
    #[serde(rename = "workflow.remove")]
    WorkflowRemove(WorkflowRemove),
    /// Begin a new generation of the workspace's wrapping key.
    #[serde(rename = "key.rotate")]
    KeyRotate(Nothing),
    /// End a delegation.
    #[serde(rename = "delegation.revoke")]
    DelegationRevoke(DelegationRevoke),
    /// The ledger's own: values of a destroyed secret are erased.
    #[serde(rename = "value.erase")]
    ValueErase(ValueErase),
    /// The ledger's own: stored values that no entry refers to are about to be erased.
    #[serde(rename = "values.sweep")]
    ValuesSweep(ValuesSweep),
    /// The ledger's own: values that could not be kept.
    #[serde(rename = "values.lose")]
    ValuesLose(ValuesLose),
    /// The ledger's own: a generation of the wrapping key is erased.
    #[serde(rename = "key.erase")]
    KeyErase(KeyErase),
    /// The ledger's own: an honest recovery lost the entries after `size`.
    #[serde(rename = "log.truncate")]
    LogTruncate(LogTruncate),
    /// The ledger's own: refusals that did not get an entry each.
    #[serde(rename = "denials.summarize")]
    DenialsSummarize(DenialsSummarize),
}

impl Action {
    /// The run of a block that values are asked for, if that is what they are asked for.
    pub const fn block_run(&self) -> Option<&BlockRun> {
        let Self::SecretReveal(reveal) = self else {
            return None;
        };
        match &reveal.purpose {
            Purpose::Block(run) => Some(run),
            Purpose::View(_) | Purpose::Copy(_) | Purpose::Run(_) | Purpose::Export(_) => None,
        }
    }

    /// The action's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WorkspaceCreate(_) => "workspace.create",
            Self::MemberAdd(_) => "member.add",
            Self::MemberChange(_) => "member.change",
            Self::MemberRemove(_) => "member.remove",
            Self::SecretCreate(_) => "secret.create",
            Self::SecretImport(_) => "secret.import",
            Self::SecretEdit(_) => "secret.edit",
            Self::SecretDescribe(_) => "secret.describe",
            Self::SecretRename(_) => "secret.rename",
            Self::SecretReveal(_) => "secret.reveal",
            Self::SecretRollback(_) => "secret.rollback",
            Self::SecretDelete(_) => "secret.delete",
            Self::SecretRestore(_) => "secret.restore",
            Self::SecretDestroy(_) => "secret.destroy",
            Self::WorkflowSave(_) => "workflow.save",
            Self::WorkflowRemove(_) => "workflow.remove",
            Self::KeyRotate(_) => "key.rotate",
            Self::DelegationRevoke(_) => "delegation.revoke",
            Self::ValueErase(_) => "value.erase",
            Self::ValuesSweep(_) => "values.sweep",
            Self::ValuesLose(_) => "values.lose",
            Self::KeyErase(_) => "key.erase",
            Self::LogTruncate(_) => "log.truncate",
            Self::DenialsSummarize(_) => "denials.summarize",
        }
    }

    /// The secret names the actor speaks of, as permission is judged on them.
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
            | Self::WorkflowRemove(_)
            | Self::KeyRotate(_)
            | Self::DelegationRevoke(_)
            | Self::ValueErase(_)
            | Self::ValuesSweep(_)
            | Self::ValuesLose(_)
            | Self::KeyErase(_)
            | Self::LogTruncate(_)
            | Self::DenialsSummarize(_) => vec![],
        }
    }

    /// The values a request with this action carries, in order: digest and bytes of each.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these actions carry values"
    )]
    pub fn values(&self) -> Vec<(SecretId, Version, Digest, u32)> {
        let new = |new: &NewSecret| (new.id, Version::FIRST, new.digest, new.size);
        let edit = |edit: &SecretEdit| (edit.id, edit.version, edit.digest, edit.size);
        match self {
            Self::SecretCreate(create) => vec![new(&create.secret)],
            Self::SecretImport(import) => import.secrets.iter().map(new).collect(),
            Self::SecretEdit(change) => vec![edit(change)],
            Self::SecretRollback(rollback) => vec![edit(&rollback.edit)],
            _ => vec![],
        }
    }

    /// The session its values travel under, if it has one.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these actions move data keys"
    )]
    pub const fn session(&self) -> Option<&SessionRef> {
        match self {
            Self::SecretCreate(create) => Some(&create.session),
            Self::SecretImport(import) => Some(&import.session),
            Self::SecretEdit(edit) => Some(&edit.session),
            Self::SecretRollback(rollback) => Some(&rollback.edit.session),
            Self::SecretReveal(reveal) => Some(&reveal.session),
            _ => None,
        }
    }
}
