//! What the ledger says came of a command, checked: that its entry is in the tree, is of this very
//! command, and says what can come of it.

use std::collections::BTreeMap;

use keyroll_core::command::{Command, NewSecret, RevealItem, SecretEdit, SecretReveal};
use keyroll_core::decide::denied;
use keyroll_core::event::{SecretRevealed, Stored};
use keyroll_core::{
    Action, Code, Digest, Entry, Event, Identity, Index, ObjectId, SecretId, SecretName,
    SignedCommand, TreeSize, Version, WorkspaceName, cbor,
};
use keyroll_merkle::{Hash, leaf_hash, verify_inclusion};

use crate::checkpoints::{Observation, SetByCaller, TrustedCheckpoint};
use crate::command::Executed;
use crate::query::unexpected;
use crate::{Client, ClientError};
use keyroll_wire::query::{AuditProve, Question};
use keyroll_wire::reply::{Answer, CommittedCommand, Receipt};

/// An entry of the log, with the proof that it is there.
#[derive(Debug)]
pub struct ProvedEntry {
    /// The entry.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
    /// Size of the tree that it is proved in.
    pub size: TreeSize,
}

fn corrupt(message: impl Into<String>) -> ClientError {
    ClientError::failed(Code::Corrupt, message)
}

/// A command that is an entry, of which this client could not keep what it has to: the home is full
/// or cannot be written. Whoever reads it must not take the command for one that failed.
fn happened(
    (workspace, command): (&WorkspaceName, &Command),
    index: Index,
    error: ClientError,
) -> ClientError {
    if error.code() != Code::Internal {
        return error;
    }
    let action = command.action.name();
    let after = if matches!(command.action, Action::SecretReveal(_)) {
        "No value is shown before that: reveal again then"
    } else {
        "Do not send it again"
    };
    let message =
        format!("{action} has happened: it is entry {index} of {workspace}. Only {error}. {after}");
    ClientError::failed(Code::Internal, message)
}

impl Client {
    pub(super) fn check_done(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&TrustedCheckpoint>,
        ((command, actor), bytes): ((&Command, Identity), &[u8]),
        done: CommittedCommand,
    ) -> Result<Executed, ClientError> {
        let (entry, size, root) = self.check_receipt(workspace, &done.receipt)?;
        if entry.command.0 != bytes {
            return Err(corrupt("the receipt is of another command"));
        }
        let note = Some(done.receipt.checkpoint.as_str());
        let index = done.receipt.index;
        let believed = self.trust(workspace, seen, (size, root), &done.consistency, note);
        // Whether it can be kept is said after what has happened.
        if let Err(error) = &believed
            && error.code() != Code::Internal
        {
            return Err(error.clone());
        }
        if let Some(mut rejection) = denied(&command.action, &entry.events) {
            rejection.message = format!("{} (recorded as entry {index})", rejection.message);
            return Err(ClientError::Refused(rejection));
        }
        if !can_lead_to(command, actor, &entry.events) {
            return Err(corrupt(format!(
                "entry {index} does not say what can come of {}",
                command.action.name()
            )));
        }
        let happened = |error| happened((workspace, command), index, error);
        believed.map_err(happened)?;
        let shown = observed_by_caller(&command.action, index);
        let warnings = self
            .connection
            .checkpoints
            .secrets()
            .verify(workspace, &shown);
        let warnings = warnings.map_err(happened)?;
        Ok(Executed {
            index,
            entry,
            receipt: done.receipt,
            warnings,
            released: done.released,
        })
    }

    /// Verifies a receipt: the checkpoint's signature, and the entry's place under its root.
    ///
    /// # Errors
    /// [`Code::Corrupt`].
    pub fn check_receipt(
        &self,
        workspace: &WorkspaceName,
        receipt: &Receipt,
    ) -> Result<(Entry, TreeSize, Hash), ClientError> {
        let checkpoint = self.open_checkpoint(workspace, &receipt.checkpoint)?;
        let path: Vec<Hash> = receipt.path.iter().map(|hash| Hash(hash.0)).collect();
        let leaf = leaf_hash(&receipt.entry.0);
        verify_inclusion(
            &leaf,
            receipt.index.0,
            checkpoint.size,
            &path,
            &checkpoint.root,
        )
        .map_err(|error| {
            corrupt(format!(
                "entry {} is not in the tree of its receipt: {error}",
                receipt.index
            ))
        })?;
        let entry: Entry = cbor::decode(&receipt.entry.0).map_err(ClientError::broken_reply)?;
        Ok((entry, TreeSize(checkpoint.size), checkpoint.root))
    }

