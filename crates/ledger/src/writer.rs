//! The writer: one task per active workspace. It owns the workspace's state, decides what waits,
//! appends it as one commit, and answers only once the commit is acknowledged.

mod append;
mod batch;
mod load;
mod recent;
mod registry;
mod resolve;
mod summary;

pub(crate) use append::sign_checkpoint;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::{
    Blob, Code, CommandId, Epoch, Event, Identity, Index, LedgerId, Millis, ObjectId, Rejection,
    Sequence, State, TreeSize, Verified, WorkspaceName,
};
use keyroll_merkle::Hash;
use tokio::sync::{mpsc, oneshot, watch};

use crate::follower::{IDLE, Progress, ProgressReader};
use crate::health::Health;
use crate::projection::{Projection, View};
use keyroll_store::log::Log;
use keyroll_store::vault::Vault;
use recent::Recent;
pub use registry::Writers;
use resolve::UnknownAppend;
use summary::Suppressed;

/// Commands of one workspace that may wait; more are told to come again.
pub const QUEUE: usize = 4_096;
/// How long the read model may take to catch up with the log before a command is told to come again.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often a commit is decided again because another replica wrote first.
const CONFLICTS: u32 = 8;
/// How often an append whose fate is unknown is tried to be settled without being asked.
const SETTLE: Duration = Duration::from_millis(500);
/// How often to look whether the minute of uncounted refusals is over.
const SUMMARY: Duration = Duration::from_secs(5);

/// What every writer needs.
pub struct Context {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its online key.
    pub key: SigningKey,
    /// What a workspace's first entry says of that key.
    pub created: WorkspaceCreated,
    /// Who may make workspaces.
    pub operators: Vec<Identity>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where values lie.
    pub vault: Arc<Vault>,
    /// What is wrong.
    pub health: Arc<Health>,
    /// Held by every round of a writer, and alone by a recovery: how many logs there were. A state
    /// of an earlier one is worth nothing.
    pub gate: tokio::sync::RwLock<u64>,
    /// How far the read model is.
    pub progress: ProgressReader,
    /// The read model.
    pub projection: watch::Receiver<Projection>,
    /// The wall clock.
    pub clock: fn() -> Millis,
}

/// A command to carry out.
pub struct Submission {
    /// The command.
    pub command: Arc<Verified>,
    /// The size its caller has seen.
    pub trusted_size: TreeSize,
    /// The epoch its values are stored under, once they are.
    pub stored: Option<Epoch>,
    /// Why it cannot be carried out anew, if it cannot: what was carried out before gets its
    /// receipt all the same.
    pub inadmissible: Option<Rejection>,
    /// The generation that must be being retired when it is decided, for what was seen then.
    pub while_retiring: Option<Epoch>,
    /// Whether it is only to be decided: then nothing of it is written, whatever it comes to.
    pub dry_run: bool,
}

/// What became of a command.
#[derive(Debug)]
pub enum CommandOutcome {
    /// It is an entry.
    Committed(Box<Committed>),
    /// The same bytes were carried out before, as this entry.
    Duplicate(Index),
    /// Its values must be stored under this epoch first.
    StoreFirst(Epoch),
    /// What it would have come to: it was only to be decided.
    DryRun(Vec<Event>, Option<TreeHead>),
    /// It is no entry. Where the workspace was when that was decided, if it was looked at.
    Refused(Rejection, Option<TreeHead>),
}

/// The tree that a refusal was decided on.
#[derive(Debug, Clone)]
pub struct TreeHead {
    /// Number of entries.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
    /// Proof from what the caller had seen; `None` when that is older than what is in memory.
    pub consistency: Option<Vec<Hash>>,
}

