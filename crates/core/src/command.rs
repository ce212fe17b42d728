//! Commands: what actors sign. A command is kept verbatim in the entry it led to.
//!
//! Fields are declared in canonical order: shorter names first, then by bytes.

use serde::{Deserialize, Serialize};

use crate::authorize::Role;
use crate::cose::{self, Form, Unchecked};
use crate::ids::{
    Blob, CommandId, Digest, Encapsulated, Identity, LedgerId, Millis, SecretId, Version,
};
use crate::ids::{Epoch, Place, TreeSize};
use crate::names::{Glob, HostPattern, Label, MemberName, SecretName, Text, WorkspaceName};
use crate::rejection::{Code, Rejection};
use crate::statement::Delegation;

/// The version of the command form that this program writes.
pub const COMMAND_V: u32 = 1;

/// "I want this": one signed request to change or reveal something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Version of the form, 1.
    pub v: u32,
    /// When the actor signed.
    pub at: Millis,
    /// Unique for the actor: the same bytes again get the same receipt.
    pub id: CommandId,
    /// What is wanted.
    pub action: Action,
    /// The ledger it is meant for.
    pub ledger: LedgerId,
    /// The workspace it is meant for.
    pub workspace: WorkspaceName,
    /// A signed [`Delegation`], when the signing key is not the identity itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Blob>,
}

impl Form for Command {
    const NAME: &'static str = "keyroll/command/v1";
    const TYP: &'static str = "application/vnd.keyroll.command";
}

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
    /// The ledger's own: settles whether an earlier append at this place landed.
    #[serde(rename = "fence.set")]
    FenceSet(Nothing),
    /// The ledger's own: an honest recovery lost the entries after `size`.
    #[serde(rename = "log.truncate")]
    LogTruncate(LogTruncate),
    /// The ledger's own: refusals that did not get an entry each.
    #[serde(rename = "denials.summarize")]
    DenialsSummarize(DenialsSummarize),
}

/// No fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// All that is said of a member; a change replaces all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRecord {
    /// Display name, unique in the workspace.
    pub name: MemberName,
    /// What the member may do.
    pub role: Role,
    /// The member's public key.
    pub member: Identity,
    /// When the membership ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// The names of the secrets the member may touch.
    pub secrets: Vec<Glob>,
}

/// Which member to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRemove {
    /// The member's public key.
    pub member: Identity,
}

/// Names a session: an HPKE exchange with the ledger's sealing key of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// The encapsulated key.
    pub enc: Encapsulated,
    /// The sealing key's period.
    pub period: u32,
}

/// One secret of an import, or the one of a create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Fresh random id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// Bytes of the sealed value.
    pub size: u32,
    /// Hosts it may be sent to; none means any.
    pub hosts: Vec<HostPattern>,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// Whether only runners may have it, for blocks.
    pub restricted: bool,
    /// Words for people.
    pub description: Text,
    /// How often a new value is due, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
}

/// Fields of `secret.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretCreate {
    /// The new secret.
    pub secret: NewSecret,
    /// The session its data key travels under.
    pub session: SessionRef,
}

/// Fields of `secret.import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretImport {
    /// The new secrets; the values of the request are in the same order.
    pub secrets: Vec<NewSecret>,
    /// The session their data keys travel under.
    pub session: SessionRef,
}

/// A secret that exists, by name and id: permission is judged on the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Its id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
}

/// Fields of `secret.edit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretEdit {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// Bytes of the sealed value.
    pub size: u32,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// Why, if the actor says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The session the data key travels under.
    pub session: SessionRef,
    /// The version this makes: the current one plus one.
    pub version: Version,
}

/// Fields of `secret.rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRollback {
    /// The new version.
    pub edit: SecretEdit,
    /// The version whose value it has, as the actor claims.
    pub from: Version,
}

/// Fields of `secret.describe`; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDescribe {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// Hosts it may be sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether only runners may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<bool>,
    /// Words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// How often a new value is due, in seconds; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
}

/// Fields of `secret.rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRename {
    /// The secret's id.
    pub id: SecretId,
    /// The new name.
    pub to: SecretName,
    /// The present name.
    pub name: SecretName,
}

/// Fields of `secret.reveal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReveal {
    /// What to release.
    pub names: Vec<RevealItem>,
    /// Why, if the actor says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// What for, as the actor claims.
    pub purpose: Purpose,
    /// The session the data keys travel under.
    pub session: SessionRef,
}

/// One value to release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealItem {
    /// The secret's id, when the caller knows it: another secret under the name is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SecretId>,
    /// The secret's name.
    pub name: SecretName,
    /// The version; the current one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// What a value is released for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Purpose {
    /// To look at it.
    #[serde(rename = "view")]
    View(Nothing),
    /// To put it on a clipboard.
    #[serde(rename = "copy")]
    Copy(Nothing),
    /// To put it into a program's environment.
    #[serde(rename = "run")]
    Run(Nothing),
    /// To write it into a file.
    #[serde(rename = "export")]
    Export(Nothing),
    /// To run a workflow's block.
    #[serde(rename = "block")]
    Block(BlockRun),
}

/// Which run of which block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRun {
    /// The run.
    pub run: Label,
    /// The block.
    pub block: Label,
    /// The workflow.
    pub workflow: Label,
}

