//! Waiting for the read model to be where the log is, or where somebody has seen it.

use std::time::Duration;

use keyroll_core::{Code, Index, Rejection, Sequence, TreeSize, WorkspaceName};

use super::Ledger;
use crate::follower::Progress;

/// How long the read model may stand still while it is behind before the next message is asked for.
const PROGRESS: Duration = Duration::from_millis(500);
/// How long a query may wait for the read model to reach what its asker has seen.
pub(crate) const AWAIT_PROJECTION: Duration = Duration::from_secs(2);

impl Ledger {
    /// Waits until the read model has what the log has now.
    ///
    /// # Errors
    /// What is wrong, or that the log cannot be read.
    pub async fn caught_up(&self) -> Result<(), Rejection> {
        let last = self
            .context
            .log
            .last()
            .await
            .map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
        loop {
            self.context.health.ledger()?;
            let projected = self.context.progress.read(|progress| progress.sequence);
            if projected >= last {
                return Ok(());
            }
            // Also looks at the health now and then: a log that fails makes no progress.
            let further = self
                .context
                .progress
                .wait_lazily(|now| now.sequence > projected);
            if tokio::time::timeout(PROGRESS, further).await.is_err() {
                self.check_next(projected, last).await?;
            }
        }
    }

    /// A message that is lost at the very end shows in no gap: nothing comes after it. So when
    /// nothing comes at all, it is asked for by name.
    async fn check_next(&self, projected: Sequence, last: Sequence) -> Result<(), Rejection> {
        let next = Sequence(projected.0 + 1);
        let found = self.context.log.message(next).await;
        if found
            .map_err(|why| Rejection::new(Code::Unreachable, why.0))?
            .is_some()
        {
            return Ok(());
        }
        let words = format!("message {next} of the log is missing, its last is {last}");
        self.context.health.fail(Code::Corrupt, words);
        self.context.health.ledger()
    }

    /// Waits until the read model has reached a size of a workspace. A size that the log does not
    /// have is an error, never a wait.
    pub(crate) async fn await_size(
        &self,
        workspace: &WorkspaceName,
        size: TreeSize,
    ) -> Result<(), Rejection> {
        let projected = |progress: &Progress| {
            progress
                .workspaces
                .get(workspace)
                .copied()
                .unwrap_or_default()
        };
        let progress = &self.context.progress;
        let (sequence, reached) = progress.read(projected);
        if reached >= size {
            return Ok(());
        }
        let head = self
            .context
            .log
            .head(workspace)
            .await
            .map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
        if sequence < head {
            let caught_up = progress.wait_for(|progress| projected(progress).0 >= head);
            let _ = tokio::time::timeout(AWAIT_PROJECTION, caught_up).await;
        }
        let (sequence, reached) = progress.read(projected);
        if reached >= size {
            return Ok(());
        }
        if sequence < head {
            // Behind for good, when something stopped it.
            self.context.health.following(workspace)?;
            return Err(Rejection::new(
                Code::Busy,
                "the read model is behind the log: try again shortly",
            ));
        }
        // The log may have them, and this read model not go on to them.
        self.context.health.following(workspace)?;
        let message = format!(
            "{size} entries of {workspace} were seen, the log has {reached}: it was rolled back"
        );
        Err(Rejection::new(Code::Rollback, message))
    }

    /// Waits until the read model has what the log now has of a workspace.
    pub(crate) async fn await_head(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let head = self.context.log.head(workspace).await;
        let head = head.map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
        let reached = self.context.progress.wait_for(|progress| {
            progress
                .workspaces
                .get(workspace)
                .copied()
                .unwrap_or_default()
                .0
                >= head
        });
        // Late or not, what the read model has by then is what counts.
        let _ = tokio::time::timeout(AWAIT_PROJECTION, reached).await;
        Ok(())
    }

    pub(crate) async fn await_index(
        &self,
        workspace: &WorkspaceName,
        index: Index,
    ) -> Result<(), Rejection> {
        self.await_size(workspace, index.tree_size()).await
    }
}
