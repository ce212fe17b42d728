//! The context that all parts of a ledger share: its identity, streams, read model, health and
//! clock.

mod await_projection;

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::state::WorkspaceRow;
use keyroll_core::{Code, Identity, LedgerId, Millis, Rejection, Sequence, WorkspaceName};
use keyroll_store::log::{Log, Unavailable};
use keyroll_store::vault::Vault;
use tokio::sync::watch;

use crate::follower::ProgressReader;
use crate::health::Health;
use crate::projection::{Projection, ProjectionError, View, WorkspaceView};

pub(crate) use await_projection::{AWAIT_PROJECTION, behind};

/// Shared by the writers and all other parts of one ledger.
pub struct Context {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its online key.
    pub key: SigningKey,
    /// The record of that key in a workspace's first entry.
    pub created: WorkspaceCreated,
    /// Members of no workspace who may create workspaces and run the service.
    pub operators: Vec<Identity>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Sealed values.
    pub vault: Arc<Vault>,
    /// The known problems.
    pub health: Arc<Health>,
    /// Every round of a writer holds it for reading; a recovery holds it alone. The number counts
    /// the logs so far: a state that was loaded from an earlier log is worthless.
    pub gate: tokio::sync::RwLock<u64>,
    /// How far the read model is.
    pub progress: ProgressReader,
    /// The read model.
    pub projection: watch::Receiver<Projection>,
    /// The wall clock.
    pub clock: fn() -> Millis,
}

impl Context {
    pub(crate) fn now(&self) -> Millis {
        (self.clock)()
    }

    pub(crate) fn projection(&self) -> Projection {
        self.projection.borrow().clone()
    }

    pub(crate) fn view(&self) -> Result<View, ProjectionError> {
        self.projection().view()
    }

    /// The public half of the online key.
    pub(crate) fn online_key(&self) -> Identity {
        Identity(self.key.verifying_key().to_bytes())
    }

    pub(crate) fn is_operator(&self, identity: &Identity) -> bool {
        self.operators.contains(identity)
    }

    /// Runs a function on a workspace in the present read model.
    pub(crate) fn with_workspace<T>(
        &self,
        workspace: &WorkspaceName,
        run: impl FnOnce(&WorkspaceView<'_>) -> Result<T, ProjectionError>,
    ) -> Result<T, Rejection> {
        let view = self.view()?;
        let found = view.workspace(workspace)?;
        Ok(run(&found.ok_or_else(|| no_workspace(workspace))?)?)
    }

    pub(crate) fn workspace_row(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<WorkspaceRow, Rejection> {
        self.with_workspace(workspace, |view| Ok(view.row().clone()))
    }

    /// The last message of the log.
    pub(crate) async fn log_end(&self) -> Result<Sequence, Rejection> {
        self.log.last().await.map_err(unreachable)
    }

    /// The last message of a workspace in the log.
    pub(crate) async fn log_head(&self, workspace: &WorkspaceName) -> Result<Sequence, Rejection> {
        self.log.head(workspace).await.map_err(unreachable)
    }
}

pub(crate) fn no_workspace(workspace: &WorkspaceName) -> Rejection {
    Rejection::new(Code::NotFound, format!("there is no workspace {workspace}"))
}

/// Reading the log failed, so nothing was decided.
pub(crate) fn unreachable(why: Unavailable) -> Rejection {
    Rejection::new(Code::Unreachable, why.0)
}
