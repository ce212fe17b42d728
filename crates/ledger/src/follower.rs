//! The follower: the only path into the read model.

mod anomaly;
mod catch_up;
mod entries;
mod fold;
mod message_batch;
mod prepare;
mod progress;
mod requests;
mod scrub;
mod start;
mod switch;
mod workspace;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use keyroll_core::{Code, Index, Sequence, WorkspaceName};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::health::Health;
use crate::projection::{Projection, ProjectionError, WriteBatch, catch_panics};
use keyroll_store::log::{FollowError, Log};

pub(crate) use anomaly::{check_owner, fold_next};
pub use catch_up::catch_up;
pub(crate) use entries::actor_ordinal;
pub use fold::Fold;
use message_batch::MessageBatch;
pub(crate) use prepare::open;
pub use progress::{FollowerStopped, Progress, ProgressPublisher, ProgressReader, progress_of};
pub use requests::{FollowerHandle, FollowerRequest, Replaced};
pub(crate) use scrub::scrub;
pub(crate) use start::start;

/// How long messages are gathered before they are folded in, when the last transaction was recent
/// and no query waits. A transaction costs as much as some twenty entries.
const GATHER: Duration = Duration::from_millis(20);
/// How long a transaction may stay unflushed. Rows that a crash takes are read from the log again.
const FLUSH: Duration = Duration::from_millis(500);

/// How long an unused workspace stays in memory, with its writer and with the follower. The next
/// user waits until its state is read again.
pub const IDLE: Duration = Duration::from_secs(300);

/// An event that was folded in, for subscribers.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The entry.
    pub index: Index,
    /// The event's name.
    pub kind: &'static str,
}

/// Why nothing is followed for now.
enum Stop {
    /// The log failed, or a request halted it: only a request resumes it.
    Halted,
    /// The disk under the read model failed.
    Storage(ProjectionError),
    /// Another fold is in place.
    Resumed,
    /// For good.
    Ended,
}

/// Runs a follower until the log fails or the process ends.
pub struct Follower {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Folds it into the read model.
    pub fold: Fold,
    /// Publishes how far it is.
    pub progress: ProgressPublisher,
    /// Publishes the projection to read.
    pub projection: watch::Sender<Projection>,
    /// Takes notices. When it is full they are dropped: notices are best effort.
    pub notices: mpsc::Sender<Notice>,
    /// Requests of other parts.
    pub requests: mpsc::Receiver<FollowerRequest>,
    /// The known problems.
    pub health: Arc<Health>,
    /// Whether to wait for a recovery, because the log does not fit the read model.
    pub halted: bool,
    /// The end of the log when the read model was opened again: once that is reached, commands are
    /// accepted again.
    pub catching_up: Option<Sequence>,
}

impl Follower {
    /// Follows for ever, through errors of the log and of the disk.
    pub async fn run(mut self) {
        let mut stop = if self.halted {
            Stop::Halted
        } else {
            self.follow().await
        };
        loop {
            stop = match stop {
                Stop::Ended => return,
                Stop::Resumed => self.follow().await,
                Stop::Halted => self.wait_for_recovery().await,
                Stop::Storage(why) => {
                    self.reopen(&why).await;
                    self.follow().await
                }
            };
        }
    }

    async fn follow(&mut self) -> Stop {
        let stop = self.follow_on().await;
        // Messages that were gathered or that the fold could not write are dropped with the stream.
        self.progress.forget_expected();
        stop
    }

