//! Verification of each workspace's log, as far as this console knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use keyroll_client::Client;
use keyroll_client::ClientError;
use keyroll_core::{Index, TreeSize, WorkspaceName};
use keyroll_wire::time::now;
use tokio::sync::Notify;
use tokio::time::timeout;

mod badge;
mod status;

pub(crate) use badge::StatusBadge;
pub(crate) use status::is_log_error;
use status::{Status, check_checkpoint, full_check};

/// A page waits this long for the check of a log with at most [`SHORT`] entries, so that it shows
/// the new status. Longer logs are checked in the background.
const WAIT: Duration = Duration::from_millis(100);
const SHORT: u64 = 2_000;

/// Why a log does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationFailure {
    /// The entry, where the failure concerns one.
    pub index: Option<Index>,
    /// The reason.
    pub message: String,
}

/// The result of checking the chain of commits from the first to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries were checked.
    pub entries: u64,
    /// The failures; none when the log verifies.
    pub failures: Vec<VerificationFailure>,
}

/// Fetches a workspace's commits under the client's identity and checks them all. The console knows
/// no log format, so its caller provides this.
pub type VerifyLog = Arc<
    dyn Fn(Client, WorkspaceName) -> BoxFuture<'static, Result<Verified, ClientError>>
        + Send
        + Sync,
>;

/// The verification status of every workspace's log.
#[derive(Default)]
pub(crate) struct Verification {
    workspaces: Mutex<HashMap<WorkspaceName, Status>>,
    check_ended: Notify,
}

impl Verification {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceName, Status>> {
        self.workspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        workspace: &WorkspaceName,
        read: impl FnOnce(&Status) -> Option<T>,
    ) -> Option<T> {
        self.lock()
            .get(workspace)
            .and_then(Status::in_force)
            .and_then(read)
    }

    /// Whether the log does not verify, so that nothing is written.
    pub(crate) fn failed(&self, workspace: &WorkspaceName) -> bool {
        self.failure(workspace).is_some()
    }

    /// Why the log does not verify.
    pub(crate) fn failure(&self, workspace: &WorkspaceName) -> Option<VerificationFailure> {
        self.read(workspace, |status| match status {
            Status::Failed(failure) => Some(failure.clone()),
            _ => None,
        })
    }

    /// How many entries, from the first, were each checked.
    pub(crate) fn entries(&self, workspace: &WorkspaceName) -> u64 {
        let entries = self.read(workspace, |status| match status {
            Status::Verified { entries, full, .. } => full.then_some(*entries),
            _ => None,
        });
        entries.unwrap_or(0)
    }

    /// Records that an answer contradicts the log.
    pub(crate) fn fail(&self, workspace: &WorkspaceName, message: &str) {
        let failure = VerificationFailure {
            index: None,
            message: message.to_owned(),
        };
        self.lock()
            .insert(workspace.clone(), Status::Failed(failure));
    }

    fn is_due(&self, workspace: &WorkspaceName, audits: bool, size: TreeSize) -> bool {
        self.lock()
            .get(workspace)
            .is_none_or(|status| status.is_due(audits, size))
    }

    fn begin(&self, workspace: &WorkspaceName, requested: bool) -> bool {
        let mut all = self.lock();
        let before = match all.remove(workspace) {
            Some(Status::Verifying {
                before,
                requested: was,
            }) => {
                let requested = requested || was;
                all.insert(workspace.clone(), Status::Verifying { before, requested });
                return false;
            }
            before => before.map(Box::new),
        };
        all.insert(workspace.clone(), Status::Verifying { before, requested });
        true
    }

    fn end(&self, workspace: &WorkspaceName, found: Status) {
        let mut all = self.lock();
        let status = match all.remove(workspace) {
            // This failure was recorded during the check, which may not have covered it.
            Some(failed @ Status::Failed(_)) => failed,
            Some(Status::Verifying { before, .. }) => found.after(before.map(|before| *before)),
            _ => found,
        };
        all.insert(workspace.clone(), status);
        drop(all);
        self.check_ended.notify_waiters();
    }

