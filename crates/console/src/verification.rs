//! Whether the log is whole, as far as this console knows: the chip on every page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use keyroll_api::Client;
use keyroll_api::client::{ClientError, now};
use keyroll_core::{Code, Index, Millis, TreeSize, WorkspaceName};
use maud::{Markup, html};

use crate::page::icon;
use crate::words::{ago, moment};

/// A check older than this, with entries after it, is stale: 15 minutes.
const FRESH_MS: u64 = 15 * 60 * 1_000;

/// Looks follow each other no faster than this, and take at most one part in [`SHARE`] of the time.
const PAUSE_MS: u64 = 10_000;
const SHARE: u64 = 50;

/// Something that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where, if it has a place.
    pub index: Option<Index>,
    /// What.
    pub words: String,
}

/// What following the chain of commits from the first to the last came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries were checked.
    pub entries: u64,
    /// What is wrong; nothing when the log is whole.
    pub flaws: Vec<Flaw>,
}

/// Fetches a workspace's commits as somebody and checks them all. The console knows no log format:
/// whoever starts it gives it this.
pub type Verify = Arc<
    dyn Fn(Client, WorkspaceName) -> BoxFuture<'static, Result<Verified, ClientError>>
        + Send
        + Sync,
>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Being checked; what was known before stays in force when it was bad.
    Verifying {
        failed: Option<Flaw>,
    },
    /// Whole at that time. `whole` when every commit was looked at, not the checkpoint alone.
    Verified {
        entries: u64,
        at: Millis,
        whole: bool,
        took_ms: u64,
    },
    Failed(Flaw),
    /// It could not be found out.
    Unknown {
        at: Millis,
    },
}

/// What is known of every workspace.
#[derive(Default)]
pub(crate) struct Verification(Mutex<HashMap<WorkspaceName, Known>>);

impl Verification {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log is known to be damaged, so that nothing is to be written.
    pub(crate) fn failed(&self, workspace: &WorkspaceName) -> bool {
        matches!(
            self.lock().get(workspace),
            Some(Known::Failed(_) | Known::Verifying { failed: Some(_) })
        )
    }

    /// The flaw for the banner.
    pub(crate) fn flaw(&self, workspace: &WorkspaceName) -> Option<Flaw> {
        match self.lock().get(workspace) {
            Some(Known::Failed(flaw) | Known::Verifying { failed: Some(flaw) }) => {
                Some(flaw.clone())
            }
            _ => None,
        }
    }

    /// Entries below this were checked.
    pub(crate) fn entries(&self, workspace: &WorkspaceName) -> u64 {
        match self.lock().get(workspace) {
            Some(Known::Verified { entries, .. }) => *entries,
            _ => 0,
        }
    }

    /// Keeps in mind that an answer did not stand to what was seen before.
    pub(crate) fn fail(&self, workspace: &WorkspaceName, words: &str) {
        let flaw = Flaw {
            index: None,
            words: words.to_owned(),
        };
        self.lock().insert(workspace.clone(), Known::Failed(flaw));
    }

    /// Whether a look is due: nothing is known, less than this asker can find out, or there is more
    /// than was looked at and looking is cheap enough.
    fn is_due(&self, workspace: &WorkspaceName, audits: bool, size: TreeSize) -> bool {
        match self.lock().get(workspace) {
            None => true,
            Some(Known::Verified { whole: false, .. }) if audits => true,
            Some(Known::Verified {
                entries,
                at,
                took_ms,
                ..
            }) => {
                let pause = PAUSE_MS.max(took_ms.saturating_mul(SHARE));
                *entries < size.0 && now().0.saturating_sub(at.0) > pause
            }
            Some(Known::Unknown { at }) => now().0.saturating_sub(at.0) > FRESH_MS,
            Some(Known::Verifying { .. } | Known::Failed(_)) => false,
        }
    }

    fn begin(&self, workspace: &WorkspaceName) -> bool {
        let mut all = self.lock();
        let failed = match all.get(workspace) {
            Some(Known::Verifying { .. }) => return false,
            Some(Known::Failed(flaw)) => Some(flaw.clone()),
            _ => None,
        };
        all.insert(workspace.clone(), Known::Verifying { failed });
        true
    }

    fn end(&self, workspace: &WorkspaceName, found: Known) {
        self.lock().insert(workspace.clone(), found);
    }

    fn chip(&self, workspace: &WorkspaceName, size: TreeSize, now: Millis) -> Chip {
        match self.lock().get(workspace) {
            None | Some(Known::Unknown { .. }) => Chip::new(
                "stale",
                "Not verified".to_owned(),
                "The log has not been checked yet.".to_owned(),
            ),
            Some(Known::Verifying { .. }) => Chip::new(
                "verifying",
                "Verifying…".to_owned(),
                "Every commit is being checked.".to_owned(),
            ),
            Some(Known::Failed(flaw)) => Chip::new(
                "failed",
                flaw.index.map_or_else(
                    || "Failed".to_owned(),
                    |index| format!("Failed at #{index}"),
                ),
                flaw.words.clone(),
            ),
            Some(Known::Verified {
                entries, at, whole, ..
            }) => {
                let last = entries.saturating_sub(1);
                let old = now.0.saturating_sub(at.0) > FRESH_MS && *entries < size.0;
                let what = if *whole {
                    "Every commit's signature, place and root was checked"
                } else {
                    "The signed checkpoint extends everything seen before"
                };
                let detail = format!("{what} at {}.", moment(*at));
                let words = format!("Verified to #{last} ({})", ago(*at, now));
                if old {
                    Chip::new("stale", format!("Stale: {}", words.to_lowercase()), detail)
                } else {
                    Chip::new("verified", words, detail)
                }
            }
        }
    }

