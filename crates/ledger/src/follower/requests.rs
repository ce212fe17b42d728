//! Requests of other parts to the follower.

use keyroll_core::{Code, Digest, Rejection};
use tokio::sync::{mpsc, oneshot};

use super::Fold;
use crate::projection::{FollowRecord, ProjectionError};

/// A request to the follower's task.
pub enum FollowerRequest {
    /// Replace the present read model by this one, which was rebuilt from the log: catch up,
    /// compare, move its file into place.
    Replace(
        Box<Fold>,
        oneshot::Sender<Result<Replaced, ProjectionError>>,
    ),
    /// Make everything folded in so far durable. Answered when that has been tried.
    Flush(oneshot::Sender<()>),
    /// Change the follow record. Answered when that is on disk.
    ChangeFollowRecord(
        Box<dyn FnOnce(FollowRecord) -> FollowRecord + Send>,
        oneshot::Sender<()>,
    ),
    /// Stop following. Answered when nothing is followed any more.
    Halt(oneshot::Sender<()>),
    /// Follow again from where it stopped.
    Resume,
    /// The log was replaced, and this read model was built from the new one: move its file into
    /// place, and follow it.
    Adopt(Box<Fold>, oneshot::Sender<Result<(), ProjectionError>>),
}

/// The digests of a read model that was replaced and of its replacement, at the same message.
#[derive(Debug, Clone, Copy)]
pub struct Replaced {
    /// The digest of the dropped one.
    pub before: Digest,
    /// The digest of the rebuilt one.
    pub after: Digest,
}

/// Sends requests to the follower.
#[derive(Clone)]
pub struct FollowerHandle(pub(super) mpsc::Sender<FollowerRequest>);

fn stopped() -> Rejection {
    Rejection::new(Code::Internal, "the log is not being followed")
}

impl FollowerHandle {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> FollowerRequest,
    ) -> Result<T, Rejection> {
        let (sender, answer) = oneshot::channel();
        let sent = self.0.send(request(sender)).await;
        sent.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    pub(crate) async fn replace(&self, fold: Fold) -> Result<Replaced, Rejection> {
        let request = |done| FollowerRequest::Replace(Box::new(fold), done);
        Ok(self.ask(request).await??)
    }

    pub(crate) async fn adopt(&self, fold: Fold) -> Result<(), Rejection> {
        let request = |done| FollowerRequest::Adopt(Box::new(fold), done);
        Ok(self.ask(request).await??)
    }

    /// A follower that has ended has nothing to flush.
    pub(crate) async fn flush(&self) {
        let _ = self.ask(FollowerRequest::Flush).await;
    }

    pub(crate) async fn halt(&self) -> Result<(), Rejection> {
        self.ask(FollowerRequest::Halt).await
    }

    /// A follower that has ended has nothing to resume.
    pub(crate) async fn resume(&self) {
        let _ = self.0.send(FollowerRequest::Resume).await;
    }

    pub(crate) async fn change_follow_record(
        &self,
        change: impl FnOnce(FollowRecord) -> FollowRecord + Send + 'static,
    ) -> Result<(), Rejection> {
        let request = |done| FollowerRequest::ChangeFollowRecord(Box::new(change), done);
        let failed = |_| Rejection::new(Code::Internal, "the read model could not be written");
        self.ask(request).await.map_err(failed)
    }
}
