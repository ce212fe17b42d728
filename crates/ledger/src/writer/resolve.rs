//! An append whose fate is not known holds up its workspace until it is settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Code, CommandId, Identity, Rejection, Sequence};
use tokio::sync::mpsc;

use super::batch::{Decided, Decision};
use super::{Queued, Submission, Task, unavailable};
use keyroll_store::log::AppendError;

/// How long to wait between looks for what came first, at first and at last: it may have to reach
/// more than one disk.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// An append whose fate is not known: the commit, and the fence it was sent with.
pub(super) struct UnknownAppend {
    pub(super) commit: Vec<u8>,
    pub(super) expected: Sequence,
    pub(super) commands: Vec<(Identity, CommandId)>,
    /// Whether it was said that something else came first.
    pub(super) conflicted: bool,
}

impl UnknownAppend {
    pub(super) fn new(
        commit: Vec<u8>,
        expected: Sequence,
        decided: &[Decided],
        conflicted: bool,
    ) -> Self {
        let entries = decided
            .iter()
            .filter(|one| matches!(one.decision, Decision::Entry { .. }));
        let commands = entries.map(|one| &one.submission.command);
        let commands = commands.map(|command| (command.actor(), command.command().id));
        Self {
            commit,
            expected,
            commands: commands.collect(),
            conflicted,
        }
    }
}

impl Task {
    pub(super) async fn resolve_on_timer(&mut self) {
        let context = Arc::clone(&self.context);
        let generation = context.gate.read().await;
        self.belong_to(*generation);
        if context.health.workspace(&self.workspace).is_ok() {
            self.resolve().await;
        }
        self.failed = self.unknown_append.as_ref().map(UnknownAppend::rejection);
    }

    /// Settles an append whose fate is not known by sending the very same commit again at the very
    /// same fence: an acknowledgement says that it is in the log, once (the first copy can land no
    /// more), a conflict that something is, which the read model then shows.
    ///
    /// A conflict alone settles nothing. Three replicas also say so while the first copy is still on
    /// its way; and after servers were apart two of them may lead for a moment, both get what is
    /// published, and the one that is behind answers first. It is settled once something lies at its
    /// place.
    pub(super) async fn resolve(&mut self) {
        let Some(unknown_append) = &self.unknown_append else {
            return;
        };
        let (expected, commit) = (unknown_append.expected, unknown_append.commit.clone());
        if unknown_append.conflicted && self.is_superseded_soon(expected).await {
            self.resolved();
            return;
        }
        keyroll_store::failpoint!("writer.resolving");
        let log = &self.context.log;
        let again = log.append(&self.workspace, commit.into(), expected);
        match again.await {
            Ok(sequence) => {
                keyroll_store::failpoint!("writer.resolved");
                self.min_head = self.min_head.max(sequence);
                self.resolved();
            }
            Err(AppendError::Conflict) => {
                if self.is_superseded(expected).await {
                    keyroll_store::failpoint!("writer.superseded");
                    self.resolved();
                }
            }
            // Refused now says nothing of the first copy.
            Err(AppendError::NotAppended(why) | AppendError::Unknown(why)) => {
                tracing::debug!(workspace = %self.workspace, %why, "still not settled");
            }
        }
    }

    /// Whether a message lies behind a fence: what was sent with that can land no more.
    async fn is_superseded(&mut self, expected: Sequence) -> bool {
        match self.context.log.head(&self.workspace).await {
            // A fence that the log does not have any more: it was set back.
            Ok(head) if head < expected => self.check_not_set_back(expected).await.is_err(),
            Ok(head) => {
                // The next one to answer may be a leader that is behind.
                self.min_head = self.min_head.max(head);
                head > expected
            }
            Err(_) => false,
        }
    }

    /// The same, for a message that another service sent and that may still be on its way there.
    async fn is_superseded_soon(&mut self, expected: Sequence) -> bool {
        let mut pause = FIRST_PAUSE;
        while pause < LAST_PAUSE {
            if self.is_superseded(expected).await {
                return true;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.is_superseded(expected).await
    }

    /// What lies behind the fence may be what was sent: who asked for that is told nothing final
    /// before somebody has looked.
    fn resolved(&mut self) {
        let settled = self.unknown_append.take();
        self.in_doubt = settled.map(|settled| settled.commands).unwrap_or_default();
        self.state = None;
    }

    pub(super) fn may_still_commit(&self, submission: &Submission) -> bool {
        let name = (submission.command.actor(), submission.command.command().id);
        let unknown_append = self.unknown_append.iter().flat_map(|it| &it.commands);
        unknown_append
            .chain(&self.in_doubt)
            .any(|known| *known == name)
    }

    /// What came while something was waited for in vain is told the same: a wait of its own after that
    /// one would be longer than its callers wait.
    pub(super) fn refuse_waiting(&mut self, waiting: &mut mpsc::Receiver<Queued>) {
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
        let last = self.context.log.last().await;
        let last = last.map_err(|error| unavailable(error.0))?;
        if head <= last {
            return Ok(());
        }
        Err(unavailable(format!(
            "the nats-server names message {head} and has none after {last}: look at its disk and its log, then start it again"
        )))
    }
}

impl UnknownAppend {
    /// What is told to whoever came meanwhile.
    pub(super) fn rejection(&self) -> Rejection {
        if self.conflicted {
            let words = "another service writes at the same place of the log: try again";
            return Rejection::new(Code::Busy, words);
        }
        unavailable("an earlier append is not settled yet")
    }
}
