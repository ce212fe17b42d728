//! Finding audit rows by index and by time.

use keyroll_core::{Index, Millis};

use super::schema::{BY_ACTOR, BY_KIND, BY_RUN, BY_SECRET, DENIED_NAMES, TIMES};
use super::{ProjectionError, WorkspaceView};

/// Which index to scan for audit rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditScan {
    /// All entries.
    All,
    /// Those about the secret with this ordinal.
    Secret(u32),
    /// Recorded refusals about a name (folded).
    Denied(String),
    /// Those of the actor with this ordinal.
    Actor(u32),
    /// Those with an event of this kind.
    Kind(u8),
    /// Those of the run with this key; see [`run_key`](super::run_key).
    Run(u64),
}

/// Indexes of entries, newest first.
pub type Indexes<'a> = Box<dyn Iterator<Item = Result<Index, ProjectionError>> + 'a>;

impl WorkspaceView<'_> {
    /// Indexes of audit rows, newest first, in `[from, until)`, read lazily.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn scan_audit(
        &self,
        scan: &AuditScan,
        (from, until): (u64, u64),
    ) -> Result<Indexes<'static>, ProjectionError> {
        let until = until.min(self.size().0);
        if from >= until {
            return Ok(Box::new(std::iter::empty()));
        }
        let (n, last) = (self.number(), until - 1);
        macro_rules! walk {
            ($table:expr, $key:expr) => {{
                let table = self.tx().open_table($table)?;
                let rows = table.range((n, $key, from)..=(n, $key, last))?.rev();
                Box::new(rows.map(|row| Ok(Index(row?.0.value().2))))
            }};
        }
        Ok(match scan {
            AuditScan::All => Box::new((from..until).rev().map(|index| Ok(Index(index)))),
            AuditScan::Secret(ordinal) => walk!(BY_SECRET, *ordinal),
            AuditScan::Run(key) => walk!(BY_RUN, *key),
            AuditScan::Denied(name) => walk!(DENIED_NAMES, name.as_str()),
            AuditScan::Actor(ordinal) => self.scan_windows(BY_ACTOR, *ordinal, (from, last))?,
            AuditScan::Kind(kind) => self.scan_windows(BY_KIND, u32::from(*kind), (from, last))?,
        })
    }

    /// The first index whose entry is later than `time`; the size when there is none.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn first_after(&self, time: Millis) -> Result<Index, ProjectionError> {
        let times = self.tx().open_table(TIMES)?;
        let Some(next) = time.0.checked_add(1) else {
            return Ok(Index(self.size().0));
        };
        let mut later = times.range((self.number(), next)..=(self.number(), u64::MAX))?;
        match later.next() {
            Some(row) => Ok(Index(row?.1.value())),
            None => Ok(Index(self.size().0)),
        }
    }
}
