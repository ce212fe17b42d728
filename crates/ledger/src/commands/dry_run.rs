//! Dry runs: a command is decided on the newest state and its events or its refusal are reported.
//! Nothing is written, and no path leads from here to a value.

use std::sync::Arc;

use keyroll_core::cose::Unverified;
use keyroll_core::{Code, Rejection, SignedCommand, Verified, WorkspaceName};
use keyroll_wire::query::{CommandDryRun, Query};
use keyroll_wire::reply::DryRunEvents;

use super::{Commands, check_workspace};
use crate::proofs;
use crate::response::ProvenHead;
use crate::writer::{CommandOutcome, Submission};

impl Commands {
    /// As [`Commands::command`], without values, vault and append.
    pub(crate) async fn dry_run(
        &self,
        workspace: &WorkspaceName,
        opened: &Unverified<Query>,
        of: &CommandDryRun,
        head: &mut ProvenHead,
    ) -> Result<DryRunEvents, Rejection> {
        let query = &opened.payload;
        let signed = SignedCommand::decode(&of.command.0)?;
        check_workspace(&signed, workspace)?;
        // Otherwise anybody who has seen a command could ask in place of its actor.
        let claimed = (signed.command().member, &signed.command().delegation);
        if signed.signer() != opened.signer || claimed != (query.member, &query.delegation) {
            let message = "only the signer of a command may ask for its dry run";
            return Err(Rejection::new(Code::Denied, message));
        }
        let command = Arc::new(signed.verify()?);
        self.check_workspace_exists(workspace, &command).await?;
        self.context.health.workspace(workspace)?;
        let submission = Submission {
            inadmissible: self.session_refusal(workspace, &command).await,
            command,
            trusted_size: query.seen,
            stored: None,
            while_retiring: None,
            dry_run: true,
        };
        let (decided, at) = match self
            .writers
            .of(&self.context, workspace)
            .submit(submission)
            .await
        {
            CommandOutcome::DryRun(events, at) => (Ok(DryRunEvents { events }), at),
            CommandOutcome::Refused(rejection, at) => (Err(rejection), at),
            CommandOutcome::Committed(_)
            | CommandOutcome::Duplicate(_)
            | CommandOutcome::StoreFirst(_) => {
                let message = "the writer took a dry run for a command";
                return Err(Rejection::new(Code::Internal, message));
            }
        };
        *head = proofs::prove_head(&self.context, workspace, query.seen, at).await?;
        decided
    }

    /// Why the session for the command's values would be refused, if it would.
    async fn session_refusal(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
    ) -> Option<Rejection> {
        let session = command.command().action.session()?;
        let (actor, now) = (command.actor(), self.context.now());
        let keys = self.keyring.session(workspace, actor, session, now).await;
        keys.err()
    }
}
