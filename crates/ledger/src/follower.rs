//! The follower: the one way into the read model.

mod catch_up;
mod drained;
mod entries;
mod fold;
mod prepare;
mod projected;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use keyroll_core::{Code, Digest, Index, Rejection, Sequence, TreeSize, WorkspaceName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::health::Health;
use crate::projection::{Batch, Local, Projection, ProjectionError, contained};
use keyroll_store::log::{FollowError, Log, LogRange, RangeError};

pub use catch_up::catch_up;
use catch_up::failed;
use drained::Drained;
pub(crate) use entries::actor_ordinal;
pub use fold::Fold;
pub(crate) use fold::{belongs, fold_next};
pub(crate) use prepare::open;
pub use projected::{Gone, Projected, Told};

/// How long messages are gathered before they are folded in, when the last were not long ago and
/// nobody waits. A transaction costs as much as some twenty entries.
const GATHER: Duration = Duration::from_millis(20);
/// How long a transaction may stay without being flushed to disk. What a crash takes of the read
/// model comes again from the log.
const FLUSH: Duration = Duration::from_millis(500);
/// How long to wait before the read model is opened again, at first and later.
const REOPEN: Duration = Duration::from_millis(100);
const REOPEN_AT_MOST: Duration = Duration::from_secs(2);

/// How far the read model is: the stream's sequence, and each workspace's head and size.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The last message folded in.
    pub sequence: Sequence,
    /// By workspace: the last message on its subject, and the number of entries.
    pub workspaces: BTreeMap<WorkspaceName, (Sequence, TreeSize)>,
    /// Workspaces with something to erase, or to copy first.
    pub unfinished: BTreeSet<WorkspaceName>,
    /// How many workspaces the follower has in memory.
    pub loaded: usize,
}

impl Progress {
    /// How many entries of a workspace the read model holds.
    pub fn entries_of(&self, workspace: &WorkspaceName) -> TreeSize {
        let found = self.workspaces.get(workspace);
        found.map_or(TreeSize(0), |(_, size)| *size)
    }
}

/// What was folded in: for notices.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The entry.
    pub index: Index,
    /// The event's name.
    pub kind: &'static str,
}

/// A wish to the follower's task.
pub enum Wish {
    /// Take this fold, which was built anew from the log, in place of the present one: catch up,
    /// compare, move its file into place.
    Replace(
        Box<Fold>,
        oneshot::Sender<Result<Replaced, ProjectionError>>,
    ),
    /// Make everything that came so far last through a crash; answered when it does, or cannot.
    Flush(oneshot::Sender<()>),
    /// Change what the read model alone knows; answered when that is on disk.
    Know(Box<dyn FnOnce(Local) -> Local + Send>, oneshot::Sender<()>),
    /// Follow no further until told to; answered when nothing is followed any more.
    Halt(oneshot::Sender<()>),
    /// Follow again from where it was halted.
    GoOn,
    /// The log was made anew and this fold built from it: move its file into place, and follow it.
    Resume(Box<Fold>, oneshot::Sender<Result<(), ProjectionError>>),
}

/// Why nothing is followed for now.
enum Stop {
    /// The log failed, or somebody said so: only a wish leads on.
    Halted,
    /// The disk under the read model failed.
    Storage(ProjectionError),
    /// Another fold is in place.
    Resumed,
    /// For good.
    Ended,
}

/// What came of a replacement.
#[derive(Debug, Clone, Copy)]
pub struct Replaced {
    /// Digest of the read model that was dropped.
    pub before: Digest,
    /// Digest of the one built anew, at the same place of the log.
    pub after: Digest,
}

/// Runs a follower until the log fails or the process ends.
pub struct Follower {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where it is folded into.
    pub fold: Fold,
    /// Tells how far it is.
    pub progress: Told,
    /// Tells which projection to read.
    pub projection: watch::Sender<Projection>,
    /// Takes notices; when it is full they are dropped, as they are best effort.
    pub notices: mpsc::Sender<Notice>,
    /// Wishes.
    pub wishes: mpsc::Receiver<Wish>,
    /// What is wrong.
    pub health: Arc<Health>,
    /// Whether to wait for a recovery, as the log is not the one that the read model knows.
    pub halted: bool,
    /// Where the log ended when the read model was opened again: once that is reached, commands
    /// are taken again.
    pub catching_up: Option<Sequence>,
}

