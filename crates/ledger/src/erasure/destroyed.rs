//! Destroyed values: erased under every key epoch, then recorded as erased.

use futures::FutureExt as _;
use keyroll_core::command::{StoredAt, ValueErase};
use keyroll_core::{Action, Code, ObjectId, Rejection, SecretId, Version, WorkspaceName, limits};

use super::Eraser;
use super::{CHUNK, OVERWRITES, run_bounded};
use crate::projection::StoredVersion;

impl Eraser {
    /// Erases destroyed values. They are recorded as erased only while no epoch is retiring: until
    /// then a copy under way could bring a value back.
    pub(super) async fn erase_destroyed(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let mut after = (0, 0);
        loop {
            let (destroyed, retiring) = self.context.with_workspace(workspace, |view| {
                let destroyed = view.ending(after, limits::ENDED_AT_ONCE)?;
                Ok((destroyed, view.row().retiring.is_some()))
            })?;
            let Some(last) = destroyed.last() else {
                return Ok(());
            };
            after = last.cursor;
            keyroll_store::failpoint!("erasure.ending");
            let objects = destroyed.iter().map(|version| version.info.place);
            let erase = objects.map(|place| self.erase_object(workspace, place).boxed());
            let erased = run_bounded(erase.collect(), OVERWRITES).await;
            // Before the record: no copy is left, not even one that a reveal was reading meanwhile.
            self.context.vault.forget();
            erased?;
            keyroll_store::failpoint!("erasure.ended");
            if !retiring {
                self.record_erased(workspace, &destroyed).await?;
            }
        }
    }

    async fn record_erased(
        &self,
        workspace: &WorkspaceName,
        destroyed: &[StoredVersion],
    ) -> Result<(), Rejection> {
        for of_secret in destroyed.chunk_by(|one, next| one.id == next.id) {
            let id: SecretId = of_secret[0].id;
            let versions: Vec<Version> = of_secret.iter().map(|one| one.version).collect();
            let action = Action::ValueErase(ValueErase { id, versions });
            // Another replica may have recorded some or all of them first: the next pass finds out.
            self.record_own_action(workspace, action, None).await?;
            keyroll_store::failpoint!("erasure.recorded");
        }
        Ok(())
    }

    /// Erases an object under every key epoch, and checks that none is left.
    async fn erase_object(
        &self,
        workspace: &WorkspaceName,
        place: ObjectId,
    ) -> Result<(), Rejection> {
        for at in self
            .context
            .vault
            .list(workspace, Some(&place), None)
            .await?
        {
            self.context.vault.erase(workspace, at).await?;
            keyroll_store::failpoint!("erasure.erased");
        }
        check_erased(
            &self
                .context
                .vault
                .list(workspace, Some(&place), None)
                .await?,
        )
    }

    /// Erases all of `stored`.
    pub(super) async fn erase_all(
        &self,
        workspace: &WorkspaceName,
        stored: &[StoredAt],
    ) -> Result<usize, Rejection> {
        let mut count = 0;
        for chunk in stored.chunks(CHUNK) {
            let erase = |at: &StoredAt| self.context.vault.erase(workspace, *at).boxed();
            let erased = run_bounded(chunk.iter().map(erase).collect(), OVERWRITES).await;
            self.context.vault.forget();
            count += erased?.into_iter().filter(|erased| *erased).count();
        }
        Ok(count)
    }
}

/// Checks that no stored value is left.
pub(super) fn check_erased(left: &[StoredAt]) -> Result<(), Rejection> {
    if left.is_empty() {
        return Ok(());
    }
    let message = format!("{} messages of the vault are not erased yet", left.len());
    Err(Rejection::new(Code::Busy, message))
}
