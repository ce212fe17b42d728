//! Folding a long stretch of the log in at once.

use std::time::Duration;

use futures::StreamExt as _;
use keyroll_core::{Identity, Sequence};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Fold;
use super::drained::{Drained, Stream};
use super::prepare::{Prepared, prepare_all};
use crate::log::{Log, Message};
use crate::projection::ProjectionError;

/// How long nothing may come of a log that is read from its beginning: one that was set back
/// meanwhile ends before the message that is waited for.
const STILL: Duration = Duration::from_secs(30);

/// Folds the log into `fold` up to and with the message `until`.
///
/// # Errors
/// [`ProjectionError`], also when the log ends or has a gap before.
pub async fn catch_up(
    log: &dyn Log,
    fold: &mut Fold,
    until: Sequence,
) -> Result<(), ProjectionError> {
    let stream = log.follow(fold.sequence());
    // While one batch is folded in, the next is gathered and taken apart on another core.
    let (ahead, mut prepared) = mpsc::channel(1);
    let ends = (fold.sequence(), until);
    // Ends with this, whatever ends this.
    let mut preparing = JoinSet::new();
    preparing.spawn(prepare_ahead(stream, fold.key(), ends, ahead));
    while fold.sequence() < until {
        let Some(batch) = prepared.recv().await else {
            return Err(failed("the log ended"));
        };
        fold.fold_prepared(batch?, true)?;
    }
    fold.projection().complete()
}

pub(super) fn failed(error: impl std::fmt::Display) -> ProjectionError {
    ProjectionError::Storage(error.to_string())
}

/// Gathers messages after `last` up to and with `until`, as many as make a transaction, and takes
/// them apart.
async fn prepare_ahead(
    mut stream: Stream,
    key: Identity,
    (mut last, until): (Sequence, Sequence),
    ahead: mpsc::Sender<Result<Vec<Prepared>, ProjectionError>>,
) {
    while last < until {
        let mut drained = Drained::default();
        while last < until && drained.has_room() {
            match tokio::time::timeout(STILL, stream.next()).await {
                Ok(Some(next)) => drained.take(next),
                Ok(None) => return,
                Err(_) => {
                    let words = format!("message {} of the log does not come", last.0 + 1);
                    // Who waited for it may have gone.
                    let _ = ahead.send(Err(failed(words))).await;
                    return;
                }
            }
            last = drained
                .messages
                .last()
                .map_or(last, |message| message.sequence);
        }
        let batch = match drained.then {
            Some(error) => Err(failed(error)),
            None => prepare_elsewhere(drained.messages, key).await,
        };
        let ended = batch.is_err();
        if ahead.send(batch).await.is_err() || ended {
            return;
        }
    }
}

async fn prepare_elsewhere(
    messages: Vec<Message>,
    key: Identity,
) -> Result<Vec<Prepared>, ProjectionError> {
    let preparing = tokio::task::spawn_blocking(move || prepare_all(messages, &key));
    preparing.await.map_err(failed)
}