impl Follower {
    /// Follows for ever, whatever happens to the log and to the disk.
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
        // What was gathered and not folded in is forgotten with the stream, and so is what the fold
        // took in and could not write.
        self.progress.forget_coming();
        stop
    }

    async fn follow_on(&mut self) -> Stop {
        let mut stream = self.log.follow(self.fold.sequence());
        // Since when something is unflushed. Counted from the first: under load there is no pause.
        let mut unflushed: Option<Instant> = None;
        let mut gathered: Option<Drained> = None;
        // Until when messages are gathered. What comes after a while is folded in at once.
        let mut gather = Instant::now();
        let mut look = Instant::now() + self.fold.look_for_idle();
        loop {
            if let Some(messages) = gathered.take_if(|messages| {
                !messages.has_room() || self.progress.is_waited_for() || gather <= Instant::now()
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
                            self.progress.took(last.sequence);
                        }
                    }
                    Some(Err(error)) => gathered.get_or_insert_default().take(Err(error)),
                    None => return Stop::Ended,
                },
                () = tokio::time::sleep_until(gather), if gathered.is_some() => {}
                () = self.progress.waited_for(), if gathered.is_some() => {}
                wish = self.wishes.recv() => match wish {
                    None => return Stop::Ended,
                    Some(Wish::Replace(fold, done)) => {
                        let replaced = self.replace(*fold).await;
                        // Whoever wished may have gone.
                        let _ = done.send(replaced);
                    }
                    Some(Wish::GoOn) => {}
                    Some(Wish::Know(change, done)) => {
                        // Whoever wished hears nothing when it fails.
                        match self.fold.projection().change_local(change) {
                            Ok(()) => drop(done.send(())),
                            Err(why) => return Stop::Storage(why),
                        }
                    }
                    Some(Wish::Flush(done)) => {
                        let messages = gathered.take().unwrap_or_default();
                        let stop = self.step_and_stop(messages, true);
                        let _ = done.send(());
                        if let Some(stop) = stop {
                            return stop;
                        }
                        unflushed = None;
                    }
                    Some(Wish::Halt(halted)) => {
                        let _ = halted.send(());
                        return Stop::Halted;
                    }
                    Some(Wish::Resume(fold, done)) => {
                        let _ = done.send(self.resume(*fold));
                        return Stop::Resumed;
                    }
                },
                () = tokio::time::sleep_until(look) => {
                    self.fold.forget_idle();
                    self.publish();
                    look = Instant::now() + self.fold.look_for_idle();
                }
                () = flush_due(unflushed) => {
                    if let Err(why) = self.fold.projection().write(&Batch::default(), true) {
                        return Stop::Storage(why);
                    }
                    keyroll_store::failpoint!("follower.flushed");
                    unflushed = None;
                }
            }
        }
    }

    async fn wait_for_recovery(&mut self) -> Stop {
        while let Some(wish) = self.wishes.recv().await {
            match wish {
                Wish::Replace(_, done) => {
                    let words = "the log is not being followed".to_owned();
                    let _ = done.send(Err(ProjectionError::Storage(words)));
                }
                Wish::Flush(done) => {
                    // Whoever wished looks at the file, not at an answer.
                    let _ = self.fold.projection().write(&Batch::default(), true);
                    let _ = done.send(());
                }
                Wish::Halt(done) => {
                    let _ = done.send(());
                }
                Wish::Know(..) => {}
                // A log that failed is not gone on with.
                Wish::GoOn if self.health.ledger().is_err() => {}
                Wish::GoOn => return Stop::Resumed,
                Wish::Resume(fold, done) => {
                    let _ = done.send(self.resume(*fold));
                    return Stop::Resumed;
                }
            }
        }
        Stop::Ended
    }

    fn resume(&mut self, mut fresh: Fold) -> Result<(), ProjectionError> {
        let path = self.fold.projection().path().to_owned();
        fresh.move_to(&path)?;
        fresh.forget_after(self.fold.idle());
        self.projection.send_replace(fresh.projection().clone());
        let progress = progress_of(fresh.projection())?;
        self.fold = fresh;
        self.progress.replace(progress);
        Ok(())
    }

    /// Without a read model nothing can be decided on, and redb takes nothing more after an I/O
    /// error. So commands are refused, and the file is opened again until that works: what it held
    /// durably is there, and the rest comes from the log once more.
    async fn reopen(&mut self, why: &ProjectionError) {
        let words = format!(
            "{why}; nothing is lost, and it goes on by itself when the disk can be written again"
        );
        let rejection = Rejection::new(Code::AuditUnavailable, words);
        self.health.set_storage(Some(rejection));
        let mut pause = REOPEN;
        loop {
            tokio::time::sleep(pause).await;
            match self.try_reopen(why).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the read model is not open yet"),
            }
            pause = (pause * 2).min(REOPEN_AT_MOST);
        }
    }

    async fn try_reopen(&mut self, why: &ProjectionError) -> Result<(), ProjectionError> {
        let unread = |why: keyroll_store::log::Unavailable| ProjectionError::Storage(why.0);
        let last = self.log.last().await.map_err(unread)?;
        self.fold.reopen(why)?;
        // That it can be written is seen by writing.
        self.fold.projection().write(&Batch::default(), true)?;
        let progress = contained(|| progress_of(self.fold.projection()))?;
        self.progress.replace(progress);
        self.catching_up = Some(last);
        self.caught_up();
        Ok(())
    }

    /// Takes commands again once everything is there that was when the read model was opened.
    fn caught_up(&mut self) {
        if self
            .catching_up
            .is_some_and(|last| self.fold.sequence() >= last)
        {
            self.catching_up = None;
            self.health.set_storage(None);
        }
    }

    fn log_failed(&self, error: &FollowError) {
        let code = match error {
            FollowError::Gap { .. } => Code::Corrupt,
            FollowError::Behind { .. } => Code::Rollback,
        };
        self.health.fail(code, error.to_string());
    }

    /// Folds messages in. Why it goes no further, if so.
    fn step_and_stop(&mut self, messages: Drained, durable: bool) -> Option<Stop> {
        let failed = messages.then.is_some();
        match self.step(messages, durable) {
            Err(why) => Some(Stop::Storage(why)),
            Ok(()) => failed.then_some(Stop::Halted),
        }
    }

    fn step(&mut self, messages: Drained, durable: bool) -> Result<(), ProjectionError> {
        keyroll_store::failpoint!("follower.received");
        let fold = &mut self.fold;
        let notices = contained(|| fold.fold(&messages.messages, durable))?;
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
        self.progress.modify(|progress| self.fold.tell(progress));
    }

    async fn replace(&mut self, mut fresh: Fold) -> Result<Replaced, ProjectionError> {
        // What is followed goes on behind the present one, so it would be folded in again.
        if fresh.sequence() > self.fold.sequence() {
            return Err(failed(
                "it was set back by its disk while it was built anew: build it again",
            ));
        }
        catch_up(self.log.as_ref(), &mut fresh, self.fold.sequence()).await?;
        let (before, after) = digests(self.fold.projection(), fresh.projection())?;
        let local = self.fold.projection().local()?;
        fresh.projection().change_local(|_| local)?;
        let path = self.fold.projection().path().to_owned();
        fresh.move_to(&path)?;
        fresh.forget_after(self.fold.idle());
        self.projection.send_replace(fresh.projection().clone());
        self.fold = fresh;
        self.publish();
        Ok(Replaced { before, after })
    }
}

