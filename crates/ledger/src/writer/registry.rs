//! Writers of the workspaces that are in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyroll_core::WorkspaceName;
use tokio::sync::mpsc;

use super::{Context, Queued, Writer};

/// One writer for each workspace that is in use: it is started by the first command, and ends when no
/// command has come for a while, so that an idle workspace takes no memory.
pub struct Writers {
    idle: Duration,
    by_name: Mutex<HashMap<WorkspaceName, Writer>>,
}

impl Writers {
    /// None yet. Each will end after so long without a command.
    pub fn new(idle: Duration) -> Arc<Self> {
        let by_name = Mutex::default();
        Arc::new(Self { idle, by_name })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The writer of a workspace, started if there is none.
    pub fn of(self: &Arc<Self>, context: &Arc<Context>, workspace: &WorkspaceName) -> Writer {
        let mut writers = self.lock();
        let start = || Writer::start_in(self, Arc::clone(context), workspace.clone());
        writers
            .entry(workspace.clone())
            .or_insert_with(start)
            .clone()
    }

    /// How long a writer waits for a command before it ends.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// Takes a writer out that has nothing to do. Not when somebody holds it and may yet send it
    /// something: handles are given out under the lock that is held here.
    pub(super) fn leave(
        &self,
        workspace: &WorkspaceName,
        waiting: &mpsc::Receiver<Queued>,
    ) -> bool {
        let mut writers = self.lock();
        let leaves = waiting.is_empty() && waiting.sender_strong_count() == 1;
        if leaves {
            writers.remove(workspace);
        }
        leaves
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<WorkspaceName, Writer>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
