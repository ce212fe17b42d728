//! Waiting until the read model holds what the log holds, or what a caller has already seen.

use std::time::Duration;

use keyroll_core::{Code, Index, Rejection, Sequence, TreeSize, WorkspaceName};

use super::{Context, unreachable};
use crate::follower::Progress;

/// How long a lagging read model may make no progress before the next message is fetched by number.
const STALLED: Duration = Duration::from_millis(500);
/// How long a query waits for the read model.
pub(crate) const AWAIT_PROJECTION: Duration = Duration::from_secs(2);

/// The read model lags behind the log for now.
pub(crate) fn behind() -> Rejection {
    let message = "the read model is behind the log: try again shortly";
    Rejection::new(Code::Busy, message)
}

impl Context {
    /// Waits until the read model holds all that the log holds now.
    ///
    /// # Errors
    /// The ledger's problem, or that the log cannot be read.
    pub(crate) async fn await_log_end(&self) -> Result<(), Rejection> {
        let last = self.log_end().await?;
        loop {
            self.health.ledger()?;
            let projected = self.progress.read(|progress| progress.sequence);
            if projected >= last {
                return Ok(());
            }
            // The health is checked now and then: a log that fails makes no progress.
            let further = self.progress.wait_lazily(|now| now.sequence > projected);
            if tokio::time::timeout(STALLED, further).await.is_err() {
                self.check_next(projected, last).await?;
            }
        }
    }

    /// A message that is lost at the very end leaves no gap, because nothing follows it. So when
    /// nothing arrives at all, the next message is fetched by its number.
    async fn check_next(&self, projected: Sequence, last: Sequence) -> Result<(), Rejection> {
        let next = Sequence(projected.0 + 1);
        if self.log.message(next).await.map_err(unreachable)?.is_some() {
            return Ok(());
        }
        let message = format!("message {next} of the log is missing, its last is {last}");
        self.health.fail(Code::Corrupt, message);
        self.health.ledger()
    }

    /// Waits until the read model holds `size` entries of a workspace. A size that the log does not
    /// have is an error at once, not a wait.
    pub(crate) async fn await_size(
        &self,
        workspace: &WorkspaceName,
        size: TreeSize,
    ) -> Result<(), Rejection> {
        let projected = |progress: &Progress| progress.head_of(workspace);
        let (sequence, held) = self.progress.read(projected);
        if held >= size {
            return Ok(());
        }
        let head = self.log_head(workspace).await?;
        if sequence < head {
            let caught_up = self.progress.wait_for(|now| projected(now).0 >= head);
            let _ = tokio::time::timeout(AWAIT_PROJECTION, caught_up).await;
        }
        let (sequence, held) = self.progress.read(projected);
        if held >= size {
            return Ok(());
        }
        // A read model that has stopped for good never catches up with the log.
        self.health.following(workspace)?;
        if sequence < head {
            return Err(behind());
        }
        let message = format!(
            "the caller has seen {size} entries of {workspace}, the log has {held}: it was rolled back"
        );
        Err(Rejection::new(Code::Rollback, message))
    }

    /// Waits until the read model holds an entry.
    pub(crate) async fn await_index(
        &self,
        workspace: &WorkspaceName,
        index: Index,
    ) -> Result<(), Rejection> {
        self.await_size(workspace, index.tree_size()).await
    }

    /// Waits until the read model holds all that the log has of a workspace now. After the time
    /// limit the caller continues with the read model as it is then.
    pub(crate) async fn await_head(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let head = self.log_head(workspace).await?;
        let reached = |now: &Progress| now.head_of(workspace).0 >= head;
        let reached = self.progress.wait_for(reached);
        let _ = tokio::time::timeout(AWAIT_PROJECTION, reached).await;
        Ok(())
    }

    /// As [`Context::await_head`], but a read model that is late is an error. Where following has
    /// stopped, nothing is decided any more, and the read model already holds all that there will
    /// be.
    pub(crate) async fn require_head(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        if self.health.is_recovering() || self.health.following(workspace).is_err() {
            return Ok(());
        }
        let head = self.log_head(workspace).await?;
        let reached = self.progress.wait_for(|now| {
            let known = now.workspaces.get(workspace);
            known.is_some_and(|(sequence, _)| *sequence >= head)
        });
        let reached = tokio::time::timeout(AWAIT_PROJECTION, reached).await;
        // Following may have stopped during the wait.
        if matches!(reached, Ok(Ok(()))) || self.health.following(workspace).is_err() {
            return Ok(());
        }
        Err(behind())
    }
}