    async fn follow_on(&mut self) -> Stop {
        let mut stream = self.log.follow(self.fold.sequence());
        // The time of the first unflushed transaction: under load there is no pause.
        let mut unflushed: Option<Instant> = None;
        let mut gathered: Option<MessageBatch> = None;
        // The end of the gathering. After a pause, messages are folded in at once.
        let mut gather = Instant::now();
        let mut look = Instant::now() + self.fold.idle_check_interval();
        loop {
            if let Some(messages) = gathered.take_if(|messages| {
                !messages.has_capacity() || self.progress.has_waiters() || gather <= Instant::now()
            }) {
                if let Some(stop) = self.step_and_stop(messages, false) {
                    return stop;
                }
                gather = Instant::now() + GATHER;
                unflushed.get_or_insert_with(Instant::now);
            }
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(message)) => {
                        let messages = gathered.get_or_insert_default();
                        messages.take(Ok(message));
                        messages.take_what_is_there(&mut stream);
                        if let Some(last) = messages.messages.last() {
                            self.progress.expect_message(last.sequence);
                        }
                    }
                    Some(Err(error)) => gathered.get_or_insert_default().take(Err(error)),
                    None => return Stop::Ended,
                },
                () = tokio::time::sleep_until(gather), if gathered.is_some() => {}
                () = self.progress.waiter_arrived(), if gathered.is_some() => {}
                request = self.requests.recv() => match request {
                    None => return Stop::Ended,
                    Some(FollowerRequest::Replace(fold, done)) => {
                        let replaced = self.replace(*fold).await;
                        // The requester may have gone.
                        let _ = done.send(replaced);
                    }
                    Some(FollowerRequest::Resume) => {}
                    Some(FollowerRequest::ChangeFollowRecord(change, done)) => {
                        // On failure the requester gets no answer.
                        match self.fold.projection().change_follow_record(change) {
                            Ok(()) => drop(done.send(())),
                            Err(why) => return Stop::Storage(why),
                        }
                    }
                    Some(FollowerRequest::Flush(done)) => {
                        let messages = gathered.take().unwrap_or_default();
                        let stop = self.step_and_stop(messages, true);
                        let _ = done.send(());
                        if let Some(stop) = stop {
                            return stop;
                        }
                        unflushed = None;
                    }
                    Some(FollowerRequest::Halt(halted)) => {
                        let _ = halted.send(());
                        return Stop::Halted;
                    }
                    Some(FollowerRequest::Adopt(fold, done)) => {
                        let _ = done.send(self.adopt(*fold));
                        return Stop::Resumed;
                    }
                },
                () = tokio::time::sleep_until(look) => {
                    self.fold.forget_idle();
                    self.publish();
                    look = Instant::now() + self.fold.idle_check_interval();
                }
                () = flush_due(unflushed) => {
                    if let Err(why) = self.fold.projection().write(&WriteBatch::default(), true) {
                        return Stop::Storage(why);
                    }
                    keyroll_store::failpoint!("follower.flushed");
                    unflushed = None;
                }
            }
        }
    }

    async fn wait_for_recovery(&mut self) -> Stop {
        while let Some(request) = self.requests.recv().await {
            match request {
                FollowerRequest::Replace(_, done) => {
                    let words = "the log is not being followed".to_owned();
                    let _ = done.send(Err(ProjectionError::Storage(words)));
                }
                FollowerRequest::Flush(done) => {
                    // The requester checks the file, not the answer.
                    let _ = self.fold.projection().write(&WriteBatch::default(), true);
                    let _ = done.send(());
                }
                FollowerRequest::Halt(done) => {
                    let _ = done.send(());
                }
                FollowerRequest::ChangeFollowRecord(..) => {}
                // A log that failed is not followed again.
                FollowerRequest::Resume if self.health.ledger().is_err() => {}
                FollowerRequest::Resume => return Stop::Resumed,
                FollowerRequest::Adopt(fold, done) => {
                    let _ = done.send(self.adopt(*fold));
                    return Stop::Resumed;
                }
            }
        }
        Stop::Ended
    }

    fn log_failed(&self, error: &FollowError) {
        let code = match error {
            FollowError::Gap { .. } => Code::Corrupt,
            FollowError::Behind { .. } => Code::Rollback,
        };
        self.health.fail(code, error.to_string());
    }

    /// Folds messages in. Returns the reason if following stops.
    fn step_and_stop(&mut self, messages: MessageBatch, durable: bool) -> Option<Stop> {
        let failed = messages.then.is_some();
        match self.step(messages, durable) {
            Err(why) => Some(Stop::Storage(why)),
            Ok(()) => failed.then_some(Stop::Halted),
        }
    }

    fn step(&mut self, messages: MessageBatch, durable: bool) -> Result<(), ProjectionError> {
        keyroll_store::failpoint!("follower.received");
        let fold = &mut self.fold;
        let notices = catch_panics(|| fold.fold(&messages.messages, durable))?;
        keyroll_store::failpoint!("follower.folded");
        self.publish();
        self.caught_up();
        for notice in notices {
            if self.notices.try_send(notice).is_err() {
                break;
            }
        }
        match messages.then {
            Some(error) => {
                self.log_failed(&error);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn publish(&self) {
        self.progress
            .modify(|progress| self.fold.update_progress(progress));
    }
}

/// Resolves when a transaction has been unflushed for [`FLUSH`]; never if none is.
async fn flush_due(unflushed: Option<Instant>) {
    match unflushed {
        Some(since) => tokio::time::sleep_until(since + FLUSH).await,
        None => std::future::pending().await,
    }
}
