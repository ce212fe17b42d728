//! How far the read model is, and who waits for it to be further.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use keyroll_core::Sequence;

use tokio::sync::{Notify, watch};

use super::Progress;

/// Tells how far the read model is. While nobody waits for it, the follower gathers what comes
/// into larger transactions; somebody who waits through this has it write at once.
#[derive(Clone)]
pub struct ProgressReader {
    progress: watch::Receiver<Progress>,
    waiting: Arc<Waiting>,
}

/// The follower's end.
pub struct ProgressPublisher {
    progress: watch::Sender<Progress>,
    waiting: Arc<Waiting>,
}

/// Who waits.
#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    /// The last message that is known to be in the log, and so on its way here: the follower took
    /// it, or a writer was told that it is there.
    expected: AtomicU64,
    begun: Notify,
}

/// The follower is gone.
#[derive(Debug)]
pub struct FollowerStopped;

struct Waiter<'a>(&'a Waiting);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

impl Waiting {
    fn wait(&self) -> Waiter<'_> {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.begun.notify_one();
        Waiter(self)
    }

    fn anybody(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn expect_message(&self, last: Sequence) {
        self.expected.fetch_max(last.0, Ordering::AcqRel);
    }
}

impl ProgressPublisher {
    pub(super) fn replace(&self, progress: Progress) {
        self.progress.send_replace(progress);
        self.forget_expected();
    }

    pub(crate) fn modify(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Says what was taken from the log.
    pub(super) fn expect_message(&self, last: Sequence) {
        self.waiting.expect_message(last);
    }

    /// Says that nothing is on its way.
    pub(super) fn forget_expected(&self) {
        let there = self.progress.borrow().sequence;
        self.waiting.expected.store(there.0, Ordering::Release);
    }

    /// Whether somebody waits now.
    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.anybody()
    }

    /// Resolves when somebody waits.
    pub(super) async fn waiter_arrived(&self) {
        while !self.waiting.anybody() {
            self.waiting.begun.notified().await;
        }
    }
}

impl ProgressReader {
    /// Both ends.
    pub fn begin(progress: Progress) -> (ProgressPublisher, Self) {
        let (sender, receiver) = watch::channel(progress);
        let waiting = Arc::<Waiting>::default();
        let told = ProgressPublisher {
            progress: sender,
            waiting: Arc::clone(&waiting),
        };
        let progress = receiver;
        (told, Self { progress, waiting })
    }

    /// What `of` says of how far it is now. Handed out, the progress would stay locked for as long
    /// as it is held: who then looks again while the follower waits to tell of more would wait for
    /// ever, and the follower with it. So `of` looks at nothing but what it is given.
    pub fn read<T>(&self, of: impl FnOnce(&Progress) -> T) -> T {
        of(&self.progress.borrow())
    }

    /// Waits until it is so far that `enough` says so.
    ///
    /// # Errors
    /// [`FollowerStopped`] when it will never be.
    pub async fn wait_for(
        &self,
        enough: impl FnMut(&Progress) -> bool,
    ) -> Result<(), FollowerStopped> {
        let _waiter = self.waiting.wait();
        self.wait_lazily(enough).await
    }

    /// Says that a message is in the log: whoever asks from now on is to find it here.
    pub fn acknowledged(&self, message: Sequence) {
        self.waiting.expect_message(message);
    }

    /// Waits until everything is there that came from the log so far or was acknowledged by it, or
    /// `patience` is over: what somebody was answered, whoever asks next sees, and nobody notices
    /// anything of the gathering.
    pub async fn wait_until_current(&self, patience: Duration) {
        let expected = Sequence(self.waiting.expected.load(Ordering::Acquire));
        if self.read(|progress| progress.sequence) < expected {
            let there = self.wait_for(|progress| progress.sequence >= expected);
            // Late or not, what is there by then is what counts; and what does not come, because
            // nothing is followed any more, is waited for once.
            if tokio::time::timeout(patience, there).await.is_err() {
                let there = self.read(|progress| progress.sequence);
                let known = &self.waiting.expected;
                let _ = known.compare_exchange(
                    expected.0,
                    there.0,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
            }
        }
    }

    /// As [`ProgressReader::wait_for`], for who has time: nothing is written sooner for it.
    ///
    /// # Errors
    /// As [`ProgressReader::wait_for`].
    pub async fn wait_lazily(
        &self,
        enough: impl FnMut(&Progress) -> bool,
    ) -> Result<(), FollowerStopped> {
        let mut progress = self.progress.clone();
        let waited = progress.wait_for(enough).await;
        waited.map(drop).map_err(|_| FollowerStopped)
    }
}
