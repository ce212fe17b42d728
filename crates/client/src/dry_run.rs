//! Dry runs: the client signs a command as for execution, and the ledger decides it without writing
//! anything.

use std::time::{Duration, Instant};

use keyroll_core::{
    Action, Blob, Code, CommandId, Event, SignedCommand, TreeSize, WorkspaceName, cbor, limits,
};

use crate::client::CALL_TIMEOUT;
use crate::receipt::can_lead_to;
use crate::{Client, ClientError, unexpected};
use keyroll_wire::query::{CommandDryRun, Question};
use keyroll_wire::reply::{Answer, CommandRequest, SealedValue};

/// The pause before a busy ledger is asked again.
const PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// Returns the events that `action` would lead to now; none when it was executed before. The
    /// ledger writes nothing, not even a refusal.
    ///
    /// # Errors
    /// The refusal that the ledger would give for the command; otherwise as [`Client::query`].
    pub async fn dry_run(
        &self,
        workspace: &WorkspaceName,
        action: Action,
    ) -> Result<Vec<Event>, ClientError> {
        self.dry_run_with(workspace, crate::new_command_id(), action, Vec::new())
            .await
    }

    /// As [`Client::dry_run`], for a command with values. They are not sent.
    pub(crate) async fn dry_run_with(
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
        let verified = loop {
            let command = command.clone();
            let ask = Question::CommandDryRun(CommandDryRun { command });
            match self.query(Some(workspace), ask).await {
                Err(error) if error.code() == Code::Busy && Instant::now() + PAUSE < end => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => break answer?,
            }
        };
        let Answer::CommandDryRun(decided) = verified.answer else {
            return Err(unexpected());
        };
        let signed = SignedCommand::decode(&command.0)?;
        let fits = can_lead_to(signed.command(), signed.actor(), &decided.events);
        if decided.events.is_empty() || fits {
            return Ok(decided.events);
        }
        let message = "the ledger answers with events that cannot result from the command";
        Err(ClientError::failed(Code::Corrupt, message))
    }
}
