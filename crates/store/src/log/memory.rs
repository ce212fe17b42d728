//! The log in memory, for tests. Its appends can be made to fail in every way an append can.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use keyroll_core::{Millis, Sequence, WorkspaceName};
use tokio::sync::watch;

use super::{AppendError, FollowError, Log, Message, Unavailable};

/// The simulated outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedAppend {
    /// It is appended and acknowledged.
    Acknowledged,
    /// It is appended, and the acknowledgement is lost.
    AckLost,
    /// It is neither appended nor acknowledged; [`MemoryLog::deliver_delayed`] may append it later.
    Delayed,
    /// As delayed, and a server that lags behind the others reports a conflict.
    Contradicted,
    /// The server refuses it.
    Refused,
}

#[derive(Default)]
struct Inner {
    messages: Vec<(WorkspaceName, Bytes)>,
    simulated: VecDeque<SimulatedAppend>,
    delayed: Vec<(WorkspaceName, Bytes, Sequence)>,
    appends: u64,
    /// Followers receive nothing for now.
    held: bool,
    /// Requests for a head fail.
    leaderless: bool,
}

/// [`Log`] in memory.
#[derive(Clone)]
pub struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
    length: Arc<watch::Sender<usize>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            length: Arc::new(watch::channel(0).0),
        }
    }
}

impl MemoryLog {
    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = run(&mut inner);
        self.length.send_replace(inner.messages.len());
        result
    }

    /// Sets the outcomes of the next appends; after those all appends are acknowledged.
    pub fn simulate(&self, outcomes: impl IntoIterator<Item = SimulatedAppend>) {
        self.with(|inner| inner.simulated.extend(outcomes));
    }

    /// Delivers delayed appends now, each with the expected sequence it was sent with. Returns how
    /// many were appended.
    pub fn deliver_delayed(&self) -> usize {
        self.with(|inner| {
            let delayed = std::mem::take(&mut inner.delayed);
            let appended = delayed
                .into_iter()
                .filter_map(|(workspace, bytes, expected)| {
                    put(inner, &workspace, bytes, expected).ok()
                });
            appended.count()
        })
    }

    /// Puts any bytes on a workspace's subject, as a NATS user with that permission could.
    pub fn inject(&self, workspace: &WorkspaceName, bytes: impl Into<Bytes>) -> Sequence {
        self.with(|inner| {
            inner.messages.push((workspace.clone(), bytes.into()));
            Sequence(inner.messages.len() as u64)
        })
    }

    /// Stops or resumes delivery to followers.
    pub fn hold(&self, held: bool) {
        self.with(|inner| inner.held = held);
    }

    /// Takes the stream's leader away, or brings it back.
    pub fn leaderless(&self, leaderless: bool) {
        self.with(|inner| inner.leaderless = leaderless);
    }

    /// The messages' bytes, in order.
    pub fn bytes(&self) -> Vec<Bytes> {
        self.with(|inner| {
            inner
                .messages
                .iter()
                .map(|(_, bytes)| bytes.clone())
                .collect()
        })
    }

    /// How many appends were attempted.
    pub fn appends(&self) -> u64 {
        self.with(|inner| inner.appends)
    }
}

fn head(inner: &Inner, workspace: &WorkspaceName) -> Sequence {
    let last = inner.messages.iter().rposition(|(on, _)| on == workspace);
    Sequence(last.map_or(0, |at| at as u64 + 1))
}

fn put(
    inner: &mut Inner,
    workspace: &WorkspaceName,
    bytes: Bytes,
    expected: Sequence,
) -> Result<Sequence, AppendError> {
    if head(inner, workspace) != expected {
        return Err(AppendError::Conflict);
    }
    inner.messages.push((workspace.clone(), bytes));
    Ok(Sequence(inner.messages.len() as u64))
}

impl Log for MemoryLog {
    fn append<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
        commit: Bytes,
        expected: Sequence,
    ) -> BoxFuture<'a, Result<Sequence, AppendError>> {
        let unknown = || {
            Err(AppendError::Unknown(
                "no acknowledgement in time".to_owned(),
            ))
        };
        let result = self.with(|inner| {
            inner.appends += 1;
            match inner
                .simulated
                .pop_front()
                .unwrap_or(SimulatedAppend::Acknowledged)
            {
                SimulatedAppend::Acknowledged => put(inner, workspace, commit, expected),
                SimulatedAppend::AckLost => {
                    put(inner, workspace, commit, expected).and_then(|_| unknown())
                }
                SimulatedAppend::Delayed => {
                    inner.delayed.push((workspace.clone(), commit, expected));
                    unknown()
                }
                SimulatedAppend::Contradicted => {
                    inner.delayed.push((workspace.clone(), commit, expected));
                    Err(AppendError::Conflict)
                }
                SimulatedAppend::Refused => {
                    Err(AppendError::NotAppended("out of space".to_owned()))
                }
            }
        });
        async move { result }.boxed()
    }

    fn head<'a>(
        &'a self,
        workspace: &'a WorkspaceName,
    ) -> BoxFuture<'a, Result<Sequence, Unavailable>> {
        let result = self.with(|inner| (!inner.leaderless).then(|| head(inner, workspace)));
        let result = result.ok_or_else(|| Unavailable("the stream has no leader".to_owned()));
        async move { result }.boxed()
    }

    fn last(&self) -> BoxFuture<'_, Result<Sequence, Unavailable>> {
        let result = self.with(|inner| Sequence(inner.messages.len() as u64));
        async move { Ok(result) }.boxed()
    }

    fn created_at(&self) -> BoxFuture<'_, Result<Option<Millis>, Unavailable>> {
        async { Ok(Some(Millis(0))) }.boxed()
    }

    fn message(&self, sequence: Sequence) -> BoxFuture<'_, Result<Option<Message>, Unavailable>> {
        let result = self.with(|inner| message_at(inner, sequence));
        async move { Ok(result) }.boxed()
    }

    fn follow(&self, after: Sequence) -> BoxStream<'static, Result<Message, FollowError>> {
        let state = (self.clone(), self.length.subscribe(), after);
        futures::stream::unfold(state, |(log, mut length, after)| async move {
            loop {
                let next = Sequence(after.0 + 1);
                if let Some(message) = log
                    .inner
                    .lock()
                    .ok()
                    .filter(|inner| !inner.held)
                    .and_then(|inner| message_at(&inner, next))
                {
                    return Some((Ok(message), (log, length, next)));
                }
                length.changed().await.ok()?;
            }
        })
        .boxed()
    }
}

fn message_at(inner: &Inner, sequence: Sequence) -> Option<Message> {
    let at = usize::try_from(sequence.0.checked_sub(1)?).ok()?;
    let (workspace, bytes) = inner.messages.get(at)?;
    Some(Message {
        sequence,
        workspace: Some(workspace.clone()),
        bytes: bytes.clone(),
    })
}
