//! Whether the log is whole, as far as this console knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use keyroll_client::Client;
use keyroll_client::ClientError;
use keyroll_core::{Code, Index, Millis, TreeSize, WorkspaceName};
use keyroll_wire::time::now;
use tokio::sync::Notify;
use tokio::time::timeout;

mod chip;

/// A check older than this, with entries after it, is stale: 15 minutes.
const FRESH_MS: u64 = 15 * 60 * 1_000;

/// Looks follow each other no faster than this, and take at most one part in [`SHARE`] of the time.
const PAUSE_MS: u64 = 1_000;
const SHARE: u64 = 50;
/// Looks follow one that came to nothing no faster than this: what stood in its way may be gone.
const RETRY_MS: u64 = 10_000;

/// A page waits so long for a look at a log of so few entries: then it says what is true now. A
/// longer log is looked at while people read.
const WAIT: Duration = Duration::from_millis(100);
const SHORT: u64 = 2_000;

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
    /// Being checked. What was known before stays in force until it is known better; `asked` when
    /// somebody waits for the answer.
    Verifying {
        before: Option<Box<Known>>,
        asked: bool,
    },
    /// Whole at that time. `whole` when every commit was looked at, not the checkpoint alone.
    Verified {
        entries: u64,
        at: Millis,
        whole: bool,
        took_ms: u64,
    },
    Failed(Flaw),
    /// It could not be found out, for this reason.
    Unknown {
        at: Millis,
        why: String,
        took_ms: u64,
    },
}

impl Known {
    /// What is in force: while it is being checked, what was known before.
    pub(super) fn settled(&self) -> Option<&Self> {
        match self {
            Self::Verifying { before, .. } => before.as_deref(),
            known => Some(known),
        }
    }

    /// What is known when this was found out after something else. Only a look at every commit
    /// takes a flaw back.
    fn after(self, before: Option<Self>) -> Self {
        match (before, self) {
            (
                Some(failed @ Self::Failed(_)),
                Self::Unknown { .. } | Self::Verified { whole: false, .. },
            ) => failed,
            (_, found) => found,
        }
    }
}

/// What is known of every workspace.
#[derive(Default)]
pub(crate) struct Verification {
    all: Mutex<HashMap<WorkspaceName, Known>>,
    ended: Notify,
}

impl Verification {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceName, Known>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled<T>(
        &self,
        workspace: &WorkspaceName,
        read: impl FnOnce(&Known) -> Option<T>,
    ) -> Option<T> {
        self.lock()
            .get(workspace)
            .and_then(Known::settled)
            .and_then(read)
    }

    /// Whether the log is known to be damaged, so that nothing is to be written.
    pub(crate) fn failed(&self, workspace: &WorkspaceName) -> bool {
        self.flaw(workspace).is_some()
    }

    /// The flaw for the banner.
    pub(crate) fn flaw(&self, workspace: &WorkspaceName) -> Option<Flaw> {
        self.settled(workspace, |known| match known {
            Known::Failed(flaw) => Some(flaw.clone()),
            _ => None,
        })
    }

