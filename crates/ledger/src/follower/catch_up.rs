//! Folding a long stretch of the log in at once.

use futures::StreamExt as _;
use keyroll_core::{Identity, Sequence};
use tokio::sync::mpsc;

use super::Fold;
use super::drained::{Drained, Stream};
use super::prepare::{Prepared, prepare_all};
use crate::log::{Log, Message};
use crate::projection::ProjectionError;

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
    let preparing = tokio::spawn(prepare_ahead(
        stream,
        fold.key(),
        (fold.sequence(), until),
        ahead,
    ));
    while fold.sequence() < until {
        let Some(batch) = prepared.recv().await else {
            return Err(failed("the log ended"));
        };
        fold.fold_prepared(batch?, true)?;
    }
    preparing.await.map_err(failed)?;
    fold.projection().complete()
}

fn failed(error: impl std::fmt::Display) -> ProjectionError {
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
            match stream.next().await {
                Some(next) => drained.take(next),
                None => return,
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
