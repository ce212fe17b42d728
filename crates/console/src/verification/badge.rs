//! The badge that shows the state of verification on every page.

use keyroll_core::{Millis, TreeSize, WorkspaceName};

use super::Verification;
use super::status::{FRESH_MS, Status};
use crate::format::{ago, moment, sentence};

/// The badge of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusBadge {
    pub(crate) state: &'static str,
    pub(crate) text: String,
    /// How long ago. It changes all the time, so screen readers do not announce it.
    pub(crate) when: String,
    pub(crate) detail: String,
}

impl StatusBadge {
    fn new(state: &'static str, text: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            state,
            text: text.into(),
            when: String::new(),
            detail: detail.into(),
        }
    }

    fn of(status: Option<&Status>, size: TreeSize, now: Millis) -> Self {
        match status {
            Some(Status::Verifying { before, requested })
                if *requested || !matches!(before.as_deref(), Some(Status::Verified { .. })) =>
            {
                Self::new("verifying", "Verifying…", "Every commit is being checked.")
            }
            // Nobody asked for this check: the status before it is still true, and the badge does not
            // flicker.
            Some(Status::Verifying { before, .. }) => Self::of(before.as_deref(), size, now),
            None => Self::new("stale", "Not verified", "The log has not been checked yet."),
            Some(Status::Unknown { reason, .. }) => Self::new(
                "stale",
                "Not verified",
                sentence(&format!("the log could not be checked: {reason}")),
            ),
            Some(Status::Failed(failure)) => {
                let at = failure.index.map(|index| format!("Failed at #{index}"));
                Self::new(
                    "failed",
                    at.unwrap_or_else(|| "Failed".to_owned()),
                    sentence(&failure.message),
                )
            }
            Some(Status::Verified {
                entries, at, full, ..
            }) => {
                let last = entries.saturating_sub(1);
                let old = now.0.saturating_sub(at.0) > FRESH_MS && *entries < size.0;
                let what = if *full {
                    "Every commit’s signature, position and root was checked"
                } else {
                    "The signed checkpoint extends everything seen before"
                };
                let detail = format!("{what}, up to #{last}, at {}.", moment(*at));
                let badge = if old {
                    Self::new("stale", format!("Stale: verified to #{last}"), detail)
                } else {
                    Self::new("verified", format!("Verified to #{last}"), detail)
                };
                let when = ago(*at, now);
                Self { when, ..badge }
            }
        }
    }
}

impl Verification {
    pub(crate) fn badge(
        &self,
        workspace: &WorkspaceName,
        size: TreeSize,
        now: Millis,
    ) -> StatusBadge {
        StatusBadge::of(self.lock().get(workspace), size, now)
    }
}

#[cfg(test)]
mod tests {
    use keyroll_core::Index;

    use super::*;
    use crate::verification::VerificationFailure;

    fn shown(status: &Status, size: u64, now: u64) -> (&'static str, String) {
        let badge = StatusBadge::of(Some(status), TreeSize(size), Millis(now));
        (
            badge.state,
            format!("{} {}", badge.text, badge.when).trim().to_owned(),
        )
    }

    fn verified() -> Status {
        Status::Verified {
            entries: 10,
            at: Millis(0),
            full: true,
            took_ms: 0,
        }
    }

    #[test]
    fn the_badge_has_four_states() {
        let fresh = shown(&verified(), 12, 60_000);
        assert_eq!(fresh, ("verified", "Verified to #9 1 min ago".to_owned()));
        let later = FRESH_MS + 60_000;
        assert_eq!(shown(&verified(), 10, later).0, "verified");
        let stale = shown(&verified(), 11, later);
        assert_eq!(
            stale,
            ("stale", "Stale: verified to #9 16 min ago".to_owned())
        );
        let failed = Status::Failed(VerificationFailure {
            index: Some(Index(7)),
            message: "why".to_owned(),
        });
        assert_eq!(shown(&failed, 1, 0), ("failed", "Failed at #7".to_owned()));
    }

    #[test]
    fn it_shows_verifying_where_a_person_waits_for_the_check() {
        let verifying = |before: Option<Status>, requested| {
            let before = before.map(Box::new);
            shown(&Status::Verifying { before, requested }, 12, 60_000).0
        };
        assert_eq!(verifying(None, false), "verifying");
        assert_eq!(verifying(Some(verified()), true), "verifying");
        assert_eq!(verifying(Some(verified()), false), "verified");
    }
}
