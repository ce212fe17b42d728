//! The task of one workspace's writer.

mod append;
mod batch;
mod load;
mod recent;
mod resolve;
mod summary;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyroll_core::{
    Code, CommandId, MemberId, Rejection, Sequence, State, TreeSize, WorkspaceName,
};
use tokio::sync::mpsc;

use super::{CommandOutcome, Queued, Writers, unknown};
use crate::context::{Context, behind};
use crate::follower::{IDLE, Progress};
use crate::projection::View;
use recent::Recent;
use resolve::UnknownAppend;
use summary::Suppressed;

/// How often commands are decided again because another replica wrote first.
const CONFLICTS: u32 = 8;
/// How often an append with an unknown fate is resolved while no command waits.
const RESOLVE: Duration = Duration::from_millis(500);
/// How often to check whether the minute of suppressed refusals is over.
const SUMMARY: Duration = Duration::from_secs(5);

pub(super) struct Task {
    /// The registry that it is in, if it may end.
    writers: Weak<Writers>,
    context: Arc<Context>,
    workspace: WorkspaceName,
    state: Option<State>,
    /// The last message of the workspace that is in `state`.
    head: Sequence,
    recent: Recent,
    unknown_append: Option<UnknownAppend>,
    /// A message that is known to be in the log: a state may be loaded only if it contains it.
    min_head: Sequence,
    /// Commands of an append that was resolved, until a state that was loaded afterwards shows
    /// their outcome.
    in_doubt: Vec<(MemberId, CommandId)>,
    /// Why the last wait failed.
    failed: Option<Rejection>,
    /// A view for looking up receipts, taken at the beginning of this round.
    view: Option<View>,
    /// The workspace's number in it, if it is there.
    number: Option<u32>,
    suppressed: Suppressed,
    /// The log that `state` was loaded from.
    generation: u64,
}

impl Task {
    pub(super) fn new(
        writers: Weak<Writers>,
        context: Arc<Context>,
        workspace: WorkspaceName,
    ) -> Self {
        Self {
            writers,
            context,
            workspace,
            state: None,
            head: Sequence(0),
            recent: Recent::default(),
            unknown_append: None,
            min_head: Sequence(0),
            in_doubt: Vec::new(),
            failed: None,
            view: None,
            number: None,
            suppressed: Suppressed::default(),
            generation: 0,
        }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Queued>) {
        let mut queue = VecDeque::new();
        loop {
            if queue.is_empty() {
                match tokio::time::timeout(self.patience(), waiting.recv()).await {
                    Ok(Some(job)) => queue.push_back(job),
                    Ok(None) => return,
                    Err(_) if self.unknown_append.is_some() => {
                        self.resolve_on_timer().await;
                        self.refuse_waiting(&mut waiting);
                    }
                    Err(_) if !self.suppressed.is_empty() => {}
                    Err(_) => {
                        self.state = None;
                        self.prune(self.projected());
                        if self.leaves(&waiting) {
                            return;
                        }
                    }
                }
            }
            queue.extend(self.summary());
            while queue.len() < keyroll_core::limits::COMMIT_ENTRIES {
                let Ok(job) = waiting.try_recv() else { break };
                queue.push_back(job);
            }
            if !queue.is_empty() {
                self.round(&mut queue).await;
            }
            self.refuse_waiting(&mut waiting);
        }
    }

    /// How long to wait for commands before other work is due.
    fn patience(&self) -> Duration {
        match (&self.unknown_append, self.suppressed.is_empty()) {
            (Some(_), _) => RESOLVE,
            (None, false) => SUMMARY,
            (None, true) => self.writers.upgrade().map_or(IDLE, |all| all.idle()),
        }
    }

