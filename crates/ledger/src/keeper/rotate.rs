//! Retiring a generation of the wrapping key: every live value is copied under the new one and
//! read back; only then is the old one erased, values first, its key last.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use keyroll_core::command::{KeyErase, LostValue, StoredAt, ValuesLose};
use keyroll_core::crypto::{Key, WrapContext};
use keyroll_core::state::ValueState;
use keyroll_core::{Action, Code, Epoch, ObjectId, Rejection, WorkspaceName};

use super::{CHUNK, each};
use crate::ledger::Ledger;
use crate::projection::{Cursor, VersionOf};
use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};
use keyroll_store::objects::{Erasure, ObjectInfo};

/// One generation on its way out.
struct Retiring<'a> {
    workspace: &'a WorkspaceName,
    old: Epoch,
    new: Epoch,
    new_key: Key,
    /// Or why there is none.
    old_key: Result<Key, Rejection>,
    /// What lay under the new generation when the pass began. Other values are copied at once: a copy
    /// that came since is found when this one is put.
    copied_before: HashSet<ObjectId>,
    /// The messages of the old generation that were read to be copied, so that erasing them asks for
    /// none of them again.
    old_messages: Mutex<HashMap<ObjectId, ObjectInfo>>,
}

impl Retiring<'_> {
    fn remember(&self, place: ObjectId, message: ObjectInfo) {
        let messages = self.old_messages.lock();
        let mut messages = messages.unwrap_or_else(PoisonError::into_inner);
        messages.insert(place, message);
    }
}

impl Ledger {
    pub(super) async fn retire(
        &self,
        workspace: &WorkspaceName,
        old: Epoch,
        new: Epoch,
    ) -> Result<(), Rejection> {
        let copied = self.vault.list(workspace, None, Some(new)).await?;
        let retiring = Retiring {
            workspace,
            old,
            new,
            new_key: self.keyring.workspace_key(workspace, new).await?,
            old_key: self.keyring.workspace_key(workspace, old).await,
            copied_before: copied.iter().map(|at| at.place).collect(),
            old_messages: Mutex::default(),
        };
        self.copy_all(&retiring).await?;
        keyroll_store::failpoint!("keeper.all_copied");
        self.check_stored_key(workspace, new).await?;
        // From here on nothing live is under the old generation alone.
        let read = retiring.old_messages.into_inner();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        self.erase_generation(workspace, old, &read).await?;
        Self::is_empty(&self.vault.list(workspace, None, Some(old)).await?)?;
        keyroll_store::failpoint!("keeper.old_values_erased");
        self.keyring.erase_workspace_keys(workspace, new).await?;
        keyroll_store::failpoint!("keeper.old_key_erased");
        // Also what was destroyed while it was copied.
        self.erase_ended(workspace).await?;
        let erased = Action::KeyErase(KeyErase { epoch: old });
        self.own_act(workspace, erased, Some(old)).await?;
        keyroll_store::failpoint!("keeper.retired");
        Ok(())
    }

    /// Looks that the new key is stored, not only in memory: the keys stream may have gone while values
    /// were copied, and without it the copies would be all that there is.
    async fn check_stored_key(
        &self,
        workspace: &WorkspaceName,
        new: Epoch,
    ) -> Result<(), Rejection> {
        self.shared.health.workspace(workspace)?;
        self.keyring.forget_workspaces();
        self.keyring.workspace_key(workspace, new).await.map(drop)
    }

    /// Versions that may lie under the old generation, after a place in their order, and where the
    /// next ones begin. What is older than the rotation is all in the read model that shows it.
    fn chunk(
        &self,
        retiring: &Retiring<'_>,
        after: Cursor,
    ) -> Result<Option<(Vec<VersionOf>, Cursor)>, Rejection> {
        let mut chunk =
            self.with_view(retiring.workspace, |view| view.versions_after(after, CHUNK))?;
        let Some(next) = chunk.last().map(|last| last.cursor) else {
            return Ok(None);
        };
        let live = |info: &keyroll_core::state::VersionInfo| {
            info.state == ValueState::Live && info.epoch < retiring.new
        };
        chunk.retain(|version| live(&version.info));
        Ok(Some((chunk, next)))
    }

    async fn copy_all(&self, retiring: &Retiring<'_>) -> Result<(), Rejection> {
        let (mut after, mut total) = ((0, 0), 0);
        while let Some((chunk, next)) = self.chunk(retiring, after)? {
            total += chunk.len() as u64;
            after = next;
        }
        self.keeper.change(retiring.workspace, |tending| {
            (tending.done, tending.total, tending.erasing) = (0, total, None);
        });
        let fenced = self.keeper.of(retiring.workspace).fenced == Some(retiring.old);
        // Without the old key nothing is copied.
        if retiring.old_key.is_ok() && !fenced {
            let fenced = Some(retiring.old);
            self.keeper
                .change(retiring.workspace, |tending| tending.fenced = fenced);
            self.fence(retiring.workspace, retiring.old, total).await?;
        }
        keyroll_store::failpoint!("keeper.fenced");
        after = (0, 0);
        while let Some((chunk, next)) = self.chunk(retiring, after)? {
            self.copy_chunk(retiring, chunk).await?;
            after = next;
        }
        Ok(())
    }

