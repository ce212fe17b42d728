//! An append whose fate is not known holds up its workspace until it is settled.

use std::collections::VecDeque;
use std::sync::Arc;

use keyroll_core::{CommandId, Identity, Rejection, Sequence};
use tokio::sync::mpsc;

use super::{Job, Submission, Task, unavailable};

/// An append whose fate is not known: the commit, and the fence it was sent with.
pub(super) struct Unsettled {
    pub(super) commit: Vec<u8>,
    pub(super) expected: Sequence,
    pub(super) commands: Vec<(Identity, CommandId)>,
}

impl Task {
    pub(super) async fn settle_in_time(&mut self) {
        let shared = Arc::clone(&self.shared);
        let generation = shared.gate.read().await;
        self.belong_to(*generation);
        if shared.health.workspace(&self.workspace).is_ok() {
            self.settle().await;
        }
        self.failed = self.unsettled.is_some().then(not_settled);
    }

    pub(super) fn may_still_land(&self, submission: &Submission) -> bool {
        let name = (submission.command.actor(), submission.command.command().id);
        self.unsettled
            .as_ref()
            .is_some_and(|unsettled| unsettled.commands.contains(&name))
    }

    /// What came while something was waited for in vain is told the same: a wait of its own after that
    /// one would be longer than its callers wait.
    pub(super) fn refuse_waiting(&mut self, waiting: &mut mpsc::Receiver<Job>) {
        let Some(rejection) = self.failed.take() else {
            return;
        };
        let mut jobs = VecDeque::new();
        while let Ok(job) = waiting.try_recv() {
            jobs.push_back(job);
        }
        self.refuse_all(&mut jobs, &rejection);
    }

    /// After an fsync that failed, nats-server goes on naming a message as the subject's last that it
    /// neither delivers nor counts, until it is started again.
    pub(super) async fn check_is_there(&self, head: Sequence) -> Result<(), Rejection> {
        let last = self.shared.log.last().await;
        let last = last.map_err(|error| unavailable(error.0))?;
        if head <= last {
            return Ok(());
        }
        Err(unavailable(format!(
            "the nats-server names message {head} and has none after {last}: look at its disk and its log, then start it again"
        )))
    }
}

pub(super) fn not_settled() -> Rejection {
    unavailable("an earlier append is not settled yet")
}
