//! Starting the follower of a ledger.

use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Identity, LedgerId};
use keyroll_store::log::Log;
use tokio::sync::{mpsc, watch};

use super::progress::progress_of;
use super::{Fold, Follower, FollowerHandle, Notice, ProgressReader};
use crate::health::Health;
use crate::projection::{Projection, ProjectionError, catch_panics};

/// Notices that wait to be sent. More are dropped: notices are best effort.
const NOTICES: usize = 4_096;

/// A running follower, as other parts use it.
pub(crate) struct Started {
    pub(crate) handle: FollowerHandle,
    pub(crate) progress: ProgressReader,
    pub(crate) projection: watch::Receiver<Projection>,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

/// Starts a follower where the projection ends. With a log that is out of service it waits for a
/// recovery.
pub(crate) fn start(
    (ledger, key): (LedgerId, Identity),
    log: &Arc<dyn Log>,
    health: &Arc<Health>,
    projection: Projection,
    idle: Duration,
) -> Result<Started, ProjectionError> {
    let progress = catch_panics(|| progress_of(&projection))?;
    let (publisher, reader) = ProgressReader::begin(progress);
    let (projections, current) = watch::channel(projection.clone());
    let (notices, received) = mpsc::channel(NOTICES);
    let (requests, requested) = mpsc::channel(1);
    let mut fold = Fold::resume(projection, ledger, key, Arc::clone(health))?;
    fold.forget_after(idle);
    let follower = Follower {
        log: Arc::clone(log),
        fold,
        progress: publisher,
        projection: projections,
        notices,
        requests: requested,
        halted: health.ledger().is_err(),
        health: Arc::clone(health),
        catching_up: None,
    };
    tokio::spawn(follower.run());
    Ok(Started {
        handle: FollowerHandle(requests),
        progress: reader,
        projection: current,
        notices: received,
    })
}
