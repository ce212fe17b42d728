//! Dry runs: a command is signed as if it were to be carried out, and the ledger is asked what it
//! would come to.

use std::time::{Duration, Instant};

use keyroll_core::{
    Action, Blob, Code, CommandId, Event, SignedCommand, TreeSize, WorkspaceName, cbor, limits,
};

use crate::client::CALL_TIMEOUT;
use crate::receipt::can_lead_to;
use crate::{Client, ClientError, unexpected};
use keyroll_wire::query::{CommandDryRun, Question};
use keyroll_wire::reply::{Answer, CommandRequest, SealedValue};

/// How long to wait before a ledger that is busy is asked again.
const PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// What `action` would come to now, in events: none when it has been carried out before.
    /// Nothing is written, not even a refusal.
    ///
    /// # Errors
    /// Whatever the ledger would refuse, with the same code; otherwise as [`Client::query`].
    pub async fn dry_run(
        &self,
        workspace: &WorkspaceName,
        action: Action,
    ) -> Result<Vec<Event>, ClientError> {
        self.dry_run_with(workspace, crate::new_command_id(), action, Vec::new())
            .await
    }

    /// As [`Client::dry_run`], of a command that values belong to. They are not sent.
    pub(super) async fn dry_run_with(
        &self,
        workspace: &WorkspaceName,
        id: CommandId,
        action: Action,
        values: Vec<SealedValue>,
    ) -> Result<Vec<Event>, ClientError> {
        let request = CommandRequest {
            seen: TreeSize(0),
            values,
            command: Blob(self.sign_command(workspace, id, action)),
        };
        if cbor::encode(&request).len() > limits::REQUEST_BYTES {
            let message = format!("a request has at most {} bytes", limits::REQUEST_BYTES);
            return Err(ClientError::failed(Code::TooLarge, message));
        }
        let command = request.command;
        let end = Instant::now() + CALL_TIMEOUT;
        let answered = loop {
            let command = command.clone();
            let ask = Question::CommandDryRun(CommandDryRun { command });
            match self.query(Some(workspace), ask).await {
                Err(error) if error.code() == Code::Busy && Instant::now() + PAUSE < end => {
                    tokio::time::sleep(PAUSE).await;
                }
                answered => break answered?,
            }
        };
        let Answer::CommandDryRun(found) = answered.answer else {
            return Err(unexpected());
        };
        let signed = SignedCommand::decode(&command.0)?;
        let fits = can_lead_to(signed.command(), signed.actor(), &found.events);
        if found.events.is_empty() || fits {
            return Ok(found.events);
        }
        let message = "the ledger does not say what can come of the command";
        Err(ClientError::failed(Code::Corrupt, message))
    }
}
