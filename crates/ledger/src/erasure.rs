//! The eraser finishes logged erasures and rotations: it erases destroyed values in the vault,
//! copies values from a retired key epoch to the new one and erases the old epoch, and sweeps
//! orphans.
//!
//! All work is in the log, so any replica takes it up where another stopped, and several at once do
//! no harm: a value is stored once, an erased value stays erased, and results are recorded under
//! the fence.

mod destroyed;
mod old_epoch;
mod orphans;
mod rotation;
mod sweep;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::command::{COMMAND_V, Command};
use keyroll_core::{
    Action, Code, CommandId, Epoch, Rejection, SignedCommand, TreeSize, WorkspaceName, cose,
};
use keyroll_store::keyring::{Keyring, random};

use crate::context::{AWAIT_PROJECTION, Context};
use crate::follower::FollowerHandle;
use crate::writer::{CommandOutcome, Submission, Writers};
use orphans::FollowIntervals;

/// Vault messages read, written or erased at once: each may take three times 64 KiB of memory.
const CONCURRENT_REQUESTS: usize = 64;
/// Messages overwritten at once: a server does one after the other, writing up to 8 MiB for each,
/// and must answer the last in time.
const OVERWRITES: usize = 16;
/// Versions read from the read model at once.
const CHUNK: usize = 1_000;

/// How far a key rotation is.
#[derive(Debug, Clone, Default)]
pub(crate) struct RotationProgress {
    /// Values that are under the new epoch.
    pub(crate) done: u64,
    /// Values that have to be copied.
    pub(crate) total: u64,
    /// The epoch whose fence is stored: each pass of a rotation would store another.
    fenced: Option<Epoch>,
    /// After the copies: how many messages of the old epoch are erased, and of how many.
    pub(crate) erasing: Option<(u64, u64)>,
    /// Why the last attempt failed.
    pub(crate) problem: Option<Rejection>,
}

/// How far the eraser is, by workspace.
#[derive(Default)]
pub(crate) struct ErasureProgress(Mutex<BTreeMap<WorkspaceName, RotationProgress>>);

impl ErasureProgress {
    pub(crate) fn of(&self, workspace: &WorkspaceName) -> RotationProgress {
        self.lock().get(workspace).cloned().unwrap_or_default()
    }

    fn change(&self, workspace: &WorkspaceName, change: impl FnOnce(&mut RotationProgress)) {
        change(self.lock().entry(workspace.clone()).or_default());
    }

    fn forget(&self, workspace: &WorkspaceName) {
        self.lock().remove(workspace);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<WorkspaceName, RotationProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs all of `work`, [`CONCURRENT_REQUESTS`] at a time, until the first failure.
async fn run_all<T>(work: Vec<BoxFuture<'_, Result<T, Rejection>>>) -> Result<Vec<T>, Rejection> {
    run_bounded(work, CONCURRENT_REQUESTS).await
}

/// As [`run_all`], `at_once` at a time.
async fn run_bounded<T>(
    work: Vec<BoxFuture<'_, Result<T, Rejection>>>,
    at_once: usize,
) -> Result<Vec<T>, Rejection> {
    let mut running = futures::stream::iter(work).buffered(at_once);
    let mut done = Vec::new();
    while let Some(result) = running.next().await {
        done.push(result?);
    }
    Ok(done)
}

/// Finishes erasures and rotations in the background.
pub struct Eraser {
    context: Arc<Context>,
    keyring: Arc<Keyring>,
    writers: Arc<Writers>,
    follower: FollowerHandle,
    progress: Arc<ErasureProgress>,
    intervals: FollowIntervals,
}

impl Eraser {
    pub(crate) fn new(
        context: Arc<Context>,
        keyring: Arc<Keyring>,
        writers: Arc<Writers>,
        follower: FollowerHandle,
        progress: Arc<ErasureProgress>,
    ) -> Self {
        Self {
            context,
            keyring,
            writers,
            follower,
            progress,
            intervals: FollowIntervals::default(),
        }
    }

    /// Waits until the log of some workspace has an erasure or a rotation to finish.
    pub async fn wait_for_work(&self) {
        let progress = &self.context.progress;
        let work = progress.wait_lazily(|progress| !progress.unfinished.is_empty());
        // A follower that has ended brings no work.
        if work.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Finishes the logged erasures and rotations of every workspace, as far as possible.
    ///
    /// # Errors
    /// The reason why work is left. The next run continues there.
    pub async fn run_once(&self) -> Result<(), Rejection> {
        let progress = &self.context.progress;
        progress.wait_until_current(AWAIT_PROJECTION).await;
        let unfinished = progress.read(|progress| progress.unfinished.clone());
        let mut all = Ok(());
        for workspace in &unfinished {
            let finished = self.finish(workspace).await;
            match &finished {
                Ok(()) => self.progress.forget(workspace),
                Err(problem) => {
                    tracing::warn!(%workspace, %problem, "an erasure or a rotation is not finished yet");
                    let problem = Some(problem.clone());
                    self.progress
                        .change(workspace, |progress| progress.problem = problem);
                }
            }
            all = all.and(finished);
        }
        all
    }

    async fn finish(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        self.context.health.workspace(workspace)?;
        self.erase_destroyed(workspace).await?;
        let row = self.context.workspace_row(workspace)?;
        if let Some(old) = row.retiring {
            self.retire_epoch(workspace, old, row.epoch).await?;
            self.context.await_head(workspace).await?;
            self.erase_destroyed(workspace).await?;
        }
        self.context.await_head(workspace).await
    }

    /// Records an action of the ledger itself. `false` when the workspace has changed so that the
    /// action no longer fits: another replica's eraser was first.
    async fn record_own_action(
        &self,
        workspace: &WorkspaceName,
        action: Action,
        while_retiring: Option<Epoch>,
    ) -> Result<bool, Rejection> {
        let command = Command {
            v: COMMAND_V,
            at: self.context.now(),
            id: CommandId(random()?),
            action,
            ledger: self.context.ledger,
            workspace: workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        let signed = SignedCommand::decode(&cose::sign(&command, &self.context.key));
        let submission = Submission {
            command: Arc::new(signed.and_then(SignedCommand::verify)?),
            trusted_size: TreeSize(0),
            stored: None,
            inadmissible: None,
            while_retiring,
            dry_run: false,
        };
        match self
            .writers
            .of(&self.context, workspace)
            .submit(submission)
            .await
        {
            // The next step reads the read model, which must hold the entry.
            CommandOutcome::Committed(committed) => {
                self.context.await_size(workspace, committed.size).await?;
                Ok(true)
            }
            CommandOutcome::Duplicate(index) => {
                self.context.await_index(workspace, index).await?;
                Ok(true)
            }
            CommandOutcome::Refused(rejection, _) if rejection.code == Code::Conflict => Ok(false),
            CommandOutcome::Refused(rejection, _) => Err(rejection),
            CommandOutcome::StoreFirst(_) | CommandOutcome::DryRun(..) => Err(Rejection::new(
                Code::Internal,
                "an action of the ledger itself stores no value",
            )),
        }
    }
}
