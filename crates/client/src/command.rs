//! Commands: signed, sent until the outcome is known, and the receipt verified.

use std::time::{Duration, Instant};

use async_nats::RequestErrorKind;
use keyroll_core::command::{COMMAND_V, Command};
use keyroll_core::{
    Action, Backoff, Blob, Code, CommandId, Digest, Entry, Index, MemberId, SignedCommand,
    TreeSize, WorkspaceName, cbor, cose,
};

use crate::checkpoints::TrustedCheckpoint;
use crate::client::CALL_TIMEOUT;
use crate::link::RequestFailed;
use crate::{Client, ClientError};
use keyroll_wire::reply::{
    CommandReply, CommandRequest, CommittedCommand, Receipt, ReleasedValue, ReplyBody, SealedValue,
};
use keyroll_wire::subjects;
use keyroll_wire::time::now;

/// Pauses between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A command that became an entry, with a verified receipt.
#[derive(Debug)]
pub struct Executed {
    /// The entry's index.
    pub index: Index,
    /// The entry.
    pub entry: Entry,
    /// The proof.
    pub receipt: Receipt,
    /// Warnings for a person: the ledger shows other facts about a secret than before.
    pub warnings: Vec<String>,
    /// Released values, still sealed; none when the command was executed before. Only
    /// [`Client::reveal`] opens them.
    pub(crate) released: Vec<ReleasedValue>,
}

/// The result of one attempt.
enum Attempt {
    Committed(Box<CommittedCommand>),
    /// Nothing happened, or the outcome is unknown.
    Retry(ClientError),
    Final(ClientError),
}

