//! Creating streams, for a new ledger or a recovery.

use async_nats::Client;
use async_nats::jetstream;
use futures::StreamExt as _;

use super::ledger_stream::{LedgerStream, REPLICAS};
use super::stream_error::{API_TIMEOUT, Problem, StreamError};
use super::streams::{StreamState, info, inspect};

/// Creates the missing streams and returns them. The existing ones must have the right settings. They must
/// be empty if another is missing, as after an interrupted creation.
///
/// # Errors
///
/// When a stream exists with other settings, or some hold messages and others are missing. Then nothing
/// is created.
pub async fn create_streams(
    operator: &Client,
    replicas: usize,
) -> Result<Vec<LedgerStream>, StreamError> {
    if !REPLICAS.contains(&replicas) {
        return Err(StreamError::Replicas(replicas));
    }
    let (found, problems) = inspect(operator).await?;
    let (missing, differing): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|problem| matches!(problem, Problem::Missing(_)));
    if !differing.is_empty() {
        return Err(StreamError::Unfit(differing));
    }
    let missing: Vec<LedgerStream> = missing
        .into_iter()
        .filter_map(|problem| match problem {
            Problem::Missing(stream) => Some(stream),
            Problem::Differs { .. } => None,
        })
        .collect();
    let used = found.iter().find(|found| found.last_sequence > 0);
    if let (Some(&missing), Some(used)) = (missing.first(), used) {
        return Err(StreamError::Incomplete {
            missing,
            present: used.stream,
        });
    }
    for &stream in &missing {
        create_stream(operator, stream, replicas).await?;
    }
    Ok(missing)
}

/// Creates one stream, for a new ledger or a recovery.
///
/// # Errors
///
/// When JetStream refuses or does not answer. It refuses if the stream exists with other settings.
pub async fn create_stream(
    operator: &Client,
    stream: LedgerStream,
    replicas: usize,
) -> Result<(), StreamError> {
    let mut context = jetstream::new(operator.clone());
    context.set_timeout(API_TIMEOUT);
    context
        .create_stream(stream.config(replicas))
        .await
        .map(drop)
        .map_err(|error| StreamError::Create {
            stream,
            reason: error.to_string(),
        })
}

/// Checks that this user may list streams. A user who may not could not create them either, and learns
/// it here before anything is stopped.
///
/// # Errors
///
/// When JetStream refuses or does not answer.
pub async fn may_recreate(operator: &Client) -> Result<(), StreamError> {
    let mut context = jetstream::new(operator.clone());
    context.set_timeout(API_TIMEOUT);
    inspect(operator).await?;
    // Only the operator may do this.
    let names = context.stream_names();
    let first = tokio::time::timeout(API_TIMEOUT, std::pin::pin!(names).next()).await;
    match first {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => Err(StreamError::Refused {
            stream: LedgerStream::Log,
            reason: error.to_string(),
        }),
        Err(_elapsed) => Err(StreamError::NoAnswer {
            stream: LedgerStream::Log,
            reason: "to a request for stream names".to_owned(),
        }),
    }
}

/// Creates the missing streams. Returns how many messages each then holds: a stream whose `meta.inf` was
/// lost is missing for nats-server, and returns with all its messages.
///
/// # Errors
///
/// When JetStream refuses or does not answer.
pub async fn create_missing(operator: &Client) -> Result<Vec<(LedgerStream, u64)>, StreamError> {
    let (found, _) = inspect(operator).await?;
    let replicas = replicas_of(&found);
    let is_there = |stream| {
        found
            .iter()
            .any(|found: &StreamState| found.stream == stream)
    };
    let mut created = Vec::new();
    for stream in LedgerStream::ALL {
        if is_there(stream) {
            continue;
        }
        create_stream(operator, stream, replicas).await?;
        let info = info(operator, stream, API_TIMEOUT).await?;
        let messages = info.and_then(|info| info["state"]["messages"].as_u64());
        created.push((stream, messages.unwrap_or_default()));
    }
    Ok(created)
}

/// The number of replicas of the existing streams.
fn replicas_of(found: &[StreamState]) -> usize {
    let replicas = found.iter().map(|found| found.replicas).max().unwrap_or(1);
    usize::try_from(replicas).unwrap_or(1).max(1)
}

/// Deletes the log and creates it again, with as many replicas as the streams have. Creates other missing
/// streams, too. `messages` is the number of log messages that the caller has saved; a longer log is not
/// deleted.
///
/// # Errors
///
/// When the log is longer, or JetStream refuses or does not answer.
pub async fn recreate_log(operator: &Client, messages: u64) -> Result<(), StreamError> {
    let (found, _) = inspect(operator).await?;
    let replicas = replicas_of(&found);
    let log = found.iter().find(|found| found.stream == LedgerStream::Log);
    if let Some(log) = log {
        if log.last_sequence != messages {
            return Err(StreamError::MovedOn {
                known: messages,
                last: log.last_sequence,
            });
        }
        let mut context = jetstream::new(operator.clone());
        context.set_timeout(API_TIMEOUT);
        let stream = LedgerStream::Log;
        let deleted = context.delete_stream(stream.name()).await;
        deleted.map_err(|error| StreamError::Refused {
            stream,
            reason: error.to_string(),
        })?;
    }
    for stream in LedgerStream::ALL {
        let there = found.iter().any(|found| found.stream == stream);
        if !there || stream == LedgerStream::Log {
            create_stream(operator, stream, replicas).await?;
        }
    }
    Ok(())
}
