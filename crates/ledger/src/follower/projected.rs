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
pub struct Projected {
    progress: watch::Receiver<Progress>,
    waiting: Arc<Waiting>,
}

/// The follower's end.
pub struct Told {
    progress: watch::Sender<Progress>,
    waiting: Arc<Waiting>,
}

/// Who waits.
#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    /// The last message that the follower took from the log.
    taken: AtomicU64,
    begun: Notify,
}

/// The follower is gone.
#[derive(Debug)]
pub struct Gone;

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
}

impl Told {
    pub(super) fn replace(&self, progress: Progress) {
        self.took(progress.sequence);
        self.progress.send_replace(progress);
    }

    pub(crate) fn modify(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Says what is in the read model, or on its way there.
    pub(super) fn took(&self, last: Sequence) {
        self.waiting.taken.store(last.0, Ordering::Release);
    }

    /// Says that nothing is on its way.
    pub(super) fn forget_taken(&self) {
        let there = self.progress.borrow().sequence;
        self.took(there);
    }

    /// Whether somebody waits now.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.anybody()
    }

    /// Resolves when somebody waits.
    pub(super) async fn waited_for(&self) {
        while !self.waiting.anybody() {
            self.waiting.begun.notified().await;
        }
    }
}

impl Projected {
    /// Both ends.
    pub fn begin(progress: Progress) -> (Told, Self) {
        let (sender, receiver) = watch::channel(progress);
        let waiting = Arc::<Waiting>::default();
        let told = Told {
            progress: sender,
            waiting: Arc::clone(&waiting),
        };
        let progress = receiver;
        (told, Self { progress, waiting })
    }

    /// What `of` says of how far it is now. Handed out, the progress would stay locked for as long
    /// as it is held: who then looks again while the follower waits to tell of more would wait for
    /// ever, and the follower with it. So `of` looks at nothing but what it is given.
    pub fn now<T>(&self, of: impl FnOnce(&Progress) -> T) -> T {
        of(&self.progress.borrow())
    }

    /// Waits until it is so far that `enough` says so.
    ///
    /// # Errors
    /// [`Gone`] when it will never be.
    pub async fn wait_for(&self, enough: impl FnMut(&Progress) -> bool) -> Result<(), Gone> {
        let _waiter = self.waiting.wait();
        self.idle_until(enough).await
    }

    /// Waits until everything that came from the log so far is there, or `patience` is over: who
    /// asks the read model is to notice nothing of the gathering.
    pub async fn settled(&self, patience: Duration) {
        let taken = Sequence(self.waiting.taken.load(Ordering::Acquire));
        if self.now(|progress| progress.sequence) < taken {
            let there = self.wait_for(|progress| progress.sequence >= taken);
            // Late or not, what is there by then is what counts.
            let _ = tokio::time::timeout(patience, there).await;
        }
    }

    /// As [`Projected::wait_for`], for who has time: nothing is written sooner for it.
    ///
    /// # Errors
    /// As [`Projected::wait_for`].
    pub async fn idle_until(&self, enough: impl FnMut(&Progress) -> bool) -> Result<(), Gone> {
        let mut progress = self.progress.clone();
        let waited = progress.wait_for(enough).await;
        waited.map(drop).map_err(|_| Gone)
    }
}
