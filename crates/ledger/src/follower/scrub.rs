//! The scrub reads the part of the log again that the read model already holds: a message that was
//! lost there would otherwise show only in the next rebuild. It folds nothing in.

use std::sync::Arc;

use keyroll_core::{Code, Sequence};
use keyroll_store::log::{FollowError, Log, LogRange, RangeError};

use crate::health::Health;

pub(crate) async fn scrub(log: Arc<dyn Log>, until: Sequence, health: Arc<Health>) {
    let (mut at, last) = (Sequence(0), Sequence(until.0.saturating_sub(1)));
    let mut stretch = LogRange::new(log.as_ref(), at, last);
    while let Some(next) = stretch.next().await {
        match next {
            Ok(message) => at = message.sequence,
            Err(RangeError::Log(error @ FollowError::Gap { .. })) => {
                return health.fail(Code::Corrupt, error.to_string());
            }
            // The follower finds that out by itself.
            Err(RangeError::Log(FollowError::Behind { .. })) => return,
            // The nats-server is away: continue when it is back, since nothing else reads the rest.
            Err(RangeError::TimedOut(_)) => stretch = LogRange::new(log.as_ref(), at, last),
        }
    }
}
