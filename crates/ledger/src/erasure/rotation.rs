//! Rotating the wrapping key: every live value is copied under the new epoch and read back. Only
//! then is the old epoch erased, its values first, its key last.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use keyroll_core::command::{KeyErase, LostValue, StoredAt, ValuesLose};
use keyroll_core::crypto::{Key, WrapContext};
use keyroll_core::state::ValueState;
use keyroll_core::{Action, Code, Epoch, ObjectId, Rejection, WorkspaceName};

use super::destroyed::check_erased;
use super::{CHUNK, Eraser, run_all};
use crate::projection::{Cursor, StoredVersion};
use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};
use keyroll_store::objects::{Erasure, ObjectInfo};

/// A rotation under way.
struct Rotation<'a> {
    workspace: &'a WorkspaceName,
    old: Epoch,
    new: Epoch,
    new_key: Key,
    /// The key of the old epoch, or why it cannot be read.
    old_key: Result<Key, Rejection>,
    /// The objects under the new epoch when the pass began. Other values are copied without looking
    /// for a copy: a later copy is found when this one is stored.
    copied_before: HashSet<ObjectId>,
    /// The messages of the old epoch that were read to be copied: erasing them need not fetch them
    /// again.
    old_messages: Mutex<HashMap<ObjectId, ObjectInfo>>,
}

impl Rotation<'_> {
    fn remember(&self, place: ObjectId, message: ObjectInfo) {
        let messages = self.old_messages.lock();
        let mut messages = messages.unwrap_or_else(PoisonError::into_inner);
        messages.insert(place, message);
    }
}

impl Eraser {
    pub(super) async fn retire_epoch(
        &self,
        workspace: &WorkspaceName,
        old: Epoch,
        new: Epoch,
    ) -> Result<(), Rejection> {
        let copied = self.context.vault.list(workspace, None, Some(new)).await?;
        let retiring = Rotation {
            workspace,
            old,
            new,
            new_key: self.keyring.workspace_key(workspace, new).await?,
            old_key: self.keyring.workspace_key(workspace, old).await,
            copied_before: copied.iter().map(|at| at.place).collect(),
            old_messages: Mutex::default(),
        };
        self.copy_all(&retiring).await?;
        keyroll_store::failpoint!("erasure.all_copied");
        self.check_stored_key(workspace, new).await?;
        // From here on no live value is under the old epoch alone.
        let read = retiring.old_messages.into_inner();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        self.erase_generation(workspace, old, &read).await?;
        check_erased(&self.context.vault.list(workspace, None, Some(old)).await?)?;
        keyroll_store::failpoint!("erasure.old_values_erased");
        self.keyring.erase_workspace_keys(workspace, new).await?;
        keyroll_store::failpoint!("erasure.old_key_erased");
        // Also the values that were destroyed while they were copied.
        self.erase_destroyed(workspace).await?;
        let erased = Action::KeyErase(KeyErase { epoch: old });
        self.record_own_action(workspace, erased, Some(old)).await?;
        keyroll_store::failpoint!("erasure.retired");
        Ok(())
    }

    /// Checks that the new key is stored, not only in memory. The keys stream may have been lost
    /// during the copies, and once the old epoch is erased the copies are all that is left.
    async fn check_stored_key(
        &self,
        workspace: &WorkspaceName,
        new: Epoch,
    ) -> Result<(), Rejection> {
        self.context.health.workspace(workspace)?;
        self.keyring.forget_workspaces();
        self.keyring.workspace_key(workspace, new).await.map(drop)
    }

    /// The next versions that may be under the old epoch, and the cursor after them. The read model
    /// that shows the rotation holds all older versions.
    fn chunk(
        &self,
        retiring: &Rotation<'_>,
        after: Cursor,
    ) -> Result<Option<(Vec<StoredVersion>, Cursor)>, Rejection> {
        let mut chunk = self
            .context
            .with_workspace(retiring.workspace, |view| view.versions_after(after, CHUNK))?;
        let Some(next) = chunk.last().map(|last| last.cursor) else {
            return Ok(None);
        };
        let live = |info: &keyroll_core::state::VersionInfo| {
            info.state == ValueState::Live && info.epoch < retiring.new
        };
        chunk.retain(|version| live(&version.info));
        Ok(Some((chunk, next)))
    }

    async fn copy_all(&self, retiring: &Rotation<'_>) -> Result<(), Rejection> {
        let (mut after, mut total) = ((0, 0), 0);
        while let Some((chunk, next)) = self.chunk(retiring, after)? {
            total += chunk.len() as u64;
            after = next;
        }
        self.progress.change(retiring.workspace, |progress| {
            (progress.done, progress.total, progress.erasing) = (0, total, None);
        });
        let fenced = self.progress.of(retiring.workspace).fenced == Some(retiring.old);
        // Without the old key nothing is copied.
        if retiring.old_key.is_ok() && !fenced {
            let fenced = Some(retiring.old);
            self.progress
                .change(retiring.workspace, |progress| progress.fenced = fenced);
            self.fence(retiring.workspace, retiring.old, total).await?;
        }
        keyroll_store::failpoint!("erasure.fenced");
        after = (0, 0);
        while let Some((chunk, next)) = self.chunk(retiring, after)? {
            self.copy_chunk(retiring, chunk).await?;
            after = next;
        }
        Ok(())
    }