/// A command that became an entry, with the proof.
#[derive(Debug)]
pub struct Committed {
    /// The entry's index.
    pub index: Index,
    /// The entry's bytes.
    pub entry: Blob,
    /// What came of the command.
    pub events: Vec<Event>,
    /// Inclusion path.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Arc<str>,
    /// Proof from what the caller had seen; `None` when that is older than what is in memory.
    pub consistency: Option<Vec<Hash>>,
    /// The checkpoint's size.
    pub size: TreeSize,
    /// Where the values lie that a reveal releases, in its order.
    pub places: Vec<ValueLocation>,
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLocation {
    /// Its place.
    pub place: ObjectId,
    /// The generation it lies under, as long as that is not retired.
    pub epoch: Epoch,
    /// The one it lies under after that.
    pub then: Option<Epoch>,
}

pub(crate) enum Queued {
    /// Would it be accepted now? The epoch to store its values under. Changes nothing.
    Precheck(Arc<Verified>, oneshot::Sender<Result<Epoch, Rejection>>),
    Submit(Submission, oneshot::Sender<CommandOutcome>),
}

/// A handle on a workspace's writer.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Queued>,
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

    /// Starts the writer of a workspace, which ends when it is idle.
    fn start_in(writers: &Arc<Writers>, context: Arc<Context>, workspace: WorkspaceName) -> Self {
        Self::start_as(Arc::downgrade(writers), context, workspace)
    }