    /// Whether the task ends because it is unused. It stays while it knows something that is not in
    /// the read model: the outcome of a command, or that a message is in the log.
    fn leaves(&self, waiting: &mpsc::Receiver<Queued>) -> bool {
        let known = |progress: &Progress| progress.workspaces.get(&self.workspace).copied();
        let known = self.context.progress.read(known).unwrap_or_default();
        let is_known =
            self.recent.is_empty() && self.in_doubt.is_empty() && self.min_head <= known.0;
        let writers = self.writers.upgrade();
        is_known && writers.is_some_and(|writers| writers.leave(&self.workspace, waiting))
    }

    /// Decides the waiting commands, appends them as one commit, and answers.
    async fn round(&mut self, queue: &mut VecDeque<Queued>) {
        let context = Arc::clone(&self.context);
        let generation = context.gate.read().await;
        self.belong_to(*generation);
        self.try_round(queue).await;
        // A view keeps all pages alive that were replaced since, so none is held between rounds.
        self.view = None;
    }

    /// After a recovery all knowledge of the earlier log is dropped.
    pub(super) fn belong_to(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.state = None;
            self.unknown_append = None;
            self.in_doubt.clear();
            self.min_head = Sequence(0);
            self.recent = Recent::default();
        }
    }

    async fn try_round(&mut self, queue: &mut VecDeque<Queued>) {
        for _ in 0..CONFLICTS {
            if let Err(rejection) = self.ready().await {
                self.refuse_all(queue, &rejection);
                self.failed = Some(rejection);
                return;
            }
            let Some(batch) = self.decide_batch(queue) else {
                return;
            };
            match self.append(batch).await {
                Ok(()) => return,
                // Another replica wrote first: the commands wait again, in their old order.
                Err(again) => again
                    .into_iter()
                    .rev()
                    .for_each(|job| queue.push_front(job)),
            }
        }
        // The last append may have been superseded.
        self.resolve().await;
        self.refuse_all(
            queue,
            &Rejection::new(
                Code::Busy,
                "other replicas wrote first several times: try again",
            ),
        );
    }

    pub(super) fn refuse_all(&self, queue: &mut VecDeque<Queued>, rejection: &Rejection) {
        for job in queue.drain(..) {
            match job {
                Queued::Precheck(_, answer) => drop(answer.send(Err(rejection.clone()))),
                Queued::Submit(submission, answer) => {
                    // A command that may still be committed must not be answered as refused. A
                    // broken log does not show its outcome.
                    let broken = matches!(rejection.code, Code::Corrupt | Code::Rollback);
                    let refusal = if submission.dry_run {
                        rejection.clone()
                    } else if !broken && self.may_still_commit(&submission) {
                        unknown()
                    } else {
                        rejection.clone()
                    };
                    drop(answer.send(CommandOutcome::Refused(refusal, None)));
                }
            }
        }
    }

    /// Makes sure that there is a state to decide on and no append with an unknown fate.
    async fn ready(&mut self) -> Result<(), Rejection> {
        self.context.health.workspace(&self.workspace)?;
        if self.unknown_append.is_some() {
            self.resolve().await;
        }
        if let Some(unknown_append) = &self.unknown_append {
            return Err(unknown_append.rejection());
        }
        if self.state.is_none() {
            self.load().await?;
        }
        // The order matters: the view, taken after `projected`, holds all that the pruning forgets;
        // unless a disk error has just set the read model back to its durable part.
        let known = |progress: &Progress| (progress.sequence, progress.head_of(&self.workspace).1);
        let (sequence, projected) = self.context.progress.read(known);
        let projection = self.context.projection.borrow().clone();
        let view = projection.view()?;
        let held = view.head()?;
        let held = held.map_or(Sequence(0), |(sequence, _)| sequence);
        if held < sequence || projected < self.recent.forgotten() {
            return Err(behind());
        }
        self.number = view.number_of(&self.workspace)?;
        self.view = Some(view);
        self.prune(projected);
        Ok(())
    }

    /// How many entries of the workspace the read model holds.
    fn projected(&self) -> TreeSize {
        let progress = &self.context.progress;
        progress.read(|progress| progress.head_of(&self.workspace).1)
    }

    fn prune(&mut self, projected: TreeSize) {
        self.recent.prune(projected);
    }
}
