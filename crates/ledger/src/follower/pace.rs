//! How often the read model is written while commits keep coming. A transaction costs the same
//! whether it has one commit or fifty, so there is a pause between them; whoever waits for the
//! read model ends it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Between the beginnings of two transactions, unless somebody waits. None: the keeper reads the read
/// model without saying so, and a pause would show it the state before its own last entry.
pub(super) const PAUSE: Duration = Duration::ZERO;

/// Who waits for the read model.
#[derive(Debug, Default)]
pub struct Pace {
    waiting: AtomicUsize,
    came: Notify,
}

/// Somebody waits, as long as this lives.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Pace);

impl Pace {
    /// Says that the read model is waited for.
    #[must_use]
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.came.notify_one();
        Waiting(self)
    }

    /// Resolves once somebody waits.
    pub(super) async fn hurried(&self) {
        while self.waiting.load(Ordering::SeqCst) == 0 {
            self.came.notified().await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn whoever_waits_ends_the_pause() {
        let pace = Pace::default();
        assert!(pace.hurried().now_or_never().is_none());
        let (one, other) = (pace.wait(), pace.wait());
        assert!(pace.hurried().now_or_never().is_some());
        drop(one);
        assert!(pace.hurried().now_or_never().is_some(), "one still waits");
        drop(other);
        assert!(pace.hurried().now_or_never().is_none(), "nobody waits");
    }
}
