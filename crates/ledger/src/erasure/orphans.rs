//! Which of the values that no entry refers to are left over from a crash, and which may be those of
//! entries that are gone: the end of a log that was cut can be put back, its values could not.

use std::sync::{Mutex, PoisonError};

use keyroll_core::{Code, Millis, Rejection, WorkspaceName, limits};
use tokio::sync::oneshot;

use super::broken;
use crate::follower::FollowerRequest;
use crate::ledger::Ledger;
use crate::projection::FollowRecord;

/// How long after a service last said that it followed the log it may have stored something: that is
/// said every 30 s.
const RECORD_MARGIN_MS: u64 = 40 * 1_000;
/// How far apart its clock and that of the vault may be.
const CLOCKS_MS: u64 = 5_000;
/// Silence of that length is a time in which it did not follow: it was cut off, or stood still.
const SILENCE_MS: u64 = 2 * 60 * 1_000;

/// Since when this service follows the log.
#[derive(Debug, Default)]
pub(crate) struct FollowIntervals(Mutex<Option<FollowInterval>>);

#[derive(Debug, Clone, Copy)]
struct FollowInterval {
    at: Millis,
    /// Until when it, or the service before it, did so with the same read model.
    until: Option<Millis>,
    /// When it was last known to.
    alive: Millis,
    /// Whether the vault was looked through since.
    looked: bool,
}

impl FollowIntervals {
    fn with<T>(&self, run: impl FnOnce(&mut Option<FollowInterval>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that the vault was looked through.
    pub(super) fn looked(&self) {
        self.with(|since| {
            if let Some(since) = since {
                since.looked = true;
            }
        });
    }

    /// Since when it follows, as of now: at first what the read model says counts.
    fn since(&self, local: FollowRecord, now: Millis) -> FollowInterval {
        self.with(|known| {
            let since = match *known {
                None => FollowInterval {
                    at: now,
                    until: local.complete_from.and(local.followed).map(|followed| {
                        let margin = if local.ended {
                            CLOCKS_MS
                        } else {
                            RECORD_MARGIN_MS
                        };
                        Millis(followed.0 + margin)
                    }),
                    alive: now,
                    looked: false,
                },
                Some(since) if now.0 > since.alive.0 + SILENCE_MS => FollowInterval {
                    at: now,
                    until: Some(Millis(since.alive.0 + RECORD_MARGIN_MS)),
                    alive: now,
                    looked: false,
                },
                Some(since) => since,
            };
            *known = Some(since);
            since
        })
    }
}

impl FollowInterval {
    /// Whether something was stored while nobody followed the log with this read model: somebody else
    /// did that, and of what became of it this one knows only what the log still has.
    fn is_between(&self, stored: Millis) -> bool {
        let after = self.until.is_some_and(|until| stored > until);
        after && stored.0 + CLOCKS_MS < self.at.0
    }
}

impl Ledger {
    /// Says that it follows the log, for the next start; not before the vault was looked through, or
    /// what this start would have left alone the next one would erase. With `ended` it is said for the
    /// last time.
    ///
    /// # Errors
    /// When the read model cannot be written.
    pub async fn record_following(&self, ended: bool) -> Result<(), Rejection> {
        if self.context.health.serving().is_err() {
            return Ok(());
        }
        let (local, now) = (self.follow_record()?, self.now());
        if !self.start.since(local, now).looked {
            return Ok(());
        }
        self.start.with(|since| {
            if let Some(since) = since {
                since.alive = now;
            }
        });
        self.know(move |local| FollowRecord {
            followed: Some(now),
            ended,
            ..local
        })
        .await
    }

    fn follow_record(&self) -> Result<FollowRecord, Rejection> {
        self.projection()
            .follow_record()
            .map_err(|error| broken(&error))
    }

    async fn know(
        &self,
        change: impl FnOnce(FollowRecord) -> FollowRecord + Send + 'static,
    ) -> Result<(), Rejection> {
        let (done, is_done) = oneshot::channel();
        let failed = || Rejection::new(Code::Internal, "the read model could not be written");
        let request = FollowerRequest::ChangeFollowRecord(Box::new(change), done);
        self.requests.send(request).await.map_err(|_| failed())?;
        is_done.await.map_err(|_| failed())
    }

    /// Since when all that was stored is known to be in the log or left over. What is older is left
    /// alone, and said.
    pub(super) async fn complete_since(
        &self,
        workspace: &WorkspaceName,
        stored: &[Millis],
    ) -> Result<Millis, Rejection> {
        let (local, now) = (self.follow_record()?, self.now());
        let start = self.start.since(local, now);
        let is_whole = |from: &Millis| {
            let mut later = stored.iter().filter(|at| *at >= from);
            *from >= start.at || !later.any(|at| start.is_between(*at))
        };
        let known = local.complete_from.filter(is_whole);
        let complete_from = if let Some(known) = known {
            known
        } else {
            self.know(move |local| FollowRecord {
                followed: local.followed.or(Some(start.at)),
                complete_from: Some(start.at),
                ..local
            })
            .await?;
            start.at
        };
        let is_left = |at: &&Millis| **at < complete_from && now.0 > at.0 + limits::ORPHAN_MS;
        let left = stored.iter().filter(is_left).count();
        // Said by the service that found it; whoever starts it again has read it.
        let words = (left > 0 && complete_from >= start.at).then(|| {
            format!(
                "{left} stored values belong to no entry, and may be of entries that the log has lost: \
                 is its end missing? They are left alone"
            )
        });
        self.context.health.set_orphans(workspace, words);
        Ok(complete_from)
    }
}