/// Fields of `secret.destroy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDestroy {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// The versions; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<Version>>,
}

/// Fields of `workflow.save`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSave {
    /// Its blocks.
    pub blocks: Vec<BlockUse>,
    /// Its name.
    pub workflow: Label,
}

/// The names that one block references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockUse {
    /// The block.
    pub name: Label,
    /// The secrets it references.
    pub secrets: Vec<SecretName>,
}

/// Fields of `workflow.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowRemove {
    /// Its name.
    pub workflow: Label,
}

/// Fields of `delegation.revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationRevoke {
    /// The delegated key that is to end.
    pub key: Identity,
    /// The identity that delegated to it.
    pub identity: Identity,
}

/// Fields of `value.erase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueErase {
    /// The secret.
    pub id: SecretId,
    /// The versions whose values are erased.
    pub versions: Vec<Version>,
}

/// One stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAt {
    /// The epoch whose key wraps it.
    pub epoch: Epoch,
    /// Its place.
    pub place: Place,
}

/// Fields of `values.sweep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesSweep {
    /// Values that no version refers to.
    pub places: Vec<StoredAt>,
}

/// Fields of `values.lose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesLose {
    /// The versions whose values are gone.
    pub values: Vec<LostValue>,
}

/// A version whose value is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostValue {
    /// The secret.
    pub id: SecretId,
    /// The version.
    pub version: Version,
}

/// Fields of `key.erase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyErase {
    /// The generation that is gone.
    pub epoch: Epoch,
}

/// Fields of `log.truncate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTruncate {
    /// The highest size that is known to have been.
    pub size: TreeSize,
}

/// Fields of `denials.summarize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialsSummarize {
    /// How many refusals of whom.
    pub denials: Vec<DenialCount>,
}

/// Refusals of one member that got no entry of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialCount {
    /// How many.
    pub count: u32,
    /// Whose.
    pub member: Identity,
}

impl Action {
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
            Self::FenceSet(_) => "fence.set",
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
            | Self::FenceSet(_)
            | Self::LogTruncate(_)
            | Self::DenialsSummarize(_) => vec![],
        }
    }

    /// The values a request with this action carries, in order: digest and bytes of each.
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

/// A command as it came: decoded, its signatures not looked at yet.
#[derive(Debug, Clone)]
pub struct SignedCommand {
    inner: Unchecked<Command>,
    delegation: Option<Unchecked<Delegation>>,
}

impl SignedCommand {
    /// Decodes bytes from outside.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::UpgradeNeeded`] for a later version of the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > crate::limits::COMMAND_BYTES {
            let limit = crate::limits::COMMAND_BYTES;
            return Err(Rejection::new(
                Code::TooLarge,
                format!("a command is at most {limit} bytes"),
            ));
        }
        Self::finish(cose::open(bytes)?, |bytes| cose::open(bytes))
    }

    /// Decodes bytes that a checked signature of the ledger covers already.
    ///
    /// # Errors
    /// As [`SignedCommand::decode`].
    pub fn decode_trusted(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::finish(cose::open_trusted(bytes)?, |bytes| {
            cose::open_trusted(bytes)
        })
    }

    fn finish(
        inner: Unchecked<Command>,
        open: impl FnOnce(&[u8]) -> Result<Unchecked<Delegation>, Rejection>,
    ) -> Result<Self, Rejection> {
        if inner.payload.v != COMMAND_V {
            let message = format!("command form {} is not known here", inner.payload.v);
            return Err(Rejection::new(Code::UpgradeNeeded, message));
        }
        let delegation = inner
            .payload
            .delegation
            .as_ref()
            .map(|bytes| open(&bytes.0))
            .transpose()?;
        Ok(Self { inner, delegation })
    }

    /// The command.
    pub const fn command(&self) -> &Command {
        &self.inner.payload
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// The key that signed it.
    pub const fn signer(&self) -> Identity {
        self.inner.signer
    }

    /// The identity that acts: the delegating one when the signer is a delegated key.
    pub fn actor(&self) -> Identity {
        self.delegation
            .as_ref()
            .map_or(self.inner.signer, |opened| opened.payload.identity)
    }

    /// What the actor signed for the signing key, if it is not the actor.
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref().map(|opened| &opened.payload)
    }

    /// Verifies the signature, and the delegation's when there is one.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn verify(self) -> Result<Verified, Rejection> {
        self.check_signatures()?;
        Ok(Verified(self))
    }

    /// As [`SignedCommand::verify`], for who wants to know no more than whether.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn check_signatures(&self) -> Result<(), Rejection> {
        self.inner.verify()?;
        self.delegation.as_ref().map_or(Ok(()), |delegation| {
            delegation.verify_for(&self.inner.signer)
        })
    }

    /// For full verification, which checks the signatures on other threads and reports each that
    /// fails. Never use it on a way that leads to an entry.
    pub fn assume_verified(self) -> Verified {
        Verified(self)
    }
}

/// A command whose signatures hold.
#[derive(Debug, Clone)]
pub struct Verified(SignedCommand);

impl std::ops::Deref for Verified {
    type Target = SignedCommand;

    fn deref(&self) -> &SignedCommand {
        &self.0
    }
}