    /// Entries below this were checked, one by one.
    pub(crate) fn entries(&self, workspace: &WorkspaceName) -> u64 {
        let entries = self.settled(workspace, |known| match known {
            Known::Verified { entries, whole, .. } => whole.then_some(*entries),
            _ => None,
        });
        entries.unwrap_or(0)
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
            // What somebody else found by looking closer stays, as long as it is fresh.
            Some(Known::Verified {
                whole: true, at, ..
            }) if !audits && now().0.saturating_sub(at.0) < FRESH_MS => false,
            Some(Known::Verified {
                entries,
                at,
                took_ms,
                ..
            }) => {
                let pause = PAUSE_MS.max(took_ms.saturating_mul(SHARE));
                *entries < size.0 && now().0.saturating_sub(at.0) > pause
            }
            Some(Known::Unknown { at, took_ms, .. }) => {
                let pause = RETRY_MS.max(took_ms.saturating_mul(SHARE));
                now().0.saturating_sub(at.0) > pause
            }
            Some(Known::Verifying { .. } | Known::Failed(_)) => false,
        }
    }

    fn begin(&self, workspace: &WorkspaceName, asked: bool) -> bool {
        let mut all = self.lock();
        let before = match all.remove(workspace) {
            Some(Known::Verifying { before, asked: was }) => {
                let asked = asked || was;
                all.insert(workspace.clone(), Known::Verifying { before, asked });
                return false;
            }
            before => before.map(Box::new),
        };
        all.insert(workspace.clone(), Known::Verifying { before, asked });
        true
    }

    fn end(&self, workspace: &WorkspaceName, found: Known) {
        let mut all = self.lock();
        let kept = match all.remove(workspace) {
            // What came to light meanwhile was not looked at.
            Some(failed @ Known::Failed(_)) => failed,
            Some(Known::Verifying { before, .. }) => found.after(before.map(|before| *before)),
            _ => found,
        };
        all.insert(workspace.clone(), kept);
        drop(all);
        self.ended.notify_waiters();
    }

    fn is_verifying(&self, workspace: &WorkspaceName) -> bool {
        matches!(self.lock().get(workspace), Some(Known::Verifying { .. }))
    }

    /// Begins a look in the background where one is due, and waits a moment for it where it is
    /// short.
    pub(crate) async fn look(
        self: &Arc<Self>,
        verify: &Verify,
        client: &Client,
        (workspace, size): (&WorkspaceName, TreeSize),
        audits: bool,
    ) {
        if !self.is_due(workspace, audits, size) {
            return;
        }
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        self.begin_check(verify, client, (workspace, audits), false);
        if size.0 <= SHORT && self.is_verifying(workspace) {
            // Without an end in time the chip says what was known before.
            let _ = timeout(WAIT, ended).await;
        }
    }

    /// Checks the log in the background because somebody asked for it.
    pub(crate) fn start(
        self: &Arc<Self>,
        verify: &Verify,
        client: &Client,
        workspace: &WorkspaceName,
        audits: bool,
    ) {
        self.begin_check(verify, client, (workspace, audits), true);
    }

    fn begin_check(
        self: &Arc<Self>,
        verify: &Verify,
        client: &Client,
        (workspace, audits): (&WorkspaceName, bool),
        asked: bool,
    ) {
        if !self.begin(workspace, asked) {
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
            if let Known::Verified { at, took_ms, .. } | Known::Unknown { at, took_ms, .. } =
                &mut found
            {
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
    Known::Unknown {
        at: now(),
        why: error.to_string(),
        took_ms: 0,
    }
}

/// Whether a code says that the log does not stand to what was seen or signed.
pub(crate) const fn is_doubt(code: Code) -> bool {
    matches!(code, Code::Rollback | Code::Fork | Code::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> WorkspaceName {
        "demo".parse().expect("name")
    }

    fn verified(entries: u64, flaws: Vec<Flaw>) -> Known {
        whole(Ok(Verified { entries, flaws }))
    }

    #[test]
    fn a_damaged_log_stays_so_while_it_is_looked_at_again() {
        let (all, workspace) = (Verification::default(), workspace());
        assert!(!all.failed(&workspace));
        all.fail(&workspace, "why");
        assert!(all.failed(&workspace) && all.begin(&workspace, true));
        assert!(all.failed(&workspace) && !all.begin(&workspace, true));
        all.end(&workspace, verified(3, Vec::new()));
        assert!(!all.failed(&workspace));
        assert_eq!(all.entries(&workspace), 3);
        assert!(all.begin(&workspace, false));
        assert_eq!(all.entries(&workspace), 3, "still, while it is checked");
    }

    #[test]
    fn only_a_look_at_every_commit_takes_a_flaw_back() {
        let (all, workspace) = (Verification::default(), workspace());
        let weaker = [
            Known::Verified {
                entries: 3,
                at: now(),
                whole: false,
                took_ms: 0,
            },
            Known::Unknown {
                at: now(),
                why: "no answer".to_owned(),
                took_ms: 0,
            },
        ];
        for found in weaker {
            all.fail(&workspace, "why");
            assert!(all.begin(&workspace, true));
            all.end(&workspace, found);
            assert!(all.failed(&workspace));
        }
        assert!(all.begin(&workspace, true));
        all.fail(&workspace, "what came to light meanwhile");
        all.end(&workspace, verified(3, Vec::new()));
        assert!(all.failed(&workspace));
    }

    #[test]
    fn looks_are_due_when_there_is_more_and_it_is_cheap() {
        let (all, workspace) = (Verification::default(), workspace());
        assert!(all.is_due(&workspace, true, TreeSize(0)));
        let known = |ago: u64, took_ms| Known::Verified {
            entries: 5,
            at: Millis(now().0 - ago),
            whole: true,
            took_ms,
        };
        for (ago, took_ms, size, due) in [
            (PAUSE_MS + 500, 1, 6, true),
            (PAUSE_MS + 500, 1, 5, false),
            (0, 1, 6, false),
            (PAUSE_MS + 500, 1_000, 6, false),
            (60_000, 1_000, 6, true),
        ] {
            all.end(&workspace, known(ago, took_ms));
            assert_eq!(all.is_due(&workspace, true, TreeSize(size)), due);
        }
        // What came to nothing is tried again before long, however large the log is.
        for (ago, took_ms, due) in [
            (RETRY_MS / 2, 1, false),
            (RETRY_MS + 500, 1, true),
            (RETRY_MS + 500, 1_000, false),
            (60_000, 1_000, true),
        ] {
            let why = String::new();
            let at = Millis(now().0 - ago);
            all.end(&workspace, Known::Unknown { at, why, took_ms });
            assert_eq!(all.is_due(&workspace, true, TreeSize(0)), due, "{ago}");
        }
    }
}
