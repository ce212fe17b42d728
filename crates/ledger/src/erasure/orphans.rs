//! Tells orphans that a crash left from values of entries that the log may have lost: a truncated
//! log can be restored, erased values cannot.

use std::sync::{Mutex, PoisonError};

use keyroll_core::{Millis, Rejection, WorkspaceName, limits};

use super::Eraser;
use crate::projection::{FollowRecord, ProjectionError};

/// How long after its last follow record a service may have stored something: it records every 30
/// s.
const RECORD_MARGIN_MS: u64 = 40 * 1_000;
/// How far the clocks of the service and of the vault may be apart.
const CLOCKS_MS: u64 = 5_000;
/// After a silence of this length the service did not follow: it was cut off, or stalled.
const SILENCE_MS: u64 = 2 * 60 * 1_000;

/// The time in which this service follows the log.
#[derive(Debug, Default)]
pub(crate) struct FollowIntervals(Mutex<Option<FollowInterval>>);

#[derive(Debug, Clone, Copy)]
struct FollowInterval {
    began: Millis,
    /// When the previous follow interval with the same read model ended.
    previous_end: Option<Millis>,
    /// When following was last recorded.
    last_recorded: Millis,
    /// Whether the vault was scanned in this interval.
    vault_scanned: bool,
}

impl FollowIntervals {
    fn with<T>(&self, run: impl FnOnce(&mut Option<FollowInterval>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut FollowInterval)) {
        self.with(|interval| interval.as_mut().map(change));
    }

    /// Notes that the vault was scanned.
    pub(super) fn vault_scanned(&self) {
        self.change(|interval| interval.vault_scanned = true);
    }

    /// The present interval. The first one continues what the read model has recorded.
    fn present(&self, record: FollowRecord, now: Millis) -> FollowInterval {
        let begin = |previous_end| FollowInterval {
            began: now,
            previous_end,
            last_recorded: now,
            vault_scanned: false,
        };
        self.with(|known| {
            let interval = match *known {
                None => {
                    let followed = record.complete_from.and(record.followed);
                    let margin = if record.ended {
                        CLOCKS_MS
                    } else {
                        RECORD_MARGIN_MS
                    };
                    begin(followed.map(|followed| Millis(followed.0 + margin)))
                }
                Some(before) if now.0 > before.last_recorded.0 + SILENCE_MS => {
                    begin(Some(Millis(before.last_recorded.0 + RECORD_MARGIN_MS)))
                }
                Some(present) => present,
            };
            *known = Some(interval);
            interval
        })
    }
}

impl FollowInterval {
    /// Whether a value was stored while no service followed the log with this read model. Another
    /// service stored it then, and this one knows only the entries that the log still has.
    fn is_in_gap(&self, stored: Millis) -> bool {
        let after = self.previous_end.is_some_and(|end| stored > end);
        after && stored.0 + CLOCKS_MS < self.began.0
    }
}

impl Eraser {
    /// Records for the next start that this service follows the log. It records nothing before the
    /// vault was scanned: the next start would erase orphans that this one must leave alone.
    /// `ended` marks the last record of an orderly end.
    ///
    /// # Errors
    /// When the read model cannot be written.
    pub async fn record_following(&self, ended: bool) -> Result<(), Rejection> {
        if self.context.health.serving().is_err() {
            return Ok(());
        }
        let (record, now) = (self.follow_record()?, self.context.now());
        if !self.intervals.present(record, now).vault_scanned {
            return Ok(());
        }
        self.intervals
            .change(|interval| interval.last_recorded = now);
        let change = move |record| FollowRecord {
            followed: Some(now),
            ended,
            ..record
        };
        self.follower.change_follow_record(change).await
    }

    fn follow_record(&self) -> Result<FollowRecord, ProjectionError> {
        self.context.projection().follow_record()
    }

    /// The time from which every stored value is known to be in the log or an orphan of a crash.
    /// Older orphans are left alone and reported.
    pub(super) async fn complete_since(
        &self,
        workspace: &WorkspaceName,
        stored: &[Millis],
    ) -> Result<Millis, Rejection> {
        let (record, now) = (self.follow_record()?, self.context.now());
        let interval = self.intervals.present(record, now);
        let began = interval.began;
        let is_complete = |from: &Millis| {
            let mut later = stored.iter().filter(|at| *at >= from);
            *from >= began || !later.any(|at| interval.is_in_gap(*at))
        };
        let known = record.complete_from.filter(is_complete);
        let complete_from = if let Some(known) = known {
            known
        } else {
            let change = move |record: FollowRecord| FollowRecord {
                followed: record.followed.or(Some(began)),
                complete_from: Some(began),
                ..record
            };
            self.follower.change_follow_record(change).await?;
            began
        };
        let is_left = |at: &&Millis| **at < complete_from && now.0 > at.0 + limits::ORPHAN_MS;
        let left = stored.iter().filter(is_left).count();
        // Reported by the service that found them: whoever restarts it has read the report.
        let report = (left > 0 && complete_from >= began).then(|| {
            format!(
                "{left} stored values belong to no entry, and may be of entries that the log has lost: \
                 is its end missing? They are left alone"
            )
        });
        self.context.health.set_orphans(workspace, report);
        Ok(complete_from)
    }
}
