//! Verifies receipts: the entry is in the tree, it holds exactly this command, and its events are
//! possible results of the command.

use std::collections::BTreeMap;

use keyroll_core::command::{Command, NewSecret, RevealItem, SecretEdit, SecretReveal};
use keyroll_core::decide::denied;
use keyroll_core::event::{SecretRevealed, Stored};
use keyroll_core::{
    Action, Code, Digest, Entry, Event, Index, MemberId, ObjectId, SecretId, SecretName,
    SignedCommand, TreeSize, Version, WorkspaceName, cbor,
};
use keyroll_merkle::{Hash, leaf_hash, verify_inclusion};

use crate::checkpoints::{Observation, SetByCaller, TrustedCheckpoint};
use crate::command::Executed;
use crate::query::unexpected;
use crate::{Client, ClientError};
use keyroll_wire::query::{AuditProve, Question};
use keyroll_wire::reply::{Answer, CommittedCommand, Receipt};

/// An entry of the log with its inclusion proof.
#[derive(Debug)]
pub struct ProvedEntry {
    /// The entry.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
    /// Size of the tree that the proof is for.
    pub size: TreeSize,
}

fn corrupt(message: impl Into<String>) -> ClientError {
    ClientError::failed(Code::Corrupt, message)
}

/// The error for a command that is an entry although this client could not write to its directory.
/// The user must not believe that the command failed.
fn executed_but_not_kept(
    (workspace, command): (&WorkspaceName, &Command),
    index: Index,
    error: ClientError,
) -> ClientError {
    if error.code() != Code::Internal {
        return error;
    }
    let action = command.action.name();
    let after = if matches!(command.action, Action::SecretReveal(_)) {
        "No value is shown before that: reveal again afterwards"
    } else {
        "Do not send it again"
    };
    let message =
        format!("{action} has happened: it is entry {index} of {workspace}. Only {error}. {after}");
    ClientError::failed(Code::Internal, message)
}

impl Client {
    pub(crate) fn check_committed(
        &self,
        workspace: &WorkspaceName,
        trusted: Option<&TrustedCheckpoint>,
        ((command, actor), bytes): ((&Command, MemberId), &[u8]),
        committed: CommittedCommand,
    ) -> Result<Executed, ClientError> {
        let (entry, size, root) = self.check_receipt(workspace, &committed.receipt)?;
        if entry.command.0 != bytes {
            return Err(corrupt("the receipt is for another command"));
        }
        let note = Some(committed.receipt.checkpoint.as_str());
        let index = committed.receipt.index;
        let kept = self.trust(
            workspace,
            trusted,
            (size, root),
            &committed.consistency,
            note,
        );
        // A failure to write is reported further below, together with the committed entry.
        if let Err(error) = &kept
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
                "the events of entry {index} cannot result from {}",
                command.action.name()
            )));
        }
        let not_kept = |error| executed_but_not_kept((workspace, command), index, error);
        kept.map_err(not_kept)?;
        let observations = observed_by_caller(&command.action, index);
        let warnings = self
            .connection
            .checkpoints
            .secrets()
            .verify(workspace, &observations);
        let warnings = warnings.map_err(not_kept)?;
        Ok(Executed {
            index,
            entry,
            receipt: committed.receipt,
            warnings,
            released: committed.released,
        })
    }

    /// Verifies a receipt: the checkpoint's signature, and the entry's inclusion under its root.
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

    /// An entry of a workspace, with a proof that it is in the tree that extends the trusted one.
    ///
    /// # Errors
    /// As [`Client::query`]; [`Code::Corrupt`] when the proof is for another tree or entry.
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
                "the proof is for another tree than the answer around it",
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
    /// A past reveal: the signed request, and the released values without their plaintext.
    ///
    /// # Errors
    /// As [`Client::prove`]; [`Code::Corrupt`] when the entry is not a reveal.
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

/// Whether events can result from a command of `actor` that is not denied. This does not know the
/// state of the workspace; only full verification does.
pub(crate) fn can_lead_to(command: &Command, actor: MemberId, events: &[Event]) -> bool {
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
    if let Action::SignInOpen(open) = &command.action {
        let opened = |event: &Event| {
            matches!(event, Event::SignInOpened(opened)
                if opened.until == open.until && opened.member == actor)
        };
        return match events {
            [event] => opened(event),
            [Event::SignInClosed(closed), event] => closed.key.is_some() && opened(event),
            _ => false,
        };
    }
    if let [first, Event::MemberAdded(_)] = events {
        return match (&command.action, first) {
            (Action::MemberAccept(_), Event::MemberAccepted(accepted)) => {
                accepted.until.is_none() && accepted.member == actor
            }
            (Action::MemberConfirm(_), Event::MemberConfirmed(_)) => true,
            _ => false,
        };
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
        (Action::SignInClose(_), Event::SignInClosed(closed)) => closed.key.is_none(),
        (Action::MemberAccept(_), Event::MemberAccepted(accepted)) => {
            accepted.until.is_some() && accepted.member == actor
        }
        (Action::WorkspaceCreate(_), Event::WorkspaceCreated(_))
        | (Action::MemberInvite(_), Event::MemberInvited(_))
        | (Action::MemberRevoke(_), Event::MemberRevoked(_))
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

/// Whether the released values are the requested ones in the same order: by name, and by id and
/// version where these were given. Two names never refer to one secret.
fn reveals(requested: &[RevealItem], revealed: &SecretRevealed) -> bool {
    let mut names = BTreeMap::new();
    let mut pairs = requested.iter().zip(&revealed.secrets);
    requested.len() == revealed.secrets.len()
        && pairs.all(|(item, one)| {
            one.name == item.name
                && item.id.is_none_or(|id| id == one.id)
                && item.version.is_none_or(|version| version == one.version)
                && *names.entry(one.id).or_insert(&item.name) == &item.name
        })
}

/// The facts about secrets that the caller's own command shows.
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

fn named(
    index: Index,
    id: SecretId,
    name: &SecretName,
    set_by_caller: SetByCaller,
) -> Observation<'_> {
    Observation {
        index,
        id,
        name,
        version: None,
        current: true,
        hosts: None,
        set_by_caller,
    }
}