    /// Begins a first look in the background where one is due.
    pub(crate) fn look(
        self: &Arc<Self>,
        verify: &Verify,
        client: &Client,
        (workspace, size): (&WorkspaceName, TreeSize),
        audits: bool,
    ) {
        if self.is_due(workspace, audits, size) {
            self.start(verify, client, workspace, audits);
        }
    }

    /// Checks the log in the background, unless somebody is at it.
    pub(crate) fn start(
        self: &Arc<Self>,
        verify: &Verify,
        client: &Client,
        workspace: &WorkspaceName,
        audits: bool,
    ) {
        if !self.begin(workspace) {
            return;
        }
        let (this, verify) = (Arc::clone(self), Arc::clone(verify));
        let (client, workspace) = (client.clone(), workspace.clone());
        tokio::spawn(async move {
            let begun = now();
            let mut found = if audits {
                whole(verify(client, workspace.clone()).await)
            } else {
                checkpoint(&client, &workspace).await
            };
            if let Known::Verified { at, took_ms, .. } = &mut found {
                *took_ms = at.0.saturating_sub(begun.0);
            }
            this.end(&workspace, found);
        });
    }
}

fn whole(result: Result<Verified, ClientError>) -> Known {
    match result {
        Ok(verified) => match verified.flaws.into_iter().next() {
            Some(flaw) => Known::Failed(flaw),
            None => Known::Verified {
                entries: verified.entries,
                at: now(),
                whole: true,
                took_ms: 0,
            },
        },
        Err(error) => from_error(&error),
    }
}

/// What anybody may check who may not read the log.
async fn checkpoint(client: &Client, workspace: &WorkspaceName) -> Known {
    match client.checkpoint(workspace).await {
        Ok((_, checkpoint)) => Known::Verified {
            entries: checkpoint.size,
            at: now(),
            whole: false,
            took_ms: 0,
        },
        Err(error) => from_error(&error),
    }
}

fn from_error(error: &ClientError) -> Known {
    if is_doubt(error.code()) {
        return Known::Failed(Flaw {
            index: None,
            words: error.to_string(),
        });
    }
    Known::Unknown { at: now() }
}

/// Whether a code says that the log does not stand to what was seen or signed.
pub(crate) const fn is_doubt(code: Code) -> bool {
    matches!(code, Code::Rollback | Code::Fork | Code::Corrupt)
}

/// What the chip says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) state: &'static str,
    pub(crate) words: String,
    pub(crate) detail: String,
}

impl Chip {
    fn new(state: &'static str, words: String, detail: String) -> Self {
        Self {
            state,
            words,
            detail,
        }
    }

    pub(crate) fn markup(&self, address: &str) -> Markup {
        let symbol = match self.state {
            "verified" => "check",
            "failed" => "alert",
            _ => "clock",
        };
        html! {
            span #chip .chip role="status" data-state=(self.state) data-from=(address) title=(self.detail) {
                (icon(symbol)) span { (self.words) }
            }
        }
    }
}

impl crate::visit::Visit {
    pub(crate) fn chip(&self) -> Chip {
        self.app
            .verification
            .chip(&self.workspace, self.size, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(known: Known, size: u64, now: u64) -> Chip {
        let all = Verification::default();
        let workspace: WorkspaceName = "demo".parse().expect("name");
        all.end(&workspace, known);
        all.chip(&workspace, TreeSize(size), Millis(now))
    }

    #[test]
    fn the_chip_has_four_states() {
        let verified = Known::Verified {
            entries: 10,
            at: Millis(0),
            whole: true,
            took_ms: 0,
        };
        let fresh = said(verified.clone(), 12, 60_000);
        assert_eq!(
            (fresh.state, fresh.words.as_str()),
            ("verified", "Verified to #9 (1 min ago)")
        );
        let later = FRESH_MS + 60_000;
        assert_eq!(said(verified.clone(), 10, later).state, "verified");
        assert_eq!(said(verified, 11, later).state, "stale");
        assert_eq!(
            said(Known::Verifying { failed: None }, 1, 0).state,
            "verifying"
        );
        let failed = said(
            Known::Failed(Flaw {
                index: Some(Index(7)),
                words: "why".to_owned(),
            }),
            1,
            0,
        );
        assert_eq!(
            (failed.state, failed.words.as_str()),
            ("failed", "Failed at #7")
        );
    }

    #[test]
    fn a_damaged_log_stays_so_while_it_is_looked_at_again() {
        let all = Verification::default();
        let workspace: WorkspaceName = "demo".parse().expect("name");
        assert!(!all.failed(&workspace));
        all.fail(&workspace, "why");
        assert!(all.failed(&workspace) && all.begin(&workspace));
        assert!(all.failed(&workspace) && !all.begin(&workspace));
        let whole = whole(Ok(Verified {
            entries: 3,
            flaws: Vec::new(),
        }));
        all.end(&workspace, whole);
        assert!(!all.failed(&workspace));
    }
}
