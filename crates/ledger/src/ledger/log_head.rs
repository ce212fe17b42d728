//! Comparing the end of the log with the read model.

use keyroll_core::{Code, Digest, Sequence};

use super::OpenError;
use crate::health::Health;
use crate::projection::Projection;
use keyroll_store::log::Log;
use keyroll_store::log::{TAIL_CHECK_PAUSE, TAIL_CHECKS};

/// Compares the read model's last message with the log. A log that is shorter, or has other bytes
/// there, was set back.
pub(super) async fn check_head(
    log: &dyn Log,
    projection: &Projection,
    health: &Health,
) -> Result<(), OpenError> {
    let Some((sequence, digest)) = projection.view()?.head()? else {
        return Ok(());
    };
    let last = last_after_catch_up(log, sequence).await?;
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

/// The last message of the log. If it seems to be before `known`, the leader is asked for a while:
/// a new leader may answer before it has caught up with its own log.
async fn last_after_catch_up(log: &dyn Log, known: Sequence) -> Result<Sequence, OpenError> {
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
