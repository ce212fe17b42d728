//! Which of the values that no entry refers to are left over from a crash, and which may be those of
//! entries that are gone: the end of a log that was cut can be put back, its values could not.

use std::sync::atomic::{AtomicBool, Ordering};

use keyroll_core::{Millis, Rejection, WorkspaceName};

use super::broken;
use crate::ledger::Ledger;
use crate::projection::{Local, Projection, ProjectionError};

/// How long after a service last said that it followed the log it may have stored something.
const SAID_EVERY_MS: u64 = 2 * 60 * 1_000;
/// How far apart its clock and that of the vault may be.
const CLOCKS_MS: u64 = 5_000;

/// What the read model was when this service started.
#[derive(Debug)]
pub(crate) struct Start {
    at: Millis,
    followed: Option<Millis>,
    /// Whether the vault was looked through since.
    looked: AtomicBool,
}

impl Start {
    /// Looks at a read model that was just opened. One that nobody has followed the log with knows
    /// only what was in the log by now.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub(crate) fn with(projection: &Projection, at: Millis) -> Result<Self, ProjectionError> {
        let local = projection.local()?;
        let followed = local.whole_from.and(local.followed);
        if followed.is_none() {
            projection.set_local(Local {
                followed: Some(at),
                whole_from: Some(at),
            })?;
        }
        Ok(Self {
            at,
            followed,
            looked: AtomicBool::new(false),
        })
    }

    /// Says that the vault was looked through.
    pub(super) fn looked(&self) {
        self.looked.store(true, Ordering::Release);
    }

    /// Whether something was stored while no service followed the log with this read model: somebody
    /// else did, and of what became of it this one knows only what the log still has.
    fn is_between(&self, stored: Millis) -> bool {
        self.followed
            .is_some_and(|followed| stored.0 > followed.0 + SAID_EVERY_MS)
            && stored.0 + CLOCKS_MS < self.at.0
    }
}

impl Ledger {
    /// Says that it follows the log, for the next start; not before the vault was looked through, or
    /// what this start would have left alone the next one would erase.
    ///
    /// # Errors
    /// When the read model cannot be written.
    pub fn say_followed(&self) -> Result<(), Rejection> {
        let looked = self.start.looked.load(Ordering::Acquire);
        if !looked || self.shared.health.serving().is_err() {
            return Ok(());
        }
        let projection = self.projection();
        let said = projection.local().and_then(|local| {
            let followed = Some(self.now());
            projection.set_local(Local { followed, ..local })
        });
        said.map_err(|error| broken(&error))
    }

    /// Since when all that was stored is known to be in the log or left over; `None` for never. What
    /// is older is left alone, and said.
    pub(super) fn known_since(
        &self,
        workspace: &WorkspaceName,
        mut stored: impl Iterator<Item = Millis> + Clone,
    ) -> Result<Option<Millis>, Rejection> {
        let projection = self.projection();
        let local = projection.local().map_err(|error| broken(&error))?;
        let Some(mut since) = local.whole_from else {
            return Ok(None);
        };
        let all = stored.clone();
        if stored.any(|at| at >= since && self.start.is_between(at)) {
            since = self.start.at;
            let whole_from = Some(since);
            let said = projection.set_local(Local {
                whole_from,
                ..local
            });
            said.map_err(|error| broken(&error))?;
        }
        let left = all.filter(|at| *at < since).count();
        // Said by the service that found it; whoever starts it again has read it.
        let words = (left > 0 && since >= self.start.at).then(|| {
            format!(
                "{left} stored values belong to no entry, and may be of entries that the log has lost: \
                 is its end missing? They are left alone"
            )
        });
        self.shared.health.set_leftovers(workspace, words);
        Ok(Some(since))
    }
}
