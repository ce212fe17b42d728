//! Messages gathered for one transaction.

use futures::StreamExt as _;
use futures::stream::BoxStream;

use keyroll_store::log::{FollowError, Message};

/// Messages folded into one transaction at most.
const BATCH_MESSAGES: usize = 1_000;
/// Bytes of commits in one transaction at most.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

pub(super) type Stream = BoxStream<'static, Result<Message, FollowError>>;

/// Messages for one transaction, up to a bound.
#[derive(Default)]
pub(super) struct MessageBatch {
    pub(super) messages: Vec<Message>,
    bytes: usize,
    /// The error after the messages, if one ended the stream.
    pub(super) then: Option<FollowError>,
}

impl MessageBatch {
    pub(super) fn has_capacity(&self) -> bool {
        self.then.is_none() && self.messages.len() < BATCH_MESSAGES && self.bytes < BATCH_BYTES
    }

    pub(super) fn take(&mut self, next: Result<Message, FollowError>) {
        match next {
            Ok(message) => {
                self.bytes += message.bytes.len();
                self.messages.push(message);
            }
            Err(error) => self.then = Some(error),
        }
    }

    pub(super) fn take_what_is_there(&mut self, stream: &mut Stream) {
        while self.has_capacity() {
            match futures::FutureExt::now_or_never(stream.next()) {
                Some(Some(next)) => self.take(next),
                Some(None) | None => return,
            }
        }
    }
}
