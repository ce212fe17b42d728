//! The state that a writer decides on, out of a read model that has caught up with the log.

use keyroll_core::{Code, Rejection, Sequence, State};

use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};

use super::{CATCH_UP, Task, behind, stopping, unavailable};

impl Task {
    /// Loads the state from the read model, once that has caught up with the log.
    pub(super) async fn load(&mut self) -> Result<(), Rejection> {
        let head = self
            .shared
            .log
            .head(&self.workspace)
            .await
            .map_err(|error| unavailable(error.0))?;
        if let Err(why) = self.catch_up(head.max(self.reached)).await {
            // Whoever waits is told so. A server whose disk failed names a message that it does not have
            // any more once it is started again: it is waited for once.
            self.reached = Sequence(0);
            return Err(why);
        }
        let internal =
            |error: &dyn std::fmt::Display| Rejection::new(Code::Internal, error.to_string());
        let projection = self.shared.projection.borrow().clone();
        let view = projection.view().map_err(|error| internal(&error))?;
        let found = view
            .workspace(&self.workspace)
            .map_err(|error| internal(&error))?;
        let Some(found) = found else {
            self.state = Some(State::new(self.shared.ledger, self.workspace.clone()));
            self.head = Sequence(0);
            return Ok(());
        };
        let known = found.head().sequence;
        if known > head {
            self.check_not_set_back(known).await?;
        }
        self.state = Some(
            found
                .state(self.shared.ledger)
                .map_err(|error| internal(&error))?,
        );
        self.head = known;
        Ok(())
    }

    async fn catch_up(&self, head: Sequence) -> Result<(), Rejection> {
        let reached = self.shared.progress.wait_for(|progress| {
            progress
                .workspaces
                .get(&self.workspace)
                .map_or(Sequence(0), |(sequence, _)| *sequence)
                >= head
        });
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(())) => self.shared.health.workspace(&self.workspace),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                self.shared.health.workspace(&self.workspace)?;
                self.check_is_there(head).await?;
                Err(behind())
            }
        }
    }

    /// The read model knows a later message than the leader just did: either that came meanwhile,
    /// or the log was set back.
    pub(super) async fn check_not_set_back(&self, known: Sequence) -> Result<(), Rejection> {
        let mut head = Sequence(0);
        for _ in 0..TAIL_CHECKS {
            head = self
                .shared
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
        self.shared
            .health
            .fail_workspace(&self.workspace, rejection.clone());
        Err(rejection)
    }
}
