//! Writers of the workspaces that are in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyroll_core::WorkspaceName;
use tokio::sync::mpsc;

use super::{Queued, Writer};
use crate::context::Context;

/// One writer for each workspace that is in use. The first command starts it; it ends when no
/// command has arrived for a while, so that an idle workspace takes no memory.
pub struct Writers {
    idle: Duration,
    by_name: Mutex<HashMap<WorkspaceName, Writer>>,
}

impl Writers {
    /// An empty registry. Each writer ends after `idle` without a command.
    pub fn new(idle: Duration) -> Arc<Self> {
        let by_name = Mutex::default();
        Arc::new(Self { idle, by_name })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The writer of a workspace, started if necessary.
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

    /// Removes a writer that has nothing to do. A writer stays while anybody holds its handle and
    /// may still send a command: handles are given out under the lock that is held here.
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
