//! Folding a long range of the log in at once.

use keyroll_core::{Identity, Sequence};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Fold;
use super::message_batch::MessageBatch;
use super::prepare::{Prepared, prepare_all};
use crate::projection::ProjectionError;
use keyroll_store::log::{Log, LogRange, Message};

/// Folds the log into `fold` up to and with the message `until`.
///
/// # Errors
/// [`ProjectionError`], also when the log ends or has a gap before.
pub async fn catch_up(
    log: &dyn Log,
    fold: &mut Fold,
    until: Sequence,
) -> Result<(), ProjectionError> {
    let stretch = LogRange::new(log, fold.sequence(), until);
    // While one batch is folded in, the next is gathered and prepared on another core.
    let (ahead, mut prepared) = mpsc::channel(1);
    // The task ends with this function, however that ends.
    let mut preparing = JoinSet::new();
    preparing.spawn(prepare_ahead(stretch, fold.key(), ahead));
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

/// Gathers the messages of a transaction and prepares them.
async fn prepare_ahead(
    mut stretch: LogRange,
    key: Identity,
    ahead: mpsc::Sender<Result<Vec<Prepared>, ProjectionError>>,
) {
    loop {
        let (mut message_batch, mut wrong, mut ended) = (MessageBatch::default(), None, false);
        while !ended && message_batch.has_capacity() {
            match stretch.next().await {
                Some(Ok(message)) => message_batch.take(Ok(message)),
                Some(Err(error)) => (wrong, ended) = (Some(error), true),
                None => ended = true,
            }
        }
        let batch = match wrong {
            // The messages before the error are dropped too: they are read again.
            Some(error) => Err(failed(error)),
            None => prepare_elsewhere(message_batch.messages, key).await,
        };
        ended |= batch.is_err();
        // The receiver may have gone.
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
