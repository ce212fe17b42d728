//! Renews credentials before they end, on a second connection.

use std::sync::{Arc, Weak};
use std::time::Duration;

use keyroll_core::Backoff;

use super::Link;
use super::access::Access;
use super::moment::Moment;

/// Pauses between two attempts while the ledger cannot be reached.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often to look at the clocks: a timer stands still while the machine sleeps.
const LOOK: Duration = Duration::from_secs(10);

/// Waits until the present credentials are due, and replaces them. That starts the next wait.
pub(super) async fn run(link: Weak<Link>, due: Moment) {
    while !due.is_past() && link.strong_count() > 0 {
        tokio::time::sleep(due.left().min(LOOK)).await;
    }
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    // A client that is gone needs no credentials.
    while let Some(link) = link.upgrade() {
        if link.renewed(due).await {
            return;
        }
        drop(link);
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

impl Link {
    /// Whether nothing is left to do: the credentials that were due are renewed, by this or another caller.
    async fn renewed(self: &Arc<Self>, due: Moment) -> bool {
        let _turn = self.turn.lock().await;
        let is_due = |at: Moment| at.at <= due.at;
        let present = self.current().and_then(|live| live.renew_at());
        if !present.is_some_and(is_due) {
            return true;
        }
        // A file that nobody has renewed yet is read again later.
        let unchanged = match &self.access {
            Access::File(file) => super::access::read(file)
                .is_ok_and(|timed| self.newest_jwt().as_deref() == Some(timed.creds.jwt())),
            Access::Url | Access::Issued => false,
        };
        !unchanged && self.replace(None).await.is_ok()
    }
}