    /// An entry of a workspace, proved to be in the tree that extends what was seen before.
    ///
    /// # Errors
    /// As [`Client::query`]; [`Code::Corrupt`] when the proof is of another tree or entry.
    pub async fn prove(
        &self,
        workspace: &WorkspaceName,
        index: Index,
    ) -> Result<ProvedEntry, ClientError> {
        let ask = Question::AuditProve(AuditProve { index });
        let answered = self.query(Some(workspace), ask).await?;
        let Answer::AuditProve(receipt) = answered.answer else {
            return Err(unexpected());
        };
        let (entry, size, root) = self.check_receipt(workspace, &receipt)?;
        if receipt.index != index {
            let message = format!(
                "the ledger proved entry {} instead of {index}",
                receipt.index
            );
            return Err(corrupt(message));
        }
        if (size, root) != (answered.size, answered.root) {
            return Err(corrupt(
                "the proof is of another tree than the answer around it",
            ));
        }
        Ok(ProvedEntry {
            entry,
            receipt,
            size,
        })
    }
}

impl Client {
    /// A reveal of the past: what was asked for, signed by who asked, and what was released.
    ///
    /// # Errors
    /// As [`Client::prove`]; [`Code::Corrupt`] when the entry is no reveal.
    pub async fn past_reveal(
        &self,
        workspace: &WorkspaceName,
        index: Index,
    ) -> Result<(SecretReveal, SecretRevealed), ClientError> {
        let entry = self.prove(workspace, index).await?.entry;
        let signed = SignedCommand::decode(&entry.command.0).map_err(ClientError::broken_reply)?;
        signed
            .check_signatures()
            .map_err(ClientError::broken_reply)?;
        let command = signed.command();
        let here = command.ledger == self.connection.ledger && command.workspace == *workspace;
        if here
            && can_lead_to(command, signed.actor(), &entry.events)
            && let Action::SecretReveal(reveal) = &command.action
            && let Some(Event::SecretRevealed(revealed)) = entry.events.into_iter().next()
        {
            return Ok((reveal.clone(), revealed));
        }
        Err(corrupt(format!(
            "entry {index} is not a reveal of {workspace}"
        )))
    }
}

