//! Commands: signed, sent until their fate is known, and the receipt checked.

use std::time::Instant;

use async_nats::RequestErrorKind;
use keyroll_core::command::{COMMAND_V, Command};
use keyroll_core::decide::denial_message;
use keyroll_core::{
    Action, Blob, Code, CommandId, Digest, Entry, Event, Index, TreeSize, WorkspaceName, cbor, cose,
};
use keyroll_merkle::{Hash, leaf_hash, verify_inclusion};

use super::{Client, ClientError, PATIENCE, now};
use crate::reply::{Body, CommandReply, CommandRequest, Done, Receipt, Released, SealedValue};
use crate::seen::Seen;
use crate::subjects;

/// A command that is an entry, its receipt verified.
#[derive(Debug)]
pub struct Acted {
    /// The entry's index.
    pub index: Index,
    /// The entry.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
    /// Released values, still sealed; none when the command had been carried out before.
    pub released: Vec<Released>,
}

/// What one attempt came to.
enum Attempt {
    Done(Box<Done>),
    /// Nothing happened, or it cannot be known yet whether something did.
    Again(ClientError),
    Final(ClientError),
}

impl Client {
    /// Signs `action` and has it carried out.
    ///
    /// # Errors
    /// The ledger's refusal (one that is on record included); [`Code::AuditUnknown`] when it is
    /// not known whether it was carried out; [`Code::Rollback`], [`Code::Fork`],
    /// [`Code::Corrupt`] when the receipt does not verify; [`Code::Unreachable`].
    pub async fn act(
        &self,
        workspace: &WorkspaceName,
        action: Action,
    ) -> Result<Acted, ClientError> {
        self.act_with(workspace, super::new_command_id(), action, Vec::new())
            .await
    }

    /// As [`Client::act`], under a given command id and with values.
    ///
    /// # Errors
    /// As [`Client::act`].
    pub async fn act_with(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
        values: Vec<SealedValue>,
    ) -> Result<Acted, ClientError> {
        let bytes = self.sign_command(workspace, id, action);
        self.submit(workspace, bytes, values).await
    }

    /// The signed bytes of a command, for sending now or by other means.
    pub fn sign_command(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
    ) -> Vec<u8> {
        let command = Command {
            v: COMMAND_V,
            at: now(),
            id,
            action,
            ledger: self.link.ledger,
            workspace: workspace.clone(),
            delegation: self.signer().statement(),
        };
        cose::sign(&command, self.signer().key())
    }

