//! A command that is only decided: what it would come to on the newest state, or the refusal that it
//! would get. Nothing is written, and there is no way from here to a value.

use std::sync::Arc;

use keyroll_core::cose::Unverified;
use keyroll_core::{Code, Rejection, SignedCommand, Verified, WorkspaceName};
use keyroll_wire::query::{CommandDryRun, Query};
use keyroll_wire::reply::DryRunEvents;

use super::{Ledger, Position};
use crate::writer::{CommandOutcome, Submission};

impl Ledger {
    /// The way of [`Ledger::command`], without values, vault and append.
    pub(super) async fn dry_run(
        &self,
        workspace: &WorkspaceName,
        opened: &Unverified<Query>,
        of: &CommandDryRun,
        position: &mut Position,
    ) -> Result<DryRunEvents, Rejection> {
        let query = &opened.payload;
        let signed = SignedCommand::decode(&of.command.0)?;
        let said = signed.command();
        if said.workspace != *workspace {
            let meant = &said.workspace;
            let message =
                format!("the command is for workspace {meant}, it was sent to {workspace}");
            return Err(Rejection::new(Code::WrongWorkspace, message));
        }
        // Else whoever has seen a command could ask in its actor's place.
        if signed.signer() != opened.signer || said.delegation != query.delegation {
            let message = "a dry run is asked for by who signed the command";
            return Err(Rejection::new(Code::Denied, message));
        }
        let command = Arc::new(signed.verify()?);
        self.check_workspace(workspace, &command).await?;
        self.shared.health.workspace(workspace)?;
        let submission = Submission {
            inadmissible: self.session_refusal(workspace, &command).await,
            command,
            seen: query.seen,
            stored: None,
            while_retiring: None,
            dry_run: true,
        };
        let (decided, at) = match self.writer(workspace).submit(submission).await {
            CommandOutcome::Decided(events, at) => (Ok(DryRunEvents { events }), at),
            CommandOutcome::Refused(rejection, at) => (Err(rejection), at),
            CommandOutcome::Recorded(_) | CommandOutcome::Known(_) | CommandOutcome::Store(_) => {
                let message = "a dry run was taken for a command";
                return Err(Rejection::new(Code::Internal, message));
            }
        };
        *position = self.proven(workspace, query.seen, at).await?;
        decided
    }

    /// Why the session that the command's values would travel under is refused, if it is.
    async fn session_refusal(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
    ) -> Option<Rejection> {
        let session = command.command().action.session()?;
        let (actor, now) = (command.actor(), self.now());
        let keys = self.keyring.session(workspace, actor, session, now).await;
        keys.err()
    }
}