impl Client {
    /// Signs an action as a command and has the ledger execute it.
    ///
    /// # Errors
    /// The ledger's refusal, recorded or not; [`Code::AuditUnknown`] when it is unknown whether the
    /// command was executed; [`Code::Rollback`], [`Code::Fork`] or [`Code::Corrupt`] when the
    /// receipt does not verify; [`Code::Unreachable`].
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
        self.sign_in(workspace).await?;
        let signed_in = self.signer().consent().is_some();
        let again = signed_in.then(|| (action.clone(), values.clone()));
        let done = self.execute_signed(workspace, id, action, values).await;
        let (Err(error), Some((action, values))) = (&done, again) else {
            return done;
        };
        if !self.forget_unknown(workspace, error) {
            return done;
        }
        self.sign_in(workspace).await?;
        self.execute_signed(workspace, id, action, values).await
    }

    /// As [`Client::execute`], without a look at whether the signer's sign-in is open.
    pub(crate) async fn execute_now(
        &self,
        workspace: &WorkspaceName,
        action: Action,
    ) -> Result<Executed, ClientError> {
        let id = crate::new_command_id();
        self.execute_signed(workspace, id, action, Vec::new()).await
    }

    async fn execute_signed(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
        values: Vec<SealedValue>,
    ) -> Result<Executed, ClientError> {
        let command = self.command(workspace, id, action);
        let bytes = cose::sign(&command, self.signer().key());
        let signed = (&command, self.member());
        self.send(workspace, signed, bytes, values).await
    }

    /// The signed bytes of a command, to be sent now or by other means.
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
            member: self.signer().claim(),
            approval: None,
            delegation: None,
        }
    }

    /// Sends a signed command until its outcome is known or 8 s have passed. Retries send the same
    /// bytes, which take effect at most once.
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
        let signed = (signed.command(), signed.actor());
        self.send(workspace, signed, command, values).await
    }

    async fn send(
        &self,
        workspace: &WorkspaceName,
        signed: (&Command, MemberId),
        command: Vec<u8>,
        values: Vec<SealedValue>,
    ) -> Result<Executed, ClientError> {
        // An unreadable file must fail the call before anything is recorded.
        self.connection.checkpoints.secrets().count(workspace)?;
        let trusted = self.connection.checkpoints.get(workspace)?;
        let trusted = trusted.as_ref();
        let size = trusted.map_or(TreeSize(0), |trusted| trusted.size);
        if matches!(signed.0.action, Action::WorkspaceCreate(_)) {
            // A new log under this name could never extend the trusted entries.
            self.check_extends(workspace, trusted).await?;
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
        let accepts = matches!(signed.0.action, Action::MemberAccept(_));
        let mut unknown = false;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let limits = (end, unknown);
            let sent = (accepts, bytes.clone());
            let attempt = self.attempt((workspace, trusted), &digest, sent, limits);
            let error = match attempt.await {
                Attempt::Committed(done) => {
                    let command = (signed, request.command.0.as_slice());
                    return self.check_committed(workspace, trusted, command, *done);
                }
                Attempt::Final(error @ ClientError::Refused(_)) => {
                    return Err(self.check_refusal(workspace, trusted, error).await);
                }
                Attempt::Final(error) => return Err(error),
                Attempt::Retry(error) => error,
            };
            unknown |= error.code() == Code::AuditUnknown;
            let pause = backoff.next_pause();
            if Instant::now() + pause >= end {
                return Err(if unknown { outcome_unknown() } else { error });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request once, and returns the reply. Whoever accepts an invitation is no member yet: the
    /// request goes where guests may send it, and the reply comes sealed.
    async fn transmit(
        &self,
        workspace: &WorkspaceName,
        accepts: bool,
        bytes: Vec<u8>,
        (end, unknown): (Instant, bool),
    ) -> Result<Vec<u8>, Attempt> {
        let link = &self.connection.link;
        let left = || end.saturating_duration_since(Instant::now());
        if accepts {
            let sent = link.send_sealed(subjects::ACCEPT, bytes);
            return match tokio::time::timeout(left(), sent).await {
                Err(_) => Err(Attempt::Retry(outcome_unknown())),
                Ok(Err(error)) if error.code() == Code::Unreachable => Err(Attempt::Retry(error)),
                Ok(Err(error)) => Err(Attempt::Final(error)),
                Ok(Ok(reply)) => Ok(reply),
            };
        }
        let live = match link.live(Some(workspace)).await {
            Ok(live) => live,
            Err(error) if unknown => return Err(Attempt::Retry(error)),
            Err(error) => return Err(Attempt::Final(error)),
        };
        let subject = subjects::command(workspace);
        let sent = live.request(&subject, bytes);
        // A new connection took some of the time.
        match tokio::time::timeout(left(), sent).await {
            // No service has seen this attempt. An earlier one, under other permissions, may have arrived.
            Ok(Err(RequestFailed::Forbidden(error))) if unknown => Err(Attempt::Retry(error)),
            Ok(Err(RequestFailed::Forbidden(error))) => Err(Attempt::Final(error)),
            // It may have been carried out: the same bytes over another connection bring the outcome.
            Err(_) | Ok(Err(RequestFailed::Unheard(_))) => Err(Attempt::Retry(outcome_unknown())),
            Ok(Err(RequestFailed::Nats(kind))) => Err(failed_request(kind, unknown)),
            Ok(Ok(reply)) => Ok(reply.payload.into()),
        }
    }

    async fn attempt(
        &self,
        (workspace, trusted): (&WorkspaceName, Option<&TrustedCheckpoint>),
        digest: &Digest,
        (accepts, bytes): (bool, Vec<u8>),
        (end, unknown): (Instant, bool),
    ) -> Attempt {
        let sent = self.transmit(workspace, accepts, bytes, (end, unknown));
        let reply = match Box::pin(sent).await {
            Ok(reply) => reply,
            Err(attempt) => return attempt,
        };
        let refusal = match cbor::decode::<CommandReply>(&reply) {
            Err(rejection) => return Attempt::Final(ClientError::broken_reply(rejection)),
            Ok(CommandReply::Committed(done)) => return Attempt::Committed(Box::new(done)),
            Ok(CommandReply::Refused(signed)) => self.open_reply(&signed.0, digest),
        };
        let checked = refusal.and_then(|opened| {
            self.check_tree_head(workspace, trusted, &opened.payload)?;
            Ok(opened.payload.body)
        });
        match checked {
            Err(error) => Attempt::Final(error),
            Ok(ReplyBody::Answer(_)) => Attempt::Final(crate::query::unexpected()),
            Ok(ReplyBody::Error(rejection)) => match rejection.code {
                Code::Busy | Code::AuditUnknown => Attempt::Retry(rejection.into()),
                // An earlier attempt may still be appended, so this answer is not final.
                Code::AuditUnavailable | Code::Unreachable | Code::Internal | Code::Stale
                    if unknown =>
                {
                    Attempt::Retry(rejection.into())
                }
                _ => Attempt::Final(rejection.into()),
            },
        }
    }
}

pub(crate) fn outcome_unknown() -> ClientError {
    ClientError::failed(
        Code::AuditUnknown,
        "it is unknown whether the entry was written; nothing was released. Check the audit log before you try again",
    )
}

fn failed_request(kind: RequestErrorKind, unknown: bool) -> Attempt {
    match kind {
        RequestErrorKind::NoResponders if !unknown => Attempt::Final(ClientError::failed(
            Code::Unreachable,
            "no keyroll service answers there: start `keyroll serve` or `keyroll dev`",
        )),
        // `Other` also stands for a connection that broke after the command was sent.
        RequestErrorKind::TimedOut | RequestErrorKind::NoResponders | RequestErrorKind::Other => {
            Attempt::Retry(outcome_unknown())
        }
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            let message = format!("the command was not sent: {kind}");
            Attempt::Retry(ClientError::failed(Code::Unreachable, message))
        }
    }
}
