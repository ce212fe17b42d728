//! Sweeping: what the log says is erased is erased, also when a replica that was asleep put it
//! back; and what was stored and never became an entry goes, once the log says so.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use keyroll_core::command::{StoredAt, ValuesSweep};
use keyroll_core::state::ValueState;
use keyroll_core::{Action, Epoch, Millis, ObjectId, Rejection, WorkspaceName, limits};

use super::{CHUNK, OVERWRITES, each, some};
use crate::follower::Progress;
use crate::ledger::{Ledger, REACH};
use keyroll_store::objects::{Erasure, ObjectInfo};

/// What the log says of places: whether what lies there is ended.
struct Known {
    ended: BTreeMap<ObjectId, bool>,
    /// Generations before this one are gone.
    oldest: Epoch,
    /// The one in force.
    current: Epoch,
}

impl Ledger {
    /// Sweeps every workspace. How many messages of vault and keys were erased.
    ///
    /// # Errors
    /// The first failure; the other workspaces are swept all the same.
    pub async fn sweep(&self) -> Result<usize, Rejection> {
        self.shared.progress.settled(REACH).await;
        let named = |progress: &Progress| progress.workspaces.keys().cloned().collect();
        let workspaces: Vec<WorkspaceName> = self.shared.progress.now(named);
        // Another replica may have erased what this one still holds in memory.
        self.vault.forget();
        let (mut all, mut looked) = (Ok(0), true);
        for workspace in workspaces {
            let swept = self.sweep_workspace(&workspace).await;
            // Of one that is out of service nothing is stored or erased.
            looked &= swept.is_ok() || self.shared.health.following(&workspace).is_err();
            all = all.and_then(|before| swept.map(|swept| before + swept));
        }
        if looked {
            self.start.looked();
        }
        all
    }

    async fn sweep_workspace(&self, workspace: &WorkspaceName) -> Result<usize, Rejection> {
        self.shared.health.workspace(workspace)?;
        // Listed first: what is stored later than this look at the log is left alone.
        let stored = self.vault.list(workspace, None, None).await?;
        let known = self.known_places(workspace)?;
        let keys = self
            .keyring
            .erase_workspace_keys(workspace, known.oldest)
            .await?;
        let gone = |at: &StoredAt| {
            at.epoch < known.oldest || known.ended.get(&at.place).is_some_and(|ended| *ended)
        };
        let (gone, rest): (Vec<StoredAt>, Vec<StoredAt>) = stored.into_iter().partition(gone);
        let erased = self.erase_all(workspace, &gone).await?;
        let unknown = rest
            .into_iter()
            // What lies under a generation that is being retired goes with it.
            .filter(|at| at.epoch >= known.current && !known.ended.contains_key(&at.place));
        let swept = self.sweep_orphans(workspace, unknown.collect()).await?;
        Ok(keys + erased + swept)
    }

    fn known_places(&self, workspace: &WorkspaceName) -> Result<Known, Rejection> {
        self.with_view(workspace, |view| {
            let (mut ended, mut after) = (BTreeMap::new(), (0, 0));
            loop {
                let chunk = view.versions_after(after, CHUNK)?;
                let Some(last) = chunk.last() else { break };
                after = last.cursor;
                let known = |state| matches!(state, ValueState::Destroyed | ValueState::Erased);
                ended.extend(
                    chunk
                        .iter()
                        .map(|one| (one.info.place, known(one.info.state))),
                );
            }
            let (oldest, current) = (view.row().oldest_epoch(), view.row().epoch);
            Ok(Known {
                ended,
                oldest,
                current,
            })
        })
    }

    /// Erases orphans, once an entry names them: decided under the fence, so that what was decided
    /// before can no longer refer to them, and what comes later is stale.
    async fn sweep_orphans(
        &self,
        workspace: &WorkspaceName,
        unknown: Vec<StoredAt>,
    ) -> Result<usize, Rejection> {
        let held = |at: StoredAt| async move {
            let held = self.vault.info(workspace, at).await?;
            Ok(held.map(|held| (at, held)))
        };
        let mut all: Vec<(StoredAt, ObjectInfo)> = Vec::new();
        for chunk in unknown.chunks(CHUNK) {
            let held = each(chunk.iter().map(|at| held(*at).boxed()).collect()).await?;
            all.extend(held.into_iter().flatten());
        }
        let held = all;
        let stored: Vec<Millis> = held.iter().map(|(_, held)| held.at).collect();
        let since = self.known_since(workspace, &stored).await?;
        let now = self.now();
        let is_old = |at: Millis| now.0.saturating_sub(at.0) > limits::ORPHAN_MS;
        let is_orphan = |(_, held): &(StoredAt, ObjectInfo)| is_old(held.at) && held.at >= since;
        let orphans: Vec<(StoredAt, ObjectInfo)> = held.into_iter().filter(is_orphan).collect();
        let mut swept = 0;
        for part in parts(&orphans) {
            let places = part.iter().map(|(at, _)| *at).collect();
            let action = Action::ValuesSweep(ValuesSweep { places });
            if !self.own_act(workspace, action, None).await? {
                // The read model was behind: a version does refer to one.
                continue;
            }
            let erase = |(at, held)| async move {
                // This message and no other: what is stored there anew is not meant.
                self.vault
                    .erase_exact(workspace, at, held, Erasure::Overwrite)
                    .await
            };
            let erase = part.into_iter().map(|one| erase(one).boxed());
            let erased = some(erase.collect(), OVERWRITES).await?;
            swept += erased.into_iter().filter(|erased| *erased).count();
        }
        Ok(swept)
    }
}

/// Parts that each fit one entry.
fn parts(orphans: &[(StoredAt, ObjectInfo)]) -> Vec<Vec<(StoredAt, ObjectInfo)>> {
    orphans
        .chunks(limits::ENDED_AT_ONCE)
        .map(<[_]>::to_vec)
        .collect()
}