    async fn copy_chunk(
        &self,
        retiring: &Rotation<'_>,
        mut chunk: Vec<StoredVersion>,
    ) -> Result<(), Rejection> {
        for look in 0..TAIL_CHECKS {
            if look > 0 {
                // A stream's new leader may answer before it has caught up.
                tokio::time::sleep(TAIL_CHECK_PAUSE).await;
            }
            let copy = |version| async move {
                let copied = self.copy_one(retiring, version).await?;
                if copied {
                    self.progress
                        .change(retiring.workspace, |progress| progress.done += 1);
                }
                Ok(copied)
            };
            let work = chunk.iter().map(|version| copy(version).boxed()).collect();
            let copied = run_all(work).await?;
            let mut copied = copied.into_iter();
            chunk.retain(|_| !copied.next().unwrap_or(false));
            if chunk.is_empty() {
                return Ok(());
            }
        }
        self.record_lost(retiring, &chunk).await
    }

    /// Records values that are under neither epoch as lost. Recorded under the fence, and only if
    /// this epoch is still retiring then: values of later epochs were not looked for.
    async fn record_lost(
        &self,
        retiring: &Rotation<'_>,
        lost: &[StoredVersion],
    ) -> Result<(), Rejection> {
        let value = |one: &StoredVersion| LostValue {
            id: one.id,
            version: one.version,
        };
        // A missing vault has no values, and its backup may bring all of them back.
        self.context.health.workspace(retiring.workspace)?;
        if !self.context.vault.exists().await? {
            return Err(Rejection::new(Code::AuditUnavailable, "there is no vault"));
        }
        let values = lost.iter().map(value).collect();
        let lose = Action::ValuesLose(ValuesLose { values });
        if self
            .record_own_action(retiring.workspace, lose, Some(retiring.old))
            .await?
        {
            return Ok(());
        }
        let message = "values changed while they were copied: they are checked again";
        Err(Rejection::new(Code::Busy, message))
    }

    /// Makes sure that a value is under the new epoch. `false` when it is under neither.
    async fn copy_one(
        &self,
        retiring: &Rotation<'_>,
        version: &StoredVersion,
    ) -> Result<bool, Rejection> {
        let place = version.info.place;
        let context = |epoch: Epoch| WrapContext {
            ledger: &self.context.ledger,
            workspace: retiring.workspace,
            secret: version.id,
            version: version.version,
            epoch,
            digest: version.info.digest,
        };
        let (old, new) = (context(retiring.old), context(retiring.new));
        if !retiring.copied_before.contains(&place)
            && let Ok(old_key) = &retiring.old_key
            && let Ok(Some((message, found))) = self.context.vault.read(&place, old_key, &old).await
        {
            self.context
                .vault
                .copy(&place, &found, &retiring.new_key, &new)
                .await?;
            keyroll_store::failpoint!("erasure.copied");
            let copy = self
                .context
                .vault
                .read(&place, &retiring.new_key, &new)
                .await;
            if let Ok(Some(_)) = copy {
                retiring.remember(place, message);
                return Ok(true);
            }
        }
        self.copy_carefully(retiring, place, (&old, &new)).await
    }

    /// As [`Eraser::copy_one`], where there may be a copy already, a damaged one, or no value.
    async fn copy_carefully(
        &self,
        retiring: &Rotation<'_>,
        place: ObjectId,
        (old, new): (&WrapContext<'_>, &WrapContext<'_>),
    ) -> Result<bool, Rejection> {
        let workspace = retiring.workspace;
        let is_lost = |rejection: &Rejection| rejection.code == Code::ValueLost;
        let at = |epoch| StoredAt { epoch, place };
        let mut damaged = None;
        match self
            .context
            .vault
            .read(&place, &retiring.new_key, new)
            .await
        {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(rejection) if is_lost(&rejection) => {
                // Another replica may be repairing it, so only the message that was damaged is
                // erased.
                damaged = self.context.vault.info(workspace, at(new.epoch)).await?;
                match self
                    .context
                    .vault
                    .read(&place, &retiring.new_key, new)
                    .await
                {
                    Ok(Some(_)) => return Ok(true),
                    Ok(None) => damaged = None,
                    Err(rejection) if is_lost(&rejection) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            Err(rejection) => return Err(rejection),
        }
        let old_key = match &retiring.old_key {
            Ok(old_key) => old_key,
            // There is a value and no key: only people can repair that, so nothing is recorded as
            // lost.
            Err(why) => {
                let held = self.context.vault.info(workspace, at(old.epoch)).await?;
                return held.map_or(Ok(false), |_| Err(why.clone()));
            }
        };
        let found = match self.context.vault.read(&place, old_key, old).await {
            Ok(Some((_, found))) => found,
            Ok(None) => return Ok(false),
            Err(rejection) if is_lost(&rejection) => return Ok(false),
            Err(rejection) => return Err(rejection),
        };
        if let Some(held) = damaged {
            let erased =
                self.context
                    .vault
                    .erase_exact(workspace, at(new.epoch), held, Erasure::Overwrite);
            erased.await?;
        }
        self.context
            .vault
            .copy(&place, &found, &retiring.new_key, new)
            .await?;
        keyroll_store::failpoint!("erasure.copied");
        let copy = self
            .context
            .vault
            .read(&place, &retiring.new_key, new)
            .await?;
        let missing = || Rejection::new(Code::Busy, "a copy is not stored yet");
        copy.map(|_| true).ok_or_else(missing)
    }
}