    fn start_as(writers: Weak<Writers>, context: Arc<Context>, workspace: WorkspaceName) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let task = Task {
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
        };
        tokio::spawn(task.run(waiting));
        Self { jobs }
    }

    /// Whether a command would be accepted now, and the epoch to store its values under: so that
    /// strangers cannot fill the vault.
    ///
    /// # Errors
    /// The refusal.
    pub async fn precheck(&self, command: Arc<Verified>) -> Result<Epoch, Rejection> {
        let (answer, answered) = oneshot::channel();
        self.jobs
            .try_send(Queued::Precheck(command, answer))
            .map_err(|_| busy())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Carries a command out.
    pub async fn submit(&self, submission: Submission) -> CommandOutcome {
        let (answer, answered) = oneshot::channel();
        if self
            .jobs
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

struct Task {
    /// Where it is known, if it may end.
    writers: Weak<Writers>,
    context: Arc<Context>,
    workspace: WorkspaceName,
    state: Option<State>,
    /// The last message on the workspace's subject, as `state` knows it.
    head: Sequence,
    recent: Recent,
    unknown_append: Option<UnknownAppend>,
    /// A message that is known to be on the subject: no state may be loaded that is without it.
    min_head: Sequence,
    /// Commands of an append that was settled, until a state that was loaded since shows what became
    /// of them.
    in_doubt: Vec<(Identity, CommandId)>,
    /// Why nothing came of what was waited for last.
    failed: Option<Rejection>,
    /// A view for looking up receipts, of the beginning of this round.
    view: Option<View>,
    /// The workspace's number in it, if it is there.
    number: Option<u32>,
    suppressed: Suppressed,
    /// Of which log `state` is.
    generation: u64,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Queued>) {
        let mut jobs = VecDeque::new();
        loop {
            if jobs.is_empty() {
                match tokio::time::timeout(self.patience(), waiting.recv()).await {
                    Ok(Some(job)) => jobs.push_back(job),
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
            jobs.extend(self.summary());
            while jobs.len() < keyroll_core::limits::COMMIT_ENTRIES {
                let Ok(job) = waiting.try_recv() else { break };
                jobs.push_back(job);
            }
            if !jobs.is_empty() {
                self.round(&mut jobs).await;
            }
            self.refuse_waiting(&mut waiting);
        }
    }

    /// How long to wait for commands before looking after something else.
    fn patience(&self) -> Duration {
        match (&self.unknown_append, self.suppressed.is_empty()) {
            (Some(_), _) => SETTLE,
            (None, false) => SUMMARY,
            (None, true) => self.writers.upgrade().map_or(IDLE, |all| all.idle()),
        }
    }

    /// Whether it ends, as nobody needs it. All that it knows and a new one would not find in the read
    /// model keeps it: what became of a command, or that a message is on the subject.
    fn leaves(&self, waiting: &mpsc::Receiver<Queued>) -> bool {
        let known = |progress: &Progress| progress.workspaces.get(&self.workspace).copied();
        let known = self.context.progress.read(known).unwrap_or_default();
        let is_known =
            self.recent.is_empty() && self.in_doubt.is_empty() && self.min_head <= known.0;
        let writers = self.writers.upgrade();
        is_known && writers.is_some_and(|writers| writers.leave(&self.workspace, waiting))
    }

    /// Decides what waits, appends it as one commit, and answers.
    async fn round(&mut self, jobs: &mut VecDeque<Queued>) {
        let context = Arc::clone(&self.context);
        let generation = context.gate.read().await;
        self.belong_to(*generation);
        self.try_round(jobs).await;
        // A view keeps every page alive that was written since: none is held between rounds.
        self.view = None;
    }

    /// After a recovery nothing is left of what was known of the log before.
    fn belong_to(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.state = None;
            self.unknown_append = None;
            self.in_doubt.clear();
            self.min_head = Sequence(0);
            self.recent = Recent::default();
        }
    }

    async fn try_round(&mut self, jobs: &mut VecDeque<Queued>) {
        for _ in 0..CONFLICTS {
            if let Err(rejection) = self.ready().await {
                self.refuse_all(jobs, &rejection);
                self.failed = Some(rejection);
                return;
            }
            let Some(batch) = self.decide_batch(jobs) else {
                return;
            };
            match self.append(batch).await {
                Ok(()) => return,
                // Another replica wrote first: what was planned waits again, in its old order.
                Err(again) => again.into_iter().rev().for_each(|job| jobs.push_front(job)),
            }
        }
        // Of what came last it is not known yet whether something else lies at its place.
        self.resolve().await;
        self.refuse_all(
            jobs,
            &Rejection::new(Code::Busy, "other writers keep expected first: try again"),
        );
    }

    fn refuse_all(&self, jobs: &mut VecDeque<Queued>, rejection: &Rejection) {
        for job in jobs.drain(..) {
            match job {
                Queued::Precheck(_, answer) => drop(answer.send(Err(rejection.clone()))),
                Queued::Submit(submission, answer) => {
                    // What may still land is not answered as if it could not; that the log is broken
                    // says nothing of it.
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

    /// Makes sure that there is a state to decide on, and that nothing is in doubt.
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
        // In this order: whatever the pruning forgets, the view taken after `projected` holds. Unless
        // the disk under the read model failed just now, and it was set back to what it held durably.
        let known = |progress: &Progress| (progress.sequence, progress.entries_of(&self.workspace));
        let (sequence, projected) = self.context.progress.read(known);
        let projection = self.context.projection.borrow().clone();
        let view = projection.view().map_err(|error| error.rejection())?;
        let held = view.head().map_err(|error| error.rejection())?;
        let held = held.map_or(Sequence(0), |(sequence, _)| sequence);
        if held < sequence || projected < self.recent.forgotten() {
            return Err(behind());
        }
        self.number = view
            .number_of(&self.workspace)
            .map_err(|error| error.rejection())?;
        self.view = Some(view);
        self.prune(projected);
        Ok(())
    }

    /// How many entries of the workspace the read model holds.
    fn projected(&self) -> TreeSize {
        let progress = &self.context.progress;
        progress.read(|progress| progress.entries_of(&self.workspace))
    }

    fn prune(&mut self, projected: TreeSize) {
        self.recent.prune(projected);
    }
}

pub(crate) fn unavailable(why: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        Code::AuditUnavailable,
        format!("the log cannot be written ({why}): nothing happened"),
    )
}

fn behind() -> Rejection {
    let words = "the read model is behind the log: try again shortly";
    Rejection::new(Code::Busy, words)
}

fn unknown() -> Rejection {
    Rejection::new(
        Code::AuditUnknown,
        "it is not known yet whether the entry was written; nothing was released. Send the same bytes again",
    )
}

#[cfg(test)]
mod tests;
