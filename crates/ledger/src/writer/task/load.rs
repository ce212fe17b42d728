//! Loading the state that a writer decides on from a read model that has caught up with the log.

use std::time::Duration;

use keyroll_core::{Code, Rejection, Sequence, State};

use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};

use super::Task;
use crate::context::behind;
use crate::writer::{stopping, unavailable};

/// How long the read model may take to catch up with the log before commands are refused as busy.
const CATCH_UP: Duration = Duration::from_secs(2);

impl Task {
    /// Loads the state from the read model, once that has caught up with the log.
    pub(super) async fn load(&mut self) -> Result<(), Rejection> {
        let head = self
            .context
            .log
            .head(&self.workspace)
            .await
            .map_err(|error| unavailable(error.0))?;
        if let Err(why) = self.catch_up(head.max(self.min_head)).await {
            // A server whose disk failed names a message that it no longer has after its restart,
            // so that message is waited for only once.
            self.min_head = Sequence(0);
            return Err(why);
        }
        let projection = self.context.projection.borrow().clone();
        let view = projection.view()?;
        let found = view.workspace(&self.workspace)?;
        let Some(found) = found else {
            self.state = Some(State::new(self.context.ledger, self.workspace.clone()));
            self.head = Sequence(0);
            return Ok(());
        };
        let known = found.head().sequence;
        if known > head {
            self.check_not_set_back(known).await?;
        }
        self.state = Some(found.state(self.context.ledger)?);
        self.head = known;
        Ok(())
    }

    async fn catch_up(&self, head: Sequence) -> Result<(), Rejection> {
        let reached = self
            .context
            .progress
            .wait_for(|progress| progress.head_of(&self.workspace).0 >= head);
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(())) => self.context.health.workspace(&self.workspace),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                self.context.health.workspace(&self.workspace)?;
                self.check_is_there(head).await?;
                Err(behind())
            }
        }
    }

    /// The read model holds a later message than the leader just named: either that message arrived
    /// meanwhile, or the log was set back.
    pub(super) async fn check_not_set_back(&self, known: Sequence) -> Result<(), Rejection> {
        let mut head = Sequence(0);
        for _ in 0..TAIL_CHECKS {
            head = self
                .context
                .log
                .head(&self.workspace)
                .await
                .map_err(|error| unavailable(error.0))?;
            if known <= head {
                return Ok(());
            }
            tokio::time::sleep(TAIL_CHECK_PAUSE).await;
        }
        let message = format!(
            "the log of {} ends at message {head}, the read model knows message {known}",
            self.workspace
        );
        let rejection = Rejection::new(Code::Rollback, message);
        self.context
            .health
            .fail_workspace(&self.workspace, rejection.clone());
        Err(rejection)
    }
}