/// Whether events are what a command of `actor` can lead to, where it is not denied. What depends
/// on the state of the workspace only full verification can tell.
pub(super) fn can_lead_to(command: &Command, actor: Identity, events: &[Event]) -> bool {
    let stored = |stored: &Stored, item: u32, digest: &Digest| {
        stored.item == item && stored.place == ObjectId::of(&actor, &command.id, item, digest)
    };
    if let Action::SecretImport(import) = &command.action {
        let mut pairs = (0_u32..).zip(import.secrets.iter().zip(events));
        return import.secrets.len() == events.len()
            && pairs.all(|(item, (new, event))| {
                matches!(event, Event::SecretCreated(at) if stored(at, item, &new.digest))
            });
    }
    let [event] = events else { return false };
    match (&command.action, event) {
        (Action::SecretCreate(create), Event::SecretCreated(at)) => {
            stored(at, 0, &create.secret.digest)
        }
        (Action::SecretEdit(edit), Event::SecretEdited(at)) => stored(at, 0, &edit.digest),
        (Action::SecretRollback(rollback), Event::SecretEdited(at)) => {
            stored(at, 0, &rollback.edit.digest)
        }
        (Action::SecretReveal(reveal), Event::SecretRevealed(revealed)) => {
            reveals(&reveal.names, revealed)
        }
        (Action::SecretDestroy(destroy), Event::SecretDestroyed(destroyed)) => {
            let named = destroy.versions.as_ref();
            named.is_none_or(|versions| *versions == destroyed.versions)
        }
        (Action::DelegationRevoke(revoke), Event::DelegationRevoked(revoked)) => {
            revoke.identity.is_some() == revoked.identities.is_empty()
        }
        (Action::WorkspaceCreate(_), Event::WorkspaceCreated(_))
        | (Action::MemberAdd(_), Event::MemberAdded(_))
        | (Action::MemberChange(_), Event::MemberChanged(_))
        | (Action::MemberRemove(_), Event::MemberRemoved(_))
        | (Action::SecretDescribe(_), Event::SecretDescribed(_))
        | (Action::SecretRename(_), Event::SecretRenamed(_))
        | (Action::SecretDelete(_), Event::SecretDeleted(_))
        | (Action::SecretRestore(_), Event::SecretRestored(_))
        | (Action::WorkflowSave(_), Event::WorkflowSaved(_))
        | (Action::WorkflowRemove(_), Event::WorkflowRemoved(_))
        | (Action::KeyRotate(_), Event::KeyRotated(_))
        | (Action::ValueErase(_), Event::ValueErased(_))
        | (Action::ValuesSweep(_), Event::ValuesSwept(_))
        | (Action::ValuesLose(_), Event::ValuesLost(_))
        | (Action::KeyErase(_), Event::KeyErased(_))
        | (Action::LogTruncate(_), Event::LogTruncated(_))
        | (Action::DenialsSummarize(_), Event::DenialsSummarized(_)) => true,
        _ => false,
    }
}

/// Whether values were released of what was asked for, in that order: by id where it was given, by
/// name, and by version where it was given. Two names never stand for one secret.
fn reveals(asked: &[RevealItem], revealed: &SecretRevealed) -> bool {
    let mut names = BTreeMap::new();
    let mut pairs = asked.iter().zip(&revealed.secrets);
    asked.len() == revealed.secrets.len()
        && pairs.all(|(item, one)| {
            one.name == item.name
                && item.id.is_none_or(|id| id == one.id)
                && item.version.is_none_or(|version| version == one.version)
                && *names.entry(one.id).or_insert(&item.name) == &item.name
        })
}

/// What the caller's own act shows of secrets.
fn observed_by_caller(action: &Action, index: Index) -> Vec<Observation<'_>> {
    match action {
        Action::SecretCreate(create) => vec![created(&create.secret, index)],
        Action::SecretImport(import) => {
            let new = import.secrets.iter();
            new.map(|new| created(new, index)).collect()
        }
        Action::SecretEdit(edit) => vec![edited(edit, index)],
        Action::SecretRollback(rollback) => vec![edited(&rollback.edit, index)],
        Action::SecretDescribe(describe) => vec![Observation {
            hosts: describe.hosts.as_deref(),
            ..named(index, describe.id, &describe.name, SetByCaller::Hosts)
        }],
        Action::SecretRename(rename) => vec![
            named(index, rename.id, &rename.name, SetByCaller::Nothing),
            named(index, rename.id, &rename.to, SetByCaller::NameAndHosts),
        ],
        Action::SecretRestore(restore) => {
            vec![named(
                index,
                restore.id,
                &restore.name,
                SetByCaller::NameAndHosts,
            )]
        }
        _ => Vec::new(),
    }
}

fn created(new: &NewSecret, index: Index) -> Observation<'_> {
    Observation {
        version: Some((Version::FIRST, new.digest)),
        hosts: Some(&new.hosts),
        ..named(index, new.id, &new.name, SetByCaller::NameAndHosts)
    }
}

fn edited(edit: &SecretEdit, index: Index) -> Observation<'_> {
    Observation {
        version: Some((edit.version, edit.digest)),
        ..named(index, edit.id, &edit.name, SetByCaller::Nothing)
    }
}

fn named(index: Index, id: SecretId, name: &SecretName, chosen: SetByCaller) -> Observation<'_> {
    Observation {
        index,
        id,
        name,
        version: None,
        current: true,
        hosts: None,
        chosen,
    }
}
