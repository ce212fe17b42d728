//! Putting another file in the place of the read model: after a rebuild, a recovery or a disk
//! error.

use std::time::Duration;

use keyroll_core::{Backoff, Code, Digest, Rejection};
use keyroll_store::log::Unavailable;

use super::catch_up::{catch_up, failed};
use super::progress::progress_of;
use super::requests::Replaced;
use super::{Fold, Follower};
use crate::projection::{self, Projection, ProjectionError, WriteBatch, catch_panics};

/// How long to wait before the read model is opened again: the first time, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

impl Follower {
    pub(super) async fn replace(&mut self, mut fresh: Fold) -> Result<Replaced, ProjectionError> {
        // The follower continues after the present one, and would fold the same messages in again.
        if fresh.sequence() > self.fold.sequence() {
            return Err(failed(
                "the read model was set back by its disk during the rebuild: rebuild it again",
            ));
        }
        catch_up(self.log.as_ref(), &mut fresh, self.fold.sequence()).await?;
        let (before, after) = digests(self.fold.projection(), fresh.projection())?;
        let record = self.fold.projection().follow_record()?;
        fresh.projection().change_follow_record(|_| record)?;
        let path = self.fold.projection().path().to_owned();
        fresh.move_to(&path)?;
        fresh.forget_after(self.fold.idle());
        self.projection.send_replace(fresh.projection().clone());
        self.fold = fresh;
        self.publish();
        Ok(Replaced { before, after })
    }

    pub(super) fn adopt(&mut self, mut fresh: Fold) -> Result<(), ProjectionError> {
        let path = self.fold.projection().path().to_owned();
        fresh.move_to(&path)?;
        fresh.forget_after(self.fold.idle());
        self.projection.send_replace(fresh.projection().clone());
        let progress = progress_of(fresh.projection())?;
        self.fold = fresh;
        self.progress.replace(progress);
        Ok(())
    }

    /// Without a read model nothing can be decided, and redb accepts nothing more after an I/O
    /// error. So commands are refused, and the file is opened again until that works: what it held
    /// durably is still there, and the rest is read from the log again.
    pub(super) async fn reopen(&mut self, why: &ProjectionError) {
        let message = format!(
            "{why}; nothing is lost, and the service resumes by itself when the disk can be written again"
        );
        let rejection = Rejection::new(Code::AuditUnavailable, message);
        self.health.set_storage(Some(rejection));
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            tokio::time::sleep(backoff.next_pause()).await;
            match self.try_reopen(why).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the read model is not open yet"),
            }
        }
    }

    async fn try_reopen(&mut self, why: &ProjectionError) -> Result<(), ProjectionError> {
        let unread = |why: Unavailable| ProjectionError::Storage(why.0);
        let last = self.log.last().await.map_err(unread)?;
        self.fold.reopen(why)?;
        // Only a write shows that it can be written.
        self.fold.projection().write(&WriteBatch::default(), true)?;
        let progress = catch_panics(|| progress_of(self.fold.projection()))?;
        self.progress.replace(progress);
        self.catching_up = Some(last);
        self.caught_up();
        Ok(())
    }

    /// Accepts commands again once the read model holds what the log held when it was opened.
    pub(super) fn caught_up(&mut self) {
        if self
            .catching_up
            .is_some_and(|last| self.fold.sequence() >= last)
        {
            self.catching_up = None;
            self.health.set_storage(None);
        }
    }
}

/// Digests of two read models, computed side by side.
fn digests(one: &Projection, other: &Projection) -> Result<(Digest, Digest), ProjectionError> {
    let of = |model: &Projection| {
        catch_panics(|| model.view().and_then(|view| projection::digest(&view)))
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| of(other));
        let one = of(one)?;
        let other = other.join();
        let failed = |_| Err(ProjectionError::Storage("a thread failed".to_owned()));
        Ok((one, other.unwrap_or_else(failed)?))
    })
}
