//! Resolving an append without an answer: it may be in the log or not, and its workspace waits
//! until that is known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Backoff, Code, CommandId, MemberId, Rejection, Sequence};
use tokio::sync::mpsc;

use super::Task;
use super::batch::{Decided, Decision};
use crate::writer::{Queued, Submission, unavailable};
use keyroll_store::log::AppendError;

/// How long to wait between checks for the other message, first and last: it may still be on its
/// way to several disks.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// An append without an answer: the commit, and the fence that it was sent with.
pub(super) struct UnknownAppend {
    pub(super) commit: Vec<u8>,
    pub(super) expected: Sequence,
    pub(super) commands: Vec<(MemberId, CommandId)>,
    /// Whether the server answered that another message came first.
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

    /// Resolves the unknown append by sending the same commit again with the same fence. An
    /// acknowledgement means that it is in the log, once: the first copy can no longer be appended.
    /// A conflict means that some message is, which the read model then shows.
    ///
    /// A conflict alone resolves nothing. Three replicas also report one while the first copy is
    /// still on its way. And after a partition two servers may lead for a moment: both receive the
    /// message, and the one that is behind answers first. The append is resolved once a message
    /// lies behind its fence.
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
            // A refusal of this copy does not decide the first one.
            Err(AppendError::NotAppended(why) | AppendError::Unknown(why)) => {
                tracing::debug!(workspace = %self.workspace, %why, "the append is still not resolved");
            }
        }
    }

    /// Whether a message lies behind a fence: then no copy sent with that fence can be appended any
    /// more.
    async fn is_superseded(&mut self, expected: Sequence) -> bool {
        match self.context.log.head(&self.workspace).await {
            // The log no longer has the fence's message: it was set back.
            Ok(head) if head < expected => self.check_not_set_back(expected).await.is_err(),
            Ok(head) => {
                // The next answer may come from a leader that is behind.
                self.min_head = self.min_head.max(head);
                head > expected
            }
            Err(_) => false,
        }
    }

    /// The same, for a message of another replica that may still be on its way.
    async fn is_superseded_soon(&mut self, expected: Sequence) -> bool {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            if self.is_superseded(expected).await {
                return true;
            }
            let pause = backoff.next_pause();
            if pause >= LAST_PAUSE {
                return false;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The message behind the fence may be this very commit: its callers get no final answer before
    /// a state that was loaded since shows it.
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

    /// Commands that arrived during a wait that failed get the same answer: a second wait after
    /// that one would be longer than their callers wait.
    pub(super) fn refuse_waiting(&mut self, waiting: &mut mpsc::Receiver<Queued>) {
        let Some(rejection) = self.failed.take() else {
            return;
        };
        let mut queue = VecDeque::new();
        while let Ok(job) = waiting.try_recv() {
            queue.push_back(job);
        }
        self.refuse_all(&mut queue, &rejection);
    }

    /// After a failed fsync, nats-server names a message as the subject's last that it neither
    /// delivers nor counts, until it is restarted.
    pub(super) async fn check_is_there(&self, head: Sequence) -> Result<(), Rejection> {
        let last = self.context.log.last().await;
        let last = last.map_err(|error| unavailable(error.0))?;
        if head <= last {
            return Ok(());
        }
        Err(unavailable(format!(
            "the nats-server names message {head} and has none after {last}: check its disk and its log, then restart it"
        )))
    }
}

impl UnknownAppend {
    /// The answer to commands that arrive meanwhile.
    pub(super) fn rejection(&self) -> Rejection {
        if self.conflicted {
            let message = "another replica is appending to the same workspace: try again";
            return Rejection::new(Code::Busy, message);
        }
        unavailable("an earlier append is not resolved yet")
    }
}
