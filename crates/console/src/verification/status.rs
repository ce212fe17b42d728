//! The verification status of one workspace's log.

use keyroll_client::{Client, ClientError};
use keyroll_core::{Code, Millis, TreeSize, WorkspaceName};
use keyroll_wire::time::now;

use super::{VerificationFailure, Verified};

/// A check older than this, with entries after it, is stale: 15 minutes.
pub(super) const FRESH_MS: u64 = 15 * 60 * 1_000;

/// Least time between two checks. Checks also take at most one part in [`SHARE`] of the time.
pub(super) const PAUSE_MS: u64 = 1_000;
const SHARE: u64 = 50;
/// Least time after a check without a result: its obstacle may be gone by then.
pub(super) const RETRY_MS: u64 = 10_000;

/// The verification status of one workspace's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// A check runs. `before` stays in force until it ends; `requested` when a person asked for it.
    Verifying {
        before: Option<Box<Status>>,
        requested: bool,
    },
    /// The log verified at that time. `full` when every commit was checked, not only the checkpoint.
    Verified {
        entries: u64,
        at: Millis,
        full: bool,
        took_ms: u64,
    },
    /// The log does not verify.
    Failed(VerificationFailure),
    /// The check had no result, for this reason.
    Unknown {
        at: Millis,
        reason: String,
        took_ms: u64,
    },
}

impl Status {
    /// The status in force: while a check runs, the one before it.
    pub(super) fn in_force(&self) -> Option<&Self> {
        match self {
            Self::Verifying { before, .. } => before.as_deref(),
            status => Some(status),
        }
    }

    /// The status after a check. Only a full check clears a failure.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match (before, self) {
            (
                Some(failed @ Self::Failed(_)),
                Self::Unknown { .. } | Self::Verified { full: false, .. },
            ) => failed,
            (_, found) => found,
        }
    }

    /// Whether a check is due: this caller can find out more, or there are more entries and a check
    /// is cheap enough.
    pub(super) fn is_due(&self, audits: bool, size: TreeSize) -> bool {
        match self {
            Self::Verified { full: false, .. } if audits => true,
            // Another caller's full check stays in force while it is fresh.
            Self::Verified { full: true, at, .. }
                if !audits && now().0.saturating_sub(at.0) < FRESH_MS =>
            {
                false
            }
            Self::Verified {
                entries,
                at,
                took_ms,
                ..
            } => {
                let pause = PAUSE_MS.max(took_ms.saturating_mul(SHARE));
                *entries < size.0 && now().0.saturating_sub(at.0) > pause
            }
            Self::Unknown { at, took_ms, .. } => {
                let pause = RETRY_MS.max(took_ms.saturating_mul(SHARE));
                now().0.saturating_sub(at.0) > pause
            }
            Self::Verifying { .. } | Self::Failed(_) => false,
        }
    }

    /// The same status with the time that the check took.
    pub(super) fn with_duration_since(mut self, start: Millis) -> Self {
        if let Self::Verified { at, took_ms, .. } | Self::Unknown { at, took_ms, .. } = &mut self {
            *took_ms = at.0.saturating_sub(start.0);
        }
        self
    }

    fn from_error(error: &ClientError) -> Self {
        if is_log_error(error.code()) {
            return Self::Failed(VerificationFailure {
                index: None,
                message: error.to_string(),
            });
        }
        Self::Unknown {
            at: now(),
            reason: error.to_string(),
            took_ms: 0,
        }
    }
}

/// The result of a check of every commit.
pub(super) fn full_check(result: Result<Verified, ClientError>) -> Status {
    match result {
        Ok(verified) => match verified.failures.into_iter().next() {
            Some(failure) => Status::Failed(failure),
            None => Status::Verified {
                entries: verified.entries,
                at: now(),
                full: true,
                took_ms: 0,
            },
        },
        Err(error) => Status::from_error(&error),
    }
}

/// The check for members who may not read the log: the signed checkpoint alone.
pub(super) async fn check_checkpoint(client: &Client, workspace: &WorkspaceName) -> Status {
    match client.checkpoint(workspace).await {
        Ok((_, checkpoint)) => Status::Verified {
            entries: checkpoint.size,
            at: now(),
            full: false,
            took_ms: 0,
        },
        Err(error) => Status::from_error(&error),
    }
}

/// Whether a code says that the log contradicts its signatures or an earlier checkpoint.
pub(crate) const fn is_log_error(code: Code) -> bool {
    matches!(code, Code::Rollback | Code::Fork | Code::Corrupt)
}