    fn is_verifying(&self, workspace: &WorkspaceName) -> bool {
        matches!(self.lock().get(workspace), Some(Status::Verifying { .. }))
    }

    /// Starts a check in the background where one is due, and waits a moment where the log is short.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        verify: &VerifyLog,
        client: &Client,
        (workspace, size): (&WorkspaceName, TreeSize),
        audits: bool,
    ) {
        if !self.is_due(workspace, audits, size) {
            return;
        }
        let ended = self.check_ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        self.check(verify, client, (workspace, audits), false);
        if size.0 <= SHORT && self.is_verifying(workspace) {
            // After the timeout the page shows the status before the check.
            let _ = timeout(WAIT, ended).await;
        }
    }

    /// Starts a check in the background because a person asked for it.
    pub(crate) fn start(
        self: &Arc<Self>,
        verify: &VerifyLog,
        client: &Client,
        workspace: &WorkspaceName,
        audits: bool,
    ) {
        self.check(verify, client, (workspace, audits), true);
    }

    fn check(
        self: &Arc<Self>,
        verify: &VerifyLog,
        client: &Client,
        (workspace, audits): (&WorkspaceName, bool),
        requested: bool,
    ) {
        if !self.begin(workspace, requested) {
            return;
        }
        let (this, verify) = (Arc::clone(self), Arc::clone(verify));
        let (client, workspace) = (client.clone(), workspace.clone());
        tokio::spawn(async move {
            let start = now();
            let found = if audits {
                full_check(verify(client, workspace.clone()).await)
            } else {
                check_checkpoint(&client, &workspace).await
            };
            this.end(&workspace, found.with_duration_since(start));
        });
    }
}

#[cfg(test)]
mod tests {
    use keyroll_core::Millis;

    use super::status::{PAUSE_MS, RETRY_MS};
    use super::*;

    fn workspace() -> WorkspaceName {
        "demo".parse().expect("name")
    }

    fn verified(entries: u64, failures: Vec<VerificationFailure>) -> Status {
        full_check(Ok(Verified { entries, failures }))
    }

    #[test]
    fn a_failure_stays_in_force_while_the_log_is_checked_again() {
        let (all, workspace) = (Verification::default(), workspace());
        assert!(!all.failed(&workspace));
        all.fail(&workspace, "why");
        assert!(all.failed(&workspace) && all.begin(&workspace, true));
        assert!(all.failed(&workspace) && !all.begin(&workspace, true));
        all.end(&workspace, verified(3, Vec::new()));
        assert!(!all.failed(&workspace));
        assert_eq!(all.entries(&workspace), 3);
        assert!(all.begin(&workspace, false));
        assert_eq!(all.entries(&workspace), 3, "in force while the check runs");
    }

    #[test]
    fn only_a_check_of_every_commit_clears_a_failure() {
        let (all, workspace) = (Verification::default(), workspace());
        let weaker = [
            Status::Verified {
                entries: 3,
                at: now(),
                full: false,
                took_ms: 0,
            },
            Status::Unknown {
                at: now(),
                reason: "no answer".to_owned(),
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
        all.fail(&workspace, "found meanwhile");
        all.end(&workspace, verified(3, Vec::new()));
        assert!(all.failed(&workspace));
    }

    #[test]
    fn a_check_is_due_when_there_are_more_entries_and_it_is_cheap() {
        let (all, workspace) = (Verification::default(), workspace());
        assert!(all.is_due(&workspace, true, TreeSize(0)));
        let known = |ago: u64, took_ms| Status::Verified {
            entries: 5,
            at: Millis(now().0 - ago),
            full: true,
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
        // A check without a result is soon repeated, however large the log is.
        for (ago, took_ms, due) in [
            (RETRY_MS / 2, 1, false),
            (RETRY_MS + 500, 1, true),
            (RETRY_MS + 500, 1_000, false),
            (60_000, 1_000, true),
        ] {
            let reason = String::new();
            let at = Millis(now().0 - ago);
            all.end(
                &workspace,
                Status::Unknown {
                    at,
                    reason,
                    took_ms,
                },
            );
            assert_eq!(all.is_due(&workspace, true, TreeSize(0)), due, "{ago}");
        }
    }
}
