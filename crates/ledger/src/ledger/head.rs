//! The end of the log, held against what the read model knows of it.

use keyroll_core::{Code, Digest, Rejection, Sequence};

use super::OpenError;
use crate::health::Health;
use crate::projection::Projection;
use keyroll_store::log::Log;
use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};

/// Compares the last message that the read model holds with the log: a log that is shorter or has
/// other bytes there was set back.
pub(super) async fn check_head(
    log: &dyn Log,
    projection: &Projection,
    health: &Health,
) -> Result<(), OpenError> {
    let Some((sequence, digest)) = projection.view()?.head()? else {
        return Ok(());
    };
    let last = settled_last(log, sequence).await?;
    if last < sequence {
        health.fail(
            Code::Rollback,
            format!("the log ends at message {last}, the read model knows message {sequence}"),
        );
        return Ok(());
    }
    let message = log
        .message(sequence)
        .await
        .map_err(|error| OpenError::Log(error.0))?;
    match message {
        Some(message) if Digest::of(&message.bytes) == digest => Ok(()),
        Some(_) => {
            health.fail(
                Code::Rollback,
                format!("message {sequence} of the log is not the one the read model knows"),
            );
            Ok(())
        }
        None => {
            health.fail(
                Code::Corrupt,
                format!("message {sequence} of the log is missing"),
            );
            Ok(())
        }
    }
}

/// The last message of the log, looked at for a while if it seems to be before `known`: a stream's
/// new leader may answer before it has caught up with its own log.
async fn settled_last(log: &dyn Log, known: Sequence) -> Result<Sequence, OpenError> {
    let mut last = Sequence(0);
    for _ in 0..TAIL_CHECKS {
        last = log.last().await.map_err(|error| OpenError::Log(error.0))?;
        if last >= known {
            break;
        }
        tokio::time::sleep(TAIL_CHECK_PAUSE).await;
    }
    Ok(last)
}

/// The last message of the log, for status.
pub(super) async fn last_of(log: &dyn Log) -> Result<Sequence, Rejection> {
    log.last()
        .await
        .map_err(|why| Rejection::new(Code::Unreachable, why.0))
}
