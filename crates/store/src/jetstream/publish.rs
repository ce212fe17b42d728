//! Writing to a stream, and whether it accepts writes.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::subject::ToSubject as _;
use bytes::Bytes;

use super::write_failures::WriteFailure;
use super::{BoundStream, TIMEOUT};

/// How long a write without an answer puts a stream on several servers in doubt: its leader may
/// have lost the message. If the disk of the next leader fails as well, the next write shows it.
const NEW_LEADER: Duration = Duration::from_secs(30);

/// "Wrong last sequence": 10071 with one replica and 10164 with three, where it may also mean that
/// another message for the subject is still being stored.
const WRONG_LAST_SEQUENCE: [ErrorCode; 2] = [ErrorCode(10_071), ErrorCode(10_164)];

/// The answers of a server that is not, or no longer, the stream's leader: "temporarily
/// unavailable", "not the leader", "offline".
const NOT_LEADER: [ErrorCode; 3] = [ErrorCode(10_008), ErrorCode(10_009), ErrorCode(10_118)];

/// Why a message was not acknowledged.
pub(crate) enum PublishFailure {
    /// The subject's last message is not the expected one.
    Conflict,
    /// The server refused it: it is not stored and never will be.
    Rejected(String),
    /// It may be stored, now or later.
    Unknown(String),
}

impl BoundStream {
    /// Stores bytes durably if `expected` is the last message on the subject (0 for none). Returns
    /// the message's number. `sent` is called between sending and the acknowledgement.
    pub(crate) async fn publish(
        &self,
        subject: String,
        bytes: Bytes,
        expected: u64,
        sent: impl FnOnce(),
    ) -> Result<u64, PublishFailure> {
        // Without a connection the NATS client would buffer the message and send it later.
        if self.client.connection_state() != async_nats::connection::State::Connected {
            let words = "not connected to the nats-server".to_owned();
            return Err(PublishFailure::Rejected(words));
        }
        let connection = self.connection_id();
        let message = PublishMessage::build()
            .payload(bytes)
            .expected_last_subject_sequence(expected);
        let publish = async {
            let ack = self.context.send_publish(subject.to_subject(), message);
            let ack = ack.await?;
            sent();
            ack.await
        };
        let failure = match tokio::time::timeout(TIMEOUT, publish).await {
            Ok(Ok(ack)) => {
                self.writes.clear();
                return Ok(ack.sequence);
            }
            Ok(Err(error)) => {
                let (failure, by_store) = classify(&error);
                if let (true, PublishFailure::Rejected(why)) = (by_store, &failure) {
                    let refused = WriteFailure::refused(connection.clone(), why);
                    self.writes.record(refused);
                }
                failure
            }
            Err(_) => PublishFailure::Unknown("no acknowledgement in time".to_owned()),
        };
        if let PublishFailure::Unknown(_) = &failure {
            let unanswered = WriteFailure::unanswered(connection, subject, expected);
            self.writes.record(unanswered);
        }
        Err(failure)
    }

    /// Why the stream accepts no writes, if its last write failed and nothing since shows that it
    /// accepts them again. Such a sign is an acknowledgement, another nats-server process or, after
    /// a write without an answer, the message itself or another one in its place.
    pub(crate) async fn write_failure(&self) -> Option<WriteFailure> {
        let failure = self.writes.last()?;
        let connection = self.connection_id();
        if failure.connection.server != connection.server {
            self.writes.resolve(&failure);
            return None;
        }
        if let Some((subject, expected)) = &failure.unanswered {
            // A stream that does not answer at all has another problem, which is reported
            // elsewhere.
            let state = self.state().await.ok()??;
            // The message may have been lost with the connection or with the stream's leader.
            let old = state.replicated && failure.at.elapsed() > NEW_LEADER;
            if old || failure.connection.connection != connection.connection {
                self.writes.resolve(&failure);
                return None;
            }
            let last = self.last_on(subject).await.ok()?;
            // A message that could not be synced is returned as the last one, but not counted.
            let counted = last.filter(|last| last.sequence <= state.last);
            if counted.is_some_and(|last| last.sequence > *expected) {
                self.writes.resolve(&failure);
                return None;
            }
        }
        Some(failure)
    }
}

/// The meaning of an error, and whether the stream's store is its cause.
fn classify(error: &PublishError) -> (PublishFailure, bool) {
    let source = std::error::Error::source(error);
    let api = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    if api.is_some_and(|api| WRONG_LAST_SEQUENCE.contains(&api.error_code())) {
        return (PublishFailure::Conflict, false);
    }
    match error.kind() {
        PublishErrorKind::WrongLastSequence => (PublishFailure::Conflict, false),
        // The NATS client reports this for a stream without a leader too, which is the usual cause.
        PublishErrorKind::StreamNotFound => {
            let words = "no stream accepts it: the stream has no leader now, or is missing";
            (PublishFailure::Rejected(words.to_owned()), false)
        }
        PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::WrongLastMessageId => {
            (PublishFailure::Rejected(error.to_string()), false)
        }
        // A leader that has lost its quorum reports this for a message that the new leader stores:
        // once the servers are connected again both receive it, and the first answer arrives here.
        PublishErrorKind::Other
            if api.is_some_and(|api| NOT_LEADER.contains(&api.error_code())) =>
        {
            (PublishFailure::Unknown(error.to_string()), false)
        }
        PublishErrorKind::Other if api.is_some() => {
            (PublishFailure::Rejected(error.to_string()), true)
        }
        PublishErrorKind::Other
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => (PublishFailure::Unknown(error.to_string()), false),
    }
}