    /// Sends a signed command until its fate is known or patience ends. The same bytes are sent
    /// again: they take effect at most once.
    ///
    /// # Errors
    /// As [`Client::act`].
    pub async fn submit(
        &self,
        workspace: &WorkspaceName,
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<Acted, ClientError> {
        let seen = self.link.seen.get(workspace)?;
        let size = seen.as_ref().map_or(TreeSize(0), |seen| seen.size);
        let digest = Digest::of(&command);
        let request = CommandRequest {
            seen: size,
            values,
            command: Blob(command),
        };
        let bytes = cbor::encode(&request);
        if bytes.len() > keyroll_core::limits::REQUEST_BYTES {
            let limit = keyroll_core::limits::REQUEST_BYTES;
            return Err(ClientError::failed(
                Code::TooLarge,
                format!("a request has at most {limit} bytes"),
            ));
        }
        let end = Instant::now() + PATIENCE;
        let mut unknown = false;
        let mut pause = std::time::Duration::from_millis(20);
        loop {
            match self
                .attempt(
                    (workspace, seen.as_ref()),
                    &digest,
                    bytes.clone(),
                    (end, unknown),
                )
                .await
            {
                Attempt::Done(done) => {
                    return self.check_done(workspace, seen.as_ref(), &request.command.0, *done);
                }
                Attempt::Final(error) => return Err(error),
                Attempt::Again(error) => {
                    unknown |= error.code() == Code::AuditUnknown;
                    if Instant::now() + pause >= end {
                        return Err(if unknown { fate_unknown() } else { error });
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_millis(500));
        }
    }

    async fn attempt(
        &self,
        (workspace, seen): (&WorkspaceName, Option<&Seen>),
        digest: &Digest,
        bytes: Vec<u8>,
        (end, unknown): (Instant, bool),
    ) -> Attempt {
        let left = end.saturating_duration_since(Instant::now());
        let sent = self
            .link
            .nats
            .request(subjects::command(workspace), bytes.into());
        let reply = match tokio::time::timeout(left, sent).await {
            Err(_) => return Attempt::Again(fate_unknown()),
            Ok(Err(error)) => return failed_request(&error, unknown),
            Ok(Ok(reply)) => reply,
        };
        let refusal = match cbor::decode::<CommandReply>(&reply.payload) {
            Err(rejection) => return Attempt::Final(ClientError::broken_reply(rejection)),
            Ok(CommandReply::Done(done)) => return Attempt::Done(Box::new(done)),
            Ok(CommandReply::Refused(signed)) => self.open_reply(&signed.0, digest),
        };
        let checked = refusal.and_then(|opened| {
            self.check_position(workspace, seen, &opened.payload)?;
            Ok(opened.payload.body)
        });
        match checked {
            Err(error) => Attempt::Final(error),
            Ok(Body::Answer(_)) => Attempt::Final(super::ask::unexpected()),
            Ok(Body::Error(rejection)) => match rejection.code {
                Code::Busy | Code::AuditUnknown => Attempt::Again(rejection.into()),
                // An earlier attempt may still land: then this one's word is not the last.
                Code::AuditUnavailable | Code::Unreachable | Code::Internal | Code::Stale
                    if unknown =>
                {
                    Attempt::Again(rejection.into())
                }
                _ => Attempt::Final(rejection.into()),
            },
        }
    }

    fn check_done(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&Seen>,
        command: &[u8],
        done: Done,
    ) -> Result<Acted, ClientError> {
        let (entry, size, root) = self.check_receipt(workspace, &done.receipt)?;
        if entry.command.0 != command {
            return Err(ClientError::failed(
                Code::Corrupt,
                "the receipt is of another command",
            ));
        }
        let note = Some(done.receipt.checkpoint.as_str());
        self.believe(workspace, seen, (size, root), &done.consistency, note)?;
        for event in &entry.events {
            if let Event::AccessDenied(denied) = event {
                let opened = keyroll_core::SignedCommand::decode(command)?;
                let words = denial_message(opened.command().action.name(), denied.reason);
                let message = format!("{words} (recorded as entry {})", done.receipt.index);
                return Err(ClientError::Refused(keyroll_core::Rejection::new(
                    Code::Denied,
                    message,
                )));
            }
        }
        Ok(Acted {
            index: done.receipt.index,
            entry,
            receipt: done.receipt,
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
            let message = format!(
                "entry {} is not in the tree of its receipt: {error}",
                receipt.index
            );
            ClientError::failed(Code::Corrupt, message)
        })?;
        let entry: Entry = cbor::decode(&receipt.entry.0).map_err(ClientError::broken_reply)?;
        Ok((entry, TreeSize(checkpoint.size), checkpoint.root))
    }
}

pub(super) fn fate_unknown() -> ClientError {
    ClientError::failed(
        Code::AuditUnknown,
        "it is not known whether the entry was written; nothing was released. Look at the audit log before you try again",
    )
}

fn failed_request(error: &async_nats::RequestError, unknown: bool) -> Attempt {
    match error.kind() {
        RequestErrorKind::NoResponders if !unknown => Attempt::Final(ClientError::failed(
            Code::Unreachable,
            "no keyroll service answers there: is `keyroll serve` or `keyroll dev` running?",
        )),
        // `Other` also stands for a connection that broke after the command was sent.
        RequestErrorKind::TimedOut | RequestErrorKind::NoResponders | RequestErrorKind::Other => {
            Attempt::Again(fate_unknown())
        }
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            let message = format!("the command was not sent: {error}");
            Attempt::Again(ClientError::failed(Code::Unreachable, message))
        }
    }
}
