//! The read model's progress, and those who wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use keyroll_core::{Sequence, TreeSize, WorkspaceName};
use tokio::sync::{Notify, watch};

use crate::projection::{Projection, ProjectionError};

/// How far the read model is: the stream's sequence, and each workspace's head and size.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The last message folded in.
    pub sequence: Sequence,
    /// By workspace: the last message on its subject, and the number of entries.
    pub workspaces: BTreeMap<WorkspaceName, (Sequence, TreeSize)>,
    /// Workspaces with values to erase or to copy.
    pub unfinished: BTreeSet<WorkspaceName>,
    /// How many workspaces the follower has in memory.
    pub loaded: usize,
}

impl Progress {
    /// The last message of a workspace that the read model holds, and the number of its entries.
    pub fn head_of(&self, workspace: &WorkspaceName) -> (Sequence, TreeSize) {
        self.workspaces.get(workspace).copied().unwrap_or_default()
    }
}

/// Reads how far the read model is. While no query waits, the follower gathers messages into larger
/// transactions; a waiter makes it write at once.
#[derive(Clone)]
pub struct ProgressReader {
    progress: watch::Receiver<Progress>,
    waiting: Arc<Waiters>,
}

/// The follower's end.
pub struct ProgressPublisher {
    progress: watch::Sender<Progress>,
    waiting: Arc<Waiters>,
}

/// The waiters.
#[derive(Default)]
struct Waiters {
    count: AtomicUsize,
    /// The last message that is known to be in the log and thus expected here: the follower
    /// received it, or a writer got its acknowledgement.
    expected: AtomicU64,
    arrived: Notify,
}

/// The follower has ended.
#[derive(Debug)]
pub struct FollowerStopped;

struct Waiter<'a>(&'a Waiters);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

impl Waiters {
    fn wait(&self) -> Waiter<'_> {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.arrived.notify_one();
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

    /// Notes that a message was received from the log.
    pub(super) fn expect_message(&self, last: Sequence) {
        self.waiting.expect_message(last);
    }

    /// Notes that no further message is expected.
    pub(super) fn forget_expected(&self) {
        let there = self.progress.borrow().sequence;
        self.waiting.expected.store(there.0, Ordering::Release);
    }

    /// Whether anybody waits now.
    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.anybody()
    }

    /// Resolves when anybody waits.
    pub(super) async fn waiter_arrived(&self) {
        while !self.waiting.anybody() {
            self.waiting.arrived.notified().await;
        }
    }
}

impl ProgressReader {
    /// The publishing and the reading end.
    pub fn begin(progress: Progress) -> (ProgressPublisher, Self) {
        let (sender, receiver) = watch::channel(progress);
        let waiting = Arc::<Waiters>::default();
        let publisher = ProgressPublisher {
            progress: sender,
            waiting: Arc::clone(&waiting),
        };
        let progress = receiver;
        (publisher, Self { progress, waiting })
    }

    /// Reads the present progress. The progress is locked meanwhile: a second read inside `of`,
    /// while the follower waits to publish, would lock both for ever. So `of` reads nothing else.
    pub fn read<T>(&self, of: impl FnOnce(&Progress) -> T) -> T {
        of(&self.progress.borrow())
    }

    /// Waits until `enough` holds of the progress.
    ///
    /// # Errors
    /// [`FollowerStopped`] when it never will.
    pub async fn wait_for(
        &self,
        enough: impl FnMut(&Progress) -> bool,
    ) -> Result<(), FollowerStopped> {
        let _waiter = self.waiting.wait();
        self.wait_lazily(enough).await
    }

    /// Notes that a message is in the log: from now on every query waits for it.
    pub fn acknowledged(&self, message: Sequence) {
        self.waiting.expect_message(message);
    }

    /// Waits until the read model holds all that was received from the log or acknowledged by it so
    /// far, or `patience` is over. So a query sees every entry that was acknowledged before it, and
    /// gathering goes unnoticed.
    pub async fn wait_until_current(&self, patience: Duration) {
        let expected = Sequence(self.waiting.expected.load(Ordering::Acquire));
        if self.read(|progress| progress.sequence) < expected {
            let there = self.wait_for(|progress| progress.sequence >= expected);
            // Late or not, the query is answered by what the read model holds then. A message that
            // never arrives, because following has stopped, is waited for only once.
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

    /// As [`ProgressReader::wait_for`], without making the follower write sooner.
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

/// The progress of a projection, without a fold.
///
/// # Errors
/// [`ProjectionError`].
pub fn progress_of(projection: &Projection) -> Result<Progress, ProjectionError> {
    let view = projection.view()?;
    let sequence = view.head()?.map_or(Sequence(0), |(sequence, _)| sequence);
    let workspaces = view.workspaces()?;
    let unfinished = workspaces
        .iter()
        .filter(|(_, head)| head.row.is_unfinished())
        .map(|(_, head)| head.name.clone())
        .collect();
    let by_name = workspaces
        .into_iter()
        .map(|(_, head)| (head.name, (head.sequence, head.size)));
    Ok(Progress {
        sequence,
        workspaces: by_name.collect(),
        unfinished,
        loaded: 0,
    })
}
