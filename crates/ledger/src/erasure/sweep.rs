//! The sweep erases again the values that a stalled replica stored too late, and erases orphans
//! once the log names them.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use keyroll_core::command::{StoredAt, ValuesSweep};
use keyroll_core::state::ValueState;
use keyroll_core::{Action, Epoch, Millis, ObjectId, Rejection, WorkspaceName, limits};

use super::Eraser;
use super::{CHUNK, OVERWRITES, run_all, run_bounded};
use crate::context::AWAIT_PROJECTION;
use crate::follower::Progress;
use keyroll_store::objects::{Erasure, ObjectInfo};

/// The objects that versions refer to, and whether they are destroyed.
struct VaultReferences {
    destroyed: BTreeMap<ObjectId, bool>,
    /// Earlier epochs are erased.
    oldest: Epoch,
    /// The epoch in force.
    current: Epoch,
}

impl Eraser {
    /// Sweeps every workspace. Returns the number of vault and key messages that were erased.
    ///
    /// # Errors
    /// The first failure; the other workspaces are swept all the same.
    pub async fn sweep(&self) -> Result<usize, Rejection> {
        self.context
            .progress
            .wait_until_current(AWAIT_PROJECTION)
            .await;
        let named = |progress: &Progress| progress.workspaces.keys().cloned().collect();
        let workspaces: Vec<WorkspaceName> = self.context.progress.read(named);
        // Another replica may have erased values that this one still holds in memory.
        self.context.vault.forget();
        let (mut all, mut looked) = (Ok(0), true);
        for workspace in workspaces {
            let swept = self.sweep_workspace(&workspace).await;
            // Nothing is stored or erased in a workspace that is out of service.
            looked &= swept.is_ok() || self.context.health.following(&workspace).is_err();
            all = all.and_then(|before| swept.map(|swept| before + swept));
        }
        if looked {
            self.intervals.vault_scanned();
        }
        all
    }

    async fn sweep_workspace(&self, workspace: &WorkspaceName) -> Result<usize, Rejection> {
        self.context.health.workspace(workspace)?;
        // Listed before the log is read: values that are stored later are left alone.
        let stored = self.context.vault.list(workspace, None, None).await?;
        let known = self.references(workspace)?;
        let keys = self
            .keyring
            .erase_workspace_keys(workspace, known.oldest)
            .await?;
        let gone = |at: &StoredAt| {
            at.epoch < known.oldest
                || known
                    .destroyed
                    .get(&at.place)
                    .is_some_and(|destroyed| *destroyed)
        };
        let (gone, rest): (Vec<StoredAt>, Vec<StoredAt>) = stored.into_iter().partition(gone);
        let erased = self.erase_all(workspace, &gone).await?;
        let unknown = rest
            .into_iter()
            // Orphans under a retiring epoch are erased with that epoch.
            .filter(|at| at.epoch >= known.current && !known.destroyed.contains_key(&at.place));
        let swept = self.sweep_orphans(workspace, unknown.collect()).await?;
        Ok(keys + erased + swept)
    }

    fn references(&self, workspace: &WorkspaceName) -> Result<VaultReferences, Rejection> {
        self.context.with_workspace(workspace, |view| {
            let (mut destroyed, mut after) = (BTreeMap::new(), (0, 0));
            loop {
                let chunk = view.versions_after(after, CHUNK)?;
                let Some(last) = chunk.last() else { break };
                after = last.cursor;
                let known = |state| matches!(state, ValueState::Destroyed | ValueState::Erased);
                destroyed.extend(
                    chunk
                        .iter()
                        .map(|one| (one.info.place, known(one.info.state))),
                );
            }
            let (oldest, current) = (view.row().oldest_epoch(), view.row().epoch);
            Ok(VaultReferences {
                destroyed,
                oldest,
                current,
            })
        })
    }

    /// Erases orphans once an entry names them. That entry is decided under the fence, so no
    /// earlier entry refers to them, and a later command that would is stale.
    async fn sweep_orphans(
        &self,
        workspace: &WorkspaceName,
        unknown: Vec<StoredAt>,
    ) -> Result<usize, Rejection> {
        let held = |at: StoredAt| async move {
            let held = self.context.vault.info(workspace, at).await?;
            Ok(held.map(|held| (at, held)))
        };
        let mut all: Vec<(StoredAt, ObjectInfo)> = Vec::new();
        for chunk in unknown.chunks(CHUNK) {
            let held = run_all(chunk.iter().map(|at| held(*at).boxed()).collect()).await?;
            all.extend(held.into_iter().flatten());
        }
        let held = all;
        let stored: Vec<Millis> = held.iter().map(|(_, held)| held.at).collect();
        let since = self.complete_since(workspace, &stored).await?;
        let now = self.context.now();
        let is_old = |at: Millis| now.0.saturating_sub(at.0) > limits::ORPHAN_MS;
        let is_orphan = |(_, held): &(StoredAt, ObjectInfo)| is_old(held.at) && held.at >= since;
        let orphans: Vec<(StoredAt, ObjectInfo)> = held.into_iter().filter(is_orphan).collect();
        let mut swept = 0;
        for part in parts(&orphans) {
            let places = part.iter().map(|(at, _)| *at).collect();
            let action = Action::ValuesSweep(ValuesSweep { places });
            if !self.record_own_action(workspace, action, None).await? {
                // The read model was behind: a version refers to one of them.
                continue;
            }
            let erase = |(at, held)| async move {
                // Only this message: a value that was stored again under the object must stay.
                self.context
                    .vault
                    .erase_exact(workspace, at, held, Erasure::Overwrite)
                    .await
            };
            let erase = part.into_iter().map(|one| erase(one).boxed());
            let erased = run_bounded(erase.collect(), OVERWRITES).await?;
            swept += erased.into_iter().filter(|erased| *erased).count();
        }
        Ok(swept)
    }
}

/// Groups of orphans that each fit one entry.
fn parts(orphans: &[(StoredAt, ObjectInfo)]) -> Vec<Vec<(StoredAt, ObjectInfo)>> {
    orphans
        .chunks(limits::ENDED_AT_ONCE)
        .map(<[_]>::to_vec)
        .collect()
}
