//! Destroyed values: erased at every place they may lie, then said to be.

use futures::FutureExt as _;
use keyroll_core::command::{StoredAt, ValueErase};
use keyroll_core::{Action, Code, ObjectId, Rejection, SecretId, Version, WorkspaceName, limits};

use super::{CHUNK, OVERWRITES, run_bounded};
use crate::ledger::Ledger;
use crate::projection::StoredVersion;

impl Ledger {
    /// Erases what is ended. It is said to be erased only while no generation is being retired: a
    /// copy under way could bring a value back, so until then it is erased and not said.
    pub(super) async fn erase_ended(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let mut after = (0, 0);
        loop {
            let (ended, retiring) = self.with_view(workspace, |view| {
                let ended = view.ending(after, limits::ENDED_AT_ONCE)?;
                Ok((ended, view.row().retiring.is_some()))
            })?;
            let Some(last) = ended.last() else {
                return Ok(());
            };
            after = last.cursor;
            keyroll_store::failpoint!("erasure.ending");
            let places = ended.iter().map(|version| version.info.place);
            let erase = places.map(|place| self.erase_place(workspace, place).boxed());
            let erased = run_bounded(erase.collect(), OVERWRITES).await;
            // Before it is said: no copy is left, not even one that a reveal was reading meanwhile.
            self.vault.forget();
            erased?;
            keyroll_store::failpoint!("erasure.ended");
            if !retiring {
                self.record_erased(workspace, &ended).await?;
            }
        }
    }

    async fn record_erased(
        &self,
        workspace: &WorkspaceName,
        ended: &[StoredVersion],
    ) -> Result<(), Rejection> {
        for of_secret in ended.chunk_by(|one, next| one.id == next.id) {
            let id: SecretId = of_secret[0].id;
            let versions: Vec<Version> = of_secret.iter().map(|one| one.version).collect();
            let action = Action::ValueErase(ValueErase { id, versions });
            // Another keeper may have said it first, of all or some: the next pass sees.
            self.record_own_action(workspace, action, None).await?;
            keyroll_store::failpoint!("erasure.recorded");
        }
        Ok(())
    }

    /// Erases a place under every generation, and looks that nothing is left.
    async fn erase_place(
        &self,
        workspace: &WorkspaceName,
        place: ObjectId,
    ) -> Result<(), Rejection> {
        for at in self.vault.list(workspace, Some(&place), None).await? {
            self.vault.erase(workspace, at).await?;
            keyroll_store::failpoint!("erasure.erased");
        }
        Self::is_empty(&self.vault.list(workspace, Some(&place), None).await?)
    }

    /// Erases all of `stored`.
    pub(super) async fn erase_all(
        &self,
        workspace: &WorkspaceName,
        stored: &[StoredAt],
    ) -> Result<usize, Rejection> {
        let mut count = 0;
        for chunk in stored.chunks(CHUNK) {
            let erase = |at: &StoredAt| self.vault.erase(workspace, *at).boxed();
            let erased = run_bounded(chunk.iter().map(erase).collect(), OVERWRITES).await;
            self.vault.forget();
            count += erased?.into_iter().filter(|erased| *erased).count();
        }
        Ok(count)
    }

    pub(super) fn is_empty(left: &[StoredAt]) -> Result<(), Rejection> {
        if left.is_empty() {
            return Ok(());
        }
        let message = format!("{} messages of the vault are not erased yet", left.len());
        Err(Rejection::new(Code::Busy, message))
    }
}
