//! What every page says of it: the chip, and the words behind it.

use keyroll_core::{Millis, TreeSize, WorkspaceName};
use maud::{Markup, html};

use super::{FRESH_MS, Known, Verification};
use crate::page::icon;
use crate::visit::Visit;
use crate::words::{ago, moment, sentence};

/// What the chip says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) state: &'static str,
    pub(crate) words: String,
    /// How long ago, which changes all the time and is announced to nobody.
    pub(crate) when: String,
    pub(crate) detail: String,
}

impl Chip {
    fn new(state: &'static str, words: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            state,
            words: words.into(),
            when: String::new(),
            detail: detail.into(),
        }
    }

    fn of(known: Option<&Known>, size: TreeSize, now: Millis) -> Self {
        match known {
            Some(Known::Verifying { before, asked })
                if *asked || !matches!(before.as_deref(), Some(Known::Verified { .. })) =>
            {
                Self::new("verifying", "Verifying…", "Every commit is being checked.")
            }
            // Nobody asked: what was known is still true, and a chip that flickers says nothing.
            Some(Known::Verifying { before, .. }) => Self::of(before.as_deref(), size, now),
            None => Self::new("stale", "Not verified", "The log has not been checked yet."),
            Some(Known::Unknown { why, .. }) => Self::new(
                "stale",
                "Not verified",
                sentence(&format!("the log could not be checked: {why}")),
            ),
            Some(Known::Failed(flaw)) => {
                let at = flaw.index.map(|index| format!("Failed at #{index}"));
                Self::new(
                    "failed",
                    at.unwrap_or_else(|| "Failed".to_owned()),
                    sentence(&flaw.words),
                )
            }
            Some(Known::Verified {
                entries, at, whole, ..
            }) => {
                let last = entries.saturating_sub(1);
                let old = now.0.saturating_sub(at.0) > FRESH_MS && *entries < size.0;
                let what = if *whole {
                    "Every commit’s signature, place and root was checked"
                } else {
                    "The signed checkpoint extends everything seen before"
                };
                let detail = format!("{what}, up to #{last}, at {}.", moment(*at));
                let chip = if old {
                    Self::new("stale", format!("Stale: verified to #{last}"), detail)
                } else {
                    Self::new("verified", format!("Verified to #{last}"), detail)
                };
                let when = ago(*at, now);
                Self { when, ..chip }
            }
        }
    }

    pub(crate) fn markup(&self, visit: &Visit) -> Markup {
        let symbol = match self.state {
            "verified" => "check",
            "failed" => "alert",
            _ => "clock",
        };
        html! {
            a #chip .chip href=(visit.path("audit")) data-state=(self.state) data-from=(visit.path("verification")) title=(self.detail) {
                (icon(symbol)) span.words role="status" { (self.words) } span.when { (self.when) }
            }
        }
    }
}

impl Verification {
    fn chip(&self, workspace: &WorkspaceName, size: TreeSize, now: Millis) -> Chip {
        Chip::of(self.lock().get(workspace), size, now)
    }
}

impl Visit {
    pub(crate) fn chip(&self) -> Chip {
        self.app
            .verification
            .chip(&self.workspace, self.size, self.now)
    }
}

#[cfg(test)]
mod tests {
    use keyroll_core::Index;

    use super::super::Flaw;
    use super::*;

    fn said(known: &Known, size: u64, now: u64) -> (&'static str, String) {
        let chip = Chip::of(Some(known), TreeSize(size), Millis(now));
        (
            chip.state,
            format!("{} {}", chip.words, chip.when).trim().to_owned(),
        )
    }

    fn verified() -> Known {
        Known::Verified {
            entries: 10,
            at: Millis(0),
            whole: true,
            took_ms: 0,
        }
    }

    #[test]
    fn the_chip_has_four_states() {
        let fresh = said(&verified(), 12, 60_000);
        assert_eq!(fresh, ("verified", "Verified to #9 1 min ago".to_owned()));
        let later = FRESH_MS + 60_000;
        assert_eq!(said(&verified(), 10, later).0, "verified");
        let stale = said(&verified(), 11, later);
        assert_eq!(
            stale,
            ("stale", "Stale: verified to #9 16 min ago".to_owned())
        );
        let failed = Known::Failed(Flaw {
            index: Some(Index(7)),
            words: "why".to_owned(),
        });
        assert_eq!(said(&failed, 1, 0), ("failed", "Failed at #7".to_owned()));
    }

    #[test]
    fn it_says_verifying_where_somebody_waits_for_that() {
        let verifying = |before: Option<Known>, asked| {
            let before = before.map(Box::new);
            said(&Known::Verifying { before, asked }, 12, 60_000).0
        };
        assert_eq!(verifying(None, false), "verifying");
        assert_eq!(verifying(Some(verified()), true), "verifying");
        assert_eq!(verifying(Some(verified()), false), "verified");
    }
}
