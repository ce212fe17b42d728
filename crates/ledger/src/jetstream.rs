//! What every use of JetStream here shares: bounded waits, and what a refused append means.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode};

use crate::log::Unavailable;

/// How long an append or a read may take. After that an append's fate counts as unknown.
pub(crate) const ACK: Duration = Duration::from_secs(2);

/// Something else came first, as a server says it: a wrong last sequence, 10071 on one replica and
/// 10164 on three, where it may also mean that another message is still on its way there.
const CAME_FIRST: [ErrorCode; 2] = [ErrorCode(10_071), ErrorCode(10_164)];

pub(crate) fn unavailable(error: impl std::fmt::Display) -> Unavailable {
    Unavailable(error.to_string())
}

/// A stream of this name over a connection, not looked at yet.
pub(crate) async fn open(
    client: &async_nats::Client,
    stream: &str,
) -> Result<(jetstream::Context, Stream<()>), Unavailable> {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(ACK);
    let stream = context.get_stream_no_info(stream).await;
    Ok((context, stream.map_err(unavailable)?))
}

/// Whether a server says that there is no such stream (10059). The client's errors keep the code in
/// their words only.
pub(crate) fn is_missing_stream(error: &impl std::fmt::Display) -> bool {
    error.to_string().contains("error code 10059")
}

/// Bounds a read, since a frozen server answers nothing.
pub(crate) async fn bounded<T>(
    read: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Unavailable> {
    let timeout = tokio::time::timeout(ACK, read).await;
    timeout.unwrap_or_else(|_| Err(Unavailable("the nats-server does not answer".to_owned())))
}

/// Unconnected, the client would keep a message and send it whenever it can.
pub(crate) fn is_connected(client: &async_nats::Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

/// What a server says that is not, or no longer, the one to ask: "temporarily unavailable", "not the
/// leader", "offline".
const NOT_THE_ONE: [ErrorCode; 3] = [ErrorCode(10_008), ErrorCode(10_009), ErrorCode(10_118)];

/// What a publish without an acknowledgement means.
pub(crate) enum Refused {
    /// Something else came first.
    CameFirst,
    /// The server refused it: it is not stored and never will be.
    Never(String),
    /// It may be stored, or may still be.
    Unknown(String),
}

pub(crate) fn refused(error: &PublishError) -> Refused {
    let source = std::error::Error::source(error);
    let api = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    if api.is_some_and(|api| CAME_FIRST.contains(&api.error_code())) {
        return Refused::CameFirst;
    }
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Refused::CameFirst,
        // As the client says it; a stream that is there and has no leader is the usual reason.
        PublishErrorKind::StreamNotFound => {
            Refused::Never("no stream takes it: it has no leader now, or is missing".to_owned())
        }
        PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::WrongLastMessageId => {
            Refused::Never(error.to_string())
        }
        // A leader that others no longer hear says so of a message that the new one takes: when
        // they find each other again both get what is published, and the first answer comes here.
        PublishErrorKind::Other
            if api.is_some_and(|api| NOT_THE_ONE.contains(&api.error_code())) =>
        {
            Refused::Unknown(error.to_string())
        }
        PublishErrorKind::Other if api.is_some() => Refused::Never(error.to_string()),
        PublishErrorKind::Other
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => Refused::Unknown(error.to_string()),
    }
}
