//! Commands: signed, and sent until their fate is known.

use std::time::Instant;

use async_nats::RequestErrorKind;
use keyroll_core::command::{COMMAND_V, Command};
use keyroll_core::{
    Action, Blob, Code, CommandId, Digest, Entry, Identity, Index, SignedCommand, TreeSize,
    WorkspaceName, cbor, cose,
};

use crate::checkpoints::TrustedCheckpoint;
use crate::client::CALL_TIMEOUT;
use crate::{Client, ClientError};
use keyroll_wire::reply::{
    CommandReply, CommandRequest, CommittedCommand, Receipt, ReleasedValue, ReplyBody, SealedValue,
};
use keyroll_wire::subjects;
use keyroll_wire::time::now;

/// A command that is an entry, its receipt verified.
#[derive(Debug)]
pub struct Executed {
    /// The entry's index.
    pub index: Index,
    /// The entry.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
    /// What a person should know: what the ledger shows of a secret differs from what it showed
    /// before.
    pub warnings: Vec<String>,
    /// Released values, still sealed; none when the command had been carried out before. Only
    /// [`Client::reveal`] opens them.
    pub(super) released: Vec<ReleasedValue>,
}

/// What one attempt came to.
enum Attempt {
    Done(Box<CommittedCommand>),
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
    pub async fn execute(
        &self,
        workspace: &WorkspaceName,
        action: Action,
    ) -> Result<Executed, ClientError> {
        self.execute_with(workspace, crate::new_command_id(), action, Vec::new())
            .await
    }

    /// As [`Client::execute`], under a given command id and with values.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn execute_with(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
        values: Vec<SealedValue>,
    ) -> Result<Executed, ClientError> {
        let command = self.command(workspace, id, action);
        let bytes = cose::sign(&command, self.signer().key());
        let said = (&command, self.identity());
        self.send(workspace, said, bytes, values).await
    }

    /// The signed bytes of a command, for sending now or by other means.
    pub fn sign_command(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
    ) -> Vec<u8> {
        cose::sign(&self.command(workspace, id, action), self.signer().key())
    }

    fn command(&self, workspace: &WorkspaceName, id: CommandId, action: Action) -> Command {
        Command {
            v: COMMAND_V,
            at: now(),
            id,
            action,
            ledger: self.connection.ledger,
            workspace: workspace.clone(),
            delegation: self.signer().statement(),
        }
    }

    /// Sends a signed command until its fate is known or patience ends. The same bytes are sent
    /// again: they take effect at most once.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn submit(
        &self,
        workspace: &WorkspaceName,
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<Executed, ClientError> {
        let signed = SignedCommand::decode(&command)?;
        let said = (signed.command(), signed.actor());
        self.send(workspace, said, command, values).await
    }

    async fn send(
        &self,
        workspace: &WorkspaceName,
        said: (&Command, Identity),
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<Executed, ClientError> {
        // What cannot be read is found out before anything is on record.
        self.connection.checkpoints.secrets().count(workspace)?;
        let seen = self.connection.checkpoints.get(workspace)?;
        let size = seen.as_ref().map_or(TreeSize(0), |seen| seen.size);
        if matches!(said.0.action, Action::WorkspaceCreate(_)) {
            // A log begun anew under this name could never extend what was seen.
            self.check_extends(workspace, seen.as_ref()).await?;
        }
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
        let end = Instant::now() + CALL_TIMEOUT;
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
                    let command = (said, request.command.0.as_slice());
                    return self.check_done(workspace, seen.as_ref(), command, *done);
                }
                Attempt::Final(error @ ClientError::Refused(_)) => {
                    return Err(self.check_refusal(workspace, seen.as_ref(), error).await);
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
        (workspace, seen): (&WorkspaceName, Option<&TrustedCheckpoint>),
        digest: &Digest,
        bytes: Vec<u8>,
        (end, unknown): (Instant, bool),
    ) -> Attempt {
        let left = end.saturating_duration_since(Instant::now());
        let sent = self
            .connection
            .nats
            .request(subjects::command(workspace), bytes.into());
        let reply = match tokio::time::timeout(left, sent).await {
            Err(_) => return Attempt::Again(fate_unknown()),
            Ok(Err(error)) => return failed_request(&error, unknown),
            Ok(Ok(reply)) => reply,
        };
        let refusal = match cbor::decode::<CommandReply>(&reply.payload) {
            Err(rejection) => return Attempt::Final(ClientError::broken_reply(rejection)),
            Ok(CommandReply::Committed(done)) => return Attempt::Done(Box::new(done)),
            Ok(CommandReply::Refused(signed)) => self.open_reply(&signed.0, digest),
        };
        let checked = refusal.and_then(|opened| {
            self.check_tree_head(workspace, seen, &opened.payload)?;
            Ok(opened.payload.body)
        });
        match checked {
            Err(error) => Attempt::Final(error),
            Ok(ReplyBody::Answer(_)) => Attempt::Final(crate::query::unexpected()),
            Ok(ReplyBody::Error(rejection)) => match rejection.code {
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
