//! The keeper: does what the log says is to end. Destroyed values are erased in the vault, retired
//! generations of the wrapping key are replaced and erased, and what no version refers to is swept.
//!
//! What is to be done is in the log alone, so any replica takes it up where another stopped, and
//! several at once do no harm: what is put is put once, what is erased stays erased, and what is
//! said of it is decided under the fence.

mod ended;
mod erase;
mod leftovers;
mod rotate;
mod sweep;

pub(crate) use leftovers::Start;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::command::{COMMAND_V, Command};
use keyroll_core::state::WorkspaceRow;
use keyroll_core::{
    Action, Code, CommandId, Epoch, Rejection, SignedCommand, TreeSize, WorkspaceName, cose,
};

use crate::ledger::{Ledger, REACH};
use crate::projection::{ProjectionError, WorkspaceView};
use crate::writer::{CommandOutcome, Submission};
use keyroll_store::keyring::random;

/// Vault messages read, written or erased at once: each may have three times 64 KiB in memory.
const CONCURRENT_REQUESTS: usize = 64;
/// Messages written over at once: a server does one after the other, up to 8 MiB for each, and the
/// last of them has to be answered in time.
const OVERWRITES: usize = 16;
/// Versions read from the read model at once.
const CHUNK: usize = 1_000;

/// How far a key rotation is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tending {
    /// Values that are under the new generation.
    pub(crate) done: u64,
    /// Values that have to be.
    pub(crate) total: u64,
    /// The generation that a fence stands behind: each pass of a rotation would store another.
    fenced: Option<Epoch>,
    /// Once all are: how many of how many messages of the old generation are erased.
    pub(crate) erasing: Option<(u64, u64)>,
    /// Why the last attempt ended before its end.
    pub(crate) problem: Option<Rejection>,
}

/// How far the keeper is, by workspace.
#[derive(Default)]
pub(crate) struct Keeper(Mutex<BTreeMap<WorkspaceName, Tending>>);

impl Keeper {
    pub(crate) fn of(&self, workspace: &WorkspaceName) -> Tending {
        self.lock().get(workspace).cloned().unwrap_or_default()
    }

    fn change(&self, workspace: &WorkspaceName, change: impl FnOnce(&mut Tending)) {
        change(self.lock().entry(workspace.clone()).or_default());
    }

    fn forget(&self, workspace: &WorkspaceName) {
        self.lock().remove(workspace);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<WorkspaceName, Tending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(error: &ProjectionError) -> Rejection {
    Rejection::new(Code::Internal, error.to_string())
}

/// Does all of `work`, some at once, until the first failure.
async fn each<T>(work: Vec<BoxFuture<'_, Result<T, Rejection>>>) -> Result<Vec<T>, Rejection> {
    some(work, CONCURRENT_REQUESTS).await
}

/// As [`each`], so many at once.
async fn some<T>(
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

impl Ledger {
    /// Waits until the log says of some workspace that something is to end.
    pub async fn unfinished(&self) {
        // A closed channel means that nothing is followed any more.
        let waited = self
            .shared
            .progress
            .idle_until(|progress| !progress.unfinished.is_empty());
        if waited.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Finishes what the log says is to end, in every workspace, as far as it can.
    ///
    /// # Errors
    /// Why something is left to do; another call takes it up there.
    pub async fn tend(&self) -> Result<(), Rejection> {
        self.shared.progress.settled(REACH).await;
        let unfinished = self
            .shared
            .progress
            .now(|progress| progress.unfinished.clone());
        let mut all = Ok(());
        for workspace in &unfinished {
            let tended = self.tend_workspace(workspace).await;
            match &tended {
                Ok(()) => self.keeper.forget(workspace),
                Err(problem) => {
                    tracing::warn!(%workspace, %problem, "what is to be erased is not yet");
                    let problem = Some(problem.clone());
                    self.keeper
                        .change(workspace, |tending| tending.problem = problem);
                }
            }
            all = all.and(tended);
        }
        all
    }

    async fn tend_workspace(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        self.shared.health.workspace(workspace)?;
        self.erase_ended(workspace).await?;
        let row = self.row(workspace)?;
        if let Some(old) = row.retiring {
            self.retire(workspace, old, row.epoch).await?;
            self.reach_head(workspace).await?;
            self.erase_ended(workspace).await?;
        }
        self.reach_head(workspace).await
    }

    /// Runs something on a workspace as the read model has it now.
    fn with_view<T>(
        &self,
        workspace: &WorkspaceName,
        run: impl FnOnce(&WorkspaceView<'_>) -> Result<T, ProjectionError>,
    ) -> Result<T, Rejection> {
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let found = view.workspace(workspace).map_err(|error| broken(&error))?;
        let gone = || Rejection::new(Code::NotFound, format!("there is no workspace {workspace}"));
        run(&found.ok_or_else(gone)?).map_err(|error| broken(&error))
    }

    pub(crate) fn row(&self, workspace: &WorkspaceName) -> Result<WorkspaceRow, Rejection> {
        self.with_view(workspace, |view| Ok(view.row().clone()))
    }

    /// Puts an act of the ledger's own on record. Whether it was: not when the workspace has
    /// changed so that it does not fit any more, as another replica's keeper was first.
    async fn own_act(
        &self,
        workspace: &WorkspaceName,
        action: Action,
        while_retiring: Option<Epoch>,
    ) -> Result<bool, Rejection> {
        let command = Command {
            v: COMMAND_V,
            at: self.now(),
            id: CommandId(random()?),
            action,
            ledger: self.shared.ledger,
            workspace: workspace.clone(),
            delegation: None,
        };
        let signed = SignedCommand::decode(&cose::sign(&command, &self.shared.key));
        let submission = Submission {
            command: Arc::new(signed.and_then(SignedCommand::verify)?),
            seen: TreeSize(0),
            stored: None,
            inadmissible: None,
            while_retiring,
            dry_run: false,
        };
        match self.writer(workspace).submit(submission).await {
            // What is looked at next has to show it.
            CommandOutcome::Recorded(landed) => {
                self.reach(workspace, landed.size).await?;
                Ok(true)
            }
            CommandOutcome::Known(index) => {
                self.reach_index(workspace, index).await?;
                Ok(true)
            }
            CommandOutcome::Refused(rejection, _) if rejection.code == Code::Conflict => Ok(false),
            CommandOutcome::Refused(rejection, _) => Err(rejection),
            CommandOutcome::Store(_) | CommandOutcome::Decided(..) => Err(Rejection::new(
                Code::Internal,
                "an act of the ledger's own brings no value",
            )),
        }
    }
}
