//! The writer: one task per active workspace. It owns the workspace's state, decides the commands
//! that wait, appends them as one commit, and answers only once the commit is acknowledged.

mod checkpoint;
mod outcome;
mod registry;
mod task;

use std::sync::{Arc, Weak};

use keyroll_core::{Code, Epoch, Rejection, Verified, WorkspaceName};
use tokio::sync::{mpsc, oneshot};

use crate::context::Context;
use task::Task;

pub(crate) use checkpoint::sign_checkpoint;
pub use outcome::{CommandOutcome, Committed, Submission, TreeHead, ValueLocation};
pub use registry::Writers;

/// Commands of one workspace that may wait; more are refused as busy.
pub const QUEUE: usize = 4_096;
/// A request that waits for a writer.
pub(crate) enum Queued {
    /// Whether a command would be accepted now, and the epoch to store its values under.
    Precheck(Arc<Verified>, oneshot::Sender<Result<Epoch, Rejection>>),
    Submit(Submission, oneshot::Sender<CommandOutcome>),
}

/// A handle on a workspace's writer.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Queued>,
}

fn busy() -> Rejection {
    Rejection::new(Code::Busy, "too many commands wait: try again shortly")
}

fn stopping() -> Rejection {
    Rejection::new(Code::AuditUnavailable, "the service is stopping")
}

impl Writer {
    /// Starts the writer of a workspace.
    pub fn start(context: Arc<Context>, workspace: WorkspaceName) -> Self {
        Self::start_as(Weak::new(), context, workspace)
    }

    /// Starts the writer of a workspace. It ends when it is idle.
    fn start_in(writers: &Arc<Writers>, context: Arc<Context>, workspace: WorkspaceName) -> Self {
        Self::start_as(Arc::downgrade(writers), context, workspace)
    }

    fn start_as(writers: Weak<Writers>, context: Arc<Context>, workspace: WorkspaceName) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(Task::new(writers, context, workspace).run(waiting));
        Self { queue }
    }

    /// Whether a command would be accepted now, and the epoch to store its values under. It keeps
    /// strangers from filling the vault; the decision that counts is made by [`Writer::submit`].
    ///
    /// # Errors
    /// The refusal.
    pub async fn precheck(&self, command: Arc<Verified>) -> Result<Epoch, Rejection> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Queued::Precheck(command, answer))
            .map_err(|_| busy())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Carries a command out.
    pub async fn submit(&self, submission: Submission) -> CommandOutcome {
        let (answer, answered) = oneshot::channel();
        if self
            .queue
            .try_send(Queued::Submit(submission, answer))
            .is_err()
        {
            return CommandOutcome::Refused(busy(), None);
        }
        answered
            .await
            .unwrap_or_else(|_| CommandOutcome::Refused(stopping(), None))
    }
}

pub(crate) fn unavailable(why: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        Code::AuditUnavailable,
        format!("the log cannot be written ({why}): nothing happened"),
    )
}

fn unknown() -> Rejection {
    Rejection::new(
        Code::AuditUnknown,
        "it is not known yet whether the entry was written; nothing was released. Send the same bytes again",
    )
}

#[cfg(test)]
mod tests;