/// Resolves when what is unflushed has been so for long enough; never when nothing is.
async fn flush_due(unflushed: Option<Instant>) {
    match unflushed {
        Some(since) => tokio::time::sleep_until(since + FLUSH).await,
        None => std::future::pending().await,
    }
}

/// Digests of two read models, computed side by side.
fn digests(one: &Projection, other: &Projection) -> Result<(Digest, Digest), ProjectionError> {
    let of = |projection: &Projection| {
        contained(|| {
            projection
                .view()
                .and_then(|view| crate::projection::digest(&view))
        })
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| of(other));
        let one = of(one)?;
        let other = other.join();
        let failed = |_| Err(ProjectionError::Storage("a thread failed".to_owned()));
        Ok((one, other.unwrap_or_else(failed)?))
    })
}

/// Reads the part of the log that the read model holds already, beside everything else: a message
/// lost there would otherwise show only in the next rebuild. Nothing of it is folded in.
pub(crate) async fn patrol(log: Arc<dyn Log>, until: Sequence, health: Arc<Health>) {
    let (mut at, last) = (Sequence(0), Sequence(until.0.saturating_sub(1)));
    let mut stretch = LogRange::new(log.as_ref(), at, last);
    while let Some(next) = stretch.next().await {
        match next {
            Ok(message) => at = message.sequence,
            Err(RangeError::Log(error @ FollowError::Gap { .. })) => {
                return health.fail(Code::Corrupt, error.to_string());
            }
            // The follower finds out by itself.
            Err(RangeError::Log(FollowError::Behind { .. })) => return,
            // The nats-server is away: nobody else reads what is left.
            Err(RangeError::TimedOut(_)) => stretch = LogRange::new(log.as_ref(), at, last),
        }
    }
}

/// How far a projection is, without a fold.
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