    async fn copy_chunk(
        &self,
        retiring: &Retiring<'_>,
        mut chunk: Vec<VersionOf>,
    ) -> Result<(), Rejection> {
        for look in 0..TAIL_CHECKS {
            if look > 0 {
                // A stream's new leader may answer before it has caught up with its own messages.
                tokio::time::sleep(TAIL_CHECK_PAUSE).await;
            }
            let copy = |version| async move {
                let copied = self.copy_one(retiring, version).await?;
                if copied {
                    self.keeper
                        .change(retiring.workspace, |tending| tending.done += 1);
                }
                Ok(copied)
            };
            let work = chunk.iter().map(|version| copy(version).boxed()).collect();
            let copied = each(work).await?;
            let mut copied = copied.into_iter();
            chunk.retain(|_| !copied.next().unwrap_or(false));
            if chunk.is_empty() {
                return Ok(());
            }
        }
        self.lose(retiring, &chunk).await
    }

    /// What is at neither generation is gone. Said under the fence, and only if this generation is
    /// still being retired then: later ones are not where was looked.
    async fn lose(&self, retiring: &Retiring<'_>, lost: &[VersionOf]) -> Result<(), Rejection> {
        let value = |one: &VersionOf| LostValue {
            id: one.id,
            version: one.version,
        };
        let values = lost.iter().map(value).collect();
        let lose = Action::ValuesLose(ValuesLose { values });
        if self
            .own_act(retiring.workspace, lose, Some(retiring.old))
            .await?
        {
            return Ok(());
        }
        let message = "values changed while they were copied: looked at again";
        Err(Rejection::new(Code::Busy, message))
    }

    /// Makes sure that a value is under the new generation; not when it is under neither.
    async fn copy_one(
        &self,
        retiring: &Retiring<'_>,
        version: &VersionOf,
    ) -> Result<bool, Rejection> {
        let place = version.info.place;
        let context = |epoch: Epoch| WrapContext {
            ledger: &self.shared.ledger,
            workspace: retiring.workspace,
            secret: version.id,
            version: version.version,
            epoch,
            digest: version.info.digest,
        };
        let (old, new) = (context(retiring.old), context(retiring.new));
        if !retiring.copied_before.contains(&place)
            && let Ok(old_key) = &retiring.old_key
            && let Ok(Some((message, found))) = self.vault.read(&place, old_key, &old).await
        {
            self.vault
                .copy(&place, &found, &retiring.new_key, &new)
                .await?;
            keyroll_store::failpoint!("keeper.copied");
            let copy = self.vault.read(&place, &retiring.new_key, &new).await;
            if let Ok(Some(_)) = copy {
                retiring.remember(place, message);
                return Ok(true);
            }
        }
        self.copy_carefully(retiring, place, (&old, &new)).await
    }

    /// As [`Ledger::copy_one`], where there may be a copy already, a damaged one, or no value.
    async fn copy_carefully(
        &self,
        retiring: &Retiring<'_>,
        place: ObjectId,
        (old, new): (&WrapContext<'_>, &WrapContext<'_>),
    ) -> Result<bool, Rejection> {
        let workspace = retiring.workspace;
        let is_lost = |rejection: &Rejection| rejection.code == Code::ValueLost;
        let at = |epoch| StoredAt { epoch, place };
        let mut damaged = None;
        match self.vault.read(&place, &retiring.new_key, new).await {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(rejection) if is_lost(&rejection) => {
                // Another replica may be mending it: what is erased is what was read as damaged.
                damaged = self.vault.info(workspace, at(new.epoch)).await?;
                match self.vault.read(&place, &retiring.new_key, new).await {
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
            // There is a value and no key: that is for people to mend, so nothing is said to be lost.
            Err(why) => {
                let held = self.vault.info(workspace, at(old.epoch)).await?;
                return held.map_or(Ok(false), |_| Err(why.clone()));
            }
        };
        let found = match self.vault.read(&place, old_key, old).await {
            Ok(Some((_, found))) => found,
            Ok(None) => return Ok(false),
            Err(rejection) if is_lost(&rejection) => return Ok(false),
            Err(rejection) => return Err(rejection),
        };
        if let Some(held) = damaged {
            let erased = self
                .vault
                .erase_exact(workspace, at(new.epoch), held, Erasure::Overwrite);
            erased.await?;
        }
        self.vault
            .copy(&place, &found, &retiring.new_key, new)
            .await?;
        keyroll_store::failpoint!("keeper.copied");
        let copy = self.vault.read(&place, &retiring.new_key, new).await?;
        let missing = || Rejection::new(Code::Busy, "a copy is not there yet");
        copy.map(|_| true).ok_or_else(missing)
    }
}
